//! A broker that knows nothing newer than MQTT 3.1.1, on a loopback port that the system chooses.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::thread;

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use super::MAX_PACKET;
use super::fixture::{free_port, until};

/// Starts it, to live as long as the process, and gives its address once it listens.
pub async fn start() -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    // Should it not start, the wait says so.
    thread::spawn(move || drop(Broker::new(config(address)).start()));
    until("listens", || TcpStream::connect(address).is_ok()).await;
    format!("mqtt://{address}")
}

fn config(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: MAX_PACKET,
        max_inflight_count: 10,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let server = ServerSettings {
        name: "loopback".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections,
    };
    let router = RouterConfig {
        max_connections: 16,
        max_outgoing_packet_count: 16,
        // The log of messages: its oldest segment goes when there are too many.
        max_segment_size: 16 << 20,
        max_segment_count: 4,
        ..RouterConfig::default()
    };
    Config {
        router,
        v4: Some(HashMap::from([("loopback".to_owned(), server)])),
        ..Config::default()
    }
}
