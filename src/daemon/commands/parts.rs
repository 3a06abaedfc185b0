//! What is too large for one message, in parts.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::Report;
use super::deeds::Deeds;
use crate::fleet::commands::Address;
use crate::fleet::commands::message::{Code, Failure};

/// Bytes of a part.
const PART: usize = 32 << 10;

impl Deeds {
    /// Publishes these bytes in parts, each of which the broker has before the next one, and gives
    /// what whoever puts them together needs to know.
    pub(super) async fn send(
        &self,
        address: &Address,
        bytes: &[u8],
        report: &Report,
    ) -> Result<Json, Failure> {
        let parts = bytes.len().div_ceil(PART);
        for (number, part) in bytes.chunks(PART).enumerate() {
            report.at("send", number as u64, parts as u64);
            let topic = self.topics.part(&address.sender, address.id, number);
            if !self.post.deliver(topic, part.to_vec()).await {
                let reason = "the broker does not take the parts: check its access rules and the \
                              largest packet that it takes";
                return Err(Failure::new(Code::NotPermitted, reason));
            }
        }
        let sha256: String =
            Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(json!({"parts": parts, "bytes": bytes.len(), "sha256": sha256}))
    }
}
