//! An office's connection with the broker: many topics, every message in the order in which it came,
//! and an answer to everything that is published.
//!
//! Promises:
//! - MQTT 5 alone: an office must know what the broker does not take, and why.
//! - Every wait for the broker's answer has a limit. A connection that broke stays so; whoever wants
//!   another one opens it.
//! - What comes in waits in memory until it is taken: an office has room, and takes it at once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cic_kiosk::config::Protocol;
use futures_util::future::try_join_all;
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, LastWill, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::dial::Dial;
use super::failure::Failure;
use super::wire::Options;
use crate::credentials::Secret;

/// Requests that may wait to be sent. What is published together is cut into pieces that fit.
const REQUESTS: usize = 1 << 12;

/// Messages that are published together; those behind them wait until these are acknowledged.
const TOGETHER: usize = 1 << 8;

/// For saying goodbye, on which nothing depends.
const COURTESY: Duration = Duration::from_secs(2);

/// A message that is to be published: topic, payload, and whether the broker keeps it.
pub type Sending = (String, Vec<u8>, bool);

/// Who connects, and where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Where to, and with which certificates. The client's name is not the one of its topics.
    pub dial: Dial,
    /// The client's name, of 23 bytes at most.
    pub id: String,
    /// The password of `mqtt.user`, where it is no credential.
    pub password: Option<Secret>,
    /// What the broker publishes, retained, when the connection is lost.
    pub will: Option<(String, Vec<u8>)>,
}

/// A message that came in.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its topic; what is no UTF-8 in it was replaced.
    pub topic: String,
    /// What it says.
    pub payload: Bytes,
    /// Whether it is one that stood at the broker before.
    pub retained: bool,
}

/// A connection that stands.
pub struct Line {
    client: AsyncClient,
    asked: Arc<Asked>,
    incoming: mpsc::UnboundedReceiver<Result<Message, Failure>>,
    ack_time: Duration,
    _driver: AbortOnDropHandle<()>,
}

type Answer<T> = oneshot::Sender<Result<T, Failure>>;

/// What was asked and has no packet identifier yet, in its order.
#[derive(Default)]
struct Asked {
    publishes: Mutex<VecDeque<Answer<()>>>,
    subscribes: Mutex<VecDeque<Answer<Vec<bool>>>>,
}

impl Caller {
    /// Connects.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn open(&self) -> Result<Line, Failure> {
        let of = self.clone();
        let options = spawn_blocking(move || of.options());
        let options =
            options.await.map_err(|_| Failure::Protocol("the options panicked".to_owned()))??;
        let settings = &self.dial.settings;
        let (client, event_loop) = AsyncClient::new(options, REQUESTS);
        let (greet, greeted) = oneshot::channel();
        let (sender, incoming) = mpsc::unbounded_channel();
        let asked = Arc::new(Asked::default());
        let driver = drive(event_loop, greet, sender, Arc::clone(&asked));
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        let mut line =
            Line { client, asked, incoming, ack_time: settings.ack_time(), _driver: driver };
        match timeout(settings.connect_time(), greeted).await {
            Err(_) => Err(Failure::Silent("accept the connection")),
            Ok(Ok(())) => Ok(line),
            // It says why before it gives up.
            Ok(Err(_)) => Err(line.next().await.err().unwrap_or(Failure::Closed)),
        }
    }

    /// Reads files: blocks.
    fn options(&self) -> Result<MqttOptions, Failure> {
        let mut dial = self.dial.clone();
        if dial.settings.protocol != Protocol::V5 {
            let reason = "an office needs MQTT 5, which says what the broker does not take";
            return Err(Failure::Protocol(reason.to_owned()));
        }
        let given = self.password.as_ref().map(|it| it.text().ok_or(Failure::NotText("password")));
        let given = given.transpose()?;
        let user = if given.is_some() { dial.settings.user.take() } else { None };
        let Options::V5(mut options) = dial.options()? else {
            return Err(Failure::Protocol("no options of MQTT 5".to_owned()));
        };
        options.set_client_id(self.id.clone());
        if let (Some(user), Some(password)) = (user, given) {
            options.set_credentials(user, password);
        }
        if let Some((topic, payload)) = self.will.clone() {
            let will = LastWill::new(topic, payload, QoS::AtLeastOnce, true, None);
            options.set_last_will(will);
        }
        Ok(*options)
    }
}

impl Line {
    /// The next message.
    ///
    /// # Errors
    /// Why the connection has broken.
    pub async fn next(&mut self) -> Result<Message, Failure> {
        self.incoming.recv().await.unwrap_or(Err(Failure::Closed))
    }

    /// Subscribes to these topics, and waits until the broker has taken that.
    ///
    /// # Errors
    /// For one that the broker does not let us hear, and when the connection has broken.
    pub async fn subscribe(&self, filters: &[String]) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        {
            let mut asked = lock(&self.asked.subscribes);
            let all = filters.iter().map(|filter| Filter::new(filter, QoS::AtLeastOnce));
            self.client.try_subscribe_many(all).map_err(|_| Failure::Closed)?;
            asked.push_back(answer);
        }
        let refused = self.wait(answered, "take a subscription").await?;
        match filters.iter().zip(refused).find(|(_, is_refused)| *is_refused) {
            Some((filter, _)) => Err(Failure::Refused(format!("no listening to {filter}"))),
            None => Ok(()),
        }
    }

    /// Listens no longer to a topic.
    ///
    /// # Errors
    /// When the connection has broken.
    pub fn unsubscribe(&self, filter: &str) -> Result<(), Failure> {
        self.client.try_unsubscribe(filter).map_err(|_| Failure::Closed)
    }

    /// Publishes with QoS 1, and waits until the broker has the message.
    ///
    /// # Errors
    /// Why the broker does not take it, and when the connection has broken.
    pub async fn publish(&self, letter: Sending) -> Result<(), Failure> {
        let (topic, payload, retain) = letter;
        let (answer, answered) = oneshot::channel();
        {
            // Under the lock, so that both have the same order.
            let mut asked = lock(&self.asked.publishes);
            let sent = self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload);
            sent.map_err(|_| Failure::Closed)?;
            asked.push_back(answer);
        }
        self.wait(answered, "acknowledge a message").await
    }

    /// Publishes many messages, in their order.
    ///
    /// # Errors
    /// As [`Line::publish`]; then some of them may have been taken.
    pub async fn publish_all(&self, letters: Vec<Sending>) -> Result<(), Failure> {
        let mut letters = letters.into_iter();
        loop {
            let some: Vec<_> = letters.by_ref().take(TOGETHER).collect();
            if some.is_empty() {
                return Ok(());
            }
            try_join_all(some.into_iter().map(|letter| self.publish(letter))).await?;
        }
    }

    /// Says goodbye: the broker publishes no last will.
    pub async fn close(mut self) {
        if self.client.try_disconnect().is_ok() {
            let left = async { while self.next().await.is_ok() {} };
            let _ = timeout(COURTESY, left).await;
        }
    }

    async fn wait<T>(
        &self,
        answered: oneshot::Receiver<Result<T, Failure>>,
        what: &'static str,
    ) -> Result<T, Failure> {
        let answer = timeout(self.ack_time, answered).await;
        answer.map_err(|_| Failure::Silent(what))?.unwrap_or(Err(Failure::Closed))
    }
}

/// Polls until the first failure, after which the library would connect again.
async fn drive(
    mut event_loop: EventLoop,
    greet: oneshot::Sender<()>,
    incoming: mpsc::UnboundedSender<Result<Message, Failure>>,
    asked: Arc<Asked>,
) {
    let (mut publishes, mut subscribes) = (HashMap::new(), HashMap::new());
    let mut greet = Some(greet);
    // Whether anybody still wants to hear.
    let mut take = |event| {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                _ = greet.take().map(|greet| greet.send(()));
            }
            Event::Incoming(Packet::Publish(message)) => {
                let topic = String::from_utf8_lossy(&message.topic).into_owned();
                let (payload, retained) = (message.payload.clone(), message.retain);
                return incoming.send(Ok(Message { topic, payload, retained })).is_ok();
            }
            Event::Incoming(Packet::PubAck(ack)) => {
                let outcome = match ack.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
                    reason => Err(Failure::of_reason(reason)),
                };
                answer(&mut publishes, ack.pkid, outcome);
            }
            Event::Incoming(Packet::SubAck(ack)) => {
                let refused =
                    |code: &SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
                let all = ack.return_codes.iter().map(refused).collect();
                answer(&mut subscribes, ack.pkid, Ok(all));
            }
            // The library gives identifiers in the order in which it was asked.
            Event::Outgoing(Outgoing::Publish(id)) => {
                publishes.extend(lock(&asked.publishes).pop_front().map(|answer| (id, answer)));
            }
            Event::Outgoing(Outgoing::Subscribe(id)) => {
                subscribes.extend(lock(&asked.subscribes).pop_front().map(|answer| (id, answer)));
            }
            _ => {}
        }
        true
    };
    loop {
        match event_loop.poll().await {
            Ok(event) => {
                if !take(event) {
                    break;
                }
            }
            Err(error) => {
                // What came together with the end, such as why a message is not taken.
                std::mem::take(&mut event_loop.state.events).into_iter().all(&mut take);
                let _ = incoming.send(Err(error.into()));
                break;
            }
        }
    }
    // Whoever waits for an answer learns that there will be none.
    lock(&asked.publishes).clear();
    lock(&asked.subscribes).clear();
}

fn answer<T>(waiting: &mut HashMap<u16, Answer<T>>, id: u16, outcome: Result<T, Failure>) {
    if let Some(answer) = waiting.remove(&id) {
        // Who gave up waiting does not need it.
        let _ = answer.send(outcome);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
