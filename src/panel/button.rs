//! The button: from a level that bounces to what a person wants.

use std::time::{Duration, Instant};

use cic_kiosk::config;

/// Nobody holds a button for so long: something lies on it, or it is broken.
const STUCK: Duration = Duration::from_secs(30);

/// What a person wants, or what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// It was pressed and released.
    Short,
    /// It has been held for the time of a long press; it may still be held.
    Long,
    /// It has been pressed for so long, or since the start, that no person does it. Told once for
    /// each time.
    Stuck,
}

/// What is known of a button that is looked at every few milliseconds.
pub struct Button {
    debounce: Duration,
    long: Duration,
    /// What was seen last, and since when it is so.
    seen: Option<(bool, Instant)>,
    held: Held,
}

/// How the button is, without its bouncing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Not known yet.
    Unknown,
    Released,
    Since(Instant),
    /// A long press that was told.
    Long(Instant),
    Stuck,
}

impl Button {
    /// One that has not been looked at.
    pub fn new(settings: &config::Panel) -> Self {
        Self {
            debounce: settings.debounce_time(),
            long: settings.long_press_time(),
            seen: None,
            held: Held::Unknown,
        }
    }

    /// What follows from its being pressed, or not, now. A change counts once it has lasted for the
    /// time of debouncing; until then all is as it was.
    pub fn look(&mut self, pressed: bool, now: Instant) -> Option<Press> {
        let (seen, since) = *self.seen.get_or_insert((pressed, now));
        if seen != pressed {
            self.seen = Some((pressed, now));
            return self.hold(now);
        }
        if now.duration_since(since) < self.debounce {
            return self.hold(now);
        }
        match (self.held, pressed) {
            (Held::Unknown, true) => {
                self.held = Held::Stuck;
                return Some(Press::Stuck);
            }
            (Held::Released, true) => self.held = Held::Since(since),
            (Held::Since(_), false) => {
                self.held = Held::Released;
                return Some(Press::Short);
            }
            (_, false) => self.held = Held::Released,
            (_, true) => {}
        }
        self.hold(now)
    }

    /// What follows from its being held.
    fn hold(&mut self, now: Instant) -> Option<Press> {
        match self.held {
            Held::Since(since) if now.duration_since(since) >= self.long => {
                self.held = Held::Long(since);
                Some(Press::Long)
            }
            Held::Long(since) if now.duration_since(since) >= STUCK => {
                self.held = Held::Stuck;
                Some(Press::Stuck)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: u64 = 10;

    /// What comes of levels, each for so many milliseconds, looked at every 10 ms; with the time at
    /// which it came.
    fn presses(levels: &[(bool, u64)]) -> Vec<(u64, Press)> {
        let mut button = Button::new(&config::Panel::default());
        let start = Instant::now();
        let mut looks = levels.iter().flat_map(|&(level, ms)| (0..ms / STEP).map(move |_| level));
        let mut at = 0;
        let look = std::iter::from_fn(|| {
            let pressed = looks.next()?;
            let press = button.look(pressed, start + Duration::from_millis(at));
            at += STEP;
            Some(press.map(|press| (at - STEP, press)))
        });
        look.flatten().collect()
    }

    #[test]
    fn short_press_counts_when_it_is_released() {
        assert_eq!(presses(&[(false, 100), (true, 500), (false, 100)]), [(630, Press::Short)]);
    }

    #[test]
    fn long_press_counts_while_it_is_held_and_its_release_is_nothing() {
        let levels = [(false, 100), (true, 3000), (false, 200), (true, 200), (false, 100)];
        assert_eq!(presses(&levels), [(1600, Press::Long), (3530, Press::Short)]);
    }

    #[test]
    fn bouncing_is_one_press() {
        let bounce = [(true, 10), (false, 20), (true, 20), (false, 10), (true, 10), (false, 10)];
        let levels = [&[(false, 100)], &bounce[..], &[(true, 300)], &bounce[..], &[(false, 100)]];
        let levels = levels.concat();
        let counted = presses(&levels);
        assert!(matches!(counted[..], [(_, Press::Short)]), "{counted:?}");
    }

    #[test]
    fn what_is_shorter_than_the_time_of_debouncing_is_nothing() {
        assert_eq!(presses(&[(false, 100), (true, 20), (false, 500)]), []);
        // A gap in a press does not end it.
        let levels = [(false, 100), (true, 800), (false, 20), (true, 800), (false, 100)];
        assert_eq!(presses(&levels), [(1600, Press::Long)]);
    }

    #[test]
    fn button_that_is_pressed_at_the_start_is_stuck_until_it_is_released() {
        let levels = [(true, 60_000), (false, 100), (true, 100), (false, 100)];
        assert_eq!(presses(&levels), [(30, Press::Stuck), (60_230, Press::Short)]);
    }

    #[test]
    fn button_that_is_held_for_half_a_minute_is_stuck_and_told_of_once() {
        let levels = [(false, 100), (true, 90_000), (false, 100), (true, 100), (false, 100)];
        let expected = [(1600, Press::Long), (30_100, Press::Stuck), (90_330, Press::Short)];
        assert_eq!(presses(&levels), expected);
    }
}
