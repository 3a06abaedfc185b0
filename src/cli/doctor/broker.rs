//! The branch's broker, step by step. Nothing is published.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cic_kiosk::config::{Config, Place};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use url::Host;

use super::check::{Check, Finding};
use super::tls::{self, Holds, PATIENCE};
use crate::credentials::Credentials;
use crate::mqtt::{Dial, Topics, probe, renewed_in};

const NETWORK: &str = "check mqtt.broker, that the broker runs, the cable and the firewall";

const CERTIFICATES: &str = "check mqtt.authorities and mqtt.certificate, the broker's certificate, \
                            and the clock";

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let [place, secure] = [config, config].map(|config| config.mqtt.broker.place().clone());
    let (own, settings) = (Arc::clone(config), Arc::clone(config));
    let dialled = Arc::clone(config);
    vec![
        Check::new("broker-network", network(place)),
        Check::new("broker-tls", security(secure, dialled)),
        Check::blocking("mqtt-certificate", move || certificate(&own)),
        Check::new("broker-mqtt", mqtt(settings)),
    ]
}

/// As the client library connects: without the topics nobody may be called anything.
fn dial(config: &Config) -> Option<Dial> {
    let kiosk = &config.kiosk;
    let topics = Topics::new(kiosk.branch.clone()?, kiosk.id.clone()?);
    let credentials = Credentials::new(kiosk.credentials.as_deref());
    let renewed = Some(renewed_in(&kiosk.state));
    Some(Dial { settings: config.mqtt.clone(), credentials, topics, renewed })
}

/// Where a host is; an address is already one.
pub async fn resolve(host: &Host<impl AsRef<str>>, port: u16) -> Result<SocketAddr, String> {
    match host {
        Host::Ipv4(address) => Ok((*address, port).into()),
        Host::Ipv6(address) => Ok((*address, port).into()),
        Host::Domain(name) => {
            let found = timeout(PATIENCE, lookup_host((name.as_ref(), port))).await;
            let found = found.map_err(|_| "the name is not resolved in time".to_owned())?;
            let mut found = found.map_err(|error| format!("the name is not resolved: {error}"))?;
            found.next().ok_or_else(|| "the name has no address".to_owned())
        }
    }
}

/// Connects, and says how long that took.
pub async fn reach(address: SocketAddr) -> Result<String, String> {
    let begun = Instant::now();
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(format!("{address} answers within {} ms", begun.elapsed().as_millis())),
        Ok(Err(error)) => Err(format!("{address} cannot be reached: {error}")),
        Err(_) => Err(format!("{address} does not answer")),
    }
}

async fn network(place: Place) -> Finding {
    let reached = match &place {
        Place::Unix(path) => reach_socket(path).await,
        Place::Tcp { host, port, .. } => match resolve(host, *port).await {
            Ok(address) => reach(address).await,
            Err(error) => Err(error),
        },
    };
    reached.map_or_else(|error| Finding::fault(error, NETWORK), Finding::ok)
}

async fn reach_socket(path: &Path) -> Result<String, String> {
    match timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Ok(_)) => Ok(format!("{} answers", path.display())),
        Ok(Err(error)) => Err(format!("{} cannot be reached: {error}", path.display())),
        Err(_) => Err(format!("{} does not answer", path.display())),
    }
}

async fn security(place: Place, config: Arc<Config>) -> Finding {
    let Place::Tcp { host, port, tls: true } = place else {
        return Finding::off("mqtt.broker does not begin with mqtts://");
    };
    let Some(dial) = dial(&config) else {
        return Finding::fault("the kiosk has no name yet", "set kiosk.branch and kiosk.id");
    };
    let address = match resolve(&host, port).await {
        Ok(address) => address,
        Err(error) => return Finding::fault(error, NETWORK),
    };
    let name = match &host {
        Host::Ipv6(address) => address.to_string(),
        other => other.to_string(),
    };
    let shaken = spawn_blocking(move || {
        let config = dial.tls().map_err(|error| error.to_string())?;
        tls::handshake(address, &name, config).map_err(|error| error.to_string())
    });
    match shaken.await {
        Ok(Ok(certificates)) => {
            held("the broker's certificates", tls::hold(&certificates, tls::SOON))
        }
        Ok(Err(error)) => Finding::fault(error, CERTIFICATES),
        Err(_) => Finding::fault("a panic", "send the lines above to its makers"),
    }
}

fn certificate(config: &Config) -> Finding {
    if config.mqtt.certificate.is_none() {
        return Finding::off("mqtt.certificate is not set");
    }
    let Some(dial) = dial(config) else {
        return Finding::fault("the kiosk has no name yet", "set kiosk.branch and kiosk.id");
    };
    match dial.chain() {
        Ok(chain) => {
            held("the kiosk's certificates", tls::hold(&chain.unwrap_or_default(), tls::OWN_SOON))
        }
        Err(error) => {
            Finding::fault(error.to_string(), "put the kiosk's certificate there, in PEM")
        }
    }
}

/// How long certificates hold, and what to do about it.
pub fn held(whose: &str, holds: Option<Holds>) -> Finding {
    let to_do = "renew them: ask whoever runs the certificate authority";
    match holds {
        None => Finding::fault(format!("{whose} are none, or cannot be read"), to_do),
        Some(Holds::Ended(end)) => Finding::fault(format!("{whose} ended on {end}"), to_do),
        Some(Holds::EndsSoon(end)) => Finding::warning(format!("{whose} end on {end}"), to_do),
        Some(Holds::Until(end)) => Finding::ok(format!("{whose} hold until {end}")),
    }
}

async fn mqtt(config: Arc<Config>) -> Finding {
    let Some(dial) = dial(&config) else {
        return Finding::fault("the kiosk has no name yet", "set kiosk.branch and kiosk.id");
    };
    let begun = Instant::now();
    match probe(&dial).await {
        Ok(()) => {
            let took = begun.elapsed().as_millis();
            Finding::ok(format!("{} takes this kiosk, within {took} ms", dial.settings.broker))
        }
        Err(failure) => {
            let to_do = format!("{NETWORK}; then user, password and the broker's rules");
            Finding::fault(failure.to_string(), to_do)
        }
    }
}
