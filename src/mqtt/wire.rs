//! One event loop of the client library, in the version of MQTT that the broker speaks.
//!
//! The library has a client for each version, alike but of different types. Here they are one.

use rumqttc::v5;
use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode as Reason5;
use rumqttc::v5::mqttbytes::v5::{ConnAck, Filter, PubAck, PubAckReason};
use rumqttc::{
    AsyncClient, LastWill, MqttOptions, NetworkOptions, Outgoing, QoS, SubscribeFilter,
    SubscribeReasonCode,
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Failure;
use super::post::Post;

/// What a connection is made with.
pub enum Options {
    /// MQTT 3.1.1.
    V3(Box<MqttOptions>, NetworkOptions),
    /// MQTT 5.
    V5(Box<v5::MqttOptions>),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker takes us, and packets of so many bytes, where it says.
    Greeted(Option<u32>),
    /// The next message that was to be published has gone out, under this packet identifier.
    Sent(u16),
    /// The broker has the message of this packet identifier.
    Acknowledged(u16),
    /// The broker does not take the message of this packet identifier.
    Refused(u16, PubAckReason),
    /// Which of the topics that were subscribed to the broker does not let us hear, in their order.
    Unheard(Vec<bool>),
    /// We have said goodbye.
    Left,
}

enum Client {
    V3(AsyncClient),
    V5(v5::AsyncClient),
}

/// The event loop has ended; its last event says why.
pub struct Ended;

/// A connection's ends: requests go in, events come out until the first failure.
pub struct Wire {
    client: Client,
    /// What happens.
    pub events: mpsc::Receiver<Result<Event, Failure>>,
    /// Polls the event loop, so that pings go out whatever else is waited for.
    _driver: AbortOnDropHandle<()>,
}

impl Options {
    /// With this message, retained, for the broker to publish when the connection is lost.
    #[must_use]
    pub fn with_last_will(mut self, topic: String, payload: Vec<u8>) -> Self {
        match &mut self {
            Self::V3(options, _) => {
                options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, true));
            }
            Self::V5(options) => {
                let qos = v5::mqttbytes::QoS::AtLeastOnce;
                let will = v5::mqttbytes::v5::LastWill::new(topic, payload, qos, true, None);
                options.set_last_will(will);
            }
        }
        self
    }
}

impl Wire {
    /// Begins to connect. It takes so many requests that are not sent yet; what the broker sends
    /// goes into the post.
    pub fn open(options: Options, requests: usize, post: Option<Post>) -> Self {
        let (sender, events) = mpsc::channel(2 * requests);
        let (client, driver) = match options {
            Options::V3(options, network) => {
                let (client, mut event_loop) = AsyncClient::new(*options, requests);
                event_loop.set_network_options(network);
                (Client::V3(client), tokio::spawn(drive_v3(event_loop, sender, post)))
            }
            Options::V5(options) => {
                let (client, event_loop) = v5::AsyncClient::new(*options, requests);
                (Client::V5(client), tokio::spawn(drive_v5(event_loop, sender, post)))
            }
        };
        Self { client, events, _driver: AbortOnDropHandle::new(driver) }
    }

    /// Has a message published with QoS 1.
    pub fn publish(&self, topic: String, retain: bool, payload: Vec<u8>) -> Result<(), Ended> {
        match &self.client {
            Client::V3(client) => {
                client.try_publish(topic, QoS::AtLeastOnce, retain, payload).map_err(|_| Ended)
            }
            Client::V5(client) => client
                .try_publish(topic, v5::mqttbytes::QoS::AtLeastOnce, retain, payload)
                .map_err(|_| Ended),
        }
    }

    /// Subscribes to topics with QoS 1.
    pub fn subscribe(&self, topics: &[String]) -> Result<(), Ended> {
        match &self.client {
            Client::V3(client) => {
                let filter = |topic: &String| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce);
                client.try_subscribe_many(topics.iter().map(filter)).map_err(|_| Ended)
            }
            Client::V5(client) => {
                let filter = |topic: &String| Filter::new(topic, v5::mqttbytes::QoS::AtLeastOnce);
                client.try_subscribe_many(topics.iter().map(filter)).map_err(|_| Ended)
            }
        }
    }

    /// Ends the subscription to a topic.
    pub fn unsubscribe(&self, topic: String) -> Result<(), Ended> {
        match &self.client {
            Client::V3(client) => client.try_unsubscribe(topic).map_err(|_| Ended),
            Client::V5(client) => client.try_unsubscribe(topic).map_err(|_| Ended),
        }
    }

    /// Says goodbye.
    pub fn disconnect(&self) -> Result<(), Ended> {
        match &self.client {
            Client::V3(client) => client.try_disconnect().map_err(|_| Ended),
            Client::V5(client) => client.try_disconnect().map_err(|_| Ended),
        }
    }
}

/// Polls until the first failure, after which the library would connect again.
async fn drive_v3(
    mut event_loop: rumqttc::EventLoop,
    events: mpsc::Sender<Result<Event, Failure>>,
    post: Option<Post>,
) {
    use rumqttc::{Event as Of, Packet};
    loop {
        let event = match event_loop.poll().await {
            Ok(Of::Incoming(Packet::ConnAck(_))) => Ok(Event::Greeted(None)),
            Ok(Of::Incoming(Packet::PubAck(ack))) => Ok(Event::Acknowledged(ack.pkid)),
            Ok(Of::Incoming(Packet::Publish(message))) => {
                if let Some(post) = &post {
                    post.arrive(message.topic.as_bytes(), &message.payload, message.retain);
                }
                continue;
            }
            Ok(Of::Incoming(Packet::SubAck(ack))) => {
                let refused = |code: &SubscribeReasonCode| *code == SubscribeReasonCode::Failure;
                Ok(Event::Unheard(ack.return_codes.iter().map(refused).collect()))
            }
            Ok(Of::Outgoing(outgoing)) => match going_out(&outgoing) {
                Some(event) => Ok(event),
                None => continue,
            },
            Ok(Of::Incoming(_)) => continue,
            Err(error) => Err(error.into()),
        };
        if tell(&events, event).await {
            return;
        }
    }
}

async fn drive_v5(
    mut event_loop: v5::EventLoop,
    events: mpsc::Sender<Result<Event, Failure>>,
    post: Option<Post>,
) {
    use v5::Event as Of;
    use v5::mqttbytes::v5::Packet;
    loop {
        let event = match event_loop.poll().await {
            Ok(Of::Incoming(Packet::ConnAck(ConnAck { properties, .. }))) => {
                Ok(Event::Greeted(properties.and_then(|all| all.max_packet_size)))
            }
            Ok(Of::Incoming(Packet::PubAck(PubAck { pkid, reason, .. }))) => match reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                    Ok(Event::Acknowledged(pkid))
                }
                reason => Ok(Event::Refused(pkid, reason)),
            },
            Ok(Of::Incoming(Packet::Publish(message))) => {
                if let Some(post) = &post {
                    post.arrive(&message.topic, &message.payload, message.retain);
                }
                continue;
            }
            Ok(Of::Incoming(Packet::SubAck(ack))) => {
                let refused = |code: &Reason5| !matches!(code, Reason5::Success(_));
                Ok(Event::Unheard(ack.return_codes.iter().map(refused).collect()))
            }
            Ok(Of::Outgoing(outgoing)) => match going_out(&outgoing) {
                Some(event) => Ok(event),
                None => continue,
            },
            Ok(Of::Incoming(_)) => continue,
            Err(error) => Err(error.into()),
        };
        if tell(&events, event).await {
            return;
        }
    }
}

fn going_out(outgoing: &Outgoing) -> Option<Event> {
    match outgoing {
        Outgoing::Publish(id) => Some(Event::Sent(*id)),
        Outgoing::Disconnect => Some(Event::Left),
        _ => None,
    }
}

/// Whether that was the last event: it was a failure, or nobody listens any more.
async fn tell(
    events: &mpsc::Sender<Result<Event, Failure>>,
    event: Result<Event, Failure>,
) -> bool {
    let is_last = event.is_err();
    events.send(event).await.is_err() || is_last
}
