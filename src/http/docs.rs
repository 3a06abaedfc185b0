//! `/docs`: Swagger UI over `/openapi.json`. It is built in, so it works without internet.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::response::Html;
use axum::routing::get;
use swagger_ui_dist::{ApiDefinition, OpenApiSource, generate_routes};

/// Where its own files lie.
const FILES: &str = "/docs/files";

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Credit report API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/files/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/files/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"#;

/// A file of its own, because the page allows no script within it.
const START: &str = "SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui'});\n";

/// Swagger UI sets styles on elements, and draws its icons from data URLs.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' \
     data:; connect-src 'self'; frame-ancestors 'none'",
);

/// The page and its files.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let javascript: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/javascript")];
    let files = generate_routes(ApiDefinition {
        uri_prefix: FILES,
        api_definition: OpenApiSource::Uri("/openapi.json"),
        title: None,
    });
    Router::new()
        .route("/docs", get(async || Html(PAGE)))
        .route("/docs/start.js", get(async move || (javascript, START)))
        .merge(files.with_state(()))
        .layer(middleware::map_response(async |mut response: axum::response::Response| {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
            response
        }))
}
