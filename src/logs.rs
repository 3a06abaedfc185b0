//! Where records of `log` go: to the journal with their fields, or to stderr as lines.
//!
//! Invariant: no record of ours holds a value of a paper, and libraries that might tell of requests
//! are not heard at finer levels.

use std::env;
use std::panic::{self, PanicHookInfo};
use std::thread;

use cic_kiosk::page::DECODER;
use env_filter::{Builder, FilteredLog};
use log::{Level, LevelFilter};
use systemd_journal_logger::{JournalLog, connected_to_journal};

/// What is logged unless `RUST_LOG` says otherwise.
pub const WARNINGS: &str = "warn";

/// The same for a service, whose log is all that tells of its work.
pub const WORK: &str = "info";

/// They tell at finer levels which hosts were asked for, and what was sent there: that is part of
/// somebody's request; or what files are called, which their senders know.
const HUSHED: [&str; 9] = [
    "axum",
    "hyper",
    "hyper_util",
    "mdns_sd",
    "notify",
    "reqwest",
    "rumqttc",
    "rustls",
    "tokio_rustls",
];

/// From now on, records are logged, and panics with them.
pub fn start(default: &str) {
    let filters = env::var("RUST_LOG").unwrap_or_else(|_| default.to_owned());
    let installed = if connected_to_journal() { to_journal(&filters) } else { false };
    if !installed {
        let mut logger = env_logger::Builder::new();
        logger.parse_filters(&filters);
        for module in HUSHED {
            logger.filter_module(module, LevelFilter::Warn);
        }
        logger.init();
    }
    panic::set_hook(Box::new(tell_of_panic));
}

/// With fields of their own: `SCAN_ID=`, `STAGE=`, `ELAPSED_MS=`. Whether there is a journal.
fn to_journal(filters: &str) -> bool {
    let Ok(journal) = JournalLog::new() else { return false };
    let mut filter = Builder::new();
    filter.parse(filters);
    for module in HUSHED {
        filter.filter_module(module, LevelFilter::Warn);
    }
    let filter = filter.build();
    log::set_max_level(filter.filter());
    log::set_boxed_logger(Box::new(FilteredLog::new(journal, filter))).is_ok()
}

/// Where it happened, but not what it said: that may quote a paper. Decoders of other projects may
/// panic over damaged files: that is caught, and is the file's failure.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let level = if thread.name() == Some(DECODER) { Level::Debug } else { Level::Error };
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    log::log!(level, "thread {:?} panicked at {place}", thread.name().unwrap_or_default());
}
