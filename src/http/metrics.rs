//! What is counted, in Prometheus' words (OpenMetrics text).
//!
//! Invariant: labels come from fixed lists; nothing of a request, a key or a paper is ever one.

use std::sync::Arc;
use std::time::Duration;

use cic_kiosk::report::schema::ErrorCode;
use cic_kiosk::stage::Stage;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::gate::Gate;

/// Seconds; a digital document takes some hundredths, a long one on a slow board a minute.
const BUCKETS: [f64; 13] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

/// The content type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    code: &'static str,
    format_type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

/// All counters.
pub struct Metrics {
    registry: Registry,
    answers: Family<Outcome, Counter>,
    answer_seconds: Histogram,
    stage_seconds: Family<StageLabel, Histogram>,
    pages: Counter,
    turned_away: Counter,
    wrong_keys: Counter,
    gone: Counter,
}

/// A gauge that is read when it is asked for.
struct Now(Box<dyn Fn() -> usize + Send + Sync>);

impl std::fmt::Debug for Now {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Now")
    }
}

impl EncodeMetric for Now {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        encoder.encode_gauge(&i64::try_from((self.0)()).unwrap_or(i64::MAX))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl Metrics {
    /// Nothing has been counted; the queue's figures are the gate's, and others somebody else's.
    pub fn new(gate: &Arc<Gate>, others: Option<Box<dyn Collector>>) -> Self {
        let mut registry = Registry::with_prefix("cic");
        let answers = Family::<Outcome, Counter>::default();
        registry.register("answers", "Answers by error code and format_type", answers.clone());
        let answer_seconds = Histogram::new(BUCKETS);
        registry.register_with_unit(
            "answer",
            "Time from a request's head to its answer",
            Unit::Seconds,
            answer_seconds.clone(),
        );
        let stage_seconds =
            Family::<StageLabel, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register_with_unit(
            "stage",
            "Time that a document spends in a stage of the engine",
            Unit::Seconds,
            stage_seconds.clone(),
        );
        let mut counter = |name, help| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let pages = counter("pages_read", "Pages read");
        let turned_away = counter("turned_away", "Requests turned away because all was full");
        let wrong_keys = counter("wrong_keys", "Requests with no key or a wrong one");
        let gone = counter("gone", "Requests whose client went away before the answer");
        let (in_hand, at_work) = (Arc::clone(gate), Arc::clone(gate));
        let in_hand = Now(Box::new(move || in_hand.in_hand()));
        registry.register("requests_in_hand", "Requests let in and not answered yet", in_hand);
        let at_work = Now(Box::new(move || at_work.at_work()));
        registry.register("documents_at_work", "Documents that the engine is reading", at_work);
        if let Some(others) = others {
            registry.register_collector(others);
        }
        Self {
            registry,
            answers,
            answer_seconds,
            stage_seconds,
            pages,
            turned_away,
            wrong_keys,
            gone,
        }
    }

    /// A request got its answer.
    pub fn answered(&self, code: ErrorCode, format_type: &'static str, took: Duration) {
        self.answers.get_or_create(&Outcome { code: code.digit(), format_type }).inc();
        self.answer_seconds.observe(took.as_secs_f64());
        if code == ErrorCode::Unauthorised {
            self.wrong_keys.inc();
        }
    }

    /// A document was read.
    pub fn read(&self, pages: usize, spent: &[(Stage, Duration)]) {
        self.pages.inc_by(pages as u64);
        for (stage, spent) in spent {
            let label = StageLabel { stage: stage.name() };
            self.stage_seconds.get_or_create(&label).observe(spent.as_secs_f64());
        }
    }

    /// A request was turned away.
    pub fn turned_away(&self) {
        self.turned_away.inc();
    }

    /// A client went away.
    pub fn gone(&self) {
        self.gone.inc();
    }

    /// All figures.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
