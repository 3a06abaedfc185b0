//! The API's JSON: answers, reports, scalars and tables, exactly as the contract lays them out.
//!
//! What is written follows the contract's order of members and its forms for what is absent
//! (`""`, `[]`, `0.0`, `null`). What is read may come from the cloud service, so reading is
//! lenient: a member that is missing or of a strange form counts as absent, and only something
//! that is no answer at all is refused.

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use crate::finding::Finding;
use crate::geometry::Rect;

/// The contract's error codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The input was read.
    #[default]
    Success,
    /// The file opens, but no credit report is on it.
    NoReport,
    /// The address is malformed, refused by policy, unreachable, too large, too slow, or answers
    /// other than 2xx.
    UrlUnavailable,
    /// Bytes that are no image or PDF we read, damaged or encrypted ones, and malformed requests.
    BadInput,
    /// The key or the secret is wrong.
    Unauthorised,
    /// The key's quota is used up.
    OutOfRequests,
    /// Anything else.
    Internal,
}

impl ErrorCode {
    /// All codes, in order of their digit.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::NoReport,
        Self::UrlUnavailable,
        Self::BadInput,
        Self::Unauthorised,
        Self::OutOfRequests,
        Self::Internal,
    ];

    /// The contract's digit, as it stands in `errorCode`.
    pub const fn digit(self) -> &'static str {
        match self {
            Self::Success => "0",
            Self::NoReport => "1",
            Self::UrlUnavailable => "2",
            Self::BadInput => "3",
            Self::Unauthorised => "4",
            Self::OutOfRequests => "5",
            Self::Internal => "6",
        }
    }

    /// The contract's message, word for word.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::NoReport | Self::BadInput => "Incorrect image format",
            Self::UrlUnavailable => "Url is unavailable",
            Self::Unauthorised => "Incorrect api_key or api_secret",
            Self::OutOfRequests => "Out of requests",
            Self::Internal => "Error when processing the request",
        }
    }

    /// The HTTP status that goes with the code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Success => 200,
            Self::NoReport => 422,
            Self::UrlUnavailable => 424,
            Self::BadInput => 400,
            Self::Unauthorised => 401,
            Self::OutOfRequests => 429,
            Self::Internal => 500,
        }
    }

    fn from_json(json: &Json) -> Option<Self> {
        let digit = match json {
            Json::String(text) => text.trim().to_owned(),
            Json::Number(number) => number.to_string(),
            _ => return None,
        };
        Self::ALL.into_iter().find(|code| code.digit() == digit)
    }
}

/// A scalar of the report, in the contract's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// When the report was sent.
    ReportTime,
    /// The customer's number at CIC: 10 digits.
    CicCode,
    /// ID numbers, 9 or 12 digits, several joined by " / ".
    IdCard,
    /// The customer's address.
    Address,
    /// The score, 150 to 750.
    CreditScore,
    /// The rank, 1 to 10.
    CreditRank,
    /// The day the score was computed.
    CreditRankingDate,
    /// The sentence printed when nothing was sold to VAMC, the amount otherwise.
    DebtSoldToVamc,
}

impl Field {
    /// All scalars, in the contract's order.
    pub const ALL: [Self; 8] = [
        Self::ReportTime,
        Self::CicCode,
        Self::IdCard,
        Self::Address,
        Self::CreditScore,
        Self::CreditRank,
        Self::CreditRankingDate,
        Self::DebtSoldToVamc,
    ];

    /// The member's name in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReportTime => "report_time",
            Self::CicCode => "cic_code",
            Self::IdCard => "id_card",
            Self::Address => "address",
            Self::CreditScore => "credit_score",
            Self::CreditRank => "credit_rank",
            Self::CreditRankingDate => "credit_ranking_date",
            Self::DebtSoldToVamc => "debt_sold_to_vamc",
        }
    }
}

/// A table of the report, in the contract's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Row number, lender's code, lender's name, debts, total.
    LoanDetails,
    /// Total limit, amount to pay, amount overdue, number of cards.
    CreditCardInfo,
    /// Loans, cards, total; a row per month.
    OutstandingLoans,
    /// Last date, debt group, amount, row number, lender.
    BadDebt,
    /// `Y` or `N`, longest delay in days, number of times.
    LatePayments,
    /// Number of collaterals, number of lenders that hold one.
    LoanGuarantee,
    /// Signing date, end date.
    CreditContract,
    /// Lender's code, product looked up, date.
    CustomersLookUp,
}

impl Table {
    /// All tables, in the contract's order.
    pub const ALL: [Self; 8] = [
        Self::LoanDetails,
        Self::CreditCardInfo,
        Self::OutstandingLoans,
        Self::BadDebt,
        Self::LatePayments,
        Self::LoanGuarantee,
        Self::CreditContract,
        Self::CustomersLookUp,
    ];

    /// The member's name in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LoanDetails => "loan_details",
            Self::CreditCardInfo => "credit_card_info",
            Self::OutstandingLoans => "outstanding_loans",
            Self::BadDebt => "bad_debt",
            Self::LatePayments => "late_payments",
            Self::LoanGuarantee => "loan_guarantee",
            Self::CreditContract => "credit_contract",
            Self::CustomersLookUp => "customers_look_up",
        }
    }

    /// Cells in a row.
    pub const fn columns(self) -> usize {
        match self {
            Self::LoanDetails | Self::BadDebt => 5,
            Self::CreditCardInfo => 4,
            Self::OutstandingLoans | Self::LatePayments | Self::CustomersLookUp => 3,
            Self::LoanGuarantee | Self::CreditContract => 2,
        }
    }

    /// The column whose cells hold a list of debts, where there is one.
    pub const fn debts_column(self) -> Option<usize> {
        match self {
            Self::LoanDetails => Some(3),
            _ => None,
        }
    }
}

/// `[left, top, right, bottom]` in whole pixels of the aligned page image.
pub type PixelBox = [i32; 4];

/// The whole pixels that a rectangle touches.
pub fn pixel_box(rect: &Rect) -> PixelBox {
    [
        rect.left.floor() as i32,
        rect.top.floor() as i32,
        rect.right.ceil() as i32,
        rect.bottom.ceil() as i32,
    ]
}

/// A value as printed, with its place and the confidence in it. The default is "not on the paper".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Value {
    /// As printed: composed (NFC), single blanks, none at the ends.
    pub text: String,
    /// Where it stands; none where nothing was read.
    pub bounds: Option<PixelBox>,
    /// Calibrated, 0..1: of all values given with confidence c, about c are right.
    pub confidence: f32,
    /// 0-based index of the page.
    pub page: Option<usize>,
}

impl Value {
    /// Whether anything was read.
    pub fn is_present(&self) -> bool {
        !self.text.is_empty()
    }
}

/// A printed line of a lender's debts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Debt {
    /// What is owed, without a leading "- " or a trailing ":".
    pub name: String,
    /// The amount with its place; the confidence is for name and amount together.
    pub amount: Value,
}

/// A cell of a table's row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A plain value.
    Plain(Value),
    /// The debts of a lender, in printed order.
    Debts(Vec<Debt>),
}

impl Cell {
    /// The plain value; none for a list of debts.
    pub fn plain(&self) -> Option<&Value> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Debts(_) => None,
        }
    }

    /// The lowest confidence of what the cell holds; none for an empty cell.
    pub fn confidence(&self) -> Option<f32> {
        match self {
            Self::Plain(value) => value.is_present().then_some(value.confidence),
            Self::Debts(debts) => debts.iter().map(|debt| debt.amount.confidence).reduce(f32::min),
        }
    }
}

/// The part of a page that a table covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// 0-based index of the page.
    pub page: usize,
    /// In pixels of the aligned page image.
    pub rect: Rect,
}

/// Rows of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Cells in the contract's order, each row as wide as [`Table::columns`].
    pub rows: Vec<Vec<Cell>>,
    /// The table's picture in base64; empty unless asked for.
    pub image: String,
    /// Where the table stands, in page order: what its picture is cut from. Not part of the JSON.
    pub regions: Vec<Region>,
}

/// A credit report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    scalars: [Value; 8],
    tables: [Rows; 8],
    /// The pages' pictures in base64; empty unless asked for.
    pub imgs: Vec<String>,
}

impl Report {
    /// The value of a scalar.
    pub fn scalar(&self, field: Field) -> &Value {
        &self.scalars[field as usize]
    }

    /// The value of a scalar, to be changed.
    pub fn scalar_mut(&mut self, field: Field) -> &mut Value {
        &mut self.scalars[field as usize]
    }

    /// The rows of a table.
    pub fn table(&self, table: Table) -> &Rows {
        &self.tables[table as usize]
    }

    /// The rows of a table, to be changed.
    pub fn table_mut(&mut self, table: Table) -> &mut Rows {
        &mut self.tables[table as usize]
    }

    /// All values that were read, each with its name: `cic_code`, `bad_debt[0][2]`,
    /// `loan_details[1][3][0]`.
    pub fn values(&self) -> Vec<(String, &Value)> {
        let mut values = Vec::new();
        for field in Field::ALL {
            values.push((field.name().to_owned(), self.scalar(field)));
        }
        for table in Table::ALL {
            for (r, row) in self.table(table).rows.iter().enumerate() {
                for (c, cell) in row.iter().enumerate() {
                    let name = format!("{}[{r}][{c}]", table.name());
                    match cell {
                        Cell::Plain(value) => values.push((name, value)),
                        Cell::Debts(debts) => values.extend(
                            debts
                                .iter()
                                .enumerate()
                                .map(|(d, debt)| (format!("{name}[{d}]"), &debt.amount)),
                        ),
                    }
                }
            }
        }
        values.retain(|(_, value)| value.is_present());
        values
    }
}

/// Where an answer's values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Read on this machine.
    #[default]
    Local,
    /// Read by the cloud service.
    Cloud,
    /// Some of each.
    Merged,
}

/// What was decided of a document that a kiosk read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Good enough as it was read here.
    Local,
    /// Good enough with what the cloud service read.
    Cloud,
    /// To be looked at by a person.
    Review,
}

/// A cross-check that the paper allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was checked, such as `month_total`.
    pub name: String,
    /// Whether the paper agrees with itself.
    pub passed: bool,
    /// The values concerned, named as in [`Report::values`].
    pub fields: Vec<String>,
}

/// A model that took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelInfo {
    /// Its file's stem.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What was wrong with a page's picture. The findings are `blurred`, `dark`, `pale`, `glare`,
/// `cut_off`, `coarse`, `crooked` and the like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PageQuality {
    /// Which page, 0-based.
    pub page: usize,
    /// With the picture that was read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// With those before it, for which the page was asked for again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked_again: Vec<Finding>,
}

impl PageQuality {
    /// What was found.
    pub fn found(page: usize, findings: &[Finding]) -> Self {
        Self { page, findings: findings.to_vec(), asked_again: Vec::new() }
    }
}

/// A page that a report should have and the document does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingPage {
    /// The report, by its place in `info`.
    pub report: usize,
    /// The page number that would be printed on it, from 1.
    pub page: u32,
}

/// A page that belongs to another paper than a credit report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OtherPaper {
    /// Which page, 0-based.
    pub page: usize,
    /// The code of CIC's form, such as `S37`; none where it is not CIC's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// What a customer agreed to at a kiosk's screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// Its reference, which the record of what is sent to the cloud names, too: a ULID.
    pub id: String,
    /// When (RFC 3339).
    pub at: String,
    /// Which text.
    pub text: String,
    /// Whether the pages may be sent to the cloud service.
    pub cloud: bool,
}

/// What this product adds to the contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Meta {
    /// ULID of the scan.
    pub scan_id: String,
    /// Where the values come from.
    pub source: Source,
    /// What was decided of it; from a kiosk only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Verdict>,
    /// The lowest confidence of all values given.
    #[serde(serialize_with = "rounded")]
    #[schemars(with = "f32")]
    pub confidence: f32,
    /// Names of fields and cells below the threshold; those of a second report begin with
    /// `info[1].`. From a kiosk also what else was in doubt: values below a threshold of their own,
    /// and those that failed checks concern.
    pub needs_review: Vec<String>,
    /// The cross-checks that could be made.
    pub checks: Vec<Check>,
    /// Pages in the input.
    pub pages: usize,
    /// The models that took part.
    pub models: Vec<ModelInfo>,
    /// Milliseconds of each stage, in the order of the stages.
    pub elapsed_ms: Map<String, Json>,
    /// For an error: a sentence for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The pages that were read, in the order of reading: where some lay out of order, were there
    /// twice (the better one is read) or belong to another paper.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub page_order: Vec<usize>,
    /// Pages that the printed page numbers say are missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_pages: Vec<MissingPage>,
    /// Pages of other papers, which were not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_papers: Vec<OtherPaper>,
    /// Pages whose pictures were not as they should be, in page order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quality: Vec<PageQuality>,
    /// The kiosk lost its scan before all pages were there, as in a power cut: pages may be missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// What the document came through: `api`, `camera`, `escl`, `folder`, `sane` or `submit`; from a
    /// kiosk only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured_by: Option<String>,
    /// The kiosk the scan was made at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kiosk_id: Option<String>,
    /// When the scan was made (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captured_at: Option<String>,
    /// What the customer agreed to; from a kiosk with a screen only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Agreement>,
}

/// The whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// One report for each title found in the input, in page order; none on an error.
    pub reports: Vec<Report>,
    /// The outcome.
    pub error: ErrorCode,
    /// Ours; the cloud service's answers have none.
    pub meta: Option<Meta>,
}

impl Answer {
    /// An answer with reports.
    pub fn success(reports: Vec<Report>, meta: Meta) -> Self {
        Self { reports, error: ErrorCode::Success, meta: Some(meta) }
    }

    /// An answer without a report; `meta.detail` says why.
    pub fn failure(error: ErrorCode, meta: Meta) -> Self {
        Self { reports: Vec::new(), error, meta: Some(meta) }
    }

    /// Takes the pictures of pages and tables out again.
    pub fn drop_pictures(&mut self) {
        for report in &mut self.reports {
            report.imgs.clear();
            for table in Table::ALL {
                report.table_mut(table).image.clear();
            }
        }
    }

    /// The JSON, as it goes out.
    pub fn to_json(&self) -> Vec<u8> {
        // Only a map with keys that are no strings, or a failing Serialize, would not go.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Four decimals are finer than any calibration, and keep the JSON readable.
fn round(confidence: f32) -> f64 {
    (f64::from(confidence) * 10_000.0).round() / 10_000.0
}

fn rounded<S: Serializer>(confidence: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(round(*confidence))
}

fn bounds_json(bounds: Option<PixelBox>) -> Json {
    bounds.map_or_else(|| json!([]), |bounds| json!(bounds))
}

fn cell_json(cell: &Cell) -> Json {
    match cell {
        Cell::Plain(value) => json!({
            "value": value.text,
            "box": bounds_json(value.bounds),
            "score": round(value.confidence),
            "id": value.page,
        }),
        Cell::Debts(debts) => {
            let each = |json: fn(&Debt) -> Json| debts.iter().map(json).collect::<Vec<_>>();
            json!({
                "value": each(|debt| json!({"debt_name": debt.name, "debt": debt.amount.text})),
                "box": each(|debt| bounds_json(debt.amount.bounds)),
                "score": each(|debt| json!(round(debt.amount.confidence))),
                "id": each(|debt| json!(debt.amount.page)),
            })
        }
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in Field::ALL {
            let (name, value) = (field.name(), self.scalar(field));
            map.serialize_entry(name, &value.text)?;
            map.serialize_entry(&format!("{name}_box"), &bounds_json(value.bounds))?;
            map.serialize_entry(&format!("{name}_confidence"), &round(value.confidence))?;
            map.serialize_entry(&format!("{name}_id"), &value.page)?;
        }
        map.serialize_entry("imgs", &self.imgs)?;
        for table in Table::ALL {
            let (name, rows) = (table.name(), self.table(table));
            let cells: Vec<Vec<Json>> =
                rows.rows.iter().map(|row| row.iter().map(cell_json).collect()).collect();
            map.serialize_entry(name, &cells)?;
            map.serialize_entry(&format!("{name}_image"), &rows.image)?;
        }
        map.end()
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Data<'a> {
            info: &'a [Report],
            r#type: &'static str,
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("data", &Data { info: &self.reports, r#type: "credit_report" })?;
        map.serialize_entry("errorCode", self.error.digit())?;
        map.serialize_entry("errorMessage", self.error.message())?;
        if let Some(meta) = &self.meta {
            map.serialize_entry("meta", meta)?;
        }
        map.end()
    }
}

/// A string, or a number as its digits; anything else is absent.
fn text_of(json: Option<&Json>) -> String {
    match json {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn confidence_of(json: Option<&Json>) -> f32 {
    json.and_then(Json::as_f64).map_or(0.0, |confidence| confidence.clamp(0.0, 1.0) as f32)
}

fn page_of(json: Option<&Json>) -> Option<usize> {
    json.and_then(Json::as_u64).and_then(|page| usize::try_from(page).ok())
}

/// `[left, top, right, bottom]`, or the bounds of a list of points `[[x, y], ...]`.
fn bounds_of(json: Option<&Json>) -> Option<PixelBox> {
    let items = json?.as_array()?;
    if let Some(points) =
        items.iter().map(|item| Some((number(item.get(0))?, number(item.get(1))?))).collect()
    {
        let points: Vec<(f64, f64)> = points;
        let (first_x, first_y) = *points.first()?;
        let start = Rect::new(first_x as f32, first_y as f32, first_x as f32, first_y as f32);
        let rect = points.iter().fold(start, |rect, &(x, y)| {
            rect.union(&Rect::new(x as f32, y as f32, x as f32, y as f32))
        });
        return Some(pixel_box(&rect));
    }
    let edges: Option<Vec<i32>> =
        items.iter().map(|item| number(Some(item)).map(|edge| edge.round() as i32)).collect();
    edges?.try_into().ok()
}

fn number(json: Option<&Json>) -> Option<f64> {
    json.and_then(Json::as_f64)
}

fn scalar_of(map: &Map<String, Json>, name: &str) -> Value {
    let member = |suffix: &str| map.get(&format!("{name}{suffix}"));
    Value {
        text: text_of(map.get(name)),
        bounds: bounds_of(member("_box")),
        confidence: confidence_of(member("_confidence")),
        page: page_of(member("_id")),
    }
}

fn plain_of(cell: &Json) -> Cell {
    Cell::Plain(Value {
        text: text_of(cell.get("value")),
        bounds: bounds_of(cell.get("box")),
        confidence: confidence_of(cell.get("score")),
        page: page_of(cell.get("id")),
    })
}

fn debts_of(cell: &Json) -> Cell {
    let nth = |name: &str, index: usize| cell.get(name).and_then(|list| list.get(index));
    let list = cell.get("value").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let debts = list.iter().enumerate().map(|(index, debt)| Debt {
        name: text_of(debt.get("debt_name")),
        amount: Value {
            text: text_of(debt.get("debt")),
            bounds: bounds_of(nth("box", index)),
            confidence: confidence_of(nth("score", index)),
            page: page_of(nth("id", index)),
        },
    });
    Cell::Debts(debts.collect())
}

/// A row as wide as the contract says: short rows are filled with blank cells.
fn row_of(table: Table, row: &Json) -> Option<Vec<Cell>> {
    let row = row.as_array()?;
    let cells = (0..table.columns()).map(|column| {
        let cell = row.get(column).unwrap_or(&Json::Null);
        if table.debts_column() == Some(column) { debts_of(cell) } else { plain_of(cell) }
    });
    Some(cells.collect())
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        let mut report = Self::default();
        for field in Field::ALL {
            *report.scalar_mut(field) = scalar_of(&map, field.name());
        }
        if let Some(Json::Array(imgs)) = map.get("imgs") {
            report.imgs = imgs.iter().filter_map(Json::as_str).map(str::to_owned).collect();
        }
        for table in Table::ALL {
            let rows = report.table_mut(table);
            if let Some(Json::Array(list)) = map.get(table.name()) {
                rows.rows = list.iter().filter_map(|row| row_of(table, row)).collect();
            }
            rows.image = text_of(map.get(&format!("{}_image", table.name())));
        }
        Ok(report)
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut map = Map::deserialize(deserializer)?;
        let error = map
            .get("errorCode")
            .and_then(ErrorCode::from_json)
            .ok_or_else(|| D::Error::custom("no errorCode of the contract"))?;
        let info = map.get_mut("data").and_then(|data| data.get_mut("info")).map(Json::take);
        let reports = match info {
            Some(Json::Array(list)) => list
                .into_iter()
                .map(|report| serde_json::from_value(report).map_err(D::Error::custom))
                .collect::<Result<_, _>>()?,
            _ => Vec::new(),
        };
        let meta = map.remove("meta").and_then(|meta| serde_json::from_value(meta).ok());
        Ok(Self { reports, error, meta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value {
            text: text.to_owned(),
            bounds: Some([10, 20, 110, 40]),
            confidence: 0.5,
            page: Some(1),
        }
    }

    fn sample() -> Answer {
        let mut report = Report::default();
        *report.scalar_mut(Field::CicCode) = value("0184618475");
        let debt = Debt { name: "Dư nợ cho vay dài hạn".to_owned(), amount: value("678") };
        report.table_mut(Table::LoanDetails).rows = vec![vec![
            Cell::Plain(value("1")),
            Cell::Plain(value("01201001")),
            Cell::Plain(Value::default()),
            Cell::Debts(vec![debt]),
            Cell::Plain(value("678")),
        ]];
        let meta = Meta { scan_id: "01J".to_owned(), pages: 2, ..Meta::default() };
        Answer::success(vec![report], meta)
    }

    fn members(json: &Json) -> Vec<&str> {
        json.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn answer_has_the_contracts_members_in_its_order() {
        let json = serde_json::to_value(sample()).unwrap();
        assert_eq!(members(&json), ["data", "errorCode", "errorMessage", "meta"]);
        assert_eq!(json["errorCode"], "0");
        assert_eq!(json["errorMessage"], "Success");
        assert_eq!(members(&json["data"]), ["info", "type"]);
        assert_eq!(json["data"]["type"], "credit_report");
    }

    #[test]
    fn report_has_every_member_of_the_contract_in_its_order() {
        let json = serde_json::to_value(Report::default()).unwrap();
        let mut expected = Vec::new();
        for name in [
            "report_time",
            "cic_code",
            "id_card",
            "address",
            "credit_score",
            "credit_rank",
            "credit_ranking_date",
            "debt_sold_to_vamc",
        ] {
            expected.push(name.to_owned());
            for suffix in ["box", "confidence", "id"] {
                expected.push(format!("{name}_{suffix}"));
            }
        }
        expected.push("imgs".to_owned());
        for name in [
            "loan_details",
            "credit_card_info",
            "outstanding_loans",
            "bad_debt",
            "late_payments",
            "loan_guarantee",
            "credit_contract",
            "customers_look_up",
        ] {
            expected.push(name.to_owned());
            expected.push(format!("{name}_image"));
        }
        assert_eq!(members(&json), expected);
    }

    #[test]
    fn what_is_not_on_the_paper_has_the_empty_forms() {
        let text = serde_json::to_string(&Report::default()).unwrap();
        assert!(text.starts_with(
            r#"{"report_time":"","report_time_box":[],"report_time_confidence":0.0,"report_time_id":null,"#
        ));
        assert!(text.contains(r#""imgs":[],"loan_details":[],"loan_details_image":"","#));
    }

    #[test]
    fn blank_cell_has_the_empty_forms() {
        let json = serde_json::to_value(sample()).unwrap();
        let cell = &json["data"]["info"][0]["loan_details"][0][2];
        assert_eq!(*cell, json!({"value": "", "box": [], "score": 0.0, "id": null}));
    }

    #[test]
    fn debts_cell_lists_each_member_side_by_side() {
        let json = serde_json::to_value(sample()).unwrap();
        let cell = &json["data"]["info"][0]["loan_details"][0][3];
        assert_eq!(
            *cell,
            json!({
                "value": [{"debt_name": "Dư nợ cho vay dài hạn", "debt": "678"}],
                "box": [[10, 20, 110, 40]],
                "score": [0.5],
                "id": [1],
            })
        );
    }

    #[test]
    fn answer_survives_a_round_trip() {
        let answer = sample();
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    }

    #[test]
    fn error_answer_has_an_empty_list_of_reports() {
        let answer = Answer::failure(ErrorCode::NoReport, Meta::default());
        let json = serde_json::to_value(answer).unwrap();
        assert_eq!(json["data"], json!({"info": [], "type": "credit_report"}));
        assert_eq!(json["errorCode"], "1");
        assert_eq!(json["errorMessage"], "Incorrect image format");
    }

    #[test]
    fn codes_carry_the_contracts_messages_and_a_fitting_status() {
        let table: Vec<_> = ErrorCode::ALL
            .iter()
            .map(|code| (code.digit(), code.message(), code.http_status()))
            .collect();
        assert_eq!(
            table,
            [
                ("0", "Success", 200),
                ("1", "Incorrect image format", 422),
                ("2", "Url is unavailable", 424),
                ("3", "Incorrect image format", 400),
                ("4", "Incorrect api_key or api_secret", 401),
                ("5", "Out of requests", 429),
                ("6", "Error when processing the request", 500),
            ]
        );
    }

    #[test]
    fn cloud_answer_without_meta_ids_and_some_members_is_read() {
        let text = r#"{"data": {"info": [{
            "cic_code": "7929689130", "cic_code_box": [1.4, 2, 3, 4.6],
            "cic_code_confidence": 0.98,
            "bad_debt": [[{"value": "21/08/2021", "box": [[5, 6], [9, 6], [9, 8], [5, 8]], "score": 0.9},
                          {"value": 3}, {"value": null}]]
        }], "type": "credit_report"}, "errorCode": 0, "errorMessage": "Success"}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        let [report] = &answer.reports[..] else { panic!("one report expected") };
        assert_eq!(answer.meta, None);
        assert_eq!(report.scalar(Field::CicCode).text, "7929689130");
        assert_eq!(report.scalar(Field::CicCode).bounds, Some([1, 2, 3, 5]));
        assert_eq!(report.scalar(Field::Address), &Value::default());
        let [row] = &report.table(Table::BadDebt).rows[..] else { panic!("one row expected") };
        let texts: Vec<_> = row.iter().map(|cell| cell.plain().unwrap().text.as_str()).collect();
        assert_eq!(texts, ["21/08/2021", "3", "", "", ""]);
        assert_eq!(row[0].plain().unwrap().bounds, Some([5, 6, 9, 8]));
    }

    #[test]
    fn json_without_an_error_code_is_no_answer() {
        assert!(serde_json::from_str::<Answer>(r#"{"data": {"info": []}}"#).is_err());
    }

    #[test]
    fn values_are_named_by_table_row_column_and_debt() {
        let answer = sample();
        let names: Vec<_> = answer.reports[0].values().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "cic_code",
                "loan_details[0][0]",
                "loan_details[0][1]",
                "loan_details[0][3][0]",
                "loan_details[0][4]",
            ]
        );
    }
}
