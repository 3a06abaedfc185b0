//! Against real servers on this machine, which answer as badly as they are asked to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::generate_simple_self_signed;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Answers by path until the process ends.
struct Server {
    base: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn plain() -> Self {
        Self::start("http", answer)
    }

    /// With a certificate for 127.0.0.1 that nobody signed; it comes along in PEM.
    fn secure() -> (Self, String) {
        let own = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let server = Self::start("https", move |socket| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            answer(StreamOwned::new(session, socket))
        });
        (server, own.cert.pem())
    }

    fn start(
        scheme: &str,
        serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("{scheme}://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                counter.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                thread::spawn(move || serve(socket));
            }
        });
        Self { base, connections }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn under(&self, host: &str, path: &str) -> String {
        self.base.replace("127.0.0.1", host) + path
    }
}

fn answer(mut client: impl Read + Write) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let redirect = |to: &str| format!("HTTP/1.1 302 F\r\nLocation: {to}\r\n\r\n");
    let answer = match path.split_once('?').unwrap_or((path, "")) {
        ("/hello", _) => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".into(),
        ("/echo", _) => format!("HTTP/1.1 200 OK\r\n\r\n{head}"),
        ("/to", place) => redirect(place),
        ("/down", "0") => redirect("/hello"),
        ("/down", n) => redirect(&format!("/down?{}", n.parse::<u32>().unwrap() - 1)),
        ("/loop", _) => redirect("/loop"),
        ("/nowhere", _) => "HTTP/1.1 302 Found\r\n\r\n".into(),
        ("/declared", _) => "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n".into(),
        ("/undeclared", n) => {
            format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(n.parse().unwrap()))
        }
        ("/cut", _) => "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello".into(),
        ("/cut-chunk", _) => {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".into()
        }
        ("/noise", _) => "SSH-2.0-OpenSSH\r\n\r\n".into(),
        ("/silent", _) => return drip(client, b""),
        ("/drip", _) => {
            client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n")?;
            return drip(client, b"x");
        }
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
    };
    client.write_all(answer.as_bytes())?;
    client.flush()
}

fn drip(mut client: impl Write, what: &[u8]) -> io::Result<()> {
    for _ in 0..40 {
        client.write_all(what)?;
        client.flush()?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

const SMALL: Limits = Limits {
    max_bytes: 100,
    max_time: Duration::from_secs(20),
    max_connect_time: Duration::from_secs(20),
    max_redirects: 3,
};

fn fetcher_of(allowed: &[&str], limits: Limits, roots: RootCertStore) -> Fetcher {
    let allowed = allowed.iter().map(|text| text.parse().unwrap()).collect();
    Fetcher::with_roots(allowed, limits, roots).unwrap()
}

fn fetcher(allowed: &[&str]) -> Fetcher {
    fetcher_of(allowed, SMALL, RootCertStore::empty())
}

fn trusting(pem: &str) -> Fetcher {
    fetcher_of(&["127.0.0.1"], SMALL, trusted(vec![], Some(pem.as_bytes())).unwrap())
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<String, FetchError> {
    let mut download = fetcher.get(url).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = download.chunk().await? {
        bytes.extend(chunk);
    }
    Ok(String::from_utf8(bytes).unwrap())
}

fn hello() -> Result<String, FetchError> {
    Ok("hello".to_owned())
}

#[tokio::test]
async fn what_is_not_public_is_not_even_connected_to() {
    let server = Server::plain();
    // The name shows that the resolver of this module is asked: no other would refuse.
    for host in "127.0.0.1 2130706433 0x7f.1 0177.0.0.1 127.1 127.0.0.1. %31%32%37.0.0.1 0 [::1] \
        [::] [::ffff:127.0.0.1] [::127.0.0.1] localhost LOCALHOST"
        .split_whitespace()
    {
        let url = server.under(host, "/hello");
        assert_eq!(fetch(&fetcher(&[]), &url).await, Err(FetchError::Refused), "{host}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn listed_network_is_fetched_from_under_any_name() {
    let server = Server::plain();
    for host in ["127.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"] {
        let url = server.under(host, "/hello");
        assert_eq!(fetch(&fetcher(&["127.0.0.0/8"]), &url).await, hello(), "{host}");
    }
}

#[tokio::test]
async fn listed_name_is_fetched_from_under_this_name_only() {
    let server = Server::plain();
    let fetcher = fetcher(&["localhost"]);
    assert_eq!(fetch(&fetcher, &server.under("localhost", "/hello")).await, hello());
    assert_eq!(fetch(&fetcher, &server.at("/hello")).await, Err(FetchError::Refused));
    let away = server.under("localhost", &format!("/to?{}", server.at("/hello")));
    assert_eq!(fetch(&fetcher, &away).await, Err(FetchError::Refused));
}

#[test]
fn of_several_addresses_only_the_permitted_are_kept() {
    let policy = Policy(vec!["files.example".parse().unwrap()]);
    let all: Vec<SocketAddr> =
        ["10.0.0.1:0", "8.8.8.8:0", "[::1]:0"].iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(permitted(&policy, "host.example", all.clone()), Ok(vec![all[1]]));
    assert_eq!(permitted(&policy, "host.example", vec![all[0]]), Err(FetchError::Refused));
    assert_eq!(permitted(&policy, "host.example", vec![]), Err(FetchError::Unresolvable));
    assert_eq!(permitted(&policy, "files.example", all.clone()), Ok(all));
}

#[tokio::test]
async fn redirect_is_judged_like_the_first_url() {
    let server = Server::plain();
    let fetcher = fetcher(&["127.0.0.1"]);
    for (place, expected) in [
        ("/hello", hello()),
        ("http://10.0.0.1/", Err(FetchError::Refused)),
        ("http://2852039166/", Err(FetchError::Refused)),
        ("http://[::1]/", Err(FetchError::Refused)),
        ("//user:word@127.0.0.1/", Err(FetchError::Credentials)),
        ("file:///etc/passwd", Err(FetchError::Scheme)),
        ("http://127.0.0.1:0/", Err(FetchError::Malformed)),
        ("http://[/", Err(FetchError::Malformed)),
    ] {
        let url = server.at(&format!("/to?{place}"));
        assert_eq!(fetch(&fetcher, &url).await, expected, "{place}");
    }
    let nowhere = fetch(&fetcher, &server.at("/nowhere")).await;
    assert_eq!(nowhere, Err(FetchError::Status { status: 302 }));
}

#[tokio::test]
async fn redirects_are_counted() {
    let server = Server::plain();
    let fetcher = fetcher(&["127.0.0.1"]);
    assert_eq!(fetch(&fetcher, &server.at("/down?2")).await, hello());
    for path in ["/down?3", "/loop"] {
        let error = fetch(&fetcher, &server.at(path)).await.unwrap_err();
        assert_eq!(error, FetchError::TooManyRedirects { limit: 3 }, "{path}");
    }
}

#[tokio::test]
async fn urls_of_other_kinds_are_refused() {
    // Longer than DNS permits: no machine asks the network for it.
    let unresolvable = format!("http://{}.invalid/", "x".repeat(64));
    for (url, expected) in [
        ("", FetchError::Malformed),
        ("no url", FetchError::Malformed),
        ("http://", FetchError::Malformed),
        ("http://8.8.8.8:0/", FetchError::Malformed),
        ("http://8.8.8.8:99999/", FetchError::Malformed),
        ("file:///etc/passwd", FetchError::Scheme),
        ("ftp://8.8.8.8/", FetchError::Scheme),
        ("data:text/plain,hello", FetchError::Scheme),
        ("http://user@8.8.8.8/", FetchError::Credentials),
        ("http://:word@8.8.8.8/", FetchError::Credentials),
        (unresolvable.as_str(), FetchError::Unresolvable),
    ] {
        assert_eq!(fetch(&fetcher(&[]), url).await, Err(expected), "{url}");
    }
}

#[tokio::test]
async fn size_is_limited_whether_declared_or_not() {
    let server = Server::plain();
    let fetcher = fetcher(&["127.0.0.1"]);
    assert_eq!(fetch(&fetcher, &server.at("/undeclared?100")).await.unwrap().len(), 100);
    let declared = fetcher.get(&server.at("/declared")).await.err();
    assert_eq!(declared, Some(FetchError::TooLarge { limit: 100 }), "before the body");
    let undeclared = fetch(&fetcher, &server.at("/undeclared?101")).await;
    assert_eq!(undeclared, Err(FetchError::TooLarge { limit: 100 }));
}

#[tokio::test]
async fn time_is_limited_for_silent_and_for_dripping_servers() {
    let server = Server::plain();
    let limits = Limits { max_time: Duration::from_millis(400), ..SMALL };
    let fetcher = fetcher_of(&["127.0.0.1"], limits, RootCertStore::empty());
    for path in ["/silent", "/drip"] {
        let begin = Instant::now();
        assert_eq!(fetch(&fetcher, &server.at(path)).await, Err(FetchError::TooSlow), "{path}");
        assert!(begin.elapsed() < Duration::from_millis(1500), "{path}: {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn time_for_a_connection_is_limited_by_itself() {
    // It waits for the end of a head, which no TLS handshake has.
    let url = Server::plain().at("/hello").replace("http:", "https:");
    let limits = Limits { max_connect_time: Duration::from_millis(200), ..SMALL };
    let (_, own) = Server::secure();
    let roots = trusted(vec![], Some(own.as_bytes())).unwrap();
    let begin = Instant::now();
    let fetcher = fetcher_of(&["127.0.0.1"], limits, roots);
    assert_eq!(fetch(&fetcher, &url).await, Err(FetchError::TooSlow));
    assert!(begin.elapsed() < SMALL.max_time / 4, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn answers_without_a_whole_document_are_errors() {
    let server = Server::plain();
    let fetcher = fetcher(&["127.0.0.1"]);
    for (path, expected) in [
        ("/cut", FetchError::Incomplete),
        ("/cut-chunk", FetchError::Incomplete),
        ("/noise", FetchError::Incomplete),
        ("/missing", FetchError::Status { status: 404 }),
    ] {
        assert_eq!(fetch(&fetcher, &server.at(path)).await, Err(expected), "{path}");
    }
    // Port 1 is nobody's.
    assert_eq!(fetch(&fetcher, "http://127.0.0.1:1/").await, Err(FetchError::Unreachable));
}

#[tokio::test]
async fn request_says_nothing_but_what_is_wanted_and_uses_a_new_connection() {
    let server = Server::plain();
    let fetcher = fetcher_of(&["127.0.0.1"], Limits::default(), RootCertStore::empty());
    let head = fetch(&fetcher, &server.at("/to?/echo")).await.unwrap().to_lowercase();
    let mut names: Vec<_> = head.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert!(head.contains("accept-encoding: identity"));
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn server_is_trusted_by_the_authorities_given_and_by_no_others() {
    let (server, own) = Server::secure();
    let (_, other) = Server::secure();
    assert_eq!(fetch(&trusting(&own), &server.at("/hello")).await, hello());
    assert_eq!(fetch(&trusting(&other), &server.at("/hello")).await, Err(FetchError::Tls));
    // Its certificate names an address, not this name.
    let fetcher = fetcher_of(&["localhost"], SMALL, trusted(vec![], Some(own.as_bytes())).unwrap());
    let url = server.under("localhost", "/hello");
    assert_eq!(fetch(&fetcher, &url).await, Err(FetchError::Tls));
}

#[tokio::test]
async fn https_is_not_left_for_http() {
    let (secure, own) = Server::secure();
    let plain = Server::plain();
    let fetcher = trusting(&own);
    let down = secure.at(&format!("/to?{}", plain.at("/hello")));
    assert_eq!(fetch(&fetcher, &down).await, Err(FetchError::Downgrade));
    let up = plain.at(&format!("/to?{}", secure.at("/hello")));
    assert_eq!(fetch(&fetcher, &up).await, hello());
}

#[tokio::test]
async fn without_authorities_http_works_and_https_says_what_is_missing() {
    let (secure, _) = Server::secure();
    let fetcher = fetcher(&["127.0.0.1"]);
    assert_eq!(fetch(&fetcher, &Server::plain().at("/hello")).await, hello());
    assert_eq!(fetch(&fetcher, &secure.at("/hello")).await, Err(FetchError::NoAuthorities));
}

#[test]
fn extra_authorities_must_be_certificates() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "no PEM", broken] {
        let made = Fetcher::new(vec![], SMALL, Some(pem.as_bytes()));
        assert!(matches!(made, Err(SetupError::Authorities)), "{pem}");
    }
    assert!(Fetcher::new(vec![], Limits::default(), None).is_ok());
}
