//! The command line: one file per subcommand, and what they share.
//!
//! Results go to stdout, everything else to stderr. The exit status is 0, 1 where something failed,
//! or 64 where the command line itself is wrong (`EX_USAGE` of sysexits.h).

#[cfg(feature = "office")]
mod authority;
mod capture;
mod claim;
mod cloud;
mod config;
mod demo;
mod doctor;
mod eval;
mod extract;
#[cfg(feature = "office")]
mod fleet;
mod keys;
mod model;
mod outbox;
mod overlay;
mod progress;
#[cfg(feature = "office")]
mod queue;
mod run;
mod scan;
mod serve;
mod setup;
mod submit;
mod table;
mod worker;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::logs;

const USAGE: u8 = 64;

/// What a subcommand comes to: whether all went well, or why it could not do its work.
type Outcome = Result<bool, Failure>;

/// Why a subcommand could not do its work.
type Failure = Box<dyn Error + Send + Sync>;

/// Reads CIC credit reports, scanned or digital, and answers in the JSON of the cloud API.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Extract(extract::Extract),
    Eval(eval::Eval),
    Demo(demo::Demo),
    Serve(serve::Serve),
    Run(run::Run),
    Submit(submit::Submit),
    Scan(scan::Scan),
    Capture(capture::Capture),
    Keys(keys::Keys),
    Outbox(outbox::Outbox),
    Cloud(cloud::Cloud),
    Model(model::Model),
    Config(config::Config),
    Doctor(doctor::Doctor),
    Claim(claim::Claim),
    #[cfg(feature = "office")]
    Authority(authority::Authority),
    #[cfg(feature = "office")]
    Fleet(fleet::Fleet),
    #[command(hide = true)]
    #[cfg_attr(not(feature = "office"), command(hide = true))]
    Worker(worker::Worker),
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let works = matches!(cli.command, Command::Run(_) | Command::Claim(_));
    logs::start(if works { logs::WORK } else { logs::WARNINGS });
    let outcome = match &cli.command {
        Command::Extract(extract) => extract.run(),
        Command::Eval(eval) => eval.run(),
        Command::Demo(demo) => demo.run(),
        Command::Serve(serve) => serve.run(),
        Command::Run(run) => run.run(),
        Command::Submit(submit) => submit.run(),
        Command::Scan(scan) => scan.run(),
        Command::Capture(capture) => capture.run(),
        Command::Keys(keys) => keys.run(),
        Command::Outbox(outbox) => outbox.run(),
        Command::Cloud(cloud) => cloud.run(),
        Command::Model(model) => model.run(),
        Command::Config(config) => config.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Claim(claim) => claim.run(),
        #[cfg(feature = "office")]
        Command::Authority(authority) => authority.run(),
        #[cfg(feature = "office")]
        Command::Fleet(fleet) => fleet.run(),
        Command::Worker(worker) => worker.run(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<clap::Error>() => {
            error.downcast_ref().map_or(ExitCode::from(USAGE), usage)
        }
        // Whoever reads our stdout has seen enough, as `head` does.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cic-kiosk: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An error in the command line that clap cannot know of.
fn usage_error(message: &str) -> clap::Error {
    Cli::command().error(clap::error::ErrorKind::ValueValidation, message)
}

/// Help and version are no errors; everything else that clap has to say is.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed stdout or stderr leaves nobody to tell.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes to stdout, and fails rather than panics where it is closed.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
