//! An answer for people: scalars and tables in columns, each with its confidence.

use std::fmt::{self, Write};

use cic_kiosk::report::schema::{Answer, Cell, ErrorCode, Field, Report, Table};

/// Writes an answer.
pub fn write(answer: &Answer, into: &mut String) -> fmt::Result {
    let meta = answer.meta.clone().unwrap_or_default();
    if answer.error != ErrorCode::Success {
        let detail = meta.detail.unwrap_or_default();
        return writeln!(into, "error {}: {detail}", answer.error.digit());
    }
    for (index, report) in answer.reports.iter().enumerate() {
        if answer.reports.len() > 1 {
            writeln!(into, "report {} of {}", index + 1, answer.reports.len())?;
        }
        write_report(report, into)?;
    }
    let passed = meta.checks.iter().filter(|check| check.passed).count();
    writeln!(into, "pages         {}", meta.pages)?;
    writeln!(into, "confidence    {:.3} (the lowest)", meta.confidence)?;
    writeln!(into, "cross-checks  {passed} of {} passed", meta.checks.len())?;
    for check in meta.checks.iter().filter(|check| !check.passed) {
        writeln!(into, "  failed: {} ({})", check.name, check.fields.join(", "))?;
    }
    match &meta.needs_review[..] {
        [] => writeln!(into, "to review     nothing"),
        names => writeln!(into, "to review     {}", names.join(", ")),
    }
}

fn write_report(report: &Report, into: &mut String) -> fmt::Result {
    let scalars = Field::ALL.map(|field| {
        let value = report.scalar(field);
        let confidence = value.is_present().then_some(value.confidence);
        vec![field.name().to_owned(), value.text.clone(), percent(confidence)]
    });
    write_columns(&scalars, into)?;
    for table in Table::ALL {
        let rows = &report.table(table).rows;
        if rows.is_empty() {
            continue;
        }
        writeln!(into, "\n{}", table.name())?;
        let mut lines = vec![header(table)];
        lines.extend(rows.iter().flat_map(|row| lines_of(row)));
        write_columns(&lines, into)?;
    }
    writeln!(into)
}

/// The cells' names, in the contract's order.
fn header(table: Table) -> Vec<String> {
    let names: &[&str] = match table {
        Table::LoanDetails => &["no", "code", "lender", "debts", "", "total"],
        Table::CreditCardInfo => &["limit", "to pay", "overdue", "cards"],
        Table::OutstandingLoans => &["loans", "cards", "total"],
        Table::BadDebt => &["last date", "group", "amount", "no", "lender"],
        Table::LatePayments => &["late", "longest delay", "times"],
        Table::LoanGuarantee => &["collaterals", "lenders"],
        Table::CreditContract => &["signed", "ends"],
        Table::CustomersLookUp => &["code", "product", "date"],
    };
    names.iter().copied().chain(["confidence"]).map(str::to_owned).collect()
}

/// A row as printed lines: one, or as many as it has debts.
fn lines_of(row: &[Cell]) -> Vec<Vec<String>> {
    let height = row
        .iter()
        .map(|cell| if let Cell::Debts(debts) = cell { debts.len() } else { 1 })
        .max()
        .unwrap_or(1)
        .max(1);
    let lowest = row.iter().filter_map(Cell::confidence).reduce(f32::min);
    (0..height)
        .map(|index| {
            let mut line = Vec::new();
            for cell in row {
                match cell {
                    Cell::Plain(value) if index == 0 => line.push(value.text.clone()),
                    Cell::Plain(_) => line.push(String::new()),
                    Cell::Debts(debts) => {
                        let debt = debts.get(index);
                        line.push(debt.map_or_else(String::new, |debt| debt.name.clone()));
                        line.push(debt.map_or_else(String::new, |debt| debt.amount.text.clone()));
                    }
                }
            }
            line.push(if index == 0 { percent(lowest) } else { String::new() });
            line
        })
        .collect()
}

fn percent(confidence: Option<f32>) -> String {
    confidence.map_or_else(String::new, |confidence| format!("{:.1} %", confidence * 100.0))
}

/// Columns two blanks apart, each as wide as its widest entry. Composed Vietnamese letters are one
/// character and one column wide.
pub fn write_columns(lines: &[Vec<String>], into: &mut String) -> fmt::Result {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let entries = lines.iter().filter_map(|line| line.get(column));
        entries.map(|entry| entry.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for line in lines {
        let mut text = String::new();
        for (entry, &width) in line.iter().zip(&widths) {
            write!(text, "{entry:width$}  ")?;
        }
        writeln!(into, "{}", text.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cic_kiosk::report::schema::{Check, Debt, Meta, Value};

    use super::*;

    fn value(text: &str) -> Value {
        Value { text: text.to_owned(), confidence: 0.987, ..Value::default() }
    }

    fn text(answer: &Answer) -> String {
        let mut text = String::new();
        write(answer, &mut text).unwrap();
        text
    }

    #[test]
    fn debts_stand_one_below_the_other_beside_their_lender() {
        let mut report = Report::default();
        let debt = |name: &str, amount| Debt { name: name.to_owned(), amount: value(amount) };
        report.table_mut(Table::LoanDetails).rows = vec![vec![
            Cell::Plain(value("1")),
            Cell::Plain(value("01201001")),
            Cell::Plain(value("Ngân hàng")),
            Cell::Debts(vec![debt("Dư nợ dài hạn", "70"), debt("Dư nợ cần chú ý", "8")]),
            Cell::Plain(value("78")),
        ]];
        let text = text(&Answer::success(vec![report], Meta::default()));
        let lines: Vec<_> = text.lines().skip_while(|line| *line != "loan_details").collect();
        assert_eq!(
            lines[1..4],
            [
                "no  code      lender     debts                total  confidence",
                "1   01201001  Ngân hàng  Dư nợ dài hạn    70  78     98.7 %",
                "                         Dư nợ cần chú ý  8",
            ]
        );
    }

    #[test]
    fn failed_checks_are_named_with_their_values() {
        let check = |name: &str, passed| Check {
            name: name.to_owned(),
            passed,
            fields: vec!["credit_score".to_owned(), "credit_rank".to_owned()],
        };
        let meta = Meta {
            checks: vec![check("score_rank", false), check("months", true)],
            needs_review: vec!["credit_rank".to_owned()],
            ..Meta::default()
        };
        let text = text(&Answer::success(vec![Report::default()], meta));
        assert!(text.contains("1 of 2 passed\n  failed: score_rank (credit_score, credit_rank)\n"));
        assert!(text.ends_with("to review     credit_rank\n"));
    }

    #[test]
    fn error_is_one_line_with_its_digit_and_sentence() {
        let meta = Meta { detail: Some("The file is empty.".to_owned()), ..Meta::default() };
        assert_eq!(
            text(&Answer::failure(ErrorCode::BadInput, meta)),
            "error 3: The file is empty.\n"
        );
    }
}
