//! The OpenAPI 3.1 document: what stands in it is made from the types that do the work.

use axum::Json;
use cic_kiosk::report::schema::{Answer, ErrorCode};
use cic_kiosk::request::FormatType;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::CREDIT_REPORT;

/// Version of the contract, which its path names, too; not the program's.
const VERSION: &str = "2";

/// `GET /openapi.json`.
pub async fn document() -> Json<Value> {
    Json(openapi())
}

fn openapi() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .for_serialize()
        .into_generator();
    let answer = generator.subschema_for::<Answer>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Credit report",
            "version": VERSION,
            "description": "Reads CIC credit reports (form S11A) from pictures and PDFs.",
        },
        "security": [],
        "paths": {
            CREDIT_REPORT: {"get": by_url(&answer), "post": by_body(&answer)},
            "/healthz": {"get": health("Whether the program runs", false)},
            "/readyz": {"get": health("Whether it can take documents", true)},
            "/metrics": {"get": {
                "operationId": "metrics",
                "summary": "Figures for Prometheus (OpenMetrics text)",
                "responses": {"200": {
                    "description": "all figures",
                    "content": {"application/openmetrics-text": {"schema": {"type": "string"}}},
                }},
            }},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "basic",
                "description": "api_key as user, api_secret as password",
            }},
        },
    })
}

fn by_url(answer: &impl serde::Serialize) -> Value {
    let img = json!({
        "name": "img",
        "in": "query",
        "required": true,
        "description": "address of a picture (JPEG, PNG, TIFF, WebP, BMP) or PDF",
        "schema": {"type": "string", "format": "uri", "minLength": 1},
        "example": "https://example.com/image.png",
    });
    json!({
        "operationId": "creditReportByUrl",
        "summary": "Read the document at an address",
        "security": [{"key": []}],
        "parameters": [img, format_type(&[FormatType::Url]), get_thumb()],
        "responses": responses(answer),
    })
}

fn by_body(answer: &impl serde::Serialize) -> Value {
    let file = json!({"type": "string", "contentMediaType": "application/octet-stream"});
    let base64 = json!({
        "type": "string",
        "minLength": 1,
        "contentEncoding": "base64",
        "description": "standard or URL-safe alphabet; line breaks and the head of a data URL are \
                        skipped",
    });
    let with =
        |img: Value| json!({"type": "object", "required": ["img"], "properties": {"img": img}});
    json!({
        "operationId": "creditReportByBody",
        "summary": "Read a document that is sent",
        "security": [{"key": []}],
        "parameters": [format_type(&[FormatType::File, FormatType::Base64]), get_thumb()],
        "requestBody": {
            "required": true,
            "content": {
                "multipart/form-data": {"schema": with(file)},
                "application/json": {"schema": with(base64)},
            },
        },
        "responses": responses(answer),
    })
}

fn format_type(of: &[FormatType]) -> Value {
    let names: Vec<&str> = of.iter().map(|format| format.name()).collect();
    json!({
        "name": "format_type",
        "in": "query",
        "description": "what img is; without it, what it looks like",
        "schema": {"type": "string", "enum": names},
    })
}

fn get_thumb() -> Value {
    json!({
        "name": "get_thumb",
        "in": "query",
        "description": "whether to return pictures of the aligned pages and of the tables",
        "schema": {"type": "boolean", "default": false},
    })
}

fn responses(answer: &impl serde::Serialize) -> Map<String, Value> {
    let response = |description: String, headers: &[&str]| {
        let header = |name: &&str| {
            let kind = if *name == "Retry-After" { "integer" } else { "string" };
            ((*name).to_owned(), json!({"required": true, "schema": {"type": kind}}))
        };
        let headers: Map<String, Value> = headers.iter().map(header).collect();
        json!({
            "description": description,
            "headers": headers,
            "content": {"application/json": {"schema": answer}},
        })
    };
    let of_code = |code: ErrorCode| {
        let headers: &[&str] = match code {
            ErrorCode::Unauthorised => &["WWW-Authenticate"],
            ErrorCode::OutOfRequests => &["Retry-After"],
            _ => &[],
        };
        let description = format!("errorCode {}: {}", code.digit(), code.message());
        (code.http_status().to_string(), response(description, headers))
    };
    let full = response("errorCode 6: too many documents are being read".into(), &["Retry-After"]);
    ErrorCode::ALL.into_iter().map(of_code).chain([("503".to_owned(), full)]).collect()
}

fn health(summary: &str, can_fail: bool) -> Value {
    let status = json!({
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string"}},
    });
    let mut responses = Map::new();
    for (code, description) in [("200", "it is so"), ("503", "not now")] {
        if code == "200" || can_fail {
            let content = json!({"application/json": {"schema": status}});
            let response = json!({"description": description, "content": content});
            responses.insert(code.to_owned(), response);
        }
    }
    let id = if can_fail { "readyz" } else { "healthz" };
    json!({"operationId": id, "summary": summary, "responses": responses})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = openapi();
        let mut open = vec![&document];
        let mut references = 0;
        while let Some(value) = open.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(path)) = map.get("$ref") {
                        references += 1;
                        assert!(document.pointer(&path[1..]).is_some(), "{path}");
                    }
                    open.extend(map.values());
                }
                Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
        assert!(references > 10, "{references}");
    }

    #[test]
    fn the_answer_has_the_contracts_members_in_its_order() {
        let document = openapi();
        let report = &document["components"]["schemas"]["Report"]["properties"];
        let names: Vec<&String> = report.as_object().unwrap().keys().collect();
        assert_eq!(names[0], "report_time");
        assert_eq!(names.last().unwrap().as_str(), "customers_look_up_image");
        assert_eq!(names.len(), 8 * 4 + 1 + 8 * 2);
        let debts = &report["loan_details"]["items"]["prefixItems"][3]["properties"]["value"];
        assert_eq!(debts["type"], "array");
    }

    #[test]
    fn all_codes_of_the_contract_have_their_response() {
        let responses = &openapi()["paths"][CREDIT_REPORT]["get"]["responses"];
        let statuses: Vec<&String> = responses.as_object().unwrap().keys().collect();
        assert_eq!(statuses, ["200", "422", "424", "400", "401", "429", "500", "503"]);
    }
}
