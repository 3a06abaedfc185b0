//! The kiosk's panel: lamp, button, status light.
//!
//! Promises:
//! - Each of them can be missing; without a chip there is nothing to do.
//! - A chip that is unplugged, or a line that somebody else has, is an error that names it, and ends
//!   nothing but the panel, which its supervisor begins anew.
//! - Whoever stops the service leaves lamp and lights dark.
//!
//! The button is looked at every 10 ms rather than waited for: an edge says nothing about how long
//! the level lasts, so that a clock is needed all the same for bouncing and for long presses; levels
//! cannot be missed or come too late, as edges do when a contact bounces faster than they are read;
//! and `embedded-hal`'s `InputPin` has no more to ask for. It costs 0.5 % of one core (a debug build, a system call for each line).
//!
//! All of that is on a thread of its own: a chip behind USB or I2C takes milliseconds to answer.

mod button;
mod chip;
mod lamp;
mod light;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cic_kiosk::config;
use embedded_hal::digital::{InputPin, OutputPin};
use linux_embedded_hal::CdevPin;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use chip::{PanelError, Part, probe};

use crate::capture::{CLOSED, Order, Sources};
use crate::mqtt::LinkState;
use button::{Button, Press};
use chip::{Input, Output};
use lamp::Lamp;
use light::{Status, lights};

/// Between two looks at the button. A person who taps it holds it for 50 ms.
const LOOK: Duration = Duration::from_millis(10);

/// Between two times that lamp and lights are set; the light's rhythms are multiples of it.
const SHOW: Duration = Duration::from_millis(50);

/// A wish that the light shows which kiosk it is. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Identify(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    until: Option<Instant>,
    was: bool,
}

impl Identify {
    /// It is to be shown until then.
    pub fn show_until(&self, until: Instant) {
        *self.shown() = Shown { until: Some(until), was: false };
    }

    /// Whether it has been shown since it was last wished for.
    pub fn was_shown(&self) -> bool {
        self.shown().was
    }

    /// Whether it is to be shown now, by who does so then.
    fn is_wanted(&self, now: Instant) -> bool {
        let mut shown = self.shown();
        let is_wanted = shown.until.is_some_and(|until| now < until);
        shown.was |= is_wanted;
        is_wanted
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the panel has.
struct Panel<I, O> {
    button: Option<Input<I>>,
    lamp: Option<Output<O>>,
    light: Option<Output<O>>,
    red: Option<Output<O>>,
}

/// Does the panel's work until it is told to stop.
pub async fn run(
    settings: config::Panel,
    sources: Sources,
    link: watch::Receiver<LinkState>,
    identify: Identify,
    stop: CancellationToken,
) -> Result<(), PanelError> {
    let Some(chip) = settings.chip.clone() else {
        stop.cancelled().await;
        return Ok(());
    };
    // The thread ends, too, where nobody waits for it any longer.
    let stop = stop.child_token();
    let _stopped = stop.clone().drop_guard();
    let work = move || {
        let panel = Panel::open(&chip, &settings)?;
        let is_online = || link.borrow().connected_since.is_some();
        panel.work(&settings, &sources, is_online, &identify, &stop)
    };
    spawn_blocking(work).await.unwrap_or(Err(PanelError::Panic))
}

impl Panel<CdevPin, CdevPin> {
    fn open(chip: &str, settings: &config::Panel) -> Result<Self, PanelError> {
        let mut chip = chip::open(chip)?;
        let mut output = |part, setting: &Option<config::Line>| {
            setting.as_ref().map(|line| chip::output(&mut chip, part, line)).transpose()
        };
        let lamp = output("lamp", &settings.lamp)?;
        let light = output("light", &settings.light)?;
        let red = output("red", &settings.red)?;
        let button = settings.button.as_ref();
        let button = button.map(|line| chip::input(&mut chip, "button", line)).transpose()?;
        Ok(Self { button, lamp, light, red })
    }
}

impl<I: InputPin, O: OutputPin> Panel<I, O> {
    fn work(
        mut self,
        settings: &config::Panel,
        sources: &Sources,
        is_online: impl Fn() -> bool,
        identify: &Identify,
        stop: &CancellationToken,
    ) -> Result<(), PanelError> {
        let (mut button, mut lamp) = (Button::new(settings), Lamp::default());
        let mut shown = (Status::Off, Instant::now());
        let mut next = Instant::now();
        while !stop.is_cancelled() {
            let now = Instant::now();
            if let Some(input) = &mut self.button
                && let Some(press) = button.look(input.is_pressed()?, now)
            {
                obey(press, sources);
            }
            if now >= next {
                next = now + SHOW;
                let standing = sources.standing();
                let status = match identify.is_wanted(now) {
                    true => Status::Identify,
                    false => Status::of(&standing, is_online()),
                };
                if shown.0 != status {
                    shown = (status, now);
                }
                self.show(lamp.is_on(&standing, now), status, now - shown.1)?;
            }
            thread::sleep(LOOK);
        }
        self.show(false, Status::Off, Duration::ZERO)
    }

    /// Sets all of them, whether they change or not: so it is found out when the chip goes.
    fn show(&mut self, lamp: bool, status: Status, elapsed: Duration) -> Result<(), PanelError> {
        let (light, red) = lights(status, elapsed, self.red.is_some());
        let outputs = [(&mut self.lamp, lamp), (&mut self.light, light), (&mut self.red, red)];
        for (output, on) in outputs {
            output.as_mut().map_or(Ok(()), |output| output.set(on))?;
        }
        Ok(())
    }
}

fn obey(press: Press, sources: &Sources) {
    let order = match press {
        Press::Short => Order::Start,
        Press::Long => Order::Done,
        Press::Stuck => {
            log::warn!("the panel's button is stuck: it does nothing until it is released");
            return;
        }
    };
    if !sources.order(None, order) {
        let closed = order == Order::Start && sources.are_closed();
        let reason = if closed { CLOSED } else { "no source has anything to do" };
        log::info!("the panel's button was pressed: {reason}");
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
use tests::standing;
