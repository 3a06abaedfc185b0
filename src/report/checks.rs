//! The cross-checks that the paper allows: each is evidence on its values that does not come from
//! the reader.

use super::lenders::LENDERS;
use super::schema::{Cell, Check, Field, Report, Table, Value};
use super::shapes::{self, date_parts, month_parts, number};
use super::words;

/// Scores of each rank, from 1 to 10.
const RANKS: [(i64, i64); 10] = [
    (645, 706),
    (623, 644),
    (609, 622),
    (588, 608),
    (567, 587),
    (545, 566),
    (480, 544),
    (455, 479),
    (435, 454),
    (403, 434),
];

/// Provinces as in the first three digits of a 12-digit identity; a CIC code begins with the
/// last two.
const PROVINCES: [u32; 63] = [
    1, 2, 4, 6, 8, 10, 11, 12, 14, 15, 17, 19, 20, 22, 24, 25, 26, 27, 30, 31, 33, 34, 35, 36, 37,
    38, 40, 42, 44, 45, 46, 48, 49, 51, 52, 54, 56, 58, 60, 62, 64, 66, 67, 68, 70, 72, 74, 75, 77,
    79, 80, 82, 83, 84, 86, 87, 89, 91, 92, 93, 94, 95, 96,
];

/// All checks that the report's values allow. `months` are the names of the rows of
/// `outstanding_loans`, which the API does not return.
pub(super) fn checks(report: &Report, months: &[String]) -> Vec<Check> {
    let mut checks = Checks { report, found: Vec::new() };
    checks.scalars();
    checks.loans();
    checks.months(months);
    checks.dates();
    checks.codes();
    checks.late();
    checks.found
}

struct Checks<'a> {
    report: &'a Report,
    found: Vec<Check>,
}

fn plain(cell: Option<&Cell>) -> &str {
    cell.and_then(Cell::plain).map_or("", |value| value.text.as_str())
}

/// A date as one number that grows with time.
fn day(text: &str) -> Option<u32> {
    date_parts(text).map(|(day, month, year)| year * 10_000 + month * 100 + day)
}

impl Checks<'_> {
    fn note(&mut self, name: &str, passed: bool, fields: Vec<String>) {
        self.found.push(Check { name: name.to_owned(), passed, fields });
    }

    fn value(&self, field: Field) -> &Value {
        self.report.scalar(field)
    }

    fn rows(&self, table: Table) -> &[Vec<Cell>] {
        &self.report.table(table).rows
    }

    fn report_day(&self) -> Option<u32> {
        let text = &self.value(Field::ReportTime).text;
        let (from, to) = shapes::find_date(text)?;
        day(&text.chars().skip(from).take(to - from).collect::<String>())
    }

    fn scalars(&mut self) {
        let all_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let code = self.value(Field::CicCode).text.clone();
        if !code.is_empty() {
            let name = Field::CicCode.name().to_owned();
            let fits = code.len() == 10 && all_digits(&code);
            self.note("cic_code_digits", fits, vec![name.clone()]);
            if let Some(Ok(province)) = code.get(..2).map(str::parse).filter(|_| fits) {
                self.note("cic_code_province", PROVINCES.contains(&province), vec![name]);
            }
        }
        let identity = self.value(Field::IdCard).text.clone();
        if !identity.is_empty() {
            let name = Field::IdCard.name().to_owned();
            let parts: Vec<&str> = identity.split('/').map(str::trim).collect();
            let fits = parts.iter().all(|p| matches!(p.len(), 9 | 12) && all_digits(p));
            self.note("id_card_digits", fits, vec![name.clone()]);
            let provinces: Vec<u32> = parts
                .iter()
                .filter(|part| part.len() == 12)
                .filter_map(|part| part.get(..3)?.parse().ok())
                .collect();
            if !provinces.is_empty() {
                let known = provinces.iter().all(|province| PROVINCES.contains(province));
                self.note("id_card_province", known, vec![name]);
            }
        }
        let score = number(&self.value(Field::CreditScore).text);
        let rank = number(&self.value(Field::CreditRank).text);
        if let (Some(score), Some(rank)) = (score, rank) {
            let range = usize::try_from(rank - 1).ok().and_then(|rank| RANKS.get(rank));
            let fits = range.is_some_and(|(low, high)| (*low..=*high).contains(&score));
            let fields = [Field::CreditScore, Field::CreditRank];
            let fields = fields.map(|field| field.name().to_owned()).to_vec();
            self.note("score_rank", fits, fields);
        }
    }

    fn loans(&mut self) {
        for r in 0..self.rows(Table::LoanDetails).len() {
            let Some([_, _, _, Cell::Debts(debts), total]) =
                self.rows(Table::LoanDetails).get(r).map(Vec::as_slice)
            else {
                continue;
            };
            let name = Table::LoanDetails.name();
            let amounts: Vec<Option<i64>> =
                debts.iter().map(|debt| number(&debt.amount.text)).collect();
            let groups: Vec<bool> = debts.iter().map(|debt| is_group(&debt.name)).collect();
            let total = number(plain(Some(total)));
            let cell = |d: usize| format!("{name}[{r}][3][{d}]");
            let terms: Vec<usize> =
                (0..debts.len()).filter(|d| groups.get(*d) == Some(&false)).collect();
            let sum = |indices: &[usize]| -> Option<i64> {
                indices.iter().map(|d| amounts.get(*d).copied().flatten()).sum()
            };
            let mut notes = Vec::new();
            if let (Some(total), Some(owed), false) = (total, sum(&terms), terms.is_empty()) {
                let mut fields: Vec<String> = terms.iter().map(|d| cell(*d)).collect();
                fields.push(format!("{name}[{r}][4]"));
                notes.push(("lender_total", total == owed, fields));
            }
            for (t, &term) in terms.iter().enumerate() {
                let end = terms.get(t + 1).copied().unwrap_or(debts.len());
                let under: Vec<usize> = (term + 1..end).collect();
                let own = amounts.get(term).copied().flatten();
                if let (Some(own), Some(parts), false) = (own, sum(&under), under.is_empty()) {
                    let fields = std::iter::once(term).chain(under).map(cell).collect();
                    notes.push(("term_groups", own == parts, fields));
                }
            }
            for (name, passed, fields) in notes {
                self.note(name, passed, fields);
            }
        }
    }

    fn months(&mut self, months: &[String]) {
        let name = Table::OutstandingLoans.name();
        let rows = self.rows(Table::OutstandingLoans).len();
        if rows == 0 {
            return;
        }
        self.note("twelve_months", rows == 12, Vec::new());
        let parts: Vec<_> = months.iter().map(|month| month_parts(month)).collect();
        let down = parts.windows(2).all(|pair| match pair {
            [Some((month, year)), Some((before, its_year))] => {
                year * 12 + month == its_year * 12 + before + 1
            }
            _ => false,
        });
        self.note("months_in_a_row", down && parts.len() == rows, Vec::new());
        for r in 0..rows {
            let Some([loans, cards, total]) =
                self.rows(Table::OutstandingLoans).get(r).map(Vec::as_slice)
            else {
                continue;
            };
            let texts = [loans, cards, total].map(|cell| plain(Some(cell)));
            let fields = (0..3).map(|c| format!("{name}[{r}][{c}]")).collect();
            if let [Some(loans), Some(cards), Some(total)] = texts.map(number) {
                self.note("month_total", loans + cards == total, fields);
            } else if texts.contains(&"(-)") {
                self.note("month_total", texts.iter().all(|text| *text == "(-)"), fields);
            }
        }
    }

    fn dates(&mut self) {
        let report_day = self.report_day();
        let time = Field::ReportTime.name().to_owned();
        if !self.value(Field::ReportTime).text.is_empty() {
            self.note("date_exists", report_day.is_some(), vec![time.clone()]);
        }
        let ranked = self.value(Field::CreditRankingDate).text.clone();
        if !ranked.is_empty() {
            let name = Field::CreditRankingDate.name().to_owned();
            self.note("date_exists", day(&ranked).is_some(), vec![name.clone()]);
            if let (Some(ranked), Some(reported)) = (day(&ranked), report_day) {
                self.note("ranked_before_report", ranked <= reported, vec![name, time.clone()]);
            }
        }
        for (table, columns) in [
            (Table::BadDebt, &[0][..]),
            (Table::CreditContract, &[0, 1]),
            (Table::CustomersLookUp, &[2]),
        ] {
            for r in 0..self.rows(table).len() {
                for &c in columns {
                    let text = plain(self.rows(table).get(r).and_then(|row| row.get(c))).to_owned();
                    if text.is_empty() {
                        continue;
                    }
                    let name = format!("{}[{r}][{c}]", table.name());
                    self.note("date_exists", day(&text).is_some(), vec![name.clone()]);
                    let looked_up = table == Table::CustomersLookUp;
                    if let (Some(at), Some(reported), true) = (day(&text), report_day, looked_up) {
                        let fields = vec![name, time.clone()];
                        self.note("looked_up_before_report", at <= reported, fields);
                    }
                }
            }
        }
        for r in 0..self.rows(Table::CreditContract).len() {
            let row = self.rows(Table::CreditContract).get(r);
            let cell = |c: usize| day(plain(row.and_then(|row| row.get(c))));
            if let (Some(signed), Some(ends)) = (cell(0), cell(1)) {
                let name = Table::CreditContract.name();
                let fields = (0..2).map(|c| format!("{name}[{r}][{c}]")).collect();
                self.note("signed_before_end", signed <= ends, fields);
            }
        }
    }

    fn codes(&mut self) {
        for (table, column, named) in
            [(Table::LoanDetails, 1, Some(2)), (Table::CustomersLookUp, 0, None)]
        {
            for r in 0..self.rows(table).len() {
                let row = self.rows(table).get(r);
                let code = plain(row.and_then(|row| row.get(column))).to_owned();
                if code.is_empty() {
                    continue;
                }
                let field = format!("{}[{r}][{column}]", table.name());
                let fits = code.len() == 8 && code.chars().all(|c| c.is_ascii_digit());
                let lender = named.map(|c| (c, plain(row.and_then(|row| row.get(c))).to_owned()));
                self.note("lender_code_digits", fits, vec![field.clone()]);
                let known = LENDERS.iter().find(|(known, _)| *known == code);
                if let (Some((_, name)), Some((c, printed))) = (known, lender)
                    && !printed.is_empty()
                {
                    let fields = vec![field, format!("{}[{r}][{c}]", table.name())];
                    let is_named = words::fold(&printed).starts_with(&words::fold(name));
                    // A name that differs in an accent was misread: the code speaks neither for it
                    // nor against.
                    if !is_named || printed.to_lowercase().starts_with(&name.to_lowercase()) {
                        self.note("lender_code_name", is_named, fields);
                    }
                }
            }
        }
    }

    fn late(&mut self) {
        for r in 0..self.rows(Table::LatePayments).len() {
            let row = self.rows(Table::LatePayments).get(r);
            let text = |c: usize| plain(row.and_then(|row| row.get(c)));
            let figures = [number(text(1)), number(text(2))];
            let name = Table::LatePayments.name();
            let passed = match (text(0), figures) {
                ("N", [Some(days), Some(times)]) => days == 0 && times == 0,
                ("Y", [Some(days), Some(times)]) => days > 0 && times > 0,
                _ => continue,
            };
            let fields = (0..3).map(|c| format!("{name}[{r}][{c}]")).collect();
            self.note("late_answer", passed, fields);
        }
    }
}

/// Whether a debt's name is that of a group: its line stands under a term's and repeats the debt
/// by quality.
pub(super) fn is_group(name: &str) -> bool {
    const GROUPS: &[&str] = &[
        "dunodutieuchuan",
        "dunocanchuy",
        "dunoduoitieuchuan",
        "dunonghingo",
        "dunocokhanangmatvon",
    ];
    words::best(&words::fold(name), GROUPS) > 0.75
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_a_lender_says_nothing_of_a_name_with_a_misread_accent() {
        let outcome = |name: &str| {
            let cell =
                |text: &str| Cell::Plain(Value { text: text.to_owned(), ..Value::default() });
            let mut report = Report::default();
            let rows = &mut report.table_mut(Table::LoanDetails).rows;
            rows.push(vec![cell("1"), cell("01311001"), cell(name), Cell::Debts(Vec::new())]);
            let checks = checks(&report, &[]);
            checks.iter().find(|check| check.name == "lender_code_name").map(|check| check.passed)
        };
        assert_eq!(outcome("Ngân hàng TMCP Quân Đội - CN Huế"), Some(true));
        assert_eq!(outcome("Ngân hắng TMCP Quân đội - CN Huế"), None);
        assert_eq!(outcome("Ngân hàng TMCP Nam Á"), Some(false));
    }
}
