//! Whether the broker takes this kiosk: a connection beside the daemon's, on which nothing is
//! published.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::dial::Dial;
use super::failure::Failure;
use super::wire::{Event, Options, Wire};

/// For saying goodbye, on which nothing depends.
const COURTESY: Duration = Duration::from_secs(1);

/// Connects as the kiosk does but under another name, so that the daemon stays connected, without a
/// last will, and leaves.
///
/// # Errors
/// Why the broker does not take it.
pub async fn probe(dial: &Dial) -> Result<(), Failure> {
    let (of, limit) = (dial.clone(), dial.settings.connect_time());
    let mut options = spawn_blocking(move || of.options())
        .await
        .map_err(|_| Failure::Protocol("the options panicked".to_owned()))??;
    match &mut options {
        Options::V3(options, _) => _ = options.set_client_id(dial.topics.doctors_client_id()),
        Options::V5(options) => _ = options.set_client_id(dial.topics.doctors_client_id()),
    }
    let mut wire = Wire::open(options, 1, None);
    let greeted = async {
        while let Some(event) = wire.events.recv().await {
            if let Event::Greeted(_) = event? {
                return Ok(());
            }
        }
        Err(Failure::Closed)
    };
    let greeted = timeout(limit, greeted).await;
    greeted.unwrap_or(Err(Failure::Silent("accept the connection")))?;
    if wire.disconnect().is_ok() {
        let left = async { while let Some(Ok(_)) = wire.events.recv().await {} };
        let _ = timeout(COURTESY, left).await;
    }
    Ok(())
}
