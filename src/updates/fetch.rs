//! Fetches a package over HTTPS, in pieces if need be.
//!
//! Promises:
//! - Only servers that the kiosk's own configuration names are asked, and only its authorities are
//!   trusted; no redirect is followed.
//! - What has come stays when the connection breaks, or the power, and is gone on with.
//! - No more comes in than was said, and what came in whole is what was said, by its SHA-256.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cic_kiosk::config::Updates;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use super::Refusal;
use super::archive::copy;
use crate::http::fetch::{bare_client, trusted};

/// TCP's own first repetitions come after 1 s and 3 s.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A connection on which nothing comes for so long is broken.
const QUIET: Duration = Duration::from_secs(30);

/// Tries in a row in which nothing came.
const TRIES: u32 = 5;

/// Before the second of them; doubled each time.
const PAUSE: Duration = Duration::from_secs(1);

/// A package as it was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its bytes.
    pub bytes: u64,
}

/// What has come of a package.
#[derive(Debug)]
pub struct Part {
    parcel: Parcel,
    path: PathBuf,
    file: File,
    /// How much that is.
    pub bytes: u64,
}

impl Parcel {
    /// Checks what was announced.
    ///
    /// # Errors
    /// Where it cannot be.
    pub fn check(&self, settings: &Updates) -> Result<(), Refusal> {
        let is_digest = self.sha256.len() == 64
            && self.sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        if !is_digest {
            return Err(failed("sha256 is no SHA-256 in small hexadecimal digits"));
        }
        if self.bytes > settings.max_bytes {
            return Err(Refusal::TooLarge(settings.max_bytes));
        }
        Ok(())
    }
}

impl Part {
    /// What there is of it in this folder, or nothing yet.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn open(folder: &Path, parcel: &Parcel) -> io::Result<Self> {
        let path = folder.join(Self::name(parcel));
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        let mut part = Self { parcel: parcel.clone(), path, bytes: file.metadata()?.len(), file };
        if part.bytes > parcel.bytes {
            part.begin_anew()?;
        }
        Ok(part)
    }

    /// The name of its file.
    pub fn name(parcel: &Parcel) -> String {
        format!("{}.part", parcel.sha256)
    }

    /// Keeps the beginning alone.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn cut(&mut self, bytes: u64) -> io::Result<()> {
        if bytes < self.bytes {
            self.file.set_len(bytes)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Appends what came.
    ///
    /// # Errors
    /// Where the disk fails, or it is more than was announced.
    pub fn append(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        if self.bytes + piece.len() as u64 > self.parcel.bytes {
            self.begin_anew()?;
            return Err(failed("more comes than was announced"));
        }
        self.file.write_all(piece)?;
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Throws away what has come.
    pub fn begin_anew(&mut self) -> io::Result<()> {
        self.cut(0)
    }

    /// Whether all has come.
    pub fn is_whole(&self) -> bool {
        self.bytes == self.parcel.bytes
    }

    /// The file, if it is what was announced; if not, it is thrown away.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn finish(self) -> Result<PathBuf, Refusal> {
        self.file.sync_all()?;
        let digest = copy(&mut File::open(&self.path)?.take(self.bytes), &mut io::sink())?;
        if digest == self.parcel.sha256 {
            return Ok(self.path);
        }
        fs::remove_file(&self.path)?;
        Err(failed("what came has another SHA-256 than was announced"))
    }
}

/// Fetches packages.
pub struct Fetcher {
    client: Client,
    settings: Updates,
}

impl Fetcher {
    /// With these settings. Reads the authorities: blocks.
    ///
    /// # Errors
    /// Where the authorities are none.
    pub fn new(settings: &Updates) -> Result<Self, Refusal> {
        let Some(path) = &settings.authorities else {
            return Err(failed("models.authorities names no certificate authorities"));
        };
        let pem = fs::read(path)
            .map_err(|error| failed(&format!("models.authorities, {}: {error}", path.display())))?;
        let roots = trusted(Vec::new(), Some(&pem)).map_err(|error| failed(&error.to_string()))?;
        let client = bare_client(roots).map_err(|error| failed(&error.to_string()))?;
        let client = client.connect_timeout(CONNECT_TIME).read_timeout(QUIET).build();
        let client = client.map_err(|_| failed("no TLS can be had"))?;
        Ok(Self { client, settings: settings.clone() })
    }

    /// Fetches what is missing; `progress` is told of each piece.
    ///
    /// # Errors
    /// Why it does not come. What has come of it stays.
    pub async fn fetch(
        &self,
        address: &str,
        part: &mut Part,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Refusal> {
        let address = Url::parse(address).map_err(|_| failed("the address is no URL"))?;
        if !self.settings.sources.iter().any(|source| source.holds(&address)) {
            return Err(failed("its address begins with none of models.sources"));
        }
        let (mut tries, mut pause) = (0, PAUSE);
        while !part.is_whole() {
            let before = part.bytes;
            let failure = match self.ask(&address, part, progress).await {
                Ok(()) if part.is_whole() => break,
                Ok(()) => failed("the server ends before the end"),
                Err(failure @ (Refusal::Disk(_) | Refusal::TooLarge(_))) => return Err(failure),
                Err(failure) => failure,
            };
            if part.bytes > before {
                (tries, pause) = (0, PAUSE);
            }
            tries += 1;
            if tries >= TRIES {
                return Err(failure);
            }
            log::info!("the package does not come and is asked for again: {failure}");
            sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    async fn ask(
        &self,
        address: &Url,
        part: &mut Part,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Refusal> {
        let mut request = self.client.get(address.clone());
        if part.bytes > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.bytes));
        }
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins(&response) == Some(part.bytes) => {}
            // It gives all of it, whatever was asked for.
            StatusCode::OK => part.begin_anew()?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                part.begin_anew()?;
                return Err(failed("the server has another file now"));
            }
            status => return Err(failed(&format!("the server says {}", status.as_u16()))),
        }
        loop {
            let piece = timeout(QUIET, response.chunk()).await;
            let piece = piece.map_err(|_| failed("the server is silent"))?;
            let Some(piece) = piece.map_err(unreachable)? else { return Ok(()) };
            part.append(&piece)?;
            progress(part.bytes);
        }
    }
}

/// The first byte that a partial answer holds.
fn begins(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// The text of the error may name addresses.
fn unreachable(error: reqwest::Error) -> Refusal {
    failed(if error.is_connect() {
        "the server cannot be reached, or its certificate is of none of models.authorities"
    } else if error.is_timeout() {
        "the server is silent"
    } else {
        "the connection broke"
    })
}

fn failed(reason: &str) -> Refusal {
    Refusal::Download(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SHA-256 is that of "abc", from FIPS 180-2.
    fn parcel() -> Parcel {
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        Parcel { sha256, bytes: 3 }
    }

    #[test]
    fn what_came_before_a_power_cut_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        Part::open(folder.path(), &parcel()).unwrap().append(b"a").unwrap();
        let mut part = Part::open(folder.path(), &parcel()).unwrap();
        assert_eq!(part.bytes, 1);
        part.append(b"bc").unwrap();
        assert!(part.is_whole());
        assert_eq!(fs::read(part.finish().unwrap()).unwrap(), b"abc");
    }

    #[test]
    fn what_is_not_what_was_announced_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = Part::open(folder.path(), &parcel()).unwrap();
        part.append(b"abd").unwrap();
        assert_eq!(part.finish().unwrap_err().code(), "download");
        let mut part = Part::open(folder.path(), &parcel()).unwrap();
        assert_eq!(part.bytes, 0);
        assert!(part.append(b"abcd").is_err());
        assert_eq!(part.bytes, 0);
    }

    #[test]
    fn announcement_that_cannot_be_is_refused() {
        let settings = Updates { max_bytes: 3, ..Updates::default() };
        assert!(parcel().check(&settings).is_ok());
        assert!(Parcel { bytes: 4, ..parcel() }.check(&settings).is_err());
        for wrong in ["", "../../etc/passwd", &"A".repeat(64), &"g".repeat(64)] {
            assert!(Parcel { sha256: wrong.to_owned(), bytes: 1 }.check(&settings).is_err());
        }
    }
}
