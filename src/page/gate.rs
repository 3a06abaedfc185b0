//! Whether a page's picture is good enough to be read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Quality;
use crate::finding::Finding;

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
