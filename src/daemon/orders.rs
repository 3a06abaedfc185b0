//! What the devices are told, over HTTP on the kiosk's Unix socket.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /sources` | how each device is, and its scan |
//! | `POST /orders/{start,done,cancel}` | tells the device that it fits, or `?source=NAME`, something |

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::capture::{CLOSED, Order, Source, Sources, Standing};

/// The routes.
pub fn router(sources: Sources) -> Router {
    Router::new()
        .route("/sources", get(standing))
        .route("/orders/{order}", post(order))
        .with_state(sources)
}

async fn standing(State(sources): State<Sources>) -> Json<Vec<Standing>> {
    Json(sources.standing())
}

#[derive(Deserialize)]
struct Whom {
    #[serde(default)]
    source: String,
}

async fn order(
    State(sources): State<Sources>,
    Path(order): Path<String>,
    Query(whom): Query<Whom>,
) -> Response {
    let Some(order) = Order::named(&order) else {
        return refused(StatusCode::NOT_FOUND, "the order is none of start, done and cancel");
    };
    let source = Source::named(&whom.source);
    if !whom.source.is_empty() && !source.is_some_and(|source| sources.has(source)) {
        return refused(StatusCode::NOT_FOUND, "this kiosk has no such source that takes orders");
    }
    if sources.order(source, order) {
        return (StatusCode::ACCEPTED, Json(json!({}))).into_response();
    }
    let detail = match order {
        Order::Start if sources.are_closed() => CLOSED,
        Order::Start => "no source is ready",
        Order::Done | Order::Cancel => "no source has a scan",
    };
    refused(StatusCode::CONFLICT, detail)
}

fn refused(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({ "detail": detail }))).into_response()
}
