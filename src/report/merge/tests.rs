//! Reports of two readers, of which one or the other is right.

use super::super::schema::Meta;
use super::*;

fn value(text: &str, confidence: f32, page: usize) -> Value {
    Value { text: text.to_owned(), bounds: Some([1, 2, 3, 4]), confidence, page: Some(page) }
}

fn cells(texts: &[&str], confidence: f32, page: usize) -> Vec<Cell> {
    texts.iter().map(|text| Cell::Plain(value(text, confidence, page))).collect()
}

/// A code and an identity on page 0, months on page 1, late payments on page 2. All checks pass.
fn report(confidence: f32) -> Report {
    let mut report = Report::default();
    *report.scalar_mut(Field::CicCode) = value("0184618475", confidence, 0);
    *report.scalar_mut(Field::ReportTime) = value("21/08/2021 10:00:00", confidence, 0);
    *report.scalar_mut(Field::CreditScore) = value("650", confidence, 0);
    *report.scalar_mut(Field::CreditRank) = value("1", confidence, 0);
    report.table_mut(Table::OutstandingLoans).rows =
        (0..12).map(|_| cells(&["1,000", "200", "1,200"], confidence, 1)).collect();
    report.table_mut(Table::LatePayments).rows = vec![cells(&["Y", "5", "1"], confidence, 2)];
    report
}

/// Elsewhere, and where its boxes are.
fn foreign(mut report: Report) -> Report {
    for name in Field::ALL {
        report.scalar_mut(name).bounds = Some([9; 4]);
        report.scalar_mut(name).page = None;
    }
    report
}

fn answer(report: Report) -> Answer {
    let months = Check { name: MONTHS.to_owned(), passed: true, fields: Vec::new() };
    let meta = Meta { pages: 3, checks: vec![months], ..Meta::default() };
    Answer::success(vec![report], meta)
}

fn options() -> Options {
    Options { confidence_cap: 0.95, review_below: 0.9, pages: None }
}

fn some_pages(pages: &[usize]) -> Options {
    Options { pages: Some(pages.iter().copied().collect()), ..options() }
}

fn set(report: &mut Report, field: Field, text: &str, confidence: f32) {
    let value = report.scalar_mut(field);
    (value.text, value.confidence) = (text.to_owned(), confidence);
}

fn set_cell(report: &mut Report, table: Table, [r, c]: [usize; 2], text: &str, confidence: f32) {
    let value = Place::Cell(table, r, c).value_mut(report).unwrap();
    (value.text, value.confidence) = (text.to_owned(), confidence);
}

fn cell(answer: &Answer, table: Table, [r, c]: [usize; 2]) -> (&str, f32) {
    let value = Place::Cell(table, r, c).value(&answer.reports[0]).unwrap();
    (&value.text, value.confidence)
}

fn scalar(answer: &Answer, field: Field) -> (&str, f32) {
    let value = answer.reports[0].scalar(field);
    (&value.text, value.confidence)
}

fn merged(local: Report, cloud: Report, options: &Options) -> Answer {
    merge(&answer(local), &[foreign(cloud)], options).expect("they are of the same paper")
}

#[test]
fn surer_value_is_given_and_the_services_is_capped() {
    let mut local = report(0.97);
    set(&mut local, Field::Address, "Số 8", 0.5);
    set(&mut local, Field::IdCard, "001084618475", 0.97);
    let mut cloud = report(0.999);
    set(&mut cloud, Field::Address, "Số 3", 0.999);
    set(&mut cloud, Field::IdCard, "001084618476", 0.999);
    let merged = merged(local, cloud, &options());
    assert_eq!(scalar(&merged, Field::Address), ("Số 3", 0.95));
    assert_eq!(scalar(&merged, Field::IdCard), ("001084618475", 0.97));
    assert_eq!(merged.meta.unwrap().source, Source::Merged);
}

#[test]
fn value_that_both_read_stays_and_is_as_sure_as_the_surer_one() {
    let mut local = report(0.97);
    set(&mut local, Field::Address, "Số 8", 0.5);
    let mut cloud = report(0.6);
    set(&mut cloud, Field::Address, " So\u{302}\u{301}  8 ", 0.93);
    let merged = merged(local, cloud, &options());
    assert_eq!(scalar(&merged, Field::Address), ("Số 8", 0.93));
    assert_eq!(scalar(&merged, Field::CicCode), ("0184618475", 0.97));
    assert_eq!(merged.meta.unwrap().source, Source::Local);
}

#[test]
fn value_keeps_the_place_that_it_had_here() {
    let mut local = report(0.5);
    set(&mut local, Field::CreditRankingDate, "", 0.0);
    local.scalar_mut(Field::CreditRankingDate).bounds = None;
    let mut cloud = report(0.9);
    set(&mut cloud, Field::Address, "Số 3", 0.9);
    set(&mut cloud, Field::CreditRankingDate, "20/08/2021", 0.9);
    set(&mut local, Field::Address, "Số 8", 0.5);
    local.scalar_mut(Field::Address).bounds = Some([5; 4]);
    local.scalar_mut(Field::Address).page = Some(0);
    let merged = merged(local, cloud, &options());
    let address = merged.reports[0].scalar(Field::Address);
    assert_eq!(
        (address.text.as_str(), address.bounds, address.page),
        ("Số 3", Some([5; 4]), Some(0))
    );
    let date = merged.reports[0].scalar(Field::CreditRankingDate);
    assert_eq!((date.bounds, date.page), (Some([9; 4]), None));
}

#[test]
fn value_without_its_shape_replaces_nothing_and_alone_is_for_review() {
    let mut local = report(0.5);
    set(&mut local, Field::CreditRank, "", 0.0);
    let mut cloud = report(0.9);
    set(&mut cloud, Field::CreditScore, "65O", 0.9);
    set(&mut cloud, Field::ReportTime, "yesterday", 0.9);
    set(&mut cloud, Field::CreditRank, "1st", 0.9);
    set_cell(&mut local, Table::LatePayments, [0, 1], "5", 0.1);
    set_cell(&mut cloud, Table::LatePayments, [0, 1], "5d", 0.9);
    let merged = merged(local, cloud, &options());
    assert_eq!(cell(&merged, Table::LatePayments, [0, 1]), ("5", 0.1));
    assert_eq!(scalar(&merged, Field::CreditScore), ("650", 0.5));
    assert_eq!(scalar(&merged, Field::ReportTime), ("21/08/2021 10:00:00", 0.5));
    let (rank, confidence) = scalar(&merged, Field::CreditRank);
    assert_eq!(rank, "1st");
    assert!((0.3..0.4).contains(&confidence), "{confidence}");
}

#[test]
fn what_only_the_service_has_stays_though_a_check_fails() {
    let mut local = report(0.95);
    local.table_mut(Table::OutstandingLoans).rows.clear();
    let mut cloud = report(0.9);
    set_cell(&mut cloud, Table::OutstandingLoans, [4, 2], "1,260", 0.9);
    set(&mut cloud, Field::CreditScore, "450", 0.95);
    set(&mut local, Field::CreditScore, "650", 0.8);
    let merged = merged(local, cloud, &options());
    assert_eq!(cell(&merged, Table::OutstandingLoans, [4, 2]).0, "1,260");
    assert_eq!(scalar(&merged, Field::CreditScore).0, "650");
    let checks = merged.meta.unwrap().checks;
    let failed: Vec<&str> =
        checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
    assert_eq!(failed, ["month_total"]);
}

#[test]
fn cells_of_the_same_rows_are_merged_one_by_one() {
    let mut local = report(0.97);
    set_cell(&mut local, Table::OutstandingLoans, [3, 0], "1,008", 0.4);
    let merged = merged(local, report(0.94), &options());
    assert_eq!(cell(&merged, Table::OutstandingLoans, [3, 0]), ("1,000", 0.94));
    assert_eq!(cell(&merged, Table::OutstandingLoans, [3, 1]), ("200", 0.97));
    assert_eq!(merged.meta.unwrap().needs_review, Vec::<String>::new());
}

#[test]
fn rows_that_are_not_the_same_are_taken_all_or_none() {
    let mut local = report(0.5);
    local.table_mut(Table::OutstandingLoans).rows.truncate(11);
    let merged = merged(local, report(0.4), &options());
    // Twelve months are right, however sure.
    assert_eq!(merged.reports[0].table(Table::OutstandingLoans).rows.len(), 12);

    let mut local = report(0.97);
    local.table_mut(Table::CreditContract).rows =
        vec![cells(&["01/02/2020", "01/02/2025"], 0.9, 2)];
    let mut cloud = report(0.9);
    let rows = vec![cells(&["05/06/2021", "07/08/2026"], 0.95, 2)];
    cloud.table_mut(Table::CreditContract).rows = rows.clone();
    let surer = self::merged(local.clone(), cloud.clone(), &options());
    assert_eq!(cell(&surer, Table::CreditContract, [0, 1]), ("07/08/2026", 0.95));
    set_cell(&mut cloud, Table::CreditContract, [0, 0], "05/06/2021", 0.2);
    let less_sure = self::merged(local.clone(), cloud.clone(), &options());
    assert_eq!(cell(&less_sure, Table::CreditContract, [0, 1]), ("01/02/2025", 0.9));
    set_cell(&mut cloud, Table::CreditContract, [0, 0], "45/06/2021", 0.95);
    let misshapen = self::merged(local.clone(), cloud.clone(), &options());
    assert_eq!(cell(&misshapen, Table::CreditContract, [0, 1]), ("01/02/2025", 0.9));
    local.table_mut(Table::CreditContract).rows.extend(rows.clone());
    cloud.table_mut(Table::CreditContract).rows = rows;
    let fewer = self::merged(local, cloud, &options());
    assert_eq!(fewer.reports[0].table(Table::CreditContract).rows.len(), 2);
}

#[test]
fn table_does_not_lose_columns_that_the_service_leaves_out() {
    let bad = |rows: &[&[&str]], confidence| {
        let mut report = report(0.95);
        let wide = |row: &&[&str]| {
            let mut row = cells(row, confidence, 2);
            row.resize(5, Cell::Plain(Value::default()));
            row
        };
        report.table_mut(Table::BadDebt).rows = rows.iter().map(wide).collect();
        report
    };
    let local = bad(&[&["21/08/2021", "3", "100", "1", "X"]], 0.5);
    let cloud = bad(&[&["21/08/2021", "3", "100"], &["22/08/2021", "4", "200"]], 0.9);
    let merged = merged(local.clone(), cloud, &options());
    assert_eq!(merged.reports[0].table(Table::BadDebt).rows, local.table(Table::BadDebt).rows);
}

#[test]
fn whatever_the_service_says_a_merge_holds_its_promises() {
    // A small generator: the same numbers each time, and no dependency.
    let mut state = 1_u64;
    let mut next = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let texts = ["", "0", "1,000", "1,2O0", "(-)", "Y", "N", "31/02/2021", "01/01/2021", "ABC"];
    for _ in 0..200 {
        let mut sides = [report(0.7), report(0.7)];
        for side in &mut sides {
            for _ in 0..next(12) {
                let (r, c) = (next(12), next(3));
                let (text, confidence) = (texts[next(10)], next(100) as f32 / 100.0);
                match next(4) {
                    0 => set(side, Field::ALL[2 + next(6)], text, confidence),
                    1 => set_cell(side, Table::LatePayments, [0, c], text, confidence),
                    _ => set_cell(side, Table::OutstandingLoans, [r, c], text, confidence),
                }
            }
            side.table_mut(Table::OutstandingLoans).rows.truncate(12 - next(3));
        }
        let [local, cloud] = sides;
        let theirs = [cloud];
        let Some(merged) = merge(&answer(local.clone()), &theirs, &options()) else { continue };
        let [cloud] = theirs;
        let [report] = &merged.reports[..] else { panic!("one report expected") };
        for (name, value) in report.values() {
            let is_of = |side: &Report| {
                side.values().iter().any(|(its, it)| *its == name && it.text == value.text)
            };
            assert!(is_of(&local) || is_of(&cloud), "{name} is of neither");
            assert!(is_of(&local) || value.confidence <= 0.95, "{name}: {}", value.confidence);
        }
        // Nothing that was read here is lost, except with the rows of a table that was replaced.
        for field in Field::ALL {
            assert!(!local.scalar(field).is_present() || report.scalar(field).is_present());
        }
        let meta = merged.meta.unwrap();
        for (name, value) in report.values() {
            assert_eq!(meta.needs_review.contains(&name), value.confidence < 0.9, "{name}");
        }
    }
}

#[test]
fn table_that_the_service_lacks_stays_and_one_that_it_alone_has_is_taken() {
    let mut local = report(0.3);
    local.table_mut(Table::LatePayments).rows.clear();
    let mut cloud = report(0.9);
    cloud.table_mut(Table::OutstandingLoans).rows.clear();
    let merged = merged(local, cloud, &options());
    assert_eq!(merged.reports[0].table(Table::OutstandingLoans).rows.len(), 12);
    assert_eq!(cell(&merged, Table::LatePayments, [0, 1]), ("5", 0.9));
}

#[test]
fn debts_are_merged_line_by_line_where_the_lines_are_the_same() {
    let debts = |lines: &[(&str, &str, f32)]| -> Cell {
        let debt = |&(name, amount, confidence): &(&str, &str, f32)| Debt {
            name: name.to_owned(),
            amount: value(amount, confidence, 0),
        };
        Cell::Debts(lines.iter().map(debt).collect())
    };
    let with = |lines: &[(&str, &str, f32)]| {
        let mut report = report(0.9);
        let mut row = cells(&["1", "01201001", "X", "", "30"], 0.9, 0);
        row[2] = Cell::Plain(Value::default());
        row[3] = debts(lines);
        report.table_mut(Table::LoanDetails).rows = vec![row];
        report
    };
    let amounts = |answer: &Answer| -> Vec<String> {
        let cell = &answer.reports[0].table(Table::LoanDetails).rows[0][3];
        let Cell::Debts(debts) = cell else { panic!("debts expected") };
        debts.iter().map(|debt| format!("{} {}", debt.name, debt.amount.text)).collect()
    };
    let local = with(&[("Ngắn", "18", 0.3), ("Dài", "20", 0.9)]);
    let same = merged(local.clone(), with(&[("Ngắn", "10", 0.8), ("Dài", "26", 0.8)]), &options());
    assert_eq!(amounts(&same), ["Ngắn 10", "Dài 20"]);
    let others = with(&[("Ngắn", "10", 0.8), ("Vừa", "12", 0.8), ("Dài", "8", 0.8)]);
    assert_eq!(amounts(&merged(local, others, &options())), ["Ngắn 10", "Vừa 12", "Dài 8"]);
}

#[test]
fn what_breaks_a_check_is_undone_alone() {
    let mut local = report(0.6);
    set(&mut local, Field::Address, "Số 8", 0.5);
    let mut cloud = report(0.9);
    set(&mut cloud, Field::Address, "Số 3", 0.9);
    set(&mut cloud, Field::CreditScore, "450", 0.9);
    set_cell(&mut cloud, Table::OutstandingLoans, [4, 2], "1,260", 0.9);
    set_cell(&mut cloud, Table::LatePayments, [0, 1], "0", 0.9);
    let merged = merged(local, cloud, &options());
    assert_eq!(scalar(&merged, Field::CreditScore).0, "650");
    assert_eq!(cell(&merged, Table::OutstandingLoans, [4, 2]), ("1,200", 0.6));
    assert_eq!(cell(&merged, Table::LatePayments, [0, 1]).0, "5");
    assert_eq!(scalar(&merged, Field::Address).0, "Số 3");
    assert!(merged.meta.unwrap().checks.iter().all(|check| check.passed));
}

#[test]
fn merge_never_makes_more_checks_fail_whatever_the_service_says() {
    // Each of the service's values in turn is another one of the right shape.
    let local = report(0.6);
    for place in places(Table::OutstandingLoans, &local.table(Table::OutstandingLoans).rows) {
        let mut cloud = report(0.9);
        place.value_mut(&mut cloud).unwrap().text = "7,777".to_owned();
        let merged = merged(local.clone(), cloud, &options());
        assert!(failures(&merged.reports[0]).is_empty(), "{}", place.name());
    }
    // And all of them at once.
    let mut cloud = report(0.9);
    for place in places(Table::OutstandingLoans, &local.table(Table::OutstandingLoans).rows) {
        if place.name().ends_with("[0]") || place.name().ends_with("[1]") {
            place.value_mut(&mut cloud).unwrap().text = "7,777".to_owned();
        }
    }
    let merged = merged(local, cloud, &options());
    assert!(failures(&merged.reports[0]).is_empty());
}

#[test]
fn merge_with_oneself_changes_nothing_but_the_meta() {
    let local = report(0.9);
    let merged = merged(local.clone(), local.clone(), &options());
    assert_eq!(merged.reports, [local]);
    assert_eq!(merged.meta.unwrap().source, Source::Local);
}

#[test]
fn months_check_stays_with_the_rows_that_it_was_made_of() {
    let has_months = |answer: &Answer| {
        answer.meta.as_ref().unwrap().checks.iter().any(|check| check.name == MONTHS)
    };
    let cell_by_cell = merged(report(0.5), report(0.9), &options());
    assert!(has_months(&cell_by_cell));
    let mut local = report(0.5);
    local.table_mut(Table::OutstandingLoans).rows.truncate(11);
    assert!(!has_months(&merged(local, report(0.9), &options())));
}

#[test]
fn of_pages_that_were_not_sent_nothing_is_taken() {
    let mut local = report(0.5);
    set_cell(&mut local, Table::OutstandingLoans, [0, 0], "1,008", 0.3);
    set_cell(&mut local, Table::LatePayments, [0, 2], "7", 0.3);
    set(&mut local, Field::CreditRank, "", 0.0);
    let merged = merged(local, report(0.9), &some_pages(&[2]));
    assert_eq!(cell(&merged, Table::LatePayments, [0, 2]).0, "1");
    assert_eq!(cell(&merged, Table::OutstandingLoans, [0, 0]).0, "1,008");
    assert_eq!(scalar(&merged, Field::CicCode), ("0184618475", 0.5));
}

#[test]
fn table_of_which_a_page_was_not_sent_stays() {
    let mut local = report(0.5);
    set_cell(&mut local, Table::OutstandingLoans, [0, 0], "1,008", 0.3);
    let last = Place::Cell(Table::OutstandingLoans, 11, 2);
    last.value_mut(&mut local).unwrap().page = Some(2);
    let with = |pages: &[usize]| {
        let merged = merged(local.clone(), report(0.9), &some_pages(pages));
        cell(&merged, Table::OutstandingLoans, [0, 0]).0.to_owned()
    };
    assert_eq!([with(&[1]), with(&[1, 2])], ["1,008", "1,000"]);
}

#[test]
fn pages_of_what_was_sent_become_those_of_the_document() {
    let mut local = report(0.5);
    local.table_mut(Table::LatePayments).rows[0][1] = Cell::Plain(Value::default());
    let mut cloud = report(0.9);
    Place::Cell(Table::LatePayments, 0, 1).value_mut(&mut cloud).unwrap().page = Some(1);
    let merged = merged(local, cloud, &some_pages(&[1, 2]));
    let value = Place::Cell(Table::LatePayments, 0, 1).value(&merged.reports[0]).unwrap();
    assert_eq!((value.text.as_str(), value.page), ("5", Some(2)));
}

#[test]
fn page_that_the_document_has_not_is_none() {
    let mut local = report(0.5);
    set(&mut local, Field::Address, "", 0.0);
    local.scalar_mut(Field::Address).page = None;
    let mut cloud = report(0.9);
    set(&mut cloud, Field::Address, "Số 3", 0.9);
    for (page, options) in [(3, options()), (1, some_pages(&[2]))] {
        cloud.scalar_mut(Field::Address).page = Some(page);
        let merged = merge(&answer(local.clone()), &[cloud.clone()], &options).unwrap();
        assert_eq!(merged.reports[0].scalar(Field::Address).text, "Số 3");
        assert_eq!(merged.reports[0].scalar(Field::Address).page, None);
    }
}

#[test]
fn reports_are_matched_by_customer_and_time_before_order() {
    let other = || {
        let mut report = report(0.5);
        set(&mut report, Field::CicCode, "0184618476", 0.5);
        report
    };
    let mut local = answer(report(0.5));
    local.reports.push(other());
    let mut named = report(0.9);
    set(&mut named, Field::Address, "Số 3", 0.9);
    for cloud in [vec![other(), named.clone()], vec![named.clone()]] {
        let merged = merge(&local, &cloud, &options()).unwrap();
        let address = |index: usize| merged.reports[index].scalar(Field::Address).text.as_str();
        assert_eq!([address(0), address(1)], ["Số 3", ""]);
    }
}

#[test]
fn report_of_another_paper_is_not_merged() {
    let mut cloud = report(0.99);
    set(&mut cloud, Field::CicCode, "0184618476", 0.99);
    set(&mut cloud, Field::ReportTime, "22/09/2022 11:11:11", 0.99);
    assert_eq!(merge(&answer(report(0.1)), &[cloud.clone()], &options()), None);
    set(&mut cloud, Field::ReportTime, "21/08/2021 10:00:00", 0.99);
    assert!(merge(&answer(report(0.1)), &[cloud.clone()], &options()).is_some());
    assert_eq!(merge(&answer(report(0.1)), &[cloud.clone(), cloud], &options()), None);
}

#[test]
fn where_no_report_was_found_all_is_the_services() {
    let meta = Meta { pages: 3, detail: Some("none".to_owned()), ..Meta::default() };
    let local = Answer::failure(ErrorCode::NoReport, meta);
    let merged = merge(&local, &[report(0.99)], &options()).unwrap();
    assert_eq!((merged.error, merged.reports.len()), (ErrorCode::Success, 1));
    let meta = merged.meta.unwrap();
    assert_eq!((meta.source, meta.confidence, meta.detail), (Source::Cloud, 0.95, None));
    assert!(!meta.checks.is_empty());
    assert_eq!(merge(&local, &[Report::default()], &options()), None);
}

#[test]
fn meta_is_of_the_merged_values_and_keeps_what_is_of_the_scan() {
    let mut local = answer(report(0.97));
    set(&mut local.reports[0], Field::CicCode, "0184618475", 0.5);
    set(&mut local.reports[0], Field::CreditRank, "1", 0.7);
    let meta = local.meta.get_or_insert_default();
    meta.needs_review = vec!["cic_code".to_owned(), "credit_rank".to_owned()];
    meta.scan_id = "01J".to_owned();
    let mut cloud = report(0.94);
    set(&mut cloud, Field::CreditRank, "1", 0.2);
    let meta = merge(&local, &[cloud], &options()).unwrap().meta.unwrap();
    assert_eq!(meta.needs_review, ["credit_rank"]);
    assert_eq!((meta.confidence, meta.scan_id.as_str(), meta.pages), (0.7, "01J", 3));
}
