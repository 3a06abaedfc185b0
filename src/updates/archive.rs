//! A package's file: a minisign signature, four lines of text, and behind it the tar archive that it
//! signs.
//!
//! ```text
//! head -n 4 FILE > p.minisig; tail -n +5 FILE > p; minisign -Vm p -P KEY
//! ```
//!
//! Promises:
//! - The archive is parsed only after all of it was found to be what a known key signed.
//! - The archive holds `package.toml` and the files that this names, in that order, with their
//!   lengths and SHA-256s, and nothing else: no folder, no link, no other name.
//! - Nothing is packed: a file takes no more room than its part of the package.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use minisign_verify::{PublicKey, Signature};
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

use super::package::Package;
use super::{Refusal, hexadecimal};

/// The name of what a package says of itself.
pub const FIRST: &str = "package.toml";

/// The most that it may have, and the signature before it.
const MAX_TEXT: u64 = 64 << 10;

/// Lines of a signature.
const LINES: usize = 4;

/// A package whose signature is right.
#[derive(Debug)]
pub struct Signed {
    file: File,
    /// Where the archive begins.
    start: u64,
    /// What the signer said of it: for people.
    pub comment: String,
}

/// Reads public keys.
///
/// # Errors
/// Which of them is none.
pub fn keys(texts: &[String]) -> Result<Vec<PublicKey>, String> {
    let key = |(number, text): (usize, &String)| {
        PublicKey::from_base64(text.trim()).map_err(|_| {
            format!("number {} of models.keys is no public key of minisign", number + 1)
        })
    };
    texts.iter().enumerate().map(key).collect()
}

impl Signed {
    /// Opens a package, if one of the keys has signed all of it.
    ///
    /// # Errors
    /// Where it is too large, or not signed so.
    pub fn open(path: &Path, keys: &[PublicKey], max_bytes: u64) -> Result<Self, Refusal> {
        if keys.is_empty() {
            return Err(Refusal::NoKeys);
        }
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        if bytes > max_bytes {
            return Err(Refusal::TooLarge(max_bytes));
        }
        let text = signature_of(&file)?;
        let start = text.len() as u64;
        let signature = Signature::decode(&text).map_err(|_| Refusal::Unsigned)?;
        let mut buffer = vec![0; 64 << 10];
        for key in keys {
            // It signs a hash, so that no more than a piece of the file is in memory; and a signature
            // of another key is told by its number.
            let Ok(mut verifier) = key.verify_stream(&signature) else { continue };
            file.seek(SeekFrom::Start(start))?;
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    length => verifier.update(&buffer[..length]),
                }
            }
            if verifier.finalize().is_ok() {
                let comment = signature.trusted_comment().to_owned();
                return Ok(Self { file, start, comment });
            }
        }
        Err(Refusal::Signature)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// Where it is not in the form of a package.
    pub fn package(&mut self) -> Result<Package, Refusal> {
        let mut archive = self.archive()?;
        let first = archive.entries()?.raw(true).next();
        let mut first = first.ok_or_else(|| malformed("it is empty"))??;
        let text = first_text(&mut first)?;
        Package::parse(&text)
    }

    /// Writes all of it into a new folder. When this returns, it is on the disk.
    ///
    /// # Errors
    /// Where it does not hold what it says, or the disk fails.
    pub fn unpack(&mut self, into: &Path) -> Result<Package, Refusal> {
        let mut archive = self.archive()?;
        let mut entries = archive.entries()?.raw(true);
        let mut first = entries.next().ok_or_else(|| malformed("it is empty"))??;
        let text = first_text(&mut first)?;
        let package = Package::parse(&text)?;
        let folder = |path: &Path| DirBuilder::new().mode(0o755).create(path);
        folder(into)?;
        for part in ["models", "golden"] {
            folder(&into.join(part))?;
        }
        write(&into.join(FIRST), &mut text.as_bytes())?;
        let mut named = package.files.iter();
        for entry in entries {
            let mut entry = entry?;
            let next =
                named.next().ok_or_else(|| malformed("it holds more files than it names"))?;
            is_entry(&entry, &next.path)?;
            if entry.size() != next.bytes {
                return Err(malformed(&format!("{} is not as long as it says", next.path)));
            }
            let digest = write(&into.join(&next.path), &mut entry)?;
            if !digest.eq_ignore_ascii_case(&next.sha256) {
                return Err(malformed(&format!("{} has another SHA-256", next.path)));
            }
        }
        if let Some(missing) = named.next() {
            return Err(malformed(&format!("{} is missing", missing.path)));
        }
        for part in ["models", "golden", "."] {
            File::open(into.join(part))?.sync_all()?;
        }
        Ok(package)
    }

    fn archive(&mut self) -> io::Result<Archive<BufReader<&mut File>>> {
        self.file.seek(SeekFrom::Start(self.start))?;
        Ok(Archive::new(BufReader::new(&mut self.file)))
    }
}

/// Whether the files of an unpacked package are those that it names.
///
/// # Errors
/// What is wrong with them.
pub fn check_folder(folder: &Path) -> Result<Package, Refusal> {
    let mut text = String::new();
    File::open(folder.join(FIRST))?.take(MAX_TEXT).read_to_string(&mut text)?;
    let package = Package::parse(&text)?;
    for file in &package.files {
        let digest = copy(&mut File::open(folder.join(&file.path))?, &mut io::sink())?;
        if !digest.eq_ignore_ascii_case(&file.sha256) {
            return Err(malformed(&format!("{} is damaged", file.path)));
        }
    }
    Ok(package)
}

/// The lines before the archive, with their ends.
fn signature_of(file: &File) -> Result<String, Refusal> {
    let mut text = Vec::new();
    let mut reader = BufReader::new(file).take(MAX_TEXT);
    for _ in 0..LINES {
        reader.read_until(b'\n', &mut text)?;
    }
    let text = String::from_utf8(text).map_err(|_| Refusal::Unsigned)?;
    if text.ends_with('\n') { Ok(text) } else { Err(Refusal::Unsigned) }
}

fn first_text(entry: &mut tar::Entry<impl Read>) -> Result<String, Refusal> {
    is_entry(entry, FIRST)?;
    if entry.size() > MAX_TEXT {
        return Err(malformed(&format!("{FIRST} is too long")));
    }
    let mut text = String::new();
    entry.read_to_string(&mut text)?;
    Ok(text)
}

fn is_entry(entry: &tar::Entry<impl Read>, path: &str) -> Result<(), Refusal> {
    let is_file = entry.header().entry_type() == EntryType::Regular;
    if is_file && *entry.path_bytes() == *path.as_bytes() {
        Ok(())
    } else {
        Err(malformed(&format!("{path} is not where it should be")))
    }
}

fn write(path: &Path, from: &mut impl Read) -> io::Result<String> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    let mut file = BufWriter::new(file);
    let digest = copy(from, &mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(digest)
}

/// Copies, and gives the SHA-256 of what it copied.
pub fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<String> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hexadecimal(digest.finalize())),
            length => {
                digest.update(&buffer[..length]);
                to.write_all(&buffer[..length])?;
            }
        }
    }
}

fn malformed(reason: &str) -> Refusal {
    Refusal::Malformed(reason.to_owned())
}
