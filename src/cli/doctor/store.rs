//! The outbox.

use std::sync::Arc;

use cic_kiosk::config::Config;

use super::check::{Check, Finding};
use crate::credentials::Credentials;
use crate::outbox::{Console, Entry, OutboxError, SealingKeys};

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let config = Arc::clone(config);
    vec![Check::blocking("outbox", move || outbox(&config))]
}

fn outbox(config: &Config) -> Finding {
    let listed = Console::open(&config.kiosk.state).and_then(|mut console| console.list());
    let entries = match listed {
        Ok(entries) => entries,
        Err(OutboxError::Missing { .. }) => {
            return Finding::warning(
                "there is none yet",
                "nothing, before the first start: `cic-kiosk run` makes it",
            );
        }
        Err(error) => return Finding::fault(error.to_string(), "do as it says"),
    };
    let count = |fits: &dyn Fn(&Entry) -> bool| entries.iter().filter(|entry| fits(entry)).count();
    let documents = count(&|entry| entry.kind == "document" && entry.state != "dead");
    let results = count(&|entry| entry.kind == "result" && entry.state != "dead");
    let dead = count(&|entry| entry.state == "dead");
    let found =
        format!("{documents} documents to read, {results} results to deliver, {dead} dead letters");
    let credentials = Credentials::new(config.kiosk.credentials.as_deref());
    // Whether there is a key, another check says.
    if let Ok(keys) = SealingKeys::load(&credentials, &config.kiosk.state) {
        let without = count(&|entry| keys.ids().all(|key| key.to_string() != entry.key));
        if without > 0 {
            return Finding::fault(
                format!("{found}; {without} are sealed with a key that is not here"),
                "put that key into the credential outbox-key-old; `cic-kiosk outbox show` names it",
            );
        }
    }
    if entries.len() as u64 >= config.outbox.max_entries.get() {
        return Finding::fault(
            format!("{found}: it is full (outbox.max_entries)"),
            "see that the broker can be reached; `cic-kiosk outbox list` shows dead letters",
        );
    }
    if dead > 0 {
        return Finding::warning(
            found,
            "`cic-kiosk outbox list` says why; then `outbox retry` or `outbox purge`",
        );
    }
    Finding::ok(found)
}
