//! Looks for scanners in the network, by DNS-SD: `_uscan._tcp` and, with TLS, `_uscans._tcp`.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::Duration;

use mdns_sd::{ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::capture::{Fault, shown};

/// Scanners without TLS, and with it.
const TYPES: [&str; 2] = ["_uscan._tcp.local.", "_uscans._tcp.local."];

/// Scanners that are remembered; more than a branch has, fewer than a liar can announce.
const MOST: usize = 64;

/// A scanner that announces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it calls itself.
    pub name: String,
    /// Maker and model.
    pub model: String,
    /// Its UUID, empty where it has none.
    pub uuid: String,
    /// Where it speaks eSCL.
    pub url: Url,
    /// The addresses of the URL's host.
    pub addresses: Vec<SocketAddr>,
    /// Where it is set up, empty where it does not say.
    pub admin_url: String,
}

impl Found {
    fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    fn is_called(&self, name: &str) -> bool {
        let id = |text: &str| text.trim_start_matches("urn:uuid:").to_lowercase();
        self.name == name || (!self.uuid.is_empty() && id(&self.uuid) == id(name))
    }

    /// One scanner may announce itself twice, with TLS and without.
    fn is_same(&self, other: &Self) -> bool {
        if self.uuid.is_empty() { self.name == other.name } else { self.uuid == other.uuid }
    }
}

/// Scanners that announce themselves within this time.
pub async fn discover(time: Duration) -> Vec<Found> {
    let deadline = Instant::now() + time;
    match tokio::task::spawn_blocking(browse).await {
        Ok(Ok((daemon, answers))) => {
            let mut found = BTreeMap::new();
            let listening = answers.into_iter().map(|answers| listen(answers, deadline));
            for services in futures_util::future::join_all(listening).await {
                found.extend(services);
            }
            if let Err(error) = daemon.shutdown() {
                log::debug!("DNS-SD does not end: {error}");
            }
            found.into_values().take(MOST).collect()
        }
        Ok(Err(error)) => {
            log::warn!("scanners cannot be looked for by DNS-SD: {error}");
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

type Answers = mdns_sd::Receiver<ServiceEvent>;

fn browse() -> Result<(ServiceDaemon, Vec<Answers>), mdns_sd::Error> {
    let daemon = ServiceDaemon::new()?;
    let answers = TYPES.iter().map(|kind| daemon.browse(kind)).collect::<Result<_, _>>()?;
    Ok((daemon, answers))
}

async fn listen(answers: Answers, deadline: Instant) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    while let Ok(Ok(event)) = timeout_at(deadline, answers.recv_async()).await {
        match event {
            ServiceEvent::ServiceResolved(service) if found.len() < MOST => {
                if let Some(scanner) = read(&service) {
                    found.insert(service.fullname, scanner);
                }
            }
            ServiceEvent::ServiceRemoved(_, name) => {
                found.remove(&name);
            }
            _ => {}
        }
    }
    found
}

fn read(service: &ResolvedService) -> Option<Found> {
    let told = |key| service.get_property_val_str(key).unwrap_or_default();
    let secure = service.ty_domain.starts_with("_uscans.");
    let name = service.fullname.strip_suffix(&format!(".{}", service.ty_domain))?;
    let host = service.host.trim_end_matches('.');
    let path = match told("rs").trim_matches('/') {
        "" => "eSCL",
        path => path,
    };
    let mut url = Url::parse(&format!("http{}://{host}/", if secure { "s" } else { "" })).ok()?;
    url.set_port(Some(service.port)).ok()?;
    url.set_path(path);
    let mut addresses: Vec<_> =
        service.addresses.iter().filter_map(|ip| address(ip, service.port)).collect();
    // IPv4 first.
    addresses.sort_unstable();
    Some(Found {
        name: shown(name),
        model: shown(told("ty")),
        uuid: shown(told("UUID")),
        url,
        addresses,
        admin_url: shown(told("adminurl")),
    })
}

fn address(ip: &ScopedIp, port: u16) -> Option<SocketAddr> {
    match ip {
        ScopedIp::V4(v4) => Some(SocketAddrV4::new(*v4.addr(), port).into()),
        ScopedIp::V6(v6) => {
            Some(SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into())
        }
        _ => None,
    }
}

/// The one that is meant. `pinned`: its certificate is known, so that it must be one with TLS.
pub fn choose(mut found: Vec<Found>, name: Option<&str>, pinned: bool) -> Result<Found, Fault> {
    found.retain(|it| name.is_none_or(|name| it.is_called(name)) && (it.is_secure() || !pinned));
    // Without TLS first: a scanner's own certificate is nothing that anybody trusts.
    found.sort_by_key(Found::is_secure);
    let mut single: Vec<Found> = Vec::new();
    for scanner in found {
        if !single.iter().any(|it| it.is_same(&scanner)) {
            single.push(scanner);
        }
    }
    match (single.len(), name) {
        (1, _) => Ok(single.remove(0)),
        (0, Some(name)) => Err(Fault::Absent(format!(
            "no scanner \"{}\" announces itself in the network: switch it on, or set escl.url",
            shown(name)
        ))),
        (0, None) => Err(Fault::Absent(
            "no scanner announces itself in the network: switch it on, or set escl.url".to_owned(),
        )),
        _ => {
            let names: Vec<_> = single.iter().map(|it| format!("\"{}\"", it.name)).collect();
            Err(Fault::Failing(format!(
                "several scanners announce themselves: set escl.name to one of {}",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(name: &str, uuid: &str, scheme: &str) -> Found {
        Found {
            name: name.to_owned(),
            model: String::new(),
            uuid: uuid.to_owned(),
            url: format!("{scheme}://scanner.local/eSCL").parse().unwrap(),
            addresses: Vec::new(),
            admin_url: String::new(),
        }
    }

    #[test]
    fn only_one_needs_no_name() {
        let found = vec![scanner("A", "1", "https"), scanner("A", "1", "http")];
        let chosen = |pinned| choose(found.clone(), None, pinned).unwrap().url;
        assert_eq!(chosen(false).scheme(), "http");
        assert_eq!(chosen(true).scheme(), "https");
        let plain = vec![scanner("A", "1", "http")];
        assert!(matches!(choose(plain, None, true), Err(Fault::Absent(_))));
    }

    #[test]
    fn several_are_listed_and_one_is_chosen_by_name_or_uuid() {
        let found = vec![scanner("A", "1", "http"), scanner("B (2)", "AB-2", "http")];
        let chosen = |name| choose(found.clone(), Some(name), false).map(|it| it.name);
        let fault = choose(found.clone(), None, false).unwrap_err();
        assert!(fault.to_string().ends_with("\"A\", \"B (2)\""), "{fault}");
        assert_eq!(chosen("A").as_deref(), Ok("A"));
        assert_eq!(chosen("urn:uuid:ab-2").as_deref(), Ok("B (2)"));
        assert!(matches!(chosen("C"), Err(Fault::Absent(_))));
    }
}
