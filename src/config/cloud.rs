//! The cloud service: whether, what and how it may be asked.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Host;

use super::{as_written, positive, share};

/// The cloud service. Its key and secret are the credentials `cloud-key` and `cloud-secret`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cloud {
    /// Whether it may be asked at all. Default false.
    pub enabled: bool,
    /// Address of its API, `https://HOST/PATH`; `http://` for this machine alone. Needed where it
    /// may be asked.
    pub address: Option<String>,
    /// Hosts that documents may be sent to; the address's must be one of them. None by default.
    pub hosts: Vec<String>,
    /// PEM file of the certificate authorities of its server: these are trusted, and no others.
    /// Needed for https.
    pub authorities: Option<PathBuf>,
    /// Reference of the consent under which documents may be sent. It goes into the record of each
    /// transfer. Needed where the service may be asked.
    pub consent: Option<String>,
    /// What is sent: `pages`, those with what is in doubt, or the whole `document` as it came.
    /// Default `pages`.
    pub send: Sent,
    /// Seconds that one attempt may take. Default 30.
    pub attempt_seconds: NonZeroU32,
    /// Seconds that asking may take, all attempts and waits together; after that the result goes
    /// out as it was read here, for review. Default 90.
    pub total_seconds: NonZeroU32,
    /// Attempts. Default 3.
    pub attempts: NonZeroU32,
    /// Milliseconds before the second attempt; twice as many before the third, and so on, and each
    /// time up to as many again by chance. Default 500.
    pub backoff_milliseconds: NonZeroU32,
    /// Failures one after the other after which nothing is sent for a while. Default 5.
    pub breaker_failures: NonZeroU32,
    /// Seconds of that while; then one attempt shows whether the service is well again. Default 60.
    pub breaker_seconds: NonZeroU32,
    /// Attempts in a calendar day of the machine's time zone, all documents together. Default 500.
    pub daily_budget: u32,
    /// Bytes that an answer may have. Default 8 MiB: a report of eight pages has 200 KiB.
    pub max_answer_bytes: NonZeroUsize,
    /// The confidence that a value of the cloud is given at most. Its own are not calibrated here,
    /// so they may not outdo what was surely read here. Default 0.95.
    #[serde(deserialize_with = "share", serialize_with = "as_written")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence_cap: f32,
}

/// What of a document is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sent {
    /// The pages with what is in doubt.
    #[default]
    Pages,
    /// All of it, as it came.
    Document,
}

impl Cloud {
    /// Where the service is: the address, if it may be used.
    ///
    /// # Errors
    /// With the keys that must be changed.
    pub fn target(&self) -> Result<url::Url, String> {
        let text = self.address.as_deref().ok_or("cloud.enabled needs cloud.address")?;
        let address = url::Url::parse(text)
            .map_err(|error| format!("cloud.address is not a valid address: {error}"))?;
        let host = address.host().ok_or("cloud.address has no host")?;
        match address.scheme() {
            "https" if self.authorities.is_some() => {}
            "https" => {
                return Err("cloud.address begins with https:// and needs \
                                   cloud.authorities, the certificate authorities of its server"
                    .to_owned());
            }
            "http" if is_this_machine(&host) => {}
            _ => {
                return Err("cloud.address must begin with https://, or with http:// for a host \
                             that is this machine"
                    .to_owned());
            }
        }
        if !address.username().is_empty() || address.password().is_some() {
            return Err("cloud.address holds a user name or a password: they are the credentials \
                        cloud-key and cloud-secret"
                .to_owned());
        }
        if address.query().is_some() || address.fragment().is_some() {
            return Err("cloud.address must end with its path: what follows ? is added".to_owned());
        }
        let name = host.to_string();
        if !self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(&name)) {
            return Err(format!("cloud.hosts must name {name}, the host of cloud.address"));
        }
        Ok(address)
    }

    /// Whether the settings agree with each other.
    ///
    /// # Errors
    /// With the keys that do not.
    pub fn check(&self) -> Result<(), String> {
        if !self.enabled {
            return Ok(());
        }
        self.target()?;
        if self.consent.as_deref().is_none_or(|consent| consent.trim().is_empty()) {
            return Err("cloud.enabled needs cloud.consent, the reference of the consent under \
                        which documents may be sent"
                .to_owned());
        }
        if self.attempt_seconds > self.total_seconds {
            return Err("cloud.attempt_seconds is more than cloud.total_seconds, so that no \
                        attempt could take as long"
                .to_owned());
        }
        if self.daily_budget == 0 {
            return Err(
                "cloud.daily_budget is 0, so that nothing could be sent: raise it, or set \
                        cloud.enabled to false"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// How long one attempt may take.
    pub fn attempt_time(&self) -> Duration {
        Duration::from_secs(self.attempt_seconds.get().into())
    }

    /// How long asking may take.
    pub fn total_time(&self) -> Duration {
        Duration::from_secs(self.total_seconds.get().into())
    }

    /// The wait before the second attempt.
    pub fn backoff_time(&self) -> Duration {
        Duration::from_millis(self.backoff_milliseconds.get().into())
    }

    /// How long nothing is sent after too many failures.
    pub fn breaker_time(&self) -> Duration {
        Duration::from_secs(self.breaker_seconds.get().into())
    }
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            enabled: false,
            address: None,
            hosts: Vec::new(),
            authorities: None,
            consent: None,
            send: Sent::default(),
            attempt_seconds: positive(30),
            total_seconds: positive(90),
            attempts: positive(3),
            backoff_milliseconds: positive(500),
            breaker_failures: positive(5),
            breaker_seconds: positive(60),
            daily_budget: 500,
            max_answer_bytes: NonZeroUsize::new(8 << 20).unwrap_or(NonZeroUsize::MAX),
            confidence_cap: 0.95,
        }
    }
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => IpAddr::V4(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::V6(*address).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(address: &str, host: &str) -> Cloud {
        Cloud {
            enabled: true,
            address: Some(address.to_owned()),
            hosts: vec![host.to_owned()],
            authorities: Some("/ca.pem".into()),
            consent: Some("2026/17".to_owned()),
            ..Cloud::default()
        }
    }

    #[test]
    fn what_is_off_needs_nothing() {
        assert_eq!(Cloud::default().check(), Ok(()));
    }

    #[test]
    fn https_to_a_listed_host_and_http_to_this_machine_are_right() {
        for (address, host) in [
            ("https://ocr.example.vn/api", "ocr.example.vn"),
            ("https://OCR.example.vn:8443/api", "ocr.EXAMPLE.vn"),
            ("http://127.0.0.1:8080/api", "127.0.0.1"),
            ("http://[::1]:8080/api", "[::1]"),
            ("http://localhost/api", "localhost"),
        ] {
            assert_eq!(enabled(address, host).check(), Ok(()), "{address}");
        }
    }

    #[test]
    fn combination_that_is_not_possible_is_refused_with_its_keys() {
        let right = enabled("https://ocr.example.vn/api", "ocr.example.vn");
        let at = |address: &str| Cloud { address: Some(address.to_owned()), ..right.clone() };
        let zero = Cloud { daily_budget: 0, ..right.clone() };
        for (cloud, words) in [
            (Cloud { address: None, ..right.clone() }, "cloud.address"),
            (Cloud { hosts: vec!["example.vn".to_owned()], ..right.clone() }, "cloud.hosts"),
            (Cloud { authorities: None, ..right.clone() }, "cloud.authorities"),
            (Cloud { consent: None, ..right.clone() }, "cloud.consent"),
            (Cloud { consent: Some(" ".to_owned()), ..right.clone() }, "cloud.consent"),
            (Cloud { attempt_seconds: positive(91), ..right.clone() }, "cloud.total_seconds"),
            (zero, "cloud.daily_budget"),
            (at("http://ocr.example.vn/api"), "https://"),
            (at("http://127.0.0.1.example.vn/"), "https://"),
            (at("ftp://ocr.example.vn/"), "https://"),
            (at("https://key:secret@ocr.example.vn/"), "cloud-key"),
            (at("https://ocr.example.vn/?a=b"), "its path"),
            (at("ocr.example.vn"), "not a valid address"),
        ] {
            let error = cloud.check().unwrap_err();
            assert!(error.contains(words) && !error.contains("secret@"), "{error}");
        }
    }
}
