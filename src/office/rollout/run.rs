//! A roll-out at work.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toml::Table;
use ulid::Ulid;

use super::super::Failure;
use super::super::commands::{self, Order, hex};
use super::super::fleet::Fleet;
use super::super::seen::{self, Command, Counts, Status, Step};
use super::super::session::{About, Session};
use super::super::settings;
use super::super::topics::{ALL, Id, Topic, Whom};
use super::{CHUNK, Cargo, Keeper, Outcome, Phase, RolloutError, State};
use crate::mqtt::{Message, Sending};

/// Scans that shares are made of; of fewer, they would be chance.
const ENOUGH: u64 = 20;

/// Between two looks at what is late.
const LOOK: Duration = Duration::from_millis(500);

/// A roll-out that somebody is at.
pub struct Runner<'a> {
    state: State,
    keeper: Keeper,
    session: Session,
    fleet: Fleet,
    /// When each kiosk was told.
    sent: HashMap<Id, Instant>,
    figures: BTreeMap<Id, Figures>,
    tell: Box<dyn Fn(&str) + 'a>,
    stop: CancellationToken,
}

/// Scans of one kiosk.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    /// Until it was told,
    before: Option<Counts>,
    /// until it had it,
    done: Option<Counts>,
    /// and until now.
    last: Option<Counts>,
}

/// What there is to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// Kiosks take it.
    Take,
    /// They take it back.
    Undo,
}

impl<'a> Runner<'a> {
    /// Takes in what stands at the broker. `tell` is told how it goes; when `stop` is cancelled, it is
    /// interrupted, and can be gone on with.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn new(
        state: State,
        keeper: Keeper,
        mut session: Session,
        tell: impl Fn(&str) + 'a,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let mut fleet = Fleet::default();
        let about = [About::Presence, About::Configuration, About::Telemetry];
        let branch = state.plan.branch.clone();
        session.collect(&about, branch.as_deref(), &mut fleet).await?;
        let (sent, figures, tell) = (HashMap::new(), BTreeMap::new(), Box::new(tell));
        let mut it = Self { state, keeper, session, fleet, sent, figures, tell, stop };
        // What was told before an interruption may have been answered since.
        let mut answers = Vec::new();
        let filter = format!("cic/v1/+/+/command/{}/+", it.session.sender);
        it.session.listen(vec![filter], |message| answers.push(message.clone())).await?;
        it.find_untold(&answers);
        let now = Instant::now();
        let told = it.state.kiosks.iter().filter(|it| it.outcome == Outcome::Sent);
        it.sent = told.map(|member| (member.id.clone(), now)).collect();
        answers.iter().for_each(|message| it.take(message, Goal::Take));
        let ids: Vec<_> = it.sent.keys().cloned().collect();
        ids.iter().for_each(|id| it.look_at_settings(id, Goal::Take));
        Ok(it)
    }

    /// Whoever was to be told when this was killed, and was not, is to be told again.
    fn find_untold(&mut self, standing: &[Message]) {
        let sender = self.session.sender.as_str();
        let standing: BTreeSet<_> = standing.iter().map(|message| message.topic.as_str()).collect();
        let desired = &self.fleet.desired;
        for member in self.state.kiosks.iter_mut().filter(|it| it.outcome == Outcome::Sent) {
            let was_told = match (member.command, member.version) {
                (Some(command), _) => {
                    let topic = commands::topic(&member.id, sender, command);
                    standing.contains(topic.as_str())
                }
                (None, Some(version)) => {
                    let wanted = desired.get(&Whom::Kiosk(member.id.clone()));
                    wanted.is_some_and(|wanted| wanted.version >= version)
                }
                (None, None) => false,
            };
            if !was_told {
                member.outcome = Outcome::Waiting;
            }
        }
    }

    /// Does it, wave by wave. Gives the state at the end.
    ///
    /// # Errors
    /// What keeps it from going on; it can be tried again.
    pub async fn run(mut self) -> Result<State, Failure> {
        self.publish_package().await?;
        while self.state.phase == Phase::Running && !self.stop.is_cancelled() {
            let (wave, bound) = (self.state.wave, self.state.bound(self.state.wave));
            (self.tell)(&format!(
                "wave {} of {}: up to {bound} of {} kiosks",
                wave + 1,
                self.state.plan.waves.len(),
                self.state.kiosks.len()
            ));
            self.roll(bound).await?;
            let begin = if wave == 0 { 0 } else { self.state.bound(wave - 1) };
            let has_it = |it: &super::Member| it.outcome == Outcome::Done;
            let is_on = self.state.phase == Phase::Running && !self.stop.is_cancelled();
            if is_on && self.state.kiosks[begin..bound].iter().any(has_it) {
                self.soak(bound).await?;
            }
            if self.state.phase == Phase::Running && !self.stop.is_cancelled() {
                let is_last = wave + 1 >= self.state.plan.waves.len();
                if is_last {
                    self.finish().await?;
                } else {
                    self.state.wave += 1;
                }
            }
            self.keeper.save(&self.state)?;
        }
        self.session.close().await;
        Ok(self.state)
    }

    /// Tells the kiosks of a wave, so many at once, and waits for them.
    async fn roll(&mut self, bound: usize) -> Result<(), Failure> {
        loop {
            self.judge()?;
            let is_on = self.state.phase == Phase::Running && !self.stop.is_cancelled();
            if is_on {
                self.send(bound).await?;
            }
            // What is under way comes to its end.
            let is_left = self.state.count(Outcome::Sent) > 0 && !self.stop.is_cancelled();
            if !is_left {
                return self.judge();
            }
            self.wait(LOOK, Goal::Take).await?;
        }
    }

    /// Stops if it must.
    fn judge(&mut self) -> Result<(), Failure> {
        if let (Phase::Running, Some(reason)) = (&self.state.phase, self.state.must_stop()) {
            self.halt(reason)?;
        }
        Ok(())
    }

    fn halt(&mut self, reason: String) -> Result<(), Failure> {
        (self.tell)(&format!("stopped: {reason}"));
        self.state.phase = Phase::Stopped(reason);
        Ok(self.keeper.save(&self.state)?)
    }

    /// Tells the next kiosks, if there is room.
    async fn send(&mut self, bound: usize) -> Result<(), Failure> {
        let room = self.state.plan.at_once.saturating_sub(self.state.count(Outcome::Sent));
        let mut letters = Vec::new();
        let now = Timestamp::now();
        let waiting = |outcome| outcome == Outcome::Waiting;
        let mut next: Vec<_> =
            (0..bound).filter(|&it| waiting(self.state.kiosks[it].outcome)).collect();
        next.truncate(room);
        if next.is_empty() {
            return Ok(());
        }
        for place in next {
            let id = self.state.kiosks[place].id.clone();
            let is_online =
                self.fleet.kiosks.get(&id).is_some_and(|it| it.status() == Status::Online);
            if !is_online {
                self.settle(&id, Outcome::Absent, "not connected when it was its turn".to_owned());
                continue;
            }
            let letter = match self.state.cargo.clone() {
                Cargo::Model { url, sha256, bytes, allow_older, .. } => {
                    let command = Ulid::new();
                    self.state.kiosks[place].command = Some(command);
                    let mut parameters = Map::new();
                    match url {
                        Some(url) => parameters.insert("url".to_owned(), json!(url)),
                        None => parameters.insert("topic".to_owned(), json!(package(&sha256))),
                    };
                    parameters.insert("sha256".to_owned(), json!(sha256));
                    parameters.insert("bytes".to_owned(), json!(bytes));
                    if allow_older {
                        parameters.insert("allow_older".to_owned(), json!(true));
                    }
                    self.command(&id, "model-update", parameters, command, now)
                }
                Cargo::Settings(wanted) => {
                    let whom = Whom::Kiosk(id.clone());
                    let before = self.fleet.settings(&whom);
                    let version = self.fleet.next_version(&whom)?;
                    match settings::message(version, &settings::over(&before, &wanted)) {
                        Ok(message) => {
                            let member = &mut self.state.kiosks[place];
                            (member.version, member.before) = (Some(version), before);
                            (whom.desired(), message, true)
                        }
                        Err(error) => {
                            self.settle(&id, Outcome::Failed, error.to_string());
                            continue;
                        }
                    }
                }
            };
            self.state.kiosks[place].outcome = Outcome::Sent;
            self.sent.insert(id.clone(), Instant::now());
            let figures = self.figures.entry(id).or_default();
            figures.before = figures.last;
            letters.push(letter);
        }
        // Before they are told: who is killed in between tells them again.
        self.keeper.save(&self.state)?;
        self.publish(letters).await
    }

    fn command(
        &self,
        id: &Id,
        kind: &str,
        parameters: Map<String, serde_json::Value>,
        command: Ulid,
        now: Timestamp,
    ) -> Sending {
        let lasts = SignedDuration::from_secs(self.state.plan.timeout_seconds as i64);
        let order = Order { kind: kind.to_owned(), parameters, lasts };
        (commands::topic(id, self.session.sender.as_str(), command), order.json(now), true)
    }

    async fn publish(&mut self, letters: Vec<Sending>) -> Result<(), Failure> {
        loop {
            match self.session.publish_all(letters.clone()).await {
                Ok(()) => return Ok(()),
                Err(
                    failure @ (crate::mqtt::Failure::NotTaken(_) | crate::mqtt::Failure::Unfit(_)),
                ) => {
                    return Err(failure.into());
                }
                Err(failure) => self.reopen(&failure).await?,
            }
        }
    }

    async fn reopen(&mut self, failure: &crate::mqtt::Failure) -> Result<(), Failure> {
        (self.tell)(&format!("the connection broke: {failure}"));
        let tell = |failure: &crate::mqtt::Failure| (self.tell)(&failure.to_string());
        tokio::select! {
            () = self.session.reopen(tell) => {
                (self.tell)("connected again");
                Ok(())
            }
            () = self.stop.cancelled() => Err("interrupted without a connection".into()),
        }
    }

    /// Takes in what comes in this time, and gives up on who is late.
    async fn wait(&mut self, time: Duration, goal: Goal) -> Result<(), Failure> {
        let (until, mut is_new) = (Instant::now() + time, false);
        let stop = self.stop.clone();
        loop {
            let message = tokio::select! {
                message = self.session.next_until(until) => message,
                () = stop.cancelled() => return Ok(self.keeper.save(&self.state)?),
            };
            match message {
                Ok(Some(message)) => {
                    let under_way = self.sent.len();
                    self.take(&message, goal);
                    is_new |= self.sent.len() < under_way;
                    // Others may be told then.
                    if is_new && self.sent.is_empty() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(failure) => self.reopen(&failure).await?,
            }
        }
        let limit = Duration::from_secs(self.state.plan.timeout_seconds);
        let late: Vec<_> = self
            .sent
            .iter()
            .filter(|(_, at)| at.elapsed() > limit)
            .map(|(id, _)| id.clone())
            .collect();
        for id in &late {
            self.settle(id, Outcome::Failed, format!("no answer within {} s", limit.as_secs()));
        }
        if is_new || !late.is_empty() {
            self.keeper.save(&self.state)?;
        }
        Ok(())
    }

    /// Takes in a message.
    fn take(&mut self, message: &Message, goal: Goal) {
        match Topic::of(&message.topic) {
            Topic::Command(id, sender, command) if sender == self.session.sender.as_str() => {
                let ours = self.member(&id).and_then(|it| it.command).map(|it| it.to_string());
                if ours.as_ref() != Some(&command)
                    || !self.sent.contains_key(&id)
                    || message.payload.is_empty()
                {
                    return;
                }
                match seen::read::<Command>(&message.payload) {
                    Ok(said) if said.status == Step::Successful => self.succeed(&id, goal),
                    Ok(said) if said.status == Step::Failed => {
                        self.settle(
                            &id,
                            Outcome::Failed,
                            format!("{}: {}", said.code, said.reason),
                        );
                    }
                    Ok(_) => {}
                    Err(odd) => self.settle(&id, Outcome::Failed, format!("its answer is {odd}")),
                }
            }
            topic => {
                self.fleet.take(message);
                match topic {
                    Topic::Reported(id) => self.look_at_settings(&id, goal),
                    Topic::Telemetry(id) => {
                        let kiosk = self.fleet.kiosks.get(&id);
                        let counts =
                            kiosk.and_then(|it| it.telemetry.as_ref()).map(seen::Telemetry::counts);
                        let figures = self.figures.entry(id.clone()).or_default();
                        figures.last = counts.or(figures.last);
                        let is_done =
                            self.member(&id).is_some_and(|it| it.outcome == Outcome::Done);
                        if let (true, Some(figures)) = (is_done, self.figures.get_mut(&id)) {
                            figures.done = figures.done.or(counts);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether a kiosk has taken the settings that it was sent.
    fn look_at_settings(&mut self, id: &Id, goal: Goal) {
        let Some(version) = self.member(id).and_then(|it| it.version) else { return };
        let Some(reported) = self.fleet.kiosks.get(id).and_then(|it| it.reported.as_ref()) else {
            return;
        };
        if !self.sent.contains_key(id) || reported.status.as_str() == "trial" {
            return;
        }
        let refused = reported.kiosk.refused.as_ref().filter(|it| it.version == Some(version));
        match (refused.map(seen::Refusal::shown), reported.kiosk.version) {
            (Some(reason), _) => self.settle(id, Outcome::Failed, reason),
            (None, Some(has)) if has == version => self.succeed(id, goal),
            (None, Some(has)) if has > version => {
                let note = format!("version {has} of its settings came from somebody else");
                self.settle(id, Outcome::Failed, note);
            }
            _ => {}
        }
    }

    fn member(&self, id: &Id) -> Option<&super::Member> {
        self.state.kiosks.iter().find(|member| member.id == *id)
    }

    fn succeed(&mut self, id: &Id, goal: Goal) {
        let outcome = if goal == Goal::Take { Outcome::Done } else { Outcome::Undone };
        self.settle(id, outcome, String::new());
    }

    fn settle(&mut self, id: &Id, outcome: Outcome, note: String) {
        self.sent.remove(id);
        if let Some(figures) = self.figures.get_mut(id) {
            figures.done = figures.last;
        }
        if outcome == Outcome::Failed {
            (self.tell)(&format!("{id} failed: {note}"));
        }
        if let Some(member) = self.state.kiosks.iter_mut().find(|member| member.id == *id) {
            member.taken = outcome == Outcome::Done || member.taken && outcome != Outcome::Undone;
            (member.outcome, member.note) = (outcome, note);
        }
    }

    /// Watches the kiosks that have it; those that are worse count as failed.
    async fn soak(&mut self, bound: usize) -> Result<(), Failure> {
        let soak = Duration::from_secs(self.state.plan.soak_seconds);
        if !soak.is_zero() {
            (self.tell)(&format!(
                "{} kiosks have it; watching for {} s",
                self.state.count(Outcome::Done),
                soak.as_secs()
            ));
        }
        let until = Instant::now() + soak;
        while Instant::now() < until && !self.stop.is_cancelled() {
            self.wait(until.saturating_duration_since(Instant::now()).min(LOOK), Goal::Take)
                .await?;
        }
        if self.stop.is_cancelled() {
            return Ok(());
        }
        let done: Vec<_> = self.state.kiosks[..bound]
            .iter()
            .filter(|member| member.outcome == Outcome::Done)
            .map(|member| member.id.clone())
            .collect();
        for id in &done {
            let Some(kiosk) = self.fleet.kiosks.get(id) else { continue };
            let accepts = kiosk.telemetry.as_ref().is_none_or(|telemetry| telemetry.outbox.accepts);
            if kiosk.status() != Status::Online {
                self.settle(id, Outcome::Failed, "not connected any more".to_owned());
            } else if !accepts {
                self.settle(id, Outcome::Failed, "accepts no documents any more".to_owned());
            }
        }
        self.judge()?;
        if let (Phase::Running, Some(reason)) = (&self.state.phase, self.is_worse(&done)) {
            self.halt(reason)?;
        }
        Ok(())
    }

    /// Whether more scans need a review where it was taken than where it was not yet.
    fn is_worse(&self, done: &[Id]) -> Option<String> {
        let done: BTreeSet<_> = done.iter().collect();
        let (mut before, mut after) = (Counts::default(), Counts::default());
        for (id, figures) in &self.figures {
            if done.contains(id) {
                before = before.plus(figures.before.unwrap_or_default());
                let counts = figures.last.zip(figures.done).map(|(last, done)| last.since(done));
                after = after.plus(counts.unwrap_or_default());
            } else {
                before = before.plus(figures.last.unwrap_or_default());
            }
        }
        if before.total < ENOUGH || after.total < ENOUGH {
            (self.tell)("too few scans were told of to compare review rates");
            return None;
        }
        let [before, after] = [before, after].map(|it| 100.0 * it.share().unwrap_or(0.0));
        (after > before + self.state.plan.worse_by.0).then(|| {
            format!("{after:.1} % of the scans need a review where it was taken, {before:.1} % elsewhere")
        })
    }

    /// All waves are through.
    async fn finish(&mut self) -> Result<(), Failure> {
        if let (true, Cargo::Settings(wanted)) = (self.state.plan.promote, self.state.cargo.clone())
        {
            self.promote(&wanted).await?;
            if self.state.phase != Phase::Running {
                return Ok(());
            }
        }
        self.clear_package().await?;
        self.state.phase = Phase::Done;
        Ok(())
    }

    /// Makes each kiosk's settings those of all, or of the branch; each kiosk's own give way.
    async fn promote(&mut self, wanted: &Table) -> Result<(), Failure> {
        let whom = self.state.plan.branch.clone().map_or(Whom::All, Whom::Branch);
        let version = self.fleet.next_version(&whom)?;
        let all = settings::over(&self.fleet.settings(&whom), wanted);
        (self.tell)(&format!("{whom}: version {version}"));
        self.publish(vec![(whom.desired(), settings::message(version, &all)?, true)]).await?;
        let level = |it: &seen::Reported| match whom {
            Whom::Branch(_) => it.branch.clone(),
            _ => it.all.clone(),
        };
        let deadline = Instant::now() + Duration::from_secs(self.state.plan.timeout_seconds);
        let done: Vec<_> = self
            .state
            .kiosks
            .iter()
            .filter(|it| it.outcome == Outcome::Done)
            .map(|it| it.id.clone())
            .collect();
        let mut left = done.clone();
        while !left.is_empty() && Instant::now() < deadline && !self.stop.is_cancelled() {
            self.wait(LOOK, Goal::Take).await?;
            left.retain(|id| {
                let reported = self.fleet.kiosks.get(id).and_then(|it| it.reported.as_ref());
                reported.is_none_or(|it| level(it).version != Some(version))
            });
        }
        if !left.is_empty() {
            let reason = format!("{} kiosks have not taken it as settings of {whom}", left.len());
            return self.halt(reason);
        }
        let mut letters = Vec::new();
        for id in done {
            let own = Whom::Kiosk(id);
            let settings = settings::restored(&self.fleet.settings(&own), wanted, &Table::new());
            let version = self.fleet.next_version(&own)?;
            letters.push((own.desired(), settings::message(version, &settings)?, true));
        }
        self.publish(letters).await
    }

    /// Gives it up. Where `undo`, kiosks that have it go back to what they had.
    ///
    /// # Errors
    /// What keeps it from that; it can be tried again.
    pub async fn abort(mut self, undo: bool) -> Result<State, Failure> {
        self.state.phase = Phase::Aborted;
        // What was not begun is not begun any more.
        let told: Vec<_> =
            self.state.kiosks.iter().filter(|it| it.outcome == Outcome::Sent).collect();
        let mut letters: Vec<_> = told
            .iter()
            .filter_map(|member| Some((&member.id, member.command?)))
            .map(|(id, command)| {
                (commands::topic(id, self.session.sender.as_str(), command), Vec::new(), true)
            })
            .collect();
        let had: Vec<_> = self
            .state
            .kiosks
            .iter()
            .filter(|it| it.command.is_some() || it.version.is_some())
            .filter(|it| matches!(it.outcome, Outcome::Done | Outcome::Failed | Outcome::Sent))
            .map(|it| it.id.clone())
            .collect();
        self.sent.clear();
        if undo {
            let now = Timestamp::now();
            for id in had {
                let Some(place) = self.state.kiosks.iter().position(|it| it.id == id) else {
                    continue;
                };
                letters.push(match self.state.cargo.clone() {
                    Cargo::Model { .. } => {
                        // One that has not taken it kept what it had.
                        let member = &self.state.kiosks[place];
                        if !member.taken && member.outcome != Outcome::Sent {
                            continue;
                        }
                        let command = Ulid::new();
                        self.state.kiosks[place].command = Some(command);
                        self.command(&id, "model-rollback", Map::new(), command, now)
                    }
                    Cargo::Settings(wanted) => {
                        let whom = Whom::Kiosk(id.clone());
                        let before = self.state.kiosks[place].before.clone();
                        let settings =
                            settings::restored(&self.fleet.settings(&whom), &wanted, &before);
                        let version = self.fleet.next_version(&whom)?;
                        self.state.kiosks[place].version = Some(version);
                        (whom.desired(), settings::message(version, &settings)?, true)
                    }
                });
                self.state.kiosks[place].outcome = Outcome::Sent;
                self.sent.insert(id, Instant::now());
            }
        }
        for member in &mut self.state.kiosks {
            if member.outcome == Outcome::Sent && !self.sent.contains_key(&member.id) {
                (member.outcome, member.note) = (Outcome::Failed, "given up".to_owned());
            }
        }
        self.keeper.save(&self.state)?;
        self.publish(letters).await?;
        if undo {
            (self.tell)(&format!("{} kiosks go back to what they had", self.sent.len()));
        }
        while !self.sent.is_empty() && !self.stop.is_cancelled() {
            self.wait(LOOK, Goal::Undo).await?;
        }
        self.clear_package().await?;
        self.keeper.save(&self.state)?;
        self.session.close().await;
        Ok(self.state)
    }

    /// Lays the package down at the broker, in parts that kiosks fetch one at a time.
    async fn publish_package(&mut self) -> Result<(), Failure> {
        let Cargo::Model { file: Some(file), sha256, .. } = self.state.cargo.clone() else {
            return Ok(());
        };
        let letters = chunks(&file, &sha256)?;
        (self.tell)(&format!("publishing the package in {} parts", letters.len()));
        // A few at a time: a broker holds what one client sends in memory.
        for some in letters.chunks(16) {
            self.publish(some.to_vec()).await?;
        }
        Ok(())
    }

    async fn clear_package(&mut self) -> Result<(), Failure> {
        let Cargo::Model { file: Some(_), sha256, bytes, .. } = self.state.cargo.clone() else {
            return Ok(());
        };
        let count = bytes.div_ceil(CHUNK as u64);
        let topic = package(&sha256);
        self.publish((0..count).map(|n| (format!("{topic}/{n}"), Vec::new(), true)).collect()).await
    }
}

/// Below which the parts of a package are.
pub fn package(sha256: &str) -> String {
    format!("cic/v1/{ALL}/{ALL}/package/{sha256}")
}

fn chunks(file: &Path, sha256: &str) -> Result<Vec<Sending>, Failure> {
    let content =
        fs::read(file).map_err(|cause| RolloutError::File { path: file.to_owned(), cause })?;
    if hex(&Sha256::digest(&content)) != sha256 {
        return Err(format!("{} has changed since the roll-out began", file.display()).into());
    }
    let topic = package(sha256);
    let chunks = content.chunks(CHUNK).enumerate();
    Ok(chunks.map(|(number, chunk)| (format!("{topic}/{number}"), chunk.to_vec(), true)).collect())
}
