//! What a submitter knows of its jobs and of the workers, and what is to be done next. It has neither a
//! clock nor a connection: whoever has them tells it, and does what it says.
//!
//! Invariant: each job that was put here ends once: by its answer, by [`End`], or forgotten.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cic_kiosk::config::Name;
use tokio::time::Instant;
use ulid::Ulid;

use super::SIGN_OF_LIFE;

/// A worker that says nothing of a job for so long has lost it.
const LEASE: Duration = SIGN_OF_LIFE.saturating_mul(7);

/// After a worker has died, or the broker was away: what is still on its way to another worker is taken
/// within this time, and what is not may be lost.
const DOUBT: Duration = Duration::from_secs(5);

/// A job that nobody took for so long is put there again, whatever the broker does with it.
const UNTAKEN: Duration = Duration::from_secs(60);

/// A broker that had nobody for a job is asked again after this time.
const AGAIN: Duration = Duration::from_secs(2);

/// A job that ended so many workers, or was refused by so many, is dead.
const DEADLY: usize = 3;

/// Jobs that are under way for each that can be read at the same time: while one is read, the next is on
/// its way.
const AHEAD: usize = 2;

/// Workers that are known at a time: who floods a submitter with names takes no more than that.
const WORKERS: usize = 1024;

/// Beyond twice its limit, and this, a worker holds a job that it will never answer.
const STUCK: Duration = Duration::from_secs(60);

/// A job. What it is to the one who asked is none of the ledger's business.
pub struct Entry<A> {
    /// What that is.
    pub ask: A,
    /// How long reading may take.
    pub reading: Duration,
    /// How long it waits while nothing moves.
    pub patience: Duration,
    /// The workers that died with it or refused it.
    pub victims: Vec<Name>,
    came: Instant,
    number: u64,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It is here, and may go from then on.
    Waiting(Instant),
    /// It is with the broker; when it is put there again, unless somebody takes it.
    Sent(Instant),
    /// A worker has it.
    Held { by: Name, since: String, from: Instant, heard: Instant },
}

/// Why a job ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended too many workers.
    Dead,
    /// Nobody had taken it in its time.
    Expired,
}

/// What is to be done.
pub enum Step<A> {
    /// The job is to be published.
    Publish(Ulid),
    /// The worker is to be told that it need do no more for the job.
    Settle(Name, Ulid),
    /// The job has ended.
    End(Ulid, Entry<A>, End),
}

struct Known {
    since: String,
    threads: usize,
}

/// All of a submitter's jobs that have no answer.
pub struct Ledger<A> {
    jobs: BTreeMap<Ulid, Entry<A>>,
    workers: HashMap<Name, Known>,
    is_up: bool,
    numbers: u64,
    /// When a job was last taken or answered.
    moved: Instant,
    /// How often a job was put there again.
    pub redelivered: u64,
}

impl<A> Ledger<A> {
    /// There are no jobs.
    pub fn new(now: Instant) -> Self {
        let (jobs, workers) = Default::default();
        Self { jobs, workers, is_up: false, numbers: 0, moved: now, redelivered: 0 }
    }

    /// A job comes.
    pub fn put(&mut self, id: Ulid, ask: A, reading: Duration, patience: Duration, now: Instant) {
        self.numbers += 1;
        let (number, victims, stage) = (self.numbers, Vec::new(), Stage::Waiting(now));
        self.jobs.insert(id, Entry { ask, reading, patience, victims, came: now, number, stage });
    }

    /// Nobody waits for it any more.
    pub fn forget(&mut self, id: Ulid) -> Vec<Step<A>> {
        match self.jobs.remove(&id) {
            Some(Entry { stage: Stage::Held { by, .. }, .. }) => vec![Step::Settle(by, id)],
            _ => Vec::new(),
        }
    }

    /// The job, for as long as it has no answer.
    pub fn get(&self, id: Ulid) -> Option<&Entry<A>> {
        self.jobs.get(&id)
    }

    /// Takes it away: it ends here.
    pub fn remove(&mut self, id: Ulid) -> Option<Entry<A>> {
        self.jobs.remove(&id)
    }

    /// How many have no answer.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// How long the oldest has waited.
    pub fn oldest(&self, now: Instant) -> Duration {
        let ages = self.jobs.values().map(|job| now.saturating_duration_since(job.came));
        ages.max().unwrap_or_default()
    }

    /// How many workers are there.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// A connection with the broker begins: what was on its way may be lost, and what workers have said
    /// meanwhile is.
    pub fn up(&mut self, now: Instant) {
        self.is_up = true;
        self.doubt(now);
        for job in self.jobs.values_mut() {
            if let Stage::Held { heard, .. } = &mut job.stage {
                *heard = now;
            }
        }
    }

    /// It ends.
    pub fn down(&mut self) {
        self.is_up = false;
    }

    /// The broker had nobody for a job, or did not take it now.
    pub fn not_taken(&mut self, id: Ulid, now: Instant) {
        if let Some(job) = self.jobs.get_mut(&id)
            && matches!(job.stage, Stage::Sent(_))
        {
            job.stage = Stage::Waiting(now + AGAIN);
        }
    }

    /// A worker is there since then, with so many threads.
    pub fn online(
        &mut self,
        worker: Name,
        since: String,
        threads: usize,
        now: Instant,
    ) -> Vec<Step<A>> {
        let known = self.workers.get(&worker);
        if known.is_none() && self.workers.len() >= WORKERS {
            return Vec::new();
        }
        let steps = match known.is_some_and(|known| known.since != since) {
            true => self.offline(&worker, now),
            false => Vec::new(),
        };
        self.workers.insert(worker, Known { since, threads: threads.clamp(1, 256) });
        steps
    }

    /// A worker has died, or gone.
    pub fn offline(&mut self, worker: &Name, now: Instant) -> Vec<Step<A>> {
        if self.workers.remove(worker).is_some() {
            self.doubt(now);
        }
        let theirs = |job: &Entry<A>| matches!(&job.stage, Stage::Held { by, .. } if by == worker);
        let held = self.jobs.iter().filter(|(_, job)| theirs(job)).map(|(id, _)| *id);
        let held: Vec<_> = held.collect();
        held.into_iter().filter_map(|id| self.strike(id, now)).collect()
    }

    /// A worker says that it holds a job.
    pub fn held(&mut self, id: Ulid, worker: Name, since: String, now: Instant) -> Vec<Step<A>> {
        let Some(job) = self.jobs.get_mut(&id) else { return vec![Step::Settle(worker, id)] };
        match &mut job.stage {
            Stage::Held { by, since: then, heard, .. } if *by == worker && *then == since => {
                *heard = now;
                Vec::new()
            }
            // Somebody else was first, and lives. One that was started again has lost it.
            Stage::Held { by, .. } if *by != worker => vec![Step::Settle(worker, id)],
            _ => {
                self.moved = now;
                job.stage = Stage::Held { by: worker, since, from: now, heard: now };
                Vec::new()
            }
        }
    }

    /// A worker does not read a job that came to it, and may not be blamed.
    pub fn returned(&mut self, id: Ulid, worker: &Name, now: Instant) {
        if let Some(job) = self.jobs.get_mut(&id)
            && (matches!(job.stage, Stage::Sent(_)) || job.is_held_by(worker))
        {
            job.stage = Stage::Waiting(now);
            self.redelivered += 1;
        }
    }

    /// A worker cannot open a job.
    pub fn refused(&mut self, id: Ulid, worker: Name, now: Instant) -> Option<Step<A>> {
        let job = self.jobs.get_mut(&id)?;
        if !matches!(job.stage, Stage::Sent(_)) && !job.is_held_by(&worker) {
            return None;
        }
        let (since, from) = (String::new(), now);
        job.stage = Stage::Held { by: worker, since, from, heard: now };
        self.strike(id, now)
    }

    /// A job has its answer, from this worker, who is told that it came.
    pub fn answered(
        &mut self,
        id: Ulid,
        worker: Name,
        now: Instant,
    ) -> (Option<Entry<A>>, Vec<Step<A>>) {
        let job = self.jobs.remove(&id);
        let mut steps = Vec::new();
        if let Some(job) = &job {
            self.moved = now;
            if let Stage::Held { by, .. } = &job.stage
                && *by != worker
            {
                steps.push(Step::Settle(by.clone(), id));
            }
        }
        steps.push(Step::Settle(worker, id));
        (job, steps)
    }

    /// What time brings: jobs that go out, go out again, or have waited too long.
    pub fn tick(&mut self, now: Instant) -> Vec<Step<A>> {
        let mut steps = Vec::new();
        let lost: Vec<_> = self.jobs.iter().filter(|(_, job)| self.is_lost(job, now)).collect();
        for id in lost.iter().map(|(id, _)| **id).collect::<Vec<_>>() {
            steps.extend(self.strike(id, now));
        }
        let moved = self.moved;
        let is_late = |_: &Ulid, job: &mut Entry<A>| {
            let waits = !matches!(job.stage, Stage::Held { .. });
            waits && now.saturating_duration_since(job.came.max(moved)) >= job.patience
        };
        let late = self.jobs.extract_if(.., is_late);
        steps.extend(late.map(|(id, job)| Step::End(id, job, End::Expired)));
        for job in self.jobs.values_mut() {
            if matches!(job.stage, Stage::Sent(until) if until <= now) {
                job.stage = Stage::Waiting(now);
                self.redelivered += 1;
            }
        }
        steps.extend(std::iter::from_fn(|| self.next(now)));
        steps
    }

    /// The next job that is to go out.
    fn next(&mut self, now: Instant) -> Option<Step<A>> {
        let window: usize = self.workers.values().map(|known| known.threads * AHEAD).sum();
        let under_way = self.jobs.values().filter(|job| !matches!(job.stage, Stage::Waiting(_)));
        let (mut count, mut suspect) = (0, false);
        for job in under_way {
            (count, suspect) = (count + 1, suspect || !job.victims.is_empty());
        }
        if !self.is_up || count >= window {
            return None;
        }
        // What may end a worker goes alone, so that nothing else is blamed for it.
        let may_go = |job: &&mut Entry<A>| {
            matches!(job.stage, Stage::Waiting(from) if from <= now)
                && (job.victims.is_empty() || !suspect)
        };
        let jobs = self.jobs.iter_mut().map(|(id, job)| (*id, job));
        let (id, job) = jobs.filter(|(_, job)| may_go(job)).min_by_key(|(_, job)| job.number)?;
        job.stage = Stage::Sent(now + UNTAKEN);
        Some(Step::Publish(id))
    }

    fn is_lost(&self, job: &Entry<A>, now: Instant) -> bool {
        matches!(&job.stage, Stage::Held { heard, from, .. } if self.is_up
            && (now >= *heard + LEASE || now >= *from + 2 * job.reading + STUCK))
    }

    /// What is with the broker may be lost.
    fn doubt(&mut self, now: Instant) {
        for job in self.jobs.values_mut() {
            if let Stage::Sent(until) = &mut job.stage {
                *until = (*until).min(now + DOUBT);
            }
        }
    }

    /// The worker that holds the job is not there any more.
    fn strike(&mut self, id: Ulid, now: Instant) -> Option<Step<A>> {
        let job = self.jobs.get_mut(&id)?;
        if let Stage::Held { by, .. } = &job.stage {
            job.victims.push(by.clone());
        }
        job.stage = Stage::Waiting(now);
        if job.victims.len() >= DEADLY {
            return self.jobs.remove(&id).map(|job| Step::End(id, job, End::Dead));
        }
        self.redelivered += 1;
        None
    }
}

impl<A> Entry<A> {
    fn is_held_by(&self, worker: &Name) -> bool {
        matches!(&self.stage, Stage::Held { by, .. } if by == worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const READING: Duration = Duration::from_secs(120);

    struct Story {
        ledger: Ledger<()>,
        now: Instant,
    }

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    fn id(number: u128) -> Ulid {
        Ulid::from_parts(1, number)
    }

    /// What was to be done, in short.
    fn shown(steps: Vec<Step<()>>) -> Vec<String> {
        let shown = |step| match step {
            Step::Publish(id) => format!("publish {}", id.random()),
            Step::Settle(worker, id) => format!("settle {worker} {}", id.random()),
            Step::End(id, _, end) => format!("{end:?} {}", id.random()),
        };
        steps.into_iter().map(shown).collect()
    }

    impl Story {
        /// There are these workers, with a thread each, and so many jobs.
        fn new(workers: &[&str], jobs: u128) -> Self {
            let now = Instant::now();
            let mut ledger = Ledger::new(now);
            ledger.up(now);
            for worker in workers {
                ledger.online(name(worker), "then".to_owned(), 1, now);
            }
            for job in 1..=jobs {
                ledger.put(id(job), (), READING, READING, now);
            }
            Self { ledger, now }
        }

        fn after(&mut self, time: Duration) -> Vec<String> {
            self.now += time;
            shown(self.ledger.tick(self.now))
        }

        fn held(&mut self, job: u128, worker: &str) -> Vec<String> {
            shown(self.ledger.held(id(job), name(worker), "then".to_owned(), self.now))
        }

        fn dies(&mut self, worker: &str) -> Vec<String> {
            shown(self.ledger.offline(&name(worker), self.now))
        }

        fn lives(&mut self, worker: &str) -> Vec<String> {
            shown(self.ledger.online(name(worker), "then".to_owned(), 1, self.now))
        }
    }

    #[tokio::test]
    async fn jobs_go_out_in_their_order_and_no_more_than_workers_have_room_for() {
        let mut story = Story::new(&["a"], 3);
        assert_eq!(story.after(SECOND), ["publish 1", "publish 2"]);
        assert!(story.held(1, "a").is_empty());
        let (job, steps) = story.ledger.answered(id(1), name("a"), story.now);
        assert!(job.is_some());
        assert_eq!(shown(steps), ["settle a 1"]);
        assert_eq!(story.after(SECOND), ["publish 3"]);
    }

    #[tokio::test]
    async fn job_of_a_worker_that_died_goes_out_again_and_those_on_their_way_a_little_later() {
        let mut story = Story::new(&["a", "b"], 3);
        story.after(SECOND);
        story.held(1, "a");
        story.held(2, "b");
        assert!(story.dies("a").is_empty());
        assert_eq!(story.after(SECOND), [""; 0]);
        story.held(2, "b");
        // There is room for two with the one that is left.
        let (_, steps) = story.ledger.answered(id(2), name("b"), story.now);
        assert_eq!(shown(steps), ["settle b 2"]);
        assert_eq!(story.after(SECOND), ["publish 1"]);
        story.held(1, "b");
        assert_eq!(story.after(DOUBT), ["publish 3"]);
        assert_eq!(story.ledger.redelivered, 2);
    }

    #[tokio::test]
    async fn worker_that_was_started_again_holds_nothing_of_before() {
        let mut story = Story::new(&["a"], 1);
        story.after(SECOND);
        story.held(1, "a");
        let steps = story.ledger.online(name("a"), "now".to_owned(), 1, story.now);
        assert!(steps.is_empty());
        assert_eq!(story.after(SECOND), ["publish 1"]);
    }

    #[tokio::test]
    async fn worker_that_goes_silent_loses_its_job_and_is_told_when_it_comes_back() {
        let mut story = Story::new(&["a", "b"], 1);
        story.after(SECOND);
        story.held(1, "a");
        assert!(story.after(LEASE - SECOND).is_empty());
        assert_eq!(story.after(SECOND), ["publish 1"]);
        story.held(1, "b");
        assert_eq!(story.held(1, "a"), ["settle a 1"]);
        // Its answer counts all the same, if it is first.
        let (job, steps) = story.ledger.answered(id(1), name("a"), story.now);
        assert!(job.is_some());
        assert_eq!(shown(steps), ["settle b 1", "settle a 1"]);
    }

    #[tokio::test]
    async fn second_answer_is_nobodys() {
        let mut story = Story::new(&["a", "b"], 1);
        story.after(SECOND);
        assert!(story.ledger.answered(id(1), name("a"), story.now).0.is_some());
        let (job, steps) = story.ledger.answered(id(1), name("b"), story.now);
        assert!(job.is_none());
        assert_eq!(shown(steps), ["settle b 1"]);
        assert_eq!(story.held(1, "b"), ["settle b 1"]);
    }

    #[tokio::test]
    async fn job_that_ends_three_workers_is_dead_and_goes_alone_meanwhile() {
        let mut story = Story::new(&["a"], 2);
        story.after(SECOND);
        // Both are with the one that dies: either may be guilty.
        story.held(1, "a");
        story.held(2, "a");
        story.dies("a");
        for _ in 0..2 {
            story.lives("a");
            assert_eq!(story.after(SECOND), ["publish 1"]);
            story.held(1, "a");
            let steps = story.dies("a");
            if let Some(end) = steps.first() {
                assert_eq!(end, "Dead 1");
            }
        }
        assert!(story.ledger.get(id(1)).is_none());
        story.lives("a");
        assert_eq!(story.after(SECOND), ["publish 2"]);
        assert_eq!(story.ledger.get(id(2)).unwrap().victims, [name("a")]);
    }

    #[tokio::test]
    async fn job_that_nobody_can_open_is_dead_and_one_that_is_given_back_is_not() {
        let mut story = Story::new(&["a"], 2);
        story.after(SECOND);
        story.ledger.returned(id(2), &name("a"), story.now);
        assert_eq!(story.after(SECOND), ["publish 2"]);
        for _ in 0..2 {
            assert!(story.ledger.refused(id(1), name("a"), story.now).is_none());
            assert_eq!(story.after(SECOND), ["publish 1"]);
        }
        let step = story.ledger.refused(id(1), name("a"), story.now);
        assert_eq!(shown(step.into_iter().collect()), ["Dead 1"]);
        assert!(story.ledger.get(id(2)).unwrap().victims.is_empty());
    }

    #[tokio::test]
    async fn job_waits_as_long_as_others_move_and_expires_when_nothing_does() {
        let mut story = Story::new(&["a"], 3);
        story.after(SECOND);
        story.held(1, "a");
        story.now += READING - SECOND;
        story.held(1, "a");
        let _ = story.ledger.answered(id(1), name("a"), story.now);
        assert_eq!(story.after(SECOND), ["publish 2", "publish 3"]);
        story.held(2, "a");
        story.now += READING;
        story.held(2, "a");
        assert_eq!(story.after(Duration::ZERO), ["Expired 3"]);
    }

    #[tokio::test]
    async fn without_a_worker_or_a_broker_nothing_goes_out_and_waiting_has_an_end() {
        let mut story = Story::new(&[], 1);
        assert!(story.after(SECOND).is_empty());
        assert_eq!(story.after(READING), ["Expired 1"]);
        let mut story = Story::new(&["a"], 1);
        story.ledger.down();
        assert!(story.after(SECOND).is_empty());
        story.ledger.up(story.now);
        assert_eq!(story.after(SECOND), ["publish 1"]);
    }

    #[tokio::test]
    async fn broker_that_had_nobody_is_asked_again_and_what_it_lost_goes_out_again() {
        let mut story = Story::new(&["a"], 1);
        story.after(SECOND);
        story.ledger.not_taken(id(1), story.now);
        assert!(story.after(SECOND).is_empty());
        assert_eq!(story.after(AGAIN), ["publish 1"]);
        assert_eq!(story.after(UNTAKEN), ["publish 1"]);
        story.ledger.up(story.now);
        assert_eq!(story.after(DOUBT), ["publish 1"]);
    }

    #[tokio::test]
    async fn silence_of_a_broker_that_was_away_is_no_workers_fault() {
        let mut story = Story::new(&["a"], 1);
        story.after(SECOND);
        story.held(1, "a");
        story.ledger.down();
        assert!(story.after(2 * LEASE).is_empty());
        story.ledger.up(story.now);
        assert!(story.after(LEASE - SECOND).is_empty());
        assert!(story.ledger.get(id(1)).unwrap().victims.is_empty());
    }

    #[tokio::test]
    async fn what_is_forgotten_is_left_by_who_reads_it() {
        let mut story = Story::new(&["a"], 2);
        story.after(SECOND);
        story.held(1, "a");
        assert_eq!(shown(story.ledger.forget(id(1))), ["settle a 1"]);
        assert!(story.ledger.forget(id(2)).is_empty());
        assert_eq!(story.held(2, "a"), ["settle a 2"]);
        assert_eq!(story.ledger.len(), 0);
    }
}
