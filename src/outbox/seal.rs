//! Sealing: XChaCha20-Poly1305 under a key that stands beside the file, not in it.
//!
//! A sealed payload is `version (1 byte) | key id (8) | nonce (24) | ciphertext | tag (16)`. What is
//! authenticated with it is its head, what it is, and whose it is: a row cannot be put in another's
//! place, nor a result be passed off as a document.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Kind, OutboxError};
use crate::credentials::{CredentialError, Credentials, Secret};

/// The credential that things are sealed with.
const KEY: &str = "outbox-key";

/// The credential of keys that things were sealed with before, one a line.
const OLD_KEYS: &str = "outbox-key-old";

const EXPECTED: &str = "a key of 32 bytes, as they are, as 64 hexadecimal digits or as base64; \
                        `cic-kiosk outbox key > FILE` makes one";

const EXPECTED_OLD: &str = "the keys from before, one a line, each of 32 bytes as 64 hexadecimal \
                            digits or as base64";

const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + ID_BYTES;
const VERSION: u8 = 1;

/// Sets a key's id apart from any other use of the same hash.
const ID_DOMAIN: &[u8] = b"cic-kiosk outbox key id 1\0";

/// Sets a mixed key apart likewise.
const SALT_DOMAIN: &[u8] = b"cic-kiosk outbox salt 1\0";

/// Name of the salt's file in the state folder.
pub(super) const SALT: &str = "outbox.salt";

const DOMAIN: &[u8] = b"cic-kiosk outbox 1\0";

/// Which key, without a hint of what it is: the first 8 bytes of a SHA-256, as 16 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct KeyId(String);

impl KeyId {
    pub(super) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// What a sealed payload says that it is sealed with.
    pub(super) fn of(sealed: &[u8]) -> Option<Self> {
        sealed.get(1..HEAD_BYTES).map(|id| Self(hex(id)))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key, whose memory is wiped when it is dropped.
struct SealingKey {
    id: KeyId,
    id_bytes: [u8; ID_BYTES],
    cipher: XChaCha20Poly1305,
}

impl SealingKey {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let hash = Sha256::new().chain_update(ID_DOMAIN).chain_update(bytes).finalize();
        let mut id_bytes = [0; ID_BYTES];
        id_bytes.copy_from_slice(&hash[..ID_BYTES]);
        Self { id: KeyId(hex(&id_bytes)), id_bytes, cipher: XChaCha20Poly1305::new(bytes.into()) }
    }
}

/// The key that things are sealed with, and those that still open what was sealed before.
#[derive(Clone)]
pub struct SealingKeys(Arc<Vec<SealingKey>>);

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// Why a sealed payload does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Its key is not here.
    KeyMissing(KeyId),
    /// It is not what was sealed, or not where it was put.
    Damaged,
}

impl Closed {
    pub(super) fn of(self, scan_id: &str) -> OutboxError {
        match self {
            Self::KeyMissing(key) => OutboxError::KeyMissing { key },
            Self::Damaged => OutboxError::Unopened { scan_id: scan_id.to_owned() },
        }
    }
}

impl SealingKeys {
    /// The credentials `outbox-key` and, if there is one, `outbox-key-old`: mixed with what the state
    /// folder has ([`Salt`]), if it has that, and for what was sealed before it had, as they are.
    ///
    /// # Errors
    /// Where the first is missing, or one of them is no key.
    pub fn load(credentials: &Credentials, state: &Path) -> Result<Self, CredentialError> {
        let hint = format!("it is {EXPECTED}");
        let current = key(&credentials.need(KEY, &hint)?);
        let mut keys = vec![current.ok_or_else(|| malformed(credentials, KEY, EXPECTED))?];
        if let Some(secret) = credentials.find(OLD_KEYS)? {
            let old = old_keys(&secret);
            keys.extend(old.ok_or_else(|| malformed(credentials, OLD_KEYS, EXPECTED_OLD))?);
        }
        let salt = Salt::read(state);
        let salted: Vec<_> =
            salt.iter().flat_map(|salt| keys.iter().map(|key| salt.mix(key))).collect();
        Ok(Self::new(salted.iter().chain(&keys).map(|key| &**key)))
    }

    /// A key of another name, if there is one: for what is not in the outbox.
    ///
    /// # Errors
    /// Where it is no key.
    #[cfg(feature = "office")]
    pub fn find(credentials: &Credentials, name: &str) -> Result<Option<Self>, CredentialError> {
        let Some(secret) = credentials.find(name)? else { return Ok(None) };
        let key = key(&secret).ok_or_else(|| malformed(credentials, name, EXPECTED))?;
        Ok(Some(Self::new([&*key].into_iter())))
    }

    /// The first one seals.
    fn new<'a>(keys: impl Iterator<Item = &'a [u8; KEY_BYTES]>) -> Self {
        Self(Arc::new(keys.map(SealingKey::new).collect()))
    }

    /// The key that things are sealed with.
    pub fn current(&self) -> &KeyId {
        &self.0[0].id
    }

    /// All that open something.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.0.iter().map(|key| &key.id)
    }

    pub(super) fn has(&self, id: &KeyId) -> bool {
        self.ids().any(|known| known == id)
    }

    /// Seals what belongs to this scan.
    pub(super) fn seal(
        &self,
        kind: Kind,
        scan_id: &str,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, OutboxError> {
        self.seal_as(kind.as_str(), scan_id, payload)
    }

    /// Seals what is this, and belongs to whom is named.
    ///
    /// # Errors
    /// Where the system has no random bytes.
    pub fn seal_as(
        &self,
        what: &str,
        whose: &str,
        mut payload: Vec<u8>,
    ) -> Result<Vec<u8>, OutboxError> {
        let key = &self.0[0];
        let mut head = [VERSION; HEAD_BYTES];
        head[1..].copy_from_slice(&key.id_bytes);
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| OutboxError::NoRandom)?;
        let bound = bound(&head, what, whose);
        // Documents are large: once is enough to move one.
        payload.reserve(HEAD_BYTES + NONCE_BYTES + TAG_BYTES);
        // It fails beyond 256 GiB only.
        key.cipher
            .encrypt_in_place(&XNonce::from(nonce), &bound, &mut payload)
            .map_err(|_| OutboxError::TooLong)?;
        payload.splice(..0, head.into_iter().chain(nonce));
        Ok(payload)
    }

    /// Opens what was sealed for this scan.
    pub(super) fn open(
        &self,
        kind: Kind,
        scan_id: &str,
        sealed: Vec<u8>,
    ) -> Result<Vec<u8>, Closed> {
        self.unseal(kind.as_str(), scan_id, sealed)
    }

    /// Opens what [`Self::seal_as`] has sealed so.
    #[cfg(feature = "office")]
    pub fn open_as(&self, what: &str, whose: &str, sealed: Vec<u8>) -> Option<Vec<u8>> {
        self.unseal(what, whose, sealed).ok()
    }

    fn unseal(&self, what: &str, whose: &str, mut sealed: Vec<u8>) -> Result<Vec<u8>, Closed> {
        let Some((head, rest)) = sealed.split_first_chunk::<HEAD_BYTES>() else {
            return Err(Closed::Damaged);
        };
        let Some(nonce) = rest.first_chunk::<NONCE_BYTES>() else { return Err(Closed::Damaged) };
        if head[0] != VERSION {
            return Err(Closed::Damaged);
        }
        let Some(key) = self.0.iter().find(|key| key.id_bytes == head[1..]) else {
            return Err(Closed::KeyMissing(KeyId(hex(&head[1..]))));
        };
        let (bound, nonce) = (bound(head, what, whose), XNonce::from(*nonce));
        sealed.drain(..HEAD_BYTES + NONCE_BYTES);
        key.cipher.decrypt_in_place(&nonce, &bound, &mut sealed).map_err(|_| Closed::Damaged)?;
        Ok(sealed)
    }

    #[cfg(test)]
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Arc::new(bytes.iter().map(|byte| SealingKey::new(&[*byte; KEY_BYTES])).collect()))
    }
}

/// What the kiosk itself adds to its keys: destroyed, nothing that was sealed with it opens any more,
/// whoever has the credentials.
pub struct Salt(KeyBytes);

impl Salt {
    /// The state folder's, where it has one that is whole.
    fn read(state: &Path) -> Option<Self> {
        let path = state.join(SALT);
        match fs::read(&path).map(Zeroizing::new) {
            Ok(bytes) => match bytes.as_slice().try_into() {
                Ok(bytes) => Some(Self(Zeroizing::new(bytes))),
                Err(_) => {
                    log::error!(
                        "{} is damaged: what was sealed with it does not open",
                        path.display()
                    );
                    None
                }
            },
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    log::error!("cannot read {}: {error}", path.display());
                }
                None
            }
        }
    }

    /// Sees that the state folder has one. When it returns, it is on the disk.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn make(state: &Path) -> io::Result<()> {
        let path = state.join(SALT);
        if Self::read(state).is_some() {
            return Ok(());
        }
        if path.exists() {
            // What it was may be of use to somebody.
            fs::rename(&path, path.with_extension("damaged"))?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(state)?;
        let mut salt = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(&mut *salt).map_err(io::Error::other)?;
        let new = state.join(format!("{SALT}.{}", std::process::id()));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&*salt)?;
        file.sync_all()?;
        // Another program may have made one meanwhile, and sealed with it.
        match renameat_with(CWD, &new, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EXIST) => fs::remove_file(&new)?,
            Err(error) => return Err(error.into()),
        }
        File::open(state)?.sync_all()
    }

    /// A key that is made of that one and this.
    fn mix(&self, key: &KeyBytes) -> KeyBytes {
        let mixed =
            Sha256::new().chain_update(SALT_DOMAIN).chain_update(*self.0).chain_update(**key);
        Zeroizing::new(mixed.finalize().into())
    }
}

/// A key that nobody has yet, as hexadecimal digits.
///
/// # Errors
/// Where the system has no random bytes.
pub fn fresh_key() -> Result<Zeroizing<String>, OutboxError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(&mut *key).map_err(|_| OutboxError::NoRandom)?;
    Ok(Zeroizing::new(hex(&*key)))
}

/// What is authenticated beside the ciphertext.
fn bound(head: &[u8; HEAD_BYTES], what: &str, whose: &str) -> Vec<u8> {
    [DOMAIN, head, what.as_bytes(), b"\0", whose.as_bytes()].concat()
}

fn malformed(credentials: &Credentials, name: &str, expected: &'static str) -> CredentialError {
    let path = credentials.path(name).unwrap_or_else(|| Path::new(name).to_owned());
    CredentialError::Malformed { path, expected }
}

type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

fn key(secret: &Secret) -> Option<KeyBytes> {
    match secret.bytes().try_into() {
        Ok(bytes) => Some(Zeroizing::new(bytes)),
        Err(_) => written(secret.text()?.trim()),
    }
}

fn old_keys(secret: &Secret) -> Option<Vec<KeyBytes>> {
    if secret.bytes().len() == KEY_BYTES {
        return Some(vec![key(secret)?]);
    }
    let lines = secret.text()?.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(written).collect()
}

/// Hexadecimal digits are base64, too, but then not of 32 bytes.
fn written(text: &str) -> Option<KeyBytes> {
    let bytes = from_hex(text).or_else(|| BASE64.decode(text).ok().map(Zeroizing::new))?;
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// With or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok());
    bytes.collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::prelude::{BASE64_STANDARD as STANDARD, BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD};

    use super::*;

    const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn loaded(files: &[(&str, &[u8])]) -> Result<SealingKeys, CredentialError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        SealingKeys::load(&Credentials::new(Some(folder.path())), folder.path())
    }

    fn sealed(keys: &SealingKeys) -> Vec<u8> {
        keys.seal(Kind::Result, ID, b"a result".to_vec()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_and_does_not_show() {
        let keys = SealingKeys::of(&[1]);
        let blob = sealed(&keys);
        assert!(!blob.windows(8).any(|part| part == b"a result"));
        assert_eq!(keys.open(Kind::Result, ID, blob).unwrap(), b"a result");
    }

    #[test]
    fn nothing_is_sealed_twice_to_the_same_bytes() {
        let keys = SealingKeys::of(&[1]);
        assert_ne!(sealed(&keys)[HEAD_BYTES..], sealed(&keys)[HEAD_BYTES..]);
    }

    #[test]
    fn what_is_of_another_scan_or_kind_does_not_open() {
        let keys = SealingKeys::of(&[1]);
        let other = ID.replace('Z', "Y");
        assert_eq!(keys.open(Kind::Result, &other, sealed(&keys)), Err(Closed::Damaged));
        assert_eq!(keys.open(Kind::Document, ID, sealed(&keys)), Err(Closed::Damaged));
    }

    #[test]
    fn no_bit_and_no_length_can_be_changed() {
        let keys = SealingKeys::of(&[1]);
        let blob = sealed(&keys);
        for index in 0..blob.len() {
            let mut changed = blob.clone();
            changed[index] ^= 1;
            assert!(keys.open(Kind::Result, ID, changed).is_err(), "byte {index}");
            assert!(keys.open(Kind::Result, ID, blob[..index].to_vec()).is_err(), "{index} bytes");
        }
    }

    #[test]
    fn old_key_opens_and_the_new_one_seals() {
        let old = SealingKeys::of(&[1]);
        let both = SealingKeys::of(&[2, 1]);
        let new = SealingKeys::of(&[2]);
        assert_eq!(both.open(Kind::Result, ID, sealed(&old)).unwrap(), b"a result");
        assert_eq!(new.open(Kind::Result, ID, sealed(&both)).unwrap(), b"a result");
        let missing = Closed::KeyMissing(old.current().clone());
        assert_eq!(new.open(Kind::Result, ID, sealed(&old)), Err(missing));
    }

    #[test]
    fn key_may_be_written_in_three_ways() {
        let bytes = [7; KEY_BYTES];
        let id = SealingKeys::of(&[7]).current().clone();
        let (hexadecimal, base64) = (hex(&bytes) + "\n", STANDARD.encode(bytes) + "\n");
        let bare = STANDARD_NO_PAD.encode(bytes);
        for content in [&bytes[..], hexadecimal.as_bytes(), base64.as_bytes(), bare.as_bytes()] {
            assert_eq!(loaded(&[(KEY, content)]).unwrap().current(), &id);
        }
        assert_eq!(loaded(&[(KEY, fresh_key().unwrap().as_bytes())]).unwrap().ids().count(), 1);
    }

    #[test]
    fn old_keys_stand_one_a_line() {
        let lines = [hex(&[1; 32]), STANDARD.encode([2; 32])].join("\n") + "\n";
        let keys = loaded(&[(KEY, &[3; 32]), (OLD_KEYS, lines.as_bytes())]).unwrap();
        let expected = SealingKeys::of(&[3, 1, 2]);
        assert!(keys.ids().eq(expected.ids()), "{keys:?}");
    }

    #[test]
    fn what_is_no_key_is_told_with_how_one_is_made() {
        let key = hex(&[1; 32]);
        for content in ["", "secret", &key[1..], &key.replace('0', "g"), &(key.clone() + "00")] {
            let error = loaded(&[(KEY, content.as_bytes())]).unwrap_err().to_string();
            assert!(error.contains("cic-kiosk outbox key") && !error.contains("secret"), "{error}");
        }
        let error = loaded(&[(KEY, &[3; 32]), (OLD_KEYS, b"old")]).unwrap_err().to_string();
        assert!(error.contains(OLD_KEYS) && error.contains("one a line"), "{error}");
        assert!(loaded(&[]).unwrap_err().to_string().contains("cic-kiosk outbox key"));
    }

    #[test]
    fn keys_print_as_their_ids() {
        let keys = SealingKeys::of(&[1]);
        assert_eq!(format!("{keys:?}"), format!("[{}]", keys.current()));
    }
}
