//! The command line, nothing else.

#![forbid(unsafe_code)]

mod capture;
mod cli;
mod cloud;
mod credentials;
mod daemon;
mod database;
mod fleet;
mod http;
mod keys;
mod logs;
mod mqtt;
#[cfg(feature = "office")]
mod office;
mod outbox;
mod panel;
mod provisioning;
#[cfg(feature = "office")]
mod queue;
mod reading;
mod scan;
mod screen;
mod signals;
mod updates;
mod worker;

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The C library's allocator keeps what each thread has freed for that thread: pages are decoded on
/// many threads, a page is 25 MB, and under load a gigabyte was held for nothing.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    // Where the kernel gives memory out in pieces of 2 MiB unasked, as Debian's does, the stack of each
    // thread takes one: an idle kiosk holds 48 MiB instead of 20. Where that is refused, it costs no more than this.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    cli::run()
}
