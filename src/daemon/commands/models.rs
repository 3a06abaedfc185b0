//! What is ordered of the models.

use serde_json::{Value as Json, json};

use super::Report;
use super::deeds::Deeds;
use crate::fleet::commands::message::{Code, Failure};
use crate::fleet::commands::task::Update;
use crate::updates::Refusal;
use crate::updates::fetch::Parcel;

impl Deeds {
    /// Reads the built-in golden page, and compares it with its truth.
    pub(super) async fn test_models(&self) -> Result<Json, Failure> {
        let tried = self.models.test().await.map_err(|why| Failure::new(Code::Failed, why))?;
        let seen = tried.seen;
        let package = self.models.in_use();
        if seen.right < seen.values {
            let (right, values) = (seen.right, seen.values);
            let reason = format!("{right} of {values} values of the golden page are right");
            return Err(Failure::new(Code::Failed, reason));
        }
        Ok(json!({
            "values": seen.values,
            "right": seen.right,
            "page_seconds": seen.page_seconds,
            "package": package,
        }))
    }

    /// Puts a package in force.
    pub(super) async fn update_models(
        &self,
        update: Update,
        report: Report,
    ) -> Result<Json, Failure> {
        let Update { from, sha256, bytes, allow_older } = update;
        let told = move |step, done, total| report.at(step, done, total);
        let parcel = Parcel { sha256, bytes };
        let installed = self.models.update(from, parcel, allow_older, told).await;
        Ok(json!(installed.map_err(failure)?))
    }

    /// Goes back to the models before.
    pub(super) async fn roll_models_back(&self) -> Result<Json, Failure> {
        let current = self.models.roll_back("the fleet went back").await.map_err(failure)?;
        Ok(json!({ "current": current }))
    }
}

/// The reason begins with a word for programs.
fn failure(refusal: Refusal) -> Failure {
    let code = match refusal {
        Refusal::Busy => Code::Busy,
        Refusal::Disk(_) => Code::NotStored,
        Refusal::Nothing | Refusal::NoKeys => Code::Unavailable,
        _ => Code::Failed,
    };
    Failure::new(code, format!("{}: {refusal}", refusal.code()))
}
