//! An operator's session at the broker: what stands there, then what comes.

use std::time::Duration;

use cic_kiosk::config::Name;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use ulid::Ulid;

use super::fleet::Fleet;
use super::topics::ALL;
use crate::mqtt::{Caller, Failure, Line, Message, Sending};

/// Silence after the mark, in which no broker has anything left to send: mosquitto has nothing then,
/// others may have let the mark overtake what stood there.
const SETTLE: Duration = Duration::from_millis(100);

/// The same where the broker takes no mark of us.
const SILENCE: Duration = Duration::from_millis(700);

/// Longest wait for what stands retained.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries to connect again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What an office listens to, by what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Whether kiosks are there.
    Presence,
    /// What is wanted of them, and what they have of it.
    Configuration,
    /// How they do.
    Telemetry,
    /// The job queue.
    Queue,
}

impl About {
    /// The topics of a branch, or of all.
    fn filters(self, branch: Option<&str>) -> Vec<String> {
        let branch = branch.unwrap_or("+");
        let mut filters: Vec<String> = match self {
            Self::Presence => vec![format!("cic/v1/{branch}/+/presence")],
            Self::Telemetry => vec![format!("cic/v1/{branch}/+/telemetry")],
            Self::Queue => vec!["cic/v1/_queue/+/state".to_owned()],
            Self::Configuration => vec![
                format!("cic/v1/{branch}/+/config/reported"),
                format!("cic/v1/{branch}/+/config/desired"),
            ],
        };
        if self == Self::Configuration && branch != "+" {
            filters.push(format!("cic/v1/{ALL}/{ALL}/config/desired"));
        }
        filters
    }
}

/// A session.
pub struct Session {
    caller: Caller,
    line: Line,
    /// Who sends commands.
    pub sender: Name,
    filters: Vec<String>,
    mark: String,
    may_mark: bool,
}

/// Another name for each run, which no kiosk's begins like.
pub fn client_id() -> String {
    format!("op-{:020x}", Ulid::new().random())
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn open(caller: Caller, sender: Name) -> Result<Self, Failure> {
        let line = caller.open().await?;
        // A command's topic, for no kiosk: what an operator may write in any case.
        let mark = format!("cic/v1/{ALL}/{ALL}/command/{sender}/{}", Ulid::new());
        line.subscribe(std::slice::from_ref(&mark)).await?;
        Ok(Self { caller, line, sender, filters: Vec::new(), mark, may_mark: true })
    }

    /// Listens to all of this, and takes in what stands there.
    ///
    /// # Errors
    /// When the connection breaks, or the broker does not let us hear.
    pub async fn collect(
        &mut self,
        about: &[About],
        branch: Option<&str>,
        fleet: &mut Fleet,
    ) -> Result<(), Failure> {
        self.collect_with(about, branch, |message| _ = fleet.take(message)).await
    }

    /// The same for whoever takes it in by himself.
    ///
    /// # Errors
    /// As [`Session::collect`].
    pub async fn collect_with(
        &mut self,
        about: &[About],
        branch: Option<&str>,
        take: impl FnMut(&Message),
    ) -> Result<(), Failure> {
        let filters = about.iter().flat_map(|about| about.filters(branch)).collect();
        self.listen(filters, take).await
    }

    /// Listens to topics, and hands over what stands there. One after the other: what a broker has
    /// waiting for one client is limited.
    ///
    /// # Errors
    /// As [`Session::collect`].
    pub async fn listen(
        &mut self,
        filters: Vec<String>,
        mut take: impl FnMut(&Message),
    ) -> Result<(), Failure> {
        for filter in filters {
            self.line.subscribe(std::slice::from_ref(&filter)).await?;
            self.filters.push(filter);
            self.until_mark(&mut take).await?;
        }
        self.until_silence(&mut take).await
    }

    /// Takes in what is on its way to us now.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn sync(&mut self, mut take: impl FnMut(&Message)) -> Result<(), Failure> {
        self.until_mark(&mut take).await
    }

    /// Has the broker send us something: it comes after what stood there before.
    async fn until_mark(&mut self, take: &mut impl FnMut(&Message)) -> Result<(), Failure> {
        if !self.may_mark {
            return Ok(());
        }
        let mark = Ulid::new().to_string().into_bytes();
        let is_not_taken = |failure: &Failure| matches!(failure, Failure::NotTaken(_));
        match self.line.publish((self.mark.clone(), mark.clone(), false)).await {
            Err(failure) if is_not_taken(&failure) => {
                self.may_mark = false;
                // mosquitto 2.0 closes the connection of who publishes what he may not.
                self.line = self.connect().await?;
                return Ok(());
            }
            published => published?,
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = timeout_at(deadline, self.line.next()).await;
            let message = message.map_err(|_| Failure::Silent("send what is retained"))??;
            match message.topic == self.mark {
                true if message.payload == mark => return Ok(()),
                true => {}
                false => take(&message),
            }
        }
    }

    async fn until_silence(&mut self, take: &mut impl FnMut(&Message)) -> Result<(), Failure> {
        let quiet = if self.may_mark { SETTLE } else { SILENCE };
        let (end, mut until) = (Instant::now() + PATIENCE, Instant::now() + quiet);
        while let Ok(message) = timeout_at(until.min(end), self.line.next()).await {
            let message = message?;
            if message.topic != self.mark {
                // What comes all the time is no sign that something is missing.
                if message.retained {
                    until = Instant::now() + quiet;
                }
                take(&message);
            }
        }
        Ok(())
    }

    /// The next message.
    ///
    /// # Errors
    /// Why the connection has broken.
    pub async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            let message = self.line.next().await?;
            if message.topic != self.mark {
                return Ok(message);
            }
        }
    }

    /// The next message of those that come in this time.
    ///
    /// # Errors
    /// Why the connection has broken.
    pub async fn next_until(&mut self, until: Instant) -> Result<Option<Message>, Failure> {
        timeout_at(until, self.next()).await.ok().transpose()
    }

    /// Publishes.
    ///
    /// # Errors
    /// Why the broker does not take it.
    pub async fn publish_all(&self, letters: Vec<Sending>) -> Result<(), Failure> {
        self.line.publish_all(letters).await
    }

    /// Another connection, on which the same is listened to.
    async fn connect(&self) -> Result<Line, Failure> {
        let line = self.caller.open().await?;
        line.subscribe(std::slice::from_ref(&self.mark)).await?;
        for filter in &self.filters {
            line.subscribe(std::slice::from_ref(filter)).await?;
        }
        Ok(line)
    }

    /// After the connection broke: connects again for as long as it takes, `tell`s of each failure
    /// that is another one, and listens to the same topics, so that what stands there comes again.
    pub async fn reopen(&mut self, mut tell: impl FnMut(&Failure)) {
        let (mut pause, mut told) = (RETRY.0, String::new());
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
            match self.connect().await {
                Ok(line) => return self.line = line,
                Err(failure) if failure.reason() != told => {
                    told = failure.reason();
                    tell(&failure);
                }
                Err(_) => {}
            }
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        let _ = timeout(SETTLE, self.line.close()).await;
    }
}
