//! Whether a page's picture is good enough to be read, and if not, what a person can do.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Quality;

/// What a page's picture must be like. The defaults lie where reading begins to suffer: beyond them
/// more than one character in a hundred is lost.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gate {
    /// Least sharpness: one over the width of the strokes' edges, in pixels of 120 dpi. A sharp
    /// picture has 1 and more; at 0.5 reading suffers, at 0.45 it fails; one that was shaken along
    /// one axis fails at 0.7. Default 0.7.
    pub min_sharpness: f32,
    /// Least brightness of the paper, 0 to 1. Default 0.2.
    pub min_brightness: f32,
    /// Largest brightness of a photographed paper, 0 to 1: beyond it thin strokes are washed out. A
    /// scanner may give white. Default 0.995.
    pub max_brightness: f32,
    /// Least difference between paper and ink, 0 to 1. Default 0.3.
    pub min_contrast: f32,
    /// Largest share of the page that a reflection has washed out, 0 to 1. Default 0.002: a spot of
    /// 15 mm.
    pub max_glare: f32,
    /// Least resolution in dots per inch, taking the page for A4. Default 100.
    pub min_dpi: f32,
    /// Largest skew in degrees that is levelled. Default 7.
    pub max_skew: f32,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            min_sharpness: 0.7,
            min_brightness: 0.2,
            max_brightness: 0.995,
            min_contrast: 0.3,
            max_glare: 0.002,
            min_dpi: 100.0,
            max_skew: 7.0,
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

impl Gate {
    /// What is wrong with a picture, what can be mended first coming first; nothing where it is good
    /// enough.
    pub fn judge(&self, quality: &Quality) -> Vec<Finding> {
        let is_bright = quality.cut && quality.brightness > self.max_brightness;
        let found = [
            (quality.cut_off, Finding::CutOff),
            (quality.dpi < self.min_dpi, Finding::Coarse),
            (quality.skew.abs() > self.max_skew, Finding::Crooked),
            (quality.brightness < self.min_brightness, Finding::Dark),
            (is_bright, Finding::Bright),
            (quality.glare > self.max_glare, Finding::Glare),
            (quality.sharpness < self.min_sharpness, Finding::Blurred),
            (quality.contrast < self.min_contrast, Finding::Pale),
        ];
        found.into_iter().filter_map(|(is_so, finding)| is_so.then_some(finding)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Quality = Quality {
        sharpness: 1.1,
        brightness: 0.8,
        contrast: 0.7,
        evenness: 0.6,
        glare: 0.0,
        dpi: 180.0,
        skew: 0.5,
        cut: true,
        cut_off: false,
    };

    #[test]
    fn each_fault_is_found_by_itself() {
        let faults = [
            (Quality { cut_off: true, ..GOOD }, Finding::CutOff),
            (Quality { dpi: 70.0, ..GOOD }, Finding::Coarse),
            (Quality { skew: -7.2, ..GOOD }, Finding::Crooked),
            (Quality { brightness: 0.1, ..GOOD }, Finding::Dark),
            (Quality { brightness: 1.0, ..GOOD }, Finding::Bright),
            (Quality { glare: 0.01, ..GOOD }, Finding::Glare),
            (Quality { sharpness: 0.5, ..GOOD }, Finding::Blurred),
            (Quality { contrast: 0.2, ..GOOD }, Finding::Pale),
        ];
        assert_eq!(Gate::default().judge(&GOOD), []);
        for (quality, finding) in faults {
            assert_eq!(Gate::default().judge(&quality), [finding]);
        }
    }

    #[test]
    fn a_scan_may_be_white() {
        let scan = Quality { brightness: 1.0, cut: false, ..GOOD };
        assert_eq!(Gate::default().judge(&scan), []);
    }
}
