//! Brings results from their queue to the broker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use cic_kiosk::config::Mqtt;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::connection::{Connection, Message, Sent};
use super::dial::Dial;
use super::failure::Failure;
use super::post::Post;
use super::queue::{Queue, QueueError};
use crate::fleet::presence::Reason;
use crate::outbox::{Seq, Waiting};

/// Payloads on their way, in bytes; beyond it no further one is taken from the queue. A full window
/// of results without pictures is a tenth of it.
const MAX_BYTES_IN_FLIGHT: usize = 8 << 20;

/// Connections in a row that a message, alone on its way, must break before it is buried.
const STRIKES: u32 = 3;

/// Between two looks at the whole queue while nothing is on its way. Results are told of when they
/// come; this finds what could not be given before, and what was not told.
const RESCAN: Duration = Duration::from_secs(60);

/// For the acknowledgement of what is on its way when the program ends. What comes later is
/// published again after the next start.
const DRAIN: Duration = Duration::from_secs(5);

/// How long nothing is listened to after a broker sent more than is taken in: it would send it again
/// with each connection, and no result would pass.
const DEAF: Duration = Duration::from_secs(60 * 60);

/// Between two tries of what the queue failed to do: at first, and at most.
const QUEUE_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// How the connection does, for metrics and health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Since when there is a connection, if there is one.
    pub connected_since: Option<Timestamp>,
    /// Results on their way without an acknowledgement.
    pub in_flight: usize,
    /// Results that were acknowledged, since the start.
    pub delivered: u64,
    /// Results that became dead letters, since the start.
    pub buried: u64,
    /// Connections that were made, since the start.
    pub connections: u64,
    /// The settings that this connection was made with, or the last one.
    pub settings: Option<Mqtt>,
    /// What kind of failure the last one was, or is while there is no connection.
    pub last_failure: Option<&'static str>,
}

/// Brings results from their queue to the broker.
pub struct Publisher<Q> {
    queue: Arc<Q>,
    dial: Dial,
    post: Post,
    newest: watch::Receiver<Seq>,
    state: watch::Sender<LinkState>,
    stop: CancellationToken,
    end: CancellationToken,
    deaf_until: Option<Instant>,
    suspects: Suspects,
    /// The reason that was told; it is told again only after a change.
    told: Option<String>,
}

/// Results that were on their way when a connection broke. Each is sent alone, until it is known
/// which of them the broker does not bear.
#[derive(Debug, Default)]
struct Suspects {
    left: VecDeque<Seq>,
    /// Connections in a row that the first one broke alone.
    strikes: u32,
}

/// How far the queue was read on this connection.
struct Cursor {
    /// The newest result when the connection was made: what is newer is live, the others backlog.
    line: Seq,
    live: Seq,
    backlog: Option<Seq>,
    backlog_left: bool,
}

impl Cursor {
    fn new(newest: Seq) -> Self {
        Self { line: newest, live: newest, backlog: None, backlog_left: true }
    }
}

impl<Q: Queue> Publisher<Q> {
    /// A publisher that does nothing until it runs; `state` is kept up to date then.
    pub fn new(queue: Arc<Q>, dial: Dial, post: Post, state: watch::Sender<LinkState>) -> Self {
        let newest = queue.subscribe();
        Self {
            queue,
            dial,
            post,
            newest,
            state,
            stop: CancellationToken::new(),
            end: CancellationToken::new(),
            deaf_until: None,
            suspects: Suspects::default(),
            told: None,
        }
    }

    /// Publishes until it is told to stop; then waits a little for what is on its way, says that
    /// the kiosk goes, and leaves. If `end` is cancelled, too, the program ends; otherwise the kiosk
    /// will connect again.
    pub async fn run(mut self, stop: CancellationToken, end: CancellationToken) {
        self.stop = stop;
        self.end = end;
        let retry = self.dial.settings.retry_times();
        let mut pauses = pauses(retry);
        while !self.stop.is_cancelled() {
            let (begun, before) = (Instant::now(), self.state.borrow().delivered);
            let outcome = self.connect_and_serve().await;
            self.state.send_modify(|state| (state.connected_since, state.in_flight) = (None, 0));
            let Err(failure) = outcome else { return };
            let was_useful = self.state.borrow().delivered > before;
            if was_useful || begun.elapsed() > retry.1 {
                pauses = self::pauses(retry);
                self.told = None;
            }
            self.tell(&failure);
            self.pause(&mut pauses).await;
        }
    }

    /// Serves one connection until it breaks, or until the end of the program.
    async fn connect_and_serve(&mut self) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let mut connection = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            opened = Connection::open(&self.dial, &self.post, !self.is_deaf()) => opened?,
        };
        log::info!(broker:% = self.dial.settings.broker; "connected with the broker");
        self.state.send_modify(|state| {
            state.connected_since = Some(connection.since);
            state.connections += 1;
            state.settings = Some(self.dial.settings.clone());
        });
        match self.serve(&mut connection).await {
            Ok(()) => {
                let ends = self.end.is_cancelled();
                let reason = if ends { Reason::Stopped } else { Reason::Reconnecting };
                let acknowledged = connection.close(reason).await;
                self.delivered(acknowledged).await;
                Ok(())
            }
            Err(failure) => {
                self.suspect(connection, &failure).await;
                Err(failure)
            }
        }
    }

    async fn serve(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let stop = self.stop.clone();
        let mut cursor = Cursor::new(*self.newest.borrow_and_update());
        let (mut birth, mut notes) = (self.post.birth(), self.post.notes());
        let mut filters = self.post.filters();
        let mut scanned = Instant::now();
        while !stop.is_cancelled() {
            // Not while it is looked for what breaks connections: it would be blamed for a note.
            if self.suspects.left.is_empty() {
                notes.mark_unchanged();
                filters.mark_unchanged();
                connection.tell()?;
            }
            self.fill(connection, &mut cursor).await?;
            let is_result = |sent: &&Sent| matches!(sent.message, Message::Result { .. });
            let results = connection.in_flight().iter().filter(is_result).count();
            self.state.send_modify(|state| state.in_flight = results);
            let (is_idle, has_room) =
                (connection.in_flight().is_empty(), self.room(connection) > 0);
            tokio::select! {
                () = stop.cancelled() => {}
                acknowledged = connection.acknowledged() => self.delivered(acknowledged?).await,
                Ok(()) = self.newest.changed(), if has_room && self.suspects.left.is_empty() => {}
                Ok(()) = notes.changed() => {}
                Ok(()) = filters.changed() => {}
                Ok(()) = birth.changed() => {}
                () = sleep_until(scanned + RESCAN), if is_idle => {
                    cursor = Cursor::new(*self.newest.borrow());
                    scanned = Instant::now();
                }
            }
        }
        if self.end.is_cancelled() {
            connection.tell_stopping()?;
        }
        self.drain(connection).await
    }

    /// Waits for what is on its way.
    async fn drain(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let deadline = Instant::now() + DRAIN;
        while !connection.in_flight().is_empty() {
            match timeout_at(deadline, connection.acknowledged()).await {
                Ok(acknowledged) => self.delivered(acknowledged?).await,
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// How many more results may be on their way.
    fn room(&self, connection: &Connection) -> usize {
        let in_flight = connection.in_flight();
        let bytes: usize = in_flight.iter().map(|sent| sent.bytes).sum();
        let window = usize::from(self.dial.settings.window.get());
        if bytes < MAX_BYTES_IN_FLIGHT { window.saturating_sub(in_flight.len()) } else { 0 }
    }

    /// Takes from the queue what may be on its way.
    async fn fill(
        &mut self,
        connection: &mut Connection,
        cursor: &mut Cursor,
    ) -> Result<(), Failure> {
        while !self.suspects.left.is_empty() {
            if !connection.in_flight().is_empty() {
                return Ok(());
            }
            self.send_suspect(connection).await?;
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
        loop {
            let room = self.room(connection);
            if room == 0 || self.stop.is_cancelled() {
                return Ok(());
            }
            let taken = self.take(cursor, room).await;
            if taken.is_empty() {
                return Ok(());
            }
            for waiting in taken {
                self.send(connection, waiting).await?;
            }
        }
    }

    /// The next results: live ones first.
    async fn take(&mut self, cursor: &mut Cursor, most: usize) -> Vec<Waiting> {
        let newest = *self.newest.borrow_and_update();
        if cursor.live < newest {
            let live = self.waiting(Some(cursor.live), most).await;
            cursor.live = live.last().map_or(newest, |last| last.seq);
            if !live.is_empty() {
                return live;
            }
        }
        if !cursor.backlog_left {
            return Vec::new();
        }
        let mut backlog = self.waiting(cursor.backlog, most).await;
        backlog.retain(|waiting| waiting.seq <= cursor.line);
        cursor.backlog = backlog.last().map(|last| last.seq).or(cursor.backlog);
        cursor.backlog_left = !backlog.is_empty();
        backlog
    }

    async fn waiting(&self, after: Option<Seq>, most: usize) -> Vec<Waiting> {
        let waiting = self.insist("read results", || self.queue.waiting(after, most)).await;
        waiting.unwrap_or_default()
    }

    async fn send(&mut self, connection: &mut Connection, waiting: Waiting) -> Result<(), Failure> {
        let allowed = self.dial.settings.max_payload_bytes.map_or(usize::MAX, Into::into);
        let limit = connection.max_payload(waiting.scan_id).min(allowed);
        let bytes = waiting.payload.len();
        if bytes > limit {
            let reason = format!("{bytes} bytes are more than the {limit} that may be published");
            self.bury(waiting.seq, waiting.scan_id, &reason).await;
            return Ok(());
        }
        connection.publish(waiting)
    }

    /// Sends the first suspect, alone. Something was acknowledged on this connection just before:
    /// the message of presence, or another suspect.
    async fn send_suspect(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        let Some(&seq) = self.suspects.left.front() else { return Ok(()) };
        match self.insist("read a result", || self.queue.get(seq)).await {
            // Sent, it stays a suspect until it is acknowledged.
            Some(Some(waiting)) => {
                self.send(connection, waiting).await?;
                if connection.in_flight().is_empty() {
                    self.suspects.clear_first();
                }
            }
            // It does not wait any more.
            Some(None) => self.suspects.clear_first(),
            // The program ends.
            None => {}
        }
        Ok(())
    }

    /// Marks what the broker has acknowledged.
    async fn delivered(&mut self, acknowledged: Vec<Sent>) {
        let mut seqs = Vec::with_capacity(acknowledged.len());
        for sent in &acknowledged {
            let Message::Result { seq, scan_id } = sent.message else { continue };
            seqs.push(seq);
            let elapsed_ms = sent.at.elapsed().as_millis() as u64;
            log::info!(scan_id:% = scan_id, bytes = sent.bytes, elapsed_ms; "delivered");
            if self.suspects.left.front() == Some(&seq) {
                self.suspects.clear_first();
            }
        }
        if seqs.is_empty() {
            return;
        }
        let count = seqs.len() as u64;
        let marked =
            self.insist("mark results as delivered", || self.queue.delivered(seqs.clone())).await;
        if marked.is_some() {
            self.state.send_modify(|state| state.delivered += count);
        }
    }

    async fn bury(&mut self, seq: Seq, scan: Ulid, reason: &str) {
        let buried = self.insist("bury a result", || self.queue.bury(seq, reason)).await;
        if buried.is_some() {
            log::error!(scan_id:% = scan; "the result became a dead letter: {reason}");
            self.state.send_modify(|state| state.buried += 1);
        }
    }

    /// A connection has broken: whatever was on its way may be the reason.
    async fn suspect(&mut self, connection: Connection, failure: &Failure) {
        let results = connection.in_flight().iter().filter_map(|sent| match sent.message {
            Message::Result { seq, scan_id } => Some((seq, scan_id)),
            Message::Presence | Message::Note(..) => None,
        });
        let in_flight: Vec<_> = results.collect();
        drop(connection);
        if !failure.may_be_the_messages() {
            self.suspects.strikes = 0;
            return;
        }
        match (self.suspects.left.front(), in_flight.first()) {
            (_, None) => {}
            (None, Some(_)) => {
                self.suspects.left = in_flight.into_iter().map(|(seq, _)| seq).collect();
            }
            (Some(_), Some(&(seq, scan))) => {
                self.suspects.strikes += 1;
                if self.suspects.strikes >= STRIKES {
                    let reason = format!("sent alone, {STRIKES} times in a row: {failure}");
                    self.bury(seq, scan, &reason).await;
                    self.suspects.clear_first();
                }
            }
        }
    }

    /// Tries until the queue does it, or until the end of the program.
    async fn insist<T, F>(&self, what: &str, attempt: impl Fn() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, QueueError>>,
    {
        let mut pauses = pauses(QUEUE_RETRY);
        loop {
            match attempt().await {
                Ok(done) => return Some(done),
                Err(error) => log::error!("cannot {what}: {error}"),
            }
            if self.stop.is_cancelled() {
                return None;
            }
            self.pause(&mut pauses).await;
        }
    }

    fn is_deaf(&self) -> bool {
        self.deaf_until.is_some_and(|until| Instant::now() < until)
    }

    async fn pause(&self, pauses: &mut ExponentialBackoff) {
        let pause = pauses.next().unwrap_or(QUEUE_RETRY.1);
        // The end of the program ends it early.
        let _ = tokio::time::timeout(pause, self.stop.cancelled()).await;
    }

    /// Once for each change: a broker may be away for days.
    fn tell(&mut self, failure: &Failure) {
        let broker = &self.dial.settings.broker;
        let reason = failure.reason();
        if self.told.as_ref() == Some(&reason) {
            log::debug!(broker:% = broker; "still: {failure}");
        } else {
            log::warn!(broker:% = broker, kind = failure.kind(); "{failure}; trying again");
        }
        if matches!(failure, Failure::TooMuch) {
            self.deaf_until = Some(Instant::now() + DEAF);
        }
        self.told = Some(reason);
        self.state.send_modify(|state| state.last_failure = Some(failure.kind()));
    }
}

impl Suspects {
    fn clear_first(&mut self) {
        self.left.pop_front();
        self.strikes = 0;
    }
}

/// Pauses that double from `min` to `max`, each with up to as much again by chance, so that the
/// kiosks of a branch do not all come at once.
fn pauses((min, max): (Duration, Duration)) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(min)
        .with_max_delay(max)
        .with_jitter()
        .without_max_times()
        .build()
}
