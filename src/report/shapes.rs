//! The shapes that values have on paper, and the letters that a reader takes for digits in them.
//!
//! A field that can hold nothing but digits cannot hold an O or an l: such look-alikes are read as
//! the digits they resemble, and counted, so that the confidence can fall. Nothing else about a
//! value is ever changed.

use unicode_normalization::UnicodeNormalization;

/// What a value of a field or column looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Any words.
    Words,
    /// The name of a lender, a branch behind it or not.
    Lender,
    /// A whole number with "," for thousands, or "(-)" for a figure that did not come in.
    Amount,
    /// A small whole number: row numbers, counts, days.
    Count,
    /// Exactly this many digits.
    Digits(usize),
    /// DD/MM/YYYY.
    Date,
    /// MM/YYYY.
    Month,
    /// A date, with a time before or after it.
    Time,
    /// 9 or 12 digits, several joined by " / ".
    Identity,
    /// `Y` or `N`.
    Answer,
}

/// A value put into its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shaped {
    /// The value with look-alikes and stray blanks put right.
    pub text: String,
    /// How many characters were look-alikes.
    pub folded: usize,
    /// Whether the result has the shape.
    pub valid: bool,
}

impl Shaped {
    /// Whether a text had the shape as it was.
    pub fn is(&self, text: &str) -> bool {
        self.valid && self.folded == 0 && self.text == text
    }
}

/// The digit that a character resembles, a speck above or below it or none.
pub(super) fn look_alike(c: char) -> Option<char> {
    match c.nfd().next().unwrap_or(c) {
        'O' | 'o' | 'Q' | 'D' => Some('0'),
        'l' | 'I' | '|' | '!' | '[' | ']' | 'i' => Some('1'),
        'Z' | 'z' => Some('2'),
        'S' | 's' => Some('5'),
        'b' | 'G' => Some('6'),
        'B' => Some('8'),
        'g' | 'q' => Some('9'),
        _ => None,
    }
}

/// Reads look-alikes as digits where at least half of the letters and digits are digits already.
fn digits_of(text: &str) -> (String, usize) {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    if letters > digits {
        return (text.to_owned(), 0);
    }
    let mut folded = 0;
    let text = text
        .chars()
        .map(|c| match look_alike(c) {
            Some(digit) => {
                folded += 1;
                digit
            }
            None => c,
        })
        .collect();
    (text, folded)
}

fn without_blanks(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

/// Day, month and year of a date as printed, if there is such a day.
pub fn date_parts(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split(['/', '-', '.']);
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || day.len() > 2 || month.len() > 2 {
        return None;
    }
    if ![day, month, year].into_iter().all(all_digits) {
        return None;
    }
    let (day, month, year) = (day.parse().ok()?, month.parse().ok()?, year.parse().ok()?);
    (1900..=2200).contains(&year).then_some(())?;
    (1..=days_in(month, year)).contains(&day).then_some((day, month, year))
}

fn days_in(month: u32, year: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 0,
    }
}

/// Month and year of a month as printed.
pub fn month_parts(text: &str) -> Option<(u32, u32)> {
    let (month, year) = text.split_once(['/', '-', '.'])?;
    if !all_digits(month) || !all_digits(year) || year.len() != 4 {
        return None;
    }
    let (month, year) = (month.parse().ok()?, year.parse().ok()?);
    ((1..=12).contains(&month) && (1900..=2200).contains(&year)).then_some((month, year))
}

/// An amount's number; none for "(-)".
pub fn number(text: &str) -> Option<i64> {
    /// No debt is larger, and sums of as many as a paper holds stay far from an overflow.
    const LARGEST: i64 = 1_000_000_000_000_000;
    amount_is_valid(text)
        .then(|| text.chars().filter(char::is_ascii_digit).collect::<String>())?
        .parse()
        .ok()
        .filter(|number| *number <= LARGEST)
}

/// An amount as the paper prints it, with commas.
pub fn printed(amount: i64) -> String {
    let digits = amount.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An amount of thousands with the commas that were not read; none where there is no need of them.
pub fn parted(text: &str) -> Option<String> {
    let is_bare = text.len() > 3 && all_digits(text);
    number(text).filter(|_| is_bare).map(printed)
}

/// Thousands in threes, parted by "," or ".", with no needless zero in front.
fn amount_is_valid(text: &str) -> bool {
    let mut groups = text.split([',', '.']);
    let Some(first) = groups.next() else { return false };
    let first_fits = all_digits(first)
        && (!text.contains([',', '.']) || (first.len() <= 3 && !first.starts_with('0')));
    first_fits
        && (first == "0" || !first.starts_with('0') || text.len() == 2)
        && groups.all(|group| group.len() == 3 && all_digits(group))
}

/// The three characters of a missing figure, however they were read.
fn missing_figure(text: &str) -> Option<String> {
    let bracket = |c: char| matches!(c, '(' | ')' | '{' | '}' | '[' | ']');
    let text = text.trim_matches(['.', ',', '\'']);
    let mut inner = text.chars().filter(|c| !bracket(*c));
    let bracketed = text.starts_with(bracket) || text.ends_with(bracket);
    let dash = inner.next().is_some_and(|c| !c.is_alphanumeric());
    (bracketed && dash && inner.next().is_none()).then(|| "(-)".to_owned())
}

fn shaped(text: String, folded: usize, valid: bool) -> Shaped {
    Shaped { text, folded, valid }
}

/// A date or month of which only the separators may have been misread: a stroke resembles l, I and 1.
fn with_strokes(text: &str, places: &[usize]) -> Option<String> {
    let mut chars: Vec<char> = text.chars().collect();
    for &place in places {
        let c = chars.get_mut(place)?;
        if matches!(c, 'l' | 'I' | '|' | '1' | '!' | '7' | ',' | 'J' | 'j' | '\\' | ')' | '(') {
            *c = '/';
        }
    }
    Some(chars.into_iter().collect())
}

/// A date that has one of its two strokes, and something else in the other's place.
fn with_both_strokes(text: &str) -> Option<String> {
    const STROKES: [usize; 2] = [2, 5];
    let is_one = |(place, c)| STROKES.contains(&place) && c == '/';
    let has_one = text.chars().count() == 10 && text.chars().enumerate().any(is_one);
    let both = |(place, c)| if STROKES.contains(&place) { '/' } else { c };
    has_one.then(|| text.chars().enumerate().map(both).collect())
}

fn date(text: &str) -> Shaped {
    let plain = without_blanks(text);
    let one_stroke = with_both_strokes(&plain).filter(|both| *both != plain);
    if date_parts(&plain).is_some() && one_stroke.is_none() {
        return shaped(plain, 0, true);
    }
    if let Some(both) = one_stroke.filter(|both| date_parts(both).is_some()) {
        return shaped(both, 1, true);
    }
    let bare = plain.trim_matches(|c: char| !c.is_alphanumeric());
    if date_parts(bare).is_some() {
        return shaped(bare.to_owned(), 1, true);
    }
    let stroked = (plain.chars().count() == 10).then(|| with_strokes(&plain, &[2, 5])).flatten();
    for (candidate, cost) in [(Some(plain.clone()), 0), (stroked, 1)] {
        let Some(candidate) = candidate else { continue };
        let (fixed, folded) = digits_of(&candidate);
        if date_parts(&fixed).is_some() {
            return shaped(fixed, folded + cost, true);
        }
    }
    if let Some((date, junk)) = date_amid(&plain) {
        return shaped(date, junk, true);
    }
    shaped(plain, 0, false)
}

/// The only date in a text with no more than a speck or two before and after it, and how many
/// characters those are. Its two strokes say where it stands, digits beside it or not.
fn date_amid(text: &str) -> Option<(String, usize)> {
    const LENGTH: usize = 10;
    let chars: Vec<char> = text.chars().collect();
    let junk = chars.len().checked_sub(LENGTH).filter(|junk| *junk <= MOST_JUNK)?;
    let is_stroked = |window: &&[char]| window.get(2) == Some(&'/') && window.get(5) == Some(&'/');
    let mut dates = chars
        .windows(LENGTH)
        .filter(is_stroked)
        .map(|window| window.iter().collect::<String>())
        .filter(|window| date_parts(window).is_some());
    let date = dates.next()?;
    dates.next().is_none().then_some((date, junk))
}

fn month(text: &str) -> Shaped {
    let plain = without_blanks(text);
    let stroked = (plain.chars().count() == 7).then(|| with_strokes(&plain, &[2])).flatten();
    for (candidate, cost) in [(Some(plain.clone()), 0), (stroked, 1)] {
        let Some(candidate) = candidate else { continue };
        let (fixed, folded) = digits_of(&candidate);
        if month_parts(&fixed).is_some() {
            return shaped(fixed, folded + cost, true);
        }
    }
    shaped(plain, 0, false)
}

fn amount(text: &str) -> Shaped {
    let plain = without_blanks(text);
    if let Some(missing) = missing_figure(&plain) {
        let folded = usize::from(missing != plain);
        return shaped(missing, folded, true);
    }
    if plain == "()" {
        // The sides of a zero, of which the rest is too faint.
        return shaped("0".to_owned(), 2, true);
    }
    let (mut fixed, mut folded) = digits_of(&plain);
    // Strokes alone are ones.
    if plain.len() == 2 && plain.chars().all(|c| matches!(c, 'I' | 'l' | '|' | '1')) {
        folded = plain.chars().filter(|c| *c != '1').count();
        fixed = "11".to_owned();
    }
    // A single look-alike stands alone: an O for a zero, an l for a one.
    if let (Some(c), 1) = (plain.chars().next(), plain.chars().count())
        && let Some(digit) = look_alike(c)
    {
        (fixed, folded) = (digit.to_string(), 1);
    }
    let trimmed = fixed.trim_matches(|c: char| !c.is_ascii_digit());
    // A speck beside it was read as a mark. A letter may be one, and may be one of its digits.
    let letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count();
    folded += letters(&fixed) - letters(trimmed);
    let valid = amount_is_valid(trimmed);
    if valid { shaped(trimmed.to_owned(), folded, true) } else { shaped(fixed, folded, false) }
}

fn identity(text: &str) -> Shaped {
    // Specks before and after it.
    let bare = text.trim_matches(|c: char| !c.is_alphanumeric());
    let specks = text.chars().count() - bare.chars().count();
    let text = bare;
    let is_number = |text: &str| all_digits(text) && matches!(text.len(), 9 | 12);
    let number = |part: &str| {
        let (fixed, folded) = digits_of(&without_blanks(part));
        if is_number(&fixed) {
            return (fixed, folded);
        }
        // One with a speck beside it that was read as a sign or two.
        let (numbers, others): (Vec<&str>, Vec<&str>) =
            part.split_whitespace().partition(|word| is_number(word));
        let are_specks = others.iter().all(|word| word.chars().count() <= 2);
        match numbers[..] {
            [number] if are_specks => (number.to_owned(), others.len()),
            _ => (fixed, folded),
        }
    };
    let parted = |strokes: &[char]| {
        let parts = text.split(strokes).map(number).filter(|(part, _)| !part.is_empty());
        let (numbers, folded): (Vec<String>, Vec<usize>) = parts.unzip();
        let all = !numbers.is_empty() && numbers.iter().all(|part| is_number(part));
        all.then(|| (numbers.join(" / "), folded.iter().sum::<usize>()))
    };
    let found = parted(&['/', ',', ';']).or_else(|| parted(&['/', ',', ';', '-', '|']));
    let Some((numbers, folded)) = found else { return shaped(text.to_owned(), 0, false) };
    if text.contains([',', ';']) && !text.contains(['/', '-', '|']) {
        return shaped(text.to_owned(), 0, true);
    }
    // What stands in place of a stroke, or beside it, was misread.
    let others = text.chars().filter(|c| matches!(c, ',' | ';' | '-' | '|')).count();
    shaped(numbers, folded + specks + others, true)
}

/// Where a date stands in a text that may hold a time too: from and to, in characters.
pub fn find_date(text: &str) -> Option<(usize, usize)> {
    let chars: Vec<char> = text.chars().collect();
    (0..chars.len().saturating_sub(9)).find_map(|start| {
        let window: String = chars.get(start..start + 10)?.iter().collect();
        let free = |index: Option<usize>| {
            index.and_then(|i| chars.get(i)).is_none_or(|c| !c.is_ascii_digit())
        };
        (date_parts(&window).is_some() && free(start.checked_sub(1)) && free(Some(start + 10)))
            .then_some((start, start + 10))
    })
}

/// Hours, minutes and seconds and a date in either order, with what parts them.
fn time(text: &str) -> Shaped {
    let mut folded = 0;
    let mut words: Vec<&str> = text.split_whitespace().flat_map(around_dash).collect();
    // A speck between the two that was read as a mark.
    if let [both] = words[..]
        && let Some((clock, date)) = both.split_once([',', '.', ';', '\'', '_'])
        && is_clock(clock)
        && date_parts(date).is_some()
    {
        words = vec![clock, date];
        folded = 1;
    }
    let mut dates = 0;
    let mut clocks = 0;
    let mut fixed = Vec::new();
    for word in words {
        let (digits, count) = digits_of(word);
        if date_parts(&digits).is_some() || date(word).valid {
            let dated = date(word);
            folded += dated.folded;
            dates += 1;
            fixed.push(dated.text);
        } else if is_clock(&digits) {
            folded += count;
            clocks += 1;
            fixed.push(digits);
        } else if let colons = digits.replace([',', '.', ';'], ":")
            && is_clock(&colons)
        {
            folded += count + 1;
            clocks += 1;
            fixed.push(colons);
        } else if is_dash(word) && fixed.last().is_some_and(|last| is_dash(last)) {
            folded += 1;
        } else {
            fixed.push(word.to_owned());
        }
    }
    // Specks before and after it are none of it.
    let is_part = |word: &String| {
        is_dash(word) || is_clock(word) || date_parts(word).is_some() || word.chars().count() > 3
    };
    let from = fixed.iter().position(is_part).unwrap_or(0);
    let to = fixed.iter().rposition(is_part).map_or(fixed.len(), |last| last + 1);
    let mut specks = fixed.iter().enumerate().filter(|(at, _)| !(from..to).contains(at));
    let is_digit = |c: char| c.is_ascii_digit();
    if dates == 1 && (clocks == 1 || specks.all(|(_, word)| !word.contains(is_digit))) {
        folded += fixed.len() - (to - from);
        fixed = fixed.drain(from..to).collect();
    }
    // A speck before or after all is no dash between two things.
    while fixed.len() > dates + clocks && fixed.last().is_some_and(|word| is_dash(word)) {
        fixed.pop();
        folded += 1;
    }
    while fixed.len() > dates + clocks && fixed.first().is_some_and(|word| is_dash(word)) {
        fixed.remove(0);
        folded += 1;
    }
    let dashes = fixed.iter().filter(|word| is_dash(word)).count();
    let valid = dates == 1 && clocks <= 1 && dates + clocks + dashes == fixed.len();
    shaped(fixed.join(" "), folded, valid)
}

/// A clock and a date with the dash between them, around which the blanks were not read.
fn around_dash(word: &str) -> Vec<&str> {
    let is_part = |part: &str| part.is_empty() || is_clock(part) || date_parts(part).is_some();
    match word.split_once(['-', '–']) {
        Some((first, second)) if is_part(first) && is_part(second) => {
            [first, "-", second].into_iter().filter(|part| !part.is_empty()).collect()
        }
        _ => vec![word],
    }
}

fn is_dash(word: &str) -> bool {
    matches!(word, "-" | "–" | "." | "," | "'")
}

/// HH:MM or HH:MM:SS.
pub fn is_clock(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', 'h']).collect();
    let limit = |index| if index == 0 { 24 } else { 60 };
    (2..=3).contains(&parts.len())
        && parts.iter().enumerate().all(|(index, part)| {
            all_digits(part) && part.len() <= 2 && part.parse().is_ok_and(|n: u32| n < limit(index))
        })
}

/// Characters beside a code that can be specks.
const MOST_JUNK: usize = 4;

fn digits(text: &str, count: usize) -> Shaped {
    let plain = without_blanks(text);
    let (fixed, folded) = digits_of(&plain);
    let bare = fixed.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let valid = all_digits(&bare) && bare.len() == count;
    if valid {
        return shaped(bare, folded, true);
    }
    // So many digits and a speck or two beside them that was read as something.
    let mut runs = plain.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() == count);
    let junk = plain.chars().count().saturating_sub(count);
    match (runs.next(), runs.next()) {
        (Some(run), None) if junk <= MOST_JUNK => shaped(run.to_owned(), junk, true),
        _ => shaped(plain, 0, false),
    }
}

fn count(text: &str) -> Shaped {
    let read = amount(text);
    let bare = read.text.trim_end_matches(['.', ')']).to_owned();
    let valid = all_digits(&bare) && bare.len() <= 5;
    if valid { shaped(bare, read.folded, true) } else { shaped(text.to_owned(), 0, false) }
}

impl Shape {
    /// Puts a text into the shape, as far as it can be.
    pub fn put(self, text: &str) -> Shaped {
        match self {
            Self::Words | Self::Lender => shaped(text.to_owned(), 0, !text.is_empty()),
            Self::Amount => amount(text),
            Self::Count => count(text),
            Self::Digits(length) => digits(text, length),
            Self::Date => date(text),
            Self::Month => month(text),
            Self::Time => time(text),
            Self::Identity => identity(text),
            Self::Answer => shaped(text.to_owned(), 0, matches!(text, "Y" | "N")),
        }
    }

    /// Whether a text could be a value of this shape, some misread characters allowed.
    pub fn resembles(self, text: &str) -> bool {
        let read = self.put(text);
        if read.valid {
            return true;
        }
        let plain = without_blanks(text);
        let length = plain.chars().count();
        let figures = plain.chars().filter(|c| c.is_ascii_digit()).count();
        let alphas = plain.chars().filter(|c| c.is_alphabetic()).count();
        let strokes = plain.chars().filter(|c| matches!(c, '/' | '-' | '.')).count();
        match self {
            Self::Words | Self::Lender => true,
            Self::Amount => figures > 0 && figures > alphas && strokes == 0 && length <= 16,
            Self::Count => figures > 0 && alphas <= 1 && length <= 4,
            Self::Digits(count) => {
                length.abs_diff(count) <= 2 && figures + 2 >= length && strokes == 0
            }
            Self::Date => (9..=11).contains(&length) && figures >= 6 && alphas <= 2,
            Self::Month => (6..=8).contains(&length) && figures >= 4 && alphas <= 1 && strokes > 0,
            Self::Time => figures >= 6,
            Self::Identity => figures >= 7,
            Self::Answer => length <= 6,
        }
    }
}

/// `Y` or `N` for a mark on paper; none for what is no mark.
pub fn answer(text: &str) -> Option<&'static str> {
    let plain = without_blanks(text);
    match plain.trim_matches(['[', ']', '(', ')', '.']) {
        "☑" | "☒" | "✓" | "✔" | "✗" | "✘" | "x" | "X" | "v" | "V" | "Y" | "y" => {
            return Some("Y");
        }
        "☐" | "□" | "N" | "n" => return Some("N"),
        "" if !plain.is_empty() => return Some("N"),
        _ => {}
    }
    match super::words::fold(&plain).as_str() {
        "co" | "c0" | "yes" | "dung" => Some("Y"),
        "khong" | "no" | "kh0ng" => Some("N"),
        key if super::words::similarity(key, "khong") >= 0.6 => Some("N"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(shape: Shape, text: &str) -> (String, usize, bool) {
        let read = shape.put(text);
        (read.text, read.folded, read.valid)
    }

    #[test]
    fn amounts_are_printed_with_commas() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(printed), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(parted("1425").as_deref(), Some("1,425"));
        assert_eq!(["425", "1,425", "1.425", "(-)"].map(parted), [const { None }; 4]);
    }

    #[test]
    fn amount_keeps_its_printed_thousands() {
        assert_eq!(put(Shape::Amount, "1,234,567"), ("1,234,567".to_owned(), 0, true));
        assert_eq!(put(Shape::Amount, "0"), ("0".to_owned(), 0, true));
        assert_eq!(put(Shape::Amount, "(-)"), ("(-)".to_owned(), 0, true));
    }

    #[test]
    fn amount_loses_blanks_and_reads_look_alikes_as_digits() {
        assert_eq!(put(Shape::Amount, "1, 2O4"), ("1,204".to_owned(), 1, true));
        assert_eq!(put(Shape::Amount, "O"), ("0".to_owned(), 1, true));
    }

    #[test]
    fn zero_with_a_speck_above_or_below_it_is_one() {
        for zero in ["Ọ", "Ò", "Ở", "ô"] {
            assert_eq!(put(Shape::Amount, zero), ("0".to_owned(), 1, true));
            assert_eq!(put(Shape::Count, zero), ("0".to_owned(), 1, true));
        }
        assert_eq!(put(Shape::Amount, "2Ọ"), ("20".to_owned(), 1, true));
        assert!(!put(Shape::Amount, "Ộp").2);
    }

    #[test]
    fn two_strokes_are_eleven() {
        for strokes in ["II", "lI", "|1"] {
            assert_eq!(put(Shape::Amount, strokes).0, "11", "{strokes}");
            assert!(put(Shape::Amount, strokes).1 > 0);
        }
        assert!(!put(Shape::Amount, "IV").2);
    }

    #[test]
    fn date_with_one_of_its_strokes_has_both() {
        for read in ["28401/2015", "28.01/2015", "28/01-2015"] {
            assert_eq!(put(Shape::Date, read), ("28/01/2015".to_owned(), 1, true), "{read}");
        }
        assert_eq!(put(Shape::Date, "28.01.2015"), ("28.01.2015".to_owned(), 0, true));
        assert!(!put(Shape::Date, "39401/2015").2);
    }

    #[test]
    fn date_amid_specks_stands_about_its_strokes() {
        assert_eq!(put(Shape::Date, "0602/05/2026"), ("02/05/2026".to_owned(), 2, true));
        assert_eq!(put(Shape::Date, "02/05/20261"), ("02/05/2026".to_owned(), 1, true));
        assert_eq!(put(Shape::Date, "ọ20/04/2015"), ("20/04/2015".to_owned(), 1, true));
        assert!(!put(Shape::Date, "42/05/2026 1").2);
        assert!(!put(Shape::Date, "LD/2020/02/05/2026").2, "a contract's number is no date");
    }

    #[test]
    fn time_whose_blank_was_read_as_a_mark_has_both_its_parts() {
        let time = ("20:20:57 26/06/2025".to_owned(), 1, true);
        assert_eq!(put(Shape::Time, "20:20:57,26/06/2025"), time);
    }

    #[test]
    fn sides_of_a_broken_zero_are_one() {
        assert_eq!(put(Shape::Amount, "()"), ("0".to_owned(), 2, true));
        assert_eq!(put(Shape::Count, "()"), ("0".to_owned(), 2, true));
        assert_eq!(put(Shape::Amount, "(-)").0, "(-)");
    }

    #[test]
    fn letter_beside_an_amount_is_no_speck_for_sure() {
        assert_eq!(put(Shape::Amount, "1G"), ("16".to_owned(), 1, true));
        assert_eq!(put(Shape::Amount, "440T"), ("440".to_owned(), 1, true));
        assert_eq!(put(Shape::Amount, "1,494-"), ("1,494".to_owned(), 0, true));
    }

    #[test]
    fn amount_with_broken_thousands_is_kept_and_counts_as_invalid() {
        assert_eq!(put(Shape::Amount, "1,23"), ("1,23".to_owned(), 0, false));
        assert_eq!(number("1,23"), None);
    }

    #[test]
    fn missing_figure_survives_misread_brackets() {
        assert_eq!(put(Shape::Amount, "(–)").0, "(-)");
        assert_eq!(put(Shape::Amount, "(-).").0, "(-)");
        assert_eq!(number("(-)"), None);
        assert_eq!(number("9,223,372,036,854,775,807"), None);
    }

    #[test]
    fn words_are_never_taken_for_digits() {
        assert!(!put(Shape::Amount, "Sol").2);
        assert!(!put(Shape::Digits(8), "SIOBLISO").2);
    }

    #[test]
    fn code_keeps_its_leading_zero_and_needs_all_its_digits() {
        assert_eq!(put(Shape::Digits(8), "0l348OO2"), ("01348002".to_owned(), 3, true));
        assert_eq!(put(Shape::Digits(8), "0134802"), ("0134802".to_owned(), 0, false));
    }

    #[test]
    fn date_must_be_a_day_that_exists() {
        assert!(put(Shape::Date, "29/02/2024").2);
        assert!(!put(Shape::Date, "29/02/2023").2);
        assert_eq!(put(Shape::Date, "21/08l2021"), ("21/08/2021".to_owned(), 1, true));
        assert_eq!(put(Shape::Date, "21 /08/ 2021"), ("21/08/2021".to_owned(), 0, true));
    }

    #[test]
    fn time_is_kept_in_the_printed_order() {
        for text in ["14:39 - 20/05/2024", "14:39:05 20/05/2024", "20/05/2024"] {
            assert_eq!(put(Shape::Time, text), (text.to_owned(), 0, true));
        }
        assert_eq!(
            put(Shape::Time, "14:39 - 20/O5/2024"),
            ("14:39 - 20/05/2024".to_owned(), 1, true)
        );
    }

    #[test]
    fn specks_beside_a_value_are_dropped_and_counted() {
        assert_eq!(put(Shape::Date, "23/11/2015."), ("23/11/2015".to_owned(), 1, true));
        assert_eq!(put(Shape::Amount, "1,494-").0, "1,494");
        assert_eq!(put(Shape::Digits(10), "0255932690.-1,"), ("0255932690".to_owned(), 4, true));
        assert_eq!(put(Shape::Digits(10), "0855300115g"), ("0855300115".to_owned(), 1, true));
        assert!(!put(Shape::Digits(8), "0134800256").2, "a longer number is another one");
        let time = ("09:21:51 - 15/10/2022".to_owned(), 1, true);
        assert_eq!(put(Shape::Time, "09:21:51 - 15/10/2022 -"), time);
        assert_eq!(put(Shape::Time, "09:21:51 - - 15/10/2022"), time);
        assert_eq!(put(Shape::Time, "- 15/10/2022"), ("15/10/2022".to_owned(), 1, true));
        assert_eq!(put(Shape::Time, "07,00:12 16/04/2022").0, "07:00:12 16/04/2022");
        for narrow in ["09:21-15/10/2022", "09:21- 15/10/2022", "09:21 -15/10/2022"] {
            assert_eq!(put(Shape::Time, narrow), ("09:21 - 15/10/2022".to_owned(), 0, true));
        }
        assert_eq!(put(Shape::Time, "09:21 15-10-2022").0, "09:21 15-10-2022");
        let time = ("09:21:51 - 15/10/2022".to_owned(), 2, true);
        assert_eq!(put(Shape::Time, "0 09:21:51 - 15/10/2022 /\\J"), time);
        assert!(!put(Shape::Time, "09 21 51 15/10/2022").2, "a clock that lost its colons");
    }

    #[test]
    fn identities_are_joined_as_printed() {
        assert!(put(Shape::Identity, "079129940620 / 107882018").2);
        assert_eq!(put(Shape::Identity, "079129940620/ 107882018").0, "079129940620 / 107882018");
        assert!(!put(Shape::Identity, "12345").2);
        let two = "079129940620 / 107882018".to_owned();
        for (read, folded) in [
            ("079129940620 - 107882018", 1),
            ("079129940620| 107882018", 1),
            ("079129940620 /,107882018", 1),
            ("079129940620 / 107882018 7", 1),
        ] {
            assert_eq!(put(Shape::Identity, read), (two.clone(), folded, true), "{read}");
        }
        let commas = "079129940620, 107882018";
        assert_eq!(put(Shape::Identity, commas), (commas.to_owned(), 0, true));
        assert_eq!(put(Shape::Identity, "07912|940620").0, "079121940620");
        assert!(!put(Shape::Identity, "07912994062 - 107882018").2);
        assert_eq!(put(Shape::Identity, "958130172899;°"), ("958130172899".to_owned(), 2, true));
    }

    #[test]
    fn marks_become_yes_or_no() {
        for yes in ["☑", "☒", "✓", "x", "Có", "Y", "co"] {
            assert_eq!(answer(yes), Some("Y"), "{yes}");
        }
        for no in ["☐", "Không", "N", "[ ]", "Khóng"] {
            assert_eq!(answer(no), Some("N"), "{no}");
        }
        assert_eq!(answer("45"), None);
    }

    #[test]
    fn date_is_found_beside_a_time() {
        assert_eq!(find_date("14:39 20/05/2024"), Some((6, 16)));
        assert_eq!(find_date("S11A"), None);
    }
}
