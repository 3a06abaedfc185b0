//! Packages of models: one signed file takes the place of the models that were installed with the
//! program, and leaves it again when it does not do.
//!
//! Promises:
//! - Nothing of a package is looked at before its signature is that of a key that the kiosk's own
//!   configuration names ([`archive`]).
//! - What is in force changes in one step, by one file that is the old one or the new one whenever
//!   the power fails ([`store`]); all before it is a folder that nobody reads yet.
//! - A package is used only after its golden pages were read with it, in a process of its own, as
//!   right and as fast as it demands ([`golden`]).
//! - It is on trial then: one that does not start, or reads worse than what was there before, is left
//!   by itself ([`trial`]).
//! - The models that were installed with the program are never touched.

pub mod archive;
pub mod fetch;
pub mod golden;
pub mod install;
#[cfg(feature = "office")]
pub mod making;
pub mod package;
pub mod store;
pub mod trial;

use std::io;

use jiff::Timestamp;

use package::Version;

/// Why a package is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Nobody may sign packages.
    #[error("models.keys names no key: no package can be believed")]
    NoKeys,
    /// The file does not begin with a signature.
    #[error("it is no signed package of models")]
    Unsigned,
    /// The signature is not of a known key, or not of this file.
    #[error(
        "its signature is of none of the keys in models.keys, or the file is damaged or cut off"
    )]
    Signature,
    /// It is not in the form of a package.
    #[error("it is not in the form of a package: {0}")]
    Malformed(String),
    /// It is larger than may be.
    #[error("it has more than {0} bytes (models.max_bytes)")]
    TooLarge(u64),
    /// It needs a newer program.
    #[error("it needs cic-kiosk {needs}, and this is {is}: update the program first")]
    Program {
        /// The oldest that would do.
        needs: Version,
        /// The one that there is.
        is: Version,
    },
    /// It is for other devices.
    #[error("it is for {its}, and this kiosk is {here}")]
    Device {
        /// Those that it is for.
        its: String,
        /// What the kiosk is.
        here: String,
    },
    /// It is too old to be installed.
    #[error("it expired at {at}, and here it is {now}")]
    Expired {
        /// When.
        at: Timestamp,
        /// By the kiosk's clock.
        now: Timestamp,
    },
    /// There is a newer one, or the same.
    #[error("it is {its}, and {present} is used already; allow an older one to go back")]
    Older {
        /// Which one it is.
        its: Version,
        /// The one that is used.
        present: Version,
    },
    /// It was tried here and left.
    #[error("{0} was used here and left because it did not do; allow it to try again")]
    FailedBefore(Version),
    /// Its golden pages could not be read, or not right enough.
    #[error("its golden pages: {0}")]
    Golden(String),
    /// It is too slow for this machine.
    #[error(
        "it is too slow: a golden page takes {took:.2} s, and {present:.2} s with the models that \
         are used now; at most {most} times as long is allowed"
    )]
    Slow {
        /// Seconds for a page.
        took: f64,
        /// The same with the models that are used now.
        present: f64,
        /// How often that it may take.
        most: f64,
    },
    /// It could not be had.
    #[error("it cannot be had: {0}")]
    Download(String),
    /// Somebody else changes the models now.
    #[error("another package is being installed; try again later")]
    Busy,
    /// There is nothing to go back to.
    #[error("the installed models are used: there are none to go back to")]
    Nothing,
    /// The disk fails.
    #[error("the models' folder cannot be used: {0}")]
    Disk(#[from] io::Error),
}

impl Refusal {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoKeys => "no_keys",
            Self::Unsigned => "unsigned",
            Self::Signature => "signature",
            Self::Malformed(_) => "malformed",
            Self::TooLarge(_) => "too_large",
            Self::Program { .. } => "program",
            Self::Device { .. } => "device",
            Self::Expired { .. } => "expired",
            Self::Older { .. } => "older",
            Self::FailedBefore(_) => "failed_before",
            Self::Golden(_) => "golden",
            Self::Slow { .. } => "slow",
            Self::Download(_) => "download",
            Self::Busy => "busy",
            Self::Nothing => "nothing",
            Self::Disk(_) => "disk",
        }
    }
}

/// SHA-256 as it is written down.
fn hexadecimal(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
