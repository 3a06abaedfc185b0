//! What becomes of a document that was read here: it is judged, the cloud is asked where that is
//! allowed and needed, and the result lies in the outbox before anybody is told.

use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cic_kiosk::config::Config;
use cic_kiosk::decide::decide;
use cic_kiosk::page::Files;
use cic_kiosk::report::schema::{Answer, ErrorCode, Meta, PageQuality, Verdict};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;
use ulid::Ulid;

use crate::cloud::{Cloud, Tally};
use crate::fleet::counts::Scans;
use crate::outbox::{Notes, Outbox, OutboxError, Source};

/// For a look at the outbox. A disk that takes longer is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// Judges results and hands them on.
pub struct Desk {
    outbox: Outbox,
    settings: watch::Receiver<Arc<Config>>,
    cloud: RwLock<Option<Arc<Cloud>>>,
    scans: Scans,
}

/// What is known of a scan before it is read.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Its id.
    pub id: Ulid,
    /// What its document came through, if that is known.
    pub source: Option<Source>,
    /// When its document came.
    pub captured_at: Timestamp,
    /// What else is known.
    pub notes: Notes,
}

impl Scan {
    /// Of which nothing else is known.
    pub fn new(id: Ulid, source: Source, captured_at: Timestamp) -> Self {
        Self { id, source: Some(source), captured_at, notes: Notes::default() }
    }

    /// Writes down what the engine cannot know.
    fn describe(&self, meta: &mut Meta) {
        meta.captured_at = Some(self.captured_at.to_string());
        meta.captured_by = self.source.map(|source| source.as_str().to_owned());
        meta.interrupted = self.notes.interrupted;
        meta.consent.clone_from(&self.notes.consent);
        for (&page, findings) in &self.notes.asked {
            let place = meta.quality.binary_search_by_key(&page, |quality| quality.page);
            let place = place.unwrap_or_else(|place| {
                meta.quality.insert(place, PageQuality::found(page, &[]));
                place
            });
            meta.quality[place].asked_again = findings.clone();
        }
    }
}

impl Desk {
    /// Hands on to this outbox. Without a cloud, nobody else is asked.
    pub fn new(
        outbox: Outbox,
        settings: watch::Receiver<Arc<Config>>,
        cloud: Option<Arc<Cloud>>,
    ) -> Self {
        Self { outbox, settings, cloud: RwLock::new(cloud), scans: Scans::default() }
    }

    /// From now on this cloud is asked, or none; what is being sent to another one is cut off.
    pub fn ask(&self, cloud: Option<Arc<Cloud>>) {
        let mut asked = self.cloud.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = mem::replace(&mut *asked, cloud) {
            before.allow(false);
        }
    }

    /// Whether the outbox takes documents and results now.
    pub async fn accepts(&self) -> bool {
        let accepts = timeout(PATIENCE, self.outbox.accepts()).await;
        match accepts {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                log::debug!("{error}");
                false
            }
            Err(_) => false,
        }
    }

    /// What came of asking the cloud, where there is one to ask.
    pub fn cloud_tally(&self) -> Option<Tally> {
        self.cloud().map(|cloud| cloud.tally())
    }

    /// Attempts that the cloud's budget of today has had. Reads a file: blocks.
    pub fn cloud_used(&self) -> u64 {
        self.cloud().map_or(0, |cloud| cloud.used_today())
    }

    /// What is counted of scans.
    pub fn scans(&self) -> &Scans {
        &self.scans
    }

    /// Whether results go out with their pictures.
    pub fn wants_pictures(&self) -> bool {
        self.settings.borrow().mqtt.pictures
    }

    /// The document once more, where the cloud may have to be asked with it.
    pub fn copy_for_cloud(&self, document: &Files) -> Option<Files> {
        self.cloud().filter(|cloud| cloud.is_allowed()).map(|_| document.clone())
    }

    /// Judges an answer, and asks the cloud where that is needed; whatever happens there, the answer
    /// comes back, in the end for a person to review.
    pub async fn settle(&self, scan: &Scan, document: Option<Files>, mut answer: Answer) -> Answer {
        let settings = Arc::clone(&self.settings.borrow());
        let meta = answer.meta.get_or_insert_default();
        meta.kiosk_id = settings.kiosk.id.as_ref().map(ToString::to_string);
        scan.describe(meta);
        // A customer who was asked may have declined.
        let is_agreed = scan.notes.consent.as_ref().is_none_or(|consent| consent.cloud);
        let cloud = self.cloud().filter(|cloud| is_agreed && cloud.is_allowed()).zip(document);
        let decided = decide(&answer, &settings.decision, cloud.is_some());
        let answer = match cloud {
            Some((cloud, document)) if decided.verdict == Verdict::Cloud => {
                cloud.ask(&scan.id.to_string(), document, &decided, answer).await
            }
            _ => {
                decided.record(&mut answer);
                answer
            }
        };
        self.scans.count(scan.source, &answer);
        answer
    }

    /// Puts a result into the outbox whose document was never kept, because whoever sent it waits
    /// for the answer. What is no report concerns nobody else.
    ///
    /// # Errors
    /// Of the outbox; the result must then not be given out, so that its document is sent again.
    pub async fn put(&self, scan: &Scan, answer: Answer) -> Result<(), OutboxError> {
        if answer.error != ErrorCode::Success {
            return Ok(());
        }
        let payload = self.payload(answer);
        self.outbox.put(scan.id, payload).await.map(|_| ())
    }

    /// A result as it lies in the outbox, and goes out.
    pub fn payload(&self, mut answer: Answer) -> Vec<u8> {
        if !self.wants_pictures() {
            answer.drop_pictures();
        }
        answer.to_json()
    }

    fn cloud(&self) -> Option<Arc<Cloud>> {
        self.cloud.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
