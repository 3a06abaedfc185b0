//! Whether a page's picture is good enough to be read, and if not, what a person can do.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Quality;

/// What a page's picture must be like.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Least sharpness: variance of the Laplacian at 120 dpi over the square of the contrast. A
    /// sharp scan has 0.02 and more, a photo out of focus below 0.002. Default 0.003.
    pub min_sharpness: f32,
    /// Least brightness of the paper, 0 to 1. Default 0.35.
    pub min_brightness: f32,
    /// Least difference between paper and ink, 0 to 1. Default 0.25.
    pub min_contrast: f32,
    /// Largest share of the page that a reflection has washed out, 0 to 1. Default 0.01.
    pub max_glare: f32,
    /// Least resolution in dots per inch, taking the page for A4. Default 130.
    pub min_dpi: f32,
    /// Largest skew in degrees that is levelled. Default 6.
    pub max_skew: f32,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            min_sharpness: 0.003,
            min_brightness: 0.35,
            min_contrast: 0.25,
            max_glare: 0.01,
            min_dpi: 130.0,
            max_skew: 6.0,
        }
    }
}

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
            Self::Pale => "The print is too pale to be read.",
            Self::Glare => "A reflection covers part of the page: turn it or flatten it.",
            Self::CutOff => "A corner of the page is missing: lay the whole page in view.",
            Self::Coarse => "The page is too small in the picture: scan at 200 to 300 dpi.",
            Self::Crooked => "The page lies crooked: lay it straight.",
        })
    }
}

impl Gate {
    /// What is wrong with a picture; nothing where it is good enough.
    pub fn judge(&self, quality: &Quality) -> Vec<Finding> {
        let found = [
            (quality.sharpness < self.min_sharpness, Finding::Blurred),
            (quality.brightness < self.min_brightness, Finding::Dark),
            (quality.contrast < self.min_contrast, Finding::Pale),
            (quality.glare > self.max_glare, Finding::Glare),
            (quality.dpi < self.min_dpi, Finding::Coarse),
            (quality.skew.abs() > self.max_skew, Finding::Crooked),
        ];
        found.into_iter().filter_map(|(is_so, finding)| is_so.then_some(finding)).collect()
    }
}
