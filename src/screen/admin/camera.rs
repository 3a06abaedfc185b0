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
use crate::capture::{Preview, Source};

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

/// Figures and what is demanded of them.
pub fn figures(gate: &Gate, quality: Option<&Quality>) -> Markup {
    let Some(quality) = quality else {
        return html! { p.note { "There are figures where paper lies still." } };
    };
    let rows: Vec<_> = all(gate, quality).iter().map(row).collect();
    html! {
        (table("Figures of the paper", &["Figure", "", "Is", "Demanded", ""], 0, &rows))
        @if quality.cut_off { p.alert { "The paper runs out of the picture." } }
    }
}

fn all(gate: &Gate, is: &Quality) -> Vec<Figure> {
    let two = |value: f32| format!("{value:.2}");
    let least = |name, value: f32, least: f32, most, shown: fn(f32) -> String| Figure {
        name,
        value,
        shown: shown(value),
        demanded: format!("at least {}", shown(least)),
        most,
        bounds: vec![least],
        is_good: value >= least,
    };
    let most = |name, value: f32, bound: f32, most, shown: fn(f32) -> String| Figure {
        name,
        value,
        shown: shown(value),
        demanded: format!("at most {}", shown(bound)),
        most,
        bounds: vec![bound],
        is_good: value <= bound,
    };
    let figure: fn(f32) -> String = |value| format!("{value:.2}");
    let is_bright = is.cut && is.brightness > gate.max_brightness;
    vec![
        least("Sharpness", is.sharpness, gate.min_sharpness, 1.5, figure),
        Figure {
            name: "Brightness of the paper",
            value: is.brightness,
            shown: two(is.brightness),
            demanded: format!("{:.2} to {:.3}", gate.min_brightness, gate.max_brightness),
            most: 1.0,
            bounds: vec![gate.min_brightness, gate.max_brightness],
            is_good: is.brightness >= gate.min_brightness && !is_bright,
        },
        least("Contrast", is.contrast, gate.min_contrast, 1.0, figure),
        most("Glare", is.glare, gate.max_glare, (gate.max_glare * 5.0).max(is.glare), |value| {
            format!("{:.2} %", value * 100.0)
        }),
        Figure {
            name: "Evenness of the light",
            value: is.evenness,
            shown: two(is.evenness),
            demanded: "1 is even".to_owned(),
            most: 1.0,
            bounds: Vec::new(),
            is_good: true,
        },
        least("Resolution", is.dpi, gate.min_dpi, 300.0, |value| format!("{value:.0} dpi")),
        most("Skew", is.skew.abs(), gate.max_skew, 15.0, |value| format!("{value:.1}°")),
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
    fn figures_are_judged_as_the_gate_judges_them() {
        let good = Quality {
            sharpness: 1.1,
            brightness: 0.8,
            contrast: 0.7,
            evenness: 0.6,
            glare: 0.0,
            dpi: 180.0,
            skew: -0.5,
            cut: true,
            cut_off: false,
        };
        let gate = Gate::default();
        let faults =
            |quality: &Quality| all(&gate, quality).iter().filter(|it| !it.is_good).count();
        assert_eq!(faults(&good), 0);
        for bad in [
            Quality { sharpness: 0.5, ..good },
            Quality { brightness: 0.1, ..good },
            Quality { brightness: 1.0, ..good },
            Quality { contrast: 0.2, ..good },
            Quality { glare: 0.01, ..good },
            Quality { dpi: 70.0, ..good },
            Quality { skew: -7.2, ..good },
        ] {
            assert_eq!((faults(&bad), gate.judge(&bad).len()), (1, 1), "{bad:?}");
        }
    }

    #[test]
    fn outline_lies_over_the_picture_in_thousandths() {
        let svg = outline(Some([[0.1, 0.2], [0.9, 0.2], [0.9, 1.0], [0.1, 1.0]])).into_string();
        assert!(svg.contains("100.0,200.0 900.0,200.0 900.0,1000.0 100.0,1000.0"), "{svg}");
        assert_eq!(outline(None).into_string(), "");
    }
}
