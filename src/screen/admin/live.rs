//! What makes a page live: one stream of events, each of which is a piece of it.
//!
//! It is looked at once a second what has changed, while a page is open, and never otherwise.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use maud::Markup;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::session::Technician;
use super::{Deck, camera, charts, overview};
use crate::capture::Preview;

/// Where it is.
pub const PATH: &str = "/admin/events";

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Which page is to be live.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum View {
    Overview,
    Charts,
    Camera,
}

/// What the address says.
#[derive(Deserialize)]
pub struct Asked {
    view: View,
}

/// A page that is open.
struct Open {
    deck: Arc<Deck>,
    technician: Technician,
    view: View,
    looks: Interval,
    /// What it shows.
    shown: String,
    /// What the camera sees, while nobody else is before it.
    preview: Option<watch::Receiver<Preview>>,
    /// The last look of before, which may have been at a customer's paper.
    before: u64,
    /// Pieces that are still to be told.
    pieces: VecDeque<Event>,
    is_over: bool,
}

/// The events of a page.
pub async fn events(
    State(deck): State<Arc<Deck>>,
    Extension(technician): Extension<Technician>,
    Query(asked): Query<Asked>,
) -> Response {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open {
        deck,
        technician,
        view: asked.view,
        looks,
        shown: String::new(),
        preview: None,
        before: 0,
        pieces: VecDeque::new(),
        is_over: false,
    };
    let events = stream::unfold(open, async |mut open| {
        let event = open.next().await?;
        Some((Ok::<_, Infallible>(event), open))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

impl Open {
    /// The next piece that is another than before; none at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pieces.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                () = self.deck.stop.cancelled() => return None,
                _ = self.looks.tick() => {}
                () = seen(&mut self.preview) => {}
            }
            if !self.deck.sessions.has(&self.technician) {
                self.is_over = true;
                return Some(end());
            }
            match self.view {
                View::Overview => self.show(overview::content(&self.deck)),
                View::Charts => self.show(charts::content(&self.deck)),
                View::Camera => self.show_camera(),
            }
        }
    }

    fn show(&mut self, live: Markup) {
        let now = live.into_string();
        if now != self.shown {
            self.pieces.push_back(piece("live", &now));
            self.shown = now;
        }
    }

    /// Whoever has subscribed has pictures made: not while a customer is there.
    fn show_camera(&mut self) {
        let is_free = self.deck.visits.is_free();
        if is_free && self.preview.is_none() {
            self.preview = self.deck.visits.preview();
            self.before = self.preview.as_ref().map_or(0, |preview| preview.borrow().number);
        } else if !is_free {
            self.preview = None;
        }
        let now = self.preview.as_mut().map(|preview| preview.borrow_and_update().clone());
        let now = now.filter(|preview| preview.number > self.before);
        self.show(camera::content(&self.deck, now.as_ref()));
        let outline = now.as_ref().and_then(|it| it.outline);
        self.pieces.push_back(piece("outline", &camera::outline(outline).into_string()));
        let number = now.filter(|it| it.picture.is_some()).map(|it| it.number.to_string());
        self.pieces.push_back(piece("picture", &number.unwrap_or_default()));
    }
}

/// Waits until the camera has looked again.
async fn seen(preview: &mut Option<watch::Receiver<Preview>>) {
    let has_looked = match preview {
        Some(preview) => preview.changed().await.is_ok(),
        None => false,
    };
    if !has_looked {
        std::future::pending().await
    }
}

/// A piece of a page, of what has this id there.
fn piece(id: &str, html: &str) -> Event {
    // An event cannot hold a return, and one that holds nothing is none to a browser.
    let html = if html.is_empty() { " " } else { html };
    Event::default().event(id).data(html.replace('\r', " "))
}

fn end() -> Event {
    piece("end", "")
}

/// To a page of a session that is over.
pub fn over() -> Response {
    Sse::new(stream::iter([Ok::<_, Infallible>(end())])).into_response()
}
