//! The way to the broker, made anew whenever it breaks.
//!
//! As in [`crate::mqtt`], a connection that broke is thrown away with all that the client library
//! remembers of it. Whoever uses the line says again what has to be said when it is [`News::Up`].

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, LastWill, Packet, PubAckReason, Publish, PublishProperties,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event as Of, EventLoop};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::message::{Role, State, json};
use super::{Access, HEADER, Topic};
use crate::mqtt::{Failure, Options, pauses};

/// Requests to the client library that are not sent yet: more than are ever made at once.
const REQUESTS: usize = 4096;

/// Messages on their way at a time, unless the broker says fewer.
const IN_FLIGHT: u16 = 1024;

/// What came from the broker waits here; its sender waits, too, where it is not taken.
const EVENTS: usize = 64;

/// What a line is for.
#[derive(Clone)]
pub struct Purpose {
    /// For its last will.
    pub role: Role,
    /// What it listens to, and whether with QoS 1: what comes with QoS 0 counts not against what it may
    /// hold.
    pub subscriptions: Vec<(String, bool)>,
    /// Messages that it may hold without having acknowledged them.
    pub receives: u16,
    /// Whether these are acknowledged by [`Line::acknowledge`] only.
    pub holds: bool,
}

/// The end of a line that one holds. `T` is what a message is to its sender.
pub struct Line<T> {
    events: mpsc::Receiver<Event>,
    session: Option<Session<T>>,
    sessions: u64,
    /// It polls the event loop, so that pings go out whatever else is done.
    _driver: AbortOnDropHandle<()>,
}

struct Session<T> {
    client: AsyncClient,
    most: usize,
    /// Published, and not sent yet.
    waiting: VecDeque<T>,
    /// Sent, and not acknowledged.
    sent: HashMap<u16, T>,
}

enum Event {
    Up(AsyncClient, usize),
    Down,
    Sent(u16),
    Acknowledged(u16, PubAckReason),
    Message(Publish),
}

/// What happened.
pub enum News<T> {
    /// The broker has us, and we hear what we listen to.
    Up,
    /// It has not any more. Nothing that was not acknowledged is known to be there.
    Down,
    /// A message came.
    Message(Topic, Bytes, Receipt),
    /// The broker has a message, or does not take it.
    Acknowledged(T, Acknowledged),
}

/// What the broker did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// It has it for somebody.
    Taken,
    /// Nobody listens: it threw it away.
    Nobody,
    /// It does not take it.
    Refused(PubAckReason),
}

/// What a message is acknowledged with.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    session: u64,
    packet_id: u16,
}

impl<T> Line<T> {
    /// Begins to connect, and never ceases to.
    pub fn new(access: Access, purpose: Purpose) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        let driver = tokio::spawn(drive(access, purpose, sender));
        Self { events, session: None, sessions: 0, _driver: AbortOnDropHandle::new(driver) }
    }

    /// Waits for what happens. Nothing is lost when the wait is given up.
    pub async fn news(&mut self) -> News<T> {
        loop {
            // The driver ends with this only.
            let Some(event) = self.events.recv().await else { std::future::pending().await };
            match event {
                Event::Up(client, most) => {
                    let (waiting, sent) = Default::default();
                    self.session = Some(Session { client, most, waiting, sent });
                    self.sessions += 1;
                    return News::Up;
                }
                Event::Down => {
                    if self.session.take().is_some() {
                        return News::Down;
                    }
                }
                Event::Sent(packet_id) => {
                    if let Some(session) = &mut self.session
                        && let Some(what) = session.waiting.pop_front()
                    {
                        session.sent.insert(packet_id, what);
                    }
                }
                Event::Acknowledged(packet_id, reason) => {
                    let session = self.session.as_mut();
                    if let Some(what) = session.and_then(|it| it.sent.remove(&packet_id)) {
                        return News::Acknowledged(what, Acknowledged::from(reason));
                    }
                }
                Event::Message(message) => {
                    let receipt = Receipt { session: self.sessions, packet_id: message.pkid };
                    match Topic::parse(&message.topic) {
                        // Nothing but what is the state of somebody is kept by anybody who means well.
                        Some(topic) if !message.retain || matches!(topic, Topic::State(_)) => {
                            return News::Message(topic, message.payload, receipt);
                        }
                        _ => self.acknowledge(receipt),
                    }
                }
            }
        }
    }

    /// Whether the broker has us.
    pub fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// The most bytes that the broker takes under this topic; where it is away, nobody knows.
    pub fn most(&self, topic: &Topic) -> Option<usize> {
        let session = self.session.as_ref()?;
        Some(session.most.saturating_sub(HEADER + topic.name().len()))
    }

    /// Publishes a message with QoS 1, where the broker has us. With `expires` it is thrown away
    /// when nobody has taken it for so long.
    pub fn publish(&mut self, what: T, topic: &Topic, payload: Bytes, expires: Option<Duration>) {
        let retain = matches!(topic, Topic::State(_) | Topic::Dead(_));
        let properties = PublishProperties {
            message_expiry_interval: expires
                .map(|time| u32::try_from(time.as_secs().max(1)).unwrap_or(u32::MAX)),
            ..PublishProperties::default()
        };
        if let Some(session) = &mut self.session {
            let (topic, qos) = (topic.name(), QoS::AtLeastOnce);
            let sent =
                session.client.try_publish_with_properties(topic, qos, retain, payload, properties);
            match sent {
                Ok(()) => session.waiting.push_back(what),
                // It has just ended, and that is said next.
                Err(_) => log::debug!("a message was not taken to be sent"),
            }
        }
    }

    /// Acknowledges a message that is held, if it came on the connection that there is.
    pub fn acknowledge(&self, Receipt { session, packet_id }: Receipt) {
        let current = self.session.as_ref().filter(|_| session == self.sessions && packet_id != 0);
        if let Some(current) = current {
            let message = Publish { qos: QoS::AtLeastOnce, pkid: packet_id, ..Publish::default() };
            let _ = current.client.try_ack(&message);
        }
    }

    /// Listens no more to this.
    pub fn turn_away(&self, topic: &str) {
        if let Some(session) = &self.session {
            let _ = session.client.try_unsubscribe(topic);
        }
    }

    /// Says goodbye, with this as what is kept of us; waits for a moment that the broker takes it.
    pub async fn leave(mut self, what: T, name: Topic, state: Bytes)
    where
        T: PartialEq + Clone,
    {
        if !self.is_up() {
            return;
        }
        self.publish(what.clone(), &name, state, None);
        let gone = async {
            loop {
                match self.news().await {
                    News::Acknowledged(which, _) if which == what => {
                        let session = self.session.as_ref();
                        if session.is_none_or(|it| it.client.try_disconnect().is_err()) {
                            return;
                        }
                    }
                    News::Down => return,
                    _ => {}
                }
            }
        };
        let _ = timeout(COURTESY, gone).await;
    }
}

/// For saying goodbye, on which nothing depends.
const COURTESY: Duration = Duration::from_secs(3);

impl From<PubAckReason> for Acknowledged {
    fn from(reason: PubAckReason) -> Self {
        match reason {
            PubAckReason::Success => Self::Taken,
            PubAckReason::NoMatchingSubscribers => Self::Nobody,
            reason => Self::Refused(reason),
        }
    }
}

/// Connects, and connects again, until nobody listens.
async fn drive(access: Access, purpose: Purpose, events: mpsc::Sender<Event>) {
    let broker = &access.dial.settings.broker;
    let retry = access.dial.settings.retry_times();
    let (mut pauses, mut told) = (self::pauses(retry), None);
    loop {
        let begun = Instant::now();
        let Err(failure) = session(&access, &purpose, &events).await else { return };
        if events.send(Event::Down).await.is_err() {
            return;
        }
        if begun.elapsed() > retry.1 {
            (pauses, told) = (self::pauses(retry), None);
        }
        let reason = Some(failure.reason());
        match &failure {
            _ if told == reason => log::debug!(broker:% = broker; "still: {failure}"),
            Failure::TakenOver => log::warn!(
                broker:% = broker;
                "another program of the queue is called {}, too: give one another --name",
                access.name
            ),
            _ => log::warn!(broker:% = broker; "{failure}; trying again"),
        }
        told = reason;
        sleep(pauses.next().unwrap_or(retry.1)).await;
    }
}

/// One connection, until it breaks; well where nobody listens any more.
async fn session(
    access: &Access,
    purpose: &Purpose,
    events: &mpsc::Sender<Event>,
) -> Result<(), Failure> {
    let limit = access.dial.settings.connect_time();
    let (client, mut event_loop) = begin(access, purpose).await?;
    let opened = open(&client, &mut event_loop, &purpose.subscriptions);
    let (most, early) =
        timeout(limit, opened).await.unwrap_or(Err(Failure::Silent("accept the connection")))?;
    log::info!(broker:% = access.dial.settings.broker; "connected with the broker");
    let mut next = vec![Event::Up(client, most)];
    next.extend(early.into_iter().map(Event::Message));
    loop {
        for event in next.drain(..) {
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
        match event_loop.poll().await? {
            Of::Incoming(Packet::Publish(message)) => next.push(Event::Message(message)),
            Of::Incoming(Packet::PubAck(ack)) => {
                next.push(Event::Acknowledged(ack.pkid, ack.reason));
            }
            Of::Outgoing(Outgoing::Publish(packet_id)) => next.push(Event::Sent(packet_id)),
            // We have said goodbye, and the library would connect again.
            Of::Outgoing(Outgoing::Disconnect) => {
                let _ = events.send(Event::Down).await;
                return Ok(());
            }
            _ => {}
        }
    }
}

async fn begin(access: &Access, purpose: &Purpose) -> Result<(AsyncClient, EventLoop), Failure> {
    let dial = access.dial.clone();
    let options = spawn_blocking(move || dial.options()).await;
    let options = options.map_err(|_| Failure::Protocol("the options panicked".to_owned()))??;
    let Options::V5(mut options) = options else {
        return Err(Failure::Protocol("the queue needs MQTT 5".to_owned()));
    };
    let (name, gone) =
        (Topic::State(access.name.clone()).name(), State::Offline { role: purpose.role });
    let will = LastWill::new(name, json(&gone), QoS::AtLeastOnce, true, None);
    options.set_last_will(will).set_manual_acks(purpose.holds);
    options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
    options.set_receive_maximum(Some(purpose.receives));
    options.set_max_packet_size(Some(u32::try_from(access.max_packet()).unwrap_or(u32::MAX)));
    Ok(AsyncClient::new(*options, REQUESTS))
}

/// Waits until the broker has us and lets us hear everything; gives the largest packet that it takes,
/// and what came meanwhile.
async fn open(
    client: &AsyncClient,
    event_loop: &mut EventLoop,
    subscriptions: &[(String, bool)],
) -> Result<(usize, Vec<Publish>), Failure> {
    let filter = |(topic, surely): &(String, bool)| {
        Filter::new(topic, if *surely { QoS::AtLeastOnce } else { QoS::AtMostOnce })
    };
    let filters = subscriptions.iter().map(filter);
    client.try_subscribe_many(filters).map_err(|_| Failure::Closed)?;
    let (mut most, mut early) = (usize::MAX, Vec::new());
    loop {
        match event_loop.poll().await? {
            Of::Incoming(Packet::ConnAck(ConnAck { properties, .. })) => {
                let announced = properties.and_then(|all| all.max_packet_size);
                most = announced.map_or(crate::mqtt::MAX_PACKET, |most| most as usize);
            }
            Of::Incoming(Packet::SubAck(ack)) => {
                for (code, (topic, _)) in ack.return_codes.iter().zip(subscriptions) {
                    if !matches!(code, SubscribeReasonCode::Success(_)) {
                        return Err(Failure::Refused(format!(
                            "no subscription to {topic}: {code:?}"
                        )));
                    }
                }
                return Ok((most, early));
            }
            Of::Incoming(Packet::Publish(message)) => early.push(message),
            _ => {}
        }
    }
}
