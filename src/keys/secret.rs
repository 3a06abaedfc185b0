//! Keys and secrets: made, hashed for storage, and verified.
//!
//! Promises:
//! - A secret is stored as an Argon2id hash and nowhere else.
//! - Argon2 runs once per secret and process, not once per request: what has proven right is
//!   remembered as a salted SHA-256 that never leaves this process's memory. A secret has 256
//!   random bits, so that nobody finds it from either hash.
//! - One Argon2 runs at a time: wrong guesses take no more than its 19 MiB and one core.
//! - A secret for no key costs the same Argon2 as a wrong secret for some key.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::password_hash::Error as HashError;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::KeysError;

/// A key is public: 128 bits make it unique.
const KEY_BYTES: usize = 16;

/// A secret is not: 256 bits are beyond guessing.
const SECRET_BYTES: usize = 32;

/// Each stored hash has one entry at most; those of secrets that were replaced gather until then.
const MAX_REMEMBERED: usize = 10_000;

/// What a client needs in order to be let in. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The public half: 32 lower-case hexadecimal digits.
    pub api_key: String,
    /// The secret half: 64 lower-case hexadecimal digits.
    pub api_secret: String,
}

impl Credentials {
    /// New ones, from the operating system's random numbers.
    pub(super) fn random() -> Result<Self, KeysError> {
        Ok(Self { api_key: hex(&random::<KEY_BYTES>()?), api_secret: random_secret()? })
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Credentials").field("api_key", &self.api_key).finish_non_exhaustive()
    }
}

/// A new secret for whichever key.
pub(super) fn random_secret() -> Result<String, KeysError> {
    Ok(hex(&random::<SECRET_BYTES>()?))
}

/// What is stored of a secret: a PHC string of Argon2id with a salt of its own and the crate's
/// default costs (19 MiB, 2 passes, 1 lane), the ones that OWASP's Password Storage Cheat Sheet
/// recommends.
pub(super) fn hash(secret: &str) -> Result<String, KeysError> {
    let salt = random::<{ Salt::RECOMMENDED_LENGTH }>()?;
    let hash = Argon2::default().hash_password_with_salt(secret.as_bytes(), &salt);
    Ok(hash.map_err(KeysError::Hash)?.to_string())
}

fn random<const N: usize>() -> Result<[u8; N], KeysError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(KeysError::Random)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Tells right secrets from wrong ones.
pub(super) struct Verifier {
    /// Of this process: what is remembered means nothing to another one.
    salt: [u8; SECRET_BYTES],
    /// What has proven right, by the stored hash that it was compared with. A secret that is
    /// replaced takes its hash along, and so its entry is never asked for again.
    remembered: Mutex<HashMap<String, [u8; 32]>>,
    /// Compared with when there is no key: as costly as a real one, and no secret's.
    nobody: String,
    turn: Mutex<()>,
    #[cfg(test)]
    runs: std::sync::atomic::AtomicUsize,
}

/// The right to run Argon2, which one holds at a time.
pub(super) struct Turn<'a> {
    verifier: &'a Verifier,
    _turn: MutexGuard<'a, ()>,
}

impl Verifier {
    /// Remembers nothing yet.
    pub(super) fn new() -> Result<Self, KeysError> {
        Ok(Self {
            salt: random()?,
            remembered: Mutex::default(),
            nobody: hash_of_nobody()?,
            turn: Mutex::default(),
            #[cfg(test)]
            runs: Default::default(),
        })
    }

    /// Whether the secret has proven right before, for one of these hashes. Runs no Argon2.
    pub(super) fn remembers(&self, stored: &[String], secret: &str) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<[u8; 32]> =
            stored.iter().filter_map(|hash| remembered.get(hash).copied()).collect();
        drop(remembered);
        if known.is_empty() {
            return false;
        }
        let digest = self.digest(secret);
        known.iter().any(|known| known.ct_eq(&digest).into())
    }

    /// Waits until nobody else runs Argon2.
    pub(super) fn turn(&self) -> Turn<'_> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Turn { verifier: self, _turn: turn }
    }

    /// How often Argon2 was run.
    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.runs.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn digest(&self, secret: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.salt).chain_update(secret.as_bytes()).finalize().into()
    }

    fn remember(&self, hash: &str, secret: &str) {
        let digest = self.digest(secret);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(hash.to_owned(), digest);
    }
}

impl Turn<'_> {
    /// Whether the secret is the one of some of these hashes; of no hash, the work is done in vain.
    ///
    /// Two hashes, while an old secret works on, cost twice as much. The time then tells that a key
    /// exists, but only to somebody who has all its 128 bits already.
    pub(super) fn proves(&self, stored: &[String], secret: &str) -> Result<bool, KeysError> {
        if stored.is_empty() {
            self.run(&self.verifier.nobody, secret)?;
            return Ok(false);
        }
        for hash in stored {
            if self.run(hash, secret)? {
                self.verifier.remember(hash, secret);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn run(&self, hash: &str, secret: &str) -> Result<bool, KeysError> {
        #[cfg(test)]
        self.verifier.runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match Argon2::default().verify_password(secret.as_bytes(), hash) {
            Ok(()) => Ok(true),
            Err(HashError::PasswordInvalid) => Ok(false),
            Err(error) => Err(KeysError::Hash(error)),
        }
    }
}

/// A hash in the form of [`hash`] whose output is random instead of computed.
fn hash_of_nobody() -> Result<String, KeysError> {
    let salt = random::<{ Salt::RECOMMENDED_LENGTH }>()?;
    let output = random::<{ Params::DEFAULT_OUTPUT_LEN }>()?;
    phc_string(&salt, &output).map_err(KeysError::Hash)
}

fn phc_string(salt: &[u8], output: &[u8]) -> Result<String, HashError> {
    let hash = PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(&Params::default())?,
        salt: Some(Salt::new(salt)?),
        hash: Some(Output::new(output)?),
    };
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_hex(text: &str) -> bool {
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    #[test]
    fn credentials_are_128_and_256_random_bits_in_hex() {
        let (a, b) = (Credentials::random().unwrap(), Credentials::random().unwrap());
        assert!(a.api_key.len() == 32 && is_hex(&a.api_key), "{}", a.api_key);
        assert!(a.api_secret.len() == 64 && is_hex(&a.api_secret));
        assert!(a.api_key != b.api_key && a.api_secret != b.api_secret);
    }

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials::random().unwrap();
        let shown = format!("{credentials:?}");
        assert!(shown.contains(&credentials.api_key) && !shown.contains(&credentials.api_secret));
    }

    #[test]
    fn stored_hash_is_argon2id_with_owasps_costs_and_its_own_salt() {
        let (a, b) = (hash("secret").unwrap(), hash("secret").unwrap());
        assert!(a.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{a}");
        assert_ne!(a, b);
    }

    #[test]
    fn hash_of_nobody_costs_what_a_real_one_does() {
        let (real, nobody) = (hash("secret").unwrap(), hash_of_nobody().unwrap());
        let costs = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(costs(&real), costs(&nobody));
        assert_eq!(real.len(), nobody.len());
    }

    #[test]
    fn right_secret_runs_argon2_once_and_a_wrong_one_each_time() {
        let (verifier, stored) = (Verifier::new().unwrap(), [hash("right").unwrap()]);
        assert!(!verifier.remembers(&stored, "right"));
        assert!(verifier.turn().proves(&stored, "right").unwrap());
        assert!(verifier.remembers(&stored, "right"));
        assert_eq!(verifier.runs(), 1);
        assert!(!verifier.turn().proves(&stored, "wrong").unwrap());
        assert!(!verifier.remembers(&stored, "wrong"));
        assert_eq!(verifier.runs(), 2);
    }

    #[test]
    fn what_is_remembered_belongs_to_one_stored_hash() {
        let verifier = Verifier::new().unwrap();
        let (old, new) = ([hash("old").unwrap()], [hash("new").unwrap()]);
        assert!(verifier.turn().proves(&old, "old").unwrap());
        assert!(!verifier.remembers(&new, "old"));
        assert!(!verifier.remembers(&[], "old"));
    }

    #[test]
    fn secret_for_no_key_costs_one_argon2_and_is_never_right() {
        let verifier = Verifier::new().unwrap();
        assert!(!verifier.turn().proves(&[], "any").unwrap());
        assert_eq!(verifier.runs(), 1);
    }

    #[test]
    fn damaged_hash_is_an_error_and_no_wrong_secret() {
        let verifier = Verifier::new().unwrap();
        assert!(verifier.turn().proves(&["$argon2id$".to_owned()], "any").is_err());
    }
}
