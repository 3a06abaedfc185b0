//! The status light and its language.
//!
//! Seven things are said, each by a rhythm of its own, so that one light is enough and nobody has to
//! tell red from green. The first one that applies is shown:
//!
//! | status | when | one light | with a red one beside it |
//! | --- | --- | --- | --- |
//! | off | the service does not run | dark | dark |
//! | identify | somebody far away wants to know which kiosk it is | 0.8 s on, 0.4 s off, on, off | both by turns, in that rhythm |
//! | error | a source is absent or failing | blinks quickly: 0.2 s on, 0.2 s off | red blinks quickly |
//! | ask again | a person has to do something: a page again, paper, a cover | two flashes of 0.2 s, every 1.6 s | both, two flashes |
//! | busy | a page is taken, or a scan is open | blinks slowly: 0.8 s on, 0.8 s off | green blinks slowly |
//! | offline | all is ready, but the broker cannot be reached; results are kept | on, with a gap of 0.2 s every 2.4 s | green, with red in the gap |
//! | ready | waits for paper or the button | on | green |
//!
//! No rhythm flashes more than three times in a second, which would be dangerous for some people.

use std::time::Duration;

use crate::capture::{Standing, State};

/// What the light says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The service does not run.
    Off,
    /// It shows which kiosk it is.
    Identify,
    /// A source is absent or failing.
    Error,
    /// A person has to do something.
    AskAgain,
    /// A page is taken, or a scan is open.
    Busy,
    /// The broker cannot be reached.
    Offline,
    /// It waits for paper or the button.
    Ready,
}

impl Status {
    /// Of all sources, and of the connection with the broker.
    pub fn of(sources: &[Standing], is_online: bool) -> Self {
        let is_any = |test: fn(&Standing) -> bool| sources.iter().any(test);
        let has_ask = |it: &Standing| it.scan.as_ref().is_some_and(|scan| scan.ask.is_some());
        if is_any(|it| matches!(it.state, State::Absent(_) | State::Failing(_))) {
            Self::Error
        } else if is_any(|it| matches!(it.state, State::Asking(_))) || sources.iter().any(has_ask) {
            Self::AskAgain
        } else if is_any(|it| it.state == State::Busy || it.scan.is_some()) {
            Self::Busy
        } else if !is_online {
            Self::Offline
        } else {
            Self::Ready
        }
    }
}

/// Milliseconds on and off by turns, from the beginning; empty: always on.
fn rhythm(status: Status) -> &'static [u64] {
    match status {
        Status::Off | Status::Ready => &[],
        Status::Identify => &[800, 400, 400, 400],
        Status::Error => &[200, 200],
        Status::AskAgain => &[200, 200, 200, 1000],
        Status::Busy => &[800, 800],
        Status::Offline => &[2200, 200],
    }
}

/// Whether the light, and the red one, are on so long after the status has begun. With one light
/// alone, all is said by it; with both, the light is the green one.
pub fn lights(status: Status, elapsed: Duration, has_red: bool) -> (bool, bool) {
    let is_on = is_on(rhythm(status), elapsed);
    match (status, has_red) {
        (Status::Off, _) => (false, false),
        (_, false) => (is_on, false),
        (Status::Error, true) => (false, is_on),
        (Status::AskAgain, true) => (is_on, is_on),
        (Status::Identify | Status::Offline, true) => (is_on, !is_on),
        (Status::Busy | Status::Ready, true) => (is_on, false),
    }
}

fn is_on(rhythm: &[u64], elapsed: Duration) -> bool {
    let whole: u64 = rhythm.iter().sum();
    if whole == 0 {
        return true;
    }
    let mut left = (elapsed.as_millis() % u128::from(whole)) as u64;
    let turns = rhythm.iter().position(|&turn| {
        let is_here = left < turn;
        left = left.saturating_sub(turn);
        is_here
    });
    turns.is_some_and(|turn| turn % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::standing;

    const ALL: [Status; 7] = [
        Status::Off,
        Status::Identify,
        Status::Error,
        Status::AskAgain,
        Status::Busy,
        Status::Offline,
        Status::Ready,
    ];

    /// `*` and `.` for on and off, one for each 0.2 s.
    fn drawn(status: Status, has_red: bool) -> (String, String) {
        let at = |tick: u64| lights(status, Duration::from_millis(tick * 200 + 100), has_red);
        let draw = |is_on| if is_on { '*' } else { '.' };
        (0..16).map(at).map(|(light, red)| (draw(light), draw(red))).unzip()
    }

    #[test]
    fn one_light_says_each_status_by_a_rhythm_of_its_own() {
        let rhythms = ALL.map(|status| drawn(status, false).0);
        let expected = [
            "................",
            "****..**..****..",
            "*.*.*.*.*.*.*.*.",
            "*.*.....*.*.....",
            "****....****....",
            "***********.****",
            "****************",
        ];
        assert_eq!(rhythms, expected);
    }

    #[test]
    fn two_lights_say_it_by_colour_as_well() {
        let none = "................";
        let ready = "****************";
        let expected = [
            (none, none),
            ("****..**..****..", "....**..**....**"),
            (none, "*.*.*.*.*.*.*.*."),
            ("*.*.....*.*.....", "*.*.....*.*....."),
            ("****....****....", none),
            ("***********.****", "...........*...."),
            (ready, none),
        ];
        let drawn = ALL.map(|status| drawn(status, true));
        let drawn: Vec<_> = drawn.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(drawn, expected);
    }

    #[test]
    fn no_rhythm_flashes_more_than_three_times_in_a_second() {
        for status in ALL {
            for has_red in [false, true] {
                let at = |ms| lights(status, Duration::from_millis(ms), has_red);
                let flashes = |from: u64| {
                    let begins = |&ms: &u64| {
                        let (before, now) = (at(ms), at(ms + 1));
                        now.0 && !before.0 || now.1 && !before.1
                    };
                    (from..from + 1000).filter(begins).count()
                };
                assert!((0..3000).step_by(50).all(|from| flashes(from) <= 3), "{status:?}");
            }
        }
    }

    #[test]
    fn what_a_person_must_know_first_is_shown_first() {
        let reason = || "no luck".to_owned();
        let failing = || standing(State::Failing(reason()), None);
        let absent = || standing(State::Absent(reason()), None);
        let asking = || standing(State::Asking(reason()), None);
        let asks_in_scan = || standing(State::Ready, Some(Some("again")));
        let busy = || standing(State::Busy, None);
        let open = || standing(State::Ready, Some(None));
        let ready = || standing(State::Ready, None);
        for is_online in [true, false] {
            let of = |sources: &[Standing]| Status::of(sources, is_online);
            assert_eq!(of(&[ready(), asking(), busy(), failing()]), Status::Error);
            assert_eq!(of(&[absent(), asks_in_scan()]), Status::Error);
            assert_eq!(of(&[busy(), asking(), open()]), Status::AskAgain);
            assert_eq!(of(&[busy(), asks_in_scan()]), Status::AskAgain);
            assert_eq!(of(&[ready(), busy()]), Status::Busy);
            assert_eq!(of(&[ready(), open()]), Status::Busy);
        }
        assert_eq!(Status::of(&[ready()], false), Status::Offline);
        assert_eq!(Status::of(&[ready()], true), Status::Ready);
        assert_eq!(Status::of(&[], true), Status::Ready);
    }
}
