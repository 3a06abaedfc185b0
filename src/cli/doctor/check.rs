//! A check, and what it finds.

use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The time of a check, unless it needs more.
const LIMIT: Duration = Duration::from_secs(10);

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// The kiosk does not work as it should.
    Fault,
    /// It is not used here, or not now.
    Off,
}

/// What a check found; nothing secret, and nothing that is on a paper.
pub struct Finding {
    status: Status,
    found: String,
    to_do: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(found: impl Into<String>) -> Self {
        Self { status: Status::Ok, found: found.into(), to_do: None }
    }

    /// There is nothing to check.
    pub fn off(found: impl Into<String>) -> Self {
        Self { status: Status::Off, found: found.into(), to_do: None }
    }

    /// Somebody should look.
    pub fn warning(found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { status: Status::Warning, found: found.into(), to_do: Some(to_do.into()) }
    }

    /// Something must be done.
    pub fn fault(found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { status: Status::Fault, found: found.into(), to_do: Some(to_do.into()) }
    }
}

/// A check's line. The names in it are for programs, too, and stay.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Which check.
    pub check: &'static str,
    /// How it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do about it, for a warning or a fault.
    pub to_do: Option<String>,
}

impl Row {
    /// What a check found.
    pub fn new(check: &'static str, finding: Finding) -> Self {
        let Finding { status, found, to_do } = finding;
        Self { check, status, found, to_do }
    }
}

/// Something to check.
pub struct Check {
    name: &'static str,
    limit: Duration,
    work: Pin<Box<dyn Future<Output = Finding> + Send>>,
}

impl Check {
    /// One that waits and does not block.
    pub fn new(name: &'static str, work: impl Future<Output = Finding> + Send + 'static) -> Self {
        Self { name, limit: LIMIT, work: Box::pin(work) }
    }

    /// One that blocks. When its time is over it is left alone.
    pub fn blocking(name: &'static str, work: impl FnOnce() -> Finding + Send + 'static) -> Self {
        Self::new(name, async move {
            spawn_blocking(work).await.unwrap_or_else(|_| {
                Finding::fault("the check itself failed", "send the lines above to its makers")
            })
        })
    }

    /// The name of its row.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// With so much time.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Does it.
    pub async fn run(self) -> Row {
        let finding = timeout(self.limit, self.work).await.unwrap_or_else(|_| {
            let found = format!("it did not answer within {} s", self.limit.as_secs());
            Finding::fault(found, "see what hangs: a device, a disk, a share or the network")
        });
        Row::new(self.name, finding)
    }
}
