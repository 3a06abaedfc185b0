//! The newest lines of the log.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::html;
use serde::Deserialize;

use super::Deck;
use super::frame::{Page, framed};

/// What the address says.
#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    level: Level,
}

/// The least urgent lines that are shown.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warning,
    #[default]
    Info,
    Debug,
}

impl Level {
    const ALL: [Self; 4] = [Self::Error, Self::Warning, Self::Info, Self::Debug];

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// As journalctl calls it: what is `info` here is a notice there, as the journal has one level
    /// more.
    fn priority(self) -> &'static str {
        match self {
            Self::Error => "err",
            Self::Warning => "warning",
            Self::Info => "notice",
            Self::Debug => "debug",
        }
    }
}

/// The page.
pub async fn page(State(deck): State<Arc<Deck>>, Query(asked): Query<Asked>) -> Page {
    let lines = (deck.means.log)(asked.level.priority()).await;
    let body = html! {
        p.choices {
            @for level in Level::ALL {
                @let current = (level == asked.level).then_some("true");
                a.button href=(format!("/admin/log?level={}", level.name())) aria-current=[current] {
                    @if level == Level::Debug { "all" } @else { (level.name()) " and worse" }
                }
            }
        }
        @match &lines {
            Err(reason) => p.alert { "There is no log to show: " (reason) "." },
            Ok(lines) if lines.is_empty() => p.note { "No line." },
            // The newest stands first, where it is seen.
            Ok(lines) => pre.log tabindex="0" role="region" aria-label="Log, newest line first" {
                @for line in lines.lines().rev() { (line) "\n" }
            }
        }
    };
    Ok(framed(&deck, "/admin/log", &body))
}
