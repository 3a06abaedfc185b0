//! The screen: its visits, and its pages, served for as long as the program runs.

use std::sync::Arc;

use cic_kiosk::config::Http;

use super::Daemon;
use super::figures::Figures;
use super::supervisor::Failure;
use crate::capture::Sources;
use crate::http::server::Listening;
use crate::screen::{self, Deck, Means};

impl Daemon {
    /// Begins to serve the screen, where there is one; gives where.
    pub(super) async fn start_screen(
        &self,
        sources: &Sources,
        figures: &Figures,
        deck: Option<Deck>,
    ) -> Result<Option<String>, Failure> {
        let Some(visits) = self.visits.clone() else { return Ok(None) };
        visits.begin(Means {
            sources: sources.clone(),
            outbox: self.outbox.clone(),
            link: figures.link(),
            ended: self.ended.clone(),
        });
        let config = Arc::clone(&self.settings.borrow());
        let http = Http { listen: config.screen.listen, tls: None, ..config.http.clone() };
        let listening = Arc::new(Listening::bind(&http).await?);
        let address = format!("http://{}", listening.address);
        let routes = screen::router(visits.clone(), deck.map(Arc::new), listening.address);
        let stop = self.stop.clone();
        self.supervisor.start("screen", move |_| {
            let (listening, routes) = (Arc::clone(&listening), routes.clone());
            let end = stop.clone().cancelled_owned();
            async move { Ok(listening.serve(routes, end).await?) }
        });
        let (keeper, stop) = (visits.clone(), self.stop.clone());
        self.supervisor.start("visits", move |_| {
            let (visits, stop) = (keeper.clone(), stop.clone());
            async move {
                visits.keep_time(stop).await;
                Ok(())
            }
        });
        let (reader, ahead, stop) =
            (Arc::clone(&self.reader), self.ahead.clone(), self.stop.clone());
        self.supervisor.start("views", move |_| {
            let (visits, reader) = (visits.clone(), Arc::clone(&reader));
            let (ahead, stop) = (ahead.clone(), stop.clone());
            async move {
                visits.keep_reading(&reader, &ahead, stop).await;
                Ok(())
            }
        });
        Ok(Some(address))
    }
}
