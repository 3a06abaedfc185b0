//! `demo`: from a scan to a message at a subscriber, by way of a broker.

use std::path::PathBuf;
use std::time::Duration;

use cic_kiosk::report::schema::{Answer, ErrorCode};
use clap::Args;
use serde_json::{Value as Json, json};
use tokio::runtime;

use super::progress::Progress;
use super::setup::ReadingArgs;
use super::{Failure, Outcome, overlay, print, table};
use crate::mqtt::{BrokerAddress, Subscriber, forget_session, publish};

/// Three scanned pages, made up by the project's own generator.
const SAMPLE: &[u8] = include_bytes!("../../tests/data/reports/scan.pdf");

const SAMPLE_NAME: &str = "scan.pdf";

/// For each thing that the broker has to do. A broker near by needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Read a scanned report, draw what was found, and publish it
///
/// Prints the values, draws them over the pages, publishes the JSON over MQTT with QoS 1, and has a
/// second client that subscribed to it print it again.
#[derive(Args)]
pub struct Demo {
    /// Document to read [default: a made-up scan that comes with the program]
    file: Option<PathBuf>,

    /// Where to draw
    #[arg(long, value_name = "OUT.png", default_value = "demo-overlay.png")]
    overlay: PathBuf,

    /// Broker to publish to, mqtt://[USER[:PASSWORD]@]HOST[:PORT]
    #[arg(long, value_name = "ADDRESS", default_value = "mqtt://127.0.0.1:1883")]
    broker: BrokerAddress,

    #[command(flatten)]
    reading: ReadingArgs,
}

impl Demo {
    /// Does it all.
    pub fn run(&self) -> Outcome {
        let mut answer = self.read();
        let mut text = String::new();
        table::write(&answer, &mut text)?;
        print(&text)?;
        if answer.error != ErrorCode::Success {
            return Ok(false);
        }
        overlay::write(&answer, &self.overlay)?;
        print(&format!("overlay       {}\n\n", self.overlay.display()))?;

        answer.drop_pictures();
        runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(deliver(&self.broker, &answer))?;
        Ok(true)
    }

    fn read(&self) -> Answer {
        let (reader, progress) = (self.reading.reader(), Progress::new());
        match &self.file {
            Some(file) => reader.read_file(file, true, &progress),
            None => reader.read(SAMPLE.to_vec(), SAMPLE_NAME, true, &progress),
        }
    }
}

/// Publishes an answer and prints what a subscriber receives.
async fn deliver(broker: &BrokerAddress, answer: &Answer) -> Result<(), Failure> {
    let scan_id = answer.meta.as_ref().map(|meta| meta.scan_id.clone()).unwrap_or_default();
    // The scan's id makes topic and sessions ours alone, whoever else tries the demo. Its second half
    // is random, and short enough for brokers that allow 23 characters, as MQTT 3.1.1 demands.
    let topic = format!("cic-kiosk/demo/{scan_id}");
    let random: String = scan_id.chars().skip(16).collect();
    let [publisher, listener] = ["publisher", "listener"].map(|role| format!("{role}-{random}"));

    let mut subscriber = Subscriber::connect(broker, &listener, &topic, PATIENCE).await?;
    let payload = json!(answer).to_string().into_bytes();
    publish(broker, &publisher, &topic, &payload, PATIENCE).await?;
    print(&format!(
        "published     {} bytes to {topic} at {broker}, QoS 1, acknowledged\n",
        payload.len()
    ))?;
    let received = subscriber.receive(PATIENCE).await?;
    subscriber.disconnect().await;
    forget_session(broker, &publisher).await;
    forget_session(broker, &listener).await;

    let json: Json = serde_json::from_slice(&received)?;
    print(&format!("received      {} bytes by a subscriber:\n\n{json:#}\n", received.len()))?;
    Ok(())
}
