//! The customer's pages: one address, whose page is where the visit stands.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /kiosk` | the page |
//! | `GET /kiosk/events` | tells of changes: `page`, `sight` and `idle` |
//! | `GET /kiosk/preview` | what the camera sees |
//! | `GET /kiosk/pages/{visit}/{revision}/{n}` | the n-th captured page, from 1 |
//! | `POST /kiosk/{action}` | what a button does; it names the visit that its page showed |

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use cic_kiosk::config::{Config, Sent as Part};
use futures_util::stream::{self, Stream};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use ulid::Ulid;

use super::assets::{CUSTOMER, STYLE};
use super::page::page;
use super::view::{Level, Reading, Shown};
use super::visit::{Sent, Step, Visit, Visits, WARNING};
use super::words::{self, Words, counted};
use crate::capture::{Preview, Sight, Source};

/// How often a page is told that the program is there.
const ALIVE: Duration = Duration::from_secs(5);

/// How often what a scanner says is looked at.
const GLANCE: Duration = Duration::from_millis(500);

/// The customer's pages.
pub fn router(visits: Visits) -> Router {
    Router::new()
        .route("/kiosk", get(show))
        .route("/kiosk/events", get(events))
        .route("/kiosk/preview", get(preview))
        .route("/kiosk/pages/{visit}/{revision}/{number}", get(picture))
        .route("/kiosk/{action}", post(act))
        .with_state(visits)
}

#[derive(Deserialize)]
struct Said {
    visit: Ulid,
    #[serde(default)]
    cloud: Option<String>,
}

async fn act(
    State(visits): State<Visits>,
    Path(action): Path<String>,
    Form(said): Form<Said>,
) -> Response {
    let Said { visit, cloud } = said;
    match action.as_str() {
        "agree" => visits.agree(visit, cloud.is_some()).await,
        "scan" => visits.scan(visit),
        "all" => visits.all(visit),
        "more" => visits.more(visit),
        "send" => visits.send(visit),
        "again" => visits.again(visit),
        "cancel" => visits.cancel(visit),
        "stay" | "keep" => visits.stay(visit),
        _ => return StatusCode::NOT_FOUND.into_response(),
    }
    Redirect::to("/kiosk").into_response()
}

async fn preview(State(visits): State<Visits>) -> Response {
    let preview = visits.preview().filter(|_| visits.now().step == Step::Put);
    // The next look after somebody wants one has a picture.
    let Some(mut preview) = preview else { return StatusCode::NOT_FOUND.into_response() };
    let seen = tokio::time::timeout(ALIVE, preview.wait_for(|it| it.picture.is_some())).await;
    match seen {
        Ok(Ok(seen)) => jpeg(seen.picture.as_deref().unwrap_or_default()),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn picture(
    State(visits): State<Visits>,
    Path((id, _, number)): Path<(Ulid, u64, usize)>,
) -> Response {
    let visit = visits.now();
    let reading = visit.reading.filter(|_| visit.id == id);
    let picture = reading.as_ref().and_then(|it| it.pictures.get(number.wrapping_sub(1)));
    picture.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |it| jpeg(&it.jpeg))
}

fn jpeg(bytes: &[u8]) -> Response {
    ([(header::CONTENT_TYPE, "image/jpeg")], bytes.to_vec()).into_response()
}

// What changes while the page is open.

/// What a page listens to.
struct Listener {
    visits: Visits,
    changes: watch::Receiver<u64>,
    preview: Option<watch::Receiver<Preview>>,
    /// The page that was told of last.
    told: Option<String>,
    words: Option<Words>,
    asked: bool,
}

async fn events(State(visits): State<Visits>) -> impl IntoResponse {
    let changes = visits.changes();
    let listener =
        Listener { visits, changes, preview: None, told: None, words: None, asked: false };
    let alive = KeepAlive::new().interval(ALIVE).event(Event::default().event("alive").data("1"));
    Sse::new(listener.events()).keep_alive(alive)
}

impl Listener {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut listener| {
            let event = listener.next().await?;
            Some((Ok(event), listener))
        })
    }

    /// The next thing to tell; none when the program ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let visit = self.visits.now();
            let key = key(&visit);
            if self.told.as_ref() != Some(&key) {
                // While pages are put, the camera shows what it sees.
                let looks = visit.step == Step::Put;
                self.preview = self.visits.preview().filter(|_| looks);
                (self.words, self.asked) = (None, false);
                self.told = Some(key.clone());
                return Some(Event::default().event("page").data(key));
            }
            let asks_at = visit.asks_at().filter(|_| !self.asked);
            if asks_at.is_some_and(|at| Instant::now() >= at) {
                self.asked = true;
                return Some(Event::default().event("idle").data(WARNING.as_secs().to_string()));
            }
            let scanner = if visit.step == Step::Put { scanner(&self.visits) } else { None };
            if let (Some(words), None) = (&scanner, &self.preview)
                && self.words.as_ref() != Some(words)
            {
                self.words.clone_from(&scanner);
                let data = json!({"vi": words.vi, "en": words.en});
                return Some(Event::default().event("sight").data(data.to_string()));
            }
            let seen = async {
                match &mut self.preview {
                    Some(preview) => preview.changed().await.is_ok(),
                    None if scanner.is_some() => {
                        sleep(GLANCE).await;
                        false
                    }
                    None => std::future::pending().await,
                }
            };
            let asking = async {
                match asks_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = asking => {}
                is_seen = seen => if let (true, Some(preview)) = (is_seen, &mut self.preview) {
                    let seen = preview.borrow_and_update().clone();
                    let data = sight(&seen, camera_words(&self.visits));
                    return Some(Event::default().event("sight").data(data.to_string()));
                },
            }
        }
    }
}

/// A look of the camera, as the page's script takes it; `unseen` is what is told where there was
/// none.
fn sight(seen: &Preview, unseen: Words) -> serde_json::Value {
    let words = seen.sight.as_ref().map_or(unseen, words::sight);
    json!({
        "vi": words.vi,
        "en": words.en,
        "outline": seen.outline,
        "picture": seen.picture.as_ref().map(|_| format!("/kiosk/preview?{}", seen.number)),
    })
}

/// What a camera says that has seen nothing yet.
fn camera_words(visits: &Visits) -> Words {
    let mut devices = visits.devices().into_iter();
    match devices.find(|(source, _)| *source == Source::Camera) {
        Some((_, state)) if state.is_well() => words::sight(&Sight::Empty),
        _ => words::camera_is_away(),
    }
}

/// What the scanner says, where there is one.
fn scanner(visits: &Visits) -> Option<Words> {
    let mut devices = visits.devices().into_iter();
    let (_, state) = devices.find(|(source, _)| *source != Source::Camera)?;
    Some(words::scanner(&state))
}

/// Names a page: another name, another page.
fn key(visit: &Visit) -> String {
    format!("{}-{}", visit.id, visit.revision)
}

// The pages.

async fn show(State(visits): State<Visits>) -> Html<String> {
    let visit = visits.now();
    let settings = visits.settings();
    let title = match visit.step {
        Step::Consent => "Báo cáo CIC",
        Step::Put => "Đặt giấy",
        Step::Reading => "Đang đọc",
        Step::Check => "Kiểm tra",
        Step::Sending => "Đang gửi",
        Step::Done => "Xong",
        Step::Unsent => "Chưa gửi được",
        Step::Sorry => "Xin lỗi",
    };
    let body = html! {
        body.kiosk {
            div #lost role="alert" hidden {
                p { (both("Mất kết nối với máy. Xin chờ trong giây lát…",
                          "The kiosk does not answer. Please wait a moment…")) }
            }
            main data-step=(visit.step.as_str()) data-key=(key(&visit)) {
                (way(visit.step))
                @match visit.step {
                    Step::Consent => (consent(&visit, &settings)),
                    Step::Put => (put(&visit, &visits)),
                    Step::Reading => (reading(&visit)),
                    Step::Check => (check(&visit)),
                    Step::Sending => (sending()),
                    Step::Done => (done(&visit)),
                    Step::Unsent => (unsent(&visit)),
                    Step::Sorry => (sorry(&visit)),
                }
            }
            (idle(&visit))
        }
    };
    Html(page("vi", title, &STYLE, Some(&CUSTOMER), &body).into_string())
}

/// How far the visit has come.
fn way(step: Step) -> Markup {
    let stations = [
        ("Đồng ý", "Consent", &[Step::Consent, Step::Sorry][..]),
        ("Đặt giấy", "Pages", &[Step::Put, Step::Reading]),
        ("Kiểm tra", "Check", &[Step::Check, Step::Sending, Step::Unsent]),
        ("Xong", "Done", &[Step::Done]),
    ];
    let at = stations.iter().position(|(_, _, steps)| steps.contains(&step)).unwrap_or_default();
    html! {
        ol.way {
            @for (index, (vi, en, _)) in stations.iter().enumerate() {
                li.past[index < at] aria-current=[(index == at).then_some("step")] { (both(vi, en)) }
            }
        }
    }
}

/// The same in both languages, the Vietnamese first.
fn both(vi: &str, en: &str) -> Markup {
    html! { span.vi { (vi) } " " span.en lang="en" { (en) } }
}

fn told(words: &Words) -> Markup {
    both(&words.vi, &words.en)
}

fn heading(vi: &str, en: &str) -> Markup {
    html! { h1 #heading tabindex="-1" { (both(vi, en)) } }
}

/// A button that does something for this visit.
fn button(visit: &Visit, action: &str, class: &str, vi: &str, en: &str) -> Markup {
    html! {
        form method="post" action={ "/kiosk/" (action) } {
            input type="hidden" name="visit" value=(visit.id);
            button id=(action) class=(class) { (both(vi, en)) }
        }
    }
}

fn consent(visit: &Visit, settings: &Config) -> Markup {
    let hours = settings.outbox.keep_delivered_hours;
    let cloud = settings.cloud.enabled;
    let (kept, kept_en) = if settings.mqtt.pictures {
        (
            "Kết quả gửi đi có kèm ảnh các trang.",
            "The result that is sent has pictures of the pages.",
        )
    } else {
        ("Ảnh được xóa ngay khi đọc xong.", "Pictures are erased once they were read.")
    };
    html! {
        (heading("Đọc báo cáo tín dụng CIC", "Read a CIC credit report"))
        dl.facts {
            dt { (both("Máy đọc gì", "What is read")) }
            dd { (both("Các trang báo cáo tín dụng mà quý khách đặt vào: mã CIC, số giấy tờ, địa chỉ, điểm và các khoản nợ.",
                       "The pages of your credit report: CIC number, ID number, address, score and debts.")) }
            dt { (both("Để làm gì", "Why")) }
            dd { (both("Để chi nhánh nhận hồ sơ mà không phải nhập lại bằng tay.",
                       "So that the branch receives it without typing it in.")) }
            dt { (both("Gửi đi đâu", "Where it goes")) }
            dd { (both("Máy đọc tại chỗ. Kết quả chỉ gửi đến hệ thống của chi nhánh này, sau khi quý khách xem và đồng ý.",
                       "It is read on this machine. The result goes to this branch's systems alone, after you have seen it.")) }
            dt { (both("Giữ bao lâu", "How long it is kept")) }
            dd { (both(&format!("{kept} Kết quả trên máy được mã hóa và xóa sau {hours} giờ kể từ khi gửi."),
                       &format!("{kept_en} The result on this machine is encrypted, and erased {} after it was sent.", counted(hours as usize, "hour")))) }
        }
        form method="post" action="/kiosk/agree" {
            input type="hidden" name="visit" value=(visit.id);
            @if cloud {
                label.choice for="cloud" {
                    input #cloud type="checkbox" name="cloud" value="yes" autocomplete="off"
                        data-forget=(settings.screen.idle_seconds);
                    span { (cloud_words(settings)) }
                }
            }
            button #agree.main { (both("Tôi đồng ý, bắt đầu", "I agree, begin")) }
        }
        p.note { (both("Quý khách có thể dừng bất cứ lúc nào; khi đó mọi thứ bị xóa.",
                       "You can stop at any time; everything is forgotten then.")) }
    }
}

fn cloud_words(settings: &Config) -> Markup {
    let host = settings.cloud.hosts.first().map(String::as_str).unwrap_or_default();
    let (vi, en) = match settings.cloud.send {
        Part::Pages => ("những trang chưa đọc rõ", "pages that were not read well"),
        Part::Document => ("toàn bộ báo cáo", "the whole report"),
    };
    both(
        &format!(
            "Không bắt buộc: nếu máy đọc chưa rõ, tôi cho phép gửi {vi} đến dịch vụ bên ngoài {host} để đọc lại."
        ),
        &format!(
            "Optional: where this machine is not sure, {en} may be sent to the service {host} outside the branch."
        ),
    )
}

fn put(visit: &Visit, visits: &Visits) -> Markup {
    let devices = visits.devices();
    let camera = devices.iter().find(|(source, _)| *source == Source::Camera);
    let scanner = devices.iter().find(|(source, _)| *source != Source::Camera);
    let count = visit.page_count();
    let words = match (&visit.again, camera, scanner) {
        (Some((_, wrong)), _, _) => words::finding(*wrong),
        (None, None, Some((_, state))) => words::scanner(state),
        (None, _, _) => camera_words(visits),
    };
    html! {
        (heading("Đặt từng trang báo cáo", "Put the pages one by one"))
        @if let Some((number, _)) = visit.again {
            p.wrong { (both(&format!("Xin chụp lại trang {number}."), &format!("Page {number} once more, please."))) }
        }
        p #words .words role="status" { (told(&words)) }
        div.stage {
            @if camera.is_some() {
                figure.live {
                    img #live alt="Hình ảnh trực tiếp từ máy ảnh" hidden;
                    svg #outline viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true" {
                        polygon points="" {}
                    }
                }
            }
            @if let Some(reading) = &visit.reading {
                @if let Some(index) = reading.pictures.len().checked_sub(1) {
                    (sheet(visit, reading, index))
                }
            } @else if count == 0 && camera.is_none() {
                (scanner_drawing())
            } @else if count > 0 && visit.again.is_none() {
                p.busy role="status" { (both(&format!("Đang đọc trang {count}…"), &format!("Reading page {count}…"))) }
            }
        }
        p #count .count { (both(&format!("Đã nhận {count} trang."), &format!("{} taken.", counted(count, "page")))) }
        nav.actions {
            @if count > 0 {
                (button(visit, "all", "main", "Đã đủ trang", "Those were all"))
            }
            @if scanner.is_some() {
                (button(visit, "scan", if count > 0 { "" } else { "main" }, "Quét", "Scan"))
            }
            @if count > 0 {
                (button(visit, "again", "", "Làm lại từ đầu", "Start over"))
            }
            (button(visit, "cancel", "", "Hủy", "Cancel"))
        }
    }
}

/// A scanner, and where its paper goes.
fn scanner_drawing() -> Markup {
    html! {
        svg.drawing viewBox="0 0 240 150" aria-hidden="true" {
            path.tray d="M52 78 30 30h180l-22 48z" {}
            g.sheets-in {
                rect.sheet-in x="70" y="6" width="100" height="72" rx="2" {}
                path.lines d="M82 22h76M82 34h76M82 46h52" {}
            }
            rect.case x="24" y="78" width="192" height="54" rx="10" {}
            path.slot d="M52 90h136" {}
            circle.lamp cx="190" cy="112" r="6" {}
            path.foot d="M48 132v8M192 132v8" {}
        }
    }
}

fn reading(visit: &Visit) -> Markup {
    let count = visit.page_count();
    html! {
        (heading("Đang đọc…", "Reading…"))
        div role="status" {
            ol.progress {
                li.done { (both(&format!("Đã chụp {count} trang"), &format!("{} taken", counted(count, "page")))) }
                li.now { (both("Đang đọc chữ và bảng", "Text and tables are being read")) }
                li { (both("Đối chiếu các con số", "Figures are checked against each other")) }
            }
        }
        nav.actions { (button(visit, "cancel", "", "Hủy", "Cancel")) }
    }
}

fn check(visit: &Visit) -> Markup {
    let Some(reading) = visit.reading.as_deref().filter(|reading| reading.is_report) else {
        let has_failed = visit.reading.as_ref().is_some_and(|reading| !reading.is_read);
        return html! {
            @if has_failed {
                (heading("Máy chưa đọc được", "The machine could not read it"))
                p #words .words role="status" {
                    (both("Xin thử lại, hoặc gọi nhân viên. Chưa có gì được gửi đi.",
                          "Please try again, or call the staff. Nothing was sent."))
                }
            } @else {
                (heading("Không tìm thấy báo cáo tín dụng CIC", "This is no CIC credit report"))
                p #words .words role="status" {
                    (both("Giấy này không phải báo cáo tín dụng CIC, hoặc chụp chưa rõ. Chưa có gì được gửi đi.",
                          "This paper is no CIC credit report, or cannot be read. Nothing was sent."))
                }
            }
            nav.actions {
                (button(visit, "again", "main", "Thử lại", "Try again"))
                (button(visit, "cancel", "", "Hủy", "Cancel"))
            }
        };
    };
    let (all, doubtful) = (reading.values.len(), reading.doubtful());
    html! {
        (heading("Xin kiểm tra", "Please check"))
        p #words .words role="status" {
            @if doubtful == 0 {
                (both(&format!("Đã đọc {all} giá trị, tất cả đều rõ."), &format!("{} read, and clear.", counted(all, "value"))))
            } @else {
                (both(&format!("Đã đọc {all} giá trị; {doubtful} giá trị chưa chắc chắn, nhân viên sẽ xem lại."),
                      &format!("{} read, {doubtful} of them not sure: the staff will look at that.", counted(all, "value"))))
            }
        }
        @if !reading.missing.is_empty() {
            p.wrong { (both(&format!("Thiếu trang {}.", list(&reading.missing)), &format!("Missing: {}.", pages(&reading.missing)))) }
        }
        @if !reading.others.is_empty() {
            p.wrong { (both(&format!("Không thuộc báo cáo, không được đọc: trang {}.", list(&reading.others)),
                            &format!("Of another paper, and not read: {}.", pages(&reading.others)))) }
        }
        div.review {
            div.sheets { @for index in 0..reading.pictures.len() { (sheet(visit, reading, index)) } }
            ol.values tabindex="0" aria-label="Các giá trị đã đọc" {
                @for (index, shown) in reading.values.iter().enumerate() { (value(index, shown)) }
            }
        }
        nav.actions {
            (button(visit, "send", "main", "Đúng, gửi đi", "Correct, send it"))
            (button(visit, "more", "", "Thêm trang", "Another page"))
            (button(visit, "again", "", "Làm lại từ đầu", "Start over"))
            (button(visit, "cancel", "", "Hủy", "Cancel"))
        }
    }
}

fn pages<T: ToString>(numbers: &[T]) -> String {
    let one = if numbers.len() == 1 { "page" } else { "pages" };
    format!("{one} {}", list(numbers))
}

fn list<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A page with a box around each of its values; a tap leads to the value.
fn sheet(visit: &Visit, reading: &Reading, index: usize) -> Markup {
    let Some(picture) = reading.pictures.get(index) else { return html! {} };
    let (width, height) = picture.size;
    let number = index + 1;
    let boxes = reading.values.iter().enumerate().filter_map(|(at, shown)| {
        let (page, bounds) = shown.place?;
        (page == index).then_some((at, shown, bounds))
    });
    html! {
        figure.sheet {
            svg viewBox={ "0 0 " (width) " " (height) } role="group" aria-label={ "Trang " (number) } {
                image href={ "/kiosk/pages/" (visit.id) "/" (visit.revision) "/" (number) }
                    width=(width) height=(height) {}
                @for (at, shown, [left, top, right, bottom]) in boxes {
                    a href={ "#value-" (at) } tabindex="-1" aria-label=(shown.what.vi) {
                        rect.box data-level=(shown.level.as_str()) data-value=(at)
                            x=(left - 4) y=(top - 4) width=((right - left + 8).max(1))
                            height=((bottom - top + 8).max(1)) rx="4" {}
                    }
                }
            }
            figcaption { (both(&format!("Trang {number}"), &format!("Page {number}"))) }
        }
    }
}

fn value(index: usize, shown: &Shown) -> Markup {
    let (vi, en) = match shown.level {
        Level::Sure => ("rõ", "sure"),
        Level::Doubtful => ("chưa chắc", "not sure"),
        Level::Poor => ("khó đọc", "hard to read"),
    };
    html! {
        li.value id={ "value-" (index) } data-level=(shown.level.as_str()) tabindex="-1" {
            span.what { (told(&shown.what)) }
            strong { (shown.text) }
            span.level { (both(vi, en)) }
        }
    }
}

fn sending() -> Markup {
    html! {
        (heading("Đang gửi…", "Sending…"))
        p #words .words role="status" { (both("Xin chờ trong giây lát.", "One moment, please.")) }
    }
}

fn done(visit: &Visit) -> Markup {
    let Some(sent) = visit.sent else { return sending() };
    let vi = format!("Kết quả của {} trang ({} giá trị)", sent.pages, sent.values);
    let (pages, values) = (counted(sent.pages, "page"), counted(sent.values, "value"));
    let en = format!("The result of {pages} ({values})");
    html! {
        (heading("Xong. Xin cảm ơn quý khách!", "Done. Thank you!"))
        p #words .words role="status" {
            @if sent.connected {
                (both(&format!("{vi} đã được chuyển đến chi nhánh."), &format!("{en} is on its way to the branch.")))
            } @else {
                (both(&format!("{vi} được giữ an toàn, đã mã hóa, và sẽ được gửi khi có kết nối."),
                      &format!("{en} is kept safe and encrypted, and will be sent when the connection is back.")))
            }
        }
        (outside(sent))
        p.words { (both("Xin nhớ lấy lại giấy tờ.", "Please take your paper with you.")) }
        nav.actions {
            (button(visit, "cancel", "main", "Kết thúc", "Finish"))
            @if !visit.stays { (button(visit, "keep", "", "Để tôi đọc thêm", "More time")) }
        }
    }
}

/// What has left the branch.
fn outside(sent: Sent) -> Markup {
    html! {
        p {
            @if sent.cloud {
                (both("Những chỗ chưa rõ có thể đã được gửi đến dịch vụ bên ngoài, như quý khách cho phép.",
                      "What was not sure may have been sent to the service outside, as you allowed."))
            } @else {
                (both("Không có gì được gửi ra ngoài chi nhánh.", "Nothing was sent outside the branch."))
            }
        }
    }
}

fn unsent(visit: &Visit) -> Markup {
    html! {
        (heading("Chưa gửi được", "It could not be sent"))
        p #words .words role="status" {
            (both("Chi nhánh chưa nhận được kết quả, và máy sẽ không tự gửi lại. Xin gọi nhân viên.",
                  "The branch has not got the result, and this kiosk will not send it again by itself. Please call the staff."))
        }
        p {
            (both("Hồ sơ được giữ trên máy, đã mã hóa, cho đến khi nhân viên xử lý.",
                  "It is kept on this machine, encrypted, until the staff have dealt with it."))
        }
        @if let Some(sent) = visit.sent { (outside(sent)) }
        p.words { (both("Xin cầm theo giấy tờ khi gặp nhân viên.", "Please take your paper with you to the staff.")) }
        nav.actions {
            (button(visit, "cancel", "main", "Kết thúc", "Finish"))
            @if !visit.stays { (button(visit, "keep", "", "Để tôi đọc thêm", "More time")) }
        }
    }
}

fn sorry(visit: &Visit) -> Markup {
    html! {
        (heading("Máy tạm thời không nhận hồ sơ", "This kiosk takes no papers now"))
        p #words .words role="status" {
            (both("Xin gọi nhân viên, hoặc thử lại sau.", "Please call the staff, or try again later."))
        }
        nav.actions {
            (button(visit, "cancel", "main", "Về trang đầu", "To the beginning"))
            @if !visit.stays { (button(visit, "keep", "", "Để tôi đọc thêm", "More time")) }
        }
    }
}

/// Asks whether somebody is there, before everything is forgotten.
fn idle(visit: &Visit) -> Markup {
    html! {
        dialog #idle aria-labelledby="idle-title" {
            h2 #idle-title { (both("Quý khách còn ở đây không?", "Are you still there?")) }
            p { (both("Sau 20 giây mọi thứ sẽ bị xóa.", "In 20 seconds everything will be forgotten.")) }
            (button(visit, "stay", "main", "Tôi vẫn ở đây", "I am here"))
        }
    }
}
