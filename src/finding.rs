//! What can be wrong with a page's picture: told by `page`, and noted in an answer.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is wrong with a page's picture. Each one says what a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The picture did not come whole.
    Damaged,
    /// Out of focus, or moved.
    Blurred,
    /// Too little light.
    Dark,
    /// So much light that print fades.
    Bright,
    /// Ink as bright as the paper.
    Pale,
    /// Washed out by a reflection.
    Glare,
    /// Part of the paper is outside the picture.
    CutOff,
    /// Too few pixels.
    Coarse,
    /// Turned by too much.
    Crooked,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "The picture did not come whole: take it again.",
            Self::Blurred => "The page is blurred: lay it flat and keep it still.",
            Self::Dark => "The page is too dark: see that the lamp is on.",
            Self::Bright => "The page is too bright: keep direct light off it.",
            Self::Pale => "The print is too pale to be read.",
            Self::Glare => "A reflection covers part of the page: turn it or flatten it.",
            Self::CutOff => "A corner of the page is missing: lay the whole page in view.",
            Self::Coarse => "The page is too small in the picture: scan at 200 to 300 dpi.",
            Self::Crooked => "The page lies crooked: lay it straight.",
        })
    }
}
