//! The technician's pages with a real camera's port, whose pictures come from here.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cic_kiosk::page::Quality;
use reqwest::{Client, Response, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::capture::{Handle, Preview, Sight, Source, State};
use crate::credentials::Credentials;
use crate::outbox::{SealingKeys, fresh_key};
use crate::screen::visit;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

const JPEG: &[u8] = b"a picture";

/// A deck that is served, and somebody who is logged in.
struct Fixture {
    deck: Arc<Deck>,
    camera: watch::Sender<Preview>,
    client: Client,
    address: SocketAddr,
    server: JoinHandle<()>,
    _settings: watch::Sender<Arc<Config>>,
    _birth: watch::Sender<Birth>,
    _link: watch::Sender<LinkState>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.outbox.min_free_bytes = 0;
        config.kiosk.state = folder.path().to_owned();
        config.screen.admins = vec!["an".to_owned()];
        fs::write(folder.path().join("outbox-key"), fresh_key().unwrap().as_str()).unwrap();
        let sealing =
            SealingKeys::load(&Credentials::new(Some(folder.path())), folder.path()).unwrap();
        let outbox = Outbox::open(folder.path(), sealing, config.outbox.clone()).unwrap();
        let settings = watch::Sender::new(Arc::new(config));
        let (birth, link) = (watch::Sender::default(), watch::Sender::new(LinkState::default()));
        let camera = watch::Sender::default();
        let handle = Handle {
            source: Source::Camera,
            state: watch::Sender::new(State::Ready).subscribe(),
            scan: watch::Sender::default().subscribe(),
            orders: mpsc::channel(1).0,
            decisions: mpsc::channel(1).0,
            preview: camera.clone(),
            tally: Arc::default(),
            counts: None,
        };
        let sources = Sources::new(vec![handle]);
        let visits = Visits::new(settings.subscribe());
        visits.begin(visit::Means {
            sources: sources.clone(),
            outbox: outbox.clone(),
            link: link.subscribe(),
            ended: broadcast::Sender::new(1),
        });
        let keys = Arc::new(KeyStore::create(folder.path()).unwrap());
        let credentials = keys.add("an", None).unwrap();
        let client = "127.0.0.1".parse().unwrap();
        let key = keys.verify(&credentials.api_key, &credentials.api_secret, client).unwrap();
        let desk = Arc::new(Desk::new(outbox.clone(), settings.subscribe(), None));
        let sessions = Sessions::default();
        let token = sessions.begin(key, Instant::now()).unwrap();
        let deck = Arc::new(Deck {
            settings: settings.subscribe(),
            keys,
            sessions,
            verifying: Semaphore::new(1),
            working: Semaphore::new(1),
            outbox,
            desk,
            sources,
            visits,
            birth: birth.subscribe(),
            link: link.subscribe(),
            means: means(),
            still: Mutex::default(),
            stop: CancellationToken::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = router(Arc::clone(&deck)).into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let mut headers = header::HeaderMap::new();
        headers.insert(header::COOKIE, format!("cic-admin={token}").parse().unwrap());
        // The client wants one, though it has nobody to speak to in secret.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().default_headers(headers).build().unwrap();
        Self {
            deck,
            camera,
            client,
            address,
            server,
            _settings: settings,
            _birth: birth,
            _link: link,
            _folder: folder,
        }
    }

    /// The camera has looked.
    fn looks(&self, number: u64) {
        let quality = Quality { sharpness: 1.23, cut: true, ..Quality::default() };
        self.camera.send_replace(Preview {
            number,
            sight: Some(Sight::Take),
            quality: Some(quality),
            outline: Some([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]),
            picture: Some(JPEG.into()),
        });
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("http://{}{path}", self.address)).send().await.unwrap()
    }

    async fn post(&self, path: &str) -> Response {
        self.client.post(format!("http://{}{path}", self.address)).send().await.unwrap()
    }

    /// Until so many look through the camera.
    async fn watched_by(&self, count: usize) {
        let watched = async {
            while self.camera.receiver_count() != count {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, watched).await.unwrap();
    }

    /// A customer comes.
    async fn customer(&self) {
        self.deck.visits.agree(self.deck.visits.now().id, false).await;
        assert!(!self.deck.visits.is_free());
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn means() -> Means {
    let nothing = || "not here".to_owned();
    Means {
        telemetry: Box::new(Telemetry::default),
        configuration: Box::new(|| InForce {
            config: Arc::default(),
            files: Ok(Loaded::default()),
            afar: Table::new(),
        }),
        needs_restart: Box::new(|_| Vec::new()),
        doctor: Box::new(move || Box::pin(async move { Err(nothing()) })),
        log: Box::new(move |_| Box::pin(async move { Err(nothing()) })),
        selftest: Box::new(move || Box::pin(async move { Err(nothing()) })),
        golden: Box::new(move || Box::pin(async move { Err(nothing()) })),
    }
}

/// Until the events have said this.
async fn says(events: &mut Response, heard: &mut String, words: &str) {
    let reads = async {
        while !heard.contains(words) {
            let chunk = events.chunk().await.unwrap().expect("the stream ended");
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    assert!(timeout(LONG, reads).await.is_ok(), "{words}: {heard}");
}

#[tokio::test]
async fn camera_is_looked_through_while_somebody_looks_and_never_at_a_customers_paper() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.get("/admin/camera").await.status(), StatusCode::OK);
    assert_eq!(fixture.camera.receiver_count(), 0, "pictures are made for nobody");
    // The last look of a customer's visit.
    fixture.looks(6);
    let (mut events, mut heard) = (fixture.get("/admin/events?view=camera").await, String::new());
    fixture.watched_by(1).await;
    says(&mut events, &mut heard, "Waiting for a look").await;
    fixture.looks(7);
    says(&mut events, &mut heard, "event: picture\ndata: 7\n").await;
    assert!(heard.contains("1.23") && heard.contains("<polygon points=\"100.0,100.0"), "{heard}");
    assert!(!heard.contains("data: 6\n"), "{heard}");
    let next = async {
        fixture.watched_by(2).await;
        fixture.looks(8);
    };
    let (picture, ()) = tokio::join!(fixture.get("/admin/camera.jpg?7"), next);
    assert_eq!(picture.headers()[header::CONTENT_TYPE], "image/jpeg");
    assert_eq!(picture.bytes().await.unwrap(), JPEG);
    fixture.customer().await;
    says(&mut events, &mut heard, "A customer is there").await;
    fixture.watched_by(0).await;
    fixture.looks(9);
    for refused in
        [fixture.get("/admin/camera.jpg").await, fixture.post("/admin/test/picture").await]
    {
        assert_eq!(refused.status(), StatusCode::CONFLICT);
        assert!(!refused.text().await.unwrap().contains("a picture"));
    }
    drop(events);
}

#[tokio::test]
async fn picture_of_a_test_is_a_new_one_and_is_shown_once() {
    let fixture = Fixture::new().await;
    fixture.looks(1);
    let taking = fixture.post("/admin/test/picture");
    let looking = async {
        fixture.watched_by(1).await;
        fixture.looks(2);
    };
    let (taken, ()) = tokio::join!(taking, looking);
    assert_eq!(taken.status(), StatusCode::OK);
    assert!(taken.text().await.unwrap().contains("1.23"));
    assert_eq!(fixture.get("/admin/test/picture.jpg").await.bytes().await.unwrap(), JPEG);
    let again = fixture.get("/admin/test/picture.jpg").await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn streams_end_with_the_program() {
    let fixture = Fixture::new().await;
    let (mut events, mut heard) = (fixture.get("/admin/events?view=overview").await, String::new());
    says(&mut events, &mut heard, "event: live").await;
    fixture.deck.stop.cancel();
    let ends = async { while events.chunk().await.unwrap().is_some() {} };
    timeout(LONG, ends).await.unwrap();
}
