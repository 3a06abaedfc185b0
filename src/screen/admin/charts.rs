//! Charts of what was counted, as SVG.
//!
//! Figures that can be read stand beside every bar: a chart is a help, and hides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use maud::{Markup, html};

use super::Deck;
use super::frame::{Page, framed, panel, percent, wide};

/// The kinds of ends that are told apart: their class, their name, and the outcomes that they are.
const KINDS: [(&str, &str, &[&str]); 3] = [
    ("done", "read", &["local", "cloud"]),
    ("review", "for review", &["review"]),
    ("lost", "not read", &["no_report", "unreadable", "dead"]),
];

/// A column's quarters of an hour in the chart of the share for review.
const HOUR: usize = 4;

/// The drawing's units. It is shown as wide as there is room.
const WIDE: (f64, f64) = (1080.0, 170.0);
const HALF: (f64, f64) = (520.0, 240.0);

/// What is left for words: on the left, and below.
const LEFT: f64 = 44.0;
const BELOW: f64 = 26.0;
const ABOVE: f64 = 20.0;

/// The page.
pub async fn page(State(deck): State<Arc<Deck>>) -> Page {
    let body = html! {
        div #live data-events="/admin/events?view=charts" { (content(&deck)) }
    };
    Ok(framed(&deck, "/admin/charts", &body))
}

/// What is live of it.
pub fn content(deck: &Deck) -> Markup {
    let telemetry = (deck.means.telemetry)();
    let history = deck.desk.scans().history();
    let stages: Vec<_> = telemetry
        .stages
        .iter()
        .map(|(name, times)| (*name, times.p50_seconds, times.p95_seconds))
        .collect();
    html! {
        div.panels.halves {
            (wide("Throughput: scans that ended, in quarters of an hour", &throughput(&history)))
            (wide("Share for review, by the hour", &reviews(&history)))
            (panel("Confidence: share of values", &confidence(&telemetry.confidence)))
            (panel("Stages of reading, in seconds", &times(&stages)))
        }
        p.note { "All of it since the program was started, at most for a day; it is not kept on the disk." }
    }
}

type Ended = BTreeMap<&'static str, u32>;

fn of(ended: &Ended, outcomes: &[&str]) -> u32 {
    outcomes.iter().filter_map(|outcome| ended.get(outcome)).sum()
}

fn throughput(history: &[Ended]) -> Markup {
    let columns: Vec<Vec<(&str, f64)>> = history
        .iter()
        .map(|ended| {
            KINDS.iter().map(|(class, _, outcomes)| (*class, of(ended, outcomes).into())).collect()
        })
        .collect();
    let totals = KINDS.map(|(class, name, outcomes)| {
        let total: u32 = history.iter().map(|ended| of(ended, outcomes)).sum();
        (class, format!("{name}: {total}"))
    });
    let words = totals.each_ref().map(|(_, words)| words.as_str()).join(", ");
    html! {
        ul.key { @for (class, words) in &totals { li.(*class) { (words) } } }
        (columns_chart(&format!("Scans of the last day. {words}"), &columns, None, |it| format!("{it:.0}")))
    }
}

fn reviews(history: &[Ended]) -> Markup {
    let share = |hour: &[Ended]| {
        let all: u32 = hour.iter().flat_map(BTreeMap::values).sum();
        let review: u32 = hour.iter().map(|ended| of(ended, KINDS[1].2)).sum();
        (all > 0).then(|| f64::from(review) / f64::from(all))
    };
    let hours: Vec<_> = history.chunks(HOUR).map(share).collect();
    let columns: Vec<_> = hours.iter().map(|it| vec![("review", it.unwrap_or(0.0))]).collect();
    let words = match share(history) {
        Some(share) => format!("{} of the last day's scans were for review", percent(share)),
        None => "No scan has ended in the last day".to_owned(),
    };
    html! {
        p { (words) "." }
        (columns_chart(&words, &columns, Some(1.0), percent))
    }
}

/// Columns over the last day, each of pieces that are piled up. The scale goes to `top`, or as far as
/// is needed.
fn columns_chart(
    label: &str,
    columns: &[Vec<(&str, f64)>],
    top: Option<f64>,
    shown: impl Fn(f64) -> String,
) -> Markup {
    let (width, height) = WIDE;
    let highest = columns.iter().map(|it| it.iter().map(|(_, value)| value).sum::<f64>());
    let top = top.unwrap_or_else(|| even(highest.fold(0.0, f64::max)));
    let step = (width - LEFT) / columns.len() as f64;
    let floor = height - BELOW;
    let tall = |value: f64| value / top * (floor - ABOVE);
    html! {
        svg viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(label) {
            @for share in [0.0, 0.5, 1.0] {
                @let y = floor - tall(share * top);
                line.grid x1=(LEFT) x2=(width) y1=(round(y)) y2=(round(y)) {}
                text x=(LEFT - 8.0) y=(round(y + 4.0)) text-anchor="end" { (shown(share * top)) }
            }
            @for (place, pieces) in columns.iter().enumerate() {
                @let x = LEFT + step * place as f64;
                @for (number, (class, value)) in pieces.iter().enumerate().filter(|it| it.1.1 > 0.0) {
                    @let below: f64 = pieces[..number].iter().map(|(_, value)| value).sum();
                    rect.(*class) x=(round(x + step * 0.08)) y=(round(floor - tall(below + value)))
                        width=(round(step * 0.84)) height=(round(tall(*value))) {}
                }
            }
            @for ago in [24, 18, 12, 6] {
                @let x = LEFT + (width - LEFT) * f64::from(24 - ago) / 24.0;
                text x=(round(x)) y=(height - 6.0) { (format!("{ago} h ago")) }
            }
            text x=(width) y=(height - 6.0) text-anchor="end" { "now" }
        }
    }
}

/// The counts are of values at most as sure as their names say.
fn confidence(counts: &BTreeMap<&'static str, u64>) -> Markup {
    let all = counts.get("1").copied().unwrap_or_default();
    if all == 0 {
        return html! { p.note { "No value has been read." } };
    }
    let mut below = (0, "0");
    let bins: Vec<_> = counts
        .iter()
        .map(|(bound, count)| {
            let bin = (format!("{}–{bound}", below.1), (count - below.0) as f64 / all as f64);
            below = (*count, *bound);
            bin
        })
        .collect();
    let bars: Vec<_> =
        bins.iter().map(|(name, share)| (name.as_str(), vec![("done", *share)])).collect();
    bars_chart(&format!("Confidence of {all} values"), &bars, 1.0, |shares| {
        format!("{:.1} %", shares[0].1 * 100.0)
    })
}

fn times(stages: &[(&str, f64, f64)]) -> Markup {
    if stages.is_empty() {
        return html! { p.note { "No document has been read." } };
    }
    let bars: Vec<_> = stages
        .iter()
        .map(|(name, p50, p95)| (*name, vec![("slow", *p95), ("done", *p50)]))
        .collect();
    let top = stages.iter().map(|it| it.2).fold(0.0, f64::max);
    html! {
        ul.key { li.done { "half take no longer" } li.slow { "95 % take no longer" } }
        (bars_chart("How long the stages of the last 256 documents took", &bars, top, |times| {
            format!("{:.2} · {:.2} s", times[1].1, times[0].1)
        }))
    }
}

/// Bars that lie below each other, each of lengths that lie over each other, with words behind it.
fn bars_chart(
    label: &str,
    bars: &[(&str, Vec<(&str, f64)>)],
    top: f64,
    words: impl Fn(&[(&str, f64)]) -> String,
) -> Markup {
    let (width, height) = HALF;
    let (from, to) = (100.0, width - 110.0);
    let step = (height / bars.len() as f64).min(40.0);
    let long = |value: f64| if top > 0.0 { value / top * (to - from) } else { 0.0 };
    html! {
        svg viewBox=(format!("0 0 {width} {}", round(step * bars.len() as f64))) role="img"
            aria-label=(label) {
            @for (place, (name, lengths)) in bars.iter().enumerate() {
                @let y = step * place as f64;
                @let middle = round(y + step / 2.0 + 4.5);
                text x=(from - 10.0) y=(middle) text-anchor="end" { (name) }
                @for (class, length) in lengths {
                    rect.(*class) x=(from) y=(round(y + step * 0.15))
                        width=(round(long(*length).max(1.0))) height=(round(step * 0.7)) {}
                }
                @let longest = lengths.iter().map(|it| it.1).fold(0.0, f64::max);
                text x=(round(from + long(longest) + 8.0)) y=(middle) { (words(lengths)) }
            }
        }
    }
}

/// The next number that can be halved, so that both can be read on a scale.
fn even(highest: f64) -> f64 {
    ((highest / 2.0).ceil() * 2.0).max(4.0)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_shown_by_what_lies_between_two_bounds() {
        let counts = BTreeMap::from([("0.5", 1), ("0.9", 2), ("1", 4)]);
        let chart = confidence(&counts).into_string();
        for words in ["0–0.5", "0.5–0.9", "0.9–1", "25.0 %", "50.0 %"] {
            assert!(chart.contains(words), "{words}: {chart}");
        }
    }

    #[test]
    fn share_for_review_is_that_of_all_scans_that_ended() {
        let mut history = vec![Ended::new(); 96];
        history[95] = Ended::from([("local", 3), ("review", 1)]);
        assert!(reviews(&history).into_string().contains("25 % of the last day"));
        assert!(reviews(&history[..4]).into_string().contains("No scan has ended"));
    }

    #[test]
    fn columns_are_as_high_as_their_shares_of_the_scale() {
        let chart =
            columns_chart("", &[vec![("a", 2.0), ("b", 2.0)]], Some(4.0), |_| String::new());
        let height = round((WIDE.1 - BELOW - ABOVE) / 2.0);
        let chart = chart.into_string();
        assert_eq!(chart.matches(&format!("height=\"{height}\"")).count(), 2, "{chart}");
    }
}
