//! The cloud service, where it may be asked. No request is sent.

use std::fs;
use std::sync::Arc;

use cic_kiosk::config::{Cloud, Config};
use rustls::{ClientConfig, RootCertStore};
use tokio::task::spawn_blocking;

use super::broker::{held, reach, resolve};
use super::check::{Check, Finding};
use super::tls;
use crate::http::fetch::trusted;

const TO_DO: &str = "check cloud.address, cloud.authorities, the network and the firewall; until \
                     then results go to review";

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    vec![Check::new("cloud", cloud(config.cloud.clone()))]
}

async fn cloud(settings: Cloud) -> Finding {
    if !settings.enabled {
        return Finding::off("cloud.enabled is false: no document leaves the branch");
    }
    let reached = async {
        let address = settings.target()?;
        let host = address.host().ok_or("cloud.address has no host")?;
        let name = match &host {
            url::Host::Ipv6(address) => address.to_string(),
            other => other.to_string(),
        };
        let port = address.port_or_known_default().unwrap_or(443);
        let place = resolve(&host, port).await?;
        if address.scheme() != "https" {
            return reach(place).await.map(Finding::ok);
        }
        let shaken = spawn_blocking(move || {
            let config = client(&settings)?;
            tls::handshake(place, &name, config).map_err(|error| error.to_string())
        });
        let certificates = shaken.await.unwrap_or_else(|_| Err("a panic".to_owned()))?;
        Ok(held("the cloud service's certificates", tls::hold(&certificates, tls::SOON)))
    };
    let reached: Result<Finding, String> = reached.await;
    reached.unwrap_or_else(|error| Finding::fault(error, TO_DO))
}

/// Trusts whom the kiosk's own client trusts.
fn client(settings: &Cloud) -> Result<ClientConfig, String> {
    let roots = match &settings.authorities {
        None => RootCertStore::empty(),
        Some(path) => {
            let pem = fs::read(path).map_err(|error| {
                format!("cannot read cloud.authorities, {}: {error}", path.display())
            })?;
            trusted(Vec::new(), Some(&pem)).map_err(|error| error.to_string())?
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
