//! Documents as they are laid in: other papers, several reports, pages out of order, twice or
//! missing. Their pages have a text layer, so no model takes part.

mod fixtures;

use std::fmt::Write;

use cic_kiosk::engine::{Engine, Options};
use cic_kiosk::page::{Files, Limits};
use cic_kiosk::report::schema::{Answer, ErrorCode, Field, MissingPage, OtherPaper, Table};
use fixtures::drawn_pdf;

/// A page of lines, each with its pieces at these points from the left.
fn page(lines: &[&[(u32, &str)]], number: &str) -> Vec<u8> {
    let mut content = format!("BT /F1 10 Tf 280 30 Td ({number}) Tj ET ");
    for (row, pieces) in lines.iter().enumerate() {
        for (left, text) in *pieces {
            let text = text.replace('(', "\\(").replace(')', "\\)");
            write!(content, "BT /F1 10 Tf {left} {} Td ({text}) Tj ET ", 760 - 20 * row)
                .expect("strings can be written to");
        }
    }
    drawn_pdf(&content)
}

fn first_page(code: &str, number: &str) -> Vec<u8> {
    page(
        &[
            &[(180, "BAO CAO CHI TIET QUAN HE TIN DUNG")],
            &[(60, "Don vi tra cuu:"), (220, "Ngan hang A")],
            &[(60, "Thoi gian gui bao cao:"), (220, "14:39 - 20/05/2024")],
            &[(60, "1. THONG TIN CHUNG VE KHACH HANG")],
            &[(60, "Ma so CIC:"), (220, code)],
            &[(60, "Dia chi:"), (220, "So 8 Pham Van Dong")],
        ],
        number,
    )
}

fn contracts(number: &str, years: [&str; 2]) -> Vec<u8> {
    let [from, to] = years.map(|year| format!("11/02/{year}"));
    page(
        &[
            &[(60, "3.2 Thong tin ve hop dong tin dung")],
            &[(60, "STT"), (200, "Ngay ky"), (400, "Ngay ket thuc")],
            &[(60, "1"), (200, &from), (400, &to)],
        ],
        number,
    )
}

fn look_ups(number: &str) -> Vec<u8> {
    page(
        &[
            &[(60, "4. DANH SACH TCTD TRA CUU THONG TIN QUAN HE TIN DUNG CUA KHACH HANG")],
            &[(60, "Ma TCTD"), (150, "Ten TCTD"), (350, "San pham"), (450, "Ngay tra cuu")],
            &[(60, "79307001"), (150, "Ngan hang A"), (350, "S37"), (450, "01/02/2024")],
        ],
        number,
    )
}

fn other(title: &str) -> Vec<u8> {
    page(&[&[(180, title)], &[(60, "Nguyen Van An")]], "")
}

fn read(pages: &[Vec<u8>]) -> Answer {
    let engine = Engine::new(Limits::default(), || Err("no model is needed".into()));
    engine.read(Files(pages.to_vec()), &Options::default(), &())
}

fn codes(answer: &Answer) -> Vec<&str> {
    answer.reports.iter().map(|report| &report.scalar(Field::CicCode).text[..]).collect()
}

fn rows(answer: &Answer, table: Table) -> Vec<usize> {
    answer.reports.iter().map(|report| report.table(table).rows.len()).collect()
}

#[test]
fn two_reports_in_one_document_are_two_entries() {
    let answer = read(&[
        first_page("0184618475", "1/2"),
        contracts("2/2", ["2021", "2026"]),
        first_page("7912345678", "1/2"),
        look_ups("2/2"),
    ]);
    assert_eq!(codes(&answer), ["0184618475", "7912345678"]);
    assert_eq!(rows(&answer, Table::CreditContract), [1, 0]);
    assert_eq!(rows(&answer, Table::CustomersLookUp), [0, 1]);
    let meta = answer.meta.unwrap();
    assert!(meta.page_order.is_empty() && meta.missing_pages.is_empty());
}

#[test]
fn pages_out_of_order_and_twice_are_put_right() {
    let answer = read(&[
        look_ups("3/3"),
        contracts("2/3", ["2021", "2026"]),
        contracts("2/3", ["2021", "2026"]),
        first_page("0184618475", "1/3"),
    ]);
    assert_eq!(codes(&answer), ["0184618475"]);
    assert_eq!(rows(&answer, Table::CreditContract), [1]);
    assert_eq!(rows(&answer, Table::CustomersLookUp), [1]);
    let report = &answer.reports[0];
    assert_eq!(report.scalar(Field::CicCode).page, Some(3), "pages are counted as they came");
    assert_eq!(answer.meta.unwrap().page_order, [3, 1, 0]);
}

#[test]
fn page_that_is_missing_is_said() {
    let answer = read(&[first_page("0184618475", "Trang 1/3"), look_ups("Trang 3/3")]);
    let missing = answer.meta.unwrap().missing_pages;
    assert_eq!(missing, [MissingPage { report: 0, page: 2 }]);
}

#[test]
fn papers_that_hold_no_report_are_named_and_nothing_is_read_of_them() {
    for (title, seems) in [
        ("BAO CAO CANH BAO KHACH HANG (S37)", "S37"),
        ("THONG TIN CHU THE TIN DUNG (ma phieu R14)", "R14"),
        ("BAO CAO TAI SAN BAO DAM (ma phieu R20)", "R20"),
        ("HOP DONG TIN DUNG", "a contract"),
        ("CAN CUOC CONG DAN", "an identity card"),
    ] {
        let answer = read(&[other(title)]);
        assert_eq!(answer.error, ErrorCode::NoReport, "{title}");
        let detail = answer.meta.unwrap().detail.unwrap();
        assert!(detail.contains(seems), "{title}: {detail}");
        assert!(!detail.contains("Nguyen"), "{detail}");
    }
}

#[test]
fn report_on_a_company_is_none_on_a_person() {
    let company = page(
        &[
            &[(180, "BAO CAO CHI TIET QUAN HE TIN DUNG")],
            &[(180, "KHACH HANG VAY PHAP NHAN")],
            &[(60, "1. THONG TIN CHUNG VE KHACH HANG")],
            &[(60, "Ma so CIC:"), (220, "0184618475")],
        ],
        "",
    );
    let answer = read(&[company]);
    assert_eq!(answer.error, ErrorCode::NoReport);
    assert!(answer.meta.unwrap().detail.unwrap().contains("S10A"));
}

#[test]
fn sections_of_the_other_forms_on_a_person_are_read_alike() {
    for title in ["BAO CAO THONG TIN TIN DUNG (S11T)", "THONG TIN TIN DUNG KHACH HANG VAY CA NHAN"]
    {
        let lines: &[&[(u32, &str)]] = &[
            &[(180, title)],
            &[(60, "1.1. Thong tin nhan dang")],
            &[(60, "Ma so CIC:"), (220, "0184618475")],
        ];
        assert_eq!(codes(&read(&[page(lines, "")])), ["0184618475"], "{title}");
    }
}

#[test]
fn paper_among_the_pages_of_a_report_does_not_get_into_it() {
    let answer = read(&[
        first_page("0184618475", ""),
        look_ups(""),
        page(
            &[
                &[(180, "BAO CAO CANH BAO KHACH HANG (ma phieu S37)")],
                &[(60, "79307001"), (150, "Ngan hang B"), (350, "S11A"), (450, "01/02/2024")],
            ],
            "",
        ),
    ]);
    assert_eq!(rows(&answer, Table::CustomersLookUp), [1]);
    let others = answer.meta.unwrap().other_papers;
    assert_eq!(others, [OtherPaper { page: 2, code: Some("S37".to_owned()) }]);
}
