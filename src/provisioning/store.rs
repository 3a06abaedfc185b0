//! Where the kiosk's key is kept: sealed by systemd-creds, or in a file that is root's alone.
//!
//! The service gets it as the credential `mqtt-key`, whichever it is. It is made and opened here by
//! root alone, in memory: not even a half of it is ever on a disk in the clear where it is sealed.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::files;
use super::key::{Key, KeyError};
use super::message::Kept;
use crate::credentials::Secret;

/// The credential's name.
const NAME: &str = "mqtt-key";

/// Its name in systemd's folders.
const FILE: &str = "cic-kiosk.mqtt-key";

const SYSTEMD_CREDS: &str = "systemd-creds";

/// How a credential begins that is sealed with a TPM2 (`CRED_AES256_GCM_BY_TPM2_HMAC`), in Base64.
const BY_TPM2: &[u8] = b"DHzAexF2RZGcSwvqCLwg";

const TPM2_FAILS: &str = "see to the TPM2: clear it in the firmware's setup, and have what systemd \
    needs for it installed (libtss2-esys, libtss2-mu, libtss2-rc, libtss2-tcti-device)";

/// Below the root: drop-ins of the service that the administrator, or this, made.
const DROP_IN: &str = "etc/systemd/system/cic-kiosk.service.d/60-claim.conf";

const LOADED: &str = "\
# Made by cic-kiosk claim: the key of the kiosk's certificate is sealed to this machine.
[Service]
LoadCredentialEncrypted=mqtt-key:cic-kiosk.mqtt-key
";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Disk {
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A new key cannot be sealed.
    #[error(
        "systemd-creds cannot seal the key: {reason}; {advice}, or set claim.seal = false, with which \
         the key is kept in a file"
    )]
    Seal {
        /// What to do about it.
        advice: &'static str,
        /// What systemd-creds says.
        reason: String,
    },
    /// A sealed key does not open.
    #[error(
        "systemd-creds cannot open {}: {reason}; a key opens on the machine that sealed it alone, with \
         its TPM2 as it was: remove the file and claim again",
        path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// What systemd-creds says.
        reason: String,
    },
    /// What is there is no key that can be used.
    #[error("{}: {cause}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: KeyError,
    },
}

/// Where the key is kept.
pub struct Store {
    /// The service's own folder of credentials, where it has one.
    credentials: Option<PathBuf>,
    root: PathBuf,
    seals: bool,
}

impl Store {
    /// In the service's folder of credentials, or below this root where systemd looks. It is sealed
    /// if it `seals` and is not in such a folder.
    pub fn new(credentials: Option<&Path>, root: &Path, seals: bool) -> Self {
        Self { credentials: credentials.map(Path::to_owned), root: root.to_owned(), seals }
    }

    /// The key that is there, or a new one, and what it is kept in.
    pub fn key(&self) -> Result<(Key, Kept), StoreError> {
        let (plain, sealed) = (self.plain(), self.sealed());
        if self.credentials.is_none() && sealed.exists() {
            let pem = systemd_creds(&["decrypt", "--name", NAME], &sealed, b"")
                .map_err(|reason| StoreError::Open { path: sealed.clone(), reason })?;
            let key = parse(&sealed, pem)?;
            let blob = fs::read(&sealed).map_err(|cause| at(&sealed, cause))?;
            self.tell_service()?;
            return Ok((key, if blob.starts_with(BY_TPM2) { Kept::Tpm2 } else { Kept::Host }));
        }
        if plain.exists() {
            let pem = fs::read(&plain).map_err(|cause| at(&plain, cause))?;
            return Ok((parse(&plain, pem)?, Kept::File));
        }
        self.make()
    }

    fn make(&self) -> Result<(Key, Kept), StoreError> {
        let (plain, sealed) = (self.plain(), self.sealed());
        let key =
            Key::new().map_err(|cause| StoreError::Unusable { path: plain.clone(), cause })?;
        if self.credentials.is_none() && self.seals && can_seal() {
            // A TPM2 that is there and does not work is a fault to see to, and nothing to do without.
            let (how, kept, advice) = match has_tpm2() {
                true => ("tpm2", Kept::Tpm2, TPM2_FAILS),
                false => ("host", Kept::Host, "see that /var/lib/systemd can be written"),
            };
            let command = ["encrypt", "--name", NAME, "--with-key", how];
            let bytes = systemd_creds(&command, Path::new("-"), key.pem().bytes())
                .map_err(|reason| StoreError::Seal { reason, advice })?;
            self.write(&sealed, &bytes)?;
            self.tell_service()?;
            return Ok((key, kept));
        }
        self.write(&plain, key.pem().bytes())?;
        Ok((key, Kept::File))
    }

    /// systemd 252 cannot look for a credential in both of its folders.
    fn tell_service(&self) -> Result<(), StoreError> {
        let path = self.root.join(DROP_IN);
        if fs::read(&path).is_ok_and(|text| text == LOADED.as_bytes()) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|cause| at(folder, cause))?;
        files::put(&path, LOADED.as_bytes(), 0o644).map_err(|cause| at(&path, cause))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|cause| at(folder, cause))?;
        files::put(path, bytes, 0o600).map_err(|cause| at(path, cause))?;
        if let Some(folder) = &self.credentials {
            // The service reads such a folder itself: the file is whose the folder is.
            let owner = fs::metadata(folder).map_err(|cause| at(folder, cause))?;
            chown(path, Some(owner.uid()), Some(owner.gid())).map_err(|cause| at(path, cause))?;
        }
        Ok(())
    }

    fn plain(&self) -> PathBuf {
        match &self.credentials {
            Some(folder) => folder.join(NAME),
            None => self.root.join("etc/credstore").join(FILE),
        }
    }

    fn sealed(&self) -> PathBuf {
        self.root.join("etc/credstore.encrypted").join(FILE)
    }
}

fn parse(path: &Path, pem: Vec<u8>) -> Result<Key, StoreError> {
    let pem = Secret::from(pem);
    Key::parse(&pem).map_err(|cause| StoreError::Unusable { path: path.to_owned(), cause })
}

fn at(path: &Path, cause: io::Error) -> StoreError {
    StoreError::Disk { path: path.to_owned(), cause }
}

fn can_seal() -> bool {
    let mut command = Command::new(SYSTEMD_CREDS);
    let status = command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The kernel has one, and systemd was built for it. Its exit status asks for UEFI's word on it, too,
/// which most boards do not have.
fn has_tpm2() -> bool {
    let mut command = Command::new(SYSTEMD_CREDS);
    let output = command.arg("has-tpm2").stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.is_ok_and(|output| {
        let told = String::from_utf8_lossy(&output.stdout);
        ["+driver", "+system"].iter().all(|part| told.lines().any(|line| line.trim() == *part))
    })
}

/// Its output, of this file (or `-`) and this input; or what it complains of.
fn systemd_creds(arguments: &[&str], file: &Path, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new(SYSTEMD_CREDS);
    command.args(arguments).arg(file).arg("-");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A key is smaller than a pipe. What goes wrong here, its end tells.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Some(folder.path()), Path::new("/nowhere"), true);
        let (key, kept) = store.key().unwrap();
        assert_eq!(kept, Kept::File);
        let path = folder.path().join("mqtt-key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(store.key().unwrap().0.public(), key.public());
    }

    #[test]
    fn what_is_no_key_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mqtt-key"), "what somebody put here").unwrap();
        let store = Store::new(Some(folder.path()), Path::new("/nowhere"), true);
        let error = store.key().err().unwrap().to_string();
        assert!(error.contains("PKCS #8") && !error.contains("somebody"), "{error}");
    }
}
