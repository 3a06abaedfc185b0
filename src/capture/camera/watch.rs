//! Watches the table: when a page lies there as it must, and has not been taken yet.
//!
//! Promises:
//! - Each page is taken once: until another one lies there, neither a hand, nor the lamp, nor the
//!   same page picked up and put back has it taken again.
//! - Nothing is taken that moves, that is covered or cut off, or that the gate would turn away; what
//!   a person can do about it is said.
//! - A look that finds nothing new costs a comparison of thumbnails; paper is looked for only where
//!   nothing moves.

mod scene;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use cic_kiosk::config;
use cic_kiosk::finding::Finding;
use cic_kiosk::page::{Gate, Likeness, Paper, Quality};
use image::GrayImage;

use crate::capture::Taken;
use scene::Scene;

/// After it a page that was not good enough is taken again, even if nothing has changed.
const AGAIN: Duration = Duration::from_secs(5);
/// After it something bright that lies still and is no paper belongs to the table.
const FURNITURE: Duration = Duration::from_secs(10);
/// Dots per inch at which pages are measured: in a look that has fewer, strokes are less sharp, and
/// paler.
const MEASURED_DPI: f32 = 120.0;

/// What the gate demands of a look with these figures. The picture that is taken has more pixels: the
/// resolution is judged there, and of a look strokes may be less sharp, and paler.
pub fn gate_of_look(gate: &Gate, look: &Quality) -> Gate {
    let share = (look.dpi / MEASURED_DPI).min(1.0);
    Gate {
        min_dpi: 0.0,
        min_sharpness: gate.min_sharpness * share,
        min_contrast: gate.min_contrast * share,
        ..gate.clone()
    }
}

/// What there is on the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// No paper.
    Empty,
    /// Paper, but not as it must be to be taken: what a person can do.
    Wait(Problem),
    /// Take the page now.
    Take,
    /// The page that lies there has been taken: put the next one.
    Done,
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("There is no paper."),
            Self::Wait(problem) => problem.fmt(f),
            Self::Take => f.write_str("The page is taken."),
            Self::Done => f.write_str("The page has been taken: put the next one."),
        }
    }
}

/// Why a page is not taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something moves.
    #[error("Something moves: take your hand away and let the page lie still.")]
    Moving,
    /// Something lies over its edge, or sticks out under it.
    #[error("Something covers the page or lies under it: leave nothing but the page.")]
    Covered,
    /// It does not look good enough.
    #[error("{0}")]
    Poor(Finding),
}

/// The page that was taken last.
struct Last {
    likeness: Likeness,
    /// How it looked.
    quality: Quality,
    /// When.
    at: Duration,
    /// What was wrong with it, where it is to be taken again.
    again: Option<Finding>,
}

impl Last {
    /// Whether its picture would come out better now.
    fn is_better(&self, now: &Quality) -> bool {
        let then = &self.quality;
        now.sharpness > 1.2 * then.sharpness
            || now.brightness > 1.2 * then.brightness
            || now.contrast > 1.2 * then.contrast
            || now.glare < 0.5 * then.glare
    }
}

/// Watches a table.
pub struct Watch {
    gate: Gate,
    steady_looks: u32,
    /// What was there when nothing moved any more, and since when.
    scene: Option<(Scene, Duration)>,
    /// Looks that it has been there for.
    looks: u32,
    /// The table without paper.
    empty: Option<Scene>,
    last: Option<Last>,
    /// Whether what is there is known to be the page that was taken last.
    is_last: bool,
    /// Whether something has moved since it was taken.
    has_moved: bool,
    /// Whether a person wants the page, whatever the look of it.
    insists: bool,
    quality: Option<Quality>,
    outline: Option<[[f32; 2]; 4]>,
}

impl Watch {
    /// Watches a table of which nothing is known.
    pub fn new(settings: &config::Camera, gate: Gate) -> Self {
        Self {
            gate,
            steady_looks: settings.steady_looks.get(),
            scene: None,
            looks: 0,
            empty: None,
            last: None,
            is_last: false,
            has_moved: false,
            insists: false,
            quality: None,
            outline: None,
        }
    }

    /// One look at the table: a grey picture whose long side is 1280 at most, and when it was taken
    /// (monotonic).
    pub fn look(&mut self, grey: &GrayImage, at: Duration) -> Sight {
        let scene = Scene::of(grey);
        let since = match &self.scene {
            Some((before, since)) if scene.is_like(before) => *since,
            _ => {
                self.scene = Some((scene.clone(), at));
                self.looks = 0;
                self.is_last = false;
                self.has_moved = true;
                self.outline = None;
                at
            }
        };
        self.looks = self.looks.saturating_add(1);
        if self.insists {
            return self.take_anyhow(grey, &scene, at);
        }
        if self.is_last && self.last.as_ref().is_some_and(|last| last.again.is_none()) {
            return Sight::Done;
        }
        if self.looks < self.steady_looks {
            return Sight::Wait(Problem::Moving);
        }
        let Some(paper) = Paper::find(grey) else {
            self.quality = None;
            self.outline = None;
            return self.without_paper(scene, at.saturating_sub(since));
        };
        self.quality = Some(paper.quality);
        self.outline = Some(paper.corners);
        self.judge(&paper, at)
    }

    /// What became of the page that [`Sight::Take`] led to.
    pub fn taken(&mut self, taken: &Taken) {
        if let Some(last) = &mut self.last {
            last.again = match taken {
                Taken::Kept | Taken::Same => None,
                Taken::Again(findings) => {
                    Some(findings.first().copied().unwrap_or(Finding::Blurred))
                }
            };
        }
    }

    /// Nothing that lies there has been taken: for whoever only looks, and wants each look's figures.
    pub fn forget(&mut self) {
        self.last = None;
        self.is_last = false;
    }

    /// A person wants the page taken now, whatever the look of it.
    pub fn insist(&mut self) {
        self.insists = true;
    }

    /// Figures of the paper of the last look at which there was any that lay still.
    pub fn quality(&self) -> Option<Quality> {
        self.quality
    }

    /// The corners of the paper that lies there still, as shares of the picture's width and height.
    pub fn outline(&self) -> Option<[[f32; 2]; 4]> {
        self.outline
    }

    /// Paper lies still.
    fn judge(&mut self, paper: &Paper, at: Duration) -> Sight {
        if paper.is_covered && !paper.quality.cut_off {
            return Sight::Wait(Problem::Covered);
        }
        let likeness = paper.likeness();
        if let Some(last) = &self.last
            && last.likeness.is_same_page(&likeness)
        {
            self.is_last = true;
            match last.again {
                None => return Sight::Done,
                Some(finding)
                    if !self.has_moved
                        && !last.is_better(&paper.quality)
                        && at.saturating_sub(last.at) < AGAIN =>
                {
                    return Sight::Wait(Problem::Poor(finding));
                }
                Some(_) => {}
            }
        }
        match self.findings(&paper.quality).first() {
            Some(finding) => Sight::Wait(Problem::Poor(*finding)),
            None => self.take(likeness, paper.quality, at),
        }
    }

    fn take(&mut self, likeness: Likeness, quality: Quality, at: Duration) -> Sight {
        self.last = Some(Last { likeness, quality, at, again: None });
        self.is_last = true;
        self.has_moved = false;
        Sight::Take
    }

    /// What the gate would say, as far as a look can tell.
    fn findings(&self, quality: &Quality) -> Vec<Finding> {
        gate_of_look(&self.gate, quality).judge(quality)
    }

    /// Nothing moves, and no sheet can be made out.
    fn without_paper(&mut self, scene: Scene, still: Duration) -> Sight {
        if let Some(empty) = &self.empty
            && still < FURNITURE
            && scene.has_paper_beside(empty)
        {
            return Sight::Wait(Problem::Poor(Finding::CutOff));
        }
        self.empty = Some(scene);
        Sight::Empty
    }

    /// Takes what there is, unless that is nothing.
    fn take_anyhow(&mut self, grey: &GrayImage, scene: &Scene, at: Duration) -> Sight {
        self.insists = false;
        let paper = Paper::find(grey);
        let is_empty = self.empty.as_ref().is_some_and(|empty| !scene.has_paper_beside(empty));
        match paper {
            Some(paper) => {
                self.quality = Some(paper.quality);
                self.outline = Some(paper.corners);
                self.take(paper.likeness(), paper.quality, at)
            }
            None if is_empty => Sight::Empty,
            None => {
                self.last = None;
                Sight::Take
            }
        }
    }
}
