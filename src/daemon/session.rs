//! Pages of a source become scans: each is looked at, made safe, and read while the next one comes.
//!
//! Promises:
//! - A source is told of a page what became of it when it is safe. While it cannot be made safe, as on
//!   a full disk, it is kept, and a person is told why.
//! - A picture that is not good enough is kept until a better one of the same page takes its place,
//!   and costs no reading until it is clear that none will.
//! - A scan ends when its source or a person says so, or when nothing has come for
//!   `capture.idle_seconds`. While its source is at work, or waits for a person, that takes longer.
//! - Where there is a screen, its customer decides instead: nothing is taken without consent, and a
//!   scan of which all pages are there stays open until it is to be sent, or forgotten.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cic_kiosk::config::Config;
use cic_kiosk::finding::Finding;
use cic_kiosk::page::{Likeness, Limits};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::ahead::ReadAhead;
use crate::capture::{Captured, Decision, End, Event, OpenScan, Source, State, Taken, Tally};
use crate::outbox::{Notes, Outbox, OutboxError};
use crate::reading::{Look, Reader};
use crate::screen::Visits;

/// Between two questions to an outbox that does not take a page.
const AGAIN: Duration = Duration::from_secs(1);

/// So many times `capture.idle_seconds` a scan is kept open by a source that is at work, or waits for
/// a person: nobody comes back to a jam that has been there for so long.
const MOST_IDLE: u32 = 10;

/// What a session works with.
pub struct Session {
    /// Whose pages these are.
    pub source: Source,
    /// They come here.
    pub events: mpsc::Receiver<Event>,
    /// How their source is.
    pub state: watch::Receiver<State>,
    /// Where they are safe.
    pub outbox: Outbox,
    /// Looks at them.
    pub reader: Arc<Reader>,
    /// Reads them before their scan is complete.
    pub ahead: ReadAhead,
    /// What is set.
    pub settings: watch::Receiver<Arc<Config>>,
    /// Shows the scan that is open.
    pub shown: watch::Sender<Option<OpenScan>>,
    /// What came of the source.
    pub tally: Arc<Tally>,
    /// Where there is a screen: the visits of its customers, ...
    pub visits: Option<Visits>,
    /// ... and what they decide.
    pub decisions: mpsc::Receiver<Decision>,
    /// Nothing new is begun when this is cancelled.
    pub stop: CancellationToken,
    /// The scan that is open.
    pub open: Option<Open>,
}

/// A scan whose pages are still coming.
pub struct Open {
    id: Ulid,
    sheets: Vec<Sheet>,
    bytes: usize,
    /// When the last page came.
    since: Instant,
    idle_at: Instant,
}

/// What came of making a page safe.
enum Stored {
    /// It is.
    Safe,
    /// The program ends; nobody believes an answer any more.
    Ended,
    /// An operator has purged the scan.
    Purged,
}

/// A page as it lies in the outbox.
struct Sheet {
    likeness: Option<Likeness>,
    findings: Vec<Finding>,
    /// Times that it was asked for again, and why.
    asks: u32,
    asked: Vec<Finding>,
    /// Whether a better picture is waited for.
    awaited: bool,
}

impl Session {
    /// Works until it is told to stop.
    pub async fn run(&mut self) {
        loop {
            let idle_at = self.open.as_ref().map(|open| open.idle_at);
            let idle = async {
                match idle_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = idle => self.idle().await,
                Some(decision) = self.decisions.recv() => self.decided(decision).await,
                event = self.events.recv() => match event {
                    Some(Event::Page(captured, became)) => {
                        let taken = self.take(captured).await;
                        // A source that does not wait for the answer has ended.
                        let _ = became.send(taken);
                    }
                    Some(Event::End(end)) => self.end(end).await,
                    None => return self.stop.cancelled().await,
                }
            }
        }
    }

    async fn idle(&mut self) {
        let idle = self.settings.borrow().capture.idle_time();
        let works = matches!(*self.state.borrow(), State::Busy | State::Asking(_));
        match &mut self.open {
            // The screen knows when its customer has gone.
            Some(open) if self.visits.is_some() => open.idle_at = Instant::now() + idle,
            Some(open) if works && open.since.elapsed() < idle * MOST_IDLE => {
                open.idle_at = Instant::now() + idle;
            }
            _ => self.end(End::Person).await,
        }
    }

    async fn take(&mut self, captured: Captured) -> Taken {
        self.tally.pages.fetch_add(1, Ordering::Relaxed);
        let taken = self.keep(captured).await;
        if matches!(taken, Taken::Again(_)) {
            self.tally.asked_again.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    async fn keep(&mut self, captured: Captured) -> Taken {
        if self.visits.as_ref().is_some_and(|visits| !visits.admits(self.source)) {
            return Taken::Same;
        }
        let settings = Arc::clone(&self.settings.borrow());
        let Captured { picture, at } = captured;
        let (picture, look) = self.reader.look(picture).await;
        let look = look.unwrap_or_else(|error| {
            log::warn!(
                source = self.source.as_str();
                "a picture cannot be looked at now, and is read as it is: {error}"
            );
            Ok(Look::default())
        });
        let look = match look {
            Ok(look) => look,
            Err(error) => {
                log::warn!(source = self.source.as_str(); "a picture was not taken: {error}");
                self.show(Some(error.to_string()));
                if let Some(visits) = &self.visits {
                    visits.ask_again(self.sheets().len() + 1, Finding::Damaged);
                }
                return Taken::Again(vec![Finding::Damaged]);
            }
        };
        let before = self.same(look.likeness.as_ref());
        if let Some(index) = before
            && !self.sheets()[index].awaited
        {
            if let Some(open) = &mut self.open {
                open.postpone_end(settings.capture.idle_time());
            }
            return Taken::Same;
        }
        let bytes = picture.len();
        if before.is_none()
            && self.open.as_ref().is_some_and(|it| it.is_full(bytes, &settings.limits))
        {
            log::warn!(
                "a scan has as much as limits.max_pages and limits.max_bytes allow: it ends"
            );
            self.end(End::Person).await;
            // A customer decides first what becomes of those that there are.
            if self.open.is_some() {
                return Taken::Same;
            }
        }
        let (scan, number) = match (&self.open, before) {
            (Some(open), Some(index)) => (open.id, index + 1),
            (Some(open), None) => (open.id, open.sheets.len() + 1),
            (None, _) => (Ulid::new(), 1),
        };
        let Some(place) = NonZeroUsize::new(number) else { return Taken::Same };
        let is_better =
            before.is_none_or(|index| look.findings.len() <= self.sheets()[index].findings.len());
        if is_better {
            match self.store(scan, place, before.is_some(), at, &picture).await {
                Stored::Safe => {}
                Stored::Ended => return Taken::Kept,
                Stored::Purged => {
                    self.ahead.forget(scan);
                    if let Some(visits) = &self.visits {
                        visits.lost(scan);
                    }
                    self.open = None;
                    return Box::pin(self.keep(Captured { picture, at })).await;
                }
            }
        }
        log::info!(
            scan_id:% = scan, source = self.source.as_str(), number, bytes,
            findings = look.findings.len(), again = before.is_some();
            "page captured"
        );
        let idle = settings.capture.idle_time();
        let open = self.open.get_or_insert_with(|| Open::new(scan));
        open.postpone_end(idle);
        if before.is_none() {
            open.sheets.push(Sheet::new(look.likeness));
            open.bytes += bytes;
        }
        let Some(sheet) = open.sheets.get_mut(number - 1) else { return Taken::Kept };
        if is_better {
            sheet.findings.clone_from(&look.findings);
        }
        sheet.awaited = !look.findings.is_empty() && sheet.asks < settings.capture.asks;
        let wrong = look.findings.first().copied().filter(|_| sheet.awaited);
        let taken = if sheet.awaited {
            sheet.asks += 1;
            for finding in &look.findings {
                if !sheet.asked.contains(finding) {
                    sheet.asked.push(*finding);
                }
            }
            Taken::Again(look.findings)
        } else {
            if let (true, Some(page)) = (is_better, look.page) {
                self.ahead.begin(scan, place, page);
            }
            Taken::Kept
        };
        self.show(None);
        if let Some(visits) = &self.visits
            && (is_better || wrong.is_some())
            && !visits.page((scan, self.source), number, &picture, wrong)
        {
            // The customer has gone meanwhile.
            self.close(None).await;
            return Taken::Same;
        }
        taken
    }

    /// Makes a page safe, for as long as that takes.
    async fn store(
        &self,
        scan: Ulid,
        number: NonZeroUsize,
        again: bool,
        at: Timestamp,
        picture: &[u8],
    ) -> Stored {
        loop {
            let picture = picture.to_vec();
            let stored = if again {
                self.outbox.replace(scan, number, picture).await
            } else {
                self.outbox.add(scan, self.source, at, number, picture).await
            };
            match stored {
                Ok(()) => return Stored::Safe,
                Err(OutboxError::PageMissing { .. }) => return Stored::Purged,
                Err(error) => self.tell(scan, &error),
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = self.stop.cancelled() => return Stored::Ended,
            }
        }
    }

    fn tell(&self, scan: Ulid, error: &OutboxError) {
        let ask = error.to_string();
        let told = self.shown.borrow().as_ref().is_some_and(|it| it.ask.as_ref() == Some(&ask));
        if !told {
            log::warn!(scan_id:% = scan; "a page is not safe yet, and is kept until it is: {ask}");
            if let Some(visits) = &self.visits {
                visits.give_up();
            }
        }
        self.show(Some(ask));
    }

    /// Ends the scan, unless it is only that there is no more paper and a better picture of some page
    /// is waited for.
    async fn end(&mut self, end: End) {
        let waits = self.sheets().iter().any(|sheet| sheet.awaited);
        if end == End::Paper && waits {
            return;
        }
        let Some(open) = &self.open else {
            self.show(None);
            return;
        };
        match (&self.visits, end) {
            (Some(visits), End::Cancelled) => {
                visits.lost(open.id);
                self.close(None).await;
            }
            (Some(visits), End::Paper | End::Person) => visits.all_there(open.id),
            (None, End::Cancelled) => self.close(None).await,
            (None, End::Paper | End::Person) => self.close(Some(open.notes())).await,
        }
    }

    /// A customer has decided what becomes of the scan.
    async fn decided(&mut self, Decision { scan, send }: Decision) {
        match &self.open {
            Some(open) if open.id == scan => {
                let notes = open.notes();
                self.close(send.map(|consent| Notes { consent: Some(consent), ..notes })).await;
            }
            _ => {
                if let Some(visits) = &self.visits {
                    visits.lost(scan);
                }
            }
        }
    }

    /// Completes the scan with these notes, or else forgets it.
    async fn close(&mut self, notes: Option<Notes>) {
        let Some(open) = &self.open else { return };
        let scan = open.id;
        loop {
            let ended = match &notes {
                None => self.outbox.discard(scan).await,
                Some(notes) => self.outbox.complete(scan, notes).await,
            };
            match ended {
                Ok(()) => break,
                // Somebody has purged it.
                Err(OutboxError::Unknown { .. }) => break,
                Err(error) => self.tell(scan, &error),
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = self.stop.cancelled() => return,
            }
        }
        let (source, pages) = (self.source.as_str(), self.sheets().len());
        if notes.is_none() {
            self.ahead.forget(scan);
            log::info!(scan_id:% = scan, source, pages; "scan cancelled");
        } else {
            log::info!(scan_id:% = scan, source, pages; "accepted");
        }
        self.open = None;
        self.show(None);
    }

    fn sheets(&self) -> &[Sheet] {
        self.open.as_ref().map_or(&[], |open| &open.sheets)
    }

    /// The page of the scan that this is another picture of. A camera sees a page for as long as it
    /// lies there; what comes out of a feeder is another sheet, unless it was asked for again.
    fn same(&self, likeness: Option<&Likeness>) -> Option<usize> {
        let likeness = likeness?;
        let sees_again = self.source == Source::Camera;
        self.sheets().iter().position(|sheet| {
            (sheet.awaited || sees_again)
                && sheet.likeness.as_ref().is_some_and(|it| it.is_same_page(likeness))
        })
    }

    /// Shows the scan, and what is asked of a person: this, or else a page again.
    fn show(&self, ask: Option<String>) {
        let shown = self.open.as_ref().map(|open| OpenScan {
            scan_id: open.id,
            pages: open.sheets.len(),
            ask: ask.clone().or_else(|| open.ask()),
        });
        let nothing_yet = || OpenScan { scan_id: Ulid::nil(), pages: 0, ask: ask.clone() };
        let shown = shown.or_else(|| ask.is_some().then(nothing_yet));
        self.shown.send_replace(shown);
    }
}

impl Open {
    fn new(id: Ulid) -> Self {
        let now = Instant::now();
        Self { id, sheets: Vec::new(), bytes: 0, since: now, idle_at: now }
    }

    /// Whether a document with a page of so many bytes more would be refused by the engine.
    fn is_full(&self, bytes: usize, limits: &Limits) -> bool {
        self.sheets.len() >= limits.max_pages || self.bytes + bytes > limits.max_bytes
    }

    /// Something has come.
    fn postpone_end(&mut self, idle: Duration) {
        self.since = Instant::now();
        self.idle_at = self.since + idle;
    }

    fn ask(&self) -> Option<String> {
        let (index, sheet) = self.sheets.iter().enumerate().find(|(_, sheet)| sheet.awaited)?;
        let finding = sheet.findings.first()?;
        Some(format!("Page {} again, please. {finding}", index + 1))
    }

    fn notes(&self) -> Notes {
        let asked = self.sheets.iter().enumerate().filter(|(_, sheet)| !sheet.asked.is_empty());
        let asked = asked.map(|(index, sheet)| (index, sheet.asked.clone())).collect();
        Notes { asked, ..Notes::default() }
    }
}

impl Sheet {
    fn new(likeness: Option<Likeness>) -> Self {
        Self { likeness, findings: Vec::new(), asks: 0, asked: Vec::new(), awaited: false }
    }
}

#[cfg(test)]
mod tests;
