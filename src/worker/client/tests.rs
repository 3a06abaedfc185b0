//! The client and workers that lie, die and hang.

use cic_kiosk::engine::Pictures;
use cic_kiosk::report::schema::ErrorCode;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use ulid::Ulid;

use super::*;

/// Longer than anything here takes on a busy machine, [`GRACE`] included.
const SOON: Duration = Duration::from_secs(60);

/// The place of a socket, and a client that uses it.
struct Fixture {
    client: Arc<Client>,
    listener: UnixListener,
    _folder: TempDir,
}

/// A connection as a worker has it.
struct Peer {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
}

fn config(socket: &Path) -> Config {
    let reading = Reading { worker: Some(socket.to_owned()), ..Reading::default() };
    Config { reading, ..Config::default() }
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("worker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let client = Arc::new(Client::new(&config(&socket), None));
        Self { client, listener, _folder: folder }
    }

    /// A worker that has said who it is.
    async fn peer(&self) -> Peer {
        let mut peer = self.stranger().await;
        peer.say(&Welcome { version: VERSION.to_owned() }, b"").await;
        peer
    }

    async fn stranger(&self) -> Peer {
        let (stream, _) = timeout(SOON, self.listener.accept()).await.unwrap().unwrap();
        let (from, to) = stream.into_split();
        let mut peer = Peer { from, to };
        let (hello, _) = protocol::receive::<Hello>(&mut peer.from).await.unwrap();
        assert_eq!((hello.version.as_str(), hello.reading.worker), (VERSION, None));
        peer
    }

    /// Reads a document, whose bytes are its name.
    fn read(&self, name: &str, limit: Duration) -> JoinHandle<Result<Answer, ReadError>> {
        let (client, files) = (Arc::clone(&self.client), Files::from(name.as_bytes().to_vec()));
        tokio::spawn(async move {
            let work =
                Work { scan: Ulid::from(7), files, ahead: Vec::new(), pictures: Pictures::None };
            client.read(work, limit, |_| {}).await
        })
    }
}

impl Peer {
    async fn say(&mut self, said: &impl serde::Serialize, bytes: &[u8]) {
        self.to.write_all(&protocol::beginning(said, bytes.len())).await.unwrap();
        self.to.write_all(bytes).await.unwrap();
    }

    /// The next order, and the bytes behind it as text.
    async fn order(&mut self) -> (Order, String) {
        let next = async {
            let (order, length) = protocol::receive::<Order>(&mut self.from).await.unwrap();
            let bytes = protocol::receive_bytes(&mut self.from, length, 1 << 20).await.unwrap();
            (order, String::from_utf8(bytes).unwrap())
        };
        timeout(SOON, next).await.unwrap()
    }

    /// The number of the next document, and its name.
    async fn document(&mut self) -> (u64, String) {
        match self.order().await {
            (Order::Do(number, Task::Read { .. }), name) => (number, name),
            (order, _) => panic!("{order:?}"),
        }
    }

    async fn answer(&mut self, number: u64, answer: &Json) {
        let outcome = Outcome::Read { stages: vec![(Stage::Decode, 5)] };
        self.say(&Said { number, outcome }, answer.to_string().as_bytes()).await;
    }

    /// Whether the client closes the connection.
    async fn sees_the_end(mut self) -> bool {
        let mut rest = Vec::new();
        let end = tokio::io::AsyncReadExt::read_to_end(&mut self.from, &mut rest);
        timeout(SOON, end).await.is_ok()
    }
}

fn answer() -> Json {
    json!({
        "errorCode": "0",
        "data": {"info": [], "type": "credit_report"},
        "meta": {"scan_id": "theirs", "pages": 1, "elapsed_ms": {"load": 3, "decode": 4}},
    })
}

#[tokio::test]
async fn answers_find_who_asked_in_whatever_order_they_come() {
    let fixture = Fixture::new();
    let asked = ["a", "b"].map(|name| fixture.read(name, SOON));
    let mut peer = fixture.peer().await;
    let mut documents = [peer.document().await, peer.document().await];
    documents.sort_by(|a, b| b.1.cmp(&a.1));
    for (number, name) in documents {
        let mut answer = answer();
        answer["meta"]["detail"] = json!(name);
        peer.answer(number, &answer).await;
    }
    for (asked, name) in asked.into_iter().zip(["a", "b"]) {
        let answer = asked.await.unwrap().unwrap();
        assert_eq!(answer.error, ErrorCode::Success);
        assert_eq!(answer.meta.unwrap().detail.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn of_an_answer_only_what_it_may_say_is_believed() {
    let fixture = Fixture::new();
    let asked = fixture.read("a", SOON);
    let mut peer = fixture.peer().await;
    let (number, _) = peer.document().await;
    let mut said = answer();
    said["meta"]["elapsed_ms"]["somebody"] = json!("0123456789");
    said["meta"]["detail"] = json!(format!("\u{1b}[2J{}", "x".repeat(9999)));
    peer.answer(number, &said).await;
    let meta = asked.await.unwrap().unwrap().meta.unwrap();
    assert_eq!(meta.scan_id, Ulid::from(7).to_string());
    assert_eq!(meta.elapsed_ms.keys().collect::<Vec<_>>(), ["load", "decode"]);
    let detail = meta.detail.unwrap();
    assert!(detail.starts_with("[2Jx") && detail.len() == REASON, "{detail}");
}

#[tokio::test]
async fn worker_that_says_what_it_must_not_is_done_with() {
    let seen = |page: u64| {
        let mut answer = answer();
        answer["meta"]["pages"] = json!(page);
        answer.to_string().into_bytes()
    };
    let read = || Outcome::Read { stages: Vec::new() };
    let quality = br#"{"errorCode":"0","meta":{"pages":1,"quality":[{"page":1}]}}"#;
    let cases: [(&str, Outcome, Vec<u8>); 6] = [
        ("no answer", read(), b"{}".to_vec()),
        ("no JSON", read(), vec![b'['; 5000]),
        ("pages without end", read(), seen(u64::MAX)),
        ("a page that there is not", read(), quality.to_vec()),
        ("another task's outcome", Outcome::Done, Vec::new()),
        ("too long", read(), vec![b' '; ANSWER + 1]),
    ];
    for (case, outcome, bytes) in cases {
        let fixture = Fixture::new();
        let asked = fixture.read("a", SOON);
        let mut peer = fixture.peer().await;
        let (number, _) = peer.document().await;
        let said = protocol::beginning(&Said { number, outcome }, bytes.len());
        peer.to.write_all(&said).await.unwrap();
        // It may be cut off while it still talks.
        let _ = peer.to.write_all(&bytes).await;
        assert_eq!(asked.await.unwrap(), Err(ReadError::Died), "{case}");
        assert!(peer.sees_the_end().await, "{case}");
    }
}

#[tokio::test]
async fn frame_that_is_none_or_that_nobody_asked_for_ends_the_connection() {
    let unasked = protocol::beginning(&Said { number: 9, outcome: Outcome::Done }, 0);
    for frame in [vec![0xff; 64], vec![0; 12], unasked] {
        let fixture = Fixture::new();
        let asked = fixture.read("a", SOON);
        let mut peer = fixture.peer().await;
        peer.document().await;
        peer.to.write_all(&frame).await.unwrap();
        assert_eq!(asked.await.unwrap(), Err(ReadError::Died));
        assert!(peer.sees_the_end().await);
    }
}

#[tokio::test]
async fn of_several_documents_the_one_that_kills_its_worker_alone_is_guilty() {
    let fixture = Fixture::new();
    let asked = ["good", "bad"].map(|name| (name, fixture.read(name, SOON)));
    let mut peer = fixture.peer().await;
    for _ in 0..2 {
        peer.document().await;
    }
    drop(peer);
    // Each is tried again, and alone.
    let mut peer = None;
    for _ in 0..2 {
        let mut alone = match peer.take() {
            Some(peer) => peer,
            None => fixture.peer().await,
        };
        let (number, name) = alone.document().await;
        if name == "good" {
            alone.answer(number, &answer()).await;
            peer = Some(alone);
        }
    }
    for (name, asked) in asked {
        let answer = asked.await.unwrap();
        match name {
            "good" => assert_eq!(answer.unwrap().error, ErrorCode::Success),
            _ => assert_eq!(answer, Err(ReadError::Died)),
        }
    }
}

#[tokio::test]
async fn task_that_nobody_waits_for_is_cancelled_and_a_worker_that_does_not_end_it_is_cut_off() {
    let fixture = Fixture::new();
    let slow = fixture.read("slow", Duration::from_secs(2));
    let mut peer = fixture.peer().await;
    let (number, _) = peer.document().await;
    assert_eq!(slow.await.unwrap(), Err(ReadError::TooSlow(Duration::from_secs(2))));
    assert_eq!(peer.order().await.0, Order::Cancel(number));
    // What comes meanwhile is not to blame, and is done by the next worker.
    let other = fixture.read("other", SOON);
    assert_eq!(peer.document().await.1, "other");
    assert!(peer.sees_the_end().await);
    let mut peer = fixture.peer().await;
    let (number, _) = peer.document().await;
    peer.answer(number, &answer()).await;
    assert!(other.await.unwrap().is_ok());
}

#[tokio::test]
async fn worker_of_another_version_or_none_is_named_with_what_to_do() {
    let fixture = Fixture::new();
    let asked = fixture.read("a", SOON);
    let mut peer = fixture.stranger().await;
    peer.say(&Welcome { version: "0.0.1".to_owned() }, b"").await;
    let Err(ReadError::Unable(words)) = asked.await.unwrap() else { panic!("it is believed") };
    assert!(words.contains("another version"), "{words}");
    let asked = fixture.read("a", SOON);
    drop(fixture.stranger().await);
    let Err(ReadError::Unable(words)) = asked.await.unwrap() else { panic!("it is believed") };
    assert!(words.contains("does not start"), "{words}");
    let Fixture { client, listener, _folder } = fixture;
    drop(listener);
    let Err(ReadError::Unable(words)) = client.load().await else { panic!("nobody is there") };
    assert!(words.contains("cic-kiosk-worker.socket"), "{words}");
}

#[tokio::test]
async fn page_that_is_not_wanted_any_more_is_forgotten() {
    let fixture = Fixture::new();
    let client = Arc::clone(&fixture.client);
    let asked = tokio::spawn(async move { client.look(b"page".to_vec()).await });
    let mut peer = fixture.peer().await;
    let (Order::Do(number, Task::Look), picture) = peer.order().await else { panic!("no look") };
    assert_eq!(picture, "page");
    let outcome = Outcome::Seen { page: true, findings: Vec::new() };
    peer.say(&Said { number, outcome }, &[3; 960]).await;
    let (picture, look) = asked.await.unwrap();
    assert_eq!(picture, b"page");
    let Ok(Ok(look)) = look else { panic!("not seen") };
    assert!(look.likeness.is_some());
    let client = Arc::clone(&fixture.client);
    let sheet = look.page.unwrap();
    let Sheet::There(page) = sheet else { panic!("it is here") };
    let ahead = tokio::spawn(async move { client.read_ahead(page, false).await });
    let (order, _) = peer.order().await;
    let Order::Do(task, Task::ReadAhead { page, pictures: false }) = order else {
        panic!("{order:?}")
    };
    assert_eq!(page, number);
    peer.say(&Said { number: task, outcome: Outcome::Done }, b"").await;
    drop(ahead.await.unwrap().unwrap());
    assert_eq!(peer.order().await.0, Order::Forget(number));
}
