//! Finds the lone characters of table cells by their ink.
//!
//! A single digit in a cell is the smallest thing on the page that matters, and the network, whose
//! maps have a few pixels for it, overlooks some and gives others a box that is too small. Its ink
//! is plain, though: a dark spot of a digit's size, on the height of a line in the same row, where
//! the network suspects at least a little text.

use rayon::prelude::*;

use super::detect::{EM_PER_BOX, Map, STRIDE, TextBox};
use crate::geometry::Rect;

/// Ink is darker than the first percentage of its surroundings somewhere, and than the second one
/// everywhere: thin strokes are pale, but so is all that shines through the sheet.
const DARK: u32 = 85;
const PALE: u32 = 90;

/// Surroundings reach this many pixels to each side: more than two lines of text.
const SURROUNDINGS: usize = 24;

/// Rows that are worth a task of their own: many more than the surroundings', which each looks at anew.
const BAND: usize = 320;

/// Digits and capitals are 0.63 to 0.75 em high in the fonts of such reports, plus blur.
const HEIGHT: std::ops::Range<f32> = 0.5..0.95;

/// The part of a digit that is dark enough, of what the network all but took for text, is at least so
/// high, in em: faint or broken type loses its ends.
const PARTLY: std::ops::Range<f32> = 0.35..HEIGHT.start;
const LIKELY: f32 = 0.3;

/// From a slim "1" to an amount whose digits run together.
const WIDTH: std::ops::Range<f32> = 0.08..4.0;

/// A spot further from a line's height than this, in em, is in no row with it.
const SAME_ROW: f32 = 0.3;

/// Boxes shorter than this, in em of their row, hold one or two characters.
const LONE: f32 = 1.6;

/// Boxes higher than this, in em of the lines nearby, hold two lines that the network merged.
const MERGED: f32 = 1.6 * EM_PER_BOX;

/// Boxes of lone characters lower than this, in em of the lines nearby, cut them.
const LOW: f32 = 0.8 * EM_PER_BOX;

/// Lone characters that the network is so sure of keep their place.
const SURE: f32 = 0.85;

/// What the network must suspect of a spot in a row with text: next to nothing, but not nothing.
const SUSPICION: f32 = 0.03;

/// What it must suspect of a spot in a row without other text, such as a table's only row of
/// which every cell holds a digit.
const SUSPICION_ALONE: f32 = 0.15;

/// Spots this close, in em, are characters of one word.
const WORD: f32 = 0.35;

/// The baseline is this far below a line's middle, in em.
const BASELINE: f32 = 0.4;

/// What a box extends beyond the ink at both ends, in em.
const MARGIN: f32 = 0.15;

/// A dash is this long, in em, at least so much longer than high, and so far from its line's end.
const DASH: std::ops::Range<f32> = 0.15..0.8;
const THIN: f32 = 0.7;
const GAP: std::ops::Range<f32> = -0.1..0.7;

/// A dash stands this far below the middle of its line's box, in em.
const MIDDLE: std::ops::Range<f32> = -0.15..0.25;

/// A page as the network saw it: grey in rows of `width`, and page pixels per pixel.
pub(super) struct Picture<'a> {
    pub width: usize,
    pub grey: &'a [u8],
    pub scale: (f32, f32),
}

/// Adds boxes for lone characters that were overlooked, and replaces those of doubtful ones.
pub(super) fn add(picture: &Picture, text: Map, rules: &[Rect], boxes: &mut Vec<TextBox>) {
    let rows = Rows::of(boxes);
    let suspicion = |rect: &Rect| peak(text, rect, picture.scale);
    let (doubtful, sure): (Vec<TextBox>, Vec<TextBox>) = boxes.iter().partition(|line| {
        let rect = line.rect();
        let is_lone = |em| line.length() < LONE * em;
        rows.at(&rect).is_some_and(|(em, _)| is_lone(em) && suspicion(&rect) < SURE)
            || rows.em_near(&rect).is_some_and(|em| {
                line.height() > MERGED * em || is_lone(em) && line.height() < LOW * em
            })
    });
    let mut taken: Vec<Rect> = sure.iter().map(TextBox::rect).collect();
    taken.extend(rules);
    let mut found: Vec<TextBox> = Vec::new();
    let spot = |ink: &Rect| {
        let suspicion = suspicion(ink);
        let (em, middle) = match rows.at(ink).filter(|_| suspicion >= SUSPICION) {
            Some((em, middle)) => (em, Some(middle)),
            None => (rows.em_near(ink).filter(|_| suspicion >= SUSPICION_ALONE)?, None),
        };
        let high = ink.height() / em;
        match middle {
            _ if HEIGHT.contains(&high) => Some(Spot { ink: *ink, em }),
            Some(middle) if suspicion >= LIKELY && PARTLY.contains(&high) => {
                let (top, bottom) = (middle - 0.3 * em, middle + BASELINE * em);
                Some(Spot { ink: Rect { top, bottom, ..*ink }, em })
            }
            _ => None,
        }
    };
    let spots = spots(picture, &taken);
    let dashes: Vec<Rect> =
        spots.iter().filter(|ink| ink.height() < THIN * ink.width()).copied().collect();
    for word in words(spots.iter().filter_map(spot)) {
        found.push(word.full_box(rows.slope));
    }
    let is_covered = |line: &TextBox| {
        let all = line.rect();
        let most = |lone: &Rect| meets(lone, &all) && lone.overlap_x(&all) > all.width() / 2.0;
        found.iter().any(|lone| most(&lone.rect()))
    };
    // Of a missing figure, "(-)", a bracket may be all of the ink that is dark enough.
    let (_, kept): (Vec<TextBox>, Vec<TextBox>) = doubtful.into_iter().partition(is_covered);
    found.retain(|lone| !kept.iter().any(|line| meets(&lone.rect(), &line.rect())));
    *boxes = sure;
    boxes.extend(kept);
    take_dashes(boxes, &dashes);
    boxes.append(&mut found);
}

/// Has lines reach over the dashes at their ends, which the network overlooks: each dash is that of
/// the line that is nearest.
fn take_dashes(boxes: &mut [TextBox], dashes: &[Rect]) {
    for dash in dashes {
        let gap = |line: &TextBox| {
            let em = line.height() / EM_PER_BOX;
            let off = (dash.centre().y - line.centre_at(dash.centre().x)) / em;
            let gap = (line.left() - dash.right).max(dash.left - line.right()) / em;
            let is_near = GAP.contains(&gap)
                && DASH.contains(&(dash.width() / em))
                && MIDDLE.contains(&off)
                && line.length() >= 1.5 * line.height();
            is_near.then_some(gap)
        };
        let near = boxes.iter_mut().filter_map(|line| Some((gap(line)?, line)));
        if let Some((_, line)) = near.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
            let margin = MARGIN * line.height() / EM_PER_BOX;
            let (from, to) = (dash.left - margin, dash.right + margin);
            *line = line.reaching(line.left().min(from), line.right().max(to));
        }
    }
}

fn meets(a: &Rect, b: &Rect) -> bool {
    a.overlap_x(b) > 0.0 && a.overlap_y(b) > 0.0
}

/// The lines that tell the size and the height of what stands beside them.
struct Rows {
    /// Middle and em.
    lines: Vec<(f32, f32, f32)>,
    slope: f32,
}

impl Rows {
    fn of(boxes: &[TextBox]) -> Self {
        let long = boxes.iter().filter(|line| line.length() >= 1.5 * line.height());
        let lines: Vec<(f32, f32, f32)> = long
            .clone()
            .map(|line| {
                let centre = line.rect().centre();
                (centre.x, centre.y, line.height() / EM_PER_BOX)
            })
            .collect();
        let mut slopes: Vec<f32> =
            long.map(|line| line.slope_at((line.left() + line.right()) / 2.0)).collect();
        slopes.sort_by(f32::total_cmp);
        Self { lines, slope: slopes.get(slopes.len() / 2).copied().unwrap_or(0.0) }
    }

    /// Size of the type of the line in whose row a box or spot lies, and the row's middle there: of
    /// several, the one whose height fits best.
    fn at(&self, rect: &Rect) -> Option<(f32, f32)> {
        let centre = rect.centre();
        let off = |(em, middle): &(f32, f32)| (middle - centre.y).abs() / em;
        self.lines
            .iter()
            .map(|&(x, y, em)| (em, y + self.slope * (centre.x - x)))
            .filter(|row| off(row) < SAME_ROW)
            .min_by(|a, b| off(a).total_cmp(&off(b)))
    }

    /// Size of the type of the nearest line above or below.
    fn em_near(&self, rect: &Rect) -> Option<f32> {
        let y = rect.centre().y;
        let off = |line: &&(f32, f32, f32)| (line.1 - y).abs();
        self.lines.iter().min_by(|a, b| off(a).total_cmp(&off(b))).map(|&(_, _, em)| em)
    }
}

/// The ink of a word, in page pixels, and the size of its row's type.
struct Spot {
    ink: Rect,
    em: f32,
}

impl Spot {
    /// The box of a line whose baseline the ink stands on.
    fn full_box(&self, slope: f32) -> TextBox {
        let (ink, em) = (&self.ink, self.em);
        let rect = Rect::new(
            ink.left - MARGIN * em,
            ink.bottom - (EM_PER_BOX / 2.0 + BASELINE) * em,
            ink.right + MARGIN * em,
            ink.bottom + (EM_PER_BOX / 2.0 - BASELINE) * em,
        );
        let level = TextBox::level(&rect);
        level.with_curve([rect.centre().y, slope * rect.width() / 2.0, 0.0])
    }
}

/// Spots joined to words, without those as wide as lines.
fn words(spots: impl Iterator<Item = Spot>) -> Vec<Spot> {
    let mut words: Vec<Spot> = Vec::new();
    for Spot { ink, em } in spots.filter(|spot| spot.ink.width() <= WIDTH.end * spot.em) {
        let next_to = |word: &&mut Spot| {
            let apart = ink.left.max(word.ink.left) - ink.right.min(word.ink.right);
            apart < WORD * em && ink.overlap_y(&word.ink) > 0.7 * ink.height()
        };
        match words.iter_mut().find(next_to) {
            Some(word) => word.ink = word.ink.union(&ink),
            None => words.push(Spot { ink, em }),
        }
    }
    words.retain(|word| WIDTH.contains(&(word.ink.width() / word.em)));
    words
}

/// Extents, in page pixels, of the dark spots outside of what is taken, from left to right.
fn spots(picture: &Picture, taken: &[Rect]) -> Vec<Rect> {
    let (mut ink, dark) = (darker(picture, PALE), darker(picture, DARK));
    let (scale_x, scale_y) = picture.scale;
    for rect in taken {
        let columns = (rect.left / scale_x).floor().max(0.0) as usize
            ..((rect.right / scale_x).ceil().max(0.0) as usize).min(picture.width);
        let rows = (rect.top / scale_y).floor().max(0.0) as usize
            ..(rect.bottom / scale_y).ceil().max(0.0) as usize;
        for y in rows {
            if let Some(row) = ink.get_mut(y * picture.width..(y + 1) * picture.width) {
                row[columns.start.min(columns.end)..columns.end].fill(false);
            }
        }
    }
    let mut found = extents(&mut ink, &dark, picture.width);
    for rect in &mut found {
        *rect = Rect::new(
            rect.left * scale_x,
            rect.top * scale_y,
            rect.right * scale_x,
            rect.bottom * scale_y,
        );
    }
    found.sort_by(|a, b| a.left.total_cmp(&b.left));
    found
}

/// Which pixels are darker than a percentage of their surroundings.
fn darker(picture: &Picture, percentage: u32) -> Vec<bool> {
    let mut ink = vec![false; picture.grey.len()];
    let bands = ink.par_chunks_mut(BAND * picture.width.max(1)).enumerate();
    bands.for_each(|(index, band)| {
        let what = (SURROUNDINGS, percentage);
        cic_kernels::darker_than_around(picture.grey, picture.width, what, index * BAND, band);
    });
    ink
}

/// Extents of the 8-connected regions that are set, and `dark` somewhere; clears them.
fn extents(set: &mut [bool], dark: &[bool], width: usize) -> Vec<Rect> {
    let mut found = Vec::new();
    let mut open = Vec::new();
    for start in 0..set.len() {
        if !set[start] {
            continue;
        }
        set[start] = false;
        open.push(start);
        let (mut left, mut top, mut right, mut bottom) = (usize::MAX, usize::MAX, 0, 0);
        let mut is_ink = false;
        while let Some(index) = open.pop() {
            is_ink |= dark.get(index) == Some(&true);
            let (x, y) = (index % width, index / width);
            (left, right) = (left.min(x), right.max(x + 1));
            (top, bottom) = (top.min(y), bottom.max(y + 1));
            for near_y in y.saturating_sub(1)..=y + 1 {
                for near_x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                    let near = near_y * width + near_x;
                    if set.get(near) == Some(&true) {
                        set[near] = false;
                        open.push(near);
                    }
                }
            }
        }
        if is_ink {
            found.push(Rect::new(left as f32, top as f32, right as f32, bottom as f32));
        }
    }
    found
}

/// The highest probability of text within a rectangle of the page.
fn peak(text: Map, rect: &Rect, (scale_x, scale_y): (f32, f32)) -> f32 {
    let stride = STRIDE as f32;
    let cell = |place: f32, scale: f32| (place.max(0.0) / scale / stride) as usize;
    let mut highest = 0.0f32;
    for y in cell(rect.top, scale_y)..=cell(rect.bottom, scale_y) {
        for x in cell(rect.left, scale_x)..=cell(rect.right, scale_x).min(text.width.max(1) - 1) {
            highest = highest.max(text.values.get(y * text.width + x).copied().unwrap_or(0.0));
        }
    }
    highest
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 400;
    const HEIGHT: usize = 200;

    struct Scene {
        grey: Vec<u8>,
        text: Vec<f32>,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                grey: vec![230; WIDTH * HEIGHT],
                text: vec![0.0; WIDTH / STRIDE * (HEIGHT / STRIDE)],
            }
        }

        fn ink(self, rect: Rect) -> Self {
            self.shade(rect, 50)
        }

        fn shade(mut self, rect: Rect, grey: u8) -> Self {
            for y in rect.top as usize..rect.bottom as usize {
                let columns = y * WIDTH + rect.left as usize..y * WIDTH + rect.right as usize;
                self.grey[columns].fill(grey);
            }
            self
        }

        fn suspect(mut self, x: usize, y: usize, probability: f32) -> Self {
            self.text[y / STRIDE * (WIDTH / STRIDE) + x / STRIDE] = probability;
            self
        }

        fn add(&self, rules: &[Rect], mut boxes: Vec<TextBox>) -> Vec<Rect> {
            let picture = Picture { width: WIDTH, grey: &self.grey, scale: (1.0, 1.0) };
            let text = Map { width: WIDTH / STRIDE, values: &self.text };
            add(&picture, text, rules, &mut boxes);
            boxes.iter().map(TextBox::rect).collect()
        }
    }

    /// A line of 15 px type whose baseline is at y = 100.
    fn line() -> TextBox {
        TextBox::level(&Rect::new(20.0, 83.5, 150.0, 104.5))
    }

    /// A "1" of that type.
    fn digit() -> Rect {
        Rect::new(300.0, 90.0, 303.0, 100.0)
    }

    #[test]
    fn an_overlooked_digit_in_a_row_gets_the_box_of_its_row() {
        let boxes = Scene::new().ink(digit()).suspect(300, 94, 0.06).add(&[], vec![line()]);
        let [_, lone] = &boxes[..] else { panic!("two boxes: {boxes:?}") };
        assert!((lone.top - 83.5).abs() < 0.1 && (lone.bottom - 104.5).abs() < 0.1, "{lone:?}");
        assert!(lone.left < 299.0 && lone.right > 304.0, "{lone:?}");
    }

    #[test]
    fn a_part_of_a_digit_that_the_network_suspects_gets_the_box_of_its_row() {
        let part = Rect::new(300.0, 90.0, 303.0, 96.0);
        let boxes = |probability| {
            Scene::new().ink(part).suspect(300, 94, probability).add(&[], vec![line()])
        };
        let [_, lone] = boxes(0.5)[..] else { panic!("two boxes") };
        assert!((lone.top - 83.5).abs() < 0.1 && (lone.bottom - 104.5).abs() < 0.1, "{lone:?}");
        assert_eq!(boxes(0.2).len(), 1);
    }

    #[test]
    fn thin_strokes_of_a_digit_may_be_pale_but_not_all_of_it() {
        let scene = || Scene::new().shade(digit(), 200).suspect(300, 94, 0.06);
        assert_eq!(scene().add(&[], vec![line()]).len(), 1);
        let foot = Rect::new(300.0, 98.0, 303.0, 100.0);
        assert_eq!(scene().ink(foot).add(&[], vec![line()]).len(), 2);
        assert_eq!(Scene::new().ink(foot).suspect(300, 94, 0.06).add(&[], vec![line()]).len(), 1);
    }

    #[test]
    fn a_doubtful_box_is_replaced_and_a_sure_one_stays() {
        let high = TextBox::level(&Rect::new(297.0, 85.0, 306.0, 104.0));
        let scene = Scene::new().ink(digit()).suspect(300, 94, 0.6);
        let boxes = scene.add(&[], vec![line(), high]);
        assert_eq!(boxes.len(), 2);
        assert!((boxes[1].height() - 21.0).abs() < 0.1, "{boxes:?}");
        let boxes = scene.suspect(302, 94, 0.95).add(&[], vec![line(), high]);
        assert_eq!(boxes[1], high.rect());
    }

    #[test]
    fn a_box_that_cuts_its_digit_is_replaced_however_sure_it_is() {
        // In the line's row, and in one of its own.
        for down in [0.0, 30.0] {
            let digit = Rect::new(300.0, 90.0 + down, 303.0, 100.0 + down);
            let low = TextBox::level(&Rect::new(297.0, 88.0 + down, 306.0, 100.0 + down));
            let scene = Scene::new().ink(digit).suspect(300, 94 + down as usize, 0.95);
            let boxes = scene.add(&[], vec![line(), low]);
            assert_eq!(boxes.len(), 2);
            assert!((boxes[1].height() - 21.0).abs() < 0.1, "{boxes:?}");
        }
        // Nothing of a digit's size is there: the box is all that there is.
        let low = TextBox::level(&Rect::new(297.0, 92.0, 306.0, 100.0));
        let scene = Scene::new().ink(Rect::new(300.0, 95.0, 303.0, 97.0)).suspect(300, 94, 0.95);
        assert_eq!(scene.add(&[], vec![line(), low])[1], low.rect());
        // Nor is a bracket of a missing figure the figure.
        let low = TextBox::level(&Rect::new(297.0, 92.0, 320.0, 100.0));
        let scene = Scene::new().ink(digit()).suspect(300, 94, 0.95);
        assert_eq!(scene.add(&[], vec![line(), low])[1..], [low.rect()]);
    }

    #[test]
    fn a_digit_in_a_row_of_its_own_takes_the_size_of_the_line_nearby() {
        let digit = Rect::new(300.0, 120.0, 303.0, 130.0);
        let boxes = Scene::new().ink(digit).suspect(300, 124, 0.3).add(&[], vec![line()]);
        assert_eq!(boxes.len(), 2);
        assert!((boxes[1].height() - 21.0).abs() < 0.1, "{boxes:?}");
    }

    #[test]
    fn ink_alone_is_no_text() {
        // Nothing suspected; in no row; on a rule; of a speck's size; as high as a bracket.
        let suspected = |rect: Rect| {
            Scene::new().ink(rect).suspect(rect.left as usize, rect.centre().y as usize, 0.1)
        };
        let one = vec![line()];
        assert_eq!(Scene::new().ink(digit()).add(&[], one.clone()).len(), 1);
        assert_eq!(suspected(Rect::new(300.0, 40.0, 303.0, 50.0)).add(&[], one.clone()).len(), 1);
        let rule = Rect::new(299.0, 0.0, 304.0, 200.0);
        assert_eq!(suspected(digit()).add(&[rule], one.clone()).len(), 1);
        assert_eq!(suspected(Rect::new(300.0, 93.0, 303.0, 96.0)).add(&[], one.clone()).len(), 1);
        assert_eq!(suspected(Rect::new(300.0, 80.0, 303.0, 108.0)).add(&[], one).len(), 1);
    }

    #[test]
    fn a_dash_at_a_line_s_end_is_the_line_s_and_one_elsewhere_is_not() {
        let reach = |dash: Rect| {
            let boxes = Scene::new().ink(dash).add(&[], vec![line()]);
            (boxes[0].left, boxes[0].right)
        };
        let (left, right) = reach(Rect::new(10.0, 94.0, 15.0, 96.0));
        assert!(left < 9.0 && (right - 150.0).abs() < 0.1, "{left} {right}");
        let (left, right) = reach(Rect::new(155.0, 94.0, 160.0, 96.0));
        assert!((left - 20.0).abs() < 0.1 && right > 161.0, "{left} {right}");
        // Of a scan of few pixels.
        assert!(reach(Rect::new(155.0, 94.0, 158.0, 96.0)).1 > 159.0);
        // Further away; on the baseline; as long as a rule.
        for dash in [
            Rect::new(180.0, 94.0, 185.0, 96.0),
            Rect::new(155.0, 100.0, 160.0, 102.0),
            Rect::new(155.0, 94.0, 175.0, 96.0),
        ] {
            assert!(reach(dash).1 < 150.1, "{dash:?}");
        }
    }

    #[test]
    fn a_dash_between_two_lines_is_that_of_the_nearer_one() {
        let next = TextBox::level(&Rect::new(162.0, 84.5, 290.0, 105.5));
        let scene = Scene::new().ink(Rect::new(155.0, 94.0, 160.0, 96.0));
        let boxes = scene.add(&[], vec![line(), next]);
        assert!((boxes[0].right - 150.0).abs() < 0.1, "{boxes:?}");
        assert!(boxes[1].left < 154.0, "{boxes:?}");
    }

    #[test]
    fn two_lines_in_one_box_are_parted() {
        let next = TextBox::level(&Rect::new(20.0, 104.5, 150.0, 125.5));
        let merged = TextBox::level(&Rect::new(297.0, 83.5, 306.0, 125.5));
        let scene = Scene::new().ink(digit()).ink(Rect::new(300.0, 111.0, 303.0, 121.0));
        let scene = scene.suspect(300, 94, 0.9).suspect(300, 114, 0.9);
        let boxes = scene.add(&[], vec![line(), next, merged]);
        assert_eq!(boxes.len(), 4);
        assert!(boxes.iter().all(|rect| rect.height() < 21.5), "{boxes:?}");
    }

    #[test]
    fn two_digits_make_one_word() {
        let scene = Scene::new().ink(digit()).ink(Rect::new(306.0, 90.0, 312.0, 100.0));
        let boxes = scene.suspect(306, 94, 0.2).add(&[], vec![line()]);
        assert_eq!(boxes.len(), 2);
        assert!(boxes[1].right > 312.0, "{boxes:?}");
    }
}
