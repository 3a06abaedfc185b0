//! The kiosk's figures, for the fleet, for Prometheus and for `systemctl status`: all of them come
//! from here.
//!
//! Invariant: names come from fixed lists.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use cic_kiosk::config::Config;
use cic_kiosk::models::ModelOptions;
use jiff::{SignedDuration, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use rustix::fs::statvfs;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::supervisor::Supervisor;
use super::systemd;
use crate::capture::Sources;
use crate::fleet::anomalies::Anomalies;
use crate::fleet::clock;
use crate::fleet::machine::{Cpu, Machine, Readings};
use crate::fleet::presence::shown;
use crate::fleet::telemetry::{
    CameraFigures, ClockFigures, CloudFigures, LinkFigures, MachineFigures, OutboxFigures,
    SourceFigures, Telemetry,
};
use crate::mqtt::LinkState;
use crate::outbox::{Outbox, OutboxError};
use crate::scan::Desk;

/// All of them.
#[derive(Clone)]
pub struct Figures {
    supervisor: Supervisor,
    link: watch::Receiver<LinkState>,
    desk: Arc<Desk>,
    anomalies: Anomalies,
    settings: watch::Receiver<Arc<Config>>,
    sources: Arc<OnceLock<Sources>>,
    begun: Instant,
    seen: watch::Sender<Seen>,
    clock_offset: Arc<Mutex<Option<f64>>>,
    status: Arc<Mutex<String>>,
}

/// What was seen at the last look: what takes a disk, or a moment between two readings.
#[derive(Clone, Debug, Default)]
struct Seen {
    outbox: OutboxFigures,
    cloud_used: u64,
    machine: MachineFigures,
    synchronised: Option<bool>,
    cpu: Option<Cpu>,
}

impl Figures {
    /// Nothing has been looked at.
    pub fn new(
        supervisor: Supervisor,
        link: watch::Receiver<LinkState>,
        desk: Arc<Desk>,
        anomalies: Anomalies,
        settings: watch::Receiver<Arc<Config>>,
    ) -> Self {
        let (sources, clock_offset, status) = Default::default();
        let (begun, seen) = (Instant::now(), watch::Sender::default());
        Self {
            supervisor,
            link,
            desk,
            anomalies,
            settings,
            sources,
            begun,
            seen,
            clock_offset,
            status,
        }
    }

    /// How the connection with the broker is.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.link.clone()
    }

    /// From now on these sources are told of.
    pub fn watch(&self, sources: Sources) {
        self.sources.get_or_init(|| sources);
    }

    /// Whether the models have been used.
    pub fn models_used(&self) -> bool {
        self.desk.scans().counted().models_used
    }

    /// What they run on then: a session that cannot have it is an error.
    pub fn provider(&self) -> &'static str {
        ModelOptions::default().providers.first().map_or("", |provider| provider.name())
    }

    /// Seconds that another clock is ahead of ours, where one was asked.
    pub fn clock_is_off_by(&self, seconds: Option<f64>) {
        *self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner) = seconds;
    }

    /// What time it is, as far as is known: where another clock is ahead, that one is right. What is
    /// too late is so by either.
    pub fn now(&self) -> Timestamp {
        let ahead = self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(0.0);
        let ahead = SignedDuration::try_from_secs_f64(ahead.max(0.0)).unwrap_or_default();
        Timestamp::now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// Changes with each look.
    pub fn looks(&self) -> watch::Receiver<impl Send + Sync + use<>> {
        self.seen.subscribe()
    }

    /// Looks at what is not known all the time; systemd is told where that changes the picture.
    ///
    /// # Errors
    /// Where the outbox cannot be read.
    pub async fn look(&self, outbox: &Outbox) -> Result<(), OutboxError> {
        let (now, accepts) = (outbox.figures().await?, self.desk.accepts().await);
        let outbox = OutboxFigures {
            accepts,
            documents: now.documents,
            results: now.results_waiting,
            oldest_seconds: now.oldest_waiting_age.unwrap_or_default().as_secs(),
            delivered: now.delivered_kept,
            dead: now.dead,
            without_key: now.unreadable_by_key.iter().map(|(_, count)| count).sum(),
            bytes: now.bytes,
        };
        let (state, desk) = (self.settings.borrow().kiosk.state.clone(), Arc::clone(&self.desk));
        let read = spawn_blocking(move || {
            (Machine::default().readings(), disk(&state), desk.cloud_used())
        });
        let (readings, disk, cloud_used) = read.await.unwrap_or_default();
        let before = self.seen.borrow().cpu;
        self.tell_status(&outbox);
        self.seen.send_replace(Seen {
            outbox,
            cloud_used,
            synchronised: clock::synchronised(),
            cpu: readings.cpu,
            machine: machine(&readings, disk, before),
        });
        Ok(())
    }

    fn tell_status(&self, outbox: &OutboxFigures) {
        let link = if self.link.borrow().connected_since.is_some() {
            "connected"
        } else {
            "not connected"
        };
        let line = format!(
            "{} to read, {} to deliver, {} dead letters; broker {link}",
            outbox.documents, outbox.results, outbox.dead
        );
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *status != line {
            systemd::status(&line);
            *status = line;
        }
    }

    /// All of them, as they are now.
    pub fn telemetry(&self) -> Telemetry {
        let Seen { outbox, cloud_used, machine, synchronised, .. } = self.seen.borrow().clone();
        let (link, counted) = (self.link.borrow().clone(), self.desk.scans().counted());
        let sources = self.sources.get().cloned().unwrap_or_default();
        let [pages, asked_again] =
            [sources.tally(|it| &it.pages), sources.tally(|it| &it.asked_again)];
        let camera = sources.camera_counts().map(|counts| {
            let [broken, hung] =
                [&counts.broken, &counts.hung].map(|it| it.load(Ordering::Relaxed));
            CameraFigures { broken, hung }
        });
        let sources = sources.standing().into_iter().map(|standing| {
            let name = standing.source.as_str();
            let of = |tally: &std::collections::BTreeMap<&'static str, u64>| {
                tally.get(name).copied().unwrap_or_default()
            };
            let figures = SourceFigures {
                state: standing.state.name(),
                ready: standing.state.is_well(),
                pages: of(&pages),
                asked_again: of(&asked_again),
            };
            (name, figures)
        });
        let mut anomalies = counted.odd;
        anomalies.extend(self.anomalies.all());
        Telemetry {
            at: shown(Timestamp::now()),
            uptime_seconds: self.begun.elapsed().as_secs(),
            scans: counted.scans,
            confidence: counted.confidence,
            stages: counted.stages,
            outbox,
            mqtt: LinkFigures {
                connected: link.connected_since.is_some(),
                in_flight: link.in_flight as u64,
                delivered: link.delivered,
                connections: link.connections,
            },
            cloud: self.cloud(cloud_used),
            sources: sources.collect(),
            camera,
            workers: self.supervisor.restarts(),
            machine,
            clock: ClockFigures {
                offset_seconds: *self.clock_offset.lock().unwrap_or_else(PoisonError::into_inner),
                synchronised,
            },
            anomalies,
        }
    }

    fn cloud(&self, used: u64) -> CloudFigures {
        let tally = self.desk.cloud_tally();
        let enabled = tally.is_some();
        let tally = tally.unwrap_or_default();
        let budget = self.settings.borrow().cloud.daily_budget;
        CloudFigures {
            enabled,
            breaker_open: tally.breaker_open,
            budget: if enabled { budget.into() } else { 0 },
            used,
            asked: tally.asked,
            merged: tally.merged,
            sent: tally.sent,
            failed: tally.failed,
        }
    }
}

/// Room for us, and all of it, in bytes.
fn disk(state: &PathBuf) -> Option<(u64, u64)> {
    let disk = statvfs(state).ok()?;
    Some((disk.f_bavail.checked_mul(disk.f_frsize)?, disk.f_blocks.checked_mul(disk.f_frsize)?))
}

fn machine(now: &Readings, disk: Option<(u64, u64)>, before: Option<Cpu>) -> MachineFigures {
    let passed = now.cpu.zip(before).and_then(|(now, before)| {
        let all = now.all.checked_sub(before.all).filter(|&all| all > 0)?;
        let share = |ticks: u64| (ticks as f64 / all as f64).clamp(0.0, 1.0);
        let idle = now.idle.saturating_sub(before.idle);
        Some((1.0 - share(idle), share(now.own.saturating_sub(before.own))))
    });
    // Three decimals are more than ticks tell.
    let rounded = |share: f64| (share * 1000.0).round() / 1000.0;
    MachineFigures {
        cpu_share: passed.map(|(all, _)| rounded(all)),
        own_cpu_share: passed.map(|(_, own)| rounded(own)),
        own_memory_bytes: now.resident_bytes,
        memory_available_bytes: now.available_bytes,
        memory_bytes: now.total_bytes,
        temperature_celsius: now.temperature,
        throttled: now.throttled,
        disk_available_bytes: disk.map(|(available, _)| available),
        disk_bytes: disk.map(|(_, all)| all),
        uptime_seconds: now.uptime,
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.telemetry().encode(&mut encoder)
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Figures")
    }
}
