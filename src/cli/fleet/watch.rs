//! `fleet watch`: the fleet, live.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{BrokerArgs, FilterArgs, block_on, interruption};
use crate::cli::{Failure, Outcome};
use crate::mqtt::Message;
use crate::office::fleet::{Filter, Fleet};
use crate::office::screen::{Screen, change};
use crate::office::session::{About, Session};
use crate::office::topics::{Id, Topic, Whom};

/// Between two pictures: nobody sees more, and a line to an office bears it.
const PICTURE: Duration = Duration::from_millis(200);

/// Watch the fleet, in a terminal or as lines of what changes
#[derive(Args)]
pub struct Watch {
    /// With this in its names or in what it says of itself
    text: Option<String>,

    /// Print lines, in a terminal, too
    #[arg(long)]
    plain: bool,

    /// End after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    broker: BrokerArgs,
}

impl Watch {
    /// Always true: nothing else is promised.
    pub fn run(&self) -> Outcome {
        let filter = self.filter.filter(self.text.clone());
        block_on(async {
            let stop = interruption()?;
            if let Some(seconds) = self.seconds {
                let stop = stop.clone();
                tokio::spawn(async move {
                    tokio::time::sleep_until(Instant::now() + Duration::from_secs(seconds)).await;
                    stop.cancel();
                });
            }
            let mut session = self.broker.open().await?;
            let mut fleet = Fleet::default();
            let about = [About::Presence, About::Configuration, About::Telemetry, About::Queue];
            session.collect(&about, filter.branch.as_deref(), &mut fleet).await?;
            let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
            if is_terminal && !self.plain {
                let screen = Screen::new(fleet, filter);
                // It is put back also where this panics.
                let mut terminal = ratatui::try_init()?;
                let shown = show(&mut terminal, screen, session, &stop).await;
                ratatui::try_restore()?;
                shown?;
            } else {
                tell(fleet, &filter, session, &stop).await?;
            }
            Ok(true)
        })
    }
}

async fn show(
    terminal: &mut ratatui::DefaultTerminal,
    mut screen: Screen,
    mut session: Session,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let mut keys = EventStream::new();
    let mut pictures = interval(PICTURE);
    pictures.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_new = true;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) => {
                    if !screen.press(key) {
                        return Ok(());
                    }
                    terminal.draw(|frame| screen.draw(frame))?;
                }
                Some(Ok(_)) => is_new = true,
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
            message = session.next() => {
                is_new = true;
                match message {
                    Ok(message) => screen.take(&message),
                    Err(failure) => {
                        screen.trouble = Some(failure.to_string());
                        terminal.draw(|frame| screen.draw(frame))?;
                        tokio::select! {
                            () = session.reopen(|_| ()) => screen.trouble = None,
                            () = stop.cancelled() => return Ok(()),
                            // Only to end: what else is pressed meanwhile is lost.
                            () = until_quit(&mut keys) => return Ok(()),
                        }
                    }
                }
            }
            _ = pictures.tick(), if is_new => {
                terminal.draw(|frame| screen.draw(frame))?;
                is_new = false;
            }
        }
    }
}

async fn until_quit(keys: &mut EventStream) {
    let mut screen = Screen::default();
    while let Some(Ok(event)) = keys.next().await {
        if let Event::Key(key) = event
            && !screen.press(key)
        {
            return;
        }
    }
}

/// One line for each change, and one for how it stands at the start.
async fn tell(
    mut fleet: Fleet,
    filter: &Filter,
    mut session: Session,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    say(&format!("{} kiosks", fleet.select(filter).count()))?;
    loop {
        let message = tokio::select! {
            message = session.next() => message,
            () = stop.cancelled() => return Ok(()),
        };
        match message {
            Ok(message) => {
                let change = change(&mut fleet, &message);
                if let Some(change) = change.filter(|_| concerns(&fleet, filter, &message)) {
                    say(&change)?;
                }
            }
            Err(failure) => {
                say(&format!("the connection broke: {failure}"))?;
                tokio::select! {
                    () = session.reopen(|_| ()) => say("connected again")?,
                    () = stop.cancelled() => return Ok(()),
                }
            }
        }
    }
}

/// Whether a message is of a kiosk that is watched, or of none.
fn concerns(fleet: &Fleet, filter: &Filter, message: &Message) -> bool {
    let id: Id = match Topic::of(&message.topic) {
        Topic::Presence(id) | Topic::Telemetry(id) | Topic::Reported(id) => id,
        Topic::Desired(Whom::Kiosk(id)) => id,
        _ => return true,
    };
    let now = Timestamp::now();
    fleet.kiosks.get(&id).is_none_or(|kiosk| filter.fits(&id, kiosk, now))
}

fn say(line: &str) -> io::Result<()> {
    let now = Timestamp::now().to_zoned_datetime(TimeZone::system());
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{} {line}", now.strftime("%Y-%m-%dT%H:%M:%S%:z"))?;
    stdout.flush()
}
