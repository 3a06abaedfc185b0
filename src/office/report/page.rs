//! The page.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotters::style::RGBColor;

use super::charts::{self, ChartError, Series};
use super::{OUTCOMES, Report};
use crate::office::seen::{Counts, Status};

/// Rows of a table; what has more is told by its number.
const ROWS: usize = 50;

/// One for each outcome: blue where it ended well, warm where somebody has to see to it. Told apart by
/// those who do not tell red from green, too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(37, 99, 235),
    RGBColor(147, 197, 253),
    RGBColor(148, 163, 184),
    RGBColor(245, 158, 11),
    RGBColor(220, 38, 38),
    RGBColor(127, 29, 29),
];

const STYLE: &str = "
:root { color-scheme: light; --ink: #0f172a; --faint: #64748b; --line: #e2e8f0; --blue: #2563eb; --warm: #d97706; --bad: #dc2626; }
* { box-sizing: border-box; }
body { margin: 0; background: #f1f5f9; color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; margin: 0; }
h2 { font-size: 16px; margin: 0 0 10px; }
.sub { color: var(--faint); margin: 2px 0 22px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-bottom: 16px; }
.tile, section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 26px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--faint); font-size: 13px; }
.tile.bad b { color: var(--bad); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 16px; }
.wide { grid-column: 1 / -1; }
svg { display: block; width: 100%; height: auto; }
.key { display: flex; flex-wrap: wrap; gap: 4px 14px; color: var(--faint); font-size: 13px; margin: 0 0 6px; padding: 0; list-style: none; }
.key i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th { text-align: left; color: var(--faint); font-weight: 500; }
th, td { padding: 5px 8px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { background: var(--line); border-radius: 3px; height: 10px; min-width: 90px; margin-top: 6px; }
.bar i { display: block; height: 10px; border-radius: 3px; background: var(--blue); }
.bar.warm i { background: var(--warm); }
.note { color: var(--faint); font-size: 13px; margin: 8px 0 0; }
@media print { body { background: #fff; } section { break-inside: avoid; } }
";

/// As HTML.
///
/// # Errors
/// Where a chart cannot be drawn.
pub fn page(report: &Report) -> Result<String, ChartError> {
    let (began, ended) = report.span();
    let seconds = (ended.as_second() - began.as_second()).max(0);
    let kiosks = &report.fleet.kiosks;
    let with = |status| kiosks.values().filter(|kiosk| kiosk.status() == status).count();
    let online = with(Status::Online);
    let columns = report.columns();
    let labels: Vec<_> = columns.iter().map(|column| clock(column.at, seconds < 600)).collect();
    let all = columns.iter().fold(Counts::default(), |sum, column| sum.plus(column.counts()));
    let per_minute = all.total as f64 * 60.0 / seconds.max(1) as f64;
    let failing = report.failing();
    let width = report.width();

    let series: Vec<_> = OUTCOMES
        .iter()
        .zip(COLOURS)
        .map(|(&name, colour)| {
            let rate = |count: u64| count as f64 * 60.0 / width as f64;
            let value = |column: &super::Column| rate(column.scans.get(name).copied().unwrap_or(0));
            Series { name, colour, values: columns.iter().map(value).collect() }
        })
        .collect();
    let throughput = charts::columns(charts::WIDE, &labels, &series, "scans a minute")?;
    let shares: Vec<_> =
        columns.iter().map(|column| column.counts().share().map(|share| 100.0 * share)).collect();
    let review = charts::line(charts::HALF, &labels, &shares, COLOURS[3], "% of scans")?;
    let (bins, is_lately) = report.confidence();
    let (bounds, values): (Vec<_>, Vec<_>) =
        bins.into_iter().map(|(bound, count)| (bound, count as f64)).unzip();
    let total: f64 = values.iter().sum();
    let values =
        values.into_iter().map(|value| if total > 0.0 { 100.0 * value / total } else { 0.0 });
    let values = values.collect();
    let confidence = Series { name: "values", colour: COLOURS[0], values };
    let confidence = charts::columns(charts::HALF, &bounds, &[confidence], "% of values")?;

    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "The fleet, " (clock(began, false)) " to " (clock(ended, false)) }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                h1 { "The fleet" }
                p.sub {
                    (zoned(began)) " to " (zoned(ended)) ", " (kiosks.len()) " kiosks, of which "
                    (report.heard()) " told how they do"
                }
                div.tiles {
                    (tile("kiosks online", &format!("{online} / {}", kiosks.len()), online < kiosks.len()))
                    (tile("scans", &all.total.to_string(), false))
                    (tile("scans a minute", &format!("{per_minute:.1}"), false))
                    (tile("for review, unreadable, dead", &percent(all.share()), false))
                    (tile("kiosks with faults", &failing.len().to_string(), !failing.is_empty()))
                }
                div.grid {
                    section.wide {
                        h2 { "Throughput" }
                        (key(&series))
                        (PreEscaped(throughput))
                    }
                    section {
                        h2 { "Review rate" }
                        (PreEscaped(review))
                        p.note { "Scans that a person has to look at, that could not be read, or that were set aside." }
                    }
                    section {
                        h2 { "Confidence of values" }
                        (PreEscaped(confidence))
                        p.note {
                            @if is_lately { "Of the values that were read in this while." }
                            @else { "Since the kiosks' programs were started: in this while, nothing was read." }
                        }
                    }
                    section.wide { h2 { "Failing kiosks" } (faults(&failing)) }
                    section { h2 { "Review rate by branch" } (branches(&report.branches())) }
                    section { h2 { "Versions of the program" } (versions(kiosks.values(), |it| {
                        it.presence.as_ref().map(|presence| presence.version.to_string())
                    })) }
                    section { h2 { "Versions of the models" } (versions(kiosks.values(), |it| {
                        it.presence.as_ref().map(|presence| presence.models_shown())
                    })) }
                    section { h2 { "Settings from afar" } (versions(kiosks.keys(), |id| {
                        let levels = report.fleet.levels(id);
                        let is_refused = levels.iter().any(|it| it.refused.is_some());
                        let is_behind = levels.iter().any(|it| it.wanted.is_some() && it.wanted != it.has);
                        Some(match (levels.is_empty(), is_refused, is_behind) {
                            (true, ..) => "none".to_owned(),
                            (_, true, _) => "refused".to_owned(),
                            (_, _, true) => "not in force yet".to_owned(),
                            _ => "in force".to_owned(),
                        })
                    })) }
                    @if !report.fleet.queue.is_empty() { section.wide { h2 { "Job queue" } (queue(report)) } }
                    @if !report.fleet.odd.is_empty() { section.wide { h2 { "Messages that nobody understands" } (odd(report)) } }
                }
            } }
        }
    };
    Ok(page.into_string())
}

fn tile(what: &str, value: &str, is_bad: bool) -> Markup {
    html! { div.tile.bad[is_bad] { b { (value) } span { (what) } } }
}

fn key(series: &[Series]) -> Markup {
    html! { ul.key { @for one in series {
        @let RGBColor(red, green, blue) = one.colour;
        li { i style=(format!("background:rgb({red},{green},{blue})")) {} (one.name.replace('_', " ")) }
    } } }
}

fn faults(failing: &[(crate::office::topics::Id, Vec<String>)]) -> Markup {
    if failing.is_empty() {
        return html! { p.note { "None." } };
    }
    html! {
        table {
            tr { th { "kiosk" } th { "what is wrong" } }
            @for (id, faults) in failing.iter().take(ROWS) {
                tr { td { (id.to_string()) } td { (faults.join(", ")) } }
            }
        }
        (more(failing.len()))
    }
}

fn branches(all: &[(String, Counts)]) -> Markup {
    if all.is_empty() {
        return html! { p.note { "Nothing was scanned." } };
    }
    html! {
        table {
            tr { th { "branch" } th.n { "scans" } th.n { "review" } th {} }
            @for (branch, counts) in all.iter().take(ROWS.min(15)) {
                tr {
                    td { (branch) } td.n { (counts.total) } td.n { (percent(counts.share())) }
                    td { (bar(counts.share().unwrap_or(0.0), true)) }
                }
            }
        }
        @if all.len() > 15 { p.note { "and " (all.len() - 15) " more, with less" } }
    }
}

/// How many have what.
fn versions<T>(all: impl Iterator<Item = T>, what: impl Fn(T) -> Option<String>) -> Markup {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in all {
        let name =
            what(one).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned());
        *counts.entry(name).or_default() += 1;
    }
    let total: usize = counts.values().sum();
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
    html! {
        table {
            @for (name, count) in counts.iter().take(ROWS.min(12)) {
                tr { td { (name) } td.n { (count) } td { (bar(*count as f64 / total.max(1) as f64, false)) } }
            }
        }
        @if counts.len() > 12 { p.note { "and " (counts.len() - 12) " more" } }
    }
}

fn queue(report: &Report) -> Markup {
    html! { table {
        tr { th { "name" } th { "role" } th { "status" } th.n { "held" } th.n { "done" } th.n { "a minute" }
            th.n { "backlog" } th.n { "oldest" } th.n { "failed" } th.n { "dead" } }
        @for (name, it) in report.fleet.queue.iter().take(ROWS) {
            tr {
                td { (name) } td { (it.role.as_str()) } td { (it.status.name()) } td.n { (it.held) }
                td.n { (it.done.max(it.answered)) } td.n { (format!("{:.1}", it.per_minute)) } td.n { (it.backlog) }
                td.n { (it.oldest_seconds) " s" } td.n { (it.failed) } td.n { (it.dead) }
            }
        }
    } }
}

fn odd(report: &Report) -> Markup {
    html! {
        table { @for (topic, what) in report.fleet.odd.iter().take(ROWS) {
            tr { td { (topic.as_str()) } td { (what.as_str()) } }
        } }
        (more(report.fleet.odd.len()))
    }
}

fn more(count: usize) -> Markup {
    html! { @if count > ROWS { p.note { "and " (count - ROWS) " more" } } }
}

fn bar(share: f64, is_warm: bool) -> Markup {
    let width = (100.0 * share).clamp(0.0, 100.0);
    html! { div.bar.warm[is_warm] { i style=(format!("width:{width:.1}%")) {} } }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

fn clock(at: Timestamp, seconds: bool) -> String {
    let format = if seconds { "%H:%M:%S" } else { "%H:%M" };
    at.to_zoned_datetime(TimeZone::system()).strftime(format).to_string()
}

fn zoned(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}
