//! The command line, nothing else.

#![forbid(unsafe_code)]

mod cli;
mod cloud;
mod credentials;
mod database;
mod http;
mod keys;
mod mqtt;
mod outbox;
mod reading;

use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::thread;

use cic_kiosk::page::DECODER;
use env_logger::Env;
use log::{Level, LevelFilter};
use tikv_jemallocator::Jemalloc;

/// The C library's allocator keeps what each thread has freed for that thread: pages are decoded on
/// many threads, a page is 25 MB, and under load a gigabyte was held for nothing.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Warnings and errors, unless `RUST_LOG` says otherwise. The embedded broker calls every client
/// that leaves an error.
const LOGGED: &str = "warn,rumqttd=off";

/// They tell at finer levels which hosts were asked for: that is part of somebody's request.
const HUSHED: [&str; 4] = ["hyper", "hyper_util", "reqwest", "rustls"];

fn main() -> ExitCode {
    let mut logger = env_logger::Builder::from_env(Env::default().default_filter_or(LOGGED));
    for module in HUSHED {
        logger.filter_module(module, LevelFilter::Warn);
    }
    logger.init();
    panic::set_hook(Box::new(tell_of_panic));
    cli::run()
}

/// Where it happened, but not what it said: that may quote a paper. Decoders of other projects may
/// panic over damaged files: that is caught, and is the file's failure.
fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let level = if thread.name() == Some(DECODER) { Level::Debug } else { Level::Error };
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    log::log!(level, "thread {:?} panicked at {place}", thread.name().unwrap_or_default());
}
