//! Promises of the publisher, against a real mosquitto.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tempfile::tempdir;

use super::MAX_LETTER;
use super::fixture::*;

const SOME: &[u8] = b"{\"data\":{}}";

#[tokio::test]
async fn results_are_published_in_order_to_their_topics_and_gone_from_the_queue() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let mut listener = Listener::connect(broker.port).await;
    let queue = Memory::new();
    let (_, first) = queue.put(SOME);
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), ""), folder.path());
    assert_eq!(listener.next_scan().await, first);
    let (_, second) = queue.put(&b"{}"[..]);
    let message = listener.next().await;
    assert_eq!(message.topic, topics().result(second));
    assert_eq!((&message.payload[..], message.retain), (&b"{}"[..], false));
    until("delivered", || queue.left() == 0).await;
    let state = kiosk.state();
    assert!(state.connected_since.is_some() && state.delivered == 2 && state.connections == 1);
    kiosk.stop().await;
}

#[tokio::test]
async fn presence_is_retained_and_says_online_stopped_or_lost() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let mut listener = Listener::connect(broker.port).await;
    let start = || Kiosk::start(&Memory::new(), settings(&broker.address(), ""), folder.path());
    let presence = || retained(broker.port, &topics().presence());

    let kiosk = start();
    until("connected", || kiosk.state().connected_since.is_some()).await;
    let online = presence();
    assert_eq!(online["status"], "online");
    assert_eq!(online["version"], env!("CARGO_PKG_VERSION"));
    assert!(online["since"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(online.get("reason").is_none());

    kiosk.kill();
    assert_eq!(listener.next_presence("offline").await["reason"], "lost");
    assert_eq!(presence()["reason"], "lost");

    let kiosk = start();
    until("connected", || kiosk.state().connected_since.is_some()).await;
    assert_eq!(presence()["status"], "online");
    kiosk.stop().await;
    assert_eq!(presence()["reason"], "stopped");
    // Before it went, it said so.
    assert_eq!(listener.next_presence("stopping").await.get("reason"), None);

    let kiosk = start();
    until("connected", || kiosk.state().connected_since.is_some()).await;
    kiosk.leave().await;
    assert_eq!(presence()["reason"], "reconnecting");
}

#[tokio::test]
async fn what_a_kiosk_is_stands_in_its_presence_and_is_told_when_it_changes() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let mut listener = Listener::connect(broker.port).await;
    let kiosk = Kiosk::start(&Memory::new(), settings(&broker.address(), ""), folder.path());
    let before = listener.next_presence("online").await;
    assert!(before.get("provider").is_none());
    kiosk.post.change_birth(|birth| birth.provider = Some("cpu".to_owned()));
    let after = listener.next_presence("online").await;
    assert_eq!(after["provider"], "cpu");
    assert_eq!(after["since"], before["since"], "it is the same connection");
    kiosk.post.change_birth(|_| {});
    kiosk.kill();
    // What was left with the broker when the connection began.
    let lost = listener.next_presence("offline").await;
    assert_eq!(lost["version"], before["version"]);
}

async fn notes_go_out_and_letters_come_in(more: &str) {
    let folder = tempdir().unwrap();
    let mut broker = Mosquitto::start(folder.path(), "");
    let kiosk = Kiosk::start(&Memory::new(), settings(&broker.address(), more), folder.path());
    kiosk.post.put(topics().reported(), b"{\"a\":1}".to_vec(), true);
    kiosk.post.put(topics().telemetry(), b"{}".to_vec(), false);
    until("connected", || kiosk.state().connected_since.is_some()).await;
    assert_eq!(retained(broker.port, &topics().reported())["a"], 1);
    let [all, _, own] = topics().desired();
    send(broker.port, &own, b"1");
    let letter = kiosk.inbox.letter().await;
    assert_eq!((letter.topic, letter.payload), (own.clone(), Ok(b"1".to_vec())));
    send(broker.port, &all, &vec![b' '; MAX_LETTER + 1]);
    let letter = kiosk.inbox.letter().await;
    assert_eq!((letter.topic, letter.payload), (all, Err(MAX_LETTER + 1)));
    // Another broker in its place knows nothing, and is told and asked everything.
    broker.kill();
    broker.start_again();
    until("connected again", || kiosk.state().connections == 2).await;
    assert_eq!(retained(broker.port, &topics().reported())["a"], 1);
    send(broker.port, &own, b"2");
    assert_eq!(kiosk.inbox.letter().await.payload, Ok(b"2".to_vec()));
    kiosk.stop().await;
}

#[tokio::test]
async fn fleets_notes_go_out_and_letters_come_in_on_each_connection() {
    notes_go_out_and_letters_come_in("").await;
}

#[tokio::test]
async fn fleets_notes_go_out_and_letters_come_in_with_the_older_version_too() {
    notes_go_out_and_letters_come_in(OLD).await;
}

#[tokio::test]
async fn broker_that_takes_results_alone_gets_them() {
    let folder = tempdir().unwrap();
    let acl = folder.path().join("acl");
    let lines = "topic write cic/v1/HN-01/k1/result/#\ntopic write cic/v1/HN-01/k1/presence\n";
    std::fs::write(&acl, lines).unwrap();
    let broker = Mosquitto::start(folder.path(), &format!("acl_file {}", acl.display()));
    let queue = Memory::new();
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), ""), folder.path());
    kiosk.post.put(topics().telemetry(), b"{}".to_vec(), false);
    kiosk.post.put(topics().reported(), b"{}".to_vec(), true);
    queue.put(SOME);
    until("delivered", || queue.left() == 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(kiosk.state().connections, 1);
    kiosk.stop().await;
}

/// A broker of MQTT 3.1.1 is not told how much is taken in.
#[tokio::test]
async fn message_beyond_all_bounds_does_not_keep_results_back() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let mut options = rumqttc::MqttOptions::new("hostile", "127.0.0.1", broker.port);
    options.set_max_packet_size(4 << 20, 4 << 20);
    let (client, mut events) = rumqttc::AsyncClient::new(options, 1);
    let [all, ..] = topics().desired();
    client.publish(all, rumqttc::QoS::AtLeastOnce, true, vec![b' '; 2 << 20]).await.unwrap();
    while !matches!(
        events.poll().await.unwrap(),
        rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_))
    ) {}
    for more in ["", OLD] {
        let queue = Memory::new();
        queue.put(SOME);
        let kiosk = Kiosk::start(&queue, settings(&broker.address(), more), folder.path());
        until("delivered", || queue.left() == 0).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        queue.put(SOME);
        until("delivered", || queue.left() == 0).await;
        assert!(kiosk.state().connections <= 2);
        kiosk.stop().await;
    }
}

/// Whatever the broker has forgotten, the queue has not.
async fn broker_comes_back(lines: &str, end: fn(&mut Mosquitto), more: &str) {
    let folder = tempdir().unwrap();
    let mut broker = Mosquitto::start(folder.path(), lines);
    let mut listener = Listener::connect(broker.port).await;
    let queue = Memory::new();
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), more), folder.path());
    let (_, first) = queue.put(SOME);
    assert_eq!(listener.next_scan().await, first);
    until("delivered", || queue.left() == 0).await;
    end(&mut broker);
    let away: Vec<_> = (0..50).map(|_| queue.put(SOME).1).collect();
    until("noticed", || kiosk.state().connected_since.is_none()).await;
    assert_eq!(queue.left(), 50);
    broker.start_again();
    until("delivered", || queue.left() == 0).await;
    // The listener may have come back after the first of them.
    let (_, last) = queue.put(SOME);
    let mut received = Vec::new();
    while received.last() != Some(&last) {
        received.push(listener.next_scan().await);
    }
    assert!(received.iter().all(|scan| away.contains(scan) || *scan == last || *scan == first));
    assert_eq!(retained(broker.port, &topics().presence())["status"], "online");
    assert!(kiosk.state().connections >= 2 && queue.buried().is_empty());
    kiosk.stop().await;
}

#[tokio::test]
async fn broker_that_restarts_gets_everything() {
    let folder = tempdir().unwrap();
    let place = folder.path().display();
    let lines = format!("persistence true\npersistence_location {place}/");
    broker_comes_back(&lines, Mosquitto::stop, "").await;
}

#[tokio::test]
async fn broker_that_restarts_without_its_memory_gets_everything() {
    broker_comes_back("persistence false", Mosquitto::kill, "").await;
}

/// For a broker that knows nothing newer.
const OLD: &str = "protocol = \"3.1.1\"";

#[tokio::test]
async fn broker_gets_everything_in_the_older_version_too() {
    broker_comes_back("persistence false", Mosquitto::kill, OLD).await;
}

#[tokio::test]
async fn broker_that_knows_the_older_version_alone_is_spoken_to_in_it_and_loses_nothing_else() {
    let folder = tempdir().unwrap();
    let broker = super::old_broker::start().await;
    let queue = Memory::new();
    queue.put(SOME);
    let newer = Kiosk::start(&queue, settings(&broker, ""), folder.path());
    until("refused", || newer.state().last_failure.is_some()).await;
    assert_eq!(newer.state().connections, 0);
    newer.stop().await;
    assert_eq!(queue.left(), 1);
    let older = Kiosk::start(&queue, settings(&broker, OLD), folder.path());
    until("delivered", || queue.left() == 0).await;
    older.stop().await;
    assert!(queue.buried().is_empty());
}

#[tokio::test]
async fn results_made_since_the_connection_go_before_the_backlog() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let mut listener = Listener::connect(broker.port).await;
    let queue = Memory::new();
    let backlog = 2000;
    for _ in 0..backlog {
        queue.put(vec![b' '; 12_000]);
    }
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), "window = 10"), folder.path());
    listener.next_scan().await;
    let (_, live) = queue.put(SOME);
    let mut before = 0;
    while listener.next_scan().await != live {
        before += 1;
    }
    assert!(before < backlog / 2, "{before} results of the backlog went first");
    assert!(queue.asked.load(Ordering::Relaxed) <= 10);
    until("delivered", || queue.left() == 0).await;
    kiosk.stop().await;
}

#[tokio::test]
async fn result_over_the_size_that_the_broker_announces_is_buried_at_once_and_others_pass() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "max_packet_size 5000");
    let queue = Memory::new();
    queue.put(SOME);
    let (big, _) = queue.put(vec![b' '; 6000]);
    queue.put(SOME);
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), ""), folder.path());
    until("nothing waits", || queue.left() == 0).await;
    assert_eq!(queue.buried(), [big]);
    let state = kiosk.state();
    assert_eq!((state.delivered, state.buried, state.connections), (2, 1, 1));
    kiosk.stop().await;
}

#[tokio::test]
async fn payload_of_exactly_the_size_that_the_broker_announces_is_delivered() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "max_packet_size 5000");
    let queue = Memory::new();
    let topic = topics().result(ulid::Ulid::nil()).len();
    // Of the five bytes of head and length, two are not needed for this size.
    queue.put(vec![b' '; 5000 - 10 - topic]);
    let (over, _) = queue.put(vec![b' '; 5000 - 10 - topic + 1]);
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), ""), folder.path());
    until("nothing waits", || queue.left() == 0).await;
    assert_eq!((queue.buried(), kiosk.state().connections), (vec![over], 1));
    kiosk.stop().await;
}

#[tokio::test]
async fn result_that_the_broker_rejects_for_its_size_is_buried_and_others_pass() {
    let folder = tempdir().unwrap();
    // Announced to nobody, and answered with a PUBACK that says so.
    let broker = Mosquitto::start(folder.path(), "message_size_limit 5000");
    let mut listener = Listener::connect(broker.port).await;
    let queue = Memory::new();
    let mut small: Vec<_> = (0..30).map(|_| queue.put(SOME).1).collect();
    let (big, _) = queue.put(vec![b' '; 6000]);
    small.extend((0..30).map(|_| queue.put(SOME).1));
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), ""), folder.path());
    until("nothing waits", || queue.left() == 0).await;
    assert_eq!(queue.buried(), [big]);
    assert!(queue.buried.lock().unwrap()[0].1.contains("too large"));
    kiosk.stop().await;
    let mut received = std::collections::HashSet::new();
    while received.len() < small.len() {
        received.insert(listener.next_scan().await);
    }
    assert!(small.iter().all(|scan| received.contains(scan)));
}

#[tokio::test]
async fn result_that_makes_the_broker_close_the_connection_is_buried_after_three_tries_alone() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let proxy = Proxy::start(broker.port).await;
    proxy.fault.send_replace(Fault::TooBig(5000));
    let queue = Memory::new();
    for _ in 0..10 {
        queue.put(SOME);
    }
    let (big, _) = queue.put(vec![b' '; 6000]);
    for _ in 0..10 {
        queue.put(SOME);
    }
    let kiosk = Kiosk::start(&queue, settings(&proxy.address, ""), folder.path());
    until("nothing waits", || queue.left() == 0).await;
    assert_eq!(queue.buried(), [big]);
    // Once among others, three times alone, and the one that stays.
    assert_eq!(kiosk.state().connections, 5);
    assert_eq!(kiosk.state().last_failure, Some("closed"));
    kiosk.stop().await;
}

#[tokio::test]
async fn result_over_the_size_that_the_settings_allow_is_buried_at_once() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let queue = Memory::new();
    queue.put([b' '; 100]);
    let (big, _) = queue.put([b' '; 101]);
    let some = settings(&broker.address(), "max_payload_bytes = 100");
    let kiosk = Kiosk::start(&queue, some, folder.path());
    until("nothing waits", || queue.left() == 0).await;
    assert_eq!(queue.buried(), [big]);
    kiosk.stop().await;
}

/// Whatever the fault, nothing is buried, and everything arrives when it is over.
async fn outlasts(fault: Fault, kind: &str) {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let proxy = Proxy::start(broker.port).await;
    let queue = Memory::new();
    let kiosk = Kiosk::start(&queue, settings(&proxy.address, ""), folder.path());
    until("connected", || kiosk.state().connected_since.is_some()).await;
    proxy.fault.send_replace(fault);
    for _ in 0..20 {
        queue.put(SOME);
    }
    let tried = || proxy.connections.load(Ordering::Relaxed);
    until("tried again and again", || tried() >= 4).await;
    assert_eq!((queue.left(), queue.buried().len()), (20, 0));
    assert_eq!(kiosk.state().last_failure, Some(kind));
    proxy.fault.send_replace(Fault::None);
    until("delivered", || queue.left() == 0).await;
    assert_eq!(queue.buried(), []);
    kiosk.stop().await;
}

#[tokio::test]
async fn broker_that_acknowledges_nothing_loses_nothing() {
    outlasts(Fault::DeafClient, "silent").await;
}

#[tokio::test]
async fn connection_that_hangs_half_open_loses_nothing() {
    outlasts(Fault::Hang, "silent").await;
}

#[tokio::test]
async fn connection_that_hangs_with_nothing_on_its_way_is_noticed_by_its_pings() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let proxy = Proxy::start(broker.port).await;
    let kiosk = Kiosk::start(&Memory::new(), settings(&proxy.address, ""), folder.path());
    until("connected", || kiosk.state().connected_since.is_some()).await;
    proxy.fault.send_replace(Fault::Hang);
    until("noticed", || kiosk.state().last_failure == Some("silent")).await;
    kiosk.stop().await;
}

#[tokio::test]
async fn broker_that_is_not_there_is_tried_with_pauses() {
    let folder = tempdir().unwrap();
    let queue = Memory::new();
    queue.put(SOME);
    let kiosk = Kiosk::start(&queue, settings("mqtt://127.0.0.1:1", ""), folder.path());
    until("failed", || kiosk.state().last_failure == Some("unreachable")).await;
    kiosk.stop().await;
    assert_eq!((queue.left(), queue.buried().len()), (1, 0));
}

#[tokio::test]
async fn password_is_the_credential_and_a_wrong_one_buries_nothing() {
    let folder = tempdir().unwrap();
    let passwords = folder.path().join("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c", passwords.to_str().unwrap(), "kiosk", "hush"])
        .output()
        .expect("mosquitto_passwd is installed");
    assert!(made.status.success());
    let lines = format!("allow_anonymous false\npassword_file {}", passwords.display());
    let broker = Mosquitto::start(folder.path(), &lines);
    let queue = Memory::new();
    queue.put(SOME);
    let kiosk =
        Kiosk::start(&queue, settings(&broker.address(), "user = \"kiosk\""), folder.path());
    until("missed", || kiosk.state().last_failure == Some("credential")).await;
    std::fs::write(folder.path().join("mqtt-password"), "wrong\n").unwrap();
    until("refused", || kiosk.state().last_failure == Some("refused")).await;
    assert_eq!((queue.left(), queue.buried().len()), (1, 0));
    // It counts without a restart.
    std::fs::write(folder.path().join("mqtt-password"), "hush\n").unwrap();
    until("delivered", || queue.left() == 0).await;
    kiosk.stop().await;
}

#[tokio::test]
async fn results_that_the_brokers_rules_forbid_are_kept_until_they_are_allowed() {
    let folder = tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::write(&rules, "topic readwrite cic/v1/HN-01/k1/presence\n").unwrap();
    let mut broker = Mosquitto::start(folder.path(), &format!("acl_file {}", rules.display()));
    let queue = Memory::new();
    queue.put(SOME);
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), ""), folder.path());
    until("tried again and again", || kiosk.state().connections >= 5).await;
    assert_eq!(kiosk.state().last_failure, Some("not_taken"));
    assert_eq!((queue.left(), queue.buried().len()), (1, 0));
    broker.kill();
    std::fs::write(&rules, "topic readwrite cic/v1/#\n").unwrap();
    broker.start_again();
    until("delivered", || queue.left() == 0).await;
    kiosk.stop().await;
}

#[tokio::test]
async fn unix_socket_leads_to_the_broker() {
    let folder = tempdir().unwrap();
    let socket = folder.path().join("broker.sock");
    let lines = format!("listener 0 {}", socket.display());
    let _broker = Mosquitto::start(folder.path(), &lines);
    let queue = Memory::new();
    queue.put(SOME);
    let address = format!("unix://{}", socket.display());
    let kiosk = Kiosk::start(&queue, settings(&address, ""), folder.path());
    until("delivered", || queue.left() == 0).await;
    kiosk.stop().await;
}

#[tokio::test]
async fn queue_that_fails_is_asked_until_it_works_and_nothing_is_buried() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let queue = Memory::new();
    queue.is_broken.store(true, Ordering::Relaxed);
    queue.put(SOME);
    let kiosk = Kiosk::start(&queue, settings(&broker.address(), ""), folder.path());
    until("asked", || queue.failures.load(Ordering::Relaxed) >= 3).await;
    queue.is_broken.store(false, Ordering::Relaxed);
    until("delivered", || queue.left() == 0).await;
    assert_eq!((kiosk.state().connections, queue.buried().len()), (1, 0));
    kiosk.stop().await;
}

#[tokio::test]
async fn acknowledged_result_that_cannot_be_marked_is_not_published_again_on_this_connection() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let proxy = Proxy::start(broker.port).await;
    let mut listener = Listener::connect(broker.port).await;
    let queue = Memory::new();
    let kiosk = Kiosk::start(&queue, settings(&proxy.address, "window = 3"), folder.path());
    until("connected", || kiosk.state().connected_since.is_some()).await;
    proxy.fault.send_replace(Fault::DeafClient);
    let (_, scan) = queue.put(SOME);
    assert_eq!(listener.next_scan().await, scan);
    until("sent", || kiosk.state().in_flight == 1).await;
    queue.is_broken.store(true, Ordering::Relaxed);
    proxy.fault.send_replace(Fault::None);
    until("failed to mark", || queue.failures.load(Ordering::Relaxed) >= 3).await;
    assert_eq!((queue.left(), kiosk.state().delivered), (1, 0));
    queue.is_broken.store(false, Ordering::Relaxed);
    until("marked", || queue.left() == 0).await;
    let (_, next) = queue.put(SOME);
    assert_eq!(listener.next_scan().await, next);
    assert_eq!(kiosk.state().connections, 1);
    kiosk.stop().await;
}

#[tokio::test]
async fn two_kiosks_of_one_name_throw_each_other_out_and_lose_nothing() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let queues = [Memory::new(), Memory::new()];
    let [one, other] = queues
        .each_ref()
        .map(|queue| Kiosk::start(queue, settings(&broker.address(), ""), folder.path()));
    for kiosk in [&one, &other] {
        until("thrown out twice", || kiosk.state().connections >= 3).await;
        assert!(matches!(kiosk.state().last_failure, Some("closed" | "taken_over")));
    }
    for queue in &queues {
        queue.put(SOME);
        until("delivered", || queue.left() == 0).await;
        assert_eq!(queue.buried(), []);
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn end_of_the_program_waits_for_what_is_on_its_way_but_not_for_a_broken_queue_or_broker() {
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    let proxy = Proxy::start(broker.port).await;
    let queue = Memory::new();
    let kiosk = Kiosk::start(&queue, settings(&proxy.address, "window = 50"), folder.path());
    until("connected", || kiosk.state().connected_since.is_some()).await;
    proxy.fault.send_replace(Fault::Hang);
    queue.put(SOME);
    until("sent", || kiosk.state().in_flight == 1).await;
    let begun = Instant::now();
    kiosk.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(queue.left(), 1);
}

/// An authority, the broker's certificate and the kiosk's, in PEM files.
mod tls {
    use std::path::Path;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    pub struct Authority(Issuer<'static, KeyPair>);

    impl Authority {
        pub fn new(folder: &Path, name: &str) -> Self {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            std::fs::write(folder.join(name), certificate.pem()).unwrap();
            Self(Issuer::new(params, key))
        }

        pub fn issue(&self, name: &str, certificate: &Path, key: &Path) {
            let own = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            // OpenSSL takes one of its issuer's name for its own issuer.
            params.distinguished_name.push(DnType::CommonName, name);
            let signed = params.signed_by(&own, &self.0).unwrap();
            std::fs::write(certificate, signed.pem()).unwrap();
            std::fs::write(key, own.serialize_pem()).unwrap();
        }
    }
}

/// A broker that speaks TLS, and lets in only whom its authority vouches for.
fn broker_with_tls(folder: &std::path::Path) -> (Mosquitto, tls::Authority, u16) {
    let authority = tls::Authority::new(folder, "ca.pem");
    let path = |name: &str| folder.join(name);
    authority.issue("localhost", &path("broker.pem"), &path("broker.key"));
    let port = free_port();
    let at = folder.display();
    let lines = format!(
        "listener {port} 127.0.0.1\ncafile {at}/ca.pem\ncertfile {at}/broker.pem\n\
         keyfile {at}/broker.key\nrequire_certificate true"
    );
    (Mosquitto::start(folder, &lines), authority, port)
}

#[tokio::test]
async fn kiosk_proves_itself_with_a_certificate_that_may_be_renewed() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (_broker, authority, port) = broker_with_tls(folder.path());
    let stranger = tls::Authority::new(folder.path(), "stranger.pem");
    stranger.issue("kiosk", &path("kiosk.pem"), &path("mqtt-key"));
    let queue = Memory::new();
    queue.put(SOME);
    let at = folder.path().display();
    let more = format!("authorities = \"{at}/ca.pem\"\ncertificate = \"{at}/kiosk.pem\"");
    let some = settings(&format!("mqtts://localhost:{port}"), &more);
    let kiosk = Kiosk::start(&queue, some, folder.path());
    until("refused", || kiosk.state().last_failure == Some("tls")).await;
    assert_eq!((queue.left(), queue.buried().len()), (1, 0));
    // It counts without a restart.
    authority.issue("kiosk", &path("kiosk.pem"), &path("mqtt-key"));
    until("delivered", || queue.left() == 0).await;
    kiosk.stop().await;
}

#[tokio::test]
async fn broker_that_no_authority_vouches_for_gets_nothing() {
    let folder = tempdir().unwrap();
    let (_broker, authority, port) = broker_with_tls(folder.path());
    tls::Authority::new(folder.path(), "stranger.pem");
    let path = |name: &str| folder.path().join(name);
    authority.issue("kiosk", &path("kiosk.pem"), &path("mqtt-key"));
    let at = folder.path().display();
    // Another authority, and another name: the certificate is of localhost.
    for (host, file) in [("localhost", "stranger.pem"), ("127.0.0.1", "ca.pem")] {
        let queue = Memory::new();
        queue.put(SOME);
        let more = format!("authorities = \"{at}/{file}\"\ncertificate = \"{at}/kiosk.pem\"");
        let some = settings(&format!("mqtts://{host}:{port}"), &more);
        let kiosk = Kiosk::start(&queue, some, folder.path());
        until("distrusted", || kiosk.state().last_failure == Some("tls")).await;
        assert_eq!((queue.left(), kiosk.state().connections), (1, 0));
        kiosk.stop().await;
    }
}

/// `cargo test mqtt -- --ignored --nocapture backlog`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn backlog_of_50_000_is_drained_as_fast_as_the_client_library_can() {
    const COUNT: usize = 50_000;
    let folder = tempdir().unwrap();
    let broker = Mosquitto::start(folder.path(), "");
    // One for all, so that what is measured is the publisher's memory.
    let payload: Arc<[u8]> = vec![b'x'; 12_000].into();
    let bare = bare_client(broker.port, &payload, 10_000).await;
    println!("bare client   {bare:8.0} results/s");
    for window in [1, 20, 100, 500] {
        let queue = Memory::new();
        for _ in 0..COUNT / if window == 1 { 10 } else { 1 } {
            queue.put(Arc::clone(&payload));
        }
        let count = queue.left() as f64;
        let some = settings(&broker.address(), &format!("window = {window}"));
        let (before, begun) = (resident(), Instant::now());
        let kiosk = Kiosk::start(&queue, some, folder.path());
        let mut most = before;
        while queue.left() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            most = most.max(resident());
        }
        let rate = count / begun.elapsed().as_secs_f64();
        let grown = most.saturating_sub(before) / 1024;
        println!("window {window:5}  {rate:8.0} results/s, {grown} MiB more memory at most");
        assert!(window == 1 || rate >= 1000.0, "{rate}");
        kiosk.stop().await;
    }
}

/// What the client library does with nothing around it.
async fn bare_client(port: u16, payload: &[u8], count: usize) -> f64 {
    use rumqttc::v5::mqttbytes::{QoS, v5::Packet};
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let options = MqttOptions::new("bare", "127.0.0.1", port);
    let (client, mut events) = AsyncClient::new(options, 100);
    let payload = payload.to_vec();
    tokio::spawn(async move {
        for _ in 0..count {
            client.publish("bare", QoS::AtLeastOnce, false, payload.clone()).await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let (begun, mut acknowledged) = (Instant::now(), 0);
    while acknowledged < count {
        let event = events.poll().await.unwrap();
        acknowledged += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

/// This process's memory, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
