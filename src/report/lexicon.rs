//! Completes words that are nearly known ones, where the reader itself held that possible: each word
//! that differs must have had a fair chance. So "Ngân hàng TMCP Quân dội" becomes "Quân đội", and what
//! is not known stays as it was read. Labels of the form, of which there are only a few, are told by
//! their letters, too; whoever asks for that must doubt them.

use super::schema::Value;
use super::strip::{Piece, rows, value_of};
use super::words;
use crate::text::Char;

/// How much likelier than any other word that looks like it the word of a known name is, before
/// the paper is looked at.
const PRIOR: f32 = 100.0;

/// The least chance of a known word against the one that was read.
const SUPPORT: f32 = 0.01;

/// Letters that may differ in a word.
const MOST_EDITS: usize = 2;

/// The confidence at most in what is nearly a known name, where the reader did not see that.
const UNKNOWN: f32 = 0.8;

/// A word of a value, and where it stands.
struct Word<'a> {
    piece: &'a Piece,
    start: usize,
    end: usize,
    /// Where the dash ends that follows it without a blank.
    dashed: usize,
}

impl Word<'_> {
    fn text(&self) -> String {
        self.between(self.start, self.end)
    }

    fn dash(&self) -> String {
        self.between(self.end, self.dashed)
    }

    fn between(&self, start: usize, end: usize) -> String {
        let chars = self.piece.chars.get(start..end).unwrap_or_default();
        words::compose(&chars.iter().map(|c| c.value).collect::<String>())
    }

    /// The chance of another word in place of the one that was read.
    fn chance_of(&self, other: &str) -> Option<f32> {
        let chars = self.piece.chars.get(self.start..self.end)?;
        let (left, right) = (chars.first()?.left, chars.last()?.right);
        let posteriors = self.piece.posteriors.as_ref()?;
        let chance = |text: &str| Some(posteriors.best(left, right, &text)?.probability);
        Some(
            chance(other)?
                / chance(&self.text()).unwrap_or(f32::MIN_POSITIVE).max(f32::MIN_POSITIVE),
        )
    }

    /// Leaves off the punctuation at its end.
    fn drop_marks(&mut self) {
        let is_mark = |end: usize| {
            let last = end.checked_sub(1).and_then(|last| self.piece.chars.get(last));
            last.is_some_and(|c| !c.value.is_alphanumeric())
        };
        let (mut end, start) = (self.end, self.start);
        while end > start + 1 && is_mark(end) {
            end -= 1;
        }
        (self.end, self.dashed) = (end, end);
    }

    fn confidence(&self) -> f32 {
        let chars = self.piece.chars.get(self.start..self.dashed).unwrap_or_default();
        chars.iter().map(|c| c.confidence.clamp(0.0, 1.0)).product()
    }
}

/// The value of pieces as they were read, and its words.
fn read_of(pieces: &[Piece]) -> (Value, Vec<Word<'_>>) {
    let mut sorted: Vec<&Piece> = pieces.iter().collect();
    sorted.sort_by(|a, b| a.y().total_cmp(&b.y()));
    let value = value_of(&sorted);
    (value, rows(sorted).into_iter().flatten().flat_map(words_of).collect())
}

/// The value of pieces that begin with one of the known names; with `ends`, nothing follows it but
/// a mark, and a dash may stand before it.
pub(super) fn value(pieces: &[Piece], known: &[&'static str], ends: bool) -> Value {
    let (mut value, mut read) = read_of(pieces);
    if ends {
        let is_mark = |word: &Word| !word.text().contains(char::is_alphanumeric);
        while read.first().is_some_and(is_mark) {
            read.remove(0);
        }
        if let Some(last) = read.last_mut() {
            last.drop_marks();
        }
        if let Some(name) = stray_behind(&read, known) {
            value.text = name.to_owned();
            value.confidence = value.confidence.min(UNKNOWN);
            return value;
        }
    }
    if let Some(name) = nearest(&read.iter().map(Word::text).collect::<Vec<_>>(), known, ends) {
        match completed(&read, name) {
            Some((text, confidence)) => {
                value.text = text;
                value.confidence = confidence;
            }
            // Another name is possible, a misread letter is likelier.
            None => value.confidence = value.confidence.min(UNKNOWN),
        }
    }
    value
}

/// The value of pieces that end in one of the known names, but for a mark behind it.
pub(super) fn ending(pieces: &[Piece], known: &[&str]) -> Value {
    let (mut value, mut read) = read_of(pieces);
    if let Some(last) = read.last_mut() {
        last.drop_marks();
    }
    let longest = known.iter().map(|name| name.split(' ').count()).max().unwrap_or(0);
    let found = (read.len().saturating_sub(longest)..read.len()).find_map(|start| {
        let (before, name) = read.split_at(start);
        let said: Vec<String> = name.iter().map(Word::text).collect();
        Some((before, name, nearest(&said, known, true)?))
    });
    if let Some((before, name, known)) = found {
        match completed(name, known) {
            Some((text, confidence)) => {
                let whole = |word: &Word| word.between(word.start, word.dashed);
                let words = before.iter().map(whole).chain([text]);
                value.text = words.collect::<Vec<_>>().join(" ");
                value.confidence =
                    before.iter().map(Word::confidence).product::<f32>() * confidence;
            }
            None => value.confidence = value.confidence.min(UNKNOWN),
        }
    }
    value
}

/// Pieces in the order in which they are read, with phrases of the form in place of what is nearly
/// one where a part begins, which is at the start or behind a mark: "12 Lê Lợi, Thị trẩn Sa Pa".
pub(super) fn with_phrases(pieces: &[Piece], phrases: &[impl AsRef<str>]) -> Vec<Piece> {
    let mut sorted: Vec<&Piece> = pieces.iter().collect();
    sorted.sort_by(|a, b| a.y().total_cmp(&b.y()));
    let mut last = None;
    let mut mended = Vec::with_capacity(pieces.len());
    for piece in rows(sorted).into_iter().flatten() {
        let mut starts = Vec::new();
        for (index, c) in piece.chars.iter().enumerate() {
            if c.value.is_alphabetic() && last.is_none_or(|c| matches!(c, ',' | ';' | '-')) {
                starts.push(index);
            }
            if c.value != ' ' {
                last = Some(c.value);
            }
        }
        let mut chars = piece.chars.clone();
        // From the right: a phrase may be longer than what was read.
        for start in starts.into_iter().rev() {
            if let Some((end, phrase)) = phrase_at(piece, start, phrases) {
                chars.splice(start..end, phrase);
            }
        }
        mended.push(piece.with_chars(chars));
    }
    mended
}

/// The likeliest of the phrases that a piece's text from `start` on nearly is, in place of what was
/// read, and the end of that; none where it is one, or the reader saw none.
fn phrase_at(
    piece: &Piece,
    start: usize,
    phrases: &[impl AsRef<str>],
) -> Option<(usize, Vec<Char>)> {
    /// A letter more or less is nothing in so long a phrase.
    const LONG: usize = 5;
    let mut likeliest: Option<(f32, Word, &str)> = None;
    for phrase in phrases.iter().map(AsRef::as_ref) {
        let Some(end) = words_end(&piece.chars, start, phrase.split(' ').count()) else {
            continue;
        };
        let word = Word { piece, start, end, dashed: end };
        let said = word.text();
        if said == phrase {
            return None;
        }
        let (said, key) = (words::fold(&said), words::fold(phrase));
        let edits = usize::from(key.len() >= LONG);
        if words::distance(&said, &key) <= edits
            && let Some(chance) = word.chance_of(phrase).filter(|chance| *chance >= SUPPORT)
            && likeliest.as_ref().is_none_or(|(best, ..)| chance > *best)
        {
            likeliest = Some((chance, word, phrase));
        }
    }
    let (chance, word, phrase) = likeliest?;
    let read = piece.chars.get(word.start..word.end)?;
    let letters = phrase.chars().count();
    let place = |index: usize| read.get(index * read.len() / letters);
    let chars = phrase.chars().enumerate().filter_map(|(index, value)| {
        let confidence = if index == 0 { certainty(chance) } else { 1.0 };
        Some(Char { value, confidence, ..*place(index)? })
    });
    Some((word.end, chars.collect()))
}

/// Where so many words of letters end that follow each other after single blanks.
fn words_end(chars: &[Char], start: usize, count: usize) -> Option<usize> {
    let mut end = start;
    for index in 0..count {
        if index > 0 {
            chars.get(end).filter(|c| c.value == ' ')?;
            end += 1;
        }
        let word = chars.get(end..)?.iter().take_while(|c| c.value.is_alphabetic()).count();
        end += (word > 0).then_some(word)?;
    }
    Some(end)
}

/// How sure a known word is of this chance against the one that was read.
fn certainty(chance: f32) -> f32 {
    1.0 / (1.0 + 1.0 / (PRIOR * chance))
}

/// The known name that the words before a last one of a few letters are, which is none of it.
fn stray_behind(read: &[Word], known: &[&'static str]) -> Option<&'static str> {
    const FEW: usize = 3;
    let (last, name) = read.split_last()?;
    let (end, start) = name.split_last()?;
    let few = last.text().chars().count() <= FEW;
    let words: Vec<String> = start.iter().map(Word::text).collect();
    let end = end.text();
    let end = end.trim_end_matches(|c: char| !c.is_alphanumeric());
    let said = words.iter().map(String::as_str).chain([end]).collect::<Vec<_>>().join(" ");
    known.iter().find(|known| few && **known == said).copied()
}

/// The label of a few that a text nearly is, with no other nearly as near, or the only one that it
/// begins; none where it is one, or holds a figure.
pub(super) fn label(text: &str, labels: &[&'static str]) -> Option<&'static str> {
    /// Letters that may differ, accents aside, and how many more must in any other label.
    const MOST: usize = 3;
    const MOST_FOLDED: usize = 2;
    const CLEARLY: usize = 2;
    /// The share of a label's letters that must be there.
    const PART: f32 = 0.6;
    if text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let nearest = |most: usize, edits: &dyn Fn(&str) -> usize| {
        let mut near: Vec<(usize, &'static str)> =
            labels.iter().map(|label| (edits(label), *label)).collect();
        near.sort();
        let next = near.get(1).map_or(usize::MAX, |(edits, _)| *edits);
        near.first().filter(|(edits, _)| *edits <= most && edits + CLEARLY <= next).copied()
    };
    let key = words::fold(text);
    let as_printed = nearest(MOST, &|label| words::distance(text, label));
    let folded = || nearest(MOST_FOLDED, &|label| words::distance(&key, &words::fold(label)));
    match as_printed.or_else(folded) {
        Some((_, label)) => (label != text).then_some(label),
        None => {
            let mut begun = labels.iter().filter(|label| label.starts_with(&format!("{text} ")));
            let label = begun.next().filter(|_| begun.next().is_none())?;
            (text.len() as f32 >= PART * label.len() as f32).then_some(*label)
        }
    }
}

fn words_of(piece: &Piece) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = 0;
    for end in 0..=piece.chars.len() {
        if piece.chars.get(end).is_none_or(|c| c.value == ' ') {
            let word = piece.chars.get(start..end).unwrap_or_default();
            let dashes = word.iter().rev().take_while(|c| matches!(c.value, '-' | '–')).count();
            let bare = end - if dashes < word.len() { dashes } else { 0 };
            words.push(Word { piece, start, end: bare, dashed: end });
            start = end + 1;
        }
    }
    words.retain(|word| word.start < word.end);
    words
}

/// The known name that the first words nearly are, or all of them; none where they are one.
fn nearest<'a>(read: &[String], known: &[&'a str], ends: bool) -> Option<&'a str> {
    let edits = |name: &str| -> Option<usize> {
        let known: Vec<&str> = name.split(' ').collect();
        let pairs = || known.iter().zip(read);
        let each = || pairs().map(|(known, read)| words::distance(known, read));
        let long_enough = if ends { known.len() == read.len() } else { known.len() <= read.len() };
        let fits = long_enough && each().all(|edits| edits <= MOST_EDITS);
        fits.then(|| each().sum())
    };
    let found = known.iter().filter_map(|name| Some((edits(name)?, *name)));
    let found: Vec<(usize, &'a str)> = found.collect();
    let least = found.iter().map(|(edits, _)| *edits).min()?;
    let letters = |name: &str| name.chars().count();
    let longest =
        found.iter().filter(|(edits, _)| *edits == least).max_by_key(|(_, name)| letters(name))?;
    // A tenth of the letters, or accents alone; more says that it is another lender.
    let is_near = least * 10 <= letters(longest.1)
        || words::fold(&read.concat()).starts_with(&words::fold(longest.1));
    (least > 0 && is_near).then_some(longest.1)
}

/// The words with the name in place of the first ones, and the confidence in them; none where the
/// reader saw no such word.
fn completed(read: &[Word], name: &str) -> Option<(String, f32)> {
    let known: Vec<&str> = name.split(' ').collect();
    let mut confidence = 1.0;
    let mut text = Vec::new();
    for (index, word) in read.iter().enumerate() {
        let said = word.text();
        match known.get(index).filter(|known| **known != said) {
            // Which of a letter's sizes is printed, the paper alone can say.
            Some(known) if known.to_lowercase() != said.to_lowercase() => {
                let chance = word.chance_of(known).filter(|chance| *chance >= SUPPORT)?;
                confidence *= certainty(chance);
                text.push(format!("{known}{}", word.dash()));
            }
            _ => {
                confidence *= word.confidence();
                text.push(said + &word.dash());
            }
        }
    }
    Some((text.join(" "), confidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{piece, strip};
    use crate::report::lenders;

    fn named(pieces: &[Piece]) -> Value {
        lenders::value(pieces)
    }

    #[test]
    fn name_that_is_nearly_known_is_completed_where_the_reader_saw_it() {
        let (read, known) =
            ("Ngân hàng TMCP Quân dội - CN Huế", "Ngân hàng TMCP Quân đội - CN Huế");
        let value = named(&[piece(read, known, 0.3)]);
        assert_eq!(value.text, known);
        assert!(value.confidence > 0.9 && value.confidence < 1.0);
        let unseen = named(&[piece(read, known, 0.002)]);
        assert_eq!(unseen.text, read);
        assert!(unseen.confidence <= UNKNOWN);
        assert_eq!(named(&[piece(read, read, 1.0)]).text, read);
    }

    #[test]
    fn name_may_run_over_two_lines() {
        let mut lower = piece("Viêt Nam", "Việt Nam", 0.4);
        lower.at.top += 22.0;
        lower.at.bottom += 22.0;
        let upper = piece("Ngân hàng TMCP Ngoại thương", "Ngân hàng TMCP Ngoại thương", 1.0);
        assert_eq!(named(&[lower, upper]).text, "Ngân hàng TMCP Ngoại thương Việt Nam");
    }

    #[test]
    fn dash_that_follows_a_name_at_once_stays() {
        let (read, known) =
            ("Ngân hàng TMCP Tiên Phong- CN Huế", "Ngân hàng TMCP Tiên Phong- CN Huế");
        assert_eq!(named(&[piece(read, known, 0.3)]).text, known);
        let read = "Ngân hàng TMCP Tiên Phonq- CN Huế";
        let value = named(&[piece(read, known, 0.3)]);
        assert_eq!(value.text, known);
        assert!(value.confidence > 0.9 && value.confidence < 1.0);
    }

    #[test]
    fn size_of_a_letter_is_as_printed() {
        let (read, known) = ("Ngân hàng TMCP Quân Đội", "Ngân hàng TMCP Quân đội");
        assert_eq!(named(&[piece(read, known, 0.4)]).text, read);
    }

    #[test]
    fn whole_name_may_have_marks_around_it() {
        let (read, known) = ("- Dư nợ cho vay dài han;", "- Dư nợ cho vay dài hạn:");
        let names = ["Dư nợ cho vay dài hạn", "Dư nợ cho vay khác"];
        let value = |text| value(&[piece(text, known, 0.3)], &names, true).text;
        assert_eq!(value(read), "Dư nợ cho vay dài hạn");
        assert_eq!(value("- Dư nợ cho vay dài han 1"), "- Dư nợ cho vay dài han 1");
    }

    #[test]
    fn label_is_told_by_its_letters_where_no_other_is_nearly_as_near() {
        let labels = ["Dư nợ đủ tiêu chuẩn", "Dư nợ dưới tiêu chuẩn", "Dư nợ có khả năng mất vốn"];
        for (read, label) in [
            ("D nợ đi tiêu chuẩn", Some(labels[0])),
            ("Dư nợ du iệu chuấn", Some(labels[0])),
            ("Dư nọ dưới tiều chuân", Some(labels[1])),
            ("Dưnợ đủ tiêu chuẩm", Some(labels[0])),
            ("Dư nợ đưi tiêu chuẩn", None),
            ("Dư nợ có khả năng mất", Some(labels[2])),
            ("Dư nợ", None),
            ("Dư nợ xấu khác", None),
            ("Dư nợ đủ tiêu chuẩn 1", None),
            (labels[1], None),
        ] {
            assert_eq!(super::label(read, &labels), label, "{read}");
        }
    }

    #[test]
    fn phrase_of_the_form_is_completed_where_a_part_begins_and_the_reader_saw_it() {
        let phrases = ["Thị trấn", "Phường", "xã"];
        let mended = |read: &str, seen: &str, chance: f32| {
            let pieces = with_phrases(&[piece(read, seen, chance)], &phrases);
            (pieces[0].text.clone(), pieces[0].chars.iter().map(|c| c.confidence).product::<f32>())
        };
        for (read, known) in [
            ("Tổ 5, Thị trẩn Sa Pa", "Tổ 5, Thị trấn Sa Pa"),
            ("Phướng 3,xả Ea Kao", "Phường 3,xã Ea Kao"),
            ("Phlờng 3", "Phường 3"),
        ] {
            let (text, confidence) = mended(read, known, 0.2);
            assert_eq!(text, known);
            assert!(confidence > 0.9 && confidence < 1.0, "{confidence}");
            assert_eq!(mended(read, known, 0.002).0, read);
        }
        // A letter too many, which the reader saw as one with the next.
        assert_eq!(mended("Phưòờng 3", "Phư ờng 3", 0.2).0, "Phường 3");
        for kept in ["12 Thị trẩn", "Thị trấn Xà", "Xá"] {
            assert_eq!(mended(kept, kept, 0.0).0, kept);
        }
        // Not where a part begins.
        assert_eq!(mended("Lê Phướng", "Lê Phường", 0.2).0, "Lê Phướng");
        // A part may begin with a line, behind the last one's mark.
        let mut below = piece("Phướng 3", "Phường 3", 0.2);
        (below.at.top, below.at.bottom) = (below.at.top + 22.0, below.at.bottom + 22.0);
        let above = |text| with_phrases(&[below.clone(), piece(text, text, 0.0)], &phrases);
        assert_eq!(above("12 Lê Lợi,")[1].text, "Phường 3");
        assert_eq!(above("12 Lê")[1].text, "Phướng 3");
    }

    #[test]
    fn unknown_lender_stays_as_read() {
        let read = "Ngân hàng TMCP Đại Á";
        assert_eq!(named(&[piece(read, "Ngân hàng TMCP Đại Ả", 0.4)]).text, read);
        assert_eq!(
            named(&strip(&[("Ngân hàng TMCP Quân dội", 0.0, 0.0)]).pieces).text,
            "Ngân hàng TMCP Quân dội"
        );
        assert_eq!(named(&[]), Value::default());
    }
}
