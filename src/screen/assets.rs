//! What pages consist of beside their text: style sheets, scripts, and the mark.
//!
//! Promises: a browser may keep them for as long as it likes, as another content has another name;
//! they hold nothing of anybody.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// A file of the program's.
pub struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! asset {
    ($name:literal, $kind:literal) => {
        Asset { name: $name, kind: $kind, content: include_str!(concat!("assets/", $name)) }
    };
}

/// What the customer's pages look like.
pub const STYLE: Asset = asset!("screen.css", "text/css; charset=utf-8");
/// What makes the customer's page live.
pub const CUSTOMER: Asset = asset!("kiosk.js", "text/javascript; charset=utf-8");
/// What the technician's pages look like.
pub const ADMIN_STYLE: Asset = asset!("admin.css", "text/css; charset=utf-8");
/// What makes the technician's pages live.
pub const ADMIN: Asset = asset!("admin.js", "text/javascript; charset=utf-8");

const ALL: [&Asset; 4] = [&STYLE, &CUSTOMER, &ADMIN_STYLE, &ADMIN];

/// Of all contents: a program with others is a new one.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    ALL.iter().for_each(|asset| asset.content.hash(&mut hasher));
    format!("{:016x}", hasher.finish())
});

impl Asset {
    /// Where it is.
    pub fn address(&self) -> String {
        format!("/assets/{}/{}", *VERSION, self.name)
    }
}

/// Serves them.
pub fn router() -> Router {
    Router::new().route("/assets/{version}/{name}", get(asset))
}

async fn asset(Path((version, name)): Path<(String, String)>) -> Response {
    let Some(asset) = ALL.iter().find(|asset| asset.name == name && version == *VERSION) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.content).into_response()
}
