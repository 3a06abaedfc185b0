//! What may be sent to the cloud service, and where: made of the configuration once, so that nothing
//! later can be asked to do what is not allowed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cic_kiosk::config::{self, Sent};
use tokio::sync::watch;
use url::Url;

use super::CloudError;

/// The policy, and the switch that forbids everything.
#[derive(Debug)]
pub struct Policy {
    /// Of the API, with the parameters of the contract.
    pub address: Url,
    /// Its host, which is one of those that are allowed.
    pub host: String,
    /// Its certificate authorities, in PEM; none for this machine.
    pub authorities: Option<Vec<u8>>,
    /// Reference of the consent.
    pub consent: String,
    /// What is sent.
    pub sent: Sent,
    /// Time for one attempt.
    pub attempt_time: Duration,
    /// Time for everything.
    pub total_time: Duration,
    /// Attempts.
    pub attempts: u32,
    /// The wait before the second one.
    pub backoff: Duration,
    /// Attempts in a calendar day.
    pub daily_budget: u32,
    /// Bytes of an answer.
    pub max_answer_bytes: usize,
    /// The confidence that a value of the service is given at most.
    pub confidence_cap: f32,
    allowed: watch::Sender<bool>,
}

impl Policy {
    /// The policy that the configuration says.
    ///
    /// # Errors
    /// Where the service may not be asked, or the settings do not agree with each other.
    pub fn new(config: &config::Cloud) -> Result<Self, CloudError> {
        if !config.enabled {
            return Err(CloudError::Config("cloud.enabled is false".to_owned()));
        }
        config.check().map_err(CloudError::Config)?;
        let mut address = config.target().map_err(CloudError::Config)?;
        address.set_query(Some("format_type=file&get_thumb=false"));
        let https = address.scheme() == "https";
        let authorities = config.authorities.as_deref().filter(|_| https).map(read).transpose()?;
        Ok(Self {
            host: address.host_str().unwrap_or_default().to_owned(),
            address,
            authorities,
            consent: config.consent.clone().unwrap_or_default(),
            sent: config.send,
            attempt_time: config.attempt_time(),
            total_time: config.total_time(),
            attempts: config.attempts.get(),
            backoff: config.backoff_time(),
            daily_budget: config.daily_budget,
            max_answer_bytes: config.max_answer_bytes.get(),
            confidence_cap: config.confidence_cap,
            allowed: watch::Sender::new(true),
        })
    }

    /// Throws the switch: from now on nothing is sent, what is being sent is cut off; or things may
    /// be sent again.
    pub fn allow(&self, allowed: bool) {
        self.allowed.send_replace(allowed);
    }

    /// Whether the switch lets anything be sent.
    pub fn allows(&self) -> bool {
        *self.allowed.borrow()
    }

    /// Waits until the switch forbids.
    pub async fn forbidden(&self) {
        // The sender lives as long as `self`.
        let _ = self.allowed.subscribe().wait_for(|allowed| !allowed).await;
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CloudError> {
    fs::read(path).map_err(|reason| CloudError::Authorities {
        path: path.to_owned(),
        reason: reason.to_string(),
    })
}
