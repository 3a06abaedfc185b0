//! The devices that pages are captured with, and the hot folder, at work.

use std::sync::Arc;

use cic_kiosk::config::Config;
use tokio::sync::{Mutex, mpsc, watch};

use super::Daemon;
use super::session::Session;
use super::supervisor::Failure;
use crate::capture::{
    Device, Handle, HotFolder, Port, Source, Sources, State, Tally, keep_at_work,
};
use crate::screen::Visits;

/// Decisions that wait for a session, which is at its disk meanwhile.
const DECISIONS: usize = 4;

impl Daemon {
    /// Begins to take in what devices capture and what is dropped into the folder.
    pub(super) async fn start_sources(&self) -> Result<Sources, Failure> {
        if self.visits.is_some() {
            let forgotten = self.outbox.discard_interrupted(&Device::ALL).await?;
            if forgotten > 0 {
                log::warn!(
                    "{forgotten} scans were interrupted by the end of the program before their \
                     customers had agreed to send them: they are forgotten"
                );
            }
        }
        let interrupted = self.outbox.complete_interrupted(&Device::ALL).await?;
        if interrupted > 0 {
            log::warn!(
                "{interrupted} scans were interrupted by the end of the program; what there is of \
                 them is read"
            );
        }
        let config = Arc::clone(&self.settings.borrow());
        let mut handles = Vec::new();
        for name in Device::enabled(&config) {
            handles.push(self.start_device(name, Device::named(name, &config)?));
        }
        handles.extend(config.folder.watch.is_some().then(|| self.start_folder(&config)));
        Ok(Sources::new(handles).behind(self.visits.as_ref().map(Visits::gate)))
    }

    /// The folder takes no orders: each of its files is a scan.
    fn start_folder(&self, config: &Config) -> Handle {
        let state = watch::Sender::new(State::unknown());
        let handle = Handle {
            source: Source::Folder,
            state: state.subscribe(),
            scan: watch::Sender::default().subscribe(),
            orders: mpsc::channel(1).0,
            decisions: mpsc::channel(1).0,
            preview: watch::Sender::default(),
            tally: Arc::default(),
            counts: None,
        };
        let folder = HotFolder {
            settings: config.folder.clone(),
            limits: config.limits.clone(),
            reader: Arc::clone(&self.reader),
            outbox: self.outbox.clone(),
            ended: self.ended.clone(),
            state,
            stop: self.stop.clone(),
        };
        self.supervisor.start("folder", move |_| folder.clone().work());
        handle
    }

    fn start_device(&self, name: Source, device: Device) -> Handle {
        let (port, outlet) = match &self.visits {
            Some(visits) => Port::gated(self.stop.clone(), visits.gate()),
            None => Port::new(self.stop.clone()),
        };
        let (decisions, decided) = mpsc::channel(DECISIONS);
        let shown = watch::Sender::default();
        let tally: Arc<Tally> = Arc::default();
        let handle = Handle {
            source: name,
            state: outlet.state,
            scan: shown.subscribe(),
            orders: outlet.orders,
            decisions,
            preview: outlet.preview,
            tally: Arc::clone(&tally),
            counts: device.counts(),
        };
        let session = Session {
            source: name,
            events: outlet.events,
            state: handle.state.clone(),
            outbox: self.outbox.clone(),
            reader: Arc::clone(&self.reader),
            ahead: self.ahead.clone(),
            settings: self.settings.subscribe(),
            shown,
            tally,
            visits: self.visits.clone(),
            decisions: decided,
            stop: self.stop.clone(),
            open: None,
        };
        // What a worker that begins anew goes on with.
        let work = Arc::new(Mutex::new((device, port, session)));
        self.supervisor.start(name.as_str(), move |_| {
            let work = Arc::clone(&work);
            async move {
                let (device, port, session) = &mut *work.lock().await;
                tokio::join!(keep_at_work(device, name, port), session.run());
                Ok(())
            }
        });
        handle
    }
}
