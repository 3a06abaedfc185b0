//! The command line, nothing else.

#![forbid(unsafe_code)]

mod cli;
mod http;
mod keys;
mod mqtt;
mod reading;

use std::process::ExitCode;

use env_logger::Env;
use log::LevelFilter;

/// Warnings and errors, unless `RUST_LOG` says otherwise. The embedded broker calls every client
/// that leaves an error.
const LOGGED: &str = "warn,rumqttd=off";

/// They tell at finer levels which hosts were asked for: that is part of somebody's request.
const HUSHED: [&str; 3] = ["reqwest", "hyper", "hyper_util"];

fn main() -> ExitCode {
    let mut logger = env_logger::Builder::from_env(Env::default().default_filter_or(LOGGED));
    for module in HUSHED {
        logger.filter_module(module, LevelFilter::Warn);
    }
    logger.init();
    cli::run()
}
