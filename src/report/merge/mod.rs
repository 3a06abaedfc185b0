//! Merges what was read here with what the cloud service read, value by value.
//!
//! Promises:
//! - Of two values the surer one is given. The service's confidence is not calibrated by us, so it
//!   is capped; and what has not the shape of its field never replaces anything.
//! - A table is taken row by row only where the rows are the same ones, else as a whole or not at all.
//! - What replaces a value makes no more of the paper's checks fail than before: what does is undone.
//! - Where only some pages were sent, values of the others stay as they are.
//!
//! The service's boxes lie in its own picture of the page, which is not ours: a value that had a
//! place here keeps that.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::mem;

use unicode_normalization::UnicodeNormalization;

use super::schema::{Answer, Cell, Check, Debt, ErrorCode, Field, Report, Source, Table, Value};
use super::shapes::Shape;
use super::{checks, confidence, name_in};

/// More values than this that are all in checks that fail are no slips, and are undone together.
const MOST_SUSPECTS: usize = 64;

/// The one check that needs what the API does not return: the months' names.
const MONTHS: &str = "months_in_a_row";

/// How to merge.
#[derive(Clone, Debug)]
pub struct Options {
    /// The confidence that a value of the service is given at most.
    pub confidence_cap: f32,
    /// Values of a lower confidence are named in `meta.needs_review`.
    pub review_below: f32,
    /// The pages that were sent, 0-based, in the order of the service's page numbers; none where
    /// all of the document was.
    pub pages: Option<BTreeSet<usize>>,
}

/// The local answer with the better values of the service's reports; none where these cannot be the
/// same reports. A value that only the service has is taken; without its shape, at the price that
/// such a value has here, so that it is always named for review.
pub fn merge(local: &Answer, cloud: &[Report], options: &Options) -> Option<Answer> {
    let mut merged = local.clone();
    if merged.reports.is_empty() {
        merged.reports = vec![Report::default(); cloud.len()];
    }
    let pairs = pairs(&merged.reports, cloud)?;
    let count = local.meta.as_ref().map_or(0, |meta| meta.pages);
    let mut foreign = Foreign::default();
    for (index, pair) in pairs.into_iter().enumerate() {
        let (Some(cloud), Some(report)) = (pair, merged.reports.get_mut(index)) else { continue };
        let mut work = Merge::new(report, adapted(cloud, options, count), options);
        work.scalars();
        work.tables();
        work.undo_what_fails();
        foreign.values += work.taken.iter().map(|place| place.values(&work.merged)).sum::<usize>();
        if work.taken.contains(&Place::Rows(Table::OutstandingLoans)) {
            foreign.months.insert(index);
        }
        *report = work.merged;
    }
    if merged.reports.iter().all(|report| report.values().is_empty()) {
        return None;
    }
    merged.error = ErrorCode::Success;
    describe(&mut merged, local, &foreign, options);
    Some(merged)
}

/// What a merged answer has of the service.
#[derive(Default)]
struct Foreign {
    /// How many values.
    values: usize,
    /// Reports whose months are the service's.
    months: BTreeSet<usize>,
}

/// Brings the meta up to date.
fn describe(merged: &mut Answer, local: &Answer, foreign: &Foreign, options: &Options) {
    let mut meta = merged.meta.take().unwrap_or_default();
    meta.checks = merged_checks(&merged.reports, local, foreign);
    meta.needs_review.clear();
    let (mut count, mut lowest) = (0, 1.0_f32);
    for (index, report) in merged.reports.iter().enumerate() {
        for (name, value) in report.values() {
            count += 1;
            lowest = lowest.min(value.confidence);
            if value.confidence < options.review_below {
                meta.needs_review.push(name_in(index, name));
            }
        }
    }
    meta.confidence = lowest;
    meta.source = match foreign.values {
        0 => Source::Local,
        all if all == count => Source::Cloud,
        _ => Source::Merged,
    };
    meta.detail = None;
    merged.meta = Some(meta);
}

/// The checks of the merged reports. That of the months stays as it was made here, where the rows
/// are still those that were read here.
fn merged_checks(reports: &[Report], local: &Answer, foreign: &Foreign) -> Vec<Check> {
    let mut found = Vec::new();
    let made_here = local.meta.iter().flat_map(|meta| &meta.checks);
    let mut months = made_here.filter(|check| check.name == MONTHS);
    for (index, report) in reports.iter().enumerate() {
        let has_months = |report: &Report| !report.table(Table::OutstandingLoans).rows.is_empty();
        let own = local.reports.get(index).filter(|report| has_months(report));
        let own = own.and_then(|_| months.next()).filter(|_| !foreign.months.contains(&index));
        for mut check in checks::checks(report, &[]) {
            if check.name == MONTHS {
                found.extend(own.cloned());
                continue;
            }
            check.fields = check.fields.into_iter().map(|name| name_in(index, name)).collect();
            found.push(check);
        }
    }
    found
}

/// For each local report the service's of the same paper: by customer and time, or else by order
/// where there are as many.
fn pairs<'a>(local: &[Report], cloud: &'a [Report]) -> Option<Vec<Option<&'a Report>>> {
    let named: Vec<Option<usize>> = local
        .iter()
        .enumerate()
        .map(|(index, report)| {
            let same = |at: &usize| cloud.get(*at).is_some_and(|it| is_same_paper(report, it));
            std::iter::once(index).chain(0..cloud.len()).find(same)
        })
        .collect();
    let in_order = |index: usize, report: &Report| {
        (local.len() == cloud.len() && !named.contains(&Some(index)))
            .then(|| cloud.get(index).filter(|other| !contradict(report, other)))
            .flatten()
    };
    let pairs: Vec<Option<&Report>> = local
        .iter()
        .zip(&named)
        .enumerate()
        .map(|(index, (report, by_name))| match by_name {
            Some(of) => cloud.get(*of),
            None => in_order(index, report),
        })
        .collect();
    pairs.iter().any(Option::is_some).then_some(pairs)
}

fn is_same_paper(a: &Report, b: &Report) -> bool {
    [Field::CicCode, Field::ReportTime].into_iter().all(|field| {
        let (a, b) = (a.scalar(field), b.scalar(field));
        a.is_present() && is_same(&a.text, &b.text)
    })
}

/// Whether both say whose paper it is and when it was made, and agree in nothing of it.
fn contradict(a: &Report, b: &Report) -> bool {
    let mut common = [Field::CicCode, Field::IdCard, Field::ReportTime]
        .map(|field| (a.scalar(field), b.scalar(field)))
        .into_iter()
        .filter(|(a, b)| a.is_present() && b.is_present())
        .peekable();
    common.peek().is_some() && common.all(|(a, b)| !is_same(&a.text, &b.text))
}

/// As values are written: composed, single blanks, none at the ends.
fn as_printed(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").nfc().collect()
}

fn is_same(a: &str, b: &str) -> bool {
    as_printed(a) == as_printed(b)
}

/// Whether a text has a shape as it is: blanks may be put right, nothing else.
fn has_shape(shape: Shape, text: &str) -> bool {
    let shaped = shape.put(text);
    let plain = |text: &str| -> String { text.split_whitespace().collect() };
    shaped.valid && plain(&shaped.text) == plain(text)
}

/// What is taken or left as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Scalar(Field),
    Cell(Table, usize, usize),
    Debt(Table, usize, usize, usize),
    Rows(Table),
}

impl Place {
    /// The value there; none where there is no single one.
    fn value(self, report: &Report) -> Option<&Value> {
        match self {
            Self::Scalar(field) => Some(report.scalar(field)),
            Self::Cell(..) => self.cell(report)?.plain(),
            Self::Debt(.., debt) => match self.cell(report)? {
                Cell::Debts(debts) => debts.get(debt).map(|debt| &debt.amount),
                Cell::Plain(_) => None,
            },
            Self::Rows(_) => None,
        }
    }

    fn value_mut(self, report: &mut Report) -> Option<&mut Value> {
        match self {
            Self::Scalar(field) => Some(report.scalar_mut(field)),
            Self::Cell(..) => match self.cell_mut(report)? {
                Cell::Plain(value) => Some(value),
                Cell::Debts(_) => None,
            },
            Self::Debt(.., debt) => match self.cell_mut(report)? {
                Cell::Debts(debts) => debts.get_mut(debt).map(|debt| &mut debt.amount),
                Cell::Plain(_) => None,
            },
            Self::Rows(_) => None,
        }
    }

    fn cell(self, report: &Report) -> Option<&Cell> {
        match self {
            Self::Cell(table, row, column) | Self::Debt(table, row, column, _) => {
                report.table(table).rows.get(row)?.get(column)
            }
            Self::Scalar(_) | Self::Rows(_) => None,
        }
    }

    fn cell_mut(self, report: &mut Report) -> Option<&mut Cell> {
        match self {
            Self::Cell(table, row, column) | Self::Debt(table, row, column, _) => {
                report.table_mut(table).rows.get_mut(row)?.get_mut(column)
            }
            Self::Scalar(_) | Self::Rows(_) => None,
        }
    }

    /// Puts what stands there in one report into another.
    fn copy(self, from: &Report, to: &mut Report) {
        match self {
            Self::Rows(table) => to.table_mut(table).rows.clone_from(&from.table(table).rows),
            Self::Scalar(_) | Self::Debt(..) => {
                if let (Some(from), Some(to)) = (self.value(from), self.value_mut(to)) {
                    to.clone_from(from);
                }
            }
            Self::Cell(..) => {
                if let (Some(from), Some(to)) = (self.cell(from), self.cell_mut(to)) {
                    to.clone_from(from);
                }
            }
        }
    }

    /// Its name, with which the names of all values in it begin.
    fn name(self) -> String {
        match self {
            Self::Scalar(field) => field.name().to_owned(),
            Self::Cell(table, row, column) => format!("{}[{row}][{column}]", table.name()),
            Self::Debt(table, row, column, debt) => {
                format!("{}[{row}][{column}][{debt}]", table.name())
            }
            Self::Rows(table) => table.name().to_owned(),
        }
    }

    fn holds(self, value: &str) -> bool {
        value
            .strip_prefix(&self.name())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
    }

    fn column(self) -> Option<usize> {
        match self {
            Self::Cell(_, _, column) | Self::Debt(_, _, column, _) => Some(column),
            Self::Scalar(_) | Self::Rows(_) => None,
        }
    }

    /// How many values of a report are in it.
    fn values(self, report: &Report) -> usize {
        let of_cell = |cell: &Cell| match cell {
            Cell::Plain(value) => usize::from(value.is_present()),
            Cell::Debts(debts) => debts.iter().filter(|debt| debt.amount.is_present()).count(),
        };
        match self {
            Self::Scalar(_) | Self::Debt(..) => {
                usize::from(self.value(report).is_some_and(Value::is_present))
            }
            Self::Cell(..) => self.cell(report).map_or(0, of_cell),
            Self::Rows(table) => report.table(table).rows.iter().flatten().map(of_cell).sum(),
        }
    }

    fn shape(self, text: &str) -> Shape {
        match self {
            Self::Scalar(field) => confidence::field_shape(field, text),
            Self::Cell(table, _, column) => confidence::column_shape(table, column),
            Self::Debt(..) | Self::Rows(_) => Shape::Amount,
        }
    }
}

/// The places of all single values of a table's rows.
fn places(table: Table, rows: &[Vec<Cell>]) -> Vec<Place> {
    let mut places = Vec::new();
    for (r, row) in rows.iter().enumerate() {
        for (c, cell) in row.iter().enumerate() {
            match cell {
                Cell::Plain(_) => places.push(Place::Cell(table, r, c)),
                Cell::Debts(debts) => {
                    places.extend((0..debts.len()).map(|d| Place::Debt(table, r, c, d)));
                }
            }
        }
    }
    places
}

/// One report being merged.
struct Merge<'a> {
    local: Report,
    cloud: Report,
    merged: Report,
    taken: Vec<Place>,
    pages: Option<&'a BTreeSet<usize>>,
}

impl<'a> Merge<'a> {
    fn new(local: &Report, cloud: Report, options: &'a Options) -> Self {
        Self {
            local: local.clone(),
            cloud,
            merged: local.clone(),
            taken: Vec::new(),
            pages: options.pages.as_ref(),
        }
    }

    fn scalars(&mut self) {
        for field in Field::ALL {
            let page = self.local.scalar(field).page;
            if page.is_none_or(|page| self.was_sent(page)) {
                self.weigh(Place::Scalar(field));
            }
        }
    }

    fn tables(&mut self) {
        for table in Table::ALL {
            let (here, there) = (&self.local.table(table).rows, &self.cloud.table(table).rows);
            if there.is_empty() || !self.was_sent_whole(table) {
                continue;
            }
            if are_same_rows(here, there) {
                self.cells(table);
            } else if self.has_better_rows(table) {
                self.take(Place::Rows(table));
            }
        }
    }

    fn cells(&mut self, table: Table) {
        let rows = &self.local.table(table).rows;
        let mut found = places(table, rows);
        // Lists of debts that are not the same line by line are one value.
        for (r, c) in debts_cells(rows) {
            let whole = Place::Cell(table, r, c);
            if !have_same_lines(whole.cell(&self.local), whole.cell(&self.cloud)) {
                found.retain(|place| !whole.holds(&place.name()));
                self.weigh_debts(whole);
            }
        }
        for place in found {
            self.weigh(place);
        }
    }

    /// Takes the service's value where it is the better one.
    fn weigh(&mut self, place: Place) {
        let (Some(here), Some(there)) = (place.value(&self.local), place.value(&self.cloud)) else {
            return;
        };
        if !there.is_present() {
            return;
        }
        let sure = there.confidence;
        if is_same(&here.text, &there.text) {
            if let Some(value) = place.value_mut(&mut self.merged) {
                value.confidence = value.confidence.max(sure);
            }
        } else if !here.is_present()
            || (sure > here.confidence && has_shape(place.shape(&there.text), &there.text))
        {
            self.take(place);
        }
    }

    fn weigh_debts(&mut self, place: Place) {
        let lines = |report| match place.cell(report) {
            Some(Cell::Debts(debts)) => debts.iter().map(|debt| &debt.amount).collect(),
            _ => Vec::new(),
        };
        let (here, there): (Vec<&Value>, Vec<&Value>) = (lines(&self.local), lines(&self.cloud));
        let fit = there.iter().all(|value| has_shape(Shape::Amount, &value.text));
        if !there.is_empty() && (here.is_empty() || (fit && mean(&there) > mean(&here))) {
            self.take(place);
        }
    }

    /// Whether the service's rows are to stand where ours do: fewer checks fail with them, or as
    /// many and they are surer. One that has fewer rows cannot be surer: a row that is missing has
    /// no confidence to be counted.
    fn has_better_rows(&self, table: Table) -> bool {
        let (here, there) = (present(&self.local, table), present(&self.cloud, table));
        if here.is_empty() || !could_replace(&here, &there) {
            return here.is_empty() && !there.is_empty();
        }
        let mut with = self.merged.clone();
        Place::Rows(table).copy(&self.cloud, &mut with);
        match failures(&with).len().cmp(&failures(&self.merged).len()) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => {
                let rows = |report: &Report| report.table(table).rows.len();
                let sure = |values: &[(Place, &Value)]| {
                    mean(&values.iter().map(|(_, value)| *value).collect::<Vec<_>>())
                };
                rows(&self.cloud) >= rows(&self.local) && sure(&there) > sure(&here)
            }
        }
    }

    /// Takes the service's, in the place where it stands here.
    fn take(&mut self, place: Place) {
        self.put(place);
        self.taken.push(place);
    }

    fn put(&mut self, place: Place) {
        place.copy(&self.cloud, &mut self.merged);
        let here = place.value(&self.local).filter(|value| value.bounds.is_some());
        if let (Some(here), Some(value)) = (here, place.value_mut(&mut self.merged)) {
            (value.bounds, value.page) = (here.bounds, here.page);
        }
    }

    fn was_sent(&self, page: usize) -> bool {
        self.pages.is_none_or(|sent| sent.contains(&page))
    }

    /// Whether the service has seen all of a table. Of one that was not found here nobody knows
    /// which pages it is on.
    fn was_sent_whole(&self, table: Table) -> bool {
        let Some(sent) = self.pages else { return true };
        let rows = self.local.table(table);
        let of_cells = places(table, &rows.rows)
            .into_iter()
            .filter_map(|place| place.value(&self.local)?.page);
        let on: BTreeSet<usize> =
            of_cells.chain(rows.regions.iter().map(|region| region.page)).collect();
        !on.is_empty() && on.is_subset(sent)
    }

    /// Takes back what makes checks fail that did not fail before. What only the service has stays:
    /// there is nothing to go back to, and a failed check brings it before a person.
    fn undo_what_fails(&mut self) {
        let before = failures(&self.local);
        let mut fresh = failures(&self.merged);
        fresh.retain(|check| !before.contains(check));
        let (replaced, added): (Vec<Place>, Vec<Place>) =
            mem::take(&mut self.taken).into_iter().partition(|place| place.values(&self.local) > 0);
        let (suspects, mut others): (Vec<Place>, Vec<Place>) = replaced
            .into_iter()
            .partition(|place| fresh.iter().any(|check| is_concerned(*place, check)));
        let mut stubborn = self.undo_one_by_one(suspects);
        // Several together may break what none breaks alone; and if not even that helps, nothing is
        // replaced.
        let most = before.len() + self.failures_of(&added);
        for places in [&mut stubborn, &mut others] {
            if failures(&self.merged).len() > most {
                self.give_back(mem::take(places));
            }
        }
        self.taken = [added, others, stubborn].concat();
    }

    /// Takes back those without which fewer checks fail, and gives the rest.
    fn undo_one_by_one(&mut self, suspects: Vec<Place>) -> Vec<Place> {
        if suspects.len() > MOST_SUSPECTS {
            self.give_back(suspects);
            return Vec::new();
        }
        let mut stubborn = Vec::new();
        let mut now = failures(&self.merged).len();
        for place in suspects {
            place.copy(&self.local, &mut self.merged);
            let without = failures(&self.merged).len();
            if without < now {
                now = without;
            } else {
                self.put(place);
                stubborn.push(place);
            }
        }
        stubborn
    }

    /// How many checks fail that concern any of these places.
    fn failures_of(&self, places: &[Place]) -> usize {
        let concerns = |check: &&Check| places.iter().any(|place| is_concerned(*place, check));
        failures(&self.merged).iter().filter(concerns).count()
    }

    fn give_back(&mut self, places: Vec<Place>) {
        for place in places {
            place.copy(&self.local, &mut self.merged);
        }
    }
}

/// The service's report as its values can be compared: as printed, with capped confidences, on the
/// document's pages, of which there are so many.
fn adapted(cloud: &Report, options: &Options, pages: usize) -> Report {
    let mut report = cloud.clone();
    let page_of = |page: Option<usize>| match &options.pages {
        Some(sent) => page.and_then(|page| sent.iter().nth(page).copied()),
        None => page.filter(|page| *page < pages),
    };
    let mut all: Vec<Place> = Field::ALL.map(Place::Scalar).to_vec();
    for table in Table::ALL {
        all.extend(places(table, &cloud.table(table).rows));
    }
    for place in all {
        let Some(value) = place.value_mut(&mut report) else { continue };
        value.text = as_printed(&value.text);
        value.page = page_of(value.page);
        value.confidence = value.confidence.min(options.confidence_cap);
        if !has_shape(place.shape(&value.text), &value.text) {
            value.confidence *= confidence::MISSHAPEN;
        }
    }
    report
}

/// The checks that fail, that of the months left out.
fn failures(report: &Report) -> Vec<Check> {
    let checks = checks::checks(report, &[]);
    checks.into_iter().filter(|check| !check.passed && check.name != MONTHS).collect()
}

/// Whether a check is about what stands in a place. Those that name no values count the months.
fn is_concerned(place: Place, check: &Check) -> bool {
    if check.fields.is_empty() {
        return place == Place::Rows(Table::OutstandingLoans);
    }
    check.fields.iter().any(|name| place.holds(name))
}

/// The values that a table has.
fn present(report: &Report, table: Table) -> Vec<(Place, &Value)> {
    places(table, &report.table(table).rows)
        .into_iter()
        .filter_map(|place| Some((place, place.value(report)?)))
        .filter(|(_, value)| value.is_present())
        .collect()
}

/// Whether all values of a table have their shapes, and no column is missing that the other has.
fn could_replace(here: &[(Place, &Value)], there: &[(Place, &Value)]) -> bool {
    let columns = |values: &[(Place, &Value)]| -> BTreeSet<Option<usize>> {
        values.iter().map(|(place, _)| place.column()).collect()
    };
    there.iter().all(|(place, value)| has_shape(place.shape(&value.text), &value.text))
        && columns(here).is_subset(&columns(there))
}

/// Whether the rows of both stand for the same things: as many, and each pair has something in
/// common.
fn are_same_rows(here: &[Vec<Cell>], there: &[Vec<Cell>]) -> bool {
    let same = |a: &Cell, b: &Cell| match (a, b) {
        (Cell::Plain(a), Cell::Plain(b)) => a.is_present() && is_same(&a.text, &b.text),
        (a, b) => have_same_lines(Some(a), Some(b)),
    };
    here.len() == there.len()
        && here.iter().zip(there).all(|(a, b)| a.iter().zip(b).any(|(a, b)| same(a, b)))
}

fn debts_cells(rows: &[Vec<Cell>]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (r, row) in rows.iter().enumerate() {
        let debts = row.iter().enumerate().filter(|(_, cell)| matches!(cell, Cell::Debts(_)));
        found.extend(debts.map(|(c, _)| (r, c)));
    }
    found
}

/// Whether two lists of debts have the same names, and some.
fn have_same_lines(a: Option<&Cell>, b: Option<&Cell>) -> bool {
    let (Some(Cell::Debts(a)), Some(Cell::Debts(b))) = (a, b) else { return false };
    let same = |(a, b): (&Debt, &Debt)| is_same(&a.name, &b.name);
    !a.is_empty() && a.len() == b.len() && a.iter().zip(b).all(same)
}

fn mean(values: &[&Value]) -> f32 {
    let sum: f32 = values.iter().map(|value| value.confidence).sum();
    if values.is_empty() { 0.0 } else { sum / values.len() as f32 }
}

#[cfg(test)]
mod tests;
