//! What is set and where, and what somebody proposes to set.
//!
//! Promise: nothing here changes what is in force. A proposal is a file beside the kiosk's state,
//! which an operator looks at and puts in the configuration's place, or does not.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Form;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Redirect, Response};
use cic_kiosk::config::Config;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use toml::{Table, Value};

use super::frame::{Page, Trouble, cell, framed, table, wide};
use super::session::Technician;
use super::{Deck, InForce, blocking};
use crate::fleet::kept;

/// A configuration has some 10 KB.
const MOST_BYTES: usize = 256 << 10;

/// What a proposal begins with.
const HEAD: &str = "# Proposed by ";

/// The page.
pub async fn page(State(deck): State<Arc<Deck>>) -> Page {
    let (now, proposed) = looked_up(&deck).await?;
    let text = proposed.clone().unwrap_or_else(|| set(&now.config));
    Ok(shown(&deck, &now, proposed.as_deref(), &text, None))
}

/// A candidate, and what is to be done with it.
#[derive(Deserialize)]
pub struct Candidate {
    text: String,
    wish: Wish,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wish {
    Check,
    Propose,
}

/// Says whether a candidate is a configuration, and keeps it as a proposal where that is wanted.
pub async fn judge(
    State(deck): State<Arc<Deck>>,
    Extension(technician): Extension<Technician>,
    Form(candidate): Form<Candidate>,
) -> Page {
    // A browser sends its own ends of lines.
    let text = candidate.text.replace("\r\n", "\n");
    let judged = judged(&text);
    if judged.is_ok() && candidate.wish == Wish::Propose {
        let name = &technician.key.name;
        let proposal = format!("{HEAD}{name:?} at {}\n{}", Timestamp::now(), without_head(&text));
        let path = deck.proposed();
        blocking(move || kept::write(&path, proposal.as_bytes()))
            .await?
            .map_err(|error| Trouble::internal(&format!("it is not kept: {error}")))?;
        log::warn!("technician {name:?} proposes a configuration: {}", deck.proposed().display());
        return Ok(Redirect::to("/admin/configuration").into_response());
    }
    let (now, proposed) = looked_up(&deck).await?;
    let verdict = html! {
        @match &judged {
            Err(reason) => p.alert role="alert" { (reason) },
            Ok(config) => {
                p.good role="status" { "It is right." }
                (differences(&now.config, config, &(deck.means.needs_restart)(config)))
            }
        }
    };
    Ok(shown(&deck, &now, proposed.as_deref(), &text, Some(&verdict)))
}

fn judged(text: &str) -> Result<Config, String> {
    if text.len() > MOST_BYTES {
        return Err(format!("It is longer than {} KB.", MOST_BYTES >> 10));
    }
    let config = Config::parse(text).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())?;
    Ok(config)
}

/// Takes the proposal back.
pub async fn withdraw(
    State(deck): State<Arc<Deck>>,
    Extension(technician): Extension<Technician>,
) -> Page {
    let path = deck.proposed();
    match blocking(move || fs::remove_file(path)).await? {
        Ok(()) => {
            log::warn!("technician {:?} takes the proposed configuration back", technician.key.name)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Trouble::internal(&error.to_string())),
    }
    Ok(Redirect::to("/admin/configuration").into_response())
}

/// What is set, and what is proposed.
async fn looked_up(deck: &Arc<Deck>) -> Result<(InForce, Option<String>), Trouble> {
    let its = Arc::clone(deck);
    blocking(move || ((its.means.configuration)(), proposal(&its.proposed()))).await
}

fn proposal(path: &Path) -> Option<String> {
    let length = fs::metadata(path).ok()?.len();
    // Nothing here makes a larger one.
    (length <= 2 * MOST_BYTES as u64).then(|| fs::read_to_string(path).ok()).flatten()
}

fn without_head(text: &str) -> &str {
    match text.split_once('\n') {
        Some((first, rest)) if first.starts_with(HEAD) => rest,
        _ => text,
    }
}

/// What has not its default, as TOML.
fn set(config: &Config) -> String {
    let all = written(config);
    let mut some = Table::new();
    for key in config.differences(&Config::default()) {
        let Some((section, key)) = key.split_once('.') else { continue };
        let Some(value) = all.get(section).and_then(|it| it.get(key)) else { continue };
        let section = some.entry(section).or_insert_with(|| Table::new().into());
        if let Value::Table(section) = section {
            section.insert(key.to_owned(), value.clone());
        }
    }
    toml::to_string(&some).unwrap_or_default()
}

/// Everything in a configuration can be written as TOML.
fn written(config: &Config) -> Table {
    Table::try_from(config).unwrap_or_default()
}

fn shown(
    deck: &Deck,
    now: &InForce,
    proposed: Option<&str>,
    text: &str,
    verdict: Option<&Markup>,
) -> Response {
    let body = html! {
        @if let Some(proposed) = proposed {
            (wide("Proposed", &html! {
                p {
                    "It waits as " code { (deck.proposed().display()) } " until an operator puts it in "
                    "force, or somebody takes it back. "
                    @if let Some(first) = proposed.lines().next().filter(|it| it.starts_with(HEAD)) {
                        (first.trim_start_matches("# ")) "."
                    }
                }
                @match judged(proposed) {
                    Ok(config) => (differences(&now.config, &config, &(deck.means.needs_restart)(&config))),
                    Err(reason) => p.alert { "It is not right any more: " (reason) },
                }
                form method="post" action="/admin/configuration/withdraw" {
                    button.quiet { "Take it back" }
                }
            }))
        }
        (wide("Check, or propose", &html! {
            form method="post" action="/admin/configuration" {
                label for="text" {
                    "A whole configuration, as TOML: what is not in it has its default"
                }
                textarea #text name="text" rows="14" spellcheck="false" autocapitalize="none" { "\n" (text) }
                div.actions {
                    button name="wish" value="check" { "Check" }
                    button.quiet name="wish" value="propose" { "Propose" }
                }
            }
            @if let Some(verdict) = verdict { (verdict) }
        }))
        (wide("In force", &in_force(now)))
    };
    framed(deck, "/admin/configuration", &body)
}

/// What would be another value, and what it takes for it to be in force: `later` are the keys that need
/// a restart.
fn differences(now: &Config, new: &Config, later: &[String]) -> Markup {
    let (old, all) = (written(now), written(new));
    let at = |table: &Table, path: &str| {
        let (section, key) = path.split_once('.')?;
        Some(table.get(section)?.get(key)?.to_string())
    };
    let rows: Vec<_> = now
        .differences(new)
        .iter()
        .map(|key| {
            let unset = || "not set".to_owned();
            vec![
                html! { code { (key) } },
                html! { code { (at(&old, key).unwrap_or_else(unset)) } },
                html! { code { (at(&all, key).unwrap_or_else(unset)) } },
                cell(if later.iter().any(|it| it == key) {
                    "with a restart"
                } else {
                    "with a reload"
                }),
            ]
        })
        .collect();
    html! {
        @if rows.is_empty() { p.note { "It is what is in force." } }
        @else { (table("What would change", &["Key", "In force", "Then", "Takes effect"], 0, &rows)) }
    }
}

/// All settings, with where they come from, and what the files say by now where that is something
/// else.
fn in_force(now: &InForce) -> Markup {
    let files = now.files.as_ref().ok();
    let (sections, later) = (written(&now.config), files.map(|it| written(&it.config)));
    let row = |section: &str, key: &str, value: &Value| {
        let path = format!("{section}.{key}");
        let from_afar = now.afar.get(section).and_then(|it| it.get(key)).is_some();
        let place = files.and_then(|it| it.set_by(&path));
        let other = later.as_ref().map(|it| it.get(section).and_then(|it| it.get(key)));
        let differs = other.is_some_and(|other| other != Some(value));
        let origin = match place {
            _ if from_afar => "from afar".to_owned(),
            Some(place) => place.to_owned(),
            // The files leave it open.
            None if differs => "models or a command".to_owned(),
            None => "default".to_owned(),
        };
        vec![
            html! { code { (key) } },
            html! { code { (value) } },
            html! {
                (origin)
                @if differs && !from_afar && place.is_some() {
                    br; strong { "now " code { (other.flatten().map_or("not set".to_owned(), Value::to_string)) } " there" }
                }
            },
        ]
    };
    html! {
        @if let Err(reason) = &now.files {
            p.alert { "The files are not right, and what is in force stays until they are: " (reason) }
        }
        p.note { "Secrets are never part of it." }
        @for (section, keys) in &sections {
            @if let Some(keys) = keys.as_table() {
                @let rows: Vec<_> = keys.iter().map(|(key, value)| row(section, key, value)).collect();
                h3 { "[" (section) "]" }
                (table(&format!("Settings of {section}"), &["Key", "Value", "Set by"], 0, &rows))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_a_configuration_and_says_no_default() {
        let config = Config::parse("[kiosk]\nbranch = \"hn-01\"\n[http]\nqueue = 1").unwrap();
        let text = set(&config);
        assert_eq!(Config::parse(&text).unwrap(), config);
        assert_eq!(text.lines().filter(|line| line.contains('=')).count(), 2, "{text}");
    }

    #[test]
    fn mistakes_are_told_with_their_line_and_settings_that_contradict_each_other_are_refused() {
        let error = judged("[http]\n\nqeue = 1").unwrap_err();
        assert!(error.contains("line 3") && error.contains("qeue"), "{error}");
        assert!(judged("[http]\nmax_held_bytes = 1000").unwrap_err().contains("limits.max_bytes"));
        assert!(judged(&"#".repeat(MOST_BYTES + 1)).is_err());
        assert!(judged("").is_ok());
    }

    #[test]
    fn differences_name_both_values_and_what_needs_a_restart() {
        let config = Config::parse("[http]\nqueue = 77").unwrap();
        let shown =
            differences(&Config::default(), &config, &["http.queue".to_owned()]).into_string();
        assert!(shown.contains("http.queue") && shown.contains("77"), "{shown}");
        assert!(shown.matches("restart").count() == 1 && !shown.contains("http.listen"));
    }

    #[test]
    fn proposal_made_of_another_says_who_proposed_it_last() {
        assert_eq!(without_head("# Proposed by \"an\" at T\n[http]"), "[http]");
        assert_eq!(without_head("[http]"), "[http]");
    }
}
