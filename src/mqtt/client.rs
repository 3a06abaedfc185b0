//! A publisher that waits for its PUBACK, and a subscriber.
//!
//! Both keep a persistent session: with a clean one the client library drops what is not
//! acknowledged when it connects again. It gives no completion per publish either, so the
//! acknowledgement is matched in the event loop.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Outgoing,
    Packet, QoS, StateError, SubscribeReasonCode, mqttbytes,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{BrokerAddress, MAX_PACKET, MqttError};

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// For saying goodbye, on which nothing depends.
const COURTESY: Duration = Duration::from_secs(2);

/// A connection with the broker, made again whenever it breaks, until the time is up.
struct Link {
    broker: BrokerAddress,
    client: AsyncClient,
    events: EventLoop,
    limit: Duration,
    deadline: Instant,
    last_failure: Option<String>,
}

impl Link {
    fn new(broker: &BrokerAddress, client_id: &str, clean_session: bool, limit: Duration) -> Self {
        let mut options = MqttOptions::new(client_id, broker.host.to_string(), broker.port);
        options
            .set_clean_session(clean_session)
            .set_keep_alive(Duration::from_secs(30))
            .set_max_packet_size(MAX_PACKET, MAX_PACKET);
        if let Some((user, password)) = &broker.credentials {
            options.set_credentials(user, password);
        }
        // One request at a time is ever under way.
        let (client, events) = AsyncClient::new(options, 1);
        let deadline = Instant::now() + limit;
        Self { broker: broker.clone(), client, events, limit, deadline, last_failure: None }
    }

    fn allow(&mut self, limit: Duration) {
        self.limit = limit;
        self.deadline = Instant::now() + limit;
    }

    /// The next event. `expected` is what the broker is waited for to do.
    async fn next(&mut self, expected: &'static str) -> Result<Event, MqttError> {
        loop {
            let Ok(polled) = timeout_at(self.deadline, self.events.poll()).await else {
                return Err(MqttError::Timeout {
                    broker: self.broker.to_string(),
                    expected,
                    limit: self.limit,
                    cause: self.last_failure.take(),
                });
            };
            match polled {
                Ok(event) => return Ok(event),
                Err(ConnectionError::ConnectionRefused(
                    code @ (ConnectReturnCode::BadUserNamePassword
                    | ConnectReturnCode::NotAuthorized
                    | ConnectReturnCode::BadClientId
                    | ConnectReturnCode::RefusedProtocolVersion),
                )) => {
                    return Err(MqttError::Refused {
                        broker: self.broker.to_string(),
                        reason: format!("{code:?}"),
                    });
                }
                Err(ConnectionError::MqttState(StateError::Deserialization(
                    mqttbytes::Error::OutgoingPacketTooLarge { .. }
                    | mqttbytes::Error::PayloadTooLong,
                ))) => return Err(MqttError::TooLarge),
                Err(error) => {
                    log::debug!("connection with {}: {error}", self.broker);
                    self.last_failure = Some(error.to_string());
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn disconnect(mut self) {
        let goodbye = async {
            if self.client.disconnect().await.is_ok() {
                while !matches!(
                    self.events.poll().await,
                    Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_)
                ) {}
            }
        };
        // The broker notices a client that is gone; saying so is a courtesy.
        let _ = timeout(COURTESY, goodbye).await;
    }
}

/// Publishes with QoS 1 and waits for the broker's PUBACK.
pub async fn publish(
    broker: &BrokerAddress,
    client_id: &str,
    topic: &str,
    payload: &[u8],
    limit: Duration,
) -> Result<(), MqttError> {
    let mut link = Link::new(broker, client_id, false, limit);
    let mut is_offered = false;
    let mut packet_id = None;
    loop {
        match link.next("acknowledge the message").await? {
            // A session that was resumed offers by itself what is not acknowledged.
            Event::Incoming(Packet::ConnAck(connack))
                if !(is_offered && connack.session_present) =>
            {
                let offer = link.client.try_publish(topic, QoS::AtLeastOnce, false, payload);
                is_offered = offer.is_ok();
            }
            Event::Outgoing(Outgoing::Publish(id)) => packet_id = Some(id),
            Event::Incoming(Packet::PubAck(ack)) if Some(ack.pkid) == packet_id => {
                link.disconnect().await;
                return Ok(());
            }
            _ => {}
        }
    }
}

/// A subscription to one topic.
pub struct Subscriber {
    link: Link,
    topic: String,
}

impl Subscriber {
    /// Connects, subscribes with QoS 1, and waits for the broker's SUBACK.
    pub async fn connect(
        broker: &BrokerAddress,
        client_id: &str,
        topic: &str,
        limit: Duration,
    ) -> Result<Self, MqttError> {
        let link = Link::new(broker, client_id, false, limit);
        let mut subscriber = Self { link, topic: topic.to_owned() };
        loop {
            let event = subscriber.next("answer the subscription").await?;
            if let Event::Incoming(Packet::SubAck(ack)) = event {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err(MqttError::SubscriptionRefused {
                        broker: broker.to_string(),
                        topic: topic.to_owned(),
                    });
                }
                return Ok(subscriber);
            }
        }
    }

    /// Waits for the next message and gives its payload.
    pub async fn receive(&mut self, limit: Duration) -> Result<Vec<u8>, MqttError> {
        self.link.allow(limit);
        loop {
            if let Event::Incoming(Packet::Publish(message)) =
                self.next("deliver the message").await?
            {
                return Ok(message.payload.to_vec());
            }
        }
    }

    /// Leaves the broker.
    pub async fn disconnect(self) {
        self.link.disconnect().await;
    }

    /// The next event; subscribes on every new connection, because a broker may have forgotten.
    async fn next(&mut self, expected: &'static str) -> Result<Event, MqttError> {
        let event = self.link.next(expected).await?;
        if matches!(event, Event::Incoming(Packet::ConnAck(_))) {
            let request = self.link.client.try_subscribe(&self.topic, QoS::AtLeastOnce);
            if let Err(error) = request {
                log::debug!("subscribing at {}: {error}", self.link.broker);
            }
        }
        Ok(event)
    }
}

/// Has the broker forget a persistent session that nobody will come back to.
pub async fn forget_session(broker: &BrokerAddress, client_id: &str) {
    let mut link = Link::new(broker, client_id, true, COURTESY);
    if link.next("connect").await.is_ok() {
        link.disconnect().await;
    }
}
