//! The kiosk's figures, for Prometheus and for `systemctl status`.
//!
//! Invariant: labels come from fixed lists.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;

use super::supervisor::Supervisor;
use super::systemd;
use crate::capture::Sources;
use crate::mqtt::LinkState;
use crate::outbox;
use crate::scan::Desk;

/// All of them.
#[derive(Clone)]
pub struct Figures {
    supervisor: Supervisor,
    link: watch::Receiver<LinkState>,
    desk: Arc<Desk>,
    sources: Arc<OnceLock<Sources>>,
    outbox: Arc<Mutex<outbox::Figures>>,
    status: Arc<Mutex<String>>,
}

impl Figures {
    /// The outbox has not been looked at.
    pub fn new(supervisor: Supervisor, link: watch::Receiver<LinkState>, desk: Arc<Desk>) -> Self {
        let (sources, outbox, status) = Default::default();
        Self { supervisor, link, desk, sources, outbox, status }
    }

    /// How the connection with the broker is.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.link.clone()
    }

    /// From now on these sources are told of.
    pub fn watch(&self, sources: Sources) {
        self.sources.get_or_init(|| sources);
    }

    /// The outbox was looked at; systemd is told where that changes the picture.
    pub fn look(&self, now: outbox::Figures) {
        let link = if self.link.borrow().connected_since.is_some() {
            "connected"
        } else {
            "not connected"
        };
        let line = format!(
            "{} to read, {} to deliver, {} dead letters; broker {link}",
            now.documents, now.results_waiting, now.dead
        );
        *self.outbox.lock().unwrap_or_else(PoisonError::into_inner) = now;
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *status != line {
            systemd::status(&line);
            *status = line;
        }
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let link = self.link.borrow().clone();
        let gauges = [
            ("outbox_documents", "Documents that wait to be read", outbox.documents),
            ("outbox_results", "Results that wait for the broker", outbox.results_waiting),
            (
                "outbox_delivered",
                "Results that were delivered and are not erased yet",
                outbox.delivered_kept,
            ),
            ("outbox_dead", "Documents and results that were set aside", outbox.dead),
            (
                "outbox_without_key",
                "Sealed with a key that is not here",
                outbox.unreadable_by_key.iter().map(|(_, count)| count).sum(),
            ),
            ("outbox_bytes", "Size of the outbox's file", outbox.bytes),
            (
                "outbox_oldest_seconds",
                "Age of the result that waits longest",
                outbox.oldest_waiting_age.unwrap_or_default().as_secs(),
            ),
            (
                "mqtt_connected",
                "1 while there is a connection",
                link.connected_since.is_some().into(),
            ),
            ("mqtt_in_flight", "Results that wait for a PUBACK", link.in_flight as u64),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let mut counters = vec![
            ("mqtt_delivered", "Results that the broker acknowledged", link.delivered),
            ("mqtt_connections", "Connections made with the broker", link.connections),
        ];
        let cloud = self.desk.cloud_tally().unwrap_or_default();
        counters.extend([
            ("cloud_asked", "Documents that the cloud was to be asked about", cloud.asked),
            ("cloud_merged", "Documents that got values from the cloud", cloud.merged),
            ("cloud_sent", "Transfers to the cloud", cloud.sent),
        ]);
        let sources = self.sources.get().cloned().unwrap_or_default();
        if let Some(counts) = sources.camera_counts() {
            let [broken, hung] =
                [&counts.broken, &counts.hung].map(|it| it.load(Ordering::Relaxed));
            counters.extend([
                ("camera_broken", "Pictures of the camera that came damaged", broken),
                ("camera_hung", "Times that the camera did not answer", hung),
            ]);
        }
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let mut ready = encoder.encode_descriptor(
            "source_ready",
            "1 while a device is ready or at work",
            None,
            MetricType::Gauge,
        )?;
        for it in sources.standing() {
            let gauge = ConstGauge::new(i64::from(it.state.is_well()));
            gauge.encode(ready.encode_family(&[("source", it.source.as_str())])?)?;
        }
        let families = [
            ("pages_captured", "Pages that a device gave", "source", sources.tally(|it| &it.pages)),
            (
                "pages_asked_again",
                "Times that a page was asked for again",
                "source",
                sources.tally(|it| &it.asked_again),
            ),
            ("cloud_failed", "Documents that the cloud did not help with", "kind", cloud.failed),
            (
                "worker_restarts",
                "Times that a worker failed and began anew",
                "worker",
                self.supervisor.restarts(),
            ),
        ];
        for (name, help, label, counts) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (kind, count) in counts {
                ConstCounter::new(count).encode(family.encode_family(&[(label, kind)])?)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Figures")
    }
}
