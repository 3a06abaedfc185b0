//! TLS with a server, and how long certificates hold.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};
use x509_parser::prelude::{FromDer, X509Certificate};

/// For each step with a server.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A certificate that ends within this should be renewed now.
pub const SOON: i64 = 30 * 24 * 60 * 60;

/// The kiosk's own, which it has renewed by itself by then.
pub const OWN_SOON: i64 = 14 * 24 * 60 * 60;

/// How long certificates hold.
pub enum Holds {
    /// Until then, which is a good while.
    Until(Timestamp),
    /// Not for long.
    EndsSoon(Timestamp),
    /// Not any more.
    Ended(Timestamp),
}

/// Shakes hands with a server, and gives its certificates. Nothing is sent after that.
pub fn handshake(
    address: SocketAddr,
    host: &str,
    config: ClientConfig,
) -> io::Result<Vec<CertificateDer<'static>>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    while client.is_handshaking() {
        client.complete_io(&mut tcp)?;
    }
    let certificates = client.peer_certificates().unwrap_or_default();
    Ok(certificates.iter().map(|it| it.clone().into_owned()).collect())
}

/// The certificates in a PEM file.
pub fn in_file(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).map_err(io::Error::other)?;
    all.collect::<Result<_, _>>().map_err(io::Error::other)
}

/// How long all of these hold; `None` where they are none.
pub fn hold(certificates: &[CertificateDer<'_>], soon: i64) -> Option<Holds> {
    let ends = certificates.iter().map(|certificate| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(parsed.validity().not_after.timestamp())
    });
    let first = ends.collect::<Option<Vec<_>>>()?.into_iter().min()?;
    let end = Timestamp::from_second(first).ok()?;
    Some(match first - Timestamp::now().as_second() {
        ..=0 => Holds::Ended(end),
        left if left < soon => Holds::EndsSoon(end),
        _ => Holds::Until(end),
    })
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, tz::TimeZone};

    use super::*;

    /// A certificate that ends at this time.
    fn certificate(end: Timestamp) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let day = end.to_zoned_datetime(TimeZone::UTC).date();
        params.not_after =
            rcgen::date_time_ymd(day.year().into(), day.month() as u8, day.day() as u8);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn certificates_hold_as_long_as_the_first_of_them() {
        let day = |days: i64| certificate(Timestamp::now() + SignedDuration::from_hours(24 * days));
        assert!(matches!(hold(&[day(900)], SOON), Some(Holds::Until(_))));
        assert!(matches!(hold(&[day(900), day(10)], SOON), Some(Holds::EndsSoon(_))));
        assert!(matches!(hold(&[day(-10), day(900)], SOON), Some(Holds::Ended(_))));
        assert!(hold(&[], SOON).is_none() && hold(&[vec![0; 9].into()], SOON).is_none());
    }
}
