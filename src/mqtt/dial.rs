//! What a connection is made with: read anew for each one, so that a renewed certificate or password
//! counts without a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cic_kiosk::config::{Mqtt, Place, Protocol};
use rumqttc::{MqttOptions, NetworkOptions, TlsConfiguration, Transport, v5};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use url::Host;

use super::failure::Failure;
use super::topics::Topics;
use super::wire::Options;
use super::{MAX_INCOMING, MAX_PACKET};
use crate::credentials::Credentials;
use crate::provisioning::certificate::Certificate;

/// The credential that is the password of `mqtt.user`.
const PASSWORD: &str = "mqtt-password";

/// The credential that is the key of `mqtt.certificate`.
pub const KEY: &str = "mqtt-key";

/// Messages that may be on their way beside a full window of results.
pub(super) const BESIDE: u16 = 8;

/// Where to connect, and as whom.
#[derive(Clone, Debug)]
pub struct Dial {
    /// The settings.
    pub settings: Mqtt,
    /// The secrets.
    pub credentials: Credentials,
    /// The kiosk's names.
    pub topics: Topics,
    /// Where a certificate may be that follows the one of the settings.
    pub renewed: Option<PathBuf>,
}

/// Where the certificate is that follows the one of the settings, in this state folder.
pub fn renewed_in(state: &Path) -> PathBuf {
    state.join("certificate.pem")
}

impl Dial {
    /// The client library's options. Reads files: blocks. At the start of the program it tells
    /// whether there is all that the settings name.
    ///
    /// # Errors
    /// For what these files should be and are not.
    pub fn options(&self) -> Result<Options, Failure> {
        let (host, port) = match self.settings.broker.place() {
            // Without the brackets, which a certificate's name has not, either.
            Place::Tcp { host: Host::Ipv6(address), port, .. } => (address.to_string(), *port),
            Place::Tcp { host, port, .. } => (host.to_string(), *port),
            // It has no port, but the library wants a number.
            Place::Unix(path) => (path.display().to_string(), 1),
        };
        let (id, transport) = (self.topics.client_id(), self.transport()?);
        let credentials = self.user_and_password()?;
        let (keep_alive, connect_time) = (self.settings.keep_alive(), self.settings.connect_time());
        // Presence and the fleet's notes have a place beside a full window.
        let window = self.settings.window.get().saturating_add(BESIDE);
        // The store of results remembers what was not acknowledged, and retained topics what is
        // for the kiosk to know: a session at the broker would be a third memory.
        Ok(match self.settings.protocol {
            Protocol::V5 => {
                let mut options = v5::MqttOptions::new(id, host, port);
                options.set_transport(transport).set_keep_alive(keep_alive).set_clean_start(true);
                options.set_connection_timeout(connect_time.as_secs());
                options.set_outgoing_inflight_upper_limit(window);
                // The broker is told, and keeps what is larger to itself.
                options.set_max_packet_size(Some(MAX_INCOMING as u32));
                if let Some((user, password)) = credentials {
                    options.set_credentials(user, password);
                }
                Options::V5(Box::new(options))
            }
            Protocol::V3 => {
                let mut options = MqttOptions::new(id, host, port);
                options.set_transport(transport).set_keep_alive(keep_alive).set_clean_session(true);
                options.set_inflight(window).set_max_packet_size(MAX_INCOMING, MAX_PACKET);
                if let Some((user, password)) = credentials {
                    options.set_credentials(user, password);
                }
                let mut network = NetworkOptions::new();
                network.set_connection_timeout(connect_time.as_secs());
                Options::V3(Box::new(options), network)
            }
        })
    }

    fn user_and_password(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(user) = &self.settings.user else { return Ok(None) };
        let password = self.credentials.need(PASSWORD, "the password of mqtt.user")?;
        let password = password.text().ok_or(Failure::NotText(PASSWORD))?;
        Ok(Some((user.clone(), password.to_owned())))
    }

    fn transport(&self) -> Result<Transport, Failure> {
        Ok(match self.settings.broker.place() {
            Place::Tcp { tls: false, .. } => Transport::tcp(),
            Place::Tcp { tls: true, .. } => {
                Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(self.tls()?)))
            }
            Place::Unix(_) => Transport::unix(),
        })
    }

    /// With its own provider, so that it depends on nothing that is set for the whole process.
    ///
    /// # Errors
    /// For what the files that it needs should be and are not.
    pub fn tls(&self) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Tls(error.to_string()))?
            .with_root_certificates(self.authorities()?);
        let Some(chain) = self.chain()? else {
            return Ok(config.with_no_client_auth());
        };
        let key = self.credentials.need(KEY, "the key of mqtt.certificate in PEM")?;
        let not_the_key = |error: &dyn ToString| Failure::Key(error.to_string());
        let key = PrivateKeyDer::from_pem_slice(key.bytes()).map_err(|e| not_the_key(&e))?;
        config.with_client_auth_cert(chain, key).map_err(|e| not_the_key(&e))
    }

    /// The kiosk's certificate and those that lead to its authority, if it has one: that of the
    /// settings, or the one that follows it, which has the same name and key and ends later.
    ///
    /// # Errors
    /// For what the file of the settings should be and is not.
    pub fn chain(&self) -> Result<Option<Vec<CertificateDer<'static>>>, Failure> {
        let Some(path) = &self.settings.certificate else { return Ok(None) };
        let given = certificates(path)?;
        let renewed = self.renewed.as_deref().and_then(|path| certificates(path).ok());
        let first = |chain: &[CertificateDer<'_>]| Certificate::parse(chain.first()?);
        Ok(Some(match (renewed, first(&given)) {
            (Some(renewed), Some(own))
                if first(&renewed).is_some_and(|it| {
                    (&it.subject, &it.key) == (&own.subject, &own.key)
                        && it.not_after > own.not_after
                }) =>
            {
                renewed
            }
            _ => given,
        }))
    }

    /// What the next certificate must lead to: the last of those in the settings' file, which nobody
    /// but root writes. Where that is the kiosk's alone, the authorities of the broker.
    pub fn anchors(&self) -> Vec<CertificateDer<'static>> {
        let own = self.settings.certificate.as_deref().and_then(|path| certificates(path).ok());
        match own.as_deref() {
            Some([_, .., last]) => vec![last.clone()],
            _ => {
                let path = self.settings.authorities.as_deref();
                path.and_then(|path| certificates(path).ok()).unwrap_or_default()
            }
        }
    }

    /// The operator's, of which none may be unusable, or else the system's, of which some may.
    fn authorities(&self) -> Result<RootCertStore, Failure> {
        let mut roots = RootCertStore::empty();
        match &self.settings.authorities {
            Some(path) => {
                for certificate in certificates(path)? {
                    let added = roots.add(certificate);
                    added.map_err(|_| Failure::NoCertificates(path.clone()))?;
                }
            }
            None => {
                let system = rustls_native_certs::load_native_certs().certs;
                roots.add_parsable_certificates(system);
            }
        }
        if roots.is_empty() { Err(Failure::NoAuthorities) } else { Ok(roots) }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let pem =
        fs::read(path).map_err(|cause| Failure::Unreadable { path: path.to_owned(), cause })?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| Failure::NoCertificates(path.to_owned()))
}
