//! Requests that are refused: whatever the framework says of them, people are told in the program's
//! words what to do, and nothing of what was sent is repeated.

use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use maud::html;

use super::assets::STYLE;
use super::page::page;
use super::words::Words;

/// What is refused to who is not at the kiosk.
pub fn elsewhere() -> Response {
    told(StatusCode::FORBIDDEN, "/kiosk")
}

/// An answer as it is, or in its place one in words. A page that says something itself is HTML.
pub fn in_words(answer: Response, asked: &Uri) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let is_page = kind.is_some_and(|kind| kind.starts_with("text/html"));
    if !answer.status().is_client_error() || is_page {
        return answer;
    }
    let allowed = answer.headers().get(header::ALLOW).cloned();
    let to = if asked.path().starts_with("/admin") { "/admin" } else { "/kiosk" };
    let mut told = told(answer.status(), to);
    if let Some(allowed) = allowed {
        told.headers_mut().insert(header::ALLOW, allowed);
    }
    told
}

/// A page that says so, and leads there.
fn told(status: StatusCode, to: &'static str) -> Response {
    let Words { vi, en } = words(status);
    let body = html! {
        body.kiosk {
            main {
                h1 { span.vi { (vi) } " " span.en lang="en" { (en) } }
                p { a.button href=(to) { span.vi { "Về trang đầu" } " " span.en lang="en" { "To the beginning" } } }
            }
        }
    };
    (status, Html(page("vi", "Không mở được", &STYLE, None, &body).into_string())).into_response()
}

fn words(status: StatusCode) -> Words {
    match status {
        StatusCode::FORBIDDEN => Words::new(
            "Trang này chỉ mở được tại chính máy này.",
            "Open this page at the kiosk itself.",
        ),
        StatusCode::NOT_FOUND => Words::new(
            "Không có trang này. Xin bắt đầu lại từ trang đầu.",
            "There is no such page. Start from the beginning.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => Words::new(
            "Trang này không nhận yêu cầu như vậy. Xin dùng các nút trên màn hình.",
            "This page takes no such request. Use the buttons on the screen.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => Words::new(
            "Nội dung gửi lên quá lớn. Xin gửi ngắn hơn.",
            "This is too large. Send something shorter.",
        ),
        _ => Words::new(
            "Yêu cầu không đầy đủ hoặc đã cũ. Xin mở lại trang và thử lại.",
            "What was sent is old, or not whole. Open the page again, and try once more.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn told(answer: impl IntoResponse) -> (StatusCode, String) {
        let answer = in_words(answer.into_response(), &Uri::from_static("/kiosk/agree"));
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_the_framework_says_is_replaced_and_pages_are_left_as_they_are() {
        let framework = (StatusCode::UNPROCESSABLE_ENTITY, "Failed to deserialize s3cret");
        let (status, text) = told(framework).await;
        assert!(status == framework.0 && !text.contains("s3cret"), "{status} {text}");
        assert!(text.contains("Open the page again") && text.contains("href=\"/kiosk\""), "{text}");
        assert_eq!(told((StatusCode::UNAUTHORIZED, Html("own"))).await.1, "own");
        assert_eq!(told("good").await.1, "good");
    }
}
