//! Asks the cloud service where a reading here is not good enough.
//!
//! Promises:
//! - Nothing is sent unless the [`Policy`] allows it, and no byte leaves before the transfer is
//!   recorded on the disk ([`transfers`]).
//! - [`Cloud::ask`] always comes to an answer, within the time for everything; at worst it is the one
//!   that was read here, for review.
//! - What the service says is believed only where all of it is what the contract says ([`strict`]).
//! - No value, no address and no credential reaches a log, a metric or an error.

mod breaker;
mod client;
mod failure;
mod policy;
mod strict;
pub mod transfers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use bytes::Bytes;
use cic_kiosk::config::{Config, Decision, Sent};
use cic_kiosk::decide::{Decided, decide};
use cic_kiosk::page::Files;
use cic_kiosk::report::merge::{self, merge};
use cic_kiosk::report::schema::{Answer, ErrorCode, Source, Verdict};
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use crate::credentials::{CredentialError, Credentials};
use crate::database::DatabaseError;
use crate::http::fetch::SetupError;
use crate::reading::Reader;
use breaker::Breaker;
use client::{Client, Parcel};
use failure::Failure;
use policy::Policy;
use transfers::{NewTransfer, TransferError, Transfers};

/// The credential that is the service's api_key.
const KEY: &str = "cloud-key";

/// The credential that is its api_secret.
const SECRET: &str = "cloud-secret";

/// How long nothing is sent after a key that was refused: it does not become right by itself, but
/// the service may have been mistaken.
const WRONG_KEY_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How long nothing is sent when the quota is used up and the service does not say until when.
const QUOTA_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Why the service cannot be asked at all, in a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The settings do not agree with each other.
    #[error("{0}")]
    Config(String),
    /// The authorities cannot be read.
    #[error("cannot read cloud.authorities, {}: {reason}", path.display())]
    Authorities {
        /// Where they should be.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A credential is missing.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The record of transfers is not to be had.
    #[error(transparent)]
    Transfers(#[from] DatabaseError),
    /// The authorities are none.
    #[error("cloud.authorities: {0}")]
    Setup(#[from] SetupError),
    /// TLS cannot be configured.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}

/// What came of asking, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Documents that the service was to be asked about.
    pub asked: u64,
    /// Of those, the ones that got values of it.
    pub merged: u64,
    /// Of those, the ones that it did not help with, by the kind of failure.
    pub failed: BTreeMap<&'static str, u64>,
    /// Transfers.
    pub sent: u64,
    /// Whether the breaker is open.
    pub breaker_open: bool,
}

/// The cloud service. One serves any number of documents at the same time.
pub struct Cloud {
    policy: Policy,
    client: Client,
    transfers: Arc<Transfers>,
    reader: Arc<Reader>,
    decision: Decision,
    review_below: f32,
    breaker: Mutex<Breaker>,
    tally: Mutex<Tally>,
}

/// What the service gave, and the pages that were sent where it was not all of them.
struct Read {
    answer: Answer,
    pages: Option<BTreeSet<usize>>,
}

impl Cloud {
    /// The service that the configuration names, to be asked with the engine of `reader`.
    ///
    /// # Errors
    /// Where the policy, a credential or the record of transfers is not as it should be.
    pub fn new(
        config: &Config,
        credentials: &Credentials,
        reader: Arc<Reader>,
    ) -> Result<Self, CloudError> {
        let policy = Policy::new(&config.cloud)?;
        let (failures, pause) = (config.cloud.breaker_failures.get(), config.cloud.breaker_time());
        Ok(Self {
            client: Client::new(&policy, credentials)?,
            policy,
            transfers: Arc::new(Transfers::create(&config.kiosk.state)?),
            reader,
            decision: config.decision.clone(),
            review_below: config.reading.review_below,
            breaker: Mutex::new(Breaker::new(failures, pause)),
            tally: Mutex::default(),
        })
    }

    /// Throws the switch: from now on nothing is sent, what is being sent is cut off; or things may
    /// be sent again.
    pub fn allow(&self, allowed: bool) {
        self.policy.allow(allowed);
    }

    /// Whether the switch lets anything be sent.
    pub fn is_allowed(&self) -> bool {
        self.policy.allows()
    }

    /// What came of asking until now.
    pub fn tally(&self) -> Tally {
        let breaker_open = self.breaker().is_open(Instant::now());
        Tally { breaker_open, ..self.count().clone() }
    }

    /// Attempts that today's budget has had. Reads a file: blocks.
    pub fn used_today(&self) -> u64 {
        self.transfers.used_today().unwrap_or_else(|error| {
            log::debug!("{error}");
            0
        })
    }

    /// Asks about a document that was read and doubted here, and merges what comes. The answer says
    /// in `meta` what was decided in the end, and how long the asking took.
    pub async fn ask(
        &self,
        scan_id: &str,
        document: Files,
        decided: &Decided,
        local: Answer,
    ) -> Answer {
        self.count().asked += 1;
        let begun = Instant::now();
        let deadline = begun + self.policy.total_time;
        let reading = self.read(scan_id, document, decided, &local, deadline);
        let read = timeout_at(deadline.into(), reading).await.unwrap_or(Err(Failure::OutOfTime));
        let merged = read.and_then(|read| self.merge(&local, read));
        let mut answer = match merged {
            Ok(answer) => self.merged(scan_id, answer),
            Err(failure) => self.failed(scan_id, &failure, decided, local),
        };
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        answer.meta.get_or_insert_default().elapsed_ms.insert("cloud".to_owned(), took.into());
        answer
    }

    /// The branch's consent, and the customer's where one was asked.
    fn consent(&self, local: &Answer) -> String {
        let customers = local.meta.as_ref().and_then(|meta| meta.consent.as_ref());
        match customers {
            Some(agreement) => format!("{} {}", self.policy.consent, agreement.id),
            None => self.policy.consent.clone(),
        }
    }

    fn merge(&self, local: &Answer, read: Read) -> Result<Answer, Failure> {
        let options = merge::Options {
            confidence_cap: self.policy.confidence_cap,
            review_below: self.review_below,
            pages: read.pages,
        };
        merge(local, &read.answer.reports, &options).ok_or(Failure::OtherDocument)
    }

    fn merged(&self, scan_id: &str, mut answer: Answer) -> Answer {
        let mut decided = decide(&answer, &self.decision, false);
        let source = answer.meta.as_ref().map(|meta| meta.source).unwrap_or_default();
        if decided.verdict == Verdict::Local {
            decided.verdict = Verdict::Cloud;
        }
        decided.record(&mut answer);
        if source != Source::Local {
            self.count().merged += 1;
        }
        log::info!(scan_id, source:?, verdict:? = decided.verdict; "the cloud service was asked");
        answer
    }

    fn failed(
        &self,
        scan_id: &str,
        failure: &Failure,
        decided: &Decided,
        mut local: Answer,
    ) -> Answer {
        *self.count().failed.entry(failure.kind()).or_default() += 1;
        let level = match failure {
            Failure::WrongKey | Failure::NotRecorded(_) => log::Level::Error,
            _ => log::Level::Warn,
        };
        log::log!(level, scan_id, failure = failure.kind(); "the cloud service did not help: {failure}");
        // Where there is no report, there is nothing to review.
        let verdict = match local.error {
            ErrorCode::Success => Verdict::Review,
            _ => Verdict::Local,
        };
        Decided { verdict, ..decided.clone() }.record(&mut local);
        local
    }

    async fn read(
        &self,
        scan_id: &str,
        document: Files,
        decided: &Decided,
        local: &Answer,
        deadline: Instant,
    ) -> Result<Read, Failure> {
        if !self.policy.allows() {
            return Err(Failure::Forbidden);
        }
        let all = local.meta.as_ref().map_or(0, |meta| meta.pages);
        let some = self.policy.sent == Sent::Pages && !decided.pages.is_empty();
        let pages = if some { decided.pages.clone() } else { (0..all).collect() };
        // What came in several files goes as one.
        let (bytes, drawn) = match <[_; 1]>::try_from(document.0) {
            Ok([file]) if !some => (Bytes::from(file), None),
            Ok([file]) => (self.pages(file.into(), pages.clone(), deadline).await?, Some(&pages)),
            Err(files) => (self.pages(Files(files), pages.clone(), deadline).await?, Some(&pages)),
        };
        let new = NewTransfer {
            scan_id: scan_id.to_owned(),
            bytes: bytes.len(),
            host: self.policy.host.clone(),
            consent: self.consent(local),
            pages: pages.iter().copied().collect(),
        };
        let parcel = Parcel { bytes, pages: new.pages.len() };
        let backoff = ExponentialBuilder::new()
            .with_min_delay(self.policy.backoff)
            .with_max_times(self.policy.attempts.saturating_sub(1) as usize)
            .with_jitter();
        let answer = (|| self.attempt(&new, parcel.clone(), deadline))
            .retry(backoff)
            .when(Failure::may_pass)
            .await?;
        Ok(Read { answer, pages: drawn.cloned() })
    }

    /// The pages as a document of their own.
    async fn pages(
        &self,
        document: Files,
        pages: BTreeSet<usize>,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let made = self.reader.pages(document, pages, deadline).await;
        made.map(Bytes::from).map_err(Failure::NoPages)
    }

    /// One transfer, recorded from its beginning to its end.
    async fn attempt(
        &self,
        new: &NewTransfer,
        parcel: Parcel,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        if !self.policy.allows() {
            return Err(Failure::Forbidden);
        }
        if !self.breaker().lets_pass(Instant::now()) {
            return Err(Failure::BreakerOpen);
        }
        let id = self.begin(new.clone()).await?;
        self.count().sent += 1;
        let begun = Instant::now();
        let until = deadline.min(begun + self.policy.attempt_time);
        let result = tokio::select! {
            biased;
            () = self.policy.forbidden() => Err(Failure::Forbidden),
            sent = timeout_at(until.into(), self.client.send(parcel)) => {
                sent.unwrap_or(Err(Failure::TimedOut))
            }
        };
        self.tell_breaker(&result);
        let outcome = result.as_ref().map_or_else(Failure::outcome, |answer| answer.error.digit());
        self.finish(id, outcome, begun.elapsed()).await;
        result
    }

    async fn begin(&self, new: NewTransfer) -> Result<i64, Failure> {
        let (transfers, budget) = (Arc::clone(&self.transfers), self.policy.daily_budget);
        match spawn_blocking(move || transfers.begin(&new, budget)).await {
            Ok(Ok(id)) => Ok(id),
            Ok(Err(TransferError::OutOfBudget)) => Err(Failure::OutOfBudget),
            Ok(Err(TransferError::Database(error))) => Err(Failure::NotRecorded(error.to_string())),
            Err(_) => Err(Failure::NotRecorded("a panic".to_owned())),
        }
    }

    /// What was begun is finished even where nobody waits for it any more.
    async fn finish(&self, id: i64, outcome: &'static str, elapsed: Duration) {
        let transfers = Arc::clone(&self.transfers);
        let finished = spawn_blocking(move || {
            if let Err(error) = transfers.finish(id, outcome, elapsed) {
                log::error!(outcome; "a transfer's end cannot be recorded: {error}");
            }
        });
        // A panic there was told by the panic hook.
        let _ = finished.await;
    }

    fn tell_breaker(&self, result: &Result<Answer, Failure>) {
        let (mut breaker, now) = (self.breaker(), Instant::now());
        match result {
            Err(Failure::WrongKey) => breaker.open_for(WRONG_KEY_PAUSE, now),
            Err(Failure::OutOfRequests(pause)) => {
                breaker.open_for(pause.unwrap_or(QUOTA_PAUSE), now);
            }
            Err(failure) if failure.is_the_services() => breaker.failed(now),
            Err(Failure::Forbidden) => {}
            Ok(_) | Err(_) => breaker.succeeded(),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
