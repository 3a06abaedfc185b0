//! What the texts of a shape look like, character by character, so that the reader's second
//! thoughts can be asked for the likeliest text that has the shape.

use super::shapes::Shape;
use super::strip::Piece;
use crate::posteriors::{Candidate, Grammar};

/// Thousands that an amount has at most.
const GROUPS: usize = 5;

/// Less likely texts are not taken: a value that is plainly wrong serves better than a guess.
const LEAST: f32 = 0.01;

/// What is believed at most of a text that the reader itself held less likely than others: so little
/// that a person looks at it even where a sum of the paper agrees. 19 of 20 such are right.
pub(super) const PICKED: f32 = 0.6;

/// Whether the reader saw a text of the shape.
pub(super) fn could_be(pieces: &[Piece], shape: Shape) -> bool {
    likeliest(pieces, &Texts::of(shape)).is_some_and(|best| best.probability >= LEAST)
}

/// The likeliest text of a shape in place of one that has not got it, and how sure it is; none where
/// the reader saw no such text, or the value is in several pieces.
///
/// The paper has a text of this shape there, so what counts is how much likelier it is than the next
/// one that can be, not how likely the reader held texts that cannot.
pub(super) fn read_again(pieces: &[Piece], shape: Shape) -> Option<Candidate> {
    let mut texts = Texts::of(shape);
    let best = likeliest(pieces, &texts).filter(|best| best.probability >= LEAST)?;
    let Candidate { text, probability } = best;
    texts.except = Some(text.clone());
    let other = likeliest(pieces, &texts).map_or(0.0, |next| next.probability);
    let share = probability / (probability + other);
    Some(Candidate { text, probability: probability.max(share.min(PICKED)) })
}

fn likeliest(pieces: &[Piece], texts: &Texts) -> Option<Candidate> {
    let [piece] = pieces else { return None };
    piece.posteriors.as_ref()?.best(piece.rect.left, piece.rect.right, texts)
}

/// The texts of a shape.
struct Texts {
    shape: Shape,
    /// `0` stands for any digit, the rest for itself.
    patterns: Vec<String>,
    /// The one that does not count.
    except: Option<String>,
}

impl Texts {
    fn of(shape: Shape) -> Self {
        Self { shape, patterns: patterns(shape), except: None }
    }
}

impl Grammar for Texts {
    fn begins(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| fits(text, pattern))
    }

    fn allows(&self, text: &str) -> bool {
        let is_whole = |pattern: &String| pattern.len() == text.len() && fits(text, pattern);
        let put = self.shape.put(text);
        let is_other = self.except.as_deref() != Some(text);
        is_other && self.patterns.iter().any(is_whole) && put.valid && put.folded == 0
    }
}

/// Whether a text is a beginning of the pattern.
fn fits(text: &str, pattern: &str) -> bool {
    let mut pattern = pattern.chars();
    text.chars().all(|c| match pattern.next() {
        Some('0') => c.is_ascii_digit(),
        other => other == Some(c),
    })
}

fn patterns(shape: Shape) -> Vec<String> {
    const DATE: &str = "00/00/0000";
    let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    match shape {
        Shape::Words | Shape::Lender | Shape::Answer => Vec::new(),
        Shape::Amount => {
            let firsts = ["0", "00", "000"];
            let groups =
                |first: &str| (0..GROUPS).map(|n| first.to_owned() + &",000".repeat(n)).collect();
            let amounts = firsts.into_iter().flat_map::<Vec<String>, _>(groups);
            amounts.chain(["(-)".to_owned()]).collect()
        }
        Shape::Count => owned(&["0", "00", "000"]),
        Shape::Digits(count) => vec!["0".repeat(count)],
        Shape::Date => owned(&[DATE]),
        Shape::Month => owned(&["00/0000"]),
        Shape::Time => ["00:00", "00:00:00"]
            .iter()
            .flat_map(|clock| {
                [format!("{clock} - {DATE}"), format!("{clock} {DATE}"), format!("{DATE} {clock}")]
            })
            .chain([DATE.to_owned()])
            .collect(),
        Shape::Identity => {
            let lengths = [9, 12].map(|length| "0".repeat(length));
            let two = |first: &String| lengths.clone().map(|second| format!("{first} / {second}"));
            lengths.iter().flat_map(two).chain(lengths.clone()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::posteriors::Posteriors;
    use crate::report::fixture::page;
    use crate::report::strip::Strip;
    use crate::report::tables::cell;

    /// A piece read as `text`, where the reader held the other characters possible.
    fn piece(text: &str, others: &[(usize, char, f32)]) -> Piece {
        let mut posteriors = Posteriors::new(0.0, 8.0);
        for (place, read) in text.chars().enumerate() {
            let others: Vec<_> = others.iter().filter(|(at, ..)| *at == place).collect();
            let rest = 1.0 - others.iter().map(|(.., chance)| chance).sum::<f32>();
            let others = others.into_iter().map(|(_, other, chance)| (Some(*other), *chance));
            posteriors.push(others.chain([(Some(read), rest)]));
        }
        let mut page = page(0, &[(text, 0.0, 100.0)]);
        page.lines[0].posteriors = Some(Arc::new(posteriors));
        Strip::of(&[page]).pieces.remove(0)
    }

    #[test]
    fn date_that_is_none_becomes_the_likeliest_that_is_one() {
        let read = piece("3A/02/2024", &[(0, '2', 0.3), (1, '1', 0.2), (1, '0', 0.1)]);
        // 31/02 and 30/02 would be likelier, and are no days.
        let value = cell(&[read], Shape::Date);
        assert_eq!(value.text, "21/02/2024");
        // Twice as likely as 20/02, the only other one that can be.
        assert_eq!(value.confidence, PICKED);
    }

    #[test]
    fn a_text_is_believed_as_much_as_it_is_likelier_than_its_rival_but_not_without_a_look() {
        let even = piece("A2/02/2026", &[(0, '0', 0.05), (0, '1', 0.06)]);
        assert!((cell(&[even], Shape::Date).confidence - 6.0 / 11.0).abs() < 1e-3);
        let faint = cell(&[piece("O1/02/2026", &[(0, '0', 0.1)])], Shape::Date);
        assert_eq!((faint.text.as_str(), faint.confidence), ("01/02/2026", PICKED));
        // The reader itself was surer than that.
        let plain = cell(&[piece("1:234", &[(1, ',', 0.9)])], Shape::Amount);
        assert_eq!(plain.text, "1,234");
        assert!((plain.confidence - 0.9).abs() < 1e-3);
    }

    #[test]
    fn letter_in_a_date_is_read_as_the_digit_that_the_reader_saw_too() {
        let read = piece("O1/02/2026", &[(0, '0', 0.4), (0, '3', 0.05)]);
        assert_eq!(cell(&[read], Shape::Date).text, "01/02/2026");
    }

    #[test]
    fn amount_regains_its_comma_and_a_code_its_digits() {
        let read = piece("1:234", &[(1, ',', 0.4)]);
        assert_eq!(cell(&[read], Shape::Amount).text, "1,234");
        let read = piece("0134B002", &[(4, '8', 0.3)]);
        assert_eq!(cell(&[read], Shape::Digits(8)).text, "01348002");
    }

    #[test]
    fn what_has_its_shape_is_left_alone() {
        let read = piece("01/02/2026", &[(0, '3', 0.4)]);
        let value = cell(&[read], Shape::Date);
        assert_eq!((value.text.as_str(), value.confidence), ("01/02/2026", 1.0));
    }

    #[test]
    fn nothing_is_taken_that_the_reader_did_not_see() {
        assert_eq!(cell(&[piece("32/02/2024", &[])], Shape::Date).text, "32/02/2024");
        assert_eq!(
            cell(&[piece("3X/02/2024", &[(1, '1', 0.002)])], Shape::Date).text,
            "3X/02/2024"
        );
    }

    #[test]
    fn every_pattern_has_its_shape() {
        let shapes = [
            Shape::Amount,
            Shape::Count,
            Shape::Digits(8),
            Shape::Digits(10),
            Shape::Date,
            Shape::Month,
            Shape::Time,
            Shape::Identity,
        ];
        for shape in shapes {
            for pattern in patterns(shape) {
                let text: String = pattern
                    .replace("00/0000", "10/2026")
                    .replace("00/10", "11/10")
                    .replace("00:", "12:")
                    .replace(":00", ":34")
                    .replace("0", "1");
                assert!(shape.put(&text).valid, "{shape:?} {pattern} {text}");
            }
        }
    }
}
