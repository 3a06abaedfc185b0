//! What the camera sees, and what helps to set up focus, exposure and light.
//!
//! Only while no customer is there: what lies before the camera then is the technician's.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use cic_kiosk::page::{Gate, Quality};
use maud::{Markup, html};
use tokio::time::timeout;

use super::Deck;
use super::frame::{Light, Page, Trouble, cell, framed, panel, table};
use crate::capture::{Preview, Sight, Source, gate_of_look};

/// Where the picture is.
pub const PICTURE: &str = "/admin/camera.jpg";

/// For a look to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// The page.
pub async fn page(State(deck): State<Arc<Deck>>) -> Page {
    let body = html! {
        @if deck.sources.has(Source::Camera) {
            div.panels.halves {
                (panel("What it sees", &html! {
                    div.view {
                        img #picture alt="What the camera sees" hidden;
                        div #outline {}
                    }
                    p.note { "Small and grey: it is made for this page alone, and kept nowhere." }
                }))
                (panel("Focus, exposure, light", &html! {
                    div #live data-events="/admin/events?view=camera" { (content(&deck, None)) }
                }))
            }
        } @else {
            p.note { "No camera is set up (" code { "camera.enabled" } ")." }
        }
    };
    Ok(framed(&deck, "/admin/camera", &body))
}

/// What is live of it beside the picture.
pub fn content(deck: &Deck, preview: Option<&Preview>) -> Markup {
    let standing = deck.sources.standing();
    let state = standing.into_iter().find(|it| it.source == Source::Camera).map(|it| it.state);
    let (words, quality) = match preview {
        None if !deck.visits.is_free() => {
            ("A customer is there: the camera is theirs until they are done.".to_owned(), None)
        }
        Some(Preview { sight: Some(Sight::Take | Sight::Done), quality, .. }) => {
            ("The page lies as it must to be taken.".to_owned(), quality.as_ref())
        }
        Some(Preview { sight: Some(sight), quality, .. }) => (sight.to_string(), quality.as_ref()),
        _ => ("Waiting for a look.".to_owned(), None),
    };
    html! {
        @if let Some(state) = state.filter(|state| !state.is_well()) {
            p.alert { "The camera is " (state.name()) ": the overview says why." }
        }
        p.words { (words) }
        (figures(&deck.settings.borrow().quality, quality))
    }
}

/// The corners of the paper, over the picture.
pub fn outline(corners: Option<[[f32; 2]; 4]>) -> Markup {
    let points = corners.map(|corners| {
        corners.map(|[x, y]| format!("{:.1},{:.1}", x * 1000.0, y * 1000.0)).join(" ")
    });
    html! {
        @if let Some(points) = points {
            svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true" {
                polygon points=(points) {}
            }
        }
    }
}

/// A figure of the paper: what it is, how it is shown, what is demanded, the largest that a bar has
/// room for, and whether it is good enough.
struct Figure {
    name: &'static str,
    value: f32,
    shown: String,
    demanded: String,
    most: f32,
    bounds: Vec<f32>,
    is_good: bool,
}

/// Figures of a look, and what is demanded of them.
pub fn figures(gate: &Gate, quality: Option<&Quality>) -> Markup {
    let Some(quality) = quality else {
        return html! { p.note { "There are figures where paper lies still." } };
    };
    let rows: Vec<_> = all(&gate_of_look(gate, quality), quality).iter().map(row).collect();
    html! {
        (table("Figures of the paper", &["Figure", "", "Is", "Demanded", ""], 0, &rows))
        @if quality.cut_off { p.alert { "The paper runs out of the picture." } }
    }
}

impl Figure {
    /// One that must lie between these two, where there are any.
    fn new(
        (name, value): (&'static str, f32),
        shown: fn(f32) -> String,
        most: f32,
        bounds: (Option<f32>, Option<f32>),
    ) -> Self {
        let demanded = match bounds {
            (Some(least), Some(most)) => format!("{} to {}", shown(least), shown(most)),
            (Some(least), None) => format!("at least {}", shown(least)),
            (None, Some(most)) => format!("at most {}", shown(most)),
            (None, None) => String::new(),
        };
        let is_good = bounds.0.is_none_or(|least| value >= least)
            && bounds.1.is_none_or(|most| value <= most);
        let bounds = [bounds.0, bounds.1].into_iter().flatten().collect();
        Self { name, value, shown: shown(value), demanded, most, bounds, is_good }
    }
}

fn all(gate: &Gate, is: &Quality) -> Vec<Figure> {
    let share: fn(f32) -> String = |value| format!("{value:.2}");
    let glare: fn(f32) -> String = |value| format!("{:.2} %", value * 100.0);
    let dpi: fn(f32) -> String = |value| format!("{value:.0} dpi");
    let angle: fn(f32) -> String = |value| format!("{value:.1}°");
    let of = Figure::new;
    let least = |least: f32| (Some(least), None);
    let most = |most: f32| (None, Some(most));
    // A scanner may give white.
    let brightness = (Some(gate.min_brightness), is.cut.then_some(gate.max_brightness));
    vec![
        of(("Sharpness", is.sharpness), share, 1.5, least(gate.min_sharpness)),
        of(("Brightness of the paper", is.brightness), |it| format!("{it:.3}"), 1.0, brightness),
        of(("Contrast", is.contrast), share, 1.0, least(gate.min_contrast)),
        of(("Glare", is.glare), glare, (gate.max_glare * 5.0).max(is.glare), most(gate.max_glare)),
        Figure {
            demanded: "1 is even".to_owned(),
            ..of(("Evenness of the light", is.evenness), share, 1.0, (None, None))
        },
        Figure {
            demanded: "more in the picture that is taken".to_owned(),
            ..of(("Resolution", is.dpi), dpi, 300.0, (None, None))
        },
        of(("Skew", is.skew.abs()), angle, 15.0, most(gate.max_skew)),
    ]
}

fn row(figure: &Figure) -> Vec<Markup> {
    let place = |value: f32| {
        let share = if figure.most > 0.0 { value / figure.most } else { 0.0 };
        (f64::from(share.clamp(0.0, 1.0)) * 1200.0).round() / 10.0
    };
    let class = if figure.is_good { "done" } else { "lost" };
    let bar = html! {
        svg.bar viewBox="0 0 120 16" width="120" height="16" aria-hidden="true" {
            rect.ground x="0" y="2" width="120" height="12" {}
            rect.(class) x="0" y="2" width=(place(figure.value)) height="12" {}
            @for bound in &figure.bounds {
                line.bound x1=(place(*bound)) x2=(place(*bound)) y1="0" y2="16" {}
            }
        }
    };
    let light = match (figure.is_good, figure.bounds.is_empty()) {
        (_, true) => Light::Off.word("–"),
        (true, false) => Light::Good.word("good"),
        (false, false) => Light::Bad.word("not enough"),
    };
    vec![cell(figure.name), bar, cell(&figure.shown), cell(&figure.demanded), light]
}

/// The picture.
pub async fn picture(State(deck): State<Arc<Deck>>) -> Page {
    let preview = look(&deck).await?;
    Ok(jpeg(preview.picture.as_deref().unwrap_or_default()))
}

/// What the camera sees, with a picture: of the next look, as the last one may have been at a
/// customer's paper.
pub async fn look(deck: &Deck) -> Result<Preview, Trouble> {
    let not_now = |words: &str| Trouble::new(StatusCode::CONFLICT, words);
    let theirs = "A customer is there: the camera is theirs until they are done.";
    if !deck.visits.is_free() {
        return Err(not_now(theirs));
    }
    let mut seen = deck.visits.preview().ok_or_else(|| not_now("No camera is set up."))?;
    let last = seen.borrow().number;
    let next = seen.wait_for(|it| it.picture.is_some() && it.number > last);
    let preview = match timeout(PATIENCE, next).await {
        Ok(Ok(preview)) => preview.clone(),
        _ => return Err(not_now("The camera gives no picture: the overview says how it is.")),
    };
    // One may have come meanwhile.
    if deck.visits.is_free() { Ok(preview) } else { Err(not_now(theirs)) }
}

/// As an answer.
pub fn jpeg(bytes: &[u8]) -> Response {
    ([(header::CONTENT_TYPE, "image/jpeg")], bytes.to_vec()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_judged_as_the_gate_judges_those_of_a_look() {
        let gate = Gate::default();
        // What just does.
        let good = Quality {
            sharpness: gate.min_sharpness,
            brightness: gate.max_brightness,
            contrast: gate.min_contrast,
            glare: gate.max_glare,
            dpi: 150.0,
            skew: -gate.max_skew,
            cut: true,
            ..Quality::default()
        };
        let faults = |look: &Quality| {
            let gate = gate_of_look(&gate, look);
            let bad = all(&gate, look).iter().filter(|it| !it.is_good).count();
            assert_eq!(bad, gate.judge(look).len(), "{look:?}");
            bad
        };
        assert_eq!(faults(&good), 0);
        let [less, more] = [0.9, 1.1];
        // The picture that is taken has more pixels than a look, and sharper strokes.
        assert_eq!(faults(&Quality { dpi: 90.0, sharpness: good.sharpness * less, ..good }), 0);
        for bad in [
            Quality { sharpness: good.sharpness * less, ..good },
            Quality { brightness: gate.min_brightness * less, ..good },
            Quality { brightness: good.brightness * more, ..good },
            Quality { contrast: good.contrast * less, ..good },
            Quality { glare: good.glare * more, ..good },
            Quality { skew: good.skew * more, ..good },
        ] {
            assert_eq!(faults(&bad), 1, "{bad:?}");
        }
    }

    #[test]
    fn outline_lies_over_the_picture_in_thousandths() {
        let svg = outline(Some([[0.1, 0.2], [0.9, 0.2], [0.9, 1.0], [0.1, 1.0]])).into_string();
        assert!(svg.contains("100.0,200.0 900.0,200.0 900.0,1000.0 100.0,1000.0"), "{svg}");
        assert_eq!(outline(None).into_string(), "");
    }
}
