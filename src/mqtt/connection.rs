//! One connection with the broker, from its CONNACK until it breaks.
//!
//! The client library connects again by itself, at once, and sends again what it thinks was not
//! acknowledged. Neither is wanted: a connection here is one event loop that is thrown away with
//! everything in it, and whoever published knows what was not acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use ulid::Ulid;

use super::MAX_PACKET;
use super::dial::{BESIDE, Dial};
use super::failure::Failure;
use super::post::{Note, Post};
use super::topics::Topics;
use super::wire::{Event, Wire};
use crate::fleet::presence::{Birth, Presence, Reason};
use crate::outbox::{Seq, Waiting};

/// What a PUBLISH has beside topic and payload: its head (1), its length (4), the topic's length
/// (2), the packet identifier (2) and the length of no properties (1).
const HEADER: usize = 10;

/// For saying goodbye, on which nothing depends: the broker notices a client that is gone.
const COURTESY: Duration = Duration::from_secs(2);

/// A message on its way.
#[derive(Debug)]
pub struct Sent {
    /// Which one it is.
    pub message: Message,
    /// Size of its payload.
    pub bytes: usize,
    /// When it was handed to the client library.
    pub at: Instant,
    /// The packet identifier, from when the client library has given it one.
    packet_id: Option<u16>,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The kiosk's presence.
    Presence,
    /// What else is for the fleet, by its topic and number.
    Note(String, u64),
    /// A result.
    Result {
        /// Its place.
        seq: Seq,
        /// The scan it is of.
        scan_id: Ulid,
    },
}

/// A connection.
pub struct Connection {
    wire: Wire,
    topics: Topics,
    post: Post,
    /// What the kiosk is, as it was told here.
    birth: watch::Receiver<Birth>,
    /// The notes that were published here.
    told: BTreeMap<String, u64>,
    /// Whether anything is listened to here, ...
    listens: bool,
    /// ... what is, as [`Post::filters`] has it, ...
    heard: BTreeMap<String, u64>,
    /// ... and what of it the broker has not answered for yet.
    asked: Vec<String>,
    ack_time: Duration,
    max_packet: usize,
    in_flight: VecDeque<Sent>,
    /// When something was last acknowledged, or sent with nothing else on its way.
    progress: Instant,
    broken: Option<Failure>,
    /// When it began.
    pub since: Timestamp,
}

impl Connection {
    /// Connects, leaves the last will, says that the kiosk is there, and waits until the broker has
    /// acknowledged that. It listens to what is for the kiosk if `listens`.
    pub async fn open(dial: &Dial, post: &Post, listens: bool) -> Result<Self, Failure> {
        let limit = dial.settings.connect_time();
        let opened = timeout(limit, Self::connect(dial, post, listens)).await;
        opened.unwrap_or(Err(Failure::Silent("accept the connection")))
    }

    async fn connect(dial: &Dial, post: &Post, listens: bool) -> Result<Self, Failure> {
        let (dial, topics) = (dial.clone(), dial.topics.clone());
        let ack_time = dial.settings.ack_time();
        let window = usize::from(dial.settings.window.get());
        let options = spawn_blocking(move || dial.options())
            .await
            .map_err(|_| Failure::Protocol("the options panicked".to_owned()))??;
        let mut birth = post.birth();
        let told = birth.borrow_and_update().clone();
        let will = Presence::offline(told.clone(), Reason::Lost).json();
        let options = options.with_last_will(topics.presence(), will);
        let mut connection = Self {
            // A full window, what goes beside it, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT.
            wire: Wire::open(options, window + usize::from(BESIDE) + 3, Some(post.clone())),
            topics,
            post: post.clone(),
            birth,
            told: BTreeMap::new(),
            listens,
            heard: BTreeMap::new(),
            asked: Vec::new(),
            ack_time,
            max_packet: MAX_PACKET,
            in_flight: VecDeque::new(),
            progress: Instant::now(),
            broken: None,
            since: Timestamp::now(),
        };
        connection.greeted().await?;
        connection.tell_presence(&Presence::online(told, connection.since))?;
        while connection.acknowledged().await?.is_empty() {}
        // The session is a clean one: this is for each connection.
        connection.listen()?;
        Ok(connection)
    }

    async fn greeted(&mut self) -> Result<(), Failure> {
        loop {
            let event = self.wire.events.recv().await.ok_or(Failure::Closed)??;
            if let Event::Greeted(announced) = event {
                self.max_packet =
                    announced.map_or(MAX_PACKET, |most| MAX_PACKET.min(most as usize));
                return Ok(());
            }
        }
    }

    /// What is on its way, in the order of sending.
    pub fn in_flight(&self) -> &VecDeque<Sent> {
        &self.in_flight
    }

    /// The most bytes that the broker takes as this scan's result.
    pub fn max_payload(&self, scan: Ulid) -> usize {
        self.max_packet.saturating_sub(HEADER + self.topics.result(scan).len())
    }

    /// Publishes a result.
    pub fn publish(&mut self, waiting: Waiting) -> Result<(), Failure> {
        let Waiting { seq, scan_id, payload } = waiting;
        let topic = self.topics.result(scan_id);
        self.send(Message::Result { seq, scan_id }, topic, false, payload)
    }

    /// Subscribes to what is to be listened to and is not yet, or is to be sent again; and ends the
    /// subscription to what is not any more. Something of it may wait for the broker's answer.
    fn listen(&mut self) -> Result<(), Failure> {
        if !self.listens || !self.asked.is_empty() {
            return Ok(());
        }
        let wanted = self.post.filters().borrow().clone();
        let is_new = |(filter, number): &(&String, &u64)| self.heard.get(*filter) != Some(*number);
        self.asked = wanted.iter().filter(is_new).map(|(filter, _)| filter.clone()).collect();
        let gone = self.heard.keys().find(|filter| !wanted.contains_key(*filter)).cloned();
        if let Some(filter) = gone {
            self.heard.remove(&filter);
            self.wire.unsubscribe(filter).map_err(|_| self.end())?;
        }
        if !self.asked.is_empty() {
            self.wire.subscribe(&self.asked).map_err(|_| self.end())?;
            self.heard.extend(wanted);
        }
        Ok(())
    }

    /// Publishes what is new of the fleet's notes, and of what the kiosk is, and listens to what is to
    /// be listened to; something of it may wait until there is room.
    pub fn tell(&mut self) -> Result<(), Failure> {
        self.listen()?;
        let is_beside = |sent: &&Sent| !matches!(sent.message, Message::Result { .. });
        // Another presence and the last one have places that are kept for them.
        let taken = self.in_flight.iter().filter(is_beside).count() + 2;
        let room = usize::from(BESIDE).saturating_sub(taken);
        if room == 0 {
            return Ok(());
        }
        if self.birth.has_changed().unwrap_or_default() {
            let birth = self.birth.borrow_and_update().clone();
            self.tell_presence(&Presence::online(birth, self.since))?;
        }
        for Note { topic, payload, retain, number, .. } in self.post.due(&mut self.told, room) {
            if HEADER + topic.len() + payload.len() > self.max_packet {
                let size = format!("{} bytes", payload.len());
                self.post.refused("publish to", &topic, &size);
                self.post.answered(&topic, number, false, &mut self.told);
            } else {
                self.send(Message::Note(topic.clone(), number), topic, retain, payload)?;
            }
        }
        Ok(())
    }

    /// Says that the program is ending.
    pub fn tell_stopping(&mut self) -> Result<(), Failure> {
        let birth = self.birth.borrow().clone();
        self.tell_presence(&Presence::stopping(birth))
    }

    fn tell_presence(&mut self, presence: &Presence) -> Result<(), Failure> {
        self.send(Message::Presence, self.topics.presence(), true, presence.json())
    }

    fn send(
        &mut self,
        message: Message,
        topic: String,
        retain: bool,
        payload: Vec<u8>,
    ) -> Result<(), Failure> {
        let bytes = payload.len();
        if self.wire.publish(topic, retain, payload).is_err() {
            return Err(self.end());
        }
        let at = Instant::now();
        if self.in_flight.is_empty() {
            self.progress = at;
        }
        self.in_flight.push_back(Sent { message, bytes, at, packet_id: None });
        Ok(())
    }

    /// Why the event loop, which takes nothing any more, has ended: its last event says it.
    fn end(&mut self) -> Failure {
        let mut failure = self.broken.take();
        while let Ok(event) = self.wire.events.try_recv() {
            failure = event.err().or(failure);
        }
        failure.unwrap_or(Failure::Closed)
    }

    /// Waits for the broker, and gives what it has acknowledged since; that may be nothing. No
    /// acknowledgement is lost when the wait is given up.
    ///
    /// # Errors
    /// When the connection has broken: what is still in flight was not acknowledged.
    pub async fn acknowledged(&mut self) -> Result<Vec<Sent>, Failure> {
        if let Some(failure) = self.broken.take() {
            return Err(failure);
        }
        let mut events = Vec::new();
        let most = self.wire.events.max_capacity();
        let received = self.wire.events.recv_many(&mut events, most);
        // Not of each message: on a slow line the last of a window waits for all before it.
        let count = if self.in_flight.is_empty() {
            received.await
        } else {
            let received = timeout_at(self.progress + self.ack_time, received).await;
            received.map_err(|_| Failure::Silent("acknowledge a message"))?
        };
        let mut acknowledged = Vec::new();
        let outcome = if count == 0 { Err(Failure::Closed) } else { Ok(()) };
        let outcome = outcome.and_then(|()| {
            events.into_iter().try_for_each(|event| {
                acknowledged.extend(self.take(event?)?);
                Ok(())
            })
        });
        if !acknowledged.is_empty() {
            self.progress = Instant::now();
        }
        match outcome {
            // What came before the end still counts.
            Err(failure) if acknowledged.is_empty() => return Err(failure),
            outcome => self.broken = outcome.err(),
        }
        Ok(acknowledged)
    }

    /// The message that this event acknowledges, if it does.
    fn take(&mut self, event: Event) -> Result<Option<Sent>, Failure> {
        Ok(match event {
            // The library gives identifiers in the order in which it was asked to publish.
            Event::Sent(id) => {
                if let Some(next) = self.in_flight.iter_mut().find(|it| it.packet_id.is_none()) {
                    next.packet_id = Some(id);
                }
                None
            }
            Event::Acknowledged(id) => {
                let sent = self.remove(id);
                if let Some(Sent { message: Message::Note(topic, number), .. }) = &sent {
                    self.post.answered(topic, *number, true, &mut self.told);
                }
                sent
            }
            Event::Refused(id, reason) => {
                match self.in_flight.iter().find(|it| it.packet_id == Some(id)) {
                    Some(Sent { message: Message::Note(topic, number), .. }) => {
                        self.post.refused("publish to", topic, &format!("{reason:?}"));
                        self.post.answered(topic, *number, false, &mut self.told);
                        self.remove(id)
                    }
                    _ => return Err(Failure::of_reason(reason)),
                }
            }
            Event::Unheard(refused) => {
                let asked = std::mem::take(&mut self.asked);
                for (topic, _) in asked.iter().zip(refused).filter(|(_, is_refused)| *is_refused) {
                    self.post.refused("listen to", topic, "its SUBACK says so");
                }
                None
            }
            Event::Greeted(_) | Event::Left => None,
        })
    }

    fn remove(&mut self, id: u16) -> Option<Sent> {
        let place = self.in_flight.iter().position(|it| it.packet_id == Some(id))?;
        self.in_flight.remove(place)
    }

    /// Says that the kiosk goes, and why, and leaves; gives what was still acknowledged.
    pub async fn close(mut self, reason: Reason) -> Vec<Sent> {
        let mut all = Vec::new();
        let goodbye = async {
            let birth = self.birth.borrow().clone();
            self.tell_presence(&Presence::offline(birth, reason))?;
            while self.in_flight.iter().any(|it| it.message == Message::Presence) {
                all.extend(self.acknowledged().await?);
            }
            self.wire.disconnect().map_err(|_| Failure::Closed)?;
            while !matches!(self.wire.events.recv().await, None | Some(Err(_) | Ok(Event::Left))) {}
            Ok::<_, Failure>(())
        };
        match timeout(COURTESY, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => log::debug!("no goodbye to the broker: {failure}"),
            Err(_) => log::debug!("no goodbye to the broker: it does not answer"),
        }
        all
    }
}
