//! The handle that a daemon works with.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cic_kiosk::config;
use cic_kiosk::page::Files;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use ulid::Ulid;

use super::link::{self, Link};
use super::news::News;
use super::pages::{self, Notes, packed, unpacked};
use super::store::{self, New, Payload};
use super::writer::Writer;
use super::{
    Claim, Clock, DAMAGED, Document, Fault, Figures, Inner, Kind, Outbox, OutboxError, SealingKeys,
    Seq, Source, Tidied, Waiting, file,
};

/// Bytes that [`Outbox::waiting`] goes on after its first result.
const WINDOW_BYTES: usize = 4 << 20;

impl Outbox {
    /// Opens the outbox of a state folder, makes it where there is none, and repairs it where it is
    /// damaged. It blocks, for a second at most unless it has to repair.
    ///
    /// # Errors
    /// [`OutboxError::InUse`] beside another daemon; whatever the disk has against it.
    pub fn open(
        state: &Path,
        keys: SealingKeys,
        limits: config::Outbox,
    ) -> Result<Self, OutboxError> {
        Self::with_clock(state, keys, limits, Box::new(Timestamp::now))
    }

    pub(super) fn with_clock(
        state: &Path,
        keys: SealingKeys,
        limits: config::Outbox,
        clock: Clock,
    ) -> Result<Self, OutboxError> {
        let lock = file::lock(state)?;
        let path = file::path_in(state);
        file::prepare(&path, &keys)?;
        let mut reader = Link::new(path.clone());
        let news = News::new(reader.connection()?).map_err(|reason| reader.failed(reason))?;
        let news = Arc::new(news);
        let writer = Writer::start(Link::new(path), Arc::clone(&news));
        let inner = Inner {
            keys,
            limits: RwLock::new(limits),
            clock,
            reader: Arc::new(Mutex::new(reader)),
            news,
            in_work: Arc::default(),
            writer: writer.map_err(OutboxError::Thread)?,
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes a document in. When this returns `Ok` it is on the disk, and its source may forget it.
    /// Who does not wait for that does not know; it may be there. Again with the same scan it changes
    /// nothing.
    ///
    /// # Errors
    /// [`OutboxError::Full`] at a limit; [`OutboxError::NotStored`] where the disk fails.
    pub async fn accept(
        &self,
        scan_id: Ulid,
        source: Source,
        accepted_at: Timestamp,
        document: impl Into<Files>,
    ) -> Result<(), OutboxError> {
        let document = packed(&document.into());
        let mut new = self.sealed(Kind::Document, scan_id, document).await?;
        new.since = store::milliseconds(accepted_at);
        new.source = Some(source);
        self.admitted(new).await?;
        Ok(())
    }

    /// Takes a result in that has no document here. Again with the same scan it changes nothing.
    ///
    /// # Errors
    /// As [`Outbox::accept`].
    pub async fn put(&self, scan_id: Ulid, result: Vec<u8>) -> Result<Seq, OutboxError> {
        let new = self.sealed(Kind::Result, scan_id, result).await?;
        Ok(Seq(self.admitted(new).await?))
    }

    /// The next document that nobody in this process has yet, oldest first, or none. That it was
    /// begun is on the disk before it is handed out; one that was begun `most_attempts` times
    /// becomes a dead letter instead, and the next is tried. It stays in work until
    /// [`Outbox::finish`], [`Outbox::put_back`], [`Outbox::release`] or [`Outbox::bury_document`]. Whoever does not wait
    /// for the answer leaves the document as it was.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn take(&self, most_attempts: u32) -> Result<Option<Document>, OutboxError> {
        let (asker, answer) = oneshot::channel();
        let outbox = self.clone();
        tokio::spawn(async move {
            let taken = outbox.take_next(most_attempts).await;
            // Unsent or unread, it is put back.
            let _ = asker.send(taken.map(|document| Offer { outbox, document }));
        });
        let mut offer = answer.await.map_err(|_| OutboxError::Closed)??;
        Ok(offer.document.take())
    }

    async fn take_next(&self, most_attempts: u32) -> Result<Option<Document>, OutboxError> {
        loop {
            let Some(mut claim) = self.claim(most_attempts).await? else { return Ok(None) };
            let id = claim.taken.id;
            let payload =
                self.read(move |connection| Ok(store::payload_of(connection, id)?)).await?;
            let opened = match payload {
                Some(payload) => self.opened(Kind::Document, payload).await?,
                None => None,
            };
            let opened = opened.and_then(|(scan_id, bytes)| Some((scan_id, unpacked(bytes)?)));
            match opened {
                Some((scan_id, files)) => {
                    claim.keep();
                    return Ok(Some(Document {
                        scan_id,
                        source: Source::named(&claim.taken.source),
                        accepted_at: store::timestamp(claim.taken.accepted_at),
                        attempt: claim.taken.attempt,
                        notes: Notes::from_stored(claim.taken.notes.take()),
                        files,
                    }));
                }
                None => self.bury_entry(id, DAMAGED.to_owned()).await?,
            };
        }
    }

    async fn claim(&self, most_attempts: u32) -> Result<Option<Claim>, OutboxError> {
        let keys = self.inner.keys.clone();
        let in_work = Arc::clone(&self.inner.in_work);
        let now = self.now();
        self.write(0, move |connection| {
            let mut scans = in_work.scans();
            let taken = store::take(connection, &keys, &scans, most_attempts, now)?;
            Ok(taken.map(|taken| {
                scans.insert(taken.scan_id.clone());
                Claim { taken, in_work: Arc::clone(&in_work), kept: false }
            }))
        })
        .await
    }

    /// Gives a document back that could not be finished through no fault of its own: the attempt does
    /// not count, and it can be taken again.
    ///
    /// # Errors
    /// Where the disk fails; it can be taken again all the same, with one attempt more.
    pub async fn put_back(&self, scan_id: Ulid) -> Result<(), OutboxError> {
        let scan = scan_id.to_string();
        let given = self.write(0, move |connection| Ok(store::put_back(connection, &scan)?)).await;
        self.let_go(scan_id);
        self.inner.news.document_again();
        given.map(|_| ())
    }

    /// Gives a document back that could not be finished; the attempt counts.
    pub fn release(&self, scan_id: Ulid) {
        self.let_go(scan_id);
        self.inner.news.document_again();
    }

    /// Puts a result in the place of its document, whatever the limits. Again with the same scan it
    /// changes nothing.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`] where there is neither a document nor a result of this scan;
    /// [`OutboxError::NotStored`] where the disk fails: the document is still there, and in work.
    pub async fn finish(&self, scan_id: Ulid, result: Vec<u8>) -> Result<Seq, OutboxError> {
        let new = self.sealed(Kind::Result, scan_id, result).await?;
        let bytes = new.sealed.len();
        let seq = self.write(bytes, move |connection| store::finish(connection, &new)).await?;
        self.let_go(scan_id);
        Ok(seq)
    }

    /// Makes a document a dead letter. The reason is shown to operators: it never holds a value from
    /// the document.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`] where there is none; where the disk fails.
    pub async fn bury_document(&self, scan_id: Ulid, reason: &str) -> Result<(), OutboxError> {
        let (scan, reason, now) = (scan_id.to_string(), reason.to_owned(), self.now());
        self.write(0, move |connection| {
            let id = store::find(connection, Kind::Document, &scan)?;
            match id {
                Some(id) if store::bury(connection, id, &reason, now)? > 0 => Ok(()),
                _ => Err(OutboxError::Unknown { what: scan }.into()),
            }
        })
        .await?;
        self.let_go(scan_id);
        Ok(())
    }

    /// Results that wait behind this one, oldest first: as many, and after the first no more than
    /// fit 4 MiB. One that does not open becomes a dead letter; one whose key is not here is passed
    /// over.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn waiting(
        &self,
        after: Option<Seq>,
        most: usize,
    ) -> Result<Vec<Waiting>, OutboxError> {
        let keys = self.inner.keys.clone();
        let after = after.map_or(0, |seq| seq.0);
        let (waiting, damaged) =
            self.read(move |connection| Ok(window(connection, &keys, after, most)?)).await?;
        for id in damaged {
            // What opens is not held up by what does not.
            if let Err(error) = self.bury_entry(id, DAMAGED.to_owned()).await {
                log::warn!("a damaged result was not set aside: {error}");
            }
        }
        Ok(waiting)
    }

    /// The result at this place, if it waits and opens.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn get(&self, seq: Seq) -> Result<Option<Waiting>, OutboxError> {
        let payload = self.read(move |connection| Ok(store::result(connection, seq)?)).await?;
        let Some(payload) = payload else { return Ok(None) };
        let opened = self.opened(Kind::Result, payload).await?;
        Ok(opened.map(|(scan_id, payload)| Waiting { seq, scan_id, payload }))
    }

    /// Notes that the broker has acknowledged these.
    ///
    /// # Errors
    /// Where the disk fails: they are then still to be delivered.
    pub async fn delivered(&self, seqs: Vec<Seq>) -> Result<(), OutboxError> {
        let now = self.now();
        self.write(0, move |connection| Ok(store::delivered(connection, &seqs, now)?)).await
    }

    /// Makes a result a dead letter, as one that the broker will never take. The reason is shown to
    /// operators.
    ///
    /// # Errors
    /// [`OutboxError::Unknown`] where it does not wait; where the disk fails.
    pub async fn bury(&self, seq: Seq, reason: &str) -> Result<(), OutboxError> {
        match self.bury_entry(seq.0, reason.to_owned()).await? {
            0 => Err(OutboxError::Unknown { what: format!("result {seq}") }),
            _ => Ok(()),
        }
    }

    /// The newest result's place, whenever there is a newer one. There may be several between two.
    pub fn subscribe(&self) -> watch::Receiver<Seq> {
        self.inner.news.results()
    }

    /// Changes whenever there may be a document to take.
    pub fn documents(&self) -> watch::Receiver<i64> {
        self.inner.news.documents()
    }

    /// Waits until damage of the file is met at work, for as long as that takes. Opened anew, the
    /// outbox saves what can be saved.
    pub async fn damaged(&self) {
        // The sender lives as long as `self`.
        let _ = self.inner.news.damage().wait_for(|damaged| *damaged).await;
    }

    /// Erases what was delivered long enough ago, and gives the disk back what the file does not
    /// need. To be called every few minutes.
    ///
    /// # Errors
    /// Where the disk fails.
    pub async fn tidy(&self, now: Timestamp) -> Result<Tidied, OutboxError> {
        let keep = i64::try_from(self.limits().keep_delivered().as_millis());
        let now = store::milliseconds(now);
        let until = now.saturating_sub(keep.unwrap_or(i64::MAX));
        self.write(0, move |connection| Ok(store::deny_the_future(connection, now)?)).await?;
        let abandoned = self.write(0, move |connection| pages::abandon(connection, now)).await?;
        if abandoned > 0 {
            log::error!(
                "{abandoned} scans were never completed; `cic-kiosk outbox list` shows them"
            );
        }
        let mut tidied = Tidied::default();
        // In many steps, so that others come in between.
        loop {
            let erase = move |connection: &_| Ok(store::erase_delivered(connection, until)?);
            match self.write(0, erase).await? {
                0 => break,
                erased => tidied.erased += erased,
            }
        }
        let give_back = |connection: &_| Ok(store::give_back(connection)?);
        while self.write(0, give_back).await? {}
        self.read(|connection| Ok(link::checkpoint_some(connection)?)).await?;
        Ok(tidied)
    }

    /// From now on these limits hold.
    pub fn set_limits(&self, limits: config::Outbox) {
        *self.inner.limits.write().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Whether a document would be taken in now. Where the disk failed, it is tried.
    ///
    /// # Errors
    /// Why it would not.
    pub async fn accepts(&self) -> Result<(), OutboxError> {
        if self.inner.news.does_disk_fail() {
            let tried = self.write(0, |connection| Ok(store::touch(connection)?)).await;
            tried.map_err(|_| OutboxError::Failing)?;
            self.inner.news.disk_fails(false);
        }
        let (limits, now) = (self.limits(), self.now());
        self.read(move |connection| store::check(connection, &limits, now)).await
    }

    /// How things stand. It is cheap, however much there is.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn figures(&self) -> Result<Figures, OutboxError> {
        let (keys, now) = (self.inner.keys.clone(), self.now());
        self.read(move |connection| Ok(store::figures(connection, &keys, now)?)).await
    }

    /// Writes what waits to be written, and closes the file. What is asked of other copies of this
    /// handle afterwards fails.
    pub async fn close(self) {
        let end = move || {
            self.inner.writer.end();
            self.reader().close();
        };
        if spawn_blocking(end).await.is_err() {
            log::error!("the outbox was not closed as it should be");
        }
    }

    async fn admitted(&self, new: New) -> Result<i64, OutboxError> {
        let (limits, now) = (self.limits(), self.now());
        let bytes = new.sealed.len();
        self.write(bytes, move |connection| {
            for kind in [Kind::Result, new.kind] {
                if let Some(id) = store::find(connection, kind, &new.scan_id)? {
                    return Ok(id);
                }
            }
            store::admit(connection, &limits, now, bytes)?;
            Ok(store::insert(connection, &new)?)
        })
        .await
    }

    async fn sealed(
        &self,
        kind: Kind,
        scan_id: Ulid,
        payload: Vec<u8>,
    ) -> Result<New, OutboxError> {
        let (keys, since) = (self.inner.keys.clone(), self.now());
        let scan_id = scan_id.to_string();
        blocking(move || {
            let sealed = keys.seal(kind, &scan_id, payload)?;
            let key = keys.current().clone();
            Ok(New { kind, scan_id, since, source: None, key, sealed })
        })
        .await
    }

    /// `None` where it is not what was sealed.
    async fn opened(
        &self,
        kind: Kind,
        payload: Payload,
    ) -> Result<Option<(Ulid, Vec<u8>)>, OutboxError> {
        let keys = self.inner.keys.clone();
        blocking(move || Ok(open(&keys, kind, payload))).await
    }

    async fn bury_entry(&self, id: i64, reason: String) -> Result<usize, OutboxError> {
        let now = self.now();
        self.write(0, move |connection| Ok(store::bury(connection, id, &reason, now)?)).await
    }

    pub(super) fn limits(&self) -> config::Outbox {
        self.inner.limits.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, OutboxError> {
        self.inner.writer.change(bytes, work).await
    }

    pub(super) fn keys(&self) -> SealingKeys {
        self.inner.keys.clone()
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let (reader, news) = (Arc::clone(&self.inner.reader), Arc::clone(&self.inner.news));
        blocking(move || {
            let mut link = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let done = link.connection().map_err(Ok).and_then(|it| work(it).map_err(Err));
            done.map_err(|failed| {
                let error = match failed {
                    Ok(error) => error,
                    Err(Fault::Sqlite(reason)) => link.failed(reason),
                    Err(Fault::Refused(error)) => return error,
                };
                news.hear(&error);
                error.into()
            })
        })
        .await
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, Link> {
        self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self, scan_id: Ulid) {
        self.inner.in_work.scans().remove(&scan_id.to_string());
    }

    pub(super) fn now(&self) -> i64 {
        store::milliseconds((self.inner.clock)())
    }
}

/// A document on its way to who has asked for it.
struct Offer {
    outbox: Outbox,
    document: Option<Document>,
}

impl Drop for Offer {
    fn drop(&mut self) {
        if let Some(document) = self.document.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let outbox = self.outbox.clone();
            runtime.spawn(async move {
                if let Err(error) = outbox.put_back(document.scan_id).await {
                    log::warn!("a document was not put back: {error}");
                }
            });
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OutboxError> + Send + 'static,
) -> Result<T, OutboxError> {
    // It fails only where the runtime ends.
    spawn_blocking(work).await.map_err(|_| OutboxError::Closed)?
}

/// What can be opened behind this place, and the ids of what cannot.
fn window(
    connection: &Connection,
    keys: &SealingKeys,
    mut after: i64,
    most: usize,
) -> rusqlite::Result<(Vec<Waiting>, Vec<i64>)> {
    let (mut waiting, mut damaged, mut bytes) = (Vec::new(), Vec::new(), 0);
    while waiting.len() < most
        && let Some((id, payload)) = store::next_result(connection, keys, after)?
    {
        after = id;
        match payload.and_then(|payload| open(keys, Kind::Result, payload)) {
            Some((scan_id, payload)) => {
                bytes += payload.len();
                if bytes > WINDOW_BYTES && !waiting.is_empty() {
                    break;
                }
                waiting.push(Waiting { seq: Seq(id), scan_id, payload });
            }
            None => damaged.push(id),
        }
    }
    Ok((waiting, damaged))
}

/// `None` where it is not what was sealed. That its key is here was asked before, of its entry.
fn open(keys: &SealingKeys, kind: Kind, payload: Payload) -> Option<(Ulid, Vec<u8>)> {
    let scan_id = payload.scan_id.parse().ok()?;
    let opened = keys.open(kind, &payload.scan_id, payload.sealed);
    Some((scan_id, opened.ok()?))
}
