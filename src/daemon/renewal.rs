//! Keeps the kiosk's certificate good: asks for the next one when two thirds of its time are over, and
//! takes it when the broker does.
//!
//! Promises:
//! - The certificate in use is replaced only by one of the same key and name, that leads to the same
//!   authority, ends later, and with which the broker was reached on a connection beside the kiosk's.
//!   Until then, and whenever the power fails, the one before is in use.
//! - The key stays: it may be sealed, and this program cannot seal.

use std::fs;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cic_kiosk::config::Config;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::figures::Figures;
use super::supervisor::{Failure, Pulse};
use super::{DISK, Daemon};
use crate::credentials::Credentials;
use crate::fleet::anomalies::Anomalies;
use crate::fleet::presence::shown;
use crate::mqtt::{self, Dial, Inbox, Letter, LinkState, Post, Topics, probe};
use crate::provisioning::certificate::{self, Certificate, Refusal};
use crate::provisioning::files;
use crate::provisioning::key::Key;
use crate::provisioning::message::{Issued, Renewal};

/// Between two looks at the certificate and the clock, which may be set.
const LOOK: Duration = Duration::from_secs(60);

/// Before a broker that was not reached with the new certificate is tried again with it.
const AGAIN: Duration = Duration::from_secs(20);

/// Kinds of [`crate::fleet::telemetry::Telemetry::anomalies`].
const REFUSED: &str = "certificates_refused";

impl Daemon {
    /// Begins to watch the certificate.
    pub(super) fn start_renewal(&self, figures: &Figures) {
        let mqtt = self.settings.borrow().mqtt.clone();
        let listens = mqtt.certificate.is_some() && mqtt.renew_certificate;
        let issued = self.topics.certificate_issued();
        let inbox = listens.then(|| Arc::new(self.post.listen(vec![issued], |_, _, _| true)));
        let renewing = Renewing {
            inbox,
            post: self.post.clone(),
            topics: self.topics.clone(),
            credentials: self.credentials.clone(),
            settings: self.settings.subscribe(),
            link: figures.link(),
            figures: figures.clone(),
            anomalies: self.anomalies.clone(),
            stop: self.stop.clone(),
        };
        self.supervisor.start("certificate", move |pulse| renewing.clone().work(pulse));
    }
}

#[derive(Clone)]
struct Renewing {
    /// What was issued; nobody listens where there was no certificate at the start.
    inbox: Option<Arc<Inbox>>,
    post: Post,
    topics: Topics,
    credentials: Credentials,
    settings: watch::Receiver<Arc<Config>>,
    link: watch::Receiver<LinkState>,
    figures: Figures,
    anomalies: Anomalies,
    stop: CancellationToken,
}

/// What is in use.
struct Own {
    certificate: Certificate,
    /// What the next one must lead to.
    anchors: Vec<CertificateDer<'static>>,
}

/// One that the broker has yet to take.
#[derive(Clone)]
struct Candidate {
    chain: String,
    certificate: Certificate,
}

impl Renewing {
    async fn work(mut self, pulse: Pulse) -> Result<(), Failure> {
        // Serial number of the certificate that another one was asked for.
        let mut asked = None;
        let mut refused = None;
        let mut candidate: Option<Candidate> = None;
        let inbox = self.inbox.clone();
        while !self.stop.is_cancelled() {
            let own = {
                let _busy = pulse.busy(DISK);
                let it = self.clone();
                spawn_blocking(move || it.own()).await?
            };
            self.figures.certificate_ends(own.as_ref().map(|own| own.certificate.not_after));
            if let Some(own) = &own
                && self.settings.borrow().mqtt.renew_certificate
                && asked.as_ref() != Some(&own.certificate.serial)
                && own.certificate.renewal() <= Timestamp::now().as_second()
            {
                match self.ask(&own.certificate) {
                    Ok(()) => log::info!("the next certificate is asked for"),
                    Err(error) => log::warn!("no certificate can be asked for: {error}"),
                }
                asked = Some(own.certificate.serial.clone());
            }
            if let Some(tried) = candidate.take() {
                match self.try_out(&tried, &pulse).await? {
                    Ok(()) => {
                        log::info!(until = shown_time(tried.certificate.not_after); "the kiosk's certificate is renewed");
                        if asked.take().is_some() {
                            // What is retained there is cleared.
                            self.post.put(self.topics.certificate_request(), Vec::new(), true);
                        }
                        continue;
                    }
                    Err(failure) if self.is_certificates_fault(&failure) => {
                        self.refuse(&format!("the broker does not take it: {failure}"));
                    }
                    Err(_) => candidate = Some(tried),
                }
            }
            let pause = if candidate.is_some() { AGAIN } else { LOOK };
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(pause) => {}
                changed = self.settings.changed() => changed?,
                letter = next(inbox.as_deref()) => {
                    let (Some(own), Ok(payload)) = (&own, letter.payload) else { continue };
                    match self.judge(own, &payload) {
                        Ok(found) => candidate = found.or(candidate),
                        // It is retained, and comes again with each connection.
                        Err(refusal) if refused.as_ref() != Some(&payload) => {
                            self.refuse(&refusal.to_string());
                            refused = Some(payload);
                        }
                        Err(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn dial(&self, renewed: PathBuf) -> Dial {
        let settings = self.settings.borrow().mqtt.clone();
        let (credentials, topics) = (self.credentials.clone(), self.topics.clone());
        Dial { settings, credentials, topics, renewed: Some(renewed) }
    }

    /// What is in use; nothing where nothing is, or it cannot be read, which the publisher says.
    fn own(&self) -> Option<Own> {
        // Not borrowed while `dial` borrows, too: who changes settings in between would wait for ever.
        let renewed = mqtt::renewed_in(&self.settings.borrow().kiosk.state);
        let dial = self.dial(renewed);
        let chain = dial.chain().ok()??;
        let certificate = Certificate::parse(chain.first()?)?;
        Some(Own { certificate, anchors: dial.anchors() })
    }

    fn ask(&self, own: &Certificate) -> Result<(), Failure> {
        let Some(pem) = self.credentials.find(mqtt::KEY)? else { return Ok(()) };
        let csr = Key::parse(&pem)?.request(&own.common_name)?;
        let renewal = Renewal { at: shown(Timestamp::now()), replaces: own.serial.clone(), csr };
        let said = json!(renewal).to_string().into_bytes();
        self.post.put(self.topics.certificate_request(), said, true);
        Ok(())
    }

    /// Whether what came may follow; nothing where it is no news.
    fn judge(&self, own: &Own, payload: &[u8]) -> Result<Option<Candidate>, Refusal> {
        if payload.is_empty() {
            return Ok(None);
        }
        let issued: Issued = serde_json::from_slice(payload).map_err(|_| Refusal::Malformed)?;
        let chain = certificate::chain(issued.chain.as_bytes())?;
        let first =
            chain.first().and_then(|it| Certificate::parse(it)).ok_or(Refusal::Malformed)?;
        if first.serial == own.certificate.serial || first.not_after <= own.certificate.not_after {
            return Ok(None);
        }
        let now = Timestamp::now().as_second();
        let certificate = certificate::judge(&chain, &own.certificate.key, &own.anchors, now)?;
        if certificate.subject != own.certificate.subject {
            return Err(Refusal::OtherName);
        }
        Ok(Some(Candidate { chain: issued.chain, certificate }))
    }

    /// Puts it in its place if the broker takes it.
    async fn try_out(
        &self,
        candidate: &Candidate,
        pulse: &Pulse,
    ) -> Result<Result<(), mqtt::Failure>, Failure> {
        let place = mqtt::renewed_in(&self.settings.borrow().kiosk.state);
        let trial = place.with_extension("trial");
        self.write(trial.clone(), candidate, pulse).await?;
        let outcome = probe(&self.dial(trial.clone())).await;
        if outcome.is_ok() {
            self.write(place, candidate, pulse).await?;
        }
        let _busy = pulse.busy(DISK);
        // Nobody reads what is left of it.
        let _ = spawn_blocking(move || fs::remove_file(trial)).await?;
        Ok(outcome)
    }

    async fn write(
        &self,
        path: PathBuf,
        candidate: &Candidate,
        pulse: &Pulse,
    ) -> Result<(), Failure> {
        let _busy = pulse.busy(DISK);
        let chain = candidate.chain.clone();
        Ok(spawn_blocking(move || files::put(&path, chain.as_bytes(), 0o600)).await??)
    }

    /// Whether the broker takes the old one and not this one.
    fn is_certificates_fault(&self, failure: &mqtt::Failure) -> bool {
        let is_connected = self.link.borrow().connected_since.is_some();
        is_connected && matches!(failure.kind(), "tls" | "refused" | "closed" | "certificate")
    }

    fn refuse(&self, reason: &str) {
        log::warn!("a certificate that was issued is not taken, the one before stays: {reason}");
        self.anomalies.count(REFUSED);
    }
}

async fn next(inbox: Option<&Inbox>) -> Letter {
    match inbox {
        Some(inbox) => inbox.letter().await,
        None => pending().await,
    }
}

fn shown_time(seconds: i64) -> String {
    shown(Timestamp::from_second(seconds).unwrap_or_default())
}
