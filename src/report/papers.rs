//! Tells which paper a page begins. CIC has many forms, and papers that are not CIC's land on the
//! glass, too: their values must not end up in a report, and a person should hear what was seen.
//!
//! A paper is told by the head of its first page: the code of its form where that is named as one,
//! and its title in capitals. Codes inside a table, as in the list of look-ups, say nothing.

use super::sections::{self, Outline};
use super::strip::{Piece, Strip, rows};
use super::words;

/// A kind of paper.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paper {
    /// The code of CIC's form; none for papers of others.
    pub code: Option<&'static str>,
    /// What it is, for a person.
    pub name: &'static str,
    /// Whether it holds a report that is read.
    pub is_read: bool,
    /// Folded beginnings of its title.
    titles: &'static [&'static str],
}

const fn form(
    code: &'static str,
    name: &'static str,
    is_read: bool,
    titles: &'static [&'static str],
) -> Paper {
    Paper { code: Some(code), name, is_read, titles }
}

const fn other(name: &'static str, titles: &'static [&'static str]) -> Paper {
    Paper { code: None, name, is_read: false, titles }
}

/// CIC's report on a company. Its title is that on a person; a line below says whom it is about.
const COMPANY: Paper = form("S10A", "CIC's report on a company (S10A)", false, &[]);

/// A report on a person whose form is not named.
const REPORT: Paper = form("S11A", "CIC's report on a person (S11A)", true, sections::TITLES);

const FORMS: &[Paper] = &[
    REPORT,
    form("S11T", "CIC's report on a person (S11T)", true, &[]),
    form("K11.1", "CIC's report that a person asks for (K11.1)", true, &[]),
    COMPANY,
    form(
        "S37",
        "CIC's warning about a customer (S37)",
        false,
        &["baocaocanhbao", "thongtincanhbao", "canhbaokhachhang", "canhbaotindung"],
    ),
    form(
        "R14",
        "CIC's report on a card holder (R14)",
        false,
        &["thongtinchuthe", "baocaochuthe", "baocaothongtinchuthe", "baocaovechuthe"],
    ),
    form(
        "R20",
        "CIC's report on collateral (R20)",
        false,
        &["baocaotaisan", "baocaothongtintaisan", "baocaovetaisan"],
    ),
];

const OTHERS: &[Paper] = &[
    other("an identity card", &["cancuoccongdan", "chungminhnhandan", "thecancuoc"]),
    other("a passport", &["hochieupassport"]),
    other("a contract", &["hopdongtindung", "hopdongvay", "hopdongthechap", "hopdongmuaban"]),
    other("a bank statement", &["saoketaikhoan", "saokegiaodich", "sophutaikhoan"]),
    other("an invoice", &["hoadongiatrigiatang", "hoadonbanhang", "hoadondientu"]),
    other("an application", &["giaydenghi", "dondenghi", "donxin"]),
    other("a power of attorney", &["giayuyquyen"]),
    other("a tax return", &["tokhaithue"]),
];

/// Whom a report on a company is about.
const COMPANIES: [&str; 3] = ["phapnhan", "doanhnghiep", "tochuckinhte"];

/// What stands before the code of a form.
const LABELS: [&str; 5] = ["maphieu", "masophieu", "mausophieu", "loaiphieu", "mauso"];

/// A whole title must resemble its wording at least so much.
const ALIKE: f32 = 0.75;

/// Rows of a page that can be its head.
const HEAD: usize = 14;

/// The paper that begins on a page; none where the page goes on with another one's, and none that
/// is known by name.
pub(super) fn begins(page: &Strip, outline: &Outline) -> Option<&'static Paper> {
    let rows = rows(&page.pieces);
    let head: Vec<&Vec<&Piece>> = rows
        .iter()
        .take(HEAD)
        .take_while(|row| row.first().is_some_and(|piece| piece.y() < outline.first_heading))
        .take_while(|row| row.len() < 3 || is_labelled(row))
        .collect();
    // A title can resemble a heading, and then it is there that the form is named.
    let heading = rows.get(head.len()).filter(|row| capitals(row).is_some());
    let named = head.iter().copied().chain(heading).find_map(|row| form_named(row));
    let titles: Vec<String> = head.iter().filter_map(|row| capitals(row)).collect();
    // A title that was misread in places may begin like that of another form, but is as a whole most
    // like its own.
    let is_title = |title: &String, paper: &Paper| {
        words::best(title, paper.titles) > ALIKE
            || paper.titles.iter().any(|start| words::begins_with(title, start))
    };
    let titled = |paper: &&Paper| titles.iter().any(|title| is_title(title, paper));
    let is_about_company = || {
        let about = |title: &String| COMPANIES.iter().any(|word| title.contains(word));
        titled(&&REPORT) && titles.iter().any(about)
    };
    if let Some(form) = named {
        return Some(form);
    }
    if is_about_company() {
        return Some(&COMPANY);
    }
    // What has a heading of a report on it is no paper of others, whatever it says on top, and no
    // other form whose title was misread: the heads of two lines can be read as one.
    let has_title = |paper: &Paper| {
        let mut starts = paper.titles.iter();
        starts.any(|start| titles.iter().any(|title| title.starts_with(start)))
    };
    FORMS
        .iter()
        .find(titled)
        .filter(|form| form.is_read || outline.headings.is_empty() || has_title(form))
        .or_else(|| {
            OTHERS.iter().find(titled).filter(|_| outline.headings.is_empty() && !outline.begins)
        })
}

fn is_labelled(row: &[&Piece]) -> bool {
    row.iter().any(|piece| LABELS.iter().any(|label| words::begins_with(&piece.key, label)))
}

/// The form that a row of the head names: beside a label, in a title, or in the paper's number.
fn form_named(row: &[&Piece]) -> Option<&'static Paper> {
    let is_number = |piece: &&Piece| piece.key.starts_with("so") && piece.text.contains('/');
    let in_bracket = |piece: &&Piece| piece.key.contains("maphieu") || piece.key.contains("mauso");
    let fits = is_labelled(row)
        || capitals(row).is_some()
        || row.first().is_some_and(|piece| is_number(piece) || in_bracket(piece));
    let codes: Vec<String> = row
        .iter()
        .flat_map(|piece| piece.text.split(|c: char| !c.is_alphanumeric() && c != '.'))
        .map(canonical)
        .collect();
    let named = |form: &&Paper| form.code.is_some_and(|code| codes.contains(&canonical(code)));
    FORMS.iter().find(named).filter(|_| fits)
}

/// A code with what a reader confuses made alike.
fn canonical(code: &str) -> String {
    let alike = |(place, c): (usize, char)| match c {
        'O' | 'o' | 'Q' | 'D' => '0',
        'I' | 'l' | 'i' | '|' => '1',
        '5' if place == 0 => 'S',
        c => c.to_ascii_uppercase(),
    };
    code.trim_matches('.').chars().enumerate().map(alike).collect()
}

/// The folded text of a row that is one line in capitals.
fn capitals(row: &[&Piece]) -> Option<String> {
    let [piece] = row else { return None };
    let letters: Vec<char> = piece.text.chars().filter(|c| c.is_alphabetic()).collect();
    let capitals = letters.iter().filter(|c| c.is_uppercase()).count();
    (letters.len() >= 6 && capitals * 10 >= letters.len() * 6).then(|| piece.key.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::strip;

    fn code(lines: &[(&str, f32, f32)]) -> Option<&'static str> {
        paper(lines).and_then(|paper| paper.code)
    }

    fn paper(lines: &[(&str, f32, f32)]) -> Option<&'static Paper> {
        let page = strip(lines);
        begins(&page, &sections::outline(&page))
    }

    #[test]
    fn report_is_told_by_its_title() {
        let title = "BÁO CÁO CHI TIẾT QUAN HỆ TÍN DỤNG";
        assert_eq!(
            code(&[("NGÂN HÀNG NHÀ NƯỚC VIỆT NAM", 100.0, 60.0), (title, 300.0, 100.0)]),
            Some("S11A")
        );
        assert_eq!(
            code(&[("THÔNG TIN TÍN DỤNG KHÁCH HÀNG VAY CÁ NHÂN", 300.0, 100.0)]),
            Some("S11A")
        );
    }

    #[test]
    fn title_is_told_from_another_that_begins_alike_by_all_of_it() {
        assert_eq!(code(&[("BẢO CÁO CHI THI 1 QUAN HI/ TÍN DNG", 300.0, 100.0)]), Some("S11A"));
        assert_eq!(code(&[("BÁO CÁO CHỦ THẺ", 300.0, 100.0)]), Some("R14"));
    }

    #[test]
    fn page_of_a_report_is_no_other_form_where_the_line_on_top_was_misread() {
        let top = ("BÁO CÁO CHI TẾT QUANN VÈ TI SẢN VÀ HỢP ĐỒNG", 300.0, 60.0);
        assert_eq!(code(&[top]), Some("R14"));
        let heading = ("3.1. Thông tin về đảm bảo tiền vay", 60.0, 100.0);
        assert_eq!(code(&[top, heading]), None);
        assert_eq!(code(&[("BÁO CÁO CHỦ THẺ", 300.0, 60.0), heading]), Some("R14"));
    }

    #[test]
    fn form_is_told_by_its_code_where_that_is_named_as_one() {
        let title = ("BÁO CÁO CHI TIẾT QUAN HỆ TÍN DỤNG", 300.0, 100.0);
        assert_eq!(code(&[title, ("(mã phiếu S11T)", 400.0, 130.0)]), Some("S11T"));
        assert_eq!(code(&[title, ("Số: 2026/S1OA", 400.0, 130.0)]), Some("S10A"));
        assert_eq!(code(&[("BÁO CÁO 537", 400.0, 100.0)]), Some("S37"));
        let labelled = [
            ("Người tra cứu:", 60.0, 100.0),
            ("A", 200.0, 100.0),
            ("Mã số phiếu:", 500.0, 100.0),
            ("R14", 640.0, 100.0),
        ];
        assert_eq!(code(&labelled), Some("R14"));
    }

    #[test]
    fn title_that_resembles_a_heading_names_its_form() {
        let title = "THÔNG TIN CHỦ THẺ TÍN DỤNG (mã phiếu R14)";
        let above = ("TRUNG TÂM THÔNG TIN TÍN DỤNG QUỐC GIA VIỆT NAM", 100.0, 60.0);
        assert_eq!(code(&[above, (title, 300.0, 100.0)]), Some("R14"));
    }

    #[test]
    fn report_on_a_company_has_the_title_of_one_on_a_person() {
        let title = ("BÁO CÁO CHI TIẾT QUAN HỆ TÍN DỤNG", 300.0, 100.0);
        assert_eq!(code(&[title, ("KHÁCH HÀNG VAY PHÁP NHÂN", 400.0, 130.0)]), Some("S10A"));
        assert_eq!(code(&[title, ("KHÁCH HÀNG VAY THỂ NHÂN", 400.0, 130.0)]), Some("S11A"));
    }

    #[test]
    fn code_in_a_table_says_nothing() {
        let rows = [
            ("Việt Nam", 200.0, 60.0),
            ("S37", 620.0, 60.0),
            ("79307001", 60.0, 90.0),
            ("Ngân hàng TMCP Á Châu", 200.0, 90.0),
            ("R14", 620.0, 90.0),
            ("R20", 620.0, 120.0),
        ];
        assert_eq!(paper(&rows), None);
        assert_eq!(
            paper(&[("2.1. Chi tiết về nợ vay", 60.0, 60.0), ("(mã phiếu S37)", 60.0, 90.0)]),
            None
        );
    }

    #[test]
    fn papers_of_others_are_named_where_nothing_is_of_a_report() {
        assert_eq!(paper(&[("HỢP ĐỒNG TÍN DỤNG", 300.0, 100.0)]).unwrap().name, "a contract");
        let heading = ("1.1. Thông tin nhận dạng", 60.0, 140.0);
        assert_eq!(paper(&[("CĂN CƯỚC CÔNG DÂN", 60.0, 100.0), heading]), None);
        assert_eq!(
            paper(&[("Hợp đồng tín dụng", 300.0, 100.0)]),
            None,
            "no title: not in capitals"
        );
    }
}
