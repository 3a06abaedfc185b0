//! How right the clock is: a question to a time server (SNTP, RFC 4330), and what systemd knows.
//!
//! The kernel's own answer would need a system call that the service's sandbox forbids, because it
//! can set the clock, too.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::{Instant, timeout};

/// For an answer, and for the name before it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Of a question and of an answer.
const PACKET: usize = 48;

/// Version 4, from a client.
const QUESTION: u8 = 4 << 3 | 3;

/// From NTP's beginning, 1900, to Unix's.
const SECONDS_TO_1970: f64 = 2_208_988_800.0;

/// NTP counts seconds in 32 bits, which are used up in 2036, and begin anew.
const ERA: f64 = 4_294_967_296.0;

/// There is a file here, `synchronized`, from when systemd-timesyncd has set the clock. Without the
/// folder something else looks after it, or nothing.
const TIMESYNC: &str = "/run/systemd/timesync";

/// Whether systemd has set the clock since the machine was started, where it is systemd that does.
pub fn synchronised() -> Option<bool> {
    let folder = Path::new(TIMESYNC);
    folder.is_dir().then(|| folder.join("synchronized").exists())
}

/// Seconds that a server's clock is ahead of this machine's, half of the way there and back left out.
///
/// # Errors
/// Where the server cannot be reached, does not answer in time, or answers something else.
pub async fn offset(server: &str) -> io::Result<f64> {
    timeout(PATIENCE, ask(server)).await?
}

async fn ask(server: &str) -> io::Result<f64> {
    let address = lookup_host(server).await?.next();
    let address = address.ok_or_else(|| io::Error::other("the name has no address"))?;
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(address).await?;
    let (sent, begun) = (unix_now(), Instant::now());
    let mut question = [0; PACKET];
    question[0] = QUESTION;
    // The server repeats it: so an answer to nothing that was asked is told.
    question[40..].copy_from_slice(&to_ntp(sent));
    socket.send(&question).await?;
    let mut answer = [0; PACKET];
    let length = socket.recv(&mut answer).await?;
    // By the clock that cannot be set meanwhile.
    let received = sent + begun.elapsed().as_secs_f64();
    read(&question, &answer[..length], sent, received)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no answer of a time server"))
}

/// The offset that an answer comes to.
fn read(question: &[u8], answer: &[u8], sent: f64, received: f64) -> Option<f64> {
    let is_server = answer.first()? & 7 == 4;
    // Stratum 0 is a refusal, 16 and more a server that does not know the time.
    let knows = (1..16).contains(answer.get(1)?);
    if !is_server || !knows || answer.get(24..32)? != question.get(40..48)? {
        return None;
    }
    let [arrived, left] = [answer.get(32..40)?, answer.get(40..48)?].map(|it| from_ntp(it, sent));
    Some(((arrived? - sent) + (left? - received)) / 2.0)
}

fn unix_now() -> f64 {
    Timestamp::now().as_nanosecond() as f64 / 1e9
}

fn to_ntp(unix: f64) -> [u8; 8] {
    let since_1900 = (unix + SECONDS_TO_1970).rem_euclid(ERA);
    let (seconds, fraction) = (since_1900 as u32, (since_1900.fract() * ERA) as u32);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4..].copy_from_slice(&fraction.to_be_bytes());
    bytes
}

/// In the era that brings it next to `near`.
fn from_ntp(bytes: &[u8], near: f64) -> Option<f64> {
    let [seconds, fraction] = [bytes.get(..4)?, bytes.get(4..8)?]
        .map(|it| <[u8; 4]>::try_from(it).map_or(0.0, |it| u32::from_be_bytes(it).into()));
    let unix = seconds + fraction / ERA - SECONDS_TO_1970;
    Some(unix + ((near - unix) / ERA).round() * ERA)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers as a server does whose clock is so many seconds ahead.
    async fn server(ahead: f64, change: fn(&mut [u8; PACKET])) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut packet = [0; PACKET];
            let (_, from) = socket.recv_from(&mut packet).await.unwrap();
            let mut answer = [0; PACKET];
            (answer[0], answer[1]) = (4 << 3 | 4, 2);
            answer[24..32].copy_from_slice(&packet[40..48]);
            let now = to_ntp(unix_now() + ahead);
            answer[32..40].copy_from_slice(&now);
            answer[40..48].copy_from_slice(&now);
            change(&mut answer);
            socket.send_to(&answer, from).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn offset_is_what_the_servers_clock_is_ahead_even_beyond_2036() {
        for ahead in [0.0, -90.25, 3600.0, 20.0 * 365.0 * 86400.0] {
            let offset = offset(&server(ahead, |_| {}).await).await.unwrap();
            assert!((offset - ahead).abs() < 1.0, "{offset} is not {ahead}");
        }
    }

    #[tokio::test]
    async fn answer_that_is_none_is_not_believed() {
        let changes: [fn(&mut [u8; PACKET]); 3] =
            [|answer| answer[0] = QUESTION, |answer| answer[1] = 0, |answer| answer[25] ^= 1];
        for change in changes {
            assert!(offset(&server(0.0, change).await).await.is_err());
        }
    }
}
