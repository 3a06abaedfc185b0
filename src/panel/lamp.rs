//! The lamp over the table: when it is on.

use std::time::{Duration, Instant};

use crate::capture::{Standing, State};

/// How long it stays on after it was needed, so that it does not flicker between two pages.
const AFTERGLOW: Duration = Duration::from_secs(5);

/// When the lamp was needed last.
#[derive(Default)]
pub struct Lamp {
    needed: Option<Instant>,
}

impl Lamp {
    /// Whether it is on now: while any source captures, asks, or has a scan that is open, and for a
    /// while after.
    pub fn is_on(&mut self, sources: &[Standing], now: Instant) -> bool {
        let needs =
            |it: &Standing| it.scan.is_some() || matches!(it.state, State::Busy | State::Asking(_));
        if sources.iter().any(needs) {
            self.needed = Some(now);
        }
        self.needed.is_some_and(|needed| now.duration_since(needed) < AFTERGLOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::standing;

    #[test]
    fn lamp_is_on_while_a_page_is_taken_and_a_while_after() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut lamp = Lamp::default();
        let (ready, busy) = ([standing(State::Ready, None)], [standing(State::Busy, None)]);
        assert!(!lamp.is_on(&ready, at(0)));
        assert!(lamp.is_on(&busy, at(1)));
        assert!(lamp.is_on(&ready, at(2)) && lamp.is_on(&busy, at(5)) && lamp.is_on(&ready, at(9)));
        assert!(!lamp.is_on(&ready, at(10)));
    }

    #[test]
    fn lamp_is_on_while_a_person_is_asked_and_between_the_pages_of_a_scan() {
        let now = Instant::now();
        let is_on = |state, scan| Lamp::default().is_on(&[standing(state, scan)], now);
        assert!(is_on(State::Asking("turn it".to_owned()), None));
        assert!(is_on(State::Ready, Some(None)));
        assert!(!is_on(State::Failing("no luck".to_owned()), None));
    }
}
