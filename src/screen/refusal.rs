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
    use axum::http::HeaderMap;

    use super::*;

    #[test]
    fn what_the_framework_says_is_replaced_and_pages_are_left_as_they_are() {
        let framework = (StatusCode::UNPROCESSABLE_ENTITY, "Failed to deserialize s3cret");
        let answer = in_words(framework.into_response(), &Uri::from_static("/kiosk/agree"));
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let own = (StatusCode::UNAUTHORIZED, HeaderMap::new(), Html("its own")).into_response();
        assert_eq!(in_words(own, &Uri::from_static("/admin")).headers().len(), 1);
        let good = in_words("good".into_response(), &Uri::from_static("/kiosk"));
        assert!(good.status() == StatusCode::OK && good.headers().len() == 2);
    }
}
