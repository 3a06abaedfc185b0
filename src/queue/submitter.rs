//! Who has documents: puts them to the queue, and waits for their answers.

use std::time::Duration;

use bytes::Bytes;
use cic_kiosk::engine::Pictures;
use cic_kiosk::report::schema::Answer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval};
use tokio_util::task::AbortOnDropHandle;
use ulid::Ulid;

use super::ledger::{End, Entry, Ledger, Step};
use super::line::{Acknowledged, Line, News, Purpose};
use super::message::{
    self, Dead, Document, Figures, Hold, Outcome, Role, State, Taken, json, note,
};
use super::{Access, Job, ROOT, STATE, Topic};
use crate::reading::{Done, ReadError, Work};
use crate::worker::checked;

/// Messages that come faster than they are taken.
const RECEIVES: u16 = 64;

/// How often is looked for what time brings.
const TICK: Duration = Duration::from_millis(500);

/// Puts documents to the queue; any number at a time. Its part in the queue ends with it.
pub struct Submitter {
    access: Access,
    max_pages: usize,
    orders: mpsc::UnboundedSender<Order>,
    workers: watch::Receiver<Option<usize>>,
    _actor: AbortOnDropHandle<()>,
}

enum Order {
    Put { id: Ulid, ask: Ask, reading: Duration, patience: Duration },
    Forget(Ulid),
    Leave(oneshot::Sender<()>),
}

struct Ask {
    payload: Bytes,
    reply: oneshot::Sender<Result<Outcome, ReadError>>,
}

/// How long a document may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To be read, once a worker has it.
    pub reading: Duration,
    /// To wait for a worker, while none takes anything.
    pub waiting: Duration,
}

impl Submitter {
    /// Begins to connect, within a runtime. One that is there for a while says at its end that it
    /// has gone; of another nothing is left at the broker.
    pub fn start(access: Access, max_pages: usize, stays: bool) -> Self {
        let (orders, incoming) = mpsc::unbounded_channel();
        let (sender, workers) = watch::channel(None);
        let actor = Actor::new(access.clone(), stays, sender);
        let _actor = AbortOnDropHandle::new(tokio::spawn(actor.run(incoming)));
        Self { access, max_pages, orders, workers, _actor }
    }

    /// How many workers there are; where the broker is away, nobody knows.
    pub fn workers(&self) -> Option<usize> {
        *self.workers.borrow()
    }

    /// Has a document read; see [`crate::reading::Reader::read_in_time`]. Should nobody wait any more,
    /// who reads it is told.
    ///
    /// # Errors
    /// Any [`ReadError`]; [`ReadError::TooSlow`], too, where no worker took it.
    pub async fn read(
        &self,
        work: Work,
        patience: Patience,
        done: impl FnOnce(Done),
    ) -> Result<Answer, ReadError> {
        let Work { scan: id, files, pictures, .. } = work;
        let Patience { reading, waiting: patience } = patience;
        let (access, begun) = (self.access.clone(), Instant::now());
        let payload = spawn_blocking(move || {
            let job = Job { submitter: access.name.clone(), id };
            message::job(
                &access,
                &job,
                Document { files, pictures: pictures != Pictures::None, reading },
            )
        });
        let payload = payload.await.map_err(|_| ReadError::Panic)?;
        let payload = payload.map_err(|error| ReadError::Unable(error.to_string()))?;
        let (reply, outcome) = oneshot::channel();
        let ended = |_| ReadError::Unable("the queue was left".to_owned());
        let order = Order::Put { id, ask: Ask { payload, reply }, reading, patience };
        self.orders.send(order).map_err(|_| ended(()))?;
        let _forgets = ForgetOnDrop(&self.orders, id);
        let (json, took, stages) = match outcome.await.map_err(|_| ended(()))?? {
            Outcome::Read(json, took, stages) => (json, took, stages),
            Outcome::Failed(error) => return Err(error),
        };
        let max_pages = self.max_pages;
        let answer = spawn_blocking(move || checked(&json, max_pages, &id.to_string()));
        let answer = answer.await.map_err(|_| ReadError::Panic)?;
        let answer = answer
            .ok_or_else(|| ReadError::Unable("the answer from the queue is none".to_owned()))?;
        let pages = answer.meta.as_ref().map_or(0, |meta| meta.pages);
        done(Done { pages, took: took.min(begun.elapsed()), stages });
        Ok(answer)
    }

    /// Leaves the queue, with whatever has no answer yet.
    pub async fn leave(&self) {
        let (done, left) = oneshot::channel();
        if self.orders.send(Order::Leave(done)).is_ok() {
            let _ = left.await;
        }
    }
}

/// Has a job forgotten when nobody waits for it any more.
struct ForgetOnDrop<'a>(&'a mpsc::UnboundedSender<Order>, Ulid);

impl Drop for ForgetOnDrop<'_> {
    fn drop(&mut self) {
        let _ = self.0.send(Order::Forget(self.1));
    }
}

/// What a message is to us.
#[derive(Clone, PartialEq, Eq)]
enum Sent {
    Job(Ulid),
    Other,
    Last,
}

/// It has the jobs and the line.
struct Actor {
    access: Access,
    stays: bool,
    line: Line<Sent>,
    ledger: Ledger<Ask>,
    since: String,
    answered: u64,
    failed: u64,
    dead: u64,
    /// What is kept of us at the broker, and since when.
    told: Option<(Bytes, Instant)>,
    workers: watch::Sender<Option<usize>>,
}

impl Actor {
    fn new(access: Access, stays: bool, workers: watch::Sender<Option<usize>>) -> Self {
        let name = &access.name;
        let listens = [
            format!("{ROOT}/answers/{name}/+/+"),
            format!("{ROOT}/taken/{name}/+"),
            format!("{ROOT}/+/state"),
        ];
        let subscriptions = listens.map(|topic| (topic, true)).to_vec();
        let purpose =
            Purpose { role: Role::Submitter, subscriptions, receives: RECEIVES, holds: false };
        Self {
            line: Line::new(access.clone(), purpose),
            ledger: Ledger::new(Instant::now()),
            access,
            stays,
            since: message::now(),
            answered: 0,
            failed: 0,
            dead: 0,
            told: None,
            workers,
        }
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut ticks = interval(TICK);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    None => return,
                    Some(Order::Put { id, ask, reading, patience }) => {
                        self.ledger.put(id, ask, reading, patience, Instant::now());
                    }
                    Some(Order::Forget(id)) => {
                        let steps = self.ledger.forget(id);
                        self.take(steps);
                    }
                    Some(Order::Leave(done)) => {
                        let gone = json(&State::Offline { role: Role::Submitter });
                        let last = if self.stays { gone } else { Bytes::new() };
                        self.line.leave(Sent::Last, Topic::State(self.access.name), last).await;
                        let _ = done.send(());
                        return;
                    }
                },
                news = self.line.news() => self.hear(news),
                _ = ticks.tick() => {}
            }
            let steps = self.ledger.tick(Instant::now());
            self.take(steps);
            self.tell();
        }
    }

    fn hear(&mut self, news: News<Sent>) {
        let now = Instant::now();
        match news {
            News::Up => {
                self.told = None;
                self.ledger.up(now);
            }
            News::Down => self.ledger.down(),
            News::Acknowledged(Sent::Job(id), acknowledged) => match acknowledged {
                Acknowledged::Taken => {}
                Acknowledged::Nobody => self.ledger.not_taken(id, now),
                Acknowledged::Refused(reason) => {
                    log::warn!(
                        scan_id:% = id;
                        "the broker does not take the job ({reason:?}); check its rules for \
                         {ROOT}/jobs, and what it keeps at most"
                    );
                    self.ledger.not_taken(id, now);
                }
            },
            News::Acknowledged(..) => {}
            News::Message(topic, payload, _) => {
                let steps = self.message(topic, &payload, now);
                self.take(steps);
            }
        }
    }

    fn message(&mut self, topic: Topic, payload: &Bytes, now: Instant) -> Vec<Step<Ask>> {
        match topic {
            Topic::State(name) if name != self.access.name => match note::<State>(payload) {
                Some(State::Online { since, figures: Figures::Worker { threads, .. }, .. }) => {
                    self.ledger.online(name, since, threads, now)
                }
                Some(State::Offline { .. }) => self.ledger.offline(&name, now),
                None if payload.is_empty() => self.ledger.offline(&name, now),
                _ => Vec::new(),
            },
            Topic::Taken(job) if job.submitter == self.access.name => {
                let Some(Taken { worker, since, state }) = note(payload) else { return Vec::new() };
                match state {
                    Hold::Held => self.ledger.held(job.id, worker, since, now),
                    Hold::Returned => {
                        self.ledger.returned(job.id, &worker, now);
                        Vec::new()
                    }
                    Hold::Refused => {
                        log::warn!(
                            scan_id:% = job.id, worker:% = worker;
                            "the worker cannot open the job: it has another key"
                        );
                        self.ledger.refused(job.id, worker, now).into_iter().collect()
                    }
                }
            }
            Topic::Answer(job, worker) if job.submitter == self.access.name => {
                // What cannot be believed changes nothing; what nobody waits for is not looked into.
                let known = self.ledger.get(job.id).is_some();
                let outcome =
                    if known { message::outcome(&self.access, &job, payload) } else { None };
                if known && outcome.is_none() {
                    log::warn!(scan_id:% = job.id; "what came as the answer is none, or has another key");
                    return Vec::new();
                }
                let (entry, steps) = self.ledger.answered(job.id, worker, now);
                if let (Some(entry), Some(outcome)) = (entry, outcome) {
                    self.answered += 1;
                    let _ = entry.ask.reply.send(Ok(outcome));
                }
                steps
            }
            _ => Vec::new(),
        }
    }

    fn take(&mut self, steps: Vec<Step<Ask>>) {
        for step in steps {
            match step {
                Step::Publish(id) => self.publish(id),
                Step::Settle(worker, id) => {
                    let topic = Topic::Settled(worker, self.job(id));
                    self.line.publish(Sent::Other, &topic, Bytes::new(), Some(TICK));
                }
                Step::End(id, entry, End::Dead) => self.bury(id, entry),
                Step::End(id, entry, End::Expired) => {
                    self.failed += 1;
                    let why = match self.ledger.workers() {
                        _ if !self.line.is_up() => "the broker is away",
                        0 => "no worker is there",
                        _ => "the workers take nothing",
                    };
                    let waited = entry.patience;
                    log::warn!(
                        scan_id:% = id;
                        "nobody took the document in {} s: {why}", waited.as_secs()
                    );
                    let _ = entry.ask.reply.send(Err(ReadError::TooSlow(waited)));
                }
            }
        }
    }

    fn publish(&mut self, id: Ulid) {
        let topic = Topic::Job(self.job(id));
        let Some(entry) = self.ledger.get(id) else { return };
        let (bytes, payload) = (entry.ask.payload.len(), entry.ask.payload.clone());
        let expires = Some(entry.patience + entry.reading);
        match self.line.most(&topic) {
            Some(most) if bytes > most => {
                self.failed += 1;
                let reason = format!(
                    "the document's message has {bytes} bytes, and the broker takes {most} at most: \
                     raise its limit of a packet"
                );
                if let Some(entry) = self.ledger.remove(id) {
                    let _ = entry.ask.reply.send(Err(ReadError::Unable(reason)));
                }
            }
            _ => self.line.publish(Sent::Job(id), &topic, payload, expires),
        }
    }

    /// Gives up a job that ends its workers.
    fn bury(&mut self, id: Ulid, entry: Entry<Ask>) {
        (self.dead, self.failed) = (self.dead + 1, self.failed + 1);
        let (bytes, workers) = (entry.ask.payload.len(), entry.victims);
        log::error!(scan_id:% = id; "a dead letter: {} workers died with it or refused it", workers.len());
        let dead = Dead { at: message::now(), bytes, workers };
        self.line.publish(Sent::Other, &Topic::Dead(self.job(id)), json(&dead), None);
        let _ = entry.ask.reply.send(Err(ReadError::Died));
    }

    fn job(&self, id: Ulid) -> Job {
        Job { submitter: self.access.name.clone(), id }
    }

    /// Renews what is kept of us at the broker.
    fn tell(&mut self) {
        let workers = self.line.is_up().then(|| self.ledger.workers());
        self.workers.send_if_modified(|known| std::mem::replace(known, workers) != workers);
        let now = Instant::now();
        if !self.line.is_up() || self.told.as_ref().is_some_and(|(_, at)| now < *at + STATE) {
            return;
        }
        let figures = Figures::Submitter {
            backlog: self.ledger.len(),
            oldest_seconds: self.ledger.oldest(now).as_secs(),
            answered: self.answered,
            failed: self.failed,
            redelivered: self.ledger.redelivered,
            dead: self.dead,
        };
        let state = json(&State::online(&self.since, figures));
        if self.told.as_ref().is_none_or(|(told, _)| *told != state) {
            let topic = Topic::State(self.access.name.clone());
            self.line.publish(Sent::Other, &topic, state.clone(), None);
            self.told = Some((state, now));
        }
    }
}
