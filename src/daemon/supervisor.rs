//! Workers that are watched: one that fails or panics begins anew, one that is stuck is told of.
//!
//! Promises:
//! - A worker that fails begins anew after a pause that grows while it keeps failing, and each time
//!   is counted. The others do not notice.
//! - Work with a time limit that is exceeded makes [`Supervisor::stuck`] name its worker: the
//!   watchdog is then left alone, and systemd starts the program again.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The pause before a worker that failed begins anew: from the first, doubled each time, to the
/// last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// A worker that worked for so long is well again.
const WELL: Duration = Duration::from_secs(60);

/// What ends a worker before its time.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Starts workers, and knows how they are.
#[derive(Clone)]
pub struct Supervisor {
    stop: CancellationToken,
    tasks: TaskTracker,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    restarts: BTreeMap<&'static str, u64>,
    limits: BTreeMap<u64, (&'static str, Instant)>,
    next: u64,
}

/// A worker's way to say that it begins something that must end.
#[derive(Clone)]
pub struct Pulse {
    worker: &'static str,
    state: Arc<Mutex<State>>,
}

/// Something under way that must end in time; it has ended when this is dropped.
pub struct Busy {
    number: u64,
    state: Arc<Mutex<State>>,
}

impl Supervisor {
    /// Without workers. They are asked to end when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, tasks: TaskTracker::new(), state: Arc::default() }
    }

    /// Starts a worker. Its work ends by itself when it should stop; any other end is a failure.
    pub fn start<F, W>(&self, worker: &'static str, work: F)
    where
        F: Fn(Pulse) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        lock(&self.state).restarts.entry(worker).or_default();
        let (stop, state) = (self.stop.clone(), Arc::clone(&self.state));
        self.tasks.spawn(async move {
            let mut pause = PAUSES.0;
            loop {
                let begun = Instant::now();
                let pulse = Pulse { worker, state: Arc::clone(&state) };
                // On a task of its own, so that a panic ends nothing but it.
                let ended = tokio::spawn(work(pulse)).await;
                if stop.is_cancelled() {
                    return;
                }
                let reason = match ended {
                    Ok(Ok(())) => "it ended by itself".to_owned(),
                    Ok(Err(failure)) => failure.to_string(),
                    Err(_) => "a panic".to_owned(),
                };
                if begun.elapsed() > WELL {
                    pause = PAUSES.0;
                }
                *lock(&state).restarts.entry(worker).or_default() += 1;
                let wait_ms = pause.as_millis() as u64;
                log::error!(worker, wait_ms; "worker failed and begins anew: {reason}");
                tokio::select! {
                    () = sleep(pause) => {}
                    () = stop.cancelled() => return,
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        });
    }

    /// How often each worker began anew.
    pub fn restarts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.state).restarts.clone()
    }

    /// A worker that does not end what it should have ended by now.
    pub fn stuck(&self) -> Option<&'static str> {
        let now = Instant::now();
        let state = lock(&self.state);
        state.limits.values().find(|(_, limit)| *limit < now).map(|(worker, _)| *worker)
    }

    /// Waits until all workers have ended, but not longer than this. Whether they have.
    pub async fn end(&self, limit: Duration) -> bool {
        self.tasks.close();
        timeout(limit, self.tasks.wait()).await.is_ok()
    }
}

impl Pulse {
    /// From now on something is under way that takes no longer than this if all is well.
    pub fn busy(&self, limit: Duration) -> Busy {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.limits.insert(number, (self.worker, Instant::now() + limit));
        Busy { number, state: Arc::clone(&self.state) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        lock(&self.state).limits.remove(&self.number);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn worker_that_fails_or_panics_begins_anew_and_is_counted() {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(stop.clone());
        let (sender, mut well) = mpsc::channel(1);
        let tries = Arc::new(AtomicUsize::new(0));
        let token = stop.clone();
        supervisor.start("reader", move |_| {
            let (tries, sender, stop) = (Arc::clone(&tries), sender.clone(), token.clone());
            async move {
                match tries.fetch_add(1, Ordering::Relaxed) {
                    0 => Err("no luck".into()),
                    1 => panic!("worse"),
                    _ => {
                        sender.send(()).await?;
                        stop.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        well.recv().await.expect("the third try is well");
        assert_eq!(supervisor.restarts(), BTreeMap::from([("reader", 2)]));
        stop.cancel();
        assert!(supervisor.end(Duration::from_secs(1)).await);
        assert_eq!(supervisor.restarts()["reader"], 2, "an end that was asked for is no failure");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_while_a_worker_keeps_failing() {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(stop.clone());
        supervisor.start("reader", |_| async { Err("no luck".into()) });
        sleep(Duration::from_secs(60)).await;
        // After 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 12.7, 25.5 and 55.5 s.
        assert!((8..=10).contains(&supervisor.restarts()["reader"]), "{:?}", supervisor.restarts());
        stop.cancel();
        assert!(supervisor.end(Duration::from_secs(1)).await);
    }

    #[test]
    fn who_exceeds_a_limit_is_stuck_until_the_work_ends() {
        let supervisor = Supervisor::new(CancellationToken::new());
        let pulse = Pulse { worker: "reader", state: Arc::clone(&supervisor.state) };
        let in_time = pulse.busy(Duration::from_secs(3600));
        assert_eq!(supervisor.stuck(), None);
        let late = pulse.busy(Duration::ZERO);
        while supervisor.stuck().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(supervisor.stuck(), Some("reader"));
        drop(late);
        assert_eq!(supervisor.stuck(), None);
        drop(in_time);
    }

    #[tokio::test(start_paused = true)]
    async fn worker_that_does_not_end_is_not_waited_for_longer_than_told() {
        let supervisor = Supervisor::new(CancellationToken::new());
        supervisor.start("reader", |_| std::future::pending());
        assert!(!supervisor.end(Duration::from_secs(1)).await);
    }
}
