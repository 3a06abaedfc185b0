//! Lenders that are known by name. The list is never complete: a lender that is not in it is no
//! error.

use super::lexicon;
use super::schema::Value;
use super::strip::Piece;
use super::words;

/// Codes and names. Those at the end have no known code.
pub(super) const LENDERS: &[(&str, &str)] = &[
    ("01201001", "Ngân hàng TMCP Công thương Việt Nam"),
    ("01202001", "Ngân hàng TMCP Đầu tư và Phát triển Việt Nam"),
    ("01203001", "Ngân hàng TMCP Ngoại thương Việt Nam"),
    ("01204001", "Ngân hàng Nông nghiệp và Phát triển Nông thôn Việt Nam"),
    ("01302001", "Ngân hàng TMCP Hàng Hải Việt Nam"),
    ("01309001", "Ngân hàng TMCP Việt Nam Thịnh Vượng"),
    ("01310001", "Ngân hàng TMCP Kỹ thương Việt Nam"),
    ("01311001", "Ngân hàng TMCP Quân đội"),
    ("01317001", "Ngân hàng TMCP Đông Nam Á"),
    ("01323002", "Ngân hàng TMCP An Bình"),
    ("01341001", "Ngân hàng TMCP Thịnh vượng và Phát triển"),
    ("01348002", "Ngân hàng TMCP Sài Gòn - Hà Nội"),
    ("01352002", "Ngân hàng TMCP Quốc Dân"),
    ("01357001", "Ngân hàng TMCP Lộc Phát Việt Nam"),
    ("01358001", "Ngân hàng TMCP Tiên Phong"),
    ("01359001", "Ngân hàng TMCP Bảo Việt"),
    ("01661001", "Ngân hàng TNHH MTV CIMB Việt Nam"),
    ("01663001", "Ngân hàng TNHH MTV Woori Việt Nam"),
    ("79303001", "Ngân hàng TMCP Sài Gòn Thương Tín"),
    ("79305001", "Ngân hàng TMCP Xuất Nhập khẩu Việt Nam"),
    ("79306001", "Ngân hàng TMCP Nam Á"),
    ("79307001", "Ngân hàng TMCP Á Châu"),
    ("79308001", "Ngân hàng TMCP Sài Gòn Công thương"),
    ("79314013", "Ngân hàng TMCP Quốc tế Việt Nam"),
    ("79321001", "Ngân hàng TMCP Phát triển Thành phố Hồ Chí Minh"),
    ("79327001", "Ngân hàng TMCP Bản Việt"),
    ("79333001", "Ngân hàng TMCP Phương Đông"),
    ("79334001", "Ngân hàng TMCP Sài Gòn"),
    ("79353001", "Ngân hàng TMCP Kiên Long"),
    ("79502001", "Ngân hàng TNHH Indovina"),
    ("79603001", "Ngân hàng TNHH MTV Hong Leong Việt Nam"),
    ("79616001", "Ngân hàng TNHH MTV Shinhan Việt Nam"),
    ("", "Công ty Tài chính TNHH MTV Home Credit Việt Nam"),
    ("", "Công ty Tài chính TNHH HD SAISON"),
    ("", "Công ty Tài chính TNHH MTV Mirae Asset (Việt Nam)"),
    ("", "Công ty Tài chính Cổ phần Tín Việt"),
    ("", "Công ty Tài chính TNHH MB SHINSEI"),
    ("", "Công ty Tài chính TNHH MTV Shinhan Việt Nam"),
    ("", "Công ty Tài chính TNHH MTV Lotte Việt Nam"),
    ("", "Ngân hàng Chính sách xã hội"),
    ("", "Quỹ tín dụng nhân dân"),
];

/// What names of lenders begin with, folded.
const KINDS: [&str; 7] =
    ["nganhang", "congty", "quytindung", "tochuctaichinh", "nhtmcp", "nhtnhh", "nhhoptac"];

/// What names of lenders and of their branches begin with, as it is spelt.
const PHRASES: [&str; 8] = [
    "Ngân hàng TMCP",
    "Ngân hàng TNHH",
    "Ngân hàng Hợp tác xã",
    "Ngân hàng Liên doanh",
    "Công ty Tài chính",
    "Công ty Cho thuê tài chính",
    "Tổ chức tài chính vi mô",
    "Chi nhánh",
];

/// Whether a line reads like the first one of a lender's name. A letter may be misread in a long
/// word: "nhánh H…" resembles "NH TNHH".
pub(super) fn begins(line: &Piece) -> bool {
    key_begins(&line.key)
}

/// The same of a line's folded text.
pub(super) fn key_begins(key: &str) -> bool {
    const LONG: usize = 8;
    KINDS.iter().any(|kind| match kind.len() < LONG {
        true => key.starts_with(kind),
        false => words::begins_with(key, kind),
    })
}

/// The value of a lender's name, a branch behind it or not.
pub(super) fn value(pieces: &[Piece]) -> Value {
    let names: Vec<&'static str> = LENDERS.iter().map(|(_, name)| *name).collect();
    let mut value = lexicon::value(&lexicon::with_phrases(pieces, &PHRASES), &names, false);
    value.text = without_specks(&value.text);
    if !branch_is_plain(&value.text) {
        value.confidence = value.confidence.min(DOUBTED);
    }
    if pieces.iter().any(Piece::is_from_picture) {
        if words::lacks_a_vowel(&value.text) {
            value.confidence = value.confidence.min(DOUBTED);
        }
        if let Some(name) = without_stray(&value.text) {
            value.text = name.to_owned();
            value.confidence = value.confidence.min(DOUBTED);
        }
        value.text = with_dash(&value.text).unwrap_or(value.text);
    }
    value
}

/// A name without the marks that no name has, between letters: specks.
fn without_specks(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let is_letter =
        |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| c.is_alphabetic());
    let kept: String = chars
        .iter()
        .enumerate()
        .map(|(at, c)| match c {
            '\\' | '~' | '_' | '=' | '·' => ' ',
            '/' if is_letter(at.checked_sub(1)) && is_letter(Some(at + 1)) => ' ',
            '.' if chars.get(at + 1) == Some(&'(') => ' ',
            c => *c,
        })
        .collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A name without the letter alone that stands before its first words.
fn without_stray(text: &str) -> Option<&str> {
    let (first, name) = text.split_once(' ')?;
    (first.chars().count() == 1 && key_begins(&words::fold(name))).then_some(name)
}

/// The confidence at most in a name of which something is missing or too much.
pub(super) const DOUBTED: f32 = 0.5;

/// A name with the dash before its branch, as it stands on the form: it is so small that it is
/// overlooked, above all at the end of a line.
fn with_dash(text: &str) -> Option<String> {
    let (lender, branch) = text.split_at_checked(branch_of(text)?)?;
    lender.trim_end().ends_with(char::is_alphanumeric).then(|| format!("{lender}- {branch}"))
}

/// Where a lender's branch begins that has a name.
fn branch_of(text: &str) -> Option<usize> {
    const BRANCHES: [&str; 3] = ["CN ", "PGD ", "Chi nhánh "];
    let begins = |rest: &str| BRANCHES.iter().any(|branch| rest.starts_with(branch));
    let words = text.match_indices(' ').map(|(blank, _)| blank + 1);
    words.into_iter().find(|&word| text.get(word..).is_some_and(begins))
}

/// Whether a dash stands before a lender's branch, and not another mark. And whether a branch has a
/// name, if it is one: that can stand in a line that was not taken for the lender's.
fn branch_is_plain(text: &str) -> bool {
    const NAMELESS: [&str; 4] = ["- CN", "- PGD", "- Chi", "- Chi nhánh"];
    if NAMELESS.iter().any(|end| text.ends_with(end)) {
        return false;
    }
    match branch_of(text).and_then(|branch| text.get(..branch)) {
        Some(lender) => lender.trim_end().ends_with('-'),
        None => !text.contains("nhánh"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{piece, strip};

    #[test]
    fn marks_that_no_name_has_are_specks() {
        let name = "Công ty Tài chính TNHH MTV Mirae Asset.(Việt Nam) - Chi/nhánh·Cử\\ Khật";
        let clean = "Công ty Tài chính TNHH MTV Mirae Asset (Việt Nam) - Chi nhánh Cử Khật";
        assert_eq!(without_specks(name), clean);
        for kept in ["NH TMCP H.D- CN Ea H'leo", "PGD 24/7", "Ngân hàng & Tài chính (Việt Nam)"]
        {
            assert_eq!(without_specks(kept), kept);
        }
    }

    #[test]
    fn first_words_are_completed_and_a_letter_before_them_is_dropped() {
        let (read, known) =
            ("Ngân hăng TMCP Lá - Chí nhánh Tạ", "Ngân hàng TMCP Lá - Chi nhánh Tạ");
        let completed = value(&[piece(read, known, 0.2)]);
        assert_eq!(completed.text, known);
        assert!(completed.confidence > 0.9);
        let stray = "N Ngân hàng TMCP Lá - Chi nhánh Tạ";
        let value = value(&[piece(stray, stray, 0.0)]);
        assert_eq!((value.text.as_str(), value.confidence), (known, DOUBTED));
    }

    #[test]
    fn name_with_a_word_that_is_none_is_doubted() {
        let confidence = |name| value(&[piece(name, name, 0.0)]).confidence;
        assert!(confidence("Ngân hàng TMCP Lnh- CN Huế") <= DOUBTED);
        assert!(confidence("Ngân hàng TMCP Lính- CN Huế") > 0.9);
    }

    #[test]
    fn first_line_of_a_lender_names_its_kind() {
        let is_first = |text: &str| begins(&strip(&[(text, 100.0, 100.0)]).pieces[0]);
        for first in ["Ngán hàng TMCP", "NH TNHH MTV", "Công ty Tài chính", "Quỹ tín dụng nhân"]
        {
            assert!(is_first(first), "{first}");
        }
        for other in ["nhánh Hải Châu", "nhánh Hợp Hoà", "PGD Kỳ Anh", "phần LQCHT - CN"]
        {
            assert!(!is_first(other), "{other}");
        }
    }

    #[test]
    fn branch_regains_its_dash_and_is_doubted() {
        let read = |text| value(&[piece(text, text, 0.0)]);
        let whole = "Ngân hàng TMCP Nam Á - CN Củ Chi";
        let value_of = read("Ngân hàng TMCP Nam Á CN Củ Chi");
        assert_eq!((value_of.text.as_str(), value_of.confidence), (whole, DOUBTED));
        assert_eq!((read(whole).text.as_str(), read(whole).confidence), (whole, 1.0));
        for other in ["Ngân hàng TMCP Nam Á : CN Củ Chi", "CN Củ Chi", "Ngân hàng TMCP CN"]
        {
            assert_eq!(read(other).text, other);
        }
        // What a document says in letters of its own is what is printed.
        let printed = strip(&[("Ngân hàng TMCP Nam Á CN Củ Chi", 0.0, 0.0)]);
        assert_eq!(value(&printed.pieces).text, "Ngân hàng TMCP Nam Á CN Củ Chi");
    }

    #[test]
    fn branch_without_its_dash_was_not_read_well() {
        for plain in [
            "Ngân hàng TMCP Nam Á - CN Củ Chi",
            "Ngân hàng TMCP Nam Á- Chi nhánh Huế",
            "Ngân hàng TMCP Nam Á",
        ] {
            assert!(branch_is_plain(plain), "{plain}");
        }
        for doubtful in [
            "Ngân hàng TMCP Nam Á CN Củ Chi",
            "Ngân hàng TMCP Nam Á : Chi nhánh Huế",
            "Ngân hàng TMCP Nam Á - Chi- nhánh Huế",
            "Ngân hàng TMCP Nam Á - Chi nhánh",
            "Ngân hàng TMCP Nam Á - Chi",
            "Ngân hàng TMCP Nam Á- CN",
        ] {
            assert!(!branch_is_plain(doubtful), "{doubtful}");
        }
    }
}
