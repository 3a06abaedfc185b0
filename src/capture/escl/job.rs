//! A scan at the scanner.
//!
//! Promise: whoever lets go of a job that has not ended, for whatever reason, leaves none behind at
//! the scanner.

use std::future::Future;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::client::{Asked, Client};
use crate::capture::Fault;

/// A job that has begun. It is deleted at the scanner when it is dropped.
pub struct Job {
    client: Client,
    url: Url,
    ended: bool,
}

impl Job {
    /// Asks for one. The answer is waited for even if nobody wants it any more: what begins late is
    /// deleted, too.
    pub async fn begin(client: &Client, ticket: Bytes) -> Result<Asked<Box<Self>>, Fault> {
        let client = client.clone();
        let asked = tokio::spawn(async move {
            Ok(match client.ask(ticket).await? {
                Asked::Begun(url) => Asked::Begun(Box::new(Self { client, url, ended: false })),
                Asked::Later(pause) => Asked::Later(pause),
                Asked::Refused => Asked::Refused,
            })
        });
        asked.await.unwrap_or_else(|_| Err(broken()))
    }

    /// What the scanner calls it.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The next page, on its way from now on, whether it is waited for or not.
    pub fn next(
        &self,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, Fault>> + Send + Unpin + use<> {
        let (client, url) = (self.client.clone(), self.url.clone());
        let page = AbortOnDropHandle::new(tokio::spawn(async move { client.page(&url).await }));
        Box::pin(async move { page.await.unwrap_or_else(|_| Err(broken())) })
    }

    /// It has ended at the scanner, too.
    pub fn ended(mut self) {
        self.ended = true;
    }
}

/// A task ends so only together with the program.
fn broken() -> Fault {
    Fault::Failing("the scan broke off: begin again".to_owned())
}

impl Drop for Job {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.ended, Handle::try_current()) {
            let (client, url) = (self.client.clone(), self.url.clone());
            runtime.spawn(async move { client.delete(url).await });
        }
    }
}
