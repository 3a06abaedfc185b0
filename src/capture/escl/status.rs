//! How a scanner is: `ScannerStatus`, and what a person is told about it.

use super::xml::{member, members, parse, text, texts};
use crate::capture::{Fault, State};

/// What to do about an empty feeder.
pub const EMPTY: &str = "the feeder is empty: put the paper into it, and begin again";

/// What a scanner says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub device: Device,
    /// How its feeder is, where it says that.
    pub feeder: Option<Feeder>,
    jobs: Vec<JobInfo>,
}

/// What a scanner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Nothing, or nothing that it has a word for.
    Idle,
    /// It scans, for whomever.
    Processing,
    /// It tests itself.
    Testing,
    /// It waits for a person.
    Stopped,
    /// It is out of order.
    Down,
}

/// How a feeder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeder {
    /// There is paper in it.
    Loaded,
    /// There is none.
    Empty,
    /// Paper runs through it.
    Processing,
    /// What a person must do.
    Trouble(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct JobInfo {
    /// Its last part names the job, whatever host stands before it.
    uri: String,
    state: String,
    reasons: Vec<String>,
}

/// What it means that a scanner has no more pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All have been scanned.
    Complete,
    /// The first is not there yet.
    NotYet,
    /// The job broke off.
    Broken(Fault),
}

impl Status {
    /// Reads it, where there is one.
    pub fn read(xml: &str) -> Option<Self> {
        let document = parse(xml, "ScannerStatus")?;
        let root = document.root_element();
        let infos = member(root, "Jobs").into_iter().flat_map(|jobs| members(jobs, "JobInfo"));
        let info = |info| JobInfo {
            uri: text(info, "JobUri").unwrap_or_default().to_owned(),
            state: text(info, "JobState").unwrap_or_default().to_owned(),
            reasons: texts(info, "JobStateReason"),
        };
        Some(Self {
            device: device(text(root, "State")?),
            feeder: text(root, "AdfState").and_then(feeder),
            jobs: infos.map(info).collect(),
        })
    }

    /// How the scanner is, for somebody who wants to scan. `by_feeder`: paper may come from there.
    pub fn state(&self, by_feeder: bool) -> State {
        let asking = |what: &str| State::Asking(what.to_owned());
        match (self.device, self.feeder) {
            (_, Some(Feeder::Trouble(what))) if by_feeder => asking(what),
            (Device::Idle, _) => State::Ready,
            (Device::Processing, _) => {
                asking("the scanner works for somebody else: wait until it has finished")
            }
            (Device::Testing, _) => asking("the scanner tests itself: wait until it has finished"),
            (Device::Stopped, _) => {
                asking("the scanner has stopped: do what its own panel asks for")
            }
            (Device::Down, _) => State::Failing(
                "the scanner is out of order: switch it off and on, and look at its own panel"
                    .to_owned(),
            ),
        }
    }

    /// What hinders a scan, if the scanner names anything.
    pub fn trouble(&self, by_feeder: bool) -> Option<Fault> {
        match (self.device, self.state(by_feeder)) {
            // That is the job which is asked about, or it will pass by itself.
            (Device::Processing | Device::Testing, State::Asking(_))
                if !matches!(self.feeder, Some(Feeder::Trouble(_))) =>
            {
                None
            }
            (_, State::Asking(reason) | State::Failing(reason)) => Some(Fault::Failing(reason)),
            _ => None,
        }
    }

    /// What it means that job `path` has no more pages, after it has given this many.
    pub fn verdict(&self, path: &str, pages: usize, by_feeder: bool) -> Verdict {
        if let Some(fault) = self.trouble(by_feeder) {
            return Verdict::Broken(fault);
        }
        let id = |path: &str| path.trim_end_matches('/').rsplit('/').next().map(str::to_owned);
        let Some(job) = self.jobs.iter().find(|job| id(&job.uri) == id(path)) else {
            return Verdict::Complete;
        };
        match job.state.as_str() {
            "Pending" | "Processing" if pages == 0 => Verdict::NotYet,
            // A feeder that runs empty is how its jobs end, whatever a scanner calls that.
            "Aborted" if by_feeder && self.feeder == Some(Feeder::Empty) => Verdict::Complete,
            "Aborted" | "Canceled" => Verdict::Broken(Fault::Failing(job.why())),
            _ => Verdict::Complete,
        }
    }
}

impl JobInfo {
    /// In words, by the first reason that has some.
    fn why(&self) -> String {
        let mut known = self.reasons.iter().filter_map(|reason| words(reason));
        let why = match known.next() {
            Some(why) => why,
            None if self.state == "Canceled" => "it was cancelled at the scanner: begin again",
            None => "the scanner names no reason: look at its own panel, and begin again",
        };
        format!("the scan broke off: {why}")
    }
}

fn device(name: &str) -> Device {
    match name {
        "Processing" => Device::Processing,
        "Testing" => Device::Testing,
        "Stopped" => Device::Stopped,
        "Down" => Device::Down,
        _ => Device::Idle,
    }
}

fn feeder(name: &str) -> Option<Feeder> {
    let trouble = match name {
        // The second is how a common server on Windows spells it.
        "ScannerAdfLoaded" | "ScannedAdfLoaded" => return Some(Feeder::Loaded),
        "ScannerAdfEmpty" => return Some(Feeder::Empty),
        "ScannerAdfProcessing" => return Some(Feeder::Processing),
        "ScannerAdfJam" => {
            "paper is jammed in the feeder: open its cover, take the paper out, put it in again"
        }
        "ScannerAdfMispick" => {
            "the feeder cannot draw the paper in: take it out, straighten it, put it in again"
        }
        // The second is AirSane's.
        "ScannerAdfHatchOpen" | "ScannerAdfDoorOpen" => "the feeder's cover is open: close it",
        "ScannerAdfMultipickDetected" => {
            "the feeder drew in several sheets at once: take the paper out, fan it, put it in again"
        }
        "ScannerAdfDuplexPageTooShort" => {
            "a sheet is too short to be scanned on both sides: scan it on the glass"
        }
        "ScannerAdfDuplexPageTooLong" => {
            "a sheet is too long to be scanned on both sides: scan it on the glass"
        }
        "ScannerAdfInputTrayFailed" => {
            "the feeder's tray has failed: take the paper out, switch the scanner off and on"
        }
        "ScannerAdfInputTrayOverloaded" => {
            "there is too much paper in the feeder: take some of it out"
        }
        _ => return None,
    };
    Some(Feeder::Trouble(trouble))
}

/// What a job's reason means for a person, where it is one to break off for.
fn words(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "JobCanceledByUser" | "JobCanceledByOperator" | "JobCanceledAtDevice" => {
            "it was cancelled at the scanner: begin again"
        }
        "JobTimedOut" => "it took the scanner too long: begin again",
        "AbortedBySystem" | "ErrorsDetected" => {
            "the scanner met an error: look at its own panel, and begin again"
        }
        "ResourcesAreNotReady" => {
            "the scanner was not ready: look for paper and open covers, and begin again"
        }
        "ServiceOffLine" => "scanning is switched off at the scanner: switch it on there",
        "InvalidScanTicket" | "UnsupportedAttributesOrValues" | "ConflictingAttributes" => {
            "the scanner refuses its settings: change escl.dpi, escl.color or escl.duplex"
        }
        "UnsupportedDocumentFormat" | "DocumentFormatError" | "CompressionError" => {
            "the scanner cannot make a JPEG of it: use another scanner"
        }
        "DocumentAccessError" | "DocumentPermissionError" => {
            "the scanner does not permit it: allow scanning without a password there"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As AirSane answers.
    fn status(device: &str, feeder: &str, jobs: &str) -> Status {
        let xml = format!(
            "<?xml version='1.0' encoding='UTF-8'?>\r\n\
             <scan:ScannerStatus xmlns:pwg='http://www.pwg.org/schemas/2010/12/sm' \
             xmlns:scan='http://schemas.hp.com/imaging/escl/2011/05/03'>\r\n\
             <pwg:Version>2.0</pwg:Version>\r\n<pwg:State>{device}</pwg:State>\r\n\
             <scan:AdfState>{feeder}</scan:AdfState>\r\n\
             <scan:Jobs>\r\n{jobs}</scan:Jobs>\r\n</scan:ScannerStatus>\r\n"
        );
        Status::read(&xml).unwrap()
    }

    fn job(id: &str, state: &str, reason: &str) -> String {
        format!(
            "<scan:JobInfo>\r\n<pwg:JobUri>/eSCL/ScanJobs/{id}</pwg:JobUri>\r\n\
             <pwg:JobUuid>{id}</pwg:JobUuid>\r\n<scan:Age>4</scan:Age>\r\n\
             <pwg:JobState>{state}</pwg:JobState>\r\n\
             <pwg:ImagesCompleted>1</pwg:ImagesCompleted>\r\n<pwg:JobStateReasons>\r\n\
             <pwg:JobStateReason>{reason}</pwg:JobStateReason>\r\n\
             </pwg:JobStateReasons>\r\n</scan:JobInfo>\r\n"
        )
    }

    fn reason(state: State) -> String {
        match state {
            State::Asking(reason) | State::Failing(reason) => reason,
            state => panic!("{state:?} has no reason"),
        }
    }

    const TROUBLES: [&str; 9] = [
        "ScannerAdfJam",
        "ScannerAdfMispick",
        "ScannerAdfHatchOpen",
        "ScannerAdfDoorOpen",
        "ScannerAdfDuplexPageTooShort",
        "ScannerAdfDuplexPageTooLong",
        "ScannerAdfMultipickDetected",
        "ScannerAdfInputTrayFailed",
        "ScannerAdfInputTrayOverloaded",
    ];

    #[test]
    fn every_trouble_of_the_feeder_says_what_to_do_and_hinders_only_who_uses_it() {
        for name in TROUBLES {
            let status = status("Idle", name, "");
            assert!(reason(status.state(true)).contains(": "), "{name}");
            assert_eq!(status.state(false), State::Ready, "{name}");
            assert!(matches!(status.verdict("x", 1, true), Verdict::Broken(_)), "{name}");
            assert_eq!(status.verdict("x", 1, false), Verdict::Complete, "{name}");
        }
    }

    #[test]
    fn every_state_of_the_scanner_says_what_to_do() {
        assert_eq!(status("Idle", "ScannerAdfLoaded", "").state(true), State::Ready);
        assert_eq!(status("Idle", "ScannerAdfEmpty", "").state(true), State::Ready);
        for name in ["Processing", "Testing", "Stopped", "Down"] {
            let state = status(name, "ScannerAdfEmpty", "").state(true);
            assert_eq!(matches!(state, State::Failing(_)), name == "Down");
            assert!(reason(state).contains(": "), "{name}");
        }
    }

    #[test]
    fn what_scanners_say_differently_is_understood() {
        assert_eq!(status("Idle", "ScannedAdfLoaded", "").feeder, Some(Feeder::Loaded));
        assert_eq!(status("Idle", "", "").feeder, None);
        assert_eq!(status("Sleeping", "", "").device, Device::Idle);
        let swapped = "<s:ScannerStatus xmlns:s='http://schemas.hp.com/imaging/escl/2011/05/03'>\
                       <s:State>Stopped</s:State></s:ScannerStatus>";
        assert_eq!(Status::read(swapped).unwrap().device, Device::Stopped);
        assert_eq!(Status::read("<html/>"), None);
    }

    #[test]
    fn end_of_a_job_is_told_from_its_failure() {
        let verdict = |feeder, state, reason, pages| {
            let jobs = job("old", "Aborted", "ErrorsDetected") + &job("mine", state, reason);
            status("Idle", feeder, &jobs).verdict("/eSCL/ScanJobs/mine", pages, true)
        };
        let (empty, loaded) = ("ScannerAdfEmpty", "ScannerAdfLoaded");
        assert_eq!(verdict(empty, "Completed", "JobCompletedSuccessfully", 3), Verdict::Complete);
        assert_eq!(verdict(empty, "Aborted", "ResourcesAreNotReady", 0), Verdict::Complete);
        assert_eq!(verdict(loaded, "Processing", "JobScanning", 0), Verdict::NotYet);
        assert_eq!(verdict(loaded, "Processing", "JobScanning", 1), Verdict::Complete);
        for (state, reason) in [
            ("Aborted", "ErrorsDetected"),
            ("Aborted", "InvalidScanTicket"),
            ("Aborted", "SomethingNew"),
            ("Canceled", "JobCanceledByUser"),
            ("Canceled", "None"),
        ] {
            let Verdict::Broken(fault) = verdict(loaded, state, reason, 2) else {
                panic!("{state} {reason}");
            };
            assert!(fault.to_string().starts_with("the scan broke off: "), "{fault}");
        }
    }

    #[test]
    fn job_that_is_not_listed_has_ended() {
        let status = status("Idle", "ScannerAdfEmpty", &job("other", "Aborted", "None"));
        assert_eq!(status.verdict("/eSCL/ScanJobs/mine", 1, true), Verdict::Complete);
    }
}
