//! What all of the technician's pages have around them, and pieces that several are made of.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, Render, html};

use super::Deck;
use crate::screen::assets::{ADMIN, ADMIN_STYLE};
use crate::screen::page;

/// Something to show.
pub type Page = Result<Response, Trouble>;

/// Where pages are, and what they are called.
const PAGES: [(&str, &str); 8] = [
    ("/admin", "Overview"),
    ("/admin/charts", "Charts"),
    ("/admin/scans", "Last scans"),
    ("/admin/camera", "Camera"),
    ("/admin/test", "Test"),
    ("/admin/log", "Log"),
    ("/admin/configuration", "Configuration"),
    ("/admin/doctor", "Doctor"),
];

/// A page for who is logged in; `place` is its address.
pub fn framed(deck: &Deck, place: &str, content: &Markup) -> Response {
    let title = PAGES.iter().find(|(address, _)| *address == place).map_or("", |(_, title)| title);
    let kiosk = deck.settings.borrow().kiosk.clone();
    let name = |name: &Option<_>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    let (branch, id) = (name(&kiosk.branch), name(&kiosk.id));
    let body = html! {
        a.skip href="#main" { "To the content" }
        header {
            p.kiosk { strong { (id) } " · branch " (branch) }
            form method="post" action="/admin/logout" { button.quiet { "Log out" } }
        }
        nav aria-label="Pages" {
            ul {
                @for (address, title) in PAGES {
                    @let current = (address == place).then_some("page");
                    li { a href=(address) aria-current=[current] { (title) } }
                }
            }
        }
        main #main tabindex="-1" {
            h1 { (title) }
            p.alert #gone role="status" hidden {
                "The kiosk's program does not answer. What is below is old; this page tries again."
            }
            (content)
        }
    };
    outer(title, &body).into_response()
}

/// A page with nothing around it.
pub fn outer(title: &str, body: &Markup) -> Html<String> {
    let title = format!("{title} · cic-kiosk");
    let body = html! { body { (body) } };
    Html(page::page("en", &title, &ADMIN_STYLE, Some(&ADMIN), &body).into_string())
}

/// Why there is no page, in words that say what to do; nothing of a paper is in them.
#[derive(Debug)]
pub struct Trouble(StatusCode, String);

impl Trouble {
    /// With this status.
    pub fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self(status, words.into())
    }

    /// The kiosk's own.
    pub fn internal(reason: &str) -> Self {
        log::error!("a technician's page cannot be shown: {reason}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("This does not work: {reason}"))
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let Self(status, words) = self;
        let body = html! {
            main.login #main {
                h1 { "Not to be had" }
                p.alert { (words) }
                p { a href="/admin" { "To the overview" } }
            }
        };
        (status, outer("Not to be had", &body)).into_response()
    }
}

/// How something is, told by a word and a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    Good,
    Warning,
    Bad,
    Off,
}

impl Light {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }

    /// Good or not.
    pub fn is(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }

    /// A word in its colour.
    pub fn word(self, word: &str) -> Markup {
        html! { span.light.(self.class()) { (word) } }
    }
}

/// A large figure.
pub fn tile(light: Light, value: &str, what: &str) -> Markup {
    html! { div.tile.(light.class()) { p.value { (value) } p.what { (what) } } }
}

/// A box with a heading.
pub fn panel(title: &str, content: &Markup) -> Markup {
    html! { section.panel { h2 { (title) } (content) } }
}

/// The same, as wide as the page.
pub fn wide(title: &str, content: &Markup) -> Markup {
    html! { section.panel.wide { h2 { (title) } (content) } }
}

/// Names and what they are; what is `None` is not known.
pub fn facts<const N: usize>(facts: [(&str, Option<Markup>); N]) -> Markup {
    html! {
        dl {
            @for (name, value) in facts.iter().filter_map(|(name, it)| Some((name, it.as_ref()?))) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

/// A fact of anything that can be shown.
pub fn fact(value: impl Render) -> Option<Markup> {
    Some(html! { (value) })
}

/// A table that can be scrolled by itself, with `numbers` of its last columns flush right.
pub fn table(label: &str, head: &[&str], numbers: usize, rows: &[Vec<Markup>]) -> Markup {
    let is_number = |place: usize| (place + numbers >= head.len()).then_some("n");
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead {
                    tr {
                        @for (place, name) in head.iter().enumerate() {
                            th scope="col" class=[is_number(place)] { (name) }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            @for (place, cell) in row.iter().enumerate() {
                                td class=[is_number(place)] { (cell) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A cell of a table.
pub fn cell(value: impl Render) -> Markup {
    html! { (value) }
}

/// Bytes for people.
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit < units.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$} {}", units[unit])
}

/// A time for people, by its two largest units.
pub fn lasting(time: Duration) -> String {
    let seconds = time.as_secs();
    let [days, hours, minutes] = [seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60];
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", seconds % 60),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A share of 1 in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_told_in_units_that_people_read() {
        assert_eq!([0, 999, 1500, 2_000_000].map(bytes), ["0 B", "999 B", "1.5 KB", "2.0 MB"]);
        assert_eq!([123_400_000, 999_999].map(bytes), ["123 MB", "1.0 MB"]);
        let of = |seconds| lasting(Duration::from_secs(seconds));
        assert_eq!(
            [of(5), of(65), of(3_720), of(90_000)],
            ["5 s", "1 min", "1 h 2 min", "1 d 1 h"]
        );
    }

    #[test]
    fn what_is_shown_is_text() {
        let shown = facts([("name", fact("<script>")), ("unknown", None)]).into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("unknown"), "{shown}");
    }
}
