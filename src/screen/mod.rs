//! The kiosk's touch screen: pages that the program serves to a browser on the same machine.
//!
//! Promises:
//! - Nothing is captured from a device before a customer has agreed, nothing goes out before the
//!   customer has seen what was read, and whoever goes away leaves nothing behind.
//! - No personal value is in an address, in the browser's storage or in its cache.
//! - The pages need no other machine: all that they consist of is in the program.
//! - Only pages of this kiosk, opened on it, are answered: a site that leads a browser here by another
//!   name, or sends forms from elsewhere, is refused. Whatever is refused is told in own words.
//! - They cost nothing while nobody looks.

pub mod admin;
mod assets;
mod customer;
mod page;
mod refusal;
mod view;
mod visit;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Redirect, Response};
use axum::routing::get;

pub use admin::Deck;
#[cfg(test)]
pub use visit::Step;
pub use visit::{Ahead, Means, Visits};

/// No script, style or picture but the program's own; no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// All pages of the screen: the customer's and, where there is a deck, the technician's.
pub fn router(visits: Visits, deck: Option<Arc<Deck>>, address: SocketAddr) -> Router {
    let pages = Router::new()
        .route("/", get(async || Redirect::to("/kiosk")))
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .merge(customer::router(visits))
        .merge(assets::router());
    let pages = match deck {
        Some(deck) => pages.merge(admin::router(deck)),
        None => pages,
    };
    pages.layer(middleware::from_fn_with_state(address, guard))
}

/// Lets in what was asked of this machine by its own pages, and says what a browser may do with it.
async fn guard(State(address): State<SocketAddr>, request: Request, next: Next) -> Response {
    let mut response = if is_own(&address, request.method(), request.headers()) {
        let asked = request.uri().clone();
        refusal::in_words(next.run(request).await, &asked)
    } else {
        refusal::elsewhere()
    };
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What may be kept says so itself.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a browser on this machine asks, and for what a page of this address wants.
fn is_own(address: &SocketAddr, method: &Method, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let names = [address.to_string(), format!("localhost:{}", address.port())];
    let host = text(header::HOST).unwrap_or_default();
    let is_here = names.iter().any(|name| name.eq_ignore_ascii_case(host));
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let from_here = |origin: &str| {
        names.iter().any(|name| origin.eq_ignore_ascii_case(&format!("http://{name}")))
    };
    is_here && (is_read || text(header::ORIGIN).is_some_and(from_here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_kiosk_opened_on_it_are_answered() {
        let address = "127.0.0.1:8081".parse().unwrap();
        let own = |method: Method, host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            is_own(&address, &method, &headers)
        };
        assert!(own(Method::GET, "127.0.0.1:8081", None));
        assert!(own(Method::GET, "localhost:8081", None));
        assert!(own(Method::POST, "localhost:8081", Some("http://localhost:8081")));
        assert!(!own(Method::GET, "rebound.example:8081", None));
        assert!(!own(Method::POST, "127.0.0.1:8081", None));
        assert!(!own(Method::POST, "127.0.0.1:8081", Some("http://evil.example")));
        assert!(!own(Method::POST, "127.0.0.1:8081", Some("null")));
    }
}
