//! Pages for tests: lines set in a type of 8 units a letter, and rules.

use std::sync::Arc;

use super::strip::{Piece, Strip};
use crate::geometry::Rect;
use crate::posteriors::Posteriors;
use crate::text::{Char, Direction, Line, PageText, Rule};

/// A line of text, 22 px tall, at its left edge and top.
pub(super) fn line(text: &str, left: f32, top: f32) -> Line {
    let chars: Vec<Char> = text
        .chars()
        .enumerate()
        .map(|(i, value)| {
            let left = left + 8.0 * i as f32;
            Char { value, left, right: left + 8.0, confidence: 1.0 }
        })
        .collect();
    let right = left + 8.0 * chars.len() as f32;
    Line { rect: Rect::new(left, top, right, top + 22.0), chars, posteriors: None, slope: None }
}

/// A page of 1000 by 1400 px.
pub(super) fn page(index: usize, lines: &[(&str, f32, f32)]) -> PageText {
    let lines = lines.iter().map(|&(text, left, top)| line(text, left, top)).collect();
    PageText { page: index, width: 1000, height: 1400, lines, rules: Vec::new() }
}

/// Adds the rules of a grid with these columns' and rows' edges.
pub(super) fn ruled(mut page: PageText, columns: &[f32], rows: &[f32]) -> PageText {
    let ends = |edges: &[f32]| {
        let first = edges.first().copied().unwrap_or(0.0);
        (first, edges.last().copied().unwrap_or(first))
    };
    let ((left, right), (top, bottom)) = (ends(columns), ends(rows));
    page.rules
        .extend(rows.iter().map(|&y| {
            Rule::level(Direction::Horizontal, Rect::new(left, y - 1.0, right, y + 1.0))
        }));
    page.rules.extend(
        columns
            .iter()
            .map(|&x| Rule::level(Direction::Vertical, Rect::new(x - 1.0, top, x + 1.0, bottom))),
    );
    page
}

/// The strip of one page.
pub(super) fn strip(lines: &[(&str, f32, f32)]) -> Strip {
    Strip::of(&[page(0, lines)])
}

/// A piece that was read as `text` on a picture, of which the reader held `other`, of as many
/// letters, possible with this chance; a blank there stands for nothing.
pub(super) fn piece(text: &str, other: &str, chance: f32) -> Piece {
    let mut posteriors = Posteriors::new(0.0, 8.0);
    for (read, other) in text.chars().zip(other.chars()) {
        match read == other {
            true => posteriors.push([(Some(read), 1.0)]),
            false => posteriors
                .push([(Some(read), 1.0 - chance), (Some(other).filter(|c| *c != ' '), chance)]),
        }
    }
    let mut page = page(0, &[(text, 0.0, 100.0)]);
    page.lines[0].posteriors = Some(Arc::new(posteriors));
    Strip::of(&[page]).pieces.remove(0)
}

/// The texts of rows of plain cells.
pub(super) fn texts(rows: &[Vec<super::schema::Cell>]) -> Vec<Vec<&str>> {
    let text = |cell: &super::schema::Cell| cell.plain().map(|value| value.text.len());
    rows.iter()
        .map(|row| {
            assert!(row.iter().all(|cell| text(cell).is_some()));
            row.iter().filter_map(|cell| Some(cell.plain()?.text.as_str())).collect()
        })
        .collect()
}
