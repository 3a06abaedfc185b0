//! `submit`: hands documents to the daemon on this machine, or puts them to a queue and prints the answers.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};
use tokio::runtime;
use ulid::Ulid;

use super::config::ConfigArgs;
use super::{Failure, Outcome, print};
use crate::daemon::submit::Client;

/// Hand documents to the daemon on this machine, or with --queue to a queue
///
/// One that the daemon accepts is safe: it is read and delivered whatever happens to the program. Prints
/// the scan's id for each file. With --queue, any number of machines read the files, and the answers are
/// printed as `extract --jsonl` prints them, in the order of the files; the exit status is 1 when some
/// file failed.
#[derive(Args)]
pub struct Submit {
    /// Pictures or PDFs, one scan each unless they belong together
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// The files are the pages of one scan, in their order
    #[arg(long)]
    together: bool,

    /// The daemon's socket [default: kiosk.socket of the configuration]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: ConfigArgs,

    #[cfg(feature = "office")]
    #[command(flatten)]
    queue: office::QueueSubmit,
}

impl Submit {
    /// Whether all were accepted.
    pub fn run(&self) -> Outcome {
        #[cfg(feature = "office")]
        if self.queue.is_meant() {
            if self.together || self.socket.is_some() || self.json {
                let message = "--queue goes without --together, --socket and --json";
                return Err(super::usage_error(message).into());
            }
            return self.queue.run(&self.files, self.config.load()?.config);
        }
        let config = self.config.load()?.config;
        let socket = self.socket.as_ref().unwrap_or(&config.kiosk.socket);
        let client = Client::new(socket)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let max_bytes = config.limits.max_bytes;
        let mut submitted = Vec::new();
        if self.together {
            let files: Result<Vec<_>, _> =
                self.files.iter().map(|it| read(it, max_bytes)).collect();
            let scan = files.and_then(|files| runtime.block_on(client.submit_together(files)));
            submitted.extend(self.files.iter().map(|file| (file, scan.clone())));
            self.tell(&submitted)?;
        } else {
            for file in &self.files {
                let document = read(file, max_bytes);
                let scan = document.and_then(|document| runtime.block_on(client.submit(document)));
                submitted.push((file, scan));
                self.tell(&submitted[submitted.len() - 1..])?;
            }
        }
        if self.json {
            print(&format!("{:#}\n", json(&submitted)))?;
        }
        Ok(submitted.iter().all(|(_, scan)| scan.is_ok()))
    }

    /// As soon as it is known, so that whoever interrupts knows what is safe.
    fn tell(&self, submitted: &[Submitted]) -> Result<(), Failure> {
        for (file, scan) in submitted {
            match scan {
                Ok(_) if self.json => {}
                Ok(scan) => print(&format!("{scan}  {}\n", file.display()))?,
                Err(_) if self.json => {}
                Err(error) => eprintln!("cic-kiosk: {}: {error}", file.display()),
            }
        }
        Ok(())
    }
}

/// A file, and its scan or why there is none.
type Submitted<'a> = (&'a PathBuf, Result<Ulid, String>);

fn json(submitted: &[Submitted]) -> Json {
    let line = |(file, scan): &Submitted| match scan {
        Ok(scan) => json!({"file": file.display().to_string(), "scan_id": scan.to_string()}),
        Err(error) => json!({"file": file.display().to_string(), "error": error}),
    };
    submitted.iter().map(line).collect()
}

/// Never more than one byte over the limit: the daemon refuses what has it.
fn read(file: &Path, max_bytes: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take((max_bytes as u64).saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| format!("the file cannot be read: {error}"))?;
    Ok(bytes)
}

#[cfg(feature = "office")]
mod office {
    use std::num::NonZeroU32;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use cic_kiosk::config::Config;
    use cic_kiosk::page::Files;
    use cic_kiosk::report::schema::{Answer, ErrorCode, Meta};
    use clap::Args;
    use futures_util::StreamExt;
    use futures_util::stream;
    use indicatif::{ProgressBar, ProgressStyle};
    use tokio::runtime;
    use tokio::sync::Semaphore;
    use tokio::task::spawn_blocking;
    use ulid::Ulid;

    use super::super::extract::json_of;
    use super::super::queue::QueueArgs;
    use super::super::{Outcome, print};
    use crate::queue::{Patience, Submitter};
    use crate::reading::{ReadError, Work};

    /// Files that are with the queue at a time.
    const AT_ONCE: usize = 64;

    /// Bytes of these, in pieces of 1024.
    const PIECES: usize = 256 << 10;

    /// What whoever has files for a queue says.
    #[derive(Args)]
    #[command(next_help_heading = "Queue")]
    pub struct QueueSubmit {
        #[command(flatten)]
        queue: QueueArgs,

        /// Fill in the pictures of pages and tables (base64)
        #[arg(long, requires = "queue")]
        thumb: bool,

        /// Seconds after which a file fails that no worker takes, while none takes any
        #[arg(long, value_name = "SECONDS", requires = "queue", default_value = "600")]
        patience: NonZeroU32,
    }

    impl QueueSubmit {
        /// Whether there is a queue.
        pub fn is_meant(&self) -> bool {
            self.queue.is_meant()
        }

        /// Whether all were read.
        pub fn run(&self, files: &[PathBuf], mut config: Config) -> Outcome {
            let role = format!("submit-{}", std::process::id());
            let access = self.queue.access(&mut config, &role)?;
            let patience = Patience {
                reading: config.http.reading_time(),
                waiting: Duration::from_secs(self.patience.get().into()),
            };
            let (max_bytes, max_pages) = (config.limits.max_bytes, config.limits.max_pages);
            let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                let submitter = Submitter::start(access, max_pages, false);
                let line = Line::new(files.len());
                let room = Arc::new(Semaphore::new(PIECES));
                let one = |file: &'_ PathBuf| {
                    let (file, room) = (file.clone(), Arc::clone(&room));
                    let (submitter, line) = (&submitter, &line);
                    async move {
                        let asked = Asked { submitter, patience, max_bytes, pictures: self.thumb };
                        let answer = asked.answer(&file, &room).await;
                        line.one_more(submitter.workers());
                        (file, answer)
                    }
                };
                let mut answers =
                    std::pin::pin!(stream::iter(files.iter().map(one)).buffered(AT_ONCE));
                let (mut well, mut printed) = (true, Ok(()));
                while let Some((file, answer)) = answers.next().await {
                    well &= answer.error == ErrorCode::Success;
                    if let Some(detail) = answer.meta.as_ref().and_then(|meta| meta.detail.as_ref())
                    {
                        log::error!("{}: {detail}", file.display());
                    }
                    let json = format!("{}\n", json_of(&file, &answer));
                    printed = line.bar.suspend(|| print(&json));
                    if printed.is_err() {
                        break;
                    }
                }
                submitter.leave().await;
                printed?;
                Ok(well)
            })
        }
    }

    struct Asked<'a> {
        submitter: &'a Submitter,
        patience: Patience,
        max_bytes: usize,
        pictures: bool,
    }

    impl Asked<'_> {
        /// Whatever happens, there is an answer.
        async fn answer(&self, file: &Path, room: &Semaphore) -> Answer {
            let scan = Ulid::new();
            self.read(file, room, scan).await.unwrap_or_else(|detail| {
                let meta =
                    Meta { scan_id: scan.to_string(), detail: Some(detail), ..Meta::default() };
                Answer::failure(ErrorCode::Internal, meta)
            })
        }

        /// Its bytes are not read before there is room for as many as it may have.
        async fn read(&self, file: &Path, room: &Semaphore, scan: Ulid) -> Result<Answer, String> {
            let bytes = file.metadata().map_or(0, |file| file.len()).min(self.max_bytes as u64);
            let pieces = usize::try_from(bytes / 1024 + 1).unwrap_or(PIECES).min(PIECES);
            let room = room.acquire_many(u32::try_from(pieces).unwrap_or(u32::MAX)).await;
            let _room = room.map_err(|error| error.to_string())?;
            let (path, max_bytes) = (file.to_owned(), self.max_bytes);
            let bytes = spawn_blocking(move || super::read(&path, max_bytes)).await;
            let files = Files::from(bytes.map_err(|error| error.to_string())??);
            let work = Work { scan, files, ahead: Vec::new(), pictures: self.pictures.into() };
            let answer = self.submitter.read(work, self.patience, |_| ()).await;
            let mut answer = answer.map_err(|error| match error {
                ReadError::TooSlow(_) => {
                    format!("nobody took or read it in time ({error})")
                }
                error => error.to_string(),
            })?;
            if !self.pictures {
                answer.drop_pictures();
            }
            Ok(answer)
        }
    }

    /// On a terminal, where the work stands.
    struct Line {
        bar: ProgressBar,
        done: AtomicUsize,
    }

    impl Line {
        fn new(files: usize) -> Self {
            let style =
                ProgressStyle::with_template("{spinner} {pos} of {len} read; {msg} ({elapsed})");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(files as u64).with_style(style).with_message("connecting");
            bar.enable_steady_tick(Duration::from_millis(500));
            Self { bar, done: AtomicUsize::new(0) }
        }

        fn one_more(&self, workers: Option<usize>) {
            self.bar.set_position(self.done.fetch_add(1, Ordering::Relaxed) as u64 + 1);
            self.bar.set_message(match workers {
                Some(1) => "1 worker".to_owned(),
                Some(workers) => format!("{workers} workers"),
                None => "the broker is away".to_owned(),
            });
        }
    }

    impl Drop for Line {
        fn drop(&mut self) {
            self.bar.finish_and_clear();
        }
    }
}
