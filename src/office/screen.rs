//! The fleet, live: in a terminal, or as lines of what changes.

use std::collections::VecDeque;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, TableState};

use super::fleet::{Filter, Fleet, Kiosk, LevelState};
use super::seen::{Status, Telemetry};
use super::text::Text;
use super::topics::{Id, Topic};
use crate::mqtt::Message;

/// Changes that are shown.
const CHANGES: usize = 200;

/// Takes in a message, and says what has changed by it, if it is something to be told.
pub fn change(fleet: &mut Fleet, message: &Message) -> Option<String> {
    let id = match Topic::of(&message.topic) {
        Topic::Presence(id) | Topic::Telemetry(id) | Topic::Reported(id) => Some(id),
        _ => None,
    };
    let before = id.as_ref().map(|id| told(fleet, id));
    let odd = fleet.odd.len();
    fleet.take(message);
    if fleet.odd.len() > odd {
        let topic = Text::of(&message.topic);
        return fleet.odd.get(&topic).map(|what| format!("{topic}: {what}"));
    }
    let id = id?;
    let (before, after) = (before.unwrap_or_default(), told(fleet, &id));
    let changed: Vec<_> =
        before.into_iter().zip(after).filter(|(old, new)| old != new).map(|(_, new)| new).collect();
    let changed: Vec<_> = changed.into_iter().filter(|it| !it.is_empty()).collect();
    (!changed.is_empty()).then(|| format!("{id} {}", changed.join(", ")))
}

/// What of a kiosk is worth a line when it changes.
fn told(fleet: &Fleet, id: &Id) -> Vec<String> {
    let nothing = Kiosk::default();
    let kiosk = fleet.kiosks.get(id).unwrap_or(&nothing);
    let status = match &kiosk.presence {
        Some(presence) => {
            let reason = presence.reason.as_ref().map(|reason| format!(" ({reason})"));
            presence.status.name().to_owned() + &reason.unwrap_or_default()
        }
        None => String::new(),
    };
    let presence = kiosk.presence.as_ref();
    let version = presence.map(|it| format!("program {}", it.version)).unwrap_or_default();
    let models = presence.map(|it| it.models_shown()).filter(|it| !it.is_empty());
    let models = models.map(|it| format!("models {it}")).unwrap_or_default();
    let reported = kiosk.reported.as_ref().map(|it| {
        let versions = [("all", &it.all), ("branch", &it.branch), ("kiosk", &it.kiosk)];
        let shown = versions.iter().filter_map(|(name, level)| {
            let refused = level.refused.as_ref().map(|it| format!(" refused {}", it.code));
            let version = level.version.map(|version| format!(" {version}"));
            (refused.is_some() || version.is_some()).then(|| {
                format!("{name}{}{}", version.unwrap_or_default(), refused.unwrap_or_default())
            })
        });
        let shown: Vec<_> = shown.collect();
        if shown.is_empty() { String::new() } else { format!("settings {}", shown.join(" ")) }
    });
    let faults = kiosk.telemetry.as_ref().map(|telemetry| {
        let faults = telemetry.faults();
        if faults.is_empty() { "no faults".to_owned() } else { faults.join(", ") }
    });
    vec![status, version, models, reported.unwrap_or_default(), faults.unwrap_or_default()]
}

/// By what kiosks are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Their names.
    #[default]
    Name,
    /// Those first that are not there.
    Status,
    /// The program's version, the oldest first.
    Version,
    /// Those first that have most faults.
    Faults,
    /// Those first of which most scans need a review.
    Review,
}

/// What is on the screen.
#[derive(Debug, Default)]
pub struct Screen {
    fleet: Fleet,
    filter: Filter,
    sort: Sort,
    typing: bool,
    chosen: TableState,
    rows: usize,
    changes: VecDeque<String>,
    /// Why there is no connection, while there is none.
    pub trouble: Option<String>,
}

impl Screen {
    /// Of this fleet, with what the filter lets through.
    pub fn new(fleet: Fleet, filter: Filter) -> Self {
        Self { fleet, filter, ..Self::default() }
    }

    /// Takes in a message.
    pub fn take(&mut self, message: &Message) {
        if let Some(change) = change(&mut self.fleet, message) {
            let now = Timestamp::now().to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S");
            self.changes.push_front(format!("{now} {change}"));
            self.changes.truncate(CHANGES);
        }
    }

    /// A key was pressed. Whether it goes on.
    pub fn press(&mut self, key: KeyEvent) -> bool {
        if key.kind == KeyEventKind::Release {
            return true;
        }
        let text = self.filter.text.get_or_insert_default();
        match (self.typing, key.code) {
            (_, KeyCode::Char('c')) if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return false;
            }
            (true, KeyCode::Enter) => self.typing = false,
            (true, KeyCode::Esc) => {
                text.clear();
                self.typing = false;
            }
            (true, KeyCode::Backspace) => _ = text.pop(),
            (true, KeyCode::Char(letter)) => text.push(letter),
            (true, _) => {}
            (false, KeyCode::Char('q') | KeyCode::Esc) => return false,
            (false, KeyCode::Char('/')) => self.typing = true,
            (false, KeyCode::Char('n')) => self.sort = Sort::Name,
            (false, KeyCode::Char('s')) => self.sort = Sort::Status,
            (false, KeyCode::Char('v')) => self.sort = Sort::Version,
            (false, KeyCode::Char('f')) => self.sort = Sort::Faults,
            (false, KeyCode::Char('r')) => self.sort = Sort::Review,
            (false, KeyCode::Char('o')) => {
                self.filter.status = match self.filter.status {
                    None => Some(Status::Offline),
                    Some(_) => None,
                };
            }
            (false, KeyCode::Down | KeyCode::Char('j')) => self.move_by(1),
            (false, KeyCode::Up | KeyCode::Char('k')) => self.move_by(-1),
            (false, KeyCode::PageDown) => self.move_by(20),
            (false, KeyCode::PageUp) => self.move_by(-20),
            (false, KeyCode::Home) => self.chosen.select(Some(0)),
            (false, KeyCode::End) => self.chosen.select(self.rows.checked_sub(1)),
            (false, _) => {}
        }
        self.filter.text = self.filter.text.take().filter(|text| !text.is_empty());
        true
    }

    fn move_by(&mut self, by: isize) {
        let now = self.chosen.selected().unwrap_or(0);
        let last = self.rows.saturating_sub(1);
        self.chosen.select(Some(now.saturating_add_signed(by).min(last)));
    }

    /// The kiosks in their order.
    fn kiosks(&self) -> Vec<(&Id, &Kiosk)> {
        let mut kiosks: Vec<_> = self.fleet.select(&self.filter).collect();
        let faults = |kiosk: &Kiosk| kiosk.telemetry.as_ref().map_or(0, |it| it.faults().len());
        let review = |kiosk: &Kiosk| {
            kiosk.telemetry.as_ref().and_then(|it| it.counts().share()).unwrap_or(0.0)
        };
        match self.sort {
            Sort::Name => {}
            Sort::Status => kiosks.sort_by_key(|(_, it)| std::cmp::Reverse(it.status())),
            Sort::Version => {
                kiosks.sort_by_key(|(_, it)| it.presence.as_ref().map(|it| it.version.clone()))
            }
            Sort::Faults => kiosks.sort_by_key(|(_, it)| {
                std::cmp::Reverse((it.status() != Status::Online, faults(it)))
            }),
            Sort::Review => {
                kiosks.sort_by(|(_, one), (_, other)| review(other).total_cmp(&review(one)))
            }
        }
        kiosks
    }

    /// Draws it all.
    pub fn draw(&mut self, frame: &mut Frame) {
        let changes = (frame.area().height / 4).clamp(3, 12);
        let [head, body, below, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(4),
            Constraint::Length(changes),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        let kiosks = self.kiosks();
        let count = kiosks.len();
        let rows =
            kiosks.into_iter().map(|(id, kiosk)| row(&self.fleet, id, kiosk)).collect::<Vec<_>>();
        let widths = [
            Constraint::Fill(2),
            Constraint::Length(9),
            Constraint::Length(10),
            Constraint::Fill(2),
            Constraint::Fill(2),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(5),
            Constraint::Fill(3),
        ];
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let titles =
            ["kiosk", "status", "program", "models", "settings", "scans", "review", "°C", "faults"];
        let table = Table::new(rows, widths)
            .header(Row::new(titles).style(bold))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        self.rows = count;
        frame.render_stateful_widget(table, body, &mut self.chosen);
        let lines: Vec<_> = self.changes.iter().map(|change| Line::raw(change.as_str())).collect();
        let title = " changes, the newest first ";
        frame.render_widget(
            Paragraph::new(lines).block(Block::new().borders(Borders::TOP).title(title)),
            below,
        );
        frame.render_widget(self.foot(), foot);
    }

    fn head(&self) -> Line<'_> {
        let with = |status| self.fleet.kiosks.values().filter(|it| it.status() == status).count();
        let (all, online) = (self.fleet.kiosks.len(), with(Status::Online));
        let faulty = self.fleet.kiosks.values();
        let faulty =
            faulty.filter(|it| it.telemetry.as_ref().is_some_and(|it| !it.faults().is_empty()));
        let mut head = vec![
            Span::raw(format!("{all} kiosks  ")),
            Span::styled(format!("{online} online  "), Style::new().fg(Color::Green)),
            Span::styled(format!("{} not  ", all - online), colour(all > online)),
            Span::styled(
                format!("{} with faults  ", faulty.count()),
                Style::new().fg(Color::Yellow),
            ),
        ];
        if !self.fleet.odd.is_empty() {
            head.push(Span::styled(
                format!("{} odd messages  ", self.fleet.odd.len()),
                Style::new().fg(Color::Red),
            ));
        }
        let backlog: u64 =
            self.fleet.queue.values().map(|it| it.backlog).fold(0, u64::saturating_add);
        if !self.fleet.queue.is_empty() {
            head.push(Span::raw(format!("{backlog} jobs wait  ")));
        }
        if let Some(trouble) = &self.trouble {
            head.push(Span::styled(trouble.as_str(), Style::new().fg(Color::Red)));
        }
        Line::from(head)
    }

    fn foot(&self) -> Line<'_> {
        let text = self.filter.text.as_deref().unwrap_or_default();
        if self.typing {
            return Line::raw(format!("/{text}▏  Enter keeps it, Esc clears it"));
        }
        let shown = if text.is_empty() { String::new() } else { format!("/{text}  ") };
        Line::raw(format!(
            "{shown}{} shown, by {:?}  / filter  o not online  sort: n s v f r  q quit",
            self.rows, self.sort
        ))
    }
}

fn colour(is_bad: bool) -> Style {
    if is_bad { Style::new().fg(Color::Red) } else { Style::new() }
}

fn row<'a>(fleet: &Fleet, id: &Id, kiosk: &Kiosk) -> Row<'a> {
    let presence = kiosk.presence.clone().unwrap_or_default();
    let levels: Vec<_> = fleet.levels(id).iter().map(LevelState::shown).collect();
    let telemetry = kiosk.telemetry.as_ref();
    let counts = telemetry.map(Telemetry::counts);
    let share = counts.and_then(|it| it.share()).map(|share| format!("{:.1} %", 100.0 * share));
    let warmth =
        telemetry.and_then(|it| it.machine.temperature_celsius).map(|it| format!("{it:.0}"));
    let faults = telemetry.map(Telemetry::faults).unwrap_or_default();
    let style = match (kiosk.status(), faults.is_empty()) {
        (Status::Online, true) => Style::new(),
        (Status::Online, false) => Style::new().fg(Color::Yellow),
        _ => Style::new().fg(Color::Red),
    };
    Row::new([
        id.to_string(),
        kiosk.status().name().to_owned(),
        presence.version.to_string(),
        presence.models_shown(),
        levels.join(" "),
        counts.map(|it| it.total.to_string()).unwrap_or_default(),
        share.unwrap_or_default(),
        warmth.unwrap_or_default(),
        faults.join(", "),
    ])
    .style(style)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::fleet::tests::message;
    use super::*;

    fn screen() -> Screen {
        let mut screen = Screen::default();
        for (topic, payload) in [
            ("cic/v1/a/k1/presence", r#"{"status":"online","version":"1.0"}"#),
            ("cic/v1/a/k2/presence", r#"{"status":"offline","reason":"lost","version":"0.9"}"#),
            ("cic/v1/b/k1/presence", r#"{"status":"online","version":"1.1\u001b[2J"}"#),
            ("cic/v1/b/k1/telemetry", r#"{"sources":{"camera":{"state":"absent","ready":false}}}"#),
        ] {
            screen.take(&message(topic, payload));
        }
        screen
    }

    fn drawn(screen: &mut Screen) -> String {
        let mut terminal = Terminal::new(TestBackend::new(140, 20)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let cells = terminal.backend().buffer().content();
        cells
            .chunks(140)
            .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n")
            .collect()
    }

    fn press(screen: &mut Screen, keys: &str) {
        for key in keys.chars() {
            let code = if key == '\n' { KeyCode::Enter } else { KeyCode::Char(key) };
            assert!(screen.press(KeyEvent::new(code, KeyModifiers::NONE)));
        }
    }

    fn order(screen: &mut Screen) -> Vec<String> {
        let drawn = drawn(screen);
        let lines = drawn.lines().skip(2).take_while(|line| line.contains('/'));
        lines.map(|line| line.split_whitespace().next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn screen_shows_kiosks_faults_and_changes_and_no_control_characters() {
        let mut screen = screen();
        let drawn = drawn(&mut screen);
        for words in
            ["3 kiosks", "2 online", "1 not", "1 with faults", "camera absent", "offline (lost)"]
        {
            assert!(drawn.contains(words), "{words}\n{drawn}");
        }
        assert!(!drawn.contains('\u{1b}'));
    }

    #[test]
    fn keys_sort_and_filter() {
        let mut screen = screen();
        assert_eq!(order(&mut screen), ["a/k1", "a/k2", "b/k1"]);
        press(&mut screen, "s");
        assert_eq!(order(&mut screen)[0], "a/k2");
        press(&mut screen, "v");
        assert_eq!(order(&mut screen)[0], "a/k2");
        press(&mut screen, "n/b/\n");
        assert_eq!(order(&mut screen), ["b/k1"]);
        press(&mut screen, "/");
        assert!(screen.press(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)));
        press(&mut screen, "o");
        assert_eq!(order(&mut screen), ["a/k2"]);
        assert!(!screen.press(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)));
    }

    #[test]
    fn line_tells_what_changed_and_nothing_where_nothing_did() {
        let mut fleet = Fleet::default();
        let online = message("cic/v1/a/k1/presence", r#"{"status":"online","version":"1"}"#);
        assert_eq!(change(&mut fleet, &online).as_deref(), Some("a/k1 online, program 1"));
        assert_eq!(change(&mut fleet, &online), None);
        let lost = message(
            "cic/v1/a/k1/presence",
            r#"{"status":"offline","reason":"lost","version":"1"}"#,
        );
        assert_eq!(change(&mut fleet, &lost).as_deref(), Some("a/k1 offline (lost)"));
        let odd = message("cic/v1/a/k1/telemetry", "{");
        assert!(change(&mut fleet, &odd).unwrap().contains("no JSON"));
    }
}
