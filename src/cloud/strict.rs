//! Reads an answer of the cloud service, and believes nothing that the contract does not allow.
//!
//! Values of another machine are about to stand beside our own, so an answer of which one member
//! is not what it should be is none at all. Members that the contract does not know are ignored; what
//! it leaves open (a member that is absent, `null` for what is not on the paper, ours that it has
//! not) is allowed.

use cic_kiosk::report::schema::{Answer, ErrorCode, Field, Table};
use serde_json::{Map, Value as Json};

/// Rows of a table. A report over all pages that a document may have by default has fewer lines.
const MAX_ROWS: usize = 1000;

/// Characters of a value. Addresses, the longest ones on paper, have some 200.
const MAX_LENGTH: usize = 2000;

/// The member that is not what it should be; never what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lie(pub String);

type Checked = Result<(), Lie>;

/// Reads an answer to a document of so many pages.
///
/// # Errors
/// With the first member that is wrong.
pub fn answer(body: &[u8], pages: usize) -> Result<Answer, Lie> {
    let json: Json = serde_json::from_slice(body).map_err(|_| Lie("the JSON".to_owned()))?;
    let code = json["errorCode"].as_str().unwrap_or_default();
    demand(ErrorCode::ALL.iter().any(|known| known.digit() == code), "errorCode")?;
    demand(json["errorMessage"].is_string(), "errorMessage")?;
    if code == ErrorCode::Success.digit() {
        data(&json["data"], pages)?;
    }
    let mut answer: Answer = serde_json::from_value(json).map_err(|_| Lie("data".to_owned()))?;
    // Another kiosk has one, the contract has not.
    answer.meta = None;
    Ok(answer)
}

fn demand(fits: bool, member: &str) -> Checked {
    if fits { Ok(()) } else { Err(Lie(member.to_owned())) }
}

fn data(data: &Json, pages: usize) -> Checked {
    demand(data["type"] == "credit_report", "data.type")?;
    let reports = data["info"].as_array().map(Vec::as_slice).unwrap_or_default();
    demand((1..=pages.max(1)).contains(&reports.len()), "data.info")?;
    for report in reports {
        let report = report.as_object().ok_or_else(|| Lie("data.info".to_owned()))?;
        for field in Field::ALL {
            scalar(report, field.name())?;
        }
        let pictures = optional(report.get("imgs"), |imgs| all(imgs, Json::is_string));
        demand(pictures, "imgs")?;
        for table in Table::ALL {
            rows(report, table)?;
        }
    }
    Ok(())
}

fn scalar(report: &Map<String, Json>, name: &str) -> Checked {
    demand(optional(report.get(name), is_text), name)?;
    for (suffix, fits) in [("box", is_bounds as fn(&Json) -> bool), ("confidence", is_share)] {
        let name = format!("{name}_{suffix}");
        demand(optional(report.get(&name), fits), &name)?;
    }
    let name = format!("{name}_id");
    demand(optional(report.get(&name), Json::is_u64), &name)
}

fn rows(report: &Map<String, Json>, table: Table) -> Checked {
    let name = table.name();
    let picture = format!("{name}_image");
    demand(optional(report.get(&picture), Json::is_string), &picture)?;
    let rows = match report.get(name) {
        None | Some(Json::Null) => return Ok(()),
        Some(rows) => rows.as_array().ok_or_else(|| Lie(name.to_owned()))?,
    };
    demand(rows.len() <= MAX_ROWS, name)?;
    for row in rows {
        let cells = row.as_array().map(Vec::as_slice).unwrap_or_default();
        // The contract shows rows of bad debts with three cells and with five.
        let short = table == Table::BadDebt && cells.len() == 3;
        demand(short || cells.len() == table.columns(), name)?;
        for (column, cell) in cells.iter().enumerate() {
            let is_list = table.debts_column() == Some(column);
            let fits = if is_list { is_debts(cell) } else { is_cell(cell) };
            demand(fits, &format!("{name}[][{column}]"))?;
        }
    }
    Ok(())
}

fn is_cell(cell: &Json) -> bool {
    cell.is_object()
        && optional(cell.get("value"), is_text)
        && optional(cell.get("box"), is_bounds)
        && optional(cell.get("score"), is_share)
        && optional(cell.get("id"), Json::is_u64)
}

/// Lists side by side, all as long as that of the values.
fn is_debts(cell: &Json) -> bool {
    let Some(debts) = cell.get("value").and_then(Json::as_array) else { return false };
    let beside = |name: &str, fits: &dyn Fn(&Json) -> bool| {
        optional(cell.get(name), |list| {
            list.as_array().is_some_and(|list| list.len() == debts.len() && list.iter().all(fits))
        })
    };
    let is_debt = |debt: &Json| {
        debt.is_object()
            && optional(debt.get("debt_name"), is_text)
            && optional(debt.get("debt"), is_text)
    };
    debts.len() <= MAX_ROWS
        && debts.iter().all(is_debt)
        && beside("box", &is_bounds)
        && beside("score", &is_share)
        && beside("id", &|id| id.is_null() || id.is_u64())
}

/// Whether a member is absent, or as it should be.
fn optional(member: Option<&Json>, fits: impl FnOnce(&Json) -> bool) -> bool {
    member.is_none_or(|json| json.is_null() || fits(json))
}

fn all(list: &Json, fits: impl FnMut(&Json) -> bool) -> bool {
    list.as_array().is_some_and(|list| list.iter().all(fits))
}

fn is_text(json: &Json) -> bool {
    let fits = |text: &str| text.len() <= MAX_LENGTH && !text.chars().any(char::is_control);
    json.as_str().is_some_and(fits)
}

fn is_share(json: &Json) -> bool {
    json.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share))
}

/// Nothing, four edges, or corners of two coordinates each.
fn is_bounds(json: &Json) -> bool {
    let is_corner = |corner: &Json| all(corner, Json::is_number) && corner[1].is_number();
    let edges = |list: &Vec<Json>| list.is_empty() || list.len() == 4;
    (all(json, Json::is_number) && json.as_array().is_some_and(edges)) || all(json, is_corner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As the contract has it: no meta, no ids of cells.
    fn sample() -> Json {
        let cell = |value: &str| json!({"value": value, "box": [1, 2, 3, 4], "score": 0.9});
        let debts = json!({
            "value": [{"debt_name": "Dư nợ cho vay ngắn hạn", "debt": "12"}],
            "box": [[1, 2, 3, 4]],
            "score": [0.8],
        });
        json!({
            "data": {
                "info": [{
                    "cic_code": "0184618475",
                    "cic_code_box": [[1, 2], [3, 2], [3, 4], [1, 4]],
                    "cic_code_confidence": 0.98,
                    "cic_code_id": 0,
                    "address": null,
                    "address_box": [],
                    "imgs": [],
                    "loan_details": [[cell("1"), cell("01201001"), cell("X"), debts, cell("12")]],
                    "loan_details_image": "",
                    "bad_debt": [[cell("21/08/2021"), cell("3"), cell("1")]],
                    "new": {"in": "2027"},
                }],
                "type": "credit_report",
            },
            "errorCode": "0",
            "errorMessage": "Success",
        })
    }

    fn read(json: &Json) -> Result<Answer, Lie> {
        answer(json.to_string().as_bytes(), 2)
    }

    #[test]
    fn answer_of_the_contract_is_believed() {
        let answer = read(&sample()).unwrap();
        let [report] = &answer.reports[..] else { panic!("one report expected") };
        assert_eq!(report.scalar(Field::CicCode).text, "0184618475");
        assert_eq!(report.table(Table::BadDebt).rows[0].len(), 5);
    }

    #[test]
    fn answer_of_a_kiosk_is_believed_without_its_meta() {
        let own = Answer::success(vec![Default::default()], Default::default());
        let answer = read(&serde_json::to_value(own).unwrap()).unwrap();
        assert_eq!((answer.reports.len(), answer.meta), (1, None));
    }

    #[test]
    fn error_is_believed_without_data() {
        let answer = read(&json!({"errorCode": "4", "errorMessage": "no", "data": null})).unwrap();
        assert_eq!(answer.error, ErrorCode::Unauthorised);
    }

    #[test]
    fn one_member_that_is_wrong_makes_a_lie_of_all() {
        let report = "/data/info/0";
        for (place, wrong) in [
            ("/errorCode", json!(0)),
            ("/errorCode", json!("7")),
            ("/errorCode", json!("")),
            ("/errorMessage", json!(null)),
            ("/data", json!(null)),
            ("/data/type", json!("invoice")),
            ("/data/info", json!([])),
            ("/data/info", json!([{}, {}, {}])),
            ("/data/info", json!({})),
            (report, json!("report")),
            ("/data/info/0/cic_code", json!(184618475)),
            ("/data/info/0/cic_code", json!("0\n1")),
            ("/data/info/0/cic_code", json!("1".repeat(MAX_LENGTH + 1))),
            ("/data/info/0/cic_code_box", json!([1, 2, 3])),
            ("/data/info/0/cic_code_box", json!(["1", 2, 3, 4])),
            ("/data/info/0/cic_code_box", json!([[1], [2]])),
            ("/data/info/0/cic_code_confidence", json!(1.01)),
            ("/data/info/0/cic_code_confidence", json!(-0.1)),
            ("/data/info/0/cic_code_confidence", json!("0.9")),
            ("/data/info/0/cic_code_id", json!("0")),
            ("/data/info/0/cic_code_id", json!(-1)),
            ("/data/info/0/imgs", json!([1])),
            ("/data/info/0/loan_details_image", json!(["x"])),
            ("/data/info/0/loan_details", json!("none")),
            ("/data/info/0/loan_details", json!([[]])),
            ("/data/info/0/loan_details/0", json!([{}, {}, {}, {"value": []}])),
            ("/data/info/0/loan_details/0/0", json!("1")),
            ("/data/info/0/loan_details/0/0/value", json!(["1"])),
            ("/data/info/0/loan_details/0/0/score", json!(2)),
            ("/data/info/0/loan_details/0/3/value", json!("12")),
            ("/data/info/0/loan_details/0/3/value/0/debt", json!(12)),
            ("/data/info/0/loan_details/0/3/score", json!([])),
            ("/data/info/0/loan_details/0/3/box", json!([[1, 2, 3]])),
            ("/data/info/0/bad_debt/0", json!([{}, {}, {}, {}])),
        ] {
            let mut json = sample();
            *json.pointer_mut(place).expect(place) = wrong.clone();
            assert!(read(&json).is_err(), "{place}: {wrong}");
        }
    }

    #[test]
    fn what_is_no_json_is_a_lie_and_is_not_quoted() {
        for body in [&b""[..], b"<html>0184618475</html>", b"{\"errorCode\": \"0\"", b"\xff", b"[]"]
        {
            let Lie(member) = answer(body, 1).unwrap_err();
            assert!(!member.contains("0184618475"), "{member}");
        }
        assert!(answer("[".repeat(100_000).as_bytes(), 1).is_err(), "nested without end");
    }
}
