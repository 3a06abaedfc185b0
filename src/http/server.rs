//! Serves a router on a socket, with TLS where there is a certificate, until it is told to stop.
//!
//! Promises:
//! - A certificate that is renewed counts without a restart; one that cannot be read is named in
//!   the log, and the old one stays.
//! - A connection that says nothing, or whose client reads nothing, is closed, and there are only so
//!   many.
//! - At the end, requests under way get their time, and not more.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use cic_kiosk::config::{Http, Tls};
use rustls::ServerConfig;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use super::crowd::Crowd;

/// The longest time for a request's head, and for the first request of a connection.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a certificate's files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is not to be had.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The certificate or its key is not to be had.
    #[error("cannot use the certificate {} with the key {}: {reason}", files.certificate.display(), files.key.display())]
    Certificate {
        /// Where they are.
        files: Tls,
        /// What is wrong with them.
        reason: io::Error,
    },
    /// The system does not let us.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}

/// A socket that is bound, and what is spoken on it.
pub struct Listening {
    /// None when the end has come: who still connects then is refused rather than kept waiting.
    listener: Arc<Mutex<Option<TcpListener>>>,
    /// Its address, with the port that was taken.
    pub address: SocketAddr,
    settings: Http,
    tls: Option<(Tls, RustlsConfig)>,
}

impl Listening {
    /// Binds the address that the settings name.
    ///
    /// # Errors
    /// Any [`ServeError`].
    pub async fn bind(settings: &Http) -> Result<Self, ServeError> {
        let place = settings.listen;
        let tls = match &settings.tls {
            None => None,
            Some(tls) => match tls_config(tls).await {
                Ok(config) => Some((tls.clone(), RustlsConfig::from_config(config))),
                Err(reason) => return Err(ServeError::Certificate { files: tls.clone(), reason }),
            },
        };
        let listener =
            TcpListener::bind(place).map_err(|error| ServeError::Listen(place, error))?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener: Arc::new(Mutex::new(Some(listener))),
            address,
            settings: settings.clone(),
            tls,
        })
    }

    /// The scheme of its addresses.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    fn listener(&self) -> MutexGuard<'_, Option<TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves until `end` comes, and then until requests under way are answered or out of time. A
    /// server that failed can be asked to serve again.
    ///
    /// # Errors
    /// [`ServeError::Io`].
    pub async fn serve(
        &self,
        router: Router,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let handle = Handle::new();
        let (ends, drain) = (handle.clone(), self.settings.drain_time());
        let Some(listener) = self.listener().as_ref().map(TcpListener::try_clone) else {
            return Ok(());
        };
        let (listener, bound) = (listener?, Arc::clone(&self.listener));
        let ending = tokio::spawn(async move {
            end.await;
            bound.lock().unwrap_or_else(PoisonError::into_inner).take();
            ends.graceful_shutdown(Some(drain));
        });
        let _ending = AbortOnDropHandle::new(ending);
        let most = self.settings.max_connections;
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        match &self.tls {
            None => {
                let server = axum_server::from_tcp(listener)?.http1_only();
                let mut server = server.map(|acceptor| Crowd::new(acceptor, most));
                server.http_builder().http1().header_read_timeout(PATIENCE);
                server.handle(handle).first_request_timeout(PATIENCE).serve(service).await?;
            }
            Some((files, config)) => {
                let hangup = signal(SignalKind::hangup())?;
                let watching = tokio::spawn(watch(files.clone(), config.clone(), hangup));
                let _watching = AbortOnDropHandle::new(watching);
                let server = axum_server::from_tcp_rustls(listener, config.clone())?.http1_only();
                let mut server = server.map(|acceptor| Crowd::new(acceptor, most));
                server.http_builder().http1().header_read_timeout(PATIENCE);
                server.handle(handle).first_request_timeout(PATIENCE).serve(service).await?;
            }
        }
        Ok(())
    }
}

/// Reads the certificate again when its files change, or when SIGHUP says so.
async fn watch(files: Tls, config: RustlsConfig, mut hangup: Signal) {
    let mut known = changed(&files);
    loop {
        let asked = tokio::time::timeout(LOOK, hangup.recv()).await.is_ok();
        let now = changed(&files);
        if now == known && !asked {
            continue;
        }
        known = now;
        match tls_config(&files).await {
            Ok(new) => {
                config.reload_from_config(new);
                log::info!("the certificate was read again");
            }
            Err(error) => {
                log::error!("the new certificate is unusable, the old one stays: {error}")
            }
        }
    }
}

/// For HTTP/1.1 alone: the contract's clients speak it, and its idle connections can be told from
/// those that wait for an answer.
async fn tls_config(files: &Tls) -> io::Result<Arc<ServerConfig>> {
    let loaded = RustlsConfig::from_pem_file(&files.certificate, &files.key).await?;
    let mut config = ServerConfig::clone(&loaded.get_inner());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// When each of the files was last changed.
fn changed(files: &Tls) -> [Option<SystemTime>; 2] {
    let of = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    [of(&files.certificate), of(&files.key)]
}
