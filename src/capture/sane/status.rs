//! What `scanimage` says when it does not do what it should, in words that say what to do.
//!
//! Its exit status is a `SANE_Status` where the scan itself failed, and 1 where it did not come to
//! that; then the last line that it wrote to stderr says more. Nothing of that line is passed on but
//! the name of an option.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use super::Fault;

/// Statuses of SANE's standard, as numbers and as `sane_strstatus` calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Unsupported = 1,
    Cancelled = 2,
    Busy = 3,
    Invalid = 4,
    Jammed = 6,
    NoDocuments = 7,
    CoverOpen = 8,
    Io = 9,
    NoMemory = 10,
    Denied = 11,
}

const STATUSES: [(Status, &str); 10] = [
    (Status::Unsupported, "Operation not supported"),
    (Status::Cancelled, "Operation was canceled"),
    (Status::Busy, "Device busy"),
    (Status::Invalid, "Invalid argument"),
    (Status::Jammed, "Document feeder jammed"),
    (Status::NoDocuments, "Document feeder out of documents"),
    (Status::CoverOpen, "Scanner cover is open"),
    (Status::Io, "Error during device I/O"),
    (Status::NoMemory, "Out of memory"),
    (Status::Denied, "Access to resource has been denied"),
];

/// Why there are no more pages, or no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The feeder is empty.
    NoPaper,
    /// A person at the scanner can mend it: how.
    Person(&'static str),
    /// Nobody there can.
    Fault(Fault),
}

/// What is wrong; nothing where the program ended well.
pub(super) fn trouble(exit: ExitStatus, stderr: &str) -> Option<Trouble> {
    let said = Said::last(stderr);
    let code = match (exit.code(), exit.signal()) {
        (Some(0), _) => match said {
            // Out of documents is the good end of a batch.
            Some(Said::Scan(Status::NoDocuments)) => return Some(Trouble::NoPaper),
            _ => return None,
        },
        (Some(code), _) => code,
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            return failing(format!("scanimage was ended by signal {signal}; it is tried again"));
        }
    };
    let by_code = STATUSES.iter().find(|(status, _)| *status as i32 == code && code > 1);
    match (said, by_code) {
        (Some(said), _) => said.trouble(),
        (None, Some(&(status, _))) => not_scanned(status),
        (None, None) => failing(format!(
            "scanimage ended with status {code}: run it by hand with the same settings, it says why"
        )),
    }
}

/// What is wrong as far as the program has said so before its end.
pub(super) fn told(stderr: &str) -> Option<Trouble> {
    Said::last(stderr)?.trouble()
}

/// Pictures do not fit where they are written.
pub(super) const NO_ROOM: &str =
    "a page did not fit where scanimage writes it: give its folder, a tmpfs, more room";

fn failing(words: String) -> Option<Trouble> {
    Some(Trouble::Fault(Fault::Failing(words)))
}

fn absent() -> Option<Trouble> {
    let words = "SANE finds no such scanner: plug it in, switch it on, and compare sane.device with \
                 what `scanimage -L` shows";
    Some(Trouble::Fault(Fault::Absent(words.to_owned())))
}

fn not_opened(status: Status) -> Option<Trouble> {
    match status {
        // What dll says of a name that no backend knows.
        Status::Invalid => absent(),
        status => not_scanned(status),
    }
}

fn not_scanned(status: Status) -> Option<Trouble> {
    let words = match status {
        Status::NoDocuments => return Some(Trouble::NoPaper),
        Status::Jammed => {
            return Some(Trouble::Person(
                "paper is jammed in the scanner: take it out, put the pages that are missing into \
                 the feeder, and press the button",
            ));
        }
        Status::CoverOpen => {
            return Some(Trouble::Person(
                "the scanner's cover is open: close it, and press the button",
            ));
        }
        Status::Cancelled => {
            return Some(Trouble::Person(
                "the scan was cancelled at the scanner: press the button to go on",
            ));
        }
        Status::Busy => "the scanner is in use by another program: end that, or wait",
        Status::Invalid => {
            "the scanner refuses this choice of settings: compare sane.dpi, sane.mode, sane.source \
             and sane.options with what `scanimage -A` shows"
        }
        Status::Unsupported => {
            "the scanner cannot do this: compare sane.mode and sane.source with what `scanimage -A` \
             shows"
        }
        Status::Io => {
            "the scanner does not answer: check cable and power, and switch it off and on again"
        }
        Status::NoMemory => "there is not enough memory for a page: lower sane.dpi",
        Status::Denied => {
            "access to the scanner is denied: the service's user must be in the group `scanner`"
        }
    };
    failing(words.to_owned())
}

/// What a line of stderr says.
enum Said {
    Option(String),
    NoDevice,
    NoRoom,
    Open(Status),
    Scan(Status),
}

impl Said {
    /// The last of these lines that says anything.
    fn last(stderr: &str) -> Option<Self> {
        stderr.lines().rev().find_map(|line| Self::of(line.trim()))
    }

    fn trouble(self) -> Option<Trouble> {
        match self {
            Self::Option(name) => failing(format!(
                "the scanner refuses {}: `scanimage -A` shows its options and their values",
                setting(&name)
            )),
            Self::NoDevice => absent(),
            Self::NoRoom => failing(NO_ROOM.to_owned()),
            Self::Open(status) => not_opened(status),
            Self::Scan(status) => not_scanned(status),
        }
    }

    fn of(line: &str) -> Option<Self> {
        let status = || STATUSES.iter().find(|(_, words)| line.ends_with(words)).map(|of| of.0);
        let Some(said) = line.strip_prefix("scanimage: ") else {
            let no_room = line.contains("out of disk space") || line.starts_with("cannot open ");
            return no_room.then_some(Self::NoRoom);
        };
        for refusal in [
            "setting of option --",
            "attempted to set inactive option ",
            "attempted to set readonly option ",
            "unrecognized option '--",
            "unrecognized option `--",
            "ambiguous option '--",
            "option --",
        ] {
            if let Some(rest) = said.strip_prefix(refusal) {
                let name = rest.chars().take_while(|&c| c.is_ascii_alphanumeric() || c == '-');
                return Some(Self::Option(name.take(64).collect()));
            }
        }
        if said.starts_with("no SANE devices found") {
            return Some(Self::NoDevice);
        }
        if said.starts_with("open of device ") {
            return status().map(Self::Open);
        }
        if said.starts_with("sane_start: ") || said.starts_with("sane_read: ") {
            return status().map(Self::Scan);
        }
        None
    }
}

/// Where an option is set.
fn setting(option: &str) -> String {
    match option {
        "resolution" => "sane.dpi".to_owned(),
        "mode" | "source" => format!("sane.{option}"),
        other => format!("the option {other} of sane.options"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn every_status_is_told_by_number_and_by_words() {
        for (status, words) in STATUSES {
            let told =
                trouble(exit(1), &format!("scanimage: sane_start: {words}\nBatch terminated"));
            assert_eq!(told, not_scanned(status));
            if status != Status::Unsupported {
                assert_eq!(trouble(exit(status as i32), ""), told, "{words}");
            }
        }
    }

    #[test]
    fn feeder_that_has_run_empty_is_a_good_end() {
        let said = "scanimage: sane_read: Document feeder out of documents\nBatch terminated";
        assert_eq!(trouble(exit(0), said), Some(Trouble::NoPaper));
        assert_eq!(trouble(exit(7), ""), Some(Trouble::NoPaper));
        assert_eq!(trouble(exit(0), "Batch terminated, 2 pages scanned"), None);
    }

    #[test]
    fn nothing_that_the_program_says_is_passed_on_but_an_options_name() {
        let said = "scanimage: setting of option --mode failed (secret)\nscanimage: more secrets";
        let Some(Trouble::Fault(Fault::Failing(words))) = trouble(exit(1), said) else { panic!() };
        assert!(words.contains("sane.mode") && !words.contains("secret"), "{words}");
        let Some(Trouble::Fault(Fault::Failing(words))) = trouble(exit(33), "secret") else {
            panic!()
        };
        assert!(words.contains("33") && !words.contains("secret"), "{words}");
    }
}
