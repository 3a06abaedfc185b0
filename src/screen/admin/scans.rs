//! The latest scans, and what was read of one, where that is allowed.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use cic_kiosk::report::schema::{Answer, Verdict};
use jiff::{ToSpan, ZonedDateTime};
use maud::{Markup, html};
use ulid::Ulid;

use super::frame::{Light, Page, Trouble, cell, framed, table, wide};
use super::session::Technician;
use super::{Deck, blocking};
use crate::keys::Look;
use crate::outbox::{Recent, Summary};

/// Scans, and looks at them, that are shown.
const MOST: u32 = 50;

/// The page.
pub async fn page(State(deck): State<Arc<Deck>>) -> Page {
    let recent = deck.outbox.recent(MOST).await;
    let recent = recent.map_err(|error| Trouble::internal(&error.to_string()))?;
    let keys = Arc::clone(&deck.keys);
    let looks = blocking(move || keys.looks(MOST)).await?;
    let looks = looks.map_err(|error| Trouble::internal(&error.to_string()))?;
    let shows = deck.settings.borrow().screen.show_values;
    let body = html! {
        (wide("The latest scans that are still here", &list(&recent, shows)))
        (wide("Who looked at what was read", &looked(&looks)))
    };
    Ok(framed(&deck, "/admin/scans", &body))
}

fn list(recent: &[Recent], shows: bool) -> Markup {
    let rows: Vec<_> = recent.iter().map(|it| row(it, shows)).collect();
    let mut head =
        vec!["Since", "Scan", "Source", "State", "Decision", "Pages", "Confidence", "Read in"];
    if shows {
        head.insert(5, "Values");
    }
    html! {
        @if !shows {
            p.note {
                "What was read is not shown: " code { "screen.show_values" } " is false."
            }
        }
        @if rows.is_empty() { p.note { "There is none: none has been made, or all were delivered and erased." } }
        @else { (table("The latest scans", &head, 3, &rows)) }
    }
}

fn row(recent: &Recent, shows: bool) -> Vec<Markup> {
    let Recent { entry, summary } = recent;
    let known = summary.as_ref();
    let source = entry.source.clone().or_else(|| known?.captured_by.clone());
    let is_result = entry.kind == "result";
    let state = match (entry.state.as_str(), is_result) {
        ("dead", _) => Light::Bad.word("dead letter"),
        ("delivered", _) => Light::Good.word("delivered"),
        ("waiting", true) => Light::Warning.word("to be delivered"),
        ("waiting", false) => Light::Warning.word("to be read"),
        (state, _) => Light::Off.word(state),
    };
    let since = entry.since.get(..19).unwrap_or(&entry.since).replace('T', " ");
    let mut cells = vec![
        cell(since),
        html! { code { (entry.scan_id) } },
        cell(source.unwrap_or_default()),
        html! {
            (state)
            @if let Some(reason) = &entry.reason { br; span.note { (reason) } }
        },
        known.map_or_else(|| cell(""), decision),
    ];
    if shows {
        cells.push(html! {
            @if is_result {
                form method="post" action=(format!("/admin/scans/{}", entry.scan_id)) {
                    button.quiet aria-label=(format!("Show the values of {}", entry.scan_id)) { "Show" }
                }
            }
        });
    }
    let read = known.filter(|summary| summary.code == "0");
    cells.push(cell(known.map(|it| it.pages.to_string()).unwrap_or_default()));
    cells.push(cell(read.map(|it| format!("{:.2}", it.confidence)).unwrap_or_default()));
    cells.push(cell(known.and_then(duration).unwrap_or_default()));
    cells
}

fn decision(summary: &Summary) -> Markup {
    match (summary.code.as_str(), summary.decision) {
        ("0", Some(Verdict::Local)) => Light::Good.word("good enough"),
        ("0", Some(Verdict::Cloud)) => Light::Good.word("good with the cloud"),
        ("0", Some(Verdict::Review)) => Light::Warning.word("for review"),
        ("0", None) => Light::Off.word("not judged"),
        (code, _) => Light::Bad.word(&format!("not read, code {code}")),
    }
}

fn duration(summary: &Summary) -> Option<String> {
    let stages = summary.elapsed_ms.values().filter_map(|it| it.as_u64());
    let whole: u64 = stages.sum();
    (whole > 0).then(|| format!("{:.2} s", whole as f64 / 1000.0))
}

fn looked(looks: &[Look]) -> Markup {
    let rows: Vec<_> = looks
        .iter()
        .map(|look| vec![cell(&look.at), cell(&look.name), html! { code { (look.scan_id) } }])
        .collect();
    html! {
        @if rows.is_empty() { p.note { "Nobody did." } }
        @else { (table("Looks", &["When", "With the key", "Scan"], 0, &rows)) }
    }
}

/// Shows what was read of a scan. It is on record before.
pub async fn look(
    State(deck): State<Arc<Deck>>,
    Extension(technician): Extension<Technician>,
    Path(scan): Path<Ulid>,
) -> Page {
    let (shows, days) = {
        let settings = deck.settings.borrow();
        (settings.screen.show_values, settings.http.audit_days.get())
    };
    if !shows {
        let words = "What was read is not shown: screen.show_values is false.";
        return Err(Trouble::new(StatusCode::FORBIDDEN, words));
    }
    let answer = deck.outbox.answer(scan).await;
    let answer =
        answer.map_err(|error| Trouble::internal(&error.to_string()))?.ok_or_else(|| {
            let words =
                "There is no result of this scan here that opens: it is not read yet, or erased.";
            Trouble::new(StatusCode::NOT_FOUND, words)
        })?;
    let (keys, key) = (Arc::clone(&deck.keys), technician.key.clone());
    let recorded = blocking(move || {
        let oldest = ZonedDateTime::now().checked_sub(i64::from(days).days());
        let oldest = oldest.map_err(|error| error.to_string())?.date();
        keys.record_look(&key, &scan.to_string(), oldest).map_err(|error| error.to_string())
    });
    recorded.await?.map_err(|reason| Trouble::internal(&reason))?;
    log::warn!(scan_id:% = scan; "technician {:?} looks at what was read", technician.key.name);
    let body = html! {
        p { a href="/admin/scans" { "Back to the list" } }
        p.note { "This look at scan " code { (scan) } " is on record." }
        (values(&answer))
    };
    Ok(framed(&deck, "/admin/scans", &body))
}

fn values(answer: &Answer) -> Markup {
    html! {
        @for (number, report) in answer.reports.iter().enumerate() {
            @let rows = report.values().into_iter().filter(|(_, value)| value.is_present())
                .map(|(name, value)| vec![
                    html! { code { (name) } },
                    cell(&value.text),
                    cell(value.page.map(|page| (page + 1).to_string()).unwrap_or_default()),
                    cell(format!("{:.3}", value.confidence)),
                ]).collect::<Vec<_>>();
            (wide(&format!("Report {}", number + 1),
                &table("Values", &["Field", "Value", "Page", "Confidence"], 2, &rows)))
        }
        @if answer.reports.is_empty() { p { "No report was found." } }
    }
}
