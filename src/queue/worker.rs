//! Who reads documents: takes jobs from the queue, as many as it has threads for, and answers them.
//!
//! Promises:
//! - The broker is told that a job is done when it has the answer; the answer is said again until its
//!   submitter has said that it came, or nobody can want it any more.
//! - For as long as it holds a job it says so every few seconds.
//! - Memory holds a document for each thread and those of one connection more, and [`MAX_ANSWERS`] and
//!   [`MAX_ANSWER_BYTES`] of answers that nobody has acknowledged.
//! - An end in order reads what it holds to its end, for as long as it may, and gives back the rest.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::line::{Line, News, Purpose, Receipt};
use super::message::{self, Document, Figures, Hold, Role, State, Taken, json};
use super::{Access, Job, ROOT, SHARED, SIGN_OF_LIFE, STATE, Topic};
use crate::reading::{ReadError, Reader, Work};

/// Answers that wait to be acknowledged by their submitters.
const MAX_ANSWERS: usize = 256;

/// Bytes of these.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// An answer that its submitter does not acknowledge is said again after this time.
const AGAIN: Duration = Duration::from_secs(10);

/// Its submitter has given up after this time.
const WANTED: Duration = Duration::from_secs(15 * 60);

/// Jobs that may be held for each thread: those of a connection that broke, and those of the next one.
const HELD: usize = 2;

/// The rate is that of the last minute.
const MINUTE: Duration = Duration::from_secs(60);

const TICK: Duration = Duration::from_millis(500);

/// Reads what the queue has.
pub struct Worker {
    access: Access,
    reader: Arc<Reader>,
    threads: usize,
    slots: Arc<Semaphore>,
    line: Line<Sent>,
    held: HashMap<Job, Held>,
    answers: VecDeque<Answer>,
    finished: mpsc::UnboundedReceiver<Finished>,
    finish: mpsc::UnboundedSender<Finished>,
    since: String,
    started: Instant,
    done: u64,
    failed: u64,
    lately: VecDeque<Instant>,
    told: Option<(Bytes, Instant)>,
    said: Instant,
    is_ending: bool,
}

/// What a message is to us.
#[derive(Clone, PartialEq, Eq)]
enum Sent {
    Answer(Job),
    Other,
    Last,
}

struct Held {
    receipt: Receipt,
    /// Reading ends with it.
    _reading: AbortOnDropHandle<()>,
}

struct Answer {
    job: Job,
    payload: Bytes,
    made: Instant,
    /// On this connection.
    said: Option<Instant>,
}

struct Finished {
    job: Job,
    /// Nothing where somebody else should read it.
    payload: Option<Bytes>,
    failed: bool,
}

impl Worker {
    /// Begins to connect, within a runtime; reads as many documents at a time as the reader can.
    pub fn start(access: Access, reader: Arc<Reader>) -> Self {
        let threads = reader.threads().max(1);
        let subscriptions =
            vec![(jobs(), true), (format!("{ROOT}/settled/{}/+/+", access.name), false)];
        let receives = u16::try_from(threads).unwrap_or(u16::MAX);
        let purpose = Purpose { role: Role::Worker, subscriptions, receives, holds: true };
        let (finish, finished) = mpsc::unbounded_channel();
        let now = Instant::now();
        Self {
            line: Line::new(access.clone(), purpose),
            access,
            reader,
            threads,
            slots: Arc::new(Semaphore::new(threads)),
            held: HashMap::new(),
            answers: VecDeque::new(),
            finished,
            finish,
            since: message::now(),
            started: now,
            done: 0,
            failed: 0,
            lately: VecDeque::new(),
            told: None,
            said: now,
            is_ending: false,
        }
    }

    /// Works until `end`; then for `drain` at most, for what it holds.
    pub async fn run(mut self, end: impl Future<Output = ()>, drain: Duration) {
        self.work_until(end).await;
        self.is_ending = true;
        self.line.turn_away(&jobs());
        log::info!("stopping; {} documents are under way", self.held.len());
        let deadline = Instant::now() + drain;
        while !self.held.is_empty() && self.line.is_up() {
            if timeout_at(deadline, self.step()).await.is_err() {
                break;
            }
        }
        for job in self.held.keys().cloned().collect::<Vec<_>>() {
            self.say(&job, Hold::Returned);
        }
        let gone = json(&State::Offline { role: Role::Worker });
        self.line.leave(Sent::Last, Topic::State(self.access.name), gone).await;
    }

    async fn work_until(&mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return,
                () = self.step() => {}
            }
        }
    }

    /// What happens next. It can be given up at any time.
    async fn step(&mut self) {
        tokio::select! {
            news = self.line.news() => self.hear(news),
            Some(finished) = self.finished.recv() => self.finish(finished),
            () = sleep(TICK) => {}
        }
        self.remind();
        self.tell();
    }

    fn hear(&mut self, news: News<Sent>) {
        match news {
            News::Up => {
                self.told = None;
                self.tell();
                let held: Vec<_> = self.held.keys().cloned().collect();
                held.iter().for_each(|job| self.say(job, Hold::Held));
                self.answers.iter_mut().for_each(|answer| answer.said = None);
            }
            News::Down => {}
            // The broker has the answer: it need not keep the job.
            News::Acknowledged(Sent::Answer(job), _) => self.let_go(&job),
            News::Acknowledged(..) => {}
            News::Message(Topic::Job(job), payload, receipt) => self.take(job, &payload, receipt),
            News::Message(Topic::Settled(worker, job), ..) if worker == self.access.name => {
                self.answers.retain(|answer| answer.job != job);
                self.let_go(&job);
            }
            News::Message(_, _, receipt) => self.line.acknowledge(receipt),
        }
    }

    /// Takes in a job.
    fn take(&mut self, job: Job, payload: &Bytes, receipt: Receipt) {
        // It came once more: it is the one that is here.
        if let Some(held) = self.held.get_mut(&job) {
            let before = std::mem::replace(&mut held.receipt, receipt);
            self.line.acknowledge(before);
            return self.say(&job, Hold::Held);
        }
        if let Some(answer) = self.answers.iter_mut().find(|answer| answer.job == job) {
            answer.said = None;
            return self.line.acknowledge(receipt);
        }
        if self.is_ending || self.held.len() >= HELD * self.threads {
            self.say(&job, Hold::Returned);
            return self.line.acknowledge(receipt);
        }
        let Some(document) = message::document(&self.access, &job, payload) else {
            log::warn!(scan_id:% = job.id; "a job cannot be opened: it has another key, or is none");
            self.say(&job, Hold::Refused);
            return self.line.acknowledge(receipt);
        };
        self.say(&job, Hold::Held);
        let reading = read(
            self.access.clone(),
            Arc::clone(&self.reader),
            Arc::clone(&self.slots),
            job.clone(),
            document,
            self.finish.clone(),
        );
        let _reading = AbortOnDropHandle::new(tokio::spawn(reading));
        self.held.insert(job, Held { receipt, _reading });
    }

    /// A job is not held any more; if it is read still, that ends.
    fn let_go(&mut self, job: &Job) {
        if let Some(held) = self.held.remove(job) {
            self.line.acknowledge(held.receipt);
        }
    }

    fn finish(&mut self, finished: Finished) {
        let Finished { job, payload, failed } = finished;
        // Nobody wants it any more.
        if !self.held.contains_key(&job) {
            return;
        }
        let Some(payload) = payload else {
            self.say(&job, Hold::Returned);
            return self.let_go(&job);
        };
        self.done += 1;
        self.failed += u64::from(failed);
        let now = Instant::now();
        self.lately.push_back(now);
        self.answers.push_back(Answer { job, payload, made: now, said: None });
        let bytes = |answers: &VecDeque<Answer>| -> usize {
            answers.iter().map(|answer| answer.payload.len()).sum()
        };
        while self.answers.len() > 1
            && (self.answers.len() > MAX_ANSWERS || bytes(&self.answers) > MAX_ANSWER_BYTES)
        {
            self.answers.pop_front();
        }
    }

    /// Says what has to be said again.
    fn remind(&mut self) {
        let now = Instant::now();
        self.answers.retain(|answer| now < answer.made + WANTED);
        if !self.line.is_up() {
            return;
        }
        if now >= self.said + SIGN_OF_LIFE {
            self.said = now;
            let held: Vec<_> = self.held.keys().cloned().collect();
            held.iter().for_each(|job| self.say(job, Hold::Held));
        }
        let mut unfit = Vec::new();
        let is_due = |answer: &&mut Answer| answer.said.is_none_or(|said| now >= said + AGAIN);
        for answer in self.answers.iter_mut().filter(is_due) {
            answer.said = Some(now);
            let (job, payload) = (answer.job.clone(), answer.payload.clone());
            let topic = Topic::Answer(job.clone(), self.access.name.clone());
            match self.line.most(&topic) {
                Some(most) if payload.len() > most => unfit.push((job, payload.len(), most)),
                _ => self.line.publish(Sent::Answer(job), &topic, payload, Some(WANTED)),
            }
        }
        for (job, bytes, most) in unfit {
            self.answers.retain(|answer| answer.job != job);
            let reason = format!(
                "the answer's message has {bytes} bytes, and the broker takes {most} at most: raise \
                 its limit of a packet"
            );
            log::error!(scan_id:% = job.id; "{reason}");
            self.failed += 1;
            let error = Err(ReadError::Unable(reason));
            if let Ok(payload) = message::answer(&self.access, &job, error) {
                self.answers.push_back(Answer { job, payload, made: now, said: None });
            }
        }
    }

    fn say(&mut self, job: &Job, state: Hold) {
        let taken = Taken { worker: self.access.name.clone(), since: self.since.clone(), state };
        let topic = Topic::Taken(job.clone());
        self.line.publish(Sent::Other, &topic, json(&taken), Some(SIGN_OF_LIFE));
    }

    /// Renews what is kept of us at the broker.
    fn tell(&mut self) {
        let now = Instant::now();
        if !self.line.is_up() || self.told.as_ref().is_some_and(|(_, at)| now < *at + STATE) {
            return;
        }
        while self.lately.front().is_some_and(|at| now > *at + MINUTE) {
            self.lately.pop_front();
        }
        let time = now.duration_since(self.started).min(MINUTE).as_secs_f64().max(1.0);
        let per_minute = (self.lately.len() as f64 * MINUTE.as_secs_f64() / time).round();
        let (threads, held) = (self.threads, self.held.len());
        let (done, failed) = (self.done, self.failed);
        let figures = Figures::Worker { threads, held, done, failed, per_minute };
        let state = json(&State::online(&self.since, figures));
        if self.told.as_ref().is_none_or(|(told, _)| *told != state) {
            let topic = Topic::State(self.access.name.clone());
            self.line.publish(Sent::Other, &topic, state.clone(), None);
            self.told = Some((state, now));
        }
    }
}

/// What all workers listen to together.
fn jobs() -> String {
    format!("{SHARED}/{ROOT}/jobs/+/+")
}

/// Reads a document when there is a thread for it.
async fn read(
    access: Access,
    reader: Arc<Reader>,
    slots: Arc<Semaphore>,
    job: Job,
    document: Document,
    finish: mpsc::UnboundedSender<Finished>,
) {
    let Document { files, pictures, reading } = document;
    // Never closed.
    let Ok(slot) = slots.acquire_owned().await else { return };
    let work = Work { scan: job.id, files, ahead: Vec::new(), pictures: pictures.into() };
    let (done, was) = oneshot::channel();
    let begun = Instant::now();
    let read = reader.read_in_time(work, reading, move |told| {
        // The thread is free when the work is over, not when nobody waits for it any more.
        drop(slot);
        let _ = done.send(told);
    });
    let read = read.await;
    let failed = !matches!(&read, Ok(answer) if answer.error.digit() == "0");
    log::info!(scan_id:% = job.id, failed, elapsed_ms = begun.elapsed().as_millis() as u64; "read");
    let payload = if matches!(read, Err(ReadError::Interrupted)) {
        None
    } else {
        let of = job.clone();
        let sealed = spawn_blocking(move || {
            let mut was = was;
            message::answer(&access, &of, read.map(|answer| (answer, was.try_recv().ok())))
        });
        match sealed.await {
            Ok(Ok(payload)) => Some(payload),
            _ => None,
        }
    };
    let _ = finish.send(Finished { job, payload, failed });
}
