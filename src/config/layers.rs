//! Settings from several places, laid over each other: files in their order, then the environment.
//!
//! Each place is checked by itself, so that a mistake is told with the file and its line, or the
//! variable; and where each value came from is known afterwards.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use toml::{Table, Value};

use super::{Config, ConfigError};

/// What the names of variables begin with: `CIC_KIOSK__HTTP__QUEUE` is `queue` in `[http]`.
pub const VARIABLES: &str = "CIC_KIOSK__";

/// A place that settings come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A file's name and its text.
    File(String, String),
    /// A variable's name and its value.
    Variable(String, String),
}

/// A configuration, and where its values come from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Key with its sections to the place that set it last.
    origins: BTreeMap<String, String>,
}

impl Layer {
    fn name(&self) -> &str {
        match self {
            Self::File(name, _) | Self::Variable(name, _) => name,
        }
    }

    fn table(&self) -> Result<Table, ConfigError> {
        match self {
            Self::File(name, text) => file(name, text),
            Self::Variable(name, value) => variable(name, value),
        }
    }
}

impl Loaded {
    /// Lays later places over earlier ones.
    ///
    /// # Errors
    /// With the place, and what would be right there.
    pub fn from_layers(layers: impl IntoIterator<Item = Layer>) -> Result<Self, ConfigError> {
        let (mut all, mut origins) = (Table::new(), BTreeMap::new());
        for layer in layers {
            lay_over(&mut all, layer.table()?, "", layer.name(), &mut origins);
        }
        let config: Config = all.try_into().map_err(|error| ConfigError::new(&error))?;
        config.check()?;
        Ok(Self { config, origins })
    }

    /// All settings as TOML, each with the place that it comes from. There are no secrets in it:
    /// none is ever part of a configuration.
    pub fn show(&self) -> String {
        let mut text = String::new();
        // Everything in a configuration can be written as TOML.
        let sections = Table::try_from(&self.config).unwrap_or_default();
        for (section, settings) in sections.iter().filter_map(|(k, v)| Some((k, v.as_table()?))) {
            let _ = writeln!(text, "[{section}]");
            for (key, value) in settings {
                let place = self.set_by(&format!("{section}.{key}")).unwrap_or("default");
                let _ = writeln!(text, "{key} = {value}  # {place}");
            }
            text.push('\n');
        }
        text
    }

    /// The place that set this key, `section.key`; `None` where it has its default.
    pub fn set_by(&self, key: &str) -> Option<&str> {
        let within = format!("{key}.");
        let found = self.origins.iter().find(|(set, _)| *set == key || set.starts_with(&within));
        found.map(|(_, place)| place.as_str())
    }
}

fn file(name: &str, text: &str) -> Result<Table, ConfigError> {
    Config::parse(text).map_err(|error| error.at(name))?;
    text.parse().map_err(|error| ConfigError::new(&error).at(name))
}

/// Its value is TOML; what is none, or not of the right type, is a string without its quotes.
fn variable(name: &str, value: &str) -> Result<Table, ConfigError> {
    let path = name.strip_prefix(VARIABLES).unwrap_or(name).to_lowercase();
    let nested = |value: Value| {
        path.rsplit("__")
            .fold(value, |value, key| Table::from_iter([(key.to_owned(), value)]).into())
    };
    let checked = |value: Value| {
        let table = nested(value);
        Config::deserialize(table.clone()).map(|_| table.try_into().unwrap_or_default())
    };
    let toml = format!("value = {value}").parse::<Table>().ok();
    let toml = toml.and_then(|mut table| table.remove("value"));
    toml.and_then(|value| checked(value).ok())
        .map_or_else(|| checked(Value::String(value.to_owned())), Ok)
        .map_err(|error| ConfigError::new(&error).at(name))
}

fn lay_over(
    below: &mut Table,
    above: Table,
    path: &str,
    place: &str,
    origins: &mut BTreeMap<String, String>,
) {
    for (key, value) in above {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => {
                lay_over(below, above, &path, place, origins);
            }
            (_, Value::Table(above)) => {
                let mut empty = Table::new();
                lay_over(&mut empty, above, &path, place, origins);
                below.insert(key, empty.into());
            }
            (_, value) => {
                origins.insert(path, place.to_owned());
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> Layer {
        Layer::File(name.to_owned(), text.to_owned())
    }

    fn variable(name: &str, value: &str) -> Layer {
        Layer::Variable(format!("{VARIABLES}{name}"), value.to_owned())
    }

    #[test]
    fn later_places_lie_over_earlier_ones_key_by_key() {
        let loaded = Loaded::from_layers([
            file("a", "[http]\nqueue = 1\nbody_seconds = 2\n[limits]\nmax_pages = 3"),
            file("b", "[http]\nqueue = 4\nstate = \"/s\""),
            variable("HTTP__BODY_SECONDS", "5"),
        ])
        .unwrap();
        let http = &loaded.config.http;
        assert_eq!(
            (http.queue, http.body_seconds.get(), loaded.config.limits.max_pages),
            (4, 5, 3)
        );
        let shown = loaded.show();
        for line in [
            "queue = 4  # b",
            "state = \"/s\"  # b",
            "body_seconds = 5  # CIC_KIOSK__HTTP__BODY_SECONDS",
            "max_pages = 3  # a",
            "review_below = 0.9  # default",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    }

    #[test]
    fn what_is_shown_is_the_configuration() {
        let loaded = Loaded::from_layers([file("a", "[url]\nallow = [\"10.0.0.0/8\"]")]).unwrap();
        assert_eq!(Config::parse(&loaded.show()).unwrap(), loaded.config);
    }

    #[test]
    fn a_variable_is_toml_or_else_a_string() {
        let loaded = Loaded::from_layers([
            variable("HTTP__LISTEN", "127.0.0.1:1"),
            variable("HTTP__STATE", "12"),
            variable("HTTP__TLS__KEY", "/k"),
            variable("URL__ALLOW", "[\"a.vn\", \"b.vn\"]"),
        ]);
        // One half of TLS is not enough, even if the other half might come later.
        assert!(loaded.unwrap_err().to_string().contains("CIC_KIOSK__HTTP__TLS__KEY"));
        let loaded = Loaded::from_layers([
            variable("HTTP__LISTEN", "127.0.0.1:1"),
            variable("HTTP__STATE", "12"),
            variable("URL__ALLOW", "[\"a.vn\", \"b.vn\"]"),
        ]);
        let config = loaded.unwrap().config;
        assert_eq!(config.http.listen.port(), 1);
        assert_eq!(config.http.state.unwrap().to_str(), Some("12"));
        assert_eq!(config.url.allow, ["a.vn", "b.vn"]);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (layer, words) in [
            (file("/etc/a.toml", "[http]\nqeue = 1"), ["/etc/a.toml", "line 2", "qeue"]),
            (variable("HTTP__QUEUE", "many"), ["CIC_KIOSK__HTTP__QUEUE", "many", "usize"]),
            (variable("HTP__QUEUE", "1"), ["CIC_KIOSK__HTP__QUEUE", "htp", "unknown field"]),
        ] {
            let error = Loaded::from_layers([layer]).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        }
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        let beyond = Loaded::from_layers([file("a", "[http]\nlisten = \"0.0.0.0:80\"")]);
        assert!(beyond.unwrap_err().to_string().contains("http.listen"));
        let held = Loaded::from_layers([file("a", "[http]\nmax_held_bytes = 1000")]);
        assert!(held.unwrap_err().to_string().contains("limits.max_bytes"));
    }
}
