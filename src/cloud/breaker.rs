//! The circuit breaker: after some failures one after the other nothing is sent for a while. Then
//! one attempt in each such while is let through, until one succeeds.

use std::time::{Duration, Instant};

/// Whether attempts may be made.
#[derive(Debug)]
pub struct Breaker {
    /// Failures after which it opens.
    failures: u32,
    /// How long it stays open.
    pause: Duration,
    /// Failures since the last success.
    failed: u32,
    /// Until when it is open.
    open_until: Option<Instant>,
}

impl Breaker {
    /// A closed one.
    pub fn new(failures: u32, pause: Duration) -> Self {
        Self { failures, pause, failed: 0, open_until: None }
    }

    /// Whether an attempt may be made now. Where it was open, this one is the probe, and the next
    /// has to wait as long again: so a probe of which nothing is heard blocks nobody.
    pub fn lets_pass(&mut self, now: Instant) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = Some(now + self.pause);
                true
            }
            None => true,
        }
    }

    /// The service has answered as it should.
    pub fn succeeded(&mut self) {
        (self.failed, self.open_until) = (0, None);
    }

    /// It has not.
    pub fn failed(&mut self, now: Instant) {
        self.failed = self.failed.saturating_add(1);
        if self.failed >= self.failures {
            self.open_for(self.pause, now);
        }
    }

    /// Opens it, whatever was before, for at least as long.
    pub fn open_for(&mut self, pause: Duration, now: Instant) {
        self.open_until = self.open_until.max(now.checked_add(pause));
    }

    /// Whether nothing may be sent.
    pub fn is_open(&self, now: Instant) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(2, PAUSE);
        breaker.failed(now);
        breaker.failed(now);
        breaker
    }

    #[test]
    fn opens_after_failures_one_after_the_other_only() {
        let now = Instant::now();
        let mut breaker = Breaker::new(2, PAUSE);
        breaker.failed(now);
        breaker.succeeded();
        breaker.failed(now);
        assert!(breaker.lets_pass(now) && !breaker.is_open(now));
        breaker.failed(now);
        assert!(!breaker.lets_pass(now) && breaker.is_open(now));
    }

    #[test]
    fn lets_one_probe_pass_in_each_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + PAUSE;
        assert_eq!([0, 1].map(|_| breaker.lets_pass(later)), [true, false]);
        assert!(breaker.lets_pass(later + PAUSE), "nothing was heard of the first probe");
        breaker.failed(later + PAUSE);
        assert!(!breaker.lets_pass(later + PAUSE));
    }

    #[test]
    fn probe_that_succeeds_closes_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.lets_pass(now + PAUSE));
        breaker.succeeded();
        assert_eq!([0, 1].map(|_| breaker.lets_pass(now + PAUSE)), [true; 2]);
    }

    #[test]
    fn long_pause_is_not_cut_short_by_a_failure() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.open_for(PAUSE * 10, now);
        breaker.failed(now);
        assert!(breaker.is_open(now + PAUSE * 9));
    }
}
