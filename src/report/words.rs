//! Compares what was read with known wordings: blind to accents, case, blanks and punctuation, and
//! tolerant of misread letters.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The letters and digits of a text without accents and in lower case: "Điểm tín dụng:" becomes
/// "diemtindung". The D with a stroke folds to d in both its forms, U+0110 and the U+00D0 that
/// CIC's own text has in places.
pub fn fold(text: &str) -> String {
    text.nfd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| if matches!(c, 'đ' | 'ð') { 'd' } else { c })
        .filter(|c| c.is_alphanumeric())
        .collect()
}

/// Composed letters, with the Icelandic eth that stands for Đ in CIC's text put right.
pub fn compose(text: &str) -> String {
    text.nfc()
        .map(|c| match c {
            'Ð' => 'Đ',
            'ð' => 'đ',
            other => other,
        })
        .collect()
}

/// Levenshtein's distance between two folded texts: row by row, 64 cells of a row at once, each told
/// by whether it is one more or one less than the cell before (Hyyrö, "A bit-vector algorithm for
/// computing Levenshtein and Damerau edit distances", 2003).
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let words = b.chunks(64);
    // Of each 64 letters: where a cell is above the one before it, and where below.
    let mut columns: Vec<(u64, u64)> = vec![(u64::MAX, 0); words.len()];
    let mut distance = b.len();
    for x in a.chars() {
        // What the row's first cell is more than that of the row before: one.
        let (mut more, mut less) = (1, 0);
        for (word, (up, down)) in words.clone().zip(&mut columns) {
            let same = word.iter().rev().fold(0, |same, y| same << 1 | u64::from(x == *y));
            let last = word.len() - 1;
            let across = same | *down;
            let same = same | less;
            let diagonal = ((same & *up).wrapping_add(*up) ^ *up) | same;
            let (mut plus, mut minus) = (*down | !(diagonal | *up), *up & diagonal);
            let (plus_out, minus_out) = (plus >> last & 1, minus >> last & 1);
            plus = plus << 1 | more;
            minus = minus << 1 | less;
            (*up, *down) = (minus | !(across | plus), plus & across);
            (more, less) = (plus_out, minus_out);
        }
        distance = distance + more as usize - less as usize;
    }
    distance
}

/// 1 for equal texts, 0 for texts without anything in common.
pub fn similarity(a: &str, b: &str) -> f32 {
    let (short, long) = {
        let (m, n) = (a.chars().count(), b.chars().count());
        (m.min(n), m.max(n))
    };
    if long == 0 {
        return 0.0;
    }
    // The lengths alone bound what is possible.
    if short * 2 < long {
        return 0.0;
    }
    1.0 - distance(a, b) as f32 / long as f32
}

/// The best similarity of a folded text to any of the (folded) wordings.
pub fn best(key: &str, wordings: &[&str]) -> f32 {
    let length = key.chars().count();
    wordings.iter().fold(0.0, |best: f32, wording| {
        // Texts of other lengths differ by that much at least.
        let other = wording.chars().count();
        let bound = length.min(other) as f32 / length.max(other).max(1) as f32;
        if bound > best { best.max(similarity(key, wording)) } else { best }
    })
}

/// Whether a folded text begins with a wording, give or take a misread letter in six.
pub fn begins_with(key: &str, wording: &str) -> bool {
    let length = wording.chars().count();
    let slack = length / 6;
    let head: Vec<char> = key.chars().take(length + slack).collect();
    (length.saturating_sub(slack)..=head.len()).any(|end| {
        let prefix: String = head.iter().take(end).collect();
        distance(&prefix, wording) <= slack
    })
}

/// Whether a text has a word in small letters without a vowel, which no Vietnamese one is: a reader
/// overlooks a slim "i" however sure it is of its neighbours.
pub(super) fn lacks_a_vowel(text: &str) -> bool {
    text.split(|c: char| !c.is_alphabetic()).any(|word| {
        word.chars().nth(1).is_some()
            && word.chars().any(char::is_lowercase)
            && !fold(word).contains(['a', 'e', 'i', 'o', 'u', 'y'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_small_letters_have_a_vowel() {
        for broken in ["Lnh", "Công ty Tài chnh", "Bnh- CN Huế"] {
            assert!(lacks_a_vowel(broken), "{broken}");
        }
        for whole in ["Ỷ Lan", "NH TMCP QMZZ", "Đ. Lý, P. 5", "Sỹ", "R20"] {
            assert!(!lacks_a_vowel(whole), "{whole}");
        }
    }

    #[test]
    fn fold_drops_accents_case_blanks_and_punctuation() {
        assert_eq!(fold("  Mã số  CIC: "), "masocic");
        assert_eq!(fold("DƯ NỢ ĐÃ BÁN (VAMC)"), "dunodabanvamc");
    }

    #[test]
    fn fold_reads_the_eth_of_cics_text_as_a_d() {
        assert_eq!(fold("ÐIỂM TÍN DỤNG"), fold("ĐIỂM TÍN DỤNG"));
    }

    #[test]
    fn fold_treats_composed_and_decomposed_letters_alike() {
        assert_eq!(fold("Ti\u{0323}\u{0302}n"), fold("Tịn"));
    }

    #[test]
    fn distance_counts_single_letter_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn distance_is_that_of_the_table_however_long_the_texts() {
        fn by_cells(a: &[char], b: &[char]) -> usize {
            let mut row: Vec<usize> = (0..=b.len()).collect();
            for (i, x) in a.iter().enumerate() {
                let mut diagonal = row[0];
                row[0] = i + 1;
                for (j, y) in b.iter().enumerate() {
                    let cell = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
                    diagonal = row[j + 1];
                    row[j + 1] = cell;
                }
            }
            row[b.len()]
        }
        let mut state = 1u32;
        let mut text = |letters: u32, length: usize| -> String {
            let letter = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(b'a' + (state >> 16 & 0xff) as u8 % letters as u8)
            };
            (0..length).map(letter).collect()
        };
        for length in [1, 2, 31, 63, 64, 65, 127, 128, 129, 200] {
            for other in [0, 1, 40, 64, 65, 150] {
                let (a, b) = (text(3, other), text(3, length));
                let [x, y] = [&a, &b].map(|it| it.chars().collect::<Vec<char>>());
                assert_eq!(distance(&a, &b), by_cells(&x, &y), "{a} {b}");
                assert_eq!(distance(&b, &a), by_cells(&x, &y), "{b} {a}");
            }
        }
    }

    #[test]
    fn similarity_tolerates_misread_letters_and_refuses_other_words() {
        assert!(similarity("thongtindinhdanh", "th0ngtindlnhdanh") > 0.85);
        assert!(similarity("diemtindung", "diachi") < 0.5);
    }

    #[test]
    fn a_beginning_is_found_with_a_letter_misread() {
        assert!(begins_with("tongcongcactctd", "tongcong"));
        assert!(begins_with("tangcongcactctd", "tongcong"));
        assert!(!begins_with("tonghanmuc", "tongcong"));
    }
}
