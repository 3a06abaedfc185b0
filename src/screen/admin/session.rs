//! Who is logged in.
//!
//! Promises:
//! - A session's token is 256 random bits in a cookie that no script and no other site can use; of
//!   it, the memory has a hash, and the disk nothing.
//! - A session ends after 15 minutes in which no page was asked for, when its key is revoked, and
//!   by logging out. An open page that is live is no use.
//! - There are 8 at most: the one that was used least lately makes room.
//! - Each login, failed login and log-out is in the log, with the key's name and no secret.
//! - Wrong secrets count as they do at the HTTP API, against the same lockout.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::{ConnectInfo, Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::frame::{Trouble, outer};
use super::{Deck, blocking, camera, live};
use crate::keys::{Key, KeysError, VerifyError};

/// Without a page being asked for.
const IDLE: Duration = Duration::from_secs(15 * 60);

const MOST: usize = 8;

/// Bytes of a token.
const TOKEN: usize = 32;

/// The cookie's name.
const COOKIE: &str = "cic-admin";

/// Characters of what is typed; a secret has 64.
const LONGEST: usize = 200;

/// What an open page asks for by itself.
const FED: [&str; 2] = [live::PATH, camera::PICTURE];

/// A token as it is kept.
type Hash = [u8; 32];

/// All sessions.
#[derive(Default)]
pub struct Sessions(Mutex<Vec<Session>>);

struct Session {
    hash: Hash,
    key: Key,
    used: Instant,
}

/// Who asks for a page.
#[derive(Clone)]
pub struct Technician {
    /// The key that he has logged in with.
    pub key: Key,
    hash: Hash,
}

impl Sessions {
    /// Begins one, and gives its token.
    pub(super) fn begin(&self, key: Key, now: Instant) -> Result<String, getrandom::Error> {
        let mut token = [0; TOKEN];
        getrandom::fill(&mut token)?;
        let token: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut sessions = self.live(now);
        if sessions.len() == MOST {
            let oldest = sessions.iter().enumerate().min_by_key(|(_, session)| session.used);
            if let Some((place, _)) = oldest {
                sessions.remove(place);
            }
        }
        sessions.push(Session { hash: hash(&token), key, used: now });
        Ok(token)
    }

    /// Who has this token. What an open page asks for by itself is no use.
    fn of(&self, token: &str, now: Instant, is_use: bool) -> Option<Technician> {
        let hash = hash(token);
        let mut sessions = self.live(now);
        let session = sessions.iter_mut().find(|session| session.hash == hash)?;
        if is_use {
            session.used = now;
        }
        Some(Technician { key: session.key.clone(), hash })
    }

    /// Whether the session of who asked for something goes on.
    pub(super) fn has(&self, technician: &Technician) -> bool {
        self.live(Instant::now()).iter().any(|session| session.hash == technician.hash)
    }

    fn end(&self, technician: &Technician) {
        self.live(Instant::now()).retain(|session| session.hash != technician.hash);
    }

    fn live(&self, now: Instant) -> MutexGuard<'_, Vec<Session>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| now.saturating_duration_since(session.used) < IDLE);
        sessions
    }
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// Lets in who has a session; others are led to the form.
pub async fn guard(State(deck): State<Arc<Deck>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_use = !FED.contains(&path);
    let technician =
        token(request.headers()).and_then(|it| deck.sessions.of(it, Instant::now(), is_use));
    let Some(technician) = technician else { return turned_away(path) };
    let (keys, key) = (Arc::clone(&deck.keys), technician.key.clone());
    // Whom the configuration names no more may no more.
    let is_named = deck.settings.borrow().screen.admins.contains(&key.name);
    match blocking(move || Ok::<_, KeysError>(is_named && keys.is_good(&key)?)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            deck.sessions.end(&technician);
            let name = &technician.key.name;
            log::info!("technician {name:?} is logged out: the key is revoked, or named no more");
            return turned_away(request.uri().path());
        }
        Ok(Err(error)) => return Trouble::internal(&error.to_string()).into_response(),
        Err(trouble) => return trouble.into_response(),
    }
    request.extensions_mut().insert(technician);
    next.run(request).await
}

/// A page that is live can follow no redirection: it is told that all is over, and asks for itself
/// anew.
fn turned_away(path: &str) -> Response {
    if path == live::PATH { live::over() } else { Redirect::to("/admin/login").into_response() }
}

/// The session's token, out of all cookies.
fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|it| it.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|it| it.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

/// The form to log in.
pub async fn form(State(deck): State<Arc<Deck>>, headers: HeaderMap) -> Response {
    let now = Instant::now();
    if token(&headers).is_some_and(|token| deck.sessions.of(token, now, true).is_some()) {
        return Redirect::to("/admin").into_response();
    }
    form_page(None).into_response()
}

fn form_page(wrong: Option<&str>) -> axum::response::Html<String> {
    outer(
        "Log in",
        &html! {
            main.login #main {
                h1 { "Kiosk: technician's view" }
                @if let Some(wrong) = wrong {
                    p.alert role="alert" { (wrong) }
                }
                form method="post" action="/admin/login" autocomplete="off" {
                    (input("api_key", "Key (api_key)", "text"))
                    (input("api_secret", "Secret (api_secret)", "password"))
                    button { "Log in" }
                }
                p.note {
                    "With a key of this kiosk's API that " code { "screen.admins" } " names. "
                    "Each login is in the log."
                }
                p { a href="/kiosk" { "To the customer's screen" } }
            }
        },
    )
}

fn input(name: &str, label: &str, kind: &str) -> Markup {
    html! {
        label for=(name) { (label) }
        input id=(name) name=(name) type=(kind) required maxlength=(LONGEST) autocomplete="off"
            autocapitalize="none" spellcheck="false";
    }
}

/// What was typed.
#[derive(Deserialize)]
pub struct Typed {
    api_key: String,
    api_secret: String,
}

/// Why somebody is not let in.
enum Refused {
    /// The name of the key, where one is known.
    Wrong(Option<String>),
    /// For how long.
    LockedOut(Duration),
    Store(KeysError),
}

/// Begins a session.
pub async fn log_in(
    State(deck): State<Arc<Deck>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Form(typed): Form<Typed>,
) -> Response {
    let Ok(_turn) = deck.verifying.try_acquire() else {
        let words = "Too many try to log in at once: try again in a moment.";
        return (StatusCode::SERVICE_UNAVAILABLE, form_page(Some(words))).into_response();
    };
    let (keys, admins) = (Arc::clone(&deck.keys), deck.settings.borrow().screen.admins.clone());
    let verified = blocking(move || {
        let (api_key, secret) = (typed.api_key.trim(), typed.api_secret.trim());
        if api_key.len().max(secret.len()) > LONGEST {
            return Err(Refused::Wrong(None));
        }
        match keys.verify(api_key, secret, client.ip()) {
            Ok(key) if admins.contains(&key.name) => Ok(key),
            Ok(key) => Err(Refused::Wrong(Some(key.name))),
            Err(VerifyError::Wrong) => match keys.name_of(api_key) {
                Ok(name) => Err(Refused::Wrong(name)),
                Err(error) => Err(Refused::Store(error)),
            },
            Err(VerifyError::LockedOut { retry_after }) => Err(Refused::LockedOut(retry_after)),
            Err(VerifyError::Store(error)) => Err(Refused::Store(error)),
        }
    });
    let key = match verified.await {
        Err(trouble) => return trouble.into_response(),
        Ok(Err(refused)) => return refuse(refused),
        Ok(Ok(key)) => key,
    };
    let name = key.name.clone();
    match deck.sessions.begin(key, Instant::now()) {
        Ok(token) => {
            log::info!("technician {name:?} has logged in");
            let cookie = format!("{COOKIE}={token}; Path=/admin; HttpOnly; SameSite=Strict");
            ([(header::SET_COOKIE, cookie)], Redirect::to("/admin")).into_response()
        }
        Err(error) => Trouble::internal(&error.to_string()).into_response(),
    }
}

fn refuse(refused: Refused) -> Response {
    match refused {
        Refused::Wrong(name) => {
            match name {
                Some(name) => log::warn!("a technician's login failed, with the key {name:?}"),
                None => log::warn!("a technician's login failed, with a key that is not known"),
            }
            let words = "The key or its secret is wrong, or screen.admins does not name it.";
            (StatusCode::UNAUTHORIZED, form_page(Some(words))).into_response()
        }
        Refused::LockedOut(wait) => {
            log::warn!("a technician's login was refused: too many failed before");
            let seconds = wait.as_secs() + 1;
            let words = format!("Too many logins failed: try again in {seconds} s.");
            let headers = [(header::RETRY_AFTER, seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, headers, form_page(Some(&words))).into_response()
        }
        Refused::Store(error) => Trouble::internal(&error.to_string()).into_response(),
    }
}

/// Ends a session.
pub async fn log_out(
    State(deck): State<Arc<Deck>>,
    Extension(technician): Extension<Technician>,
) -> Response {
    deck.sessions.end(&technician);
    log::info!("technician {:?} has logged out", technician.key.name);
    let gone = format!("{COOKIE}=; Path=/admin; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, gone)], Redirect::to("/admin/login")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(id: i64) -> Key {
        Key { id, name: id.to_string(), quota: None }
    }

    #[test]
    fn session_ends_after_a_quarter_of_an_hour_without_use_or_by_logging_out() {
        let (sessions, begun) = (Sessions::default(), Instant::now());
        let token = sessions.begin(key(1), begun).unwrap();
        let almost = IDLE - Duration::from_secs(1);
        assert!(sessions.of(&token, begun + almost, true).is_some());
        assert!(sessions.of(&token, begun + 2 * almost, true).is_some(), "each use counts");
        assert!(sessions.of(&token, begun + 2 * almost + IDLE, true).is_none());
        let token = sessions.begin(key(1), begun).unwrap();
        assert!(sessions.of(&token, begun + almost, false).is_some());
        assert!(sessions.of(&token, begun + IDLE, true).is_none(), "an open page is no use");
        let token = sessions.begin(key(1), begun).unwrap();
        let technician = sessions.of(&token, begun, true).unwrap();
        assert!(sessions.has(&technician));
        sessions.end(&technician);
        assert!(!sessions.has(&technician) && sessions.of(&token, begun, true).is_none());
    }

    #[test]
    fn tokens_are_256_random_bits_and_are_not_kept() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (one, other) =
            (sessions.begin(key(1), now).unwrap(), sessions.begin(key(1), now).unwrap());
        assert!(one.len() == 64 && one != other);
        assert!(sessions.live(now).iter().all(|it| it.hash.as_slice() != one.as_bytes()));
        assert!(
            sessions.of("", now, true).is_none() && sessions.of(&one[1..], now, true).is_none()
        );
    }

    #[test]
    fn ninth_session_ends_the_one_that_was_used_least_lately() {
        let (sessions, begun) = (Sessions::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let tokens: Vec<_> =
            (0..8).map(|it| sessions.begin(key(it), at(it as u64)).unwrap()).collect();
        assert!(sessions.of(&tokens[0], at(8), true).is_some());
        sessions.begin(key(9), at(9)).unwrap();
        let goes_on = |place: usize| sessions.of(&tokens[place], at(9), true).is_some();
        assert!(goes_on(0) && !goes_on(1) && goes_on(2));
    }

    #[test]
    fn token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; cic-admin=abc; c=d"));
        assert_eq!(token(&headers), Some("abc"));
        headers.insert(header::COOKIE, HeaderValue::from_static("not-cic-admin=abc"));
        assert_eq!(token(&headers), None);
    }
}
