//! The worker's end: does what the connection says, until that ends.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use cic_kiosk::config::Config;
use cic_kiosk::page::{Files, Page};
use ulid::Ulid;

use super::protocol::{self, Hello, Order, Outcome, Said, Task, VERSION, Welcome, broken};
use crate::reading::{Clock, Local, LocalAhead};

/// Pages that are kept: the daemon has few in work, and forgets those that it does not want.
const PAGES: usize = 200;

/// A page that the daemon may come back to.
enum Kept {
    Seen(Box<Page>),
    Read(Arc<LocalAhead>),
}

struct Server {
    local: Local,
    /// Where answers go. One at a time.
    out: Mutex<UnixStream>,
    pages: Mutex<BTreeMap<u64, Kept>>,
    under_way: Mutex<HashMap<u64, Arc<Clock>>>,
}

/// Serves one connection until its other end closes it. Whether nothing is under way then.
///
/// # Errors
/// Where the other end does not keep to the protocol, or is of another version.
pub fn serve(mut stream: UnixStream) -> io::Result<bool> {
    let Some((hello, bytes)) = protocol::read::<Hello>(&mut stream)? else { return Ok(true) };
    stream.write_all(&protocol::beginning(&Welcome { version: VERSION.to_owned() }, 0))?;
    if hello.version != VERSION {
        return Err(broken("the daemon is of another version: restart its service"));
    }
    let Hello { reading, limits, quality, models, .. } = hello;
    let (names, lengths): (Vec<String>, Vec<usize>) = models.into_iter().unzip();
    let files = protocol::files(bytes, &lengths).ok_or_else(|| broken("models are cut off"))?;
    let models = (!names.is_empty()).then(|| names.into_iter().zip(files).collect());
    let server = Arc::new(Server {
        local: Local::with(&Config { reading, limits, quality, ..Config::default() }, models),
        out: Mutex::new(stream.try_clone()?),
        pages: Mutex::default(),
        under_way: Mutex::default(),
    });
    while let Some((order, bytes)) = protocol::read::<Order>(&mut stream)? {
        match order {
            Order::Do(number, task) => Arc::clone(&server).begin(number, task, bytes)?,
            Order::Cancel(number) => {
                if let Some(clock) = lock(&server.under_way).get(&number) {
                    clock.cancel();
                }
            }
            Order::Forget(page) => {
                lock(&server.pages).remove(&page);
            }
        }
    }
    Ok(lock(&server.under_way).is_empty())
}

impl Server {
    /// Does a task on a thread of its own: this one hears of the connection's end whatever they do.
    fn begin(self: Arc<Self>, number: u64, task: Task, bytes: Vec<u8>) -> io::Result<()> {
        let clock = Arc::<Clock>::default();
        lock(&self.under_way).insert(number, Arc::clone(&clock));
        let work = move || {
            let done = catch_unwind(AssertUnwindSafe(|| self.work(number, task, bytes, &clock)));
            let (outcome, bytes) = done.unwrap_or((Outcome::Panicked, Vec::new()));
            lock(&self.under_way).remove(&number);
            // Where nobody listens any more, the other thread knows.
            let _ = self.say(&Said { number, outcome }, &bytes);
        };
        thread::Builder::new().name("task".to_owned()).spawn(work).map(|_| ())
    }

    fn say(&self, said: &Said, bytes: &[u8]) -> io::Result<()> {
        let mut out = lock(&self.out);
        out.write_all(&protocol::beginning(said, bytes.len()))?;
        out.write_all(bytes)
    }

    fn work(&self, number: u64, task: Task, bytes: Vec<u8>, clock: &Clock) -> (Outcome, Vec<u8>) {
        let plain = |outcome| (outcome, Vec::new());
        let failed = |reason: String| (Outcome::Failed(reason), Vec::new());
        match task {
            Task::Load => match self.local.load() {
                Ok(()) => plain(Outcome::Done),
                Err(error) => failed(error.to_string()),
            },
            Task::Open => match self.local.open(bytes) {
                Ok(()) => plain(Outcome::Done),
                Err(error) => plain(Outcome::Refused(error)),
            },
            Task::Look => match self.local.look(bytes) {
                Ok(look) => {
                    let likeness = look.likeness.map_or_else(Vec::new, |it| it.as_bytes().to_vec());
                    let seen = Outcome::Seen { page: look.page.is_some(), findings: look.findings };
                    if let Some(page) = look.page {
                        self.keep(number, Kept::Seen(Box::new(page)));
                    }
                    (seen, likeness)
                }
                Err(error) => plain(Outcome::Refused(error)),
            },
            Task::ReadAhead { page, pictures } => {
                let Some(Kept::Seen(seen)) = lock(&self.pages).remove(&page) else {
                    return failed("the page is not there any more".to_owned());
                };
                match self.local.read_ahead(*seen, pictures) {
                    Ok(read) => {
                        self.keep(page, Kept::Read(Arc::new(read)));
                        plain(Outcome::Done)
                    }
                    Err(error) => failed(error.to_string()),
                }
            }
            Task::Read { files: lengths, ahead, pictures } => {
                let Some(files) = protocol::files(bytes, &lengths) else {
                    return failed("the files are not as long as was said".to_owned());
                };
                let ahead = ahead.into_iter().map(|page| self.read(page?)).collect();
                let answer =
                    self.local.read_rest(Files(files), ahead, Ulid::nil(), pictures, clock);
                let stages = clock.spent().into_iter();
                let stages = stages.map(|(stage, spent)| (stage, spent.as_micros() as u64));
                (Outcome::Read { stages: stages.collect() }, answer.to_json())
            }
            Task::Draw { files: lengths, pages } => {
                let Some(files) = protocol::files(bytes, &lengths) else {
                    return failed("the files are not as long as was said".to_owned());
                };
                match self.local.pages(Files(files), &pages, clock) {
                    Ok(pdf) => (Outcome::Done, pdf),
                    Err(reason) => failed(reason),
                }
            }
        }
    }

    fn keep(&self, number: u64, page: Kept) {
        let mut pages = lock(&self.pages);
        pages.insert(number, page);
        while pages.len() > PAGES {
            pages.pop_first();
        }
    }

    /// A page that was read ahead. It is kept until the daemon forgets it: it may be asked for again.
    fn read(&self, number: u64) -> Option<LocalAhead> {
        let read = match lock(&self.pages).get(&number)? {
            Kept::Read(read) => Arc::clone(read),
            Kept::Seen(_) => return None,
        };
        Some(Arc::unwrap_or_clone(read))
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
