//! What all pages have around them.

use maud::{DOCTYPE, Markup, html};

use super::assets::Asset;

/// A whole page in this language; without a script where nothing on it moves.
pub fn page(
    lang: &str,
    title: &str,
    style: &Asset,
    script: Option<&Asset>,
    body: &Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(lang) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href=(style.address());
                @if let Some(script) = script { script src=(script.address()) defer {} }
            }
            (body)
        }
    }
}
