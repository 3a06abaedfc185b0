//! A talk with a broker about something else than results: retained messages, one at a time, until one
//! side ends it. MQTT 5, so that the broker says what it does not take.

use std::collections::VecDeque;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::dial::Dial;
use super::failure::Failure;
use super::wire::Options;

/// Requests that wait for the event loop: there is one at a time.
const REQUESTS: usize = 4;

/// Messages that came while something else was waited for.
const MOST: usize = 10_000;

/// A message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its topic.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
}

/// A connection on which one thing is done after the other.
pub struct Talk {
    client: AsyncClient,
    events: EventLoop,
    heard: VecDeque<Heard>,
    limit: Duration,
}

impl Talk {
    /// Connects under this name, and listens to these topics.
    ///
    /// # Errors
    /// Why the broker does not take it.
    pub async fn open(dial: &Dial, client_id: &str, topics: &[String]) -> Result<Self, Failure> {
        let (of, limit) = (dial.clone(), dial.settings.connect_time());
        let options = spawn_blocking(move || of.options())
            .await
            .map_err(|_| Failure::Protocol("the options panicked".to_owned()))??;
        let Options::V5(mut options) = options else {
            return Err(Failure::Protocol("this needs MQTT 5".to_owned()));
        };
        options.set_client_id(client_id.to_owned());
        let (client, events) = AsyncClient::new(*options, REQUESTS);
        let mut talk = Self { client, events, heard: VecDeque::new(), limit };
        talk.in_time("accept the connection", |it| matches!(it, Packet::ConnAck(_))).await?;
        let filters = topics.iter().map(|topic| Filter::new(topic, QoS::AtLeastOnce));
        talk.client.try_subscribe_many(filters).map_err(|_| Failure::Closed)?;
        let answer =
            talk.in_time("answer a subscription", |it| matches!(it, Packet::SubAck(_))).await?;
        if let Packet::SubAck(ack) = answer
            && !ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_)))
        {
            return Err(Failure::Refused("it lets nobody listen here".to_owned()));
        }
        Ok(talk)
    }

    /// Publishes what the broker keeps; nothing, which clears what it keeps. When it returns, the
    /// broker has it.
    ///
    /// # Errors
    /// When the connection has broken, or the broker does not take it.
    pub async fn put(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), Failure> {
        let sent = self.client.try_publish(topic, QoS::AtLeastOnce, true, payload);
        sent.map_err(|_| Failure::Closed)?;
        let answer =
            self.in_time("acknowledge a message", |it| matches!(it, Packet::PubAck(_))).await?;
        match answer {
            Packet::PubAck(ack)
                if !matches!(
                    ack.reason,
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers
                ) =>
            {
                Err(Failure::of_reason(ack.reason))
            }
            _ => Ok(()),
        }
    }

    /// Waits for the next message, for as long as it takes.
    ///
    /// # Errors
    /// When the connection has broken.
    pub async fn next(&mut self) -> Result<Heard, Failure> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(heard);
            }
            self.poll().await?;
        }
    }

    /// The next message, if one comes within this time; what a broker keeps comes at once.
    ///
    /// # Errors
    /// When the connection has broken.
    #[cfg(feature = "office")]
    pub async fn next_within(&mut self, time: Duration) -> Result<Option<Heard>, Failure> {
        timeout(time, self.next()).await.map_or(Ok(None), |heard| heard.map(Some))
    }

    /// Says goodbye.
    pub async fn end(mut self) {
        if self.client.try_disconnect().is_ok() {
            let gone = async { while self.poll().await.is_ok() {} };
            let _ = timeout(Duration::from_secs(1), gone).await;
        }
    }

    /// Waits for a packet of which this is true.
    async fn in_time(
        &mut self,
        what: &'static str,
        is_it: fn(&Packet) -> bool,
    ) -> Result<Packet, Failure> {
        let limit = self.limit;
        let answer = async {
            loop {
                if let Some(packet) = self.poll().await?.filter(is_it) {
                    return Ok(packet);
                }
            }
        };
        timeout(limit, answer).await.unwrap_or(Err(Failure::Silent(what)))
    }

    /// One step of the event loop. Messages are put aside.
    async fn poll(&mut self) -> Result<Option<Packet>, Failure> {
        match self.events.poll().await? {
            Event::Incoming(Packet::Publish(message)) => {
                if let Ok(topic) = String::from_utf8(message.topic.to_vec())
                    && self.heard.len() < MOST
                {
                    self.heard.push_back(Heard { topic, payload: message.payload.to_vec() });
                }
                Ok(None)
            }
            Event::Incoming(packet) => Ok(Some(packet)),
            Event::Outgoing(_) => Ok(None),
        }
    }
}
