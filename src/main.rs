//! The command line, nothing else.

#![forbid(unsafe_code)]

mod cli;
mod keys;
mod mqtt;
mod reading;

use std::process::ExitCode;

use env_logger::Env;

/// Warnings and errors, unless `RUST_LOG` says otherwise. The embedded broker calls every client
/// that leaves an error.
const LOGGED: &str = "warn,rumqttd=off";

fn main() -> ExitCode {
    env_logger::Builder::from_env(Env::default().default_filter_or(LOGGED)).init();
    cli::run()
}
