//! The latest scans, for people who look after the kiosk.

use cic_kiosk::report::schema::{Answer, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use ulid::Ulid;

use super::{Entry, Fault, Kind, Outbox, OutboxError, console, store};

/// Of results, so many bytes are opened for a list: those with pictures are large.
const MOST_BYTES: i64 = 32 << 20;

/// A scan's entry, and what its result says of itself.
#[derive(Clone, Debug)]
pub struct Recent {
    /// The entry.
    pub entry: Entry,
    /// Nothing where there is no result yet, or where it was not opened.
    pub summary: Option<Summary>,
}

/// What a result says of itself; no value of the paper.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// What its document came through.
    pub captured_by: Option<String>,
    /// Pages of the document.
    pub pages: usize,
    /// What was decided.
    pub decision: Option<Verdict>,
    /// The lowest confidence of all values.
    pub confidence: f32,
    /// How long the stages took, in milliseconds.
    pub elapsed_ms: Map<String, Json>,
    /// The digit of the contract's error code.
    #[serde(skip)]
    pub code: String,
}

/// A result without its values: those are skipped.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "errorCode")]
    error: String,
    #[serde(default)]
    meta: Summary,
}

impl Outbox {
    /// The latest scans, the newest first.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn recent(&self, most: u32) -> Result<Vec<Recent>, OutboxError> {
        let which = format!("id IN (SELECT id FROM entries ORDER BY id DESC LIMIT {most})");
        let entries = self.read(move |connection| Ok(console::entries(connection, &which, None)?));
        let (mut recent, mut bytes) = (Vec::new(), 0);
        for entry in entries.await?.into_iter().rev() {
            let is_result = entry.kind == Kind::Result.as_str();
            bytes += if is_result { entry.bytes } else { 0 };
            let summary = match (is_result && bytes <= MOST_BYTES).then(|| entry.scan_id.parse()) {
                Some(Ok(scan)) => self.result(scan).await?.as_deref().and_then(summary),
                _ => None,
            };
            recent.push(Recent { entry, summary });
        }
        Ok(recent)
    }

    /// What was read of a scan, if its result is still here and opens.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn answer(&self, scan: Ulid) -> Result<Option<Answer>, OutboxError> {
        let result = self.result(scan).await?;
        Ok(result.and_then(|result| serde_json::from_slice(&result).ok()))
    }

    async fn result(&self, scan: Ulid) -> Result<Option<Vec<u8>>, OutboxError> {
        let (scan, keys) = (scan.to_string(), self.keys());
        self.read(move |connection| {
            let Some(id) = store::find(connection, Kind::Result, &scan)? else { return Ok(None) };
            let payload = store::payload_of(connection, id)?;
            let opened = payload.and_then(|it| keys.open(Kind::Result, &scan, it.sealed).ok());
            Ok::<_, Fault>(opened)
        })
        .await
    }
}

fn summary(result: &[u8]) -> Option<Summary> {
    let Head { error, meta } = serde_json::from_slice(result).ok()?;
    Some(Summary { code: error, ..meta })
}

#[cfg(test)]
mod tests {
    use cic_kiosk::report::schema::{Field, Meta, Report};

    use super::*;

    #[test]
    fn result_is_summed_up_without_a_value_of_its_paper() {
        let mut report = Report::default();
        report.scalar_mut(Field::CicCode).text = "0184618475".to_owned();
        let mut meta = Meta { pages: 3, confidence: 0.5, ..Meta::default() };
        meta.decision = Some(Verdict::Review);
        meta.captured_by = Some("camera".to_owned());
        let summary = summary(&Answer::success(vec![report], meta).to_json()).unwrap();
        assert!(!format!("{summary:?}").contains("0184618475"));
        assert_eq!((summary.code.as_str(), summary.pages, summary.confidence), ("0", 3, 0.5));
        assert_eq!(summary.decision, Some(Verdict::Review));
        assert_eq!(summary.captured_by.as_deref(), Some("camera"));
        assert_eq!(super::summary(b"no result"), None);
    }
}
