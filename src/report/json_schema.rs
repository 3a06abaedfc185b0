//! The API's JSON as JSON Schema (2020-12), made from the same lists that write it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value as Json, json};

use super::schema::{Answer, ErrorCode, Field, Meta, Report, Table};

/// `[left, top, right, bottom]`, or nothing.
fn bounds() -> Json {
    json!({
        "type": "array",
        "items": {"type": "integer"},
        "maxItems": 4,
        "description": "[left, top, right, bottom] in pixels of the aligned page image; empty \
                        where nothing was read",
    })
}

fn confidence() -> Json {
    json!({"type": "number", "minimum": 0, "maximum": 1})
}

fn page() -> Json {
    json!({"type": ["integer", "null"], "minimum": 0, "description": "0-based index of the page"})
}

fn list_of(items: Json) -> Json {
    json!({"type": "array", "items": items})
}

/// An object all of whose members are always there.
fn object(properties: impl IntoIterator<Item = (String, Json)>) -> Json {
    let properties: Map<String, Json> = properties.into_iter().collect();
    let required: Vec<&String> = properties.keys().collect();
    json!({"type": "object", "required": required, "properties": properties})
}

/// A cell, or the lists of a cell that holds several values.
fn cell(value: Json, of: fn(Json) -> Json) -> Json {
    let parts = [("value", value), ("box", bounds()), ("score", confidence()), ("id", page())];
    object(parts.map(|(name, schema)| (name.to_owned(), of(schema))))
}

fn row(table: Table) -> Json {
    let text = json!({"type": "string"});
    let cells: Vec<Json> = (0..table.columns())
        .map(|column| {
            if table.debts_column() == Some(column) {
                let names = ["debt_name", "debt"];
                let debt = object(names.map(|name| (name.to_owned(), text.clone())));
                cell(debt, list_of)
            } else {
                cell(text.clone(), |schema| schema)
            }
        })
        .collect();
    let width = cells.len();
    json!({"type": "array", "prefixItems": cells, "minItems": width, "maxItems": width})
}

impl JsonSchema for Report {
    fn schema_name() -> Cow<'static, str> {
        "Report".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let base64 = json!({"type": "string", "contentEncoding": "base64"});
        let scalars = Field::ALL.into_iter().flat_map(|field| {
            let name = field.name();
            [
                (name.to_owned(), json!({"type": "string"})),
                (format!("{name}_box"), bounds()),
                (format!("{name}_confidence"), confidence()),
                (format!("{name}_id"), page()),
            ]
        });
        let pictures = [("imgs".to_owned(), list_of(base64.clone()))];
        let tables = Table::ALL.into_iter().flat_map(|table| {
            let name = table.name();
            [(name.to_owned(), list_of(row(table))), (format!("{name}_image"), base64.clone())]
        });
        Schema::try_from(object(scalars.chain(pictures).chain(tables))).unwrap_or_default()
    }
}

impl JsonSchema for Answer {
    fn schema_name() -> Cow<'static, str> {
        "Answer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let digits = ErrorCode::ALL.map(ErrorCode::digit);
        let mut messages = ErrorCode::ALL.map(ErrorCode::message).to_vec();
        messages.sort_unstable();
        messages.dedup();
        json_schema!({
            "type": "object",
            "required": ["data", "errorCode", "errorMessage"],
            "properties": {
                "data": {
                    "type": "object",
                    "required": ["info", "type"],
                    "properties": {
                        "info": {
                            "type": "array",
                            "items": generator.subschema_for::<Report>(),
                            "description": "one report for each found, in page order; none on an \
                                            error",
                        },
                        "type": {"const": "credit_report"},
                    },
                },
                "errorCode": {"enum": digits},
                "errorMessage": {"enum": messages},
                "meta": generator.subschema_for::<Meta>(),
            },
        })
    }
}
