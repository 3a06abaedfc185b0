//! A kiosk's figures: for the fleet over MQTT as they are here, for Prometheus under other names.
//!
//! Promises:
//! - Both are made of the same [`Telemetry`]: [`METRICS`] says under which name each of its figures
//!   goes to Prometheus, and a test that none has been left out.
//! - Numbers, and words of fixed lists. Nothing of a paper, of a person, or of a file's name.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::counts::StageTimes;

/// Days before its end in which a certificate should have been renewed long ago: it is asked for after
/// two thirds of its time.
pub const SOON: i64 = 14;

/// How a kiosk does. What is counted is counted since the program was started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Telemetry {
    /// When this was so, RFC 3339 in UTC, by the kiosk's clock.
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    /// Seconds since the program was started.
    pub uptime_seconds: u64,
    /// Scans that ended, by their sources and outcomes: `local`, `cloud`, `review`, `no_report`,
    /// `unreadable`, `dead`.
    pub scans: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Values that were read, by the bounds that their confidence does not exceed: each is counted at
    /// its own and at all higher ones.
    pub confidence: BTreeMap<&'static str, u64>,
    /// How long the stages of reading took.
    pub stages: BTreeMap<&'static str, StageTimes>,
    /// What waits on the kiosk.
    pub outbox: OutboxFigures,
    /// The connection with the broker.
    pub mqtt: LinkFigures,
    /// The cloud service.
    pub cloud: CloudFigures,
    /// Where documents come from, of what has a state.
    pub sources: BTreeMap<&'static str, SourceFigures>,
    /// The camera; only where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CameraFigures")]
    pub camera: Option<CameraFigures>,
    /// Times that parts of the program failed and began anew, by their names.
    pub workers: BTreeMap<&'static str, u64>,
    /// The machine and the program on it.
    pub machine: MachineFigures,
    /// The clock.
    pub clock: ClockFigures,
    /// Things that should not happen, by what they are: scans that were odd, and what went wrong with
    /// a configuration from afar.
    pub anomalies: BTreeMap<&'static str, u64>,
}

/// What waits on the kiosk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OutboxFigures {
    /// Whether documents are accepted.
    pub accepts: bool,
    /// Documents that wait to be read.
    pub documents: u64,
    /// Results that wait for the broker.
    pub results: u64,
    /// Age of the result that waits longest, in seconds.
    pub oldest_seconds: u64,
    /// Results that were delivered and are not erased yet.
    pub delivered: u64,
    /// Documents and results that were set aside.
    pub dead: u64,
    /// Entries that are sealed with a key that is not here.
    pub without_key: u64,
    /// Size of the file.
    pub bytes: u64,
}

/// The connection with the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LinkFigures {
    /// Whether there is one.
    pub connected: bool,
    /// Results that wait for a PUBACK.
    pub in_flight: u64,
    /// Results that the broker acknowledged.
    pub delivered: u64,
    /// Connections that were made.
    pub connections: u64,
    /// Whole days until the kiosk's certificate ends, less than 0 when it has; only where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub certificate_days: Option<i64>,
}

/// The cloud service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CloudFigures {
    /// Whether it may be asked.
    pub enabled: bool,
    /// Whether it is left alone after failures.
    pub breaker_open: bool,
    /// Attempts that a day has; 0 where it may not be asked.
    pub budget: u64,
    /// Attempts that today has had.
    pub used: u64,
    /// Documents that it was to be asked about.
    pub asked: u64,
    /// Documents that got values from it.
    pub merged: u64,
    /// Transfers to it.
    pub sent: u64,
    /// Documents that it did not help with, by the kind of failure.
    pub failed: BTreeMap<&'static str, u64>,
}

/// Where documents come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceFigures {
    /// How it is: `absent`, `ready`, `busy`, `asking` or `failing`.
    pub state: &'static str,
    /// Whether it can do, or does, its work.
    pub ready: bool,
    /// Pages that it gave.
    pub pages: u64,
    /// Times that a page was asked for again.
    pub asked_again: u64,
}

/// The camera.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CameraFigures {
    /// Pictures that came damaged.
    pub broken: u64,
    /// Times that it did not answer.
    pub hung: u64,
}

/// The machine and the program on it; what it does not say is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct MachineFigures {
    /// Share of all processors' time that was used lately, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub cpu_share: Option<f64>,
    /// Share of all processors' time that this program used lately, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub own_cpu_share: Option<f64>,
    /// Memory that this program has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub own_memory_bytes: Option<u64>,
    /// Memory that could still be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub memory_available_bytes: Option<u64>,
    /// All memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub memory_bytes: Option<u64>,
    /// The hottest sensor, in °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub temperature_celsius: Option<f64>,
    /// Whether the processor is slowed down, for heat or voltage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub throttled: Option<bool>,
    /// Room on the disk of `kiosk.state` that may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub disk_available_bytes: Option<u64>,
    /// Size of that disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub disk_bytes: Option<u64>,
    /// Seconds since the machine was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub uptime_seconds: Option<u64>,
}

/// The clock; what is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct ClockFigures {
    /// Seconds that the clock of `fleet.time_server` is ahead of the kiosk's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub offset_seconds: Option<f64>,
    /// Whether systemd has set the clock since the machine was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub synchronised: Option<bool>,
}

impl Telemetry {
    /// As it is published.
    pub fn json(&self) -> Vec<u8> {
        self.value().to_string().into_bytes()
    }

    /// Everything whose change is told at once: what somebody may have to do something about.
    pub fn condition(&self) -> impl PartialEq + use<> {
        let states: BTreeMap<_, _> =
            self.sources.iter().map(|(name, source)| (*name, source.state)).collect();
        let cloud = (self.cloud.enabled, self.cloud.breaker_open);
        let restarts: u64 = self.workers.values().sum();
        // A throttled board flickers, and a full disk stays full: both change seldom enough.
        let machine = self.machine.throttled;
        let certificate = self.mqtt.certificate_days.map(|days| days < SOON);
        (states, self.outbox.accepts, self.outbox.dead, cloud, restarts, machine, certificate)
    }

    fn value(&self) -> Value {
        serde_json::json!(self)
    }

    /// For Prometheus.
    pub fn encode(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let figures = self.value();
        for metric in METRICS {
            metric.encode(&figures, encoder)?;
        }
        Ok(())
    }
}

/// What a figure is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    /// A word, which becomes the last label of the number 1.
    Word,
}

/// A figure's name for Prometheus.
struct Metric {
    /// Where it is in [`Telemetry`]: keys, and `*` for each key that is a label's value.
    place: &'static str,
    name: &'static str,
    help: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
}

const fn metric(
    place: &'static str,
    name: &'static str,
    help: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
) -> Metric {
    Metric { place, name, help, kind, labels }
}

/// All figures, under their names for Prometheus.
const METRICS: &[Metric] = &{
    use Kind::{Counter, Gauge, Word};
    [
        metric("uptime_seconds", "uptime_seconds", "Since the program was started", Gauge, &[]),
        metric(
            "scans/*/*",
            "scans",
            "Scans that ended, by source and outcome",
            Counter,
            &["source", "outcome"],
        ),
        metric(
            "confidence/*",
            "values_read",
            "Values whose confidence is at most that",
            Counter,
            &["at_most"],
        ),
        metric(
            "stages/*/count",
            "scan_stages",
            "Documents that had a stage of reading",
            Counter,
            &["stage"],
        ),
        metric(
            "stages/*/p50_seconds",
            "scan_stage_p50_seconds",
            "Half of the last 256 documents took no longer in a stage",
            Gauge,
            &["stage"],
        ),
        metric(
            "stages/*/p95_seconds",
            "scan_stage_p95_seconds",
            "95 % of the last 256 documents took no longer in a stage",
            Gauge,
            &["stage"],
        ),
        metric("outbox/accepts", "outbox_accepts", "1 while documents are accepted", Gauge, &[]),
        metric(
            "outbox/documents",
            "outbox_documents",
            "Documents that wait to be read",
            Gauge,
            &[],
        ),
        metric("outbox/results", "outbox_results", "Results that wait for the broker", Gauge, &[]),
        metric(
            "outbox/oldest_seconds",
            "outbox_oldest_seconds",
            "Age of the result that waits longest",
            Gauge,
            &[],
        ),
        metric(
            "outbox/delivered",
            "outbox_delivered",
            "Results that were delivered and are not erased yet",
            Gauge,
            &[],
        ),
        metric(
            "outbox/dead",
            "outbox_dead",
            "Documents and results that were set aside",
            Gauge,
            &[],
        ),
        metric(
            "outbox/without_key",
            "outbox_without_key",
            "Sealed with a key that is not here",
            Gauge,
            &[],
        ),
        metric("outbox/bytes", "outbox_bytes", "Size of the outbox's file", Gauge, &[]),
        metric("mqtt/connected", "mqtt_connected", "1 while there is a connection", Gauge, &[]),
        metric("mqtt/in_flight", "mqtt_in_flight", "Results that wait for a PUBACK", Gauge, &[]),
        metric(
            "mqtt/delivered",
            "mqtt_delivered",
            "Results that the broker acknowledged",
            Counter,
            &[],
        ),
        metric(
            "mqtt/connections",
            "mqtt_connections",
            "Connections made with the broker",
            Counter,
            &[],
        ),
        metric(
            "mqtt/certificate_days",
            "mqtt_certificate_days",
            "Days until the kiosk's certificate ends",
            Gauge,
            &[],
        ),
        metric("cloud/enabled", "cloud_enabled", "1 while the cloud may be asked", Gauge, &[]),
        metric(
            "cloud/breaker_open",
            "cloud_breaker_open",
            "1 while the cloud is left alone after failures",
            Gauge,
            &[],
        ),
        metric("cloud/budget", "cloud_budget", "Transfers that a day has", Gauge, &[]),
        metric("cloud/used", "cloud_used", "Transfers that today has had", Gauge, &[]),
        metric(
            "cloud/asked",
            "cloud_asked",
            "Documents that the cloud was to be asked about",
            Counter,
            &[],
        ),
        metric(
            "cloud/merged",
            "cloud_merged",
            "Documents that got values from the cloud",
            Counter,
            &[],
        ),
        metric("cloud/sent", "cloud_sent", "Transfers to the cloud", Counter, &[]),
        metric(
            "cloud/failed/*",
            "cloud_failed",
            "Documents that the cloud did not help with",
            Counter,
            &["kind"],
        ),
        metric(
            "sources/*/state",
            "source_state",
            "1 for the state that a source is in",
            Word,
            &["source", "state"],
        ),
        metric(
            "sources/*/ready",
            "source_ready",
            "1 while a source is ready or at work",
            Gauge,
            &["source"],
        ),
        metric(
            "sources/*/pages",
            "pages_captured",
            "Pages that a device gave",
            Counter,
            &["source"],
        ),
        metric(
            "sources/*/asked_again",
            "pages_asked_again",
            "Times that a page was asked for again",
            Counter,
            &["source"],
        ),
        metric(
            "camera/broken",
            "camera_broken",
            "Pictures of the camera that came damaged",
            Counter,
            &[],
        ),
        metric("camera/hung", "camera_hung", "Times that the camera did not answer", Counter, &[]),
        metric(
            "workers/*",
            "worker_restarts",
            "Times that a worker failed and began anew",
            Counter,
            &["worker"],
        ),
        metric(
            "machine/cpu_share",
            "machine_cpu_share",
            "Share of all processors' time that was used lately",
            Gauge,
            &[],
        ),
        metric(
            "machine/own_cpu_share",
            "machine_own_cpu_share",
            "Share of all processors' time that this program used lately",
            Gauge,
            &[],
        ),
        metric(
            "machine/own_memory_bytes",
            "machine_own_memory_bytes",
            "Memory that this program has",
            Gauge,
            &[],
        ),
        metric(
            "machine/memory_available_bytes",
            "machine_memory_available_bytes",
            "Memory that could still be had",
            Gauge,
            &[],
        ),
        metric("machine/memory_bytes", "machine_memory_bytes", "All memory", Gauge, &[]),
        metric(
            "machine/temperature_celsius",
            "machine_temperature_celsius",
            "The hottest sensor",
            Gauge,
            &[],
        ),
        metric(
            "machine/throttled",
            "machine_throttled",
            "1 while the processor is slowed down for heat or voltage",
            Gauge,
            &[],
        ),
        metric(
            "machine/disk_available_bytes",
            "machine_disk_available_bytes",
            "Room on the disk of the state folder",
            Gauge,
            &[],
        ),
        metric(
            "machine/disk_bytes",
            "machine_disk_bytes",
            "Size of the disk of the state folder",
            Gauge,
            &[],
        ),
        metric(
            "machine/uptime_seconds",
            "machine_uptime_seconds",
            "Since the machine was started",
            Gauge,
            &[],
        ),
        metric(
            "clock/offset_seconds",
            "clock_offset_seconds",
            "What the time server's clock is ahead",
            Gauge,
            &[],
        ),
        metric(
            "clock/synchronised",
            "clock_synchronised",
            "1 where systemd has set the clock",
            Gauge,
            &[],
        ),
        metric("anomalies/*", "anomalies", "Things that should not happen", Counter, &["kind"]),
    ]
};

impl Metric {
    /// Each figure that this names, with its labels' values.
    fn figures(&self, all: &Value) -> Vec<(Vec<String>, Value)> {
        let mut found = vec![(Vec::new(), all.clone())];
        for key in self.place.split('/') {
            found = found
                .into_iter()
                .flat_map(|(labels, value)| {
                    let inner = match value {
                        Value::Object(inner) => inner,
                        _ => serde_json::Map::new(),
                    };
                    let fitting =
                        inner.into_iter().filter(move |(name, _)| key == "*" || name == key);
                    fitting.map(move |(name, value)| {
                        let label = (key == "*").then_some(name);
                        (labels.iter().cloned().chain(label).collect(), value)
                    })
                })
                .collect();
        }
        if self.kind == Kind::Word {
            for (labels, value) in &mut found {
                let word = std::mem::replace(value, Value::from(1));
                labels.push(word.as_str().unwrap_or_default().to_owned());
            }
        }
        found
    }

    fn encode(&self, all: &Value, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let is_counter = self.kind == Kind::Counter;
        let kind = if is_counter { MetricType::Counter } else { MetricType::Gauge };
        let figures = self.figures(all);
        if figures.is_empty() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        if self.labels.is_empty() {
            return figures.first().map_or(Ok(()), |(_, value)| put(value, is_counter, metric));
        }
        for (values, value) in figures {
            let values = values.iter().map(String::as_str);
            let labels: Vec<_> = self.labels.iter().copied().zip(values).collect();
            put(&value, is_counter, metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn put(value: &Value, is_counter: bool, place: MetricEncoder) -> fmt::Result {
    let whole = value.as_bool().map(u64::from).or(value.as_u64());
    match whole {
        Some(whole) if is_counter => ConstCounter::new(whole).encode(place),
        Some(whole) => ConstGauge::new(i64::try_from(whole).unwrap_or(i64::MAX)).encode(place),
        None => ConstGauge::new(value.as_f64().unwrap_or_default()).encode(place),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[derive(Debug)]
    struct Of(Telemetry);

    impl Collector for Of {
        fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
            self.0.encode(&mut encoder)
        }
    }

    /// With something everywhere, and a number of its own at each place.
    pub fn full() -> Telemetry {
        let one = |name: &'static str, count| BTreeMap::from([(name, count)]);
        Telemetry {
            at: "2026-03-02T07:58:11Z".to_owned(),
            uptime_seconds: 1,
            scans: BTreeMap::from([("folder", one("local", 2))]),
            confidence: one("0.5", 3),
            stages: BTreeMap::from([(
                "decode",
                StageTimes { count: 4, p50_seconds: 5.5, p95_seconds: 6.5 },
            )]),
            outbox: OutboxFigures {
                accepts: true,
                documents: 7,
                results: 8,
                oldest_seconds: 9,
                delivered: 10,
                dead: 11,
                without_key: 12,
                bytes: 13,
            },
            mqtt: LinkFigures {
                connected: true,
                in_flight: 14,
                delivered: 15,
                connections: 16,
                certificate_days: Some(-39),
            },
            cloud: CloudFigures {
                enabled: true,
                breaker_open: true,
                budget: 17,
                used: 18,
                asked: 19,
                merged: 20,
                sent: 21,
                failed: one("timeout", 22),
            },
            sources: BTreeMap::from([(
                "camera",
                SourceFigures { state: "ready", ready: true, pages: 23, asked_again: 24 },
            )]),
            camera: Some(CameraFigures { broken: 25, hung: 26 }),
            workers: one("reader", 27),
            machine: MachineFigures {
                cpu_share: Some(0.28),
                own_cpu_share: Some(0.29),
                own_memory_bytes: Some(30),
                memory_available_bytes: Some(31),
                memory_bytes: Some(32),
                temperature_celsius: Some(33.5),
                throttled: Some(false),
                disk_available_bytes: Some(34),
                disk_bytes: Some(35),
                uptime_seconds: Some(36),
            },
            clock: ClockFigures { offset_seconds: Some(-0.37), synchronised: Some(true) },
            anomalies: one("pages_missing", 38),
        }
    }

    fn leaves(value: &Value, place: &str, all: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(inner) => {
                inner
                    .iter()
                    .for_each(|(name, value)| leaves(value, &format!("{place}/{name}"), all));
            }
            value => _ = all.insert(place.trim_start_matches('/').to_owned(), value.clone()),
        }
    }

    fn fits(place: &str, pattern: &str) -> bool {
        let [place, pattern] = [place, pattern].map(|it| it.split('/').collect::<Vec<_>>());
        place.len() == pattern.len()
            && place.iter().zip(pattern).all(|(key, wanted)| wanted == "*" || wanted == *key)
    }

    #[test]
    fn every_figure_goes_to_prometheus_and_has_the_same_number_there() {
        let telemetry = full();
        let mut all = BTreeMap::new();
        leaves(&telemetry.value(), "", &mut all);
        let mut registry = Registry::with_prefix("cic");
        registry.register_collector(Box::new(Of(telemetry)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        all.remove("at");
        assert!(all.len() > 40);
        for (place, value) in all {
            let named: Vec<_> =
                METRICS.iter().filter(|metric| fits(&place, metric.place)).collect();
            let [metric] = named[..] else { panic!("{place} has {} names", named.len()) };
            let number = match value {
                Value::Bool(is_so) => f64::from(u8::from(is_so)),
                Value::String(_) => 1.0,
                value => value.as_f64().unwrap(),
            };
            let name = format!("cic_{}", metric.name);
            let line = text.lines().find(|line| {
                let rest = line.strip_prefix(&name).unwrap_or_default();
                let rest = rest.strip_prefix("_total").unwrap_or(rest);
                rest.starts_with([' ', '{'])
            });
            let line = line.unwrap_or_else(|| panic!("{name} is not in\n{text}"));
            let told: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            assert_eq!(told, number, "{place}: {line}");
        }
    }

    #[test]
    fn labels_are_the_names_in_the_telemetry() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Of(full())));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "scans_total{source=\"folder\",outcome=\"local\"} 2",
            "source_state{source=\"camera\",state=\"ready\"} 1",
            "worker_restarts_total{worker=\"reader\"} 27",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out_of_both() {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Of(Telemetry::default())));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(!text.contains("\nmachine_temperature_celsius "), "{text}");
        assert!(Telemetry::default().value()["machine"].as_object().unwrap().is_empty());
    }

    #[test]
    fn condition_changes_with_what_somebody_may_have_to_see_to_and_not_with_time() {
        let (calm, mut later) = (full(), full());
        (later.at, later.uptime_seconds, later.machine.temperature_celsius) =
            ("2026-03-02T07:59:11Z".to_owned(), 61, Some(34.0));
        assert!(calm.condition() == later.condition());
        if let Some(source) = later.sources.get_mut("camera") {
            source.state = "absent";
        }
        assert!(calm.condition() != later.condition());
    }
}
