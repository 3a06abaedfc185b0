//! The devices that pages are captured with, at work.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::Daemon;
use super::session::Session;
use super::supervisor::Failure;
use crate::capture::{Device, Handle, Port, Source, Sources, Tally, keep_at_work};

impl Daemon {
    /// Begins to capture with the devices that are set up.
    pub(super) async fn start_devices(&self) -> Result<Sources, Failure> {
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
        Ok(Sources::new(handles))
    }

    fn start_device(&self, name: Source, device: Device) -> Handle {
        let (port, outlet) = Port::new(self.stop.clone());
        let shown = watch::Sender::default();
        let tally: Arc<Tally> = Arc::default();
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
            state: handle.state.clone(),
            outbox: self.outbox.clone(),
            ahead: self.ahead.clone(),
            settings: self.settings.subscribe(),
            shown,
            tally,
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
