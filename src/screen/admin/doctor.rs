//! What the doctor finds.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value as Json;

use super::Deck;
use super::frame::{Light, Page, Trouble, cell, framed, table, wide};

/// A line of it.
#[derive(Deserialize)]
struct Row {
    check: String,
    status: String,
    found: String,
    to_do: Option<String>,
}

/// The page, before it was asked.
pub async fn page(State(deck): State<Arc<Deck>>) -> Page {
    Ok(framed(&deck, "/admin/doctor", &asks()))
}

/// Asks it, and shows what it says.
pub async fn run(State(deck): State<Arc<Deck>>) -> Page {
    let found = {
        let _turn = deck.working.try_acquire().map_err(|_| busy())?;
        (deck.means.doctor)().await
    };
    let body = html! {
        (asks())
        @match found {
            Err(reason) => p.alert role="status" { "The doctor did not come: " (reason) "." },
            Ok(found) => (wide("What was found", &rows(&found))),
        }
    };
    Ok(framed(&deck, "/admin/doctor", &body))
}

/// Somebody else has something long done.
pub fn busy() -> Trouble {
    let words = "The doctor or a test is at work for somebody: try again when it is done.";
    Trouble::new(StatusCode::CONFLICT, words)
}

fn asks() -> Markup {
    html! {
        p {
            "Checks devices, models, broker, disk and all else that the kiosk needs, and changes "
            "nothing. It takes up to two minutes where something hangs."
        }
        form method="post" action="/admin/doctor" data-busy="Examining…" {
            button { "Ask the doctor" }
        }
    }
}

fn rows(found: &Json) -> Markup {
    let rows: Vec<Row> = serde_json::from_value(found["checks"].clone()).unwrap_or_default();
    let rows: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let light = match row.status.as_str() {
                "ok" => Light::Good,
                "warning" => Light::Warning,
                "off" => Light::Off,
                _ => Light::Bad,
            };
            vec![
                light.word(&row.status),
                cell(row.check),
                html! {
                    (row.found)
                    @if let Some(to_do) = row.to_do { br; strong { "→ " (to_do) } }
                },
            ]
        })
        .collect();
    table("What the doctor found", &["How it is", "Check", "What was found"], 0, &rows)
}
