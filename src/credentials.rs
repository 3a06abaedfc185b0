//! Secrets, which come from files of their own: one folder, one file for each, as systemd's
//! `LoadCredential=` lays them out.
//!
//! Promises:
//! - No secret is ever part of the configuration, of a log or of an error.
//! - The memory of a secret is wiped when it is dropped.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// systemd sets it to the folder of a service's credentials.
const VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// A secret is a key, a password or a certificate's key, and none of those is as long.
const MAX_BYTES: u64 = 64 << 10;

/// A secret's bytes. It prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes, as they stand in the file.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text, without a line break at its end.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok().map(|text| text.trim_end_matches(['\r', '\n']))
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Nobody said where secrets are.
    #[error(
        "the credential {name} is needed, but no folder of credentials is known: set \
         kiosk.credentials, or load it with LoadCredential={name}:… in the systemd unit"
    )]
    NoFolder {
        /// The secret's name.
        name: String,
    },
    /// The folder has none of this name.
    #[error("the credential {} is missing: {}", path.display(), hint)]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// What it is, and how it is made.
        hint: String,
    },
    /// The file cannot be read.
    #[error("cannot read the credential {}: {reason}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// There is something else in it.
    #[error("the credential {} is not what it should be: {expected}", path.display())]
    Malformed {
        /// Where it is.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
}

/// The folder of secrets.
#[derive(Clone, Debug)]
pub struct Credentials {
    folder: Option<PathBuf>,
}

impl Credentials {
    /// The folder that the configuration names, or else systemd's.
    pub fn new(folder: Option<&Path>) -> Self {
        let folder = folder.map(Path::to_owned);
        Self { folder: folder.or_else(|| env::var_os(VARIABLE).map(PathBuf::from)) }
    }

    /// The secret of this name, if there is one.
    ///
    /// # Errors
    /// [`CredentialError::Unreadable`].
    pub fn find(&self, name: &str) -> Result<Option<Secret>, CredentialError> {
        let Some(path) = self.path(name) else { return Ok(None) };
        let unreadable = |reason| CredentialError::Unreadable { path: path.clone(), reason };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(file) if file.len() > MAX_BYTES => {
                return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
            }
            _ => {}
        }
        Ok(Some(fs::read(&path).map_err(unreadable)?.into()))
    }

    /// The secret of this name; `hint` says what it is and how it is made, for where it is missing.
    ///
    /// # Errors
    /// Any but [`CredentialError::Malformed`].
    pub fn need(&self, name: &str, hint: &str) -> Result<Secret, CredentialError> {
        let Some(path) = self.path(name) else {
            return Err(CredentialError::NoFolder { name: name.to_owned() });
        };
        self.find(name)?.ok_or_else(|| CredentialError::Missing { path, hint: hint.to_owned() })
    }

    /// Where the secret of this name is, if there is one.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Credentials) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mqtt-password"), "hush\n").unwrap();
        let credentials = Credentials::new(Some(folder.path()));
        (folder, credentials)
    }

    #[test]
    fn secret_is_its_files_text_without_the_last_line_break() {
        let (_folder, credentials) = folder();
        let secret = credentials.need("mqtt-password", "").unwrap();
        assert_eq!((secret.bytes(), secret.text()), (&b"hush\n"[..], Some("hush")));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn secret_that_is_missing_is_told_with_its_place_and_what_it_should_be() {
        let (folder, credentials) = folder();
        assert_eq!(credentials.find("outbox-key").unwrap(), None);
        let error = credentials.need("outbox-key", "make it so").unwrap_err().to_string();
        let path = folder.path().join("outbox-key").display().to_string();
        assert!(error.contains(&path) && error.contains("make it so"), "{error}");
    }

    #[test]
    fn what_is_no_secret_is_not_read() {
        let (folder, credentials) = folder();
        fs::write(folder.path().join("long"), vec![0; 65 << 10]).unwrap();
        assert!(matches!(credentials.find("long"), Err(CredentialError::Unreadable { .. })));
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(matches!(credentials.find("folder"), Err(CredentialError::Unreadable { .. })));
    }
}
