//! Tries whether reading and camera do, with nothing of a customer's.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use cic_kiosk::eval::Judged;
use maud::{Markup, html};
use tokio::time::sleep;

use super::Deck;
use super::camera::{figures, jpeg, look};
use super::doctor::busy;
use super::frame::{Light, Page, Trouble, cell, fact, facts, framed, percent, table, wide};
use crate::capture::Source;
use crate::updates::golden::Tried;

/// A picture that nobody has looked at by then is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// The page.
pub async fn page(State(deck): State<Arc<Deck>>) -> Page {
    Ok(shown(&deck, None, None))
}

/// Reads the golden page, and shows what came of it.
pub async fn run(State(deck): State<Arc<Deck>>) -> Page {
    let tried = {
        let _turn = deck.working.try_acquire().map_err(|_| busy())?;
        (deck.means.selftest)().await
    };
    let result = match &tried {
        Ok(tried) => result(tried),
        Err(reason) => html! { p.alert role="status" { "The page was not read: " (reason) "." } },
    };
    Ok(shown(&deck, Some(&result), None))
}

/// What stands on the golden page is made up, and may be shown.
fn result(tried: &Tried) -> Markup {
    let Tried { seen, wrong, invented_rows, stages } = tried;
    let light = Light::is(wrong.is_empty() && *invented_rows == 0);
    let right = format!("{} of {}: {}", seen.right, seen.values, percent(seen.share()));
    let unread =
        |it: &Judged| it.found.clone().unwrap_or_else(|| "its row was not read".to_owned());
    let wrong: Vec<_> = wrong
        .iter()
        .map(|it| vec![html! { code { (it.name) } }, cell(&it.expected), cell(unread(it))])
        .collect();
    let stages: Vec<_> = stages
        .iter()
        .map(|(stage, spent)| vec![cell(stage), cell(format!("{spent} ms"))])
        .collect();
    html! {
        (facts([
            ("Values that are right", Some(light.word(&right))),
            ("Rows that are not on the page", (*invented_rows > 0).then(|| cell(invented_rows))),
            ("Pages", fact(seen.pages)),
            ("Seconds for a page", fact(format!("{:.2}", seen.page_seconds))),
        ]))
        @if !wrong.is_empty() {
            (table("Values that are wrong", &["Value", "On the page", "Read as"], 0, &wrong))
        }
        (table("Stages of the reading", &["Stage", "Took"], 1, &stages))
    }
}

/// The golden page, to be printed.
pub async fn golden(State(deck): State<Arc<Deck>>) -> Page {
    let page = (deck.means.golden)().await;
    let page = page.map_err(|reason| Trouble::new(StatusCode::NOT_FOUND, reason))?;
    let is_pdf = page.starts_with(b"%PDF");
    let kind = if is_pdf { "application/pdf" } else { "application/octet-stream" };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"test-page.pdf\""),
    ];
    Ok((headers, page).into_response())
}

/// Takes a picture, to be looked at once.
pub async fn still(State(deck): State<Arc<Deck>>) -> Page {
    let preview = look(&deck).await?;
    keep(&deck, preview.picture);
    let forgetful = Arc::clone(&deck);
    tokio::spawn(async move {
        sleep(FORGET).await;
        keep(&forgetful, None);
    });
    let picture = html! {
        div.view { img src="/admin/test/picture.jpg" alt="The picture that was taken"; }
        @if let Some(sight) = preview.sight { p.words { (sight) } }
        (figures(&deck.settings.borrow().quality, preview.quality.as_ref()))
        p.note { "It is forgotten already." }
    };
    Ok(shown(&deck, None, Some(&picture)))
}

/// That picture; who asks twice gets nothing.
pub async fn picture(State(deck): State<Arc<Deck>>) -> Page {
    let picture = keep(&deck, None);
    let picture = picture.ok_or_else(|| Trouble::new(StatusCode::NOT_FOUND, "It is forgotten."))?;
    Ok(jpeg(&picture))
}

/// Keeps this picture, and gives the one before.
fn keep(deck: &Deck, picture: Option<Arc<[u8]>>) -> Option<Arc<[u8]>> {
    std::mem::replace(&mut *deck.still.lock().unwrap_or_else(PoisonError::into_inner), picture)
}

fn shown(deck: &Deck, read: Option<&Markup>, taken: Option<&Markup>) -> axum::response::Response {
    let body = html! {
        (wide("Reading", &html! {
            p { "Reads the golden page that came with the models, a made-up report, and compares it with what it says." }
            div.actions {
                form method="post" action="/admin/test" data-busy="Reading…" {
                    button { "Read the golden page" }
                }
                a.button href="/admin/test/page" download { "Get it to print (PDF)" }
            }
            @if let Some(read) = read { (read) }
            p.note { "Printed, it tests camera or scanner, too: put it as a customer would; the kiosk's branch gets its result." }
        }))
        (wide("Camera", &html! {
            @if deck.sources.has(Source::Camera) {
                p { "Takes a picture of what lies there now, and says how good it is. It is neither read nor kept." }
                form method="post" action="/admin/test/picture" data-busy="Looking…" {
                    button { "Take a picture now" }
                }
                @if let Some(taken) = taken { (taken) }
            } @else {
                p.note { "No camera is set up (" code { "camera.enabled" } ")." }
            }
        }))
    };
    framed(deck, "/admin/test", &body)
}
