//! A broker inside this process, on a loopback port that the system chooses.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

use super::{BrokerAddress, MAX_PACKET, MqttError};

const START: Duration = Duration::from_secs(5);

/// Between the choice of a port and its use another program may take it.
const TRIES: usize = 3;

/// Starts a broker that lives as long as the process, and waits until it listens.
pub fn start_broker() -> Result<BrokerAddress, MqttError> {
    let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let address = free_port()?;
        let thread = thread::Builder::new().name("mqtt-broker".to_owned()).spawn(move || {
            if let Err(error) = Broker::new(config(address)).start() {
                log::error!("the embedded broker stopped: {error}");
            }
        })?;
        match wait_until_listening(address, &thread) {
            Ok(()) => return Ok(address.into()),
            Err(error) => failure = error,
        }
    }
    Err(failure.into())
}

/// `rumqttd` binds its port itself and tells nobody which one it got.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn wait_until_listening(address: SocketAddr, broker: &JoinHandle<()>) -> io::Result<()> {
    let deadline = Instant::now() + START;
    loop {
        if broker.is_finished() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        match TcpStream::connect_timeout(&address, START) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
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
