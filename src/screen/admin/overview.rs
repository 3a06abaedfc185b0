//! How all of the kiosk is, at a glance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use super::Deck;
use super::frame::{
    Light, Page, bytes, cell, fact, facts, framed, lasting, panel, percent, table, tile, wide,
};
use crate::capture::{Standing, State as Condition};
use crate::fleet::presence::Birth;
use crate::fleet::telemetry::{MachineFigures, SOON, Telemetry};
use crate::mqtt::LinkState;
use crate::screen::words::counted;

/// Beyond this a board is hot, in °C, and its disk or memory nearly full, in shares.
const HOT: f64 = 80.0;
const NEARLY: f64 = 0.95;

/// The page.
pub async fn page(State(deck): State<Arc<Deck>>) -> Page {
    let body = html! {
        div #live data-events="/admin/events?view=overview" { (content(&deck)) }
    };
    Ok(framed(&deck, "/admin", &body))
}

/// What is live of it.
pub fn content(deck: &Deck) -> Markup {
    let telemetry = (deck.means.telemetry)();
    let (birth, link) = (deck.birth.borrow().clone(), deck.link.borrow().clone());
    let standing = deck.sources.standing();
    html! {
        div.tiles {
            @let well = standing.iter().filter(|it| it.state.is_well()).count();
            (tile(Light::is(well == standing.len()), &format!("{well} / {}", standing.len()),
                "sources do their work"))
            @let word = if telemetry.mqtt.connected { "connected" } else { "away" };
            (tile(Light::is(telemetry.mqtt.connected), word, "broker"))
            (tile(Light::is(telemetry.outbox.accepts), &telemetry.outbox.documents.to_string(),
                if telemetry.outbox.accepts { "to read" } else { "to read; nothing new is taken" }))
            @let late = telemetry.outbox.oldest_seconds > 600;
            (tile(if late { Light::Warning } else { Light::Good },
                &telemetry.outbox.results.to_string(), "to deliver"))
            (tile(Light::is(telemetry.outbox.dead == 0), &telemetry.outbox.dead.to_string(),
                "dead letters"))
            (machine_tile(&telemetry.machine))
        }
        div.panels {
            (wide("Devices", &devices(&standing, &telemetry)))
            div.flow {
                (panel("Broker", &broker(&telemetry, &link)))
                (panel("Scans since the start", &scans(&telemetry)))
                (panel("Queue", &queue(&telemetry)))
                (panel("What should not happen", &counts(&telemetry.anomalies)))
                (panel("Machine", &machine(&telemetry)))
                (panel("Cloud service", &cloud(&telemetry)))
                (panel("Program", &program(&birth, &telemetry)))
                (panel("Parts that began anew", &counts(&telemetry.workers)))
            }
            (wide("Models", &models(&birth)))
        }
    }
}

fn devices(standing: &[Standing], telemetry: &Telemetry) -> Markup {
    if standing.is_empty() {
        return html! {
            p.note { "None is set up: documents come through the API and " code { "submit" } " alone." }
        };
    }
    let row = |it: &Standing| {
        let figures = telemetry.sources.get(it.source.as_str()).cloned().unwrap_or_default();
        let (light, reason) = match &it.state {
            Condition::Ready | Condition::Busy => (Light::Good, ""),
            Condition::Asking(reason) => (Light::Warning, reason.as_str()),
            Condition::Absent(reason) | Condition::Failing(reason) => (Light::Bad, reason.as_str()),
        };
        let scan = it.scan.as_ref().map(|scan| format!("open, {}", counted(scan.pages, "page")));
        vec![
            cell(it.source.as_str()),
            light.word(it.state.name()),
            cell(reason),
            cell(scan.unwrap_or_default()),
            cell(figures.pages),
            cell(figures.asked_again),
        ]
    };
    let rows: Vec<_> = standing.iter().map(row).collect();
    let head = ["Source", "State", "Why", "Scan", "Pages", "Asked again"];
    html! {
        (table("Devices", &head, 2, &rows))
        @if let Some(camera) = &telemetry.camera {
            p.note {
                "Camera: " (counted(camera.broken as usize, "picture")) " came damaged, "
                (counted(camera.hung as usize, "time")) " it did not answer."
            }
        }
    }
}

fn broker(telemetry: &Telemetry, link: &LinkState) -> Markup {
    let mqtt = &telemetry.mqtt;
    let word = if mqtt.connected { "connected" } else { "not connected" };
    let light = |days: i64| if days < SOON { Light::Bad } else { Light::Good };
    facts([
        ("Connection", Some(Light::is(mqtt.connected).word(word))),
        ("Since", link.connected_since.map(|at| cell(moment(at)))),
        ("Last failure", link.last_failure.map(cell)),
        ("Broker", link.settings.as_ref().map(|it| cell(it.broker.to_string()))),
        ("Delivered", fact(mqtt.delivered)),
        ("On their way", fact(mqtt.in_flight)),
        ("Connections made", fact(mqtt.connections)),
        (
            "Certificate ends in",
            mqtt.certificate_days.map(|days| light(days).word(&format!("{days} days"))),
        ),
    ])
}

fn queue(telemetry: &Telemetry) -> Markup {
    let outbox = &telemetry.outbox;
    let oldest = (outbox.results > 0).then(|| lasting(Duration::from_secs(outbox.oldest_seconds)));
    let word = if outbox.accepts { "yes" } else { "no: the outbox is full, or its disk fails" };
    facts([
        ("Takes documents", Some(Light::is(outbox.accepts).word(word))),
        ("To be read", fact(outbox.documents)),
        ("To be delivered", fact(outbox.results)),
        ("The oldest waits for", oldest.map(cell)),
        ("Delivered, not erased yet", fact(outbox.delivered)),
        ("Dead letters", Some(Light::is(outbox.dead == 0).word(&outbox.dead.to_string()))),
        (
            "Sealed with a missing key",
            (outbox.without_key > 0).then(|| Light::Bad.word(&outbox.without_key.to_string())),
        ),
        ("Size of the file", fact(bytes(outbox.bytes))),
    ])
}

fn cloud(telemetry: &Telemetry) -> Markup {
    let cloud = &telemetry.cloud;
    let state = match (cloud.enabled, cloud.breaker_open) {
        (false, _) => Light::Off.word("not asked"),
        (true, true) => Light::Warning.word("left alone after failures"),
        (true, false) => Light::Good.word("may be asked"),
    };
    let failed: u64 = cloud.failed.values().sum();
    let on = |fact: Option<Markup>| fact.filter(|_| cloud.enabled);
    facts([
        ("State", Some(state)),
        ("Today's transfers", on(fact(format!("{} of {}", cloud.used, cloud.budget)))),
        ("Documents asked about", on(fact(cloud.asked))),
        ("Got values", on(fact(cloud.merged))),
        ("Transfers", on(fact(cloud.sent))),
        ("Did not help", on(fact(failed))),
    ])
}

fn machine_tile(machine: &MachineFigures) -> Markup {
    match (machine.temperature_celsius, machine.cpu_share) {
        (Some(temperature), _) => {
            tile(Light::is(temperature < HOT), &format!("{temperature:.0} °C"), "machine")
        }
        (None, Some(share)) => tile(Light::Good, &percent(share), "processor in use"),
        (None, None) => tile(Light::Off, "–", "machine"),
    }
}

fn machine(telemetry: &Telemetry) -> Markup {
    let machine = &telemetry.machine;
    let part = |available: Option<u64>, all: Option<u64>| {
        let (available, all) = (available?, all.filter(|&all| all > 0)?);
        let used = 1.0 - available as f64 / all as f64;
        let words = format!("{} of {} free", bytes(available), bytes(all));
        Some(Light::is(used < NEARLY).word(&words))
    };
    let throttled = |is: bool| Light::is(!is).word(if is { "yes: heat or voltage" } else { "no" });
    let clock = telemetry.clock.synchronised.map(|is| {
        if is { Light::Good.word("set by the network") } else { Light::Warning.word("not set") }
    });
    facts([
        (
            "Processor",
            machine.cpu_share.map(|share| {
                let own = machine.own_cpu_share.unwrap_or_default();
                cell(format!("{}, by this program {}", percent(share), percent(own)))
            }),
        ),
        (
            "Temperature",
            machine.temperature_celsius.map(|it| Light::is(it < HOT).word(&format!("{it:.0} °C"))),
        ),
        ("Slowed down", machine.throttled.map(throttled)),
        ("Memory", part(machine.memory_available_bytes, machine.memory_bytes)),
        ("This program's memory", machine.own_memory_bytes.map(|it| cell(bytes(it)))),
        ("Disk", part(machine.disk_available_bytes, machine.disk_bytes)),
        ("Up for", machine.uptime_seconds.map(|it| cell(lasting(Duration::from_secs(it))))),
        ("Clock", clock),
        ("Clock is behind by", telemetry.clock.offset_seconds.map(|it| cell(format!("{it:.1} s")))),
    ])
}

fn models(birth: &Birth) -> Markup {
    let rows: Vec<_> = birth
        .models
        .iter()
        .map(|model| {
            let sha256: String = model.sha256.chars().take(12).collect();
            vec![
                cell(&model.name),
                cell(&model.kind),
                cell(&model.version),
                cell(&model.precision),
                html! { code { (sha256) } },
            ]
        })
        .collect();
    html! {
        p {
            @match &birth.package {
                None => "Those that were installed with the program.",
                Some(package) => {
                    "Package " (package.version) " "
                    @if package.trial { (Light::Warning.word("on trial")) }
                    @else { (Light::Good.word("in use")) }
                }
            }
        }
        @if rows.is_empty() { p.alert { "There is no manifest of models: the doctor says more." } }
        @else { (table("Models", &["Name", "Kind", "Version", "Precision", "SHA-256"], 0, &rows)) }
    }
}

fn scans(telemetry: &Telemetry) -> Markup {
    let ended = telemetry.scans.iter().flat_map(|(source, outcomes)| {
        outcomes.iter().map(move |(outcome, count)| vec![cell(source), cell(outcome), cell(count)])
    });
    let rows: Vec<_> = ended.collect();
    html! {
        @if rows.is_empty() { p.note { "None has ended." } }
        @else { (table("Scans since the start", &["Source", "Ended as", "Scans"], 1, &rows)) }
    }
}

fn counts(counts: &BTreeMap<&'static str, u64>) -> Markup {
    let counted = counts.iter().filter(|(_, count)| **count > 0);
    let rows: Vec<_> =
        counted.map(|(name, count)| vec![cell(name.replace('_', " ")), cell(count)]).collect();
    html! {
        @if rows.is_empty() { p.note { "Nothing." } }
        @else { (table("Counts", &["What", "Times"], 1, &rows)) }
    }
}

fn program(birth: &Birth, telemetry: &Telemetry) -> Markup {
    let versions = birth.configuration;
    let levels = [("all", versions.all), ("branch", versions.branch), ("kiosk", versions.kiosk)];
    let levels: Vec<_> =
        levels.iter().filter_map(|(name, it)| Some(format!("{name} {}", (*it)?))).collect();
    facts([
        ("Version", fact(&birth.version)),
        ("Board", birth.board.as_ref().map(cell)),
        ("Serial number", birth.serial.as_ref().map(cell)),
        ("Runs on", birth.provider.as_ref().map(cell)),
        ("Runs for", fact(lasting(Duration::from_secs(telemetry.uptime_seconds)))),
        ("Settings from afar", (!levels.is_empty()).then(|| cell(levels.join(", ")))),
    ])
}

/// In the machine's time zone.
pub fn moment(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
