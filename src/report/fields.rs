//! Labels and their values: side by side, in one line, or the label as the header of a column.

use super::align::{self, Anchor};
use super::strip::{Piece, Strip, is_figures, rows};
use super::{sections, words};
use crate::geometry::Rect;

/// What is asked for: a role and the folded wordings of its label.
pub(super) type Wanted<R> = [(R, &'static [&'static str])];

/// A label must resemble its wording at least so much.
const ALIKE: f32 = 0.78;

/// So many columns of labels stand side by side at most.
const MOST_COLUMNS: usize = 12;

/// A label found on the strip.
#[derive(Clone, Debug)]
pub(super) struct Label<R> {
    /// None for a label that nobody asked for.
    pub role: Option<R>,
    /// What it covers.
    pub at: Rect,
    /// Middles of its first line and of all of it.
    pub anchor: Anchor,
}

/// A label with the pieces of its value, from top to bottom.
#[derive(Clone, Debug)]
pub(super) struct Field<R> {
    pub role: R,
    pub anchor: Anchor,
    pub value: Vec<Piece>,
}

/// Labels found, and the pieces that are no part of any.
#[derive(Clone, Debug)]
pub(super) struct Labelled<R> {
    pub labels: Vec<Label<R>>,
    pub rest: Vec<Piece>,
}

struct Candidate<R> {
    role: R,
    members: Vec<usize>,
    alike: f32,
    weight: f32,
}

/// Finds the labels of a part of the strip. A label may be wrapped over some lines; one with its
/// value in the same line is parted at the colon.
pub(super) fn labels<R: Copy + PartialEq>(pieces: &[Piece], wanted: &Wanted<R>) -> Labelled<R> {
    let pieces: Vec<Piece> =
        parted_at_colons(pieces, wanted).into_iter().filter(|piece| !is_note(piece)).collect();
    let mut candidates: Vec<Candidate<R>> = Vec::new();
    for start in 0..pieces.len() {
        for members in stacks(&pieces, start) {
            let key: String =
                members.iter().filter_map(|&i| pieces.get(i)).map(|p| p.key.as_str()).collect();
            let found = wanted
                .iter()
                .map(|(role, wordings)| (*role, words::best(&key, wordings)))
                .max_by(|a, b| a.1.total_cmp(&b.1));
            if let Some((role, alike)) = found.filter(|(_, alike)| *alike >= ALIKE) {
                // Among equals the longer label: a wrapped one is more than its first line.
                let weight = alike + 0.004 * key.chars().count() as f32;
                candidates.push(Candidate { role, members, alike, weight });
            }
        }
    }
    candidates.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(b.alike.total_cmp(&a.alike)));
    let mut taken = vec![false; pieces.len()];
    let mut labels = Vec::new();
    for candidate in candidates {
        if candidate.members.iter().any(|&i| taken.get(i).copied().unwrap_or(true)) {
            continue;
        }
        for &member in &candidate.members {
            if let Some(slot) = taken.get_mut(member) {
                *slot = true;
            }
        }
        let members: Vec<&Piece> =
            candidate.members.iter().filter_map(|&i| pieces.get(i)).collect();
        labels.extend(label(Some(candidate.role), &members));
    }
    labels.sort_by(|a, b| a.anchor.middle.total_cmp(&b.anchor.middle));
    let rest = pieces.into_iter().zip(taken).filter(|(_, taken)| !taken).map(|(p, _)| p).collect();
    Labelled { labels, rest }
}

fn label<R>(role: Option<R>, members: &[&Piece]) -> Option<Label<R>> {
    let (first, last) = (members.first()?, members.last()?);
    let at = members.iter().fold(first.at, |at, piece| at.union(&piece.at));
    let anchor = Anchor { top: first.y(), middle: (first.y() + last.y()) / 2.0 };
    Some(Label { role, at, anchor })
}

/// "Mã số CIC: 0184618475" in one line becomes a label and a value, and so does "Số lượng thẻ 2".
fn parted_at_colons<R: Copy>(pieces: &[Piece], wanted: &Wanted<R>) -> Vec<Piece> {
    let mut parted = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let colon = piece.chars.iter().position(|c| c.value == ':');
        let halves = colon.filter(|&at| at + 1 < piece.chars.len()).and_then(|at| {
            let head = piece.part(0, at)?;
            let known = wanted.iter().any(|(_, wordings)| words::best(&head.key, wordings) >= 0.8);
            let tail = piece.part(at + 1, piece.chars.len())?;
            (known && !tail.text.is_empty()).then_some([head, tail])
        });
        match halves.or_else(|| figure_apart(piece, wanted)) {
            Some(halves) => parted.extend(halves),
            None => parted.push(piece.clone()),
        }
    }
    parted
}

/// A label without a colon, and the figure that was read as the last word of its line.
fn figure_apart<R>(piece: &Piece, wanted: &Wanted<R>) -> Option<[Piece; 2]> {
    const SURELY: f32 = 0.9;
    /// So many letters are known as the beginning of a label.
    const PART: usize = 12;
    let blank = piece.chars.iter().rposition(|c| c.value == ' ')?;
    let (head, tail) = (piece.part(0, blank)?, piece.part(blank + 1, piece.chars.len())?);
    // Of a label that goes on in the next line, the figure stands beside the first.
    let goes_on = |wording: &&str| head.key.len() >= PART && wording.starts_with(&head.key);
    let known = wanted.iter().any(|(_, wordings)| {
        words::best(&head.key, wordings) >= SURELY || wordings.iter().any(goes_on)
    });
    (is_figures(&tail.text) && known).then_some([head, tail])
}

/// A piece alone, and with up to three that go on with it: closely below in the same column, or
/// to its right in the same line where the reader has parted it.
pub(super) fn stacks(pieces: &[Piece], start: usize) -> Vec<Vec<usize>> {
    let mut stacks = stacks_from(pieces, vec![start]);
    let beside = pieces.get(start).and_then(|first| {
        pieces.iter().position(|piece| {
            let gap = (piece.at.left - first.at.right) / first.em();
            (-0.3..0.75).contains(&gap) && (piece.y() - first.y()).abs() < 0.35 * first.em()
        })
    });
    if let Some(beside) = beside.filter(|beside| *beside != start) {
        stacks.extend(stacks_from(pieces, vec![start, beside]));
    }
    stacks
}

/// The line that `stack` holds, alone and with the lines below it.
fn stacks_from(pieces: &[Piece], mut stack: Vec<usize>) -> Vec<Vec<usize>> {
    let mut stacks = vec![stack.clone()];
    while stack.len() < 5 {
        let Some(last) = stack.last().and_then(|&i| pieces.get(i)) else { break };
        let line = stack.iter().filter_map(|&i| pieces.get(i)).fold(last.at, |at, piece| {
            if (piece.y() - last.y()).abs() < 0.35 * last.em() { at.union(&piece.at) } else { at }
        });
        let below = pieces.iter().position(|piece| {
            let step = (piece.y() - last.y()) / last.em();
            let shared = piece.at.overlap_x(&line) >= 0.5 * piece.at.width().min(line.width());
            (0.7..2.0).contains(&step) && shared && piece.page == last.page
        });
        let Some(next) = below.filter(|next| !stack.contains(next)) else { break };
        stack.push(next);
        stacks.push(stack.clone());
    }
    stacks
}

/// Whether the labels are headers of columns: two of them side by side, and no value between.
pub(super) fn is_grid<R: Copy + PartialEq>(found: &Labelled<R>) -> bool {
    let beside = |a: &Label<R>, b: &Label<R>| {
        let height = a.at.height().min(b.at.height());
        a.at.overlap_y(&b.at) > 0.4 * height && a.at.right < b.at.left && a.role != b.role
    };
    found.labels.iter().any(|a| {
        found.labels.iter().any(|b| {
            let between = |piece: &Piece| {
                (a.at.right..b.at.left).contains(&piece.x())
                    && (piece.y() - a.anchor.middle).abs() < 0.6 * piece.em()
            };
            beside(a, b) && !found.rest.iter().any(between)
        })
    })
}

/// The values beside the labels. Lines in the labels' own column that nobody asked for are labels
/// too: they end the value above.
pub(super) fn beside<R: Copy + PartialEq>(strip: &Strip, found: Labelled<R>) -> Vec<Field<R>> {
    let em = strip.em();
    let mut fields = Vec::new();
    let mut lefts: Vec<f32> = Vec::new();
    for label in found.labels.iter().filter(|label| label.role.is_some()) {
        if !lefts.iter().any(|left| (label.at.left - left).abs() < 4.0 * em) {
            lefts.push(label.at.left);
        }
    }
    lefts.sort_by(f32::total_cmp);
    lefts.truncate(MOST_COLUMNS);
    for (index, &left) in lefts.iter().enumerate() {
        let end = lefts.get(index + 1).map_or(f32::MAX, |next| next - 0.5 * em);
        let zone = (left - 0.5 * em)..end;
        let labels: Vec<Label<R>> = found
            .labels
            .iter()
            .filter(|label| (label.at.left - left).abs() < 4.0 * em)
            .cloned()
            .collect();
        let pieces: Vec<&Piece> =
            found.rest.iter().filter(|piece| zone.contains(&piece.at.left)).collect();
        fields.extend(beside_column(strip, labels, &pieces, em));
    }
    fields.sort_by(|a, b| a.anchor.middle.total_cmp(&b.anchor.middle));
    fields
}

fn beside_column<R: Copy + PartialEq>(
    strip: &Strip,
    mut labels: Vec<Label<R>>,
    pieces: &[&Piece],
    em: f32,
) -> Vec<Field<R>> {
    let left = labels.iter().map(|label| label.at.left).fold(f32::MAX, f32::min);
    let mut values: Vec<&Piece> = Vec::new();
    for &piece in pieces {
        if piece.at.left > left + 2.0 * em {
            values.push(piece);
            continue;
        }
        if piece.key.is_empty() {
            // A colon that was pushed into a line of its own.
            continue;
        }
        let goes_on = piece.text.starts_with(char::is_lowercase)
            && labels.iter().any(|label| {
                let step = (piece.y() - label.at.bottom) / em;
                (-0.8..0.9).contains(&step)
            });
        if !goes_on {
            labels.extend(label(None, &[piece]));
        }
    }
    labels.sort_by(|a, b| a.anchor.middle.total_cmp(&b.anchor.middle));
    let lines = rows(values);
    let flat: Vec<align::Line> = lines
        .iter()
        .enumerate()
        .map(|(i, line)| {
            let y = height(line);
            let x = line.first().map_or(0.0, |piece| piece.x());
            let above = i.checked_sub(1).and_then(|i| lines.get(i)).map(|line| height(line));
            let ruled = above.is_some_and(|above| strip.rules_between(x, above, y) > 0);
            align::Line { y, ruled, begins: None }
        })
        .collect();
    let anchors: Vec<Anchor> = labels.iter().map(|label| label.anchor).collect();
    let x = lines.iter().flatten().next().map_or(500.0, |piece| piece.at.left + em);
    let found = align::allot(&flat, &anchors, em, |y, anchor| {
        anchors.get(anchor).map_or(0, |anchor| strip.rules_between(x, y, anchor.middle))
    });
    let fields = labels.iter().enumerate().filter_map(|(index, label)| {
        let value: Vec<Piece> = lines
            .iter()
            .zip(&found)
            .filter(|(_, anchor)| **anchor == Some(index))
            .flat_map(|(line, _)| line.iter().filter_map(|piece| without_colon(piece)))
            .collect();
        Some(Field { role: label.role?, anchor: label.anchor, value })
    });
    fields.collect()
}

/// Middle height of a line's pieces.
pub(super) fn height(line: &[&Piece]) -> f32 {
    line.iter().map(|piece| piece.y()).sum::<f32>() / line.len().max(1) as f32
}

/// A colon that stands before a value belongs to its label.
fn without_colon(piece: &Piece) -> Option<Piece> {
    let lead = piece.chars.iter().take_while(|c| matches!(c.value, ':' | ' ')).count();
    if lead == 0 { Some(piece.clone()) } else { piece.part(lead, piece.chars.len()) }
}

/// Notes and units that stand among the values of a section and belong to none.
pub(super) fn is_note(piece: &Piece) -> bool {
    let starred = ["(*)", "(-)", "(*", "*)", "(**)"];
    sections::is_unit(&piece.key)
        || starred.iter().any(|mark| piece.text.starts_with(mark)) && piece.key.chars().count() > 6
        || words::begins_with(&piece.key, "baogomcadunongoaite")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::strip;
    use crate::report::strip::text_of;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Role {
        Code,
        Address,
        Score,
        Rank,
    }

    const WANTED: &Wanted<Role> = &[
        (Role::Code, &["masocic", "macic"]),
        (Role::Address, &["diachi"]),
        (Role::Score, &["diemtindung"]),
        (Role::Rank, &["hang", "hangtindung"]),
    ];

    fn values(lines: &[(&str, f32, f32)]) -> Vec<(Role, String)> {
        let strip = strip(lines);
        let fields = beside(&strip, labels(&strip.pieces, WANTED));
        let text = |field: &Field<Role>| text_of(&field.value.iter().collect::<Vec<_>>());
        fields.iter().map(|field| (field.role, text(field))).collect()
    }

    #[test]
    fn wrapped_value_lies_about_its_label() {
        let found = values(&[
            ("Mã số CIC:", 100.0, 300.0),
            ("8961056942", 400.0, 300.0),
            ("Khu phố 4, Tỉnh An", 400.0, 330.0),
            ("Địa chỉ:", 100.0, 341.0),
            ("Giang", 400.0, 352.0),
        ]);
        assert_eq!(
            found,
            [
                (Role::Code, "8961056942".to_owned()),
                (Role::Address, "Khu phố 4, Tỉnh An Giang".to_owned())
            ]
        );
    }

    #[test]
    fn value_in_the_labels_own_line_is_parted_at_the_colon() {
        let found = values(&[("Mã số CIC: 8961056942", 100.0, 300.0)]);
        assert_eq!(found, [(Role::Code, "8961056942".to_owned())]);
    }

    #[test]
    fn figure_that_was_read_as_a_labels_last_word_is_its_value() {
        let found = values(&[("Điểm tín dụng 519", 100.0, 300.0), ("Địa chỉ số 7", 100.0, 330.0)]);
        assert_eq!(found[0], (Role::Score, "519".to_owned()));
        assert_eq!(found.len(), 1, "words of another label are none of it: {found:?}");
    }

    #[test]
    fn figure_stands_beside_the_first_line_of_a_label() {
        const LATE: &Wanted<Role> = &[(Role::Score, &["songaychamthanhtoanthelonnhat"])];
        let strip =
            strip(&[("Số ngày chậm thanh toán 0", 100.0, 300.0), ("thẻ lớn nhất:", 100.0, 322.0)]);
        let fields = beside(&strip, labels(&strip.pieces, LATE));
        assert_eq!(fields.len(), 1);
        assert_eq!(text_of(&fields[0].value.iter().collect::<Vec<_>>()), "0");
    }

    #[test]
    fn unknown_label_keeps_its_value_to_itself() {
        let found = values(&[
            ("Địa chỉ:", 100.0, 300.0),
            ("Hà Nội", 400.0, 300.0),
            ("Giấy tờ khác:", 100.0, 330.0),
            ("B1234567", 400.0, 330.0),
        ]);
        assert_eq!(found, [(Role::Address, "Hà Nội".to_owned())]);
    }

    #[test]
    fn labels_side_by_side_are_headers_of_columns() {
        let grid = strip(&[
            ("Điểm tín dụng", 100.0, 300.0),
            ("Hạng", 300.0, 300.0),
            ("519", 100.0, 330.0),
            ("07", 300.0, 330.0),
        ]);
        assert!(is_grid(&labels(&grid.pieces, WANTED)));
        let pairs = strip(&[
            ("Điểm tín dụng:", 100.0, 300.0),
            ("519", 300.0, 300.0),
            ("Hạng:", 500.0, 300.0),
            ("07", 700.0, 300.0),
        ]);
        assert!(!is_grid(&labels(&pairs.pieces, WANTED)));
    }
}
