//! Text that somebody else wrote.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Characters that are kept of one text.
const MOST: usize = 200;

/// Stands for a character that would be more than text to a terminal.
const PLACEHOLDER: char = '\u{fffd}';

/// A text out of a message: of bounded length, on one line, and without anything that moves a
/// cursor, colours a terminal or turns the direction of writing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Text(String);

impl Text {
    /// What of this text can be shown.
    pub fn of(text: &str) -> Self {
        let harmless = |c: char| if is_harmful(c) { PLACEHOLDER } else { c };
        let mut shown: String = text.chars().take(MOST).map(harmless).collect();
        if text.chars().nth(MOST).is_some() {
            shown.push('…');
        }
        Self(shown)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Control characters, and those of Unicode that nobody sees and that change how others are shown.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::of(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_command_a_terminal_is_shown_as_a_placeholder() {
        let text = Text::of("a\u{1b}[2J\u{7}b\u{202e}c\nd\u{9b}1m");
        assert_eq!(text.as_str(), "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}1m");
        let read: Text = serde_json::from_str(r#""\u001b]0;x\u0007""#).unwrap();
        assert_eq!(read.as_str(), "\u{fffd}]0;x\u{fffd}");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let text = Text::of(&"đ".repeat(10_000));
        assert_eq!(text.as_str().chars().count(), MOST + 1);
        assert!(text.as_str().ends_with('…'));
        assert_eq!(Text::of("Đống Đa").as_str(), "Đống Đa");
    }
}
