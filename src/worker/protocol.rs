//! What is said between the daemon and its worker, and how it lies on the socket.
//!
//! A frame is two lengths, a header in JSON, and as many bytes as the second length says: documents,
//! one after the other, or an answer.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read};

use bytes::Bytes;
use cic_kiosk::config::Reading;
use cic_kiosk::engine::Pictures;
use cic_kiosk::finding::Finding;
use cic_kiosk::page::{Gate, Limits, PageError};
use cic_kiosk::stage::Stage;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Both ends must be of one version: nothing here is promised to another.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The most that a header may have. The longest lists the pages of a document.
const MAX_HEADER: usize = 1 << 20;

/// The two lengths: 4 bytes and 8, little-endian.
const LENGTHS: usize = 12;

/// The first that the daemon says.
#[derive(Debug, Deserialize, Serialize)]
pub struct Hello {
    /// Of the daemon.
    pub version: String,
    /// How documents are read.
    pub reading: Reading,
    /// What one may cost.
    pub limits: Limits,
    /// What a page's picture must be like.
    pub quality: Gate,
    /// Names and lengths of the files of models that lie behind this, where the installed ones are not
    /// to be used: the worker can open no others.
    pub models: Vec<(String, usize)>,
}

/// The first that the worker says.
#[derive(Debug, Deserialize, Serialize)]
pub struct Welcome {
    /// Of the worker.
    pub version: String,
}

/// What the daemon says after that.
#[derive(Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum Order {
    /// Something to do; its answer has the same number.
    Do(u64, Task),
    /// Nobody waits for this one's answer any more.
    Cancel(u64),
    /// Nobody wants this page any more.
    Forget(u64),
}

/// Something to do.
#[derive(Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum Task {
    /// Load the models.
    Load,
    /// Open a document.
    Open,
    /// Look at a page, and keep it under this task's number.
    Look,
    /// Read the page that is kept under this number, and keep that.
    ReadAhead {
        /// The page's number.
        page: u64,
        /// Whether its picture is wanted.
        pictures: bool,
    },
    /// Read a document.
    Read {
        /// Bytes of each file.
        files: Vec<usize>,
        /// Pages that were read ahead.
        ahead: Vec<Option<u64>>,
        /// Which pictures the answer has.
        pictures: Pictures,
    },
    /// Make a PDF of pages' pictures.
    Draw {
        /// Bytes of each file.
        files: Vec<usize>,
        /// Which pages.
        pages: BTreeSet<usize>,
    },
}

/// What came of it.
#[derive(Debug, Deserialize, Serialize, PartialEq)]
pub enum Outcome {
    /// It is done. What was drawn is in the bytes.
    Done,
    /// The page was looked at. Its likeness is in the bytes, where there is one.
    Seen {
        /// Whether it is kept.
        page: bool,
        /// What is wrong with it.
        findings: Vec<Finding>,
    },
    /// The document was read; the answer is in the bytes.
    Read {
        /// Microseconds of each stage.
        stages: Vec<(Stage, u64)>,
    },
    /// There is no page to be had.
    Refused(PageError),
    /// It cannot be done.
    Failed(String),
    /// It could not be done because of a mistake in the program.
    Panicked,
}

/// What the worker says.
#[derive(Debug, Deserialize, Serialize)]
pub struct Said {
    /// Which task this is about.
    pub number: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// The beginning of a frame with a header and so many bytes behind it.
pub fn beginning(header: &impl Serialize, bytes: usize) -> Vec<u8> {
    // Only a map with keys that are no strings, or a failing Serialize, would not go.
    let json = serde_json::to_vec(header).unwrap_or_default();
    let mut frame = Vec::with_capacity(LENGTHS + json.len());
    frame.extend(u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend((bytes as u64).to_le_bytes());
    frame.extend(json);
    frame
}

/// A header's length, and that of the bytes behind it.
fn lengths(bytes: [u8; LENGTHS]) -> io::Result<(usize, u64)> {
    let [a, b, c, d, rest @ ..] = bytes;
    let header = u32::from_le_bytes([a, b, c, d]) as usize;
    if header > MAX_HEADER {
        return Err(broken("a header is too long"));
    }
    Ok((header, u64::from_le_bytes(rest)))
}

fn header<T: DeserializeOwned>(json: &[u8]) -> io::Result<T> {
    // What stands there may be of a document.
    serde_json::from_slice(json).map_err(|_| broken("a header says nothing that is known"))
}

/// Against the protocol.
pub fn broken(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Reads a frame; nothing where there is none any more. Who sends it is trusted with memory.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut bytes = [0; LENGTHS];
    // The end is well only between two frames.
    if from.read(&mut bytes[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut bytes[1..])?;
    let (length, behind) = lengths(bytes)?;
    let mut json = vec![0; length];
    from.read_exact(&mut json)?;
    let mut rest = Vec::new();
    if from.take(behind).read_to_end(&mut rest)? as u64 != behind {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((header(&json)?, rest)))
}

/// Reads a frame up to its bytes, and says how many these are.
pub async fn receive<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<(T, u64)> {
    let mut bytes = [0; LENGTHS];
    from.read_exact(&mut bytes).await?;
    let (length, behind) = lengths(bytes)?;
    let mut json = vec![0; length];
    from.read_exact(&mut json).await?;
    Ok((header(&json)?, behind))
}

/// Reads a frame's bytes, of which there must not be more than there is room for.
pub async fn receive_bytes(
    from: &mut (impl AsyncRead + Unpin),
    bytes: u64,
    room: usize,
) -> io::Result<Vec<u8>> {
    if bytes > room as u64 {
        return Err(broken("an answer is too long"));
    }
    let mut rest = Vec::new();
    if from.take(bytes).read_to_end(&mut rest).await? as u64 != bytes {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(rest)
}

/// Files that lie one after the other; nothing where their lengths do not fit.
pub fn files(mut bytes: Vec<u8>, lengths: &[usize]) -> Option<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    for &length in lengths.iter().rev() {
        let start = bytes.len().checked_sub(length)?;
        // The first file is what is left, and is not copied.
        files.push(if start == 0 { std::mem::take(&mut bytes) } else { bytes.split_off(start) });
    }
    files.reverse();
    bytes.is_empty().then_some(files)
}

/// How many bytes each file has.
pub fn lengths_of(files: &[Bytes]) -> Vec<usize> {
    files.iter().map(Bytes::len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let task =
            Task::Read { files: vec![2, 3], ahead: vec![None, Some(7)], pictures: Pictures::All };
        let mut frame = beginning(&Order::Do(9, task), 5);
        frame.extend(b"abcde");
        frame
    }

    #[tokio::test]
    async fn frame_comes_back_as_it_was_sent_in_both_ways_of_reading() {
        let frame = frame();
        let (order, bytes) = read::<Order>(&mut &frame[..]).unwrap().unwrap();
        let Order::Do(9, Task::Read { files: lengths, .. }) = &order else { panic!("{order:?}") };
        assert_eq!(files(bytes, lengths).unwrap(), [b"ab".to_vec(), b"cde".to_vec()]);
        let mut from = &frame[..];
        let (again, length) = receive::<Order>(&mut from).await.unwrap();
        assert_eq!((again, length), (order, 5));
        assert_eq!(receive_bytes(&mut from, length, 5).await.unwrap(), b"abcde");
    }

    #[tokio::test]
    async fn frame_that_is_cut_off_anywhere_is_an_error_and_an_end_between_frames_is_none() {
        let frame = frame();
        assert!(read::<Order>(&mut &frame[..0]).unwrap().is_none());
        for end in 1..frame.len() {
            assert!(read::<Order>(&mut &frame[..end]).is_err(), "{end}");
        }
        let cut = receive_bytes(&mut &b"abc"[..], 5, 5).await;
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_before_it_is_read() {
        let mut long = frame();
        long[..4].copy_from_slice(&(MAX_HEADER as u32 + 1).to_le_bytes());
        let refused = read::<Order>(&mut &long[..]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidData);
        let refused = receive_bytes(&mut tokio::io::repeat(0), u64::MAX, 1 << 20).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn garbage_is_an_error_whatever_it_is_and_is_not_quoted() {
        let frame = frame();
        for at in 0..frame.len() - 5 {
            for flip in [1, 0x40, 0x80, 0xff] {
                let mut bad = frame.clone();
                bad[at] ^= flip;
                // Some are still frames, if other ones; none may panic or be told of.
                if let Err(error) = read::<Order>(&mut &bad[..]) {
                    assert!(!error.to_string().contains("Read"), "{error}");
                }
            }
        }
        for header in ["", "null", "{\"Do\":[1]}", "{\"Do\":[-1,\"Look\"]}", "[[[[", "{\"Eat\":1}"]
        {
            let mut bad = (header.len() as u32).to_le_bytes().to_vec();
            bad.extend(0u64.to_le_bytes());
            bad.extend(header.as_bytes());
            assert!(read::<Order>(&mut &bad[..]).is_err(), "{header}");
        }
    }

    #[test]
    fn files_whose_lengths_do_not_fit_are_none() {
        let bytes = || b"abcde".to_vec();
        assert_eq!(files(bytes(), &[5]).unwrap(), [bytes()]);
        for lengths in [&[4][..], &[6], &[5, 1], &[usize::MAX, 6], &[]] {
            assert!(files(bytes(), lengths).is_none(), "{lengths:?}");
        }
        assert_eq!(files(Vec::new(), &[0, 0]).unwrap(), [b"".to_vec(), b"".to_vec()]);
    }
}
