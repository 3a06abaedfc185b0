//! Where programs hand documents in: the HTTP API and the daemon's socket.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cic_kiosk::config::{Config, Http};
use rustls::RootCertStore;

use super::broker::held;
use super::check::{Check, Finding};
use super::tls::{self, PATIENCE};
use crate::http::fetch::bare_client;

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let (http, socket) = (config.http.clone(), config.kiosk.socket.clone());
    let (own, socket_of_http) = (config.http.clone(), socket.clone());
    vec![
        Check::new("http", api(http, socket_of_http)),
        Check::blocking("http-certificate", move || certificate(&own)),
        Check::new("submit", submit(socket)),
    ]
}

/// Whether the address is free for a daemon, or a daemon's own.
async fn api(http: Http, socket: PathBuf) -> Finding {
    if !http.enabled {
        return Finding::off("http.enabled is false");
    }
    listened_on(http.listen, &socket, "http.listen").await
}

/// Whether an address, which this setting names, is free for a daemon, or is a daemon's own.
pub async fn listened_on(place: SocketAddr, socket: &Path, setting: &str) -> Finding {
    match TcpListener::bind(place) {
        Ok(_) if place.port() == 0 => Finding::ok(format!(
            "{} can be listened on; its port is another one at each start",
            place.ip()
        )),
        Ok(_) => Finding::ok(format!("{place} is free: nobody serves it now")),
        // Who answers on the socket holds the address, too.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match answers(socket).await {
            Ok(()) => Finding::ok(format!("{place} is in use, and a daemon runs")),
            Err(_) => Finding::fault(
                format!("{place} is in use by another program"),
                format!("stop that, or set {setting} to another address"),
            ),
        },
        Err(error) => Finding::fault(
            format!("{place} cannot be listened on: {error}"),
            format!("set {setting} to an address of this machine, with a port above 1023"),
        ),
    }
}

fn certificate(http: &Http) -> Finding {
    let Some(files) = &http.tls else { return Finding::off("http.tls is not set") };
    match tls::in_file(&files.certificate) {
        Ok(certificates) => held("the API's certificates", tls::hold(&certificates, tls::SOON)),
        Err(error) => Finding::fault(
            format!("{} cannot be used: {error}", files.certificate.display()),
            "put the API's certificate there, in PEM",
        ),
    }
}

async fn submit(socket: PathBuf) -> Finding {
    let place = socket.display();
    match answers(&socket).await {
        Ok(()) => Finding::ok(format!("a daemon answers at {place}")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::fault(
            format!("this user may not use {place}"),
            "run this as the kiosk's user, or add this user to the socket's group",
        ),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Finding::fault(
            format!("the daemon at {place} does not answer"),
            "look at its log, and start it again",
        ),
        Err(_) => Finding::off(format!("no daemon runs here now ({place})")),
    }
}

/// Asks for something that is not there: whoever says so is there.
async fn answers(socket: &Path) -> io::Result<()> {
    tokio::net::UnixStream::connect(socket).await?;
    let client = bare_client(RootCertStore::empty()).map_err(io::Error::other)?;
    let client = client.unix_socket(socket).timeout(PATIENCE).build().map_err(io::Error::other)?;
    let answer = client.get("http://kiosk/").send().await;
    answer.map(drop).map_err(|_| io::ErrorKind::TimedOut.into())
}
