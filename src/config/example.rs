//! A commented example of all settings, made from their types.

use std::fmt::Write;

use schemars::{Schema, schema_for};
use serde_json::Value as Json;

use super::Config;

/// Columns of a line of comment.
const WIDTH: usize = 100;

/// The schema of a configuration, JSON Schema 2020-12.
pub fn schema() -> Schema {
    schema_for!(Config)
}

/// All settings with what they mean. Those with a default stand there with it; the others are
/// commented out.
pub fn example() -> String {
    let schema = schema().to_value();
    let mut text = String::from("# All settings of cic-kiosk with their defaults.\n");
    for (name, section) in members(&schema) {
        let _ = writeln!(text);
        comment(&mut text, section);
        let _ = writeln!(text, "[{name}]");
        let defaults = &section["default"];
        for (key, setting) in members(resolved(&schema, section)) {
            comment(&mut text, setting);
            let _ = match &defaults[key] {
                Json::Null => writeln!(text, "#{key} = {}", placeholder(&schema, setting)),
                default => writeln!(text, "{key} = {default}"),
            };
        }
    }
    text
}

fn members(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// What a reference leads to, or the one thing beside null.
fn resolved<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    if let Some(target) = schema["$ref"].as_str().and_then(|path| root.pointer(&path[1..])) {
        return target;
    }
    match schema["anyOf"].get(0) {
        Some(first) => resolved(root, first),
        None => schema,
    }
}

/// A value of the right type, to be replaced.
fn placeholder(root: &Json, schema: &Json) -> String {
    let schema = resolved(root, schema);
    if let Some(example) = schema["examples"].get(0) {
        return example.to_string();
    }
    if let Some(constant) = schema["oneOf"].get(0).map(|one| &one["const"]) {
        return constant.to_string();
    }
    if schema["properties"].is_object() {
        let members = members(schema).map(|(key, of)| format!("{key} = {}", placeholder(root, of)));
        return format!("{{ {} }}", members.collect::<Vec<_>>().join(", "));
    }
    let is = |name: &str| schema["type"] == name || schema["type"].get(0) == Some(&name.into());
    let value = match () {
        () if is("integer") => "1",
        () if is("boolean") => "false",
        () => "\"…\"",
    };
    value.to_owned()
}

fn comment(text: &mut String, schema: &Json) {
    let description = schema["description"].as_str().unwrap_or_default();
    let mut line = String::from("#");
    for word in description.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line.truncate(1);
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_in_the_repository_is_made_from_the_types() {
        let is_same = include_str!("../../config.example.toml") == example();
        assert!(is_same, "make it anew: cargo run -- config example > config.example.toml");
    }

    #[test]
    fn the_example_is_the_defaults() {
        assert_eq!(Config::parse(&example()).unwrap(), Config::default());
    }

    #[test]
    fn what_is_commented_out_can_be_used() {
        let all: String = example()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        // No text that stands for a broker is one.
        let all = all.replace("broker = \"…\"", "broker = \"mqtts://broker.branch\"");
        let config = Config::parse(&all).unwrap();
        assert!(config.http.tls.is_some() && config.reading.precision.is_some());
        assert_eq!(config.panel.lamp.map(|lamp| lamp.active_low), Some(false));
    }
}
