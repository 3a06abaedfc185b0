//! How sure a value is: what the reader said of its characters, what its shape must be, and what
//! the paper's arithmetic says, brought to a calibrated scale.

use std::collections::HashMap;

use super::schema::{Cell, Check, Field, Report, Table, Value};
use super::shapes::Shape;

/// A monotone map from raw to calibrated confidence: points between which it is straight. Fitted
/// on generated pages by counting how often values of each raw confidence were right.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// (raw, calibrated), both rising, the first raw 0 and the last 1.
    pub points: &'static [(f32, f32)],
}

/// The map in use, fitted on 8,400 values of 70 generated scans, copies, faxes and photographs: the
/// raw confidence is nearly right, and a little too sure at its upper end.
pub const CALIBRATION: Calibration = Calibration {
    points: &[
        (0.0, 0.0),
        (0.1, 0.04),
        (0.5, 0.48),
        (0.9, 0.88),
        (0.98, 0.965),
        (0.995, 0.983),
        (0.999, 0.99),
        (0.9995, 0.994),
        (1.0, 0.999),
    ],
};

impl Calibration {
    /// The calibrated confidence for a raw one.
    pub fn apply(&self, raw: f32) -> f32 {
        let raw = raw.clamp(0.0, 1.0);
        self.points
            .windows(2)
            .find_map(|pair| match pair {
                [(x0, y0), (x1, y1)] if raw <= *x1 => {
                    let along = if x1 > x0 { (raw - x0) / (x1 - x0) } else { 1.0 };
                    Some(y0 + along * (y1 - y0))
                }
                _ => None,
            })
            .unwrap_or(raw)
    }
}

/// Share of the doubt that stays when an independent check agrees.
const AGREED: f32 = 0.25;
/// Share of the confidence that stays when a check disagrees: of the values concerned one is wrong,
/// and nothing says which.
const DISAGREED: f32 = 0.55;
/// Share of the confidence that stays when a value has not the shape that it must have.
pub(super) const MISSHAPEN: f32 = 0.4;

/// What a check's outcome says about the values it concerns.
#[derive(Clone, Copy, PartialEq)]
enum Weight {
    /// Agreement and disagreement both say much: sums and names.
    Both,
    /// Agreement is likely by chance, disagreement says much: digits counted, days that exist.
    Disagreement,
    /// Papers break it now and then: orders of dates.
    Neither,
}

fn weight(check: &str) -> Weight {
    match check {
        "lender_total" | "term_groups" | "month_total" | "lender_code_name" => Weight::Both,
        "score_rank" | "late_answer" | "cic_code_digits" | "id_card_digits"
        | "lender_code_digits" | "date_exists" => Weight::Disagreement,
        _ => Weight::Neither,
    }
}

/// The shape of a scalar.
pub(super) fn field_shape(field: Field, text: &str) -> Shape {
    match field {
        Field::ReportTime => Shape::Time,
        Field::CicCode => Shape::Digits(10),
        Field::IdCard => Shape::Identity,
        Field::CreditScore | Field::CreditRank => Shape::Count,
        Field::CreditRankingDate => Shape::Date,
        Field::Address => Shape::Words,
        Field::DebtSoldToVamc if text.chars().any(char::is_alphabetic) => Shape::Words,
        Field::DebtSoldToVamc => Shape::Amount,
    }
}

/// The shape of a table's column.
pub(super) fn column_shape(table: Table, column: usize) -> Shape {
    match (table, column) {
        (Table::LoanDetails, 0) | (Table::BadDebt, 1 | 3) => Shape::Count,
        (Table::LoanDetails, 1) | (Table::CustomersLookUp, 0) => Shape::Digits(8),
        (Table::LoanDetails, 2) | (Table::BadDebt, 4) => Shape::Lender,
        (Table::CustomersLookUp, 1) => Shape::Words,
        (Table::BadDebt, 0) | (Table::CreditContract, _) | (Table::CustomersLookUp, _) => {
            Shape::Date
        }
        (Table::LatePayments, 0) => Shape::Answer,
        (Table::LatePayments | Table::LoanGuarantee, _) | (Table::CreditCardInfo, 3) => {
            Shape::Count
        }
        _ => Shape::Amount,
    }
}

/// Turns the readers' confidences into calibrated ones.
pub(super) fn settle(report: &mut Report, checks: &[Check]) {
    let mut evidence: HashMap<&str, (bool, bool)> = HashMap::new();
    for check in checks {
        let weight = weight(&check.name);
        for field in &check.fields {
            let (agreed, disagreed) = evidence.entry(field.as_str()).or_default();
            *agreed |= check.passed && weight == Weight::Both;
            *disagreed |= !check.passed && weight != Weight::Neither;
        }
    }
    let settle = |name: &str, shape: Shape, value: &mut Value| {
        if !value.is_present() {
            return;
        }
        let mut raw = value.confidence;
        if !shape.put(&value.text).valid {
            raw *= MISSHAPEN;
        }
        let (agreed, disagreed) = evidence.get(name).copied().unwrap_or_default();
        if disagreed {
            raw *= DISAGREED;
        } else if agreed {
            raw = 1.0 - (1.0 - raw) * AGREED;
        }
        value.confidence = CALIBRATION.apply(raw);
    };
    for field in Field::ALL {
        let value = report.scalar_mut(field);
        let shape = field_shape(field, &value.text);
        settle(field.name(), shape, value);
    }
    for table in Table::ALL {
        for (r, row) in report.table_mut(table).rows.iter_mut().enumerate() {
            for (c, cell) in row.iter_mut().enumerate() {
                let name = format!("{}[{r}][{c}]", table.name());
                match cell {
                    Cell::Plain(value) => settle(&name, column_shape(table, c), value),
                    Cell::Debts(debts) => {
                        for (d, debt) in debts.iter_mut().enumerate() {
                            settle(&format!("{name}[{d}]"), Shape::Amount, &mut debt.amount);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(text: &str, raw: f32, checks: &[Check]) -> f32 {
        let mut report = Report::default();
        *report.scalar_mut(Field::CicCode) =
            Value { text: text.to_owned(), confidence: raw, ..Value::default() };
        settle(&mut report, checks);
        report.scalar(Field::CicCode).confidence
    }

    fn check(name: &str, passed: bool) -> Check {
        Check { name: name.to_owned(), passed, fields: vec!["cic_code".to_owned()] }
    }

    #[test]
    fn calibration_is_straight_between_its_points() {
        let map = Calibration { points: &[(0.0, 0.0), (0.5, 0.8), (1.0, 1.0)] };
        assert_eq!(map.apply(0.25), 0.4);
        assert_eq!(map.apply(0.75), 0.9);
        assert_eq!(map.apply(2.0), 1.0);
    }

    #[test]
    fn value_without_its_shape_is_doubted() {
        assert!(settled("0184618475", 0.9, &[]) > settled("018461847", 0.9, &[]));
    }

    #[test]
    fn agreement_raises_and_disagreement_lowers() {
        let alone = settled("0184618475", 0.8, &[]);
        assert!(settled("0184618475", 0.8, &[check("month_total", true)]) > alone);
        assert!(settled("0184618475", 0.8, &[check("month_total", false)]) < alone);
    }

    #[test]
    fn counted_digits_prove_nothing_by_being_right() {
        let alone = settled("0184618475", 0.8, &[]);
        assert_eq!(settled("0184618475", 0.8, &[check("cic_code_digits", true)]), alone);
    }

    #[test]
    fn order_of_dates_says_nothing_about_a_value() {
        let alone = settled("0184618475", 0.8, &[]);
        assert_eq!(settled("0184618475", 0.8, &[check("looked_up_before_report", false)]), alone);
    }
}
