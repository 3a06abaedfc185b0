//! `worker`: decodes and reads documents for a daemon, in a process of its own.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use clap::Args;
use rustix::process::{Signal, getpid, kill_process};

use super::Outcome;
use crate::worker;

/// Decode and read documents for a service that has `reading.worker` set
///
/// It is started by its socket's unit, with the connection as its stdin, and ends with it.
#[derive(Args)]
pub struct Worker {}

impl Worker {
    /// Works until its connection ends.
    pub fn run(&self) -> Outcome {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.peer_addr().map_err(
            |_| "the worker needs its connection as stdin: cic-kiosk-worker.socket starts it",
        )?;
        stream.set_nonblocking(false)?;
        if !worker::serve(stream)? {
            // Threads still compute, for nobody. An end in order would wait for some, and take away
            // from under others what they compute with.
            kill_process(getpid(), Signal::KILL)?;
        }
        Ok(true)
    }
}
