//! Takes the paper's arithmetic for reading: where a total and its parts do not agree, and another
//! reading of one of them alone that the reader held possible makes them agree, that one was printed.
//!
//! What is taken so is never sure: it stays below the confidence that needs no review.

use super::schema::Value;
use super::shapes::{Shape, number, printed};
use super::strip::Piece;

/// The least chance of the other reading against the one that was taken first.
const SUPPORT: f32 = 0.005;
/// So many times likelier than any other way to agree it must be.
const CLEARLY: f32 = 20.0;
/// The confidence in what was read so, at most.
const DOUBTFUL: f32 = 0.5;

/// An amount with what it was read from.
pub(super) struct Figure<'a> {
    pub pieces: &'a [Piece],
    pub value: &'a mut Value,
}

/// A total and its parts, as places in a list of figures.
pub(super) struct Sum {
    pub total: usize,
    pub parts: Vec<usize>,
}

impl Sum {
    fn members(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.total).chain(self.parts.iter().copied())
    }

    /// What the total and its parts come to where all but `left_out` were read: the amount that
    /// would stand there if the sum is right.
    fn wanted(&self, figures: &[Figure], left_out: usize) -> Option<i64> {
        let known = |at: usize| number(&figures.get(at)?.value.text);
        let parts = self.parts.iter().filter(|part| **part != left_out);
        let parts: i64 = parts.map(|part| known(*part)).sum::<Option<i64>>()?;
        let wanted = if left_out == self.total { parts } else { known(self.total)? - parts };
        (wanted >= 0).then_some(wanted)
    }

    fn agrees(&self, figures: &[Figure]) -> bool {
        let total = figures.get(self.total).and_then(|total| number(&total.value.text));
        total.is_some() && self.wanted(figures, self.total) == total
    }
}

/// Reads again what makes sums agree.
pub(super) fn agree(figures: &mut [Figure], sums: &[Sum]) {
    for sum in sums.iter().filter(|sum| sum.parts.len() < MOST_PARTS) {
        if sum.agrees(figures) {
            continue;
        }
        let settled: Vec<usize> =
            sums.iter().filter(|sum| sum.agrees(figures)).flat_map(Sum::members).collect();
        let mut ways: Vec<(f32, usize, String)> = sum
            .members()
            .filter(|member| !settled.contains(member))
            .filter_map(|member| {
                let text = printed(sum.wanted(figures, member)?);
                Some((chance(figures.get(member)?, &text)?, member, text))
            })
            .collect();
        ways.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (likeliest, next) = (ways.first(), ways.get(1).map_or(0.0, |way| way.0));
        if let Some((chance, member, text)) = likeliest
            && *chance >= SUPPORT
            && *chance >= CLEARLY * next
            && let Some(figure) = figures.get_mut(*member)
        {
            figure.value.text.clone_from(text);
            figure.value.confidence = figure.value.confidence.min(DOUBTFUL);
        }
    }
}

/// A sum of more parts is no lender's.
const MOST_PARTS: usize = 60;

/// The chance of a text in place of the one that was taken.
fn chance(figure: &Figure, text: &str) -> Option<f32> {
    let [piece] = figure.pieces else { return None };
    let posteriors = piece.posteriors.as_ref()?;
    let of = |text: &str| {
        let best = posteriors.best(piece.rect.left, piece.rect.right, &text)?;
        Some(best.probability)
    };
    let taken = of(&figure.value.text).unwrap_or(0.0).max(crate::posteriors::LEAST);
    Shape::Amount.put(text).valid.then_some(of(text)? / taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::piece;
    use crate::report::tables::cell;

    /// The texts of two parts and their total, each read with another reading held possible.
    fn read(figures: [(&str, &str, f32); 3]) -> Vec<(String, f32)> {
        let pieces = figures.map(|(text, other, chance)| [piece(text, other, chance)]);
        let mut values = pieces.each_ref().map(|pieces| cell(pieces, Shape::Amount));
        let mut figures: Vec<Figure> = pieces
            .iter()
            .zip(&mut values)
            .map(|(pieces, value)| Figure { pieces, value })
            .collect();
        agree(&mut figures, &[Sum { total: 2, parts: vec![0, 1] }]);
        values.into_iter().map(|value| (value.text, value.confidence)).collect()
    }

    fn texts(figures: [(&str, &str, f32); 3]) -> Vec<String> {
        read(figures).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn figure_that_alone_breaks_the_sum_is_read_as_the_reader_saw_it_too() {
        assert_eq!(
            texts([("13", "13", 1.0), ("0", "0", 1.0), ("813", " 13", 0.3)]),
            ["13", "0", "13"]
        );
        let read = read([("1,208", "1,203", 0.2), ("97", "97", 1.0), ("1,300", "1,300", 1.0)]);
        assert_eq!(read[0].0, "1,203");
        assert!(read[0].1 <= DOUBTFUL);
    }

    #[test]
    fn nothing_is_taken_that_the_reader_did_not_see() {
        assert_eq!(
            texts([("13", "13", 1.0), ("0", "0", 1.0), ("18", "18", 1.0)]),
            ["13", "0", "18"]
        );
    }

    #[test]
    fn two_ways_to_agree_decide_nothing() {
        assert_eq!(
            texts([("13", "18", 0.2), ("0", "0", 1.0), ("18", "13", 0.2)]),
            ["13", "0", "18"]
        );
    }

    #[test]
    fn sum_that_agrees_is_left_alone() {
        assert_eq!(
            texts([("13", "18", 0.4), ("0", "5", 0.4), ("13", "18", 0.4)]),
            ["13", "0", "13"]
        );
    }
}
