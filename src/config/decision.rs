//! What is good enough as it was read here.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{as_written, share};
use crate::report::schema::{Field, Table};

/// What is good enough as it was read here. What is not is asked of the cloud service where that is
/// allowed, and goes out for review where it is not.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Decision {
    /// Values of a lower confidence are doubtful. Default 0.9.
    #[serde(deserialize_with = "share", serialize_with = "as_written")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub value_below: f32,
    /// The same for single fields and tables by their names in the API, such as
    /// `{ cic_code = 0.98 }`. None by default.
    pub values: Thresholds,
    /// Doubtful values that a document may have. Default 0.
    pub max_doubtful_values: usize,
    /// Values of a document that may be expected to be wrong: the sum of 1 - confidence over all of
    /// them, which is an expectation because confidences are calibrated. It finds the page of which
    /// no value is doubtful but many are not sure. Default 1.
    #[serde(deserialize_with = "expectation", serialize_with = "as_written")]
    #[schemars(range(min = 0.0))]
    pub max_expected_errors: f32,
    /// Cross-checks of the paper that may fail. Default 0.
    pub max_failed_checks: usize,
}

impl Decision {
    /// The confidence below which a value is doubtful, by the name of its field or table.
    pub fn threshold(&self, name: &str) -> f32 {
        self.values.0.get(name).copied().unwrap_or(self.value_below)
    }
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            value_below: 0.9,
            values: Thresholds::default(),
            max_doubtful_values: 0,
            max_expected_errors: 1.0,
            max_failed_checks: 0,
        }
    }
}

/// Confidences, by names of fields and tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds(BTreeMap<String, f32>);

fn names() -> impl Iterator<Item = &'static str> {
    Field::ALL.into_iter().map(Field::name).chain(Table::ALL.into_iter().map(Table::name))
}

/// A number from 0 to 1.
#[derive(Deserialize, Serialize)]
#[serde(transparent)]
struct Share(#[serde(deserialize_with = "share", serialize_with = "as_written")] f32);

impl<'de> Deserialize<'de> for Thresholds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shares = BTreeMap::<String, Share>::deserialize(deserializer)?;
        if let Some(unknown) = shares.keys().find(|key| !names().any(|name| name == *key)) {
            let known: Vec<_> = names().collect();
            let known = known.join(", ");
            let error = format!("`{unknown}` is no field or table, expected one of {known}");
            return Err(serde::de::Error::custom(error));
        }
        Ok(Self(shares.into_iter().map(|(name, Share(share))| (name, share)).collect()))
    }
}

impl Serialize for Thresholds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, share)| (name, Share(*share))))
    }
}

impl JsonSchema for Thresholds {
    fn schema_name() -> Cow<'static, str> {
        "Thresholds".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "propertyNames": { "enum": names().collect::<Vec<_>>() },
            "additionalProperties": { "type": "number", "minimum": 0, "maximum": 1 },
        })
    }
}

/// A number that is not below 0.
fn expectation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let number = f32::deserialize(deserializer)?;
    if number >= 0.0 && number.is_finite() {
        Ok(number)
    } else {
        Err(serde::de::Error::custom("expected a number that is 0 or more"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn field_or_table_can_have_a_threshold_of_its_own() {
        let text = "[decision]\nvalue_below = 0.8\nvalues = { cic_code = 0.98, bad_debt = 1 }";
        let decision = Config::parse(text).unwrap().decision;
        let of = |name| decision.threshold(name);
        assert_eq!([of("cic_code"), of("bad_debt"), of("address")], [0.98, 1.0, 0.8]);
        let again = toml::to_string(&decision).unwrap();
        assert!(again.contains("cic_code = 0.98"), "{again}");
        assert_eq!(toml::from_str::<Decision>(&again).unwrap(), decision);
    }

    #[test]
    fn what_no_value_could_meet_is_refused() {
        for (text, words) in [
            ("values = { cic_kode = 0.98 }", "`cic_kode` is no field or table"),
            ("values = { cic_code = 1.5 }", "a number from 0 to 1"),
            ("value_below = -0.1", "a number from 0 to 1"),
            ("max_expected_errors = -1", "0 or more"),
            ("max_expected_errors = nan", "0 or more"),
        ] {
            let error = Config::parse(&format!("[decision]\n{text}")).unwrap_err().to_string();
            assert!(error.contains("line 2") && error.contains(words), "{text}: {error}");
        }
    }
}
