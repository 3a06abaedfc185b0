//! The devices that pages are captured with, at work.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::Daemon;
use super::session::Session;
use super::supervisor::Failure;
use crate::capture::{self, Handle, PageSource, Port, Source, Sources, keep_at_work};

/// All of them.
const DEVICES: [Source; 3] = [Source::Camera, Source::Escl, Source::Sane];

impl Daemon {
    /// Begins to capture with the devices that are set up.
    pub(super) async fn start_devices(&self) -> Result<Sources, Failure> {
        let interrupted = self.outbox.complete_interrupted(&DEVICES).await?;
        if interrupted > 0 {
            log::warn!(
                "{interrupted} scans were interrupted by the end of the program; what there is of \
                 them is read"
            );
        }
        let config = Arc::clone(&self.settings.borrow());
        let mut handles = Vec::new();
        Ok(Sources::new(handles))
    }

    fn start_device(&self, name: Source, source: impl PageSource) -> Handle {
        let (port, outlet) = Port::new(self.stop.clone());
        let shown = watch::Sender::default();
        let tally = Arc::default();
        let handle = Handle {
            source: name,
            state: outlet.state,
            scan: shown.subscribe(),
            orders: outlet.orders,
            tally: Arc::clone(&tally),
        };
        let session = Session {
            source: name,
            events: outlet.events,
            outbox: self.outbox.clone(),
            ahead: self.ahead.clone(),
            settings: self.settings.subscribe(),
            shown,
            tally,
            stop: self.stop.clone(),
            open: None,
        };
        // What a worker that begins anew goes on with.
        let work = Arc::new(Mutex::new((source, port, session)));
        self.supervisor.start(name.as_str(), move |_| {
            let work = Arc::clone(&work);
            async move {
                let (source, port, session) = &mut *work.lock().await;
                tokio::join!(keep_at_work(source, name, port), session.run());
                Ok(())
            }
        });
        handle
    }
}
