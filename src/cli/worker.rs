//! `worker`: decodes and reads documents for others: for a daemon, in a process of its own, or for those who
//! put them to a queue.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use clap::Args;
use rustix::process::{Signal, getpid, kill_process};

use super::Outcome;
use crate::worker;

/// Read documents for others: those that were put to a queue, with --queue
///
/// Any number of machines share the work. SIGTERM ends it when it has read what it holds. Without --queue
/// it reads for a service that has `reading.worker` set: its socket's unit starts it, with the connection
/// as its stdin, and it ends with that.
#[derive(Args)]
pub struct Worker {
    #[cfg(feature = "office")]
    #[command(flatten)]
    queue: office::QueueWorker,
}

impl Worker {
    /// Works until it is told to end, or until its connection ends.
    pub fn run(&self) -> Outcome {
        #[cfg(feature = "office")]
        if self.queue.is_meant() {
            return self.queue.run();
        }
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

#[cfg(feature = "office")]
mod office {
    use std::sync::Arc;

    use clap::Args;
    use tokio::runtime;

    use super::super::config::ConfigArgs;
    use super::super::queue::QueueArgs;
    use super::super::setup::ReadingArgs;
    use super::super::{Outcome, print};
    use crate::queue;
    use crate::reading::Reader;
    use crate::signals::Signals;

    /// What a worker of the queue is told.
    #[derive(Args)]
    pub struct QueueWorker {
        #[command(flatten)]
        queue: QueueArgs,

        #[command(flatten)]
        config: ConfigArgs,

        #[command(flatten)]
        reading: ReadingArgs,
    }

    impl QueueWorker {
        /// Whether there is a queue.
        pub fn is_meant(&self) -> bool {
            self.queue.is_meant()
        }

        /// Works until it is told to end.
        pub fn run(&self) -> Outcome {
            let mut config = self.config.load()?.config;
            self.reading.apply(&mut config);
            let access = self.queue.access(&mut config, "worker")?;
            let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                let reader = Arc::new(Reader::new(&config));
                // Before the first document rather than with it; without models there is nothing to do.
                reader.load().await?;
                let mut signals = Signals::take()?;
                print(&format!("reading as {}, {} at a time\n", access.name, reader.threads()))?;
                let worker = queue::Worker::start(access, reader);
                worker.run(signals.end(), config.kiosk.drain_time()).await;
                Ok(true)
            })
        }
    }
}
