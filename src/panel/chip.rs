//! Lines of a GPIO character device, found by the names that the settings have.
//!
//! What is active-low is turned round here, above the `embedded-hal` traits: what is on or pressed
//! is so whatever the level.

use std::fs;

use cic_kiosk::config::{Line as Setting, LineName, Panel};
use embedded_hal::digital::{InputPin, OutputPin, PinState};
use linux_embedded_hal::CdevPin;
use linux_embedded_hal::gpio_cdev::{Chip, Line, LineRequestFlags};

/// Who holds the lines, as `gpioinfo` shows it.
const CONSUMER: &str = "cic-kiosk";

/// The most names that an error lists.
const LISTED: usize = 64;

/// Why the panel cannot be used, with what there is instead.
#[derive(Debug, thiserror::Error)]
pub enum PanelError {
    /// No chip has this name or label.
    #[error(
        "panel.chip: no GPIO chip is called {wanted}; there are: {found}. For one that cannot be \
         opened, the service's user must be in the group that /dev/gpiochip* belongs to"
    )]
    NoChip {
        /// What was looked for.
        wanted: String,
        /// Names and labels.
        found: String,
    },
    /// The chip has no such line.
    #[error("panel.{part}: {chip} has no line {wanted}; it has: {found}")]
    NoLine {
        /// What should be there.
        part: &'static str,
        /// Which chip.
        chip: String,
        /// What was looked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// Somebody else has the line.
    #[error("panel.{part}: {line} is used by {by}: end that, or choose another line")]
    Taken {
        /// What should be there.
        part: &'static str,
        /// Which line.
        line: String,
        /// Who has it.
        by: String,
    },
    /// The line was there and is no longer, or cannot do what it should.
    #[error(
        "panel.{part}: the line cannot be used ({reason}); look whether its chip is plugged in"
    )]
    Failed {
        /// What is there.
        part: &'static str,
        /// What the kernel says.
        reason: String,
    },
    /// A defect.
    #[error("the panel's thread has panicked")]
    Panic,
}

/// Something that is switched on and off.
pub struct Output<P> {
    part: &'static str,
    pin: P,
    active_low: bool,
}

/// Something that is pressed.
pub struct Input<P> {
    part: &'static str,
    pin: P,
    active_low: bool,
}

impl<P: OutputPin> Output<P> {
    /// On a pin.
    pub fn new(part: &'static str, pin: P, active_low: bool) -> Self {
        Self { part, pin, active_low }
    }

    /// Switches it.
    pub fn set(&mut self, on: bool) -> Result<(), PanelError> {
        let state = PinState::from(on != self.active_low);
        self.pin.set_state(state).map_err(|error| failed(self.part, &error))
    }
}

impl<P: InputPin> Input<P> {
    /// On a pin.
    pub fn new(part: &'static str, pin: P, active_low: bool) -> Self {
        Self { part, pin, active_low }
    }

    /// Whether it is pressed.
    pub fn is_pressed(&mut self) -> Result<bool, PanelError> {
        let is_high = self.pin.is_high().map_err(|error| failed(self.part, &error))?;
        Ok(is_high != self.active_low)
    }
}

fn failed(part: &'static str, error: &impl std::fmt::Debug) -> PanelError {
    PanelError::Failed { part, reason: format!("{error:?}") }
}

/// The chip of this name or label.
pub fn open(wanted: &str) -> Result<Chip, PanelError> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/dev").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("gpiochip") {
            continue;
        }
        match Chip::new(entry.path()) {
            Ok(chip) if chip.name() == wanted || chip.label() == wanted => return Ok(chip),
            Ok(chip) => found.push(called(&chip)),
            Err(error) => found.push(format!("{name} (cannot be opened: {error})")),
        }
    }
    Err(PanelError::NoChip { wanted: wanted.to_owned(), found: listed(found) })
}

/// Takes a line to switch something with; it is off.
pub fn output(
    chip: &mut Chip,
    part: &'static str,
    setting: &Setting,
) -> Result<Output<CdevPin>, PanelError> {
    let off = u8::from(setting.active_low);
    let pin = take(chip, part, setting, LineRequestFlags::OUTPUT, off)?;
    Ok(Output::new(part, pin, setting.active_low))
}

/// Takes a line to look at something with.
pub fn input(
    chip: &mut Chip,
    part: &'static str,
    setting: &Setting,
) -> Result<Input<CdevPin>, PanelError> {
    let pin = take(chip, part, setting, LineRequestFlags::INPUT, 0)?;
    Ok(Input::new(part, pin, setting.active_low))
}

fn take(
    chip: &mut Chip,
    part: &'static str,
    setting: &Setting,
    flags: LineRequestFlags,
    default: u8,
) -> Result<CdevPin, PanelError> {
    let line = find(chip, part, &setting.line)?;
    let taken = line.request(flags, default, CONSUMER).and_then(CdevPin::new);
    taken.map_err(|error| match user(&line) {
        Some(by) => PanelError::Taken { part, line: named(&line), by },
        None => PanelError::Failed { part, reason: error.to_string() },
    })
}

fn find(chip: &mut Chip, part: &'static str, wanted: &LineName) -> Result<Line, PanelError> {
    let name = |line: &Line| line.info().ok()?.name().map(str::to_owned);
    let (line, wanted) = match wanted {
        LineName::Offset(offset) => (chip.get_line(*offset).ok(), offset.to_string()),
        LineName::Name(wanted) => {
            let line = chip.lines().find(|line| name(line).as_deref() == Some(wanted));
            (line, wanted.clone())
        }
    };
    line.ok_or_else(|| {
        let names = chip.lines().filter_map(|line| name(&line)).take(LISTED).collect();
        let found = format!("{} lines, by name: {}", chip.num_lines(), listed(names));
        PanelError::NoLine { part, chip: called(chip), wanted, found }
    })
}

/// Who uses a line.
fn user(line: &Line) -> Option<String> {
    let info = line.info().ok()?;
    let by = info.consumer().unwrap_or("the kernel").to_owned();
    info.is_kernel().then_some(by)
}

fn named(line: &Line) -> String {
    let offset = line.offset();
    match line.info().ok().and_then(|info| info.name().map(str::to_owned)) {
        Some(name) => format!("line {offset} ({name})"),
        None => format!("line {offset}"),
    }
}

fn called(chip: &Chip) -> String {
    format!("{} ({})", chip.name(), chip.label())
}

fn listed(mut names: Vec<String>) -> String {
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A line that the panel is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What for.
    pub part: &'static str,
    /// Offset, and name where it has one.
    pub line: String,
    /// Who uses it now, as the kernel calls them; the service itself is `cic-kiosk`.
    pub used_by: Option<String>,
}

/// The chip as the kernel calls it, and the panel's lines; nothing where there is to be no panel.
pub fn probe(settings: &Panel) -> Result<Option<(String, Vec<Part>)>, PanelError> {
    let Some(wanted) = &settings.chip else { return Ok(None) };
    let mut chip = open(wanted)?;
    let parts = [
        ("lamp", &settings.lamp),
        ("button", &settings.button),
        ("light", &settings.light),
        ("red", &settings.red),
    ];
    let wanted = parts.iter().filter_map(|(part, setting)| Some((*part, setting.as_ref()?)));
    let found = wanted.map(|(part, setting)| {
        let line = find(&mut chip, part, &setting.line)?;
        Ok(Part { part, line: named(&line), used_by: user(&line) })
    });
    let found = found.collect::<Result<_, PanelError>>()?;
    Ok(Some((called(&chip), found)))
}
