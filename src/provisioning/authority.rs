//! An authority for kiosks' certificates, in a folder of the office: `authority.pem`, `authority.key`,
//! `index.json` with what was issued, `issued/SERIAL.pem` and `crl.pem`.
//!
//! Promises:
//! - A certificate that was handed out is in the index before.
//! - One command works on the folder at a time; what a power cut interrupts was not handed out.
//! - What is asked for is not believed: names and times are the office's. Of the request, the key alone
//!   is taken.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cic_kiosk::config::Name;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams,
    CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevokedCertParams, SerialNumber,
};
use rustix::fs::{FlockOperation, flock};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::certificate::{Certificate, fingerprint, sha256};
use super::files;
use super::message::{Renewal, names};
use crate::fleet::presence::shown;

/// The clocks of office and broker may differ by so many seconds.
const SKEW: i64 = 300;

const DAY: i64 = 24 * 60 * 60;

/// X.520 allows no longer common name, and OpenSSL holds to it.
const MAX_COMMON_NAME: usize = 64;

/// Why the authority does not do it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Disk {
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// There is one already.
    #[error("{} is an authority already; nothing was changed", .0.display())]
    Exists(PathBuf),
    /// What is in the folder is not what it should be.
    #[error("{} is damaged: restore it from a copy", .0.display())]
    Damaged(PathBuf),
    /// A request is none.
    #[error("this is no request for a certificate in PEM, or its signature is wrong")]
    Request,
    /// A name is too long.
    #[error("BRANCH/KIOSK may have {MAX_COMMON_NAME} characters in a certificate")]
    TooLong,
    /// Something may not be signed.
    #[error("{0}")]
    Refused(&'static str),
    /// The cryptography fails.
    #[error("signing failed: {0}")]
    Signing(#[from] rcgen::Error),
}

/// What was issued.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Entry {
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// Whose it is.
    pub branch: Name,
    /// Whose it is.
    pub kiosk: Name,
    /// SHA-256 of its key (SubjectPublicKeyInfo).
    pub key_sha256: String,
    /// From when on it is good, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// When it was revoked, if it was, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
}

impl Entry {
    /// Whether this is the kiosk's.
    pub fn is_of(&self, branch: &Name, kiosk: &Name) -> bool {
        (&self.branch, &self.kiosk) == (branch, kiosk)
    }
}

/// All that was issued, and how many lists of the revoked ones were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Index {
    /// In the order in which they were issued.
    pub entries: Vec<Entry>,
    /// Number of the last list of revoked certificates.
    pub crl_number: u64,
}

/// An authority on which nobody else works meanwhile.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    index: Index,
    _lock: File,
}

/// A request that is well formed and signed by its key.
pub struct Request(CertificateSigningRequestParams);

impl Request {
    /// The one in this text.
    pub fn parse(pem: &str) -> Result<Self, AuthorityError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| AuthorityError::Request)?;
        let request = CertificateSigningRequestParams::from_der(&der);
        request.map(Self).map_err(|_| AuthorityError::Request)
    }

    /// What is compared with what the kiosk shows.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.0.public_key.subject_public_key_info())
    }

    /// The name that it wishes for, where that is one of a kiosk.
    pub fn names(&self) -> Option<(Name, Name)> {
        let name = self.0.params.distinguished_name.get(&DnType::CommonName)?;
        let text = match name {
            rcgen::DnValue::Utf8String(text) => text.as_str(),
            rcgen::DnValue::PrintableString(text) => text.as_str(),
            _ => return None,
        };
        names(text)
    }

    fn key_sha256(&self) -> String {
        sha256(&self.0.public_key.subject_public_key_info())
    }
}

impl Authority {
    /// Makes one.
    pub fn init(folder: &Path, name: &str, days: u32) -> Result<Self, AuthorityError> {
        fs::create_dir_all(folder).map_err(|cause| disk(folder, cause))?;
        let lock = lock(folder)?;
        let [key_path, path] = ["authority.key", "authority.pem"].map(|it| folder.join(it));
        if path.exists() {
            return Err(AuthorityError::Exists(folder.to_owned()));
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = Timestamp::now().as_second();
        params.not_before = time(now - SKEW);
        params.not_after = time(now + i64::from(days) * DAY);
        let certificate = params.self_signed(&key)?;
        put(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
        put(&path, certificate.pem().as_bytes(), 0o644)?;
        drop(lock);
        Self::open(folder)
    }

    /// The one in this folder. Waits while another command works on it.
    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let lock = lock(folder)?;
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|cause| disk(&path, cause))
        };
        let certificate = read("authority.pem")?;
        let damaged = |name: &str| AuthorityError::Damaged(folder.join(name));
        let key =
            KeyPair::from_pem(&read("authority.key")?).map_err(|_| damaged("authority.key"))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key);
        let issuer = issuer.map_err(|_| damaged("authority.pem"))?;
        let index = match fs::read(folder.join("index.json")) {
            Ok(text) => serde_json::from_slice(&text).map_err(|_| damaged("index.json"))?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Index::default(),
            Err(cause) => return Err(disk(&folder.join("index.json"), cause)),
        };
        Ok(Self { folder: folder.to_owned(), issuer, certificate, index, _lock: lock })
    }

    /// What was issued.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// SHA-256 of its certificate: what kiosks are told beforehand.
    pub fn sha256(&self) -> Result<String, AuthorityError> {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        der.map(|der| sha256(&der))
            .map_err(|_| AuthorityError::Damaged(self.folder.join("authority.pem")))
    }

    /// Issues a certificate for this kiosk: the chain, in PEM.
    pub fn sign(
        &mut self,
        request: &Request,
        branch: &Name,
        kiosk: &Name,
        days: u32,
    ) -> Result<String, AuthorityError> {
        let common_name = format!("{branch}/{kiosk}");
        if common_name.len() > MAX_COMMON_NAME {
            return Err(AuthorityError::TooLong);
        }
        let key_sha256 = request.key_sha256();
        let mut same_key = self.index.entries.iter().filter(|it| it.key_sha256 == key_sha256);
        if same_key.any(|it| it.revoked.is_some() || !it.is_of(branch, kiosk)) {
            return Err(AuthorityError::Refused(
                "this key was revoked, or is another kiosk's: have the kiosk make a new one",
            ));
        }
        let mut number = [0; 16];
        getrandom::fill(&mut number)
            .map_err(|_| AuthorityError::Refused("this machine gives no random numbers"))?;
        // Positive, and of one length.
        number[0] = number[0] & 0x7f | 0x40;
        let now = Timestamp::now().as_second();
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&number));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = time(now - SKEW);
        params.not_after = time(now + i64::from(days) * DAY);
        let certificate = params.signed_by(&request.0.public_key, &self.issuer)?;
        let issued = Certificate::parse(certificate.der()).ok_or(AuthorityError::Request)?;
        let chain = certificate.pem() + &self.certificate;
        let entry = Entry {
            serial: issued.serial,
            branch: branch.clone(),
            kiosk: kiosk.clone(),
            key_sha256,
            not_before: issued.not_before,
            not_after: issued.not_after,
            revoked: None,
        };
        let path = self.chain_path(&entry);
        fs::create_dir_all(self.folder.join("issued")).map_err(|cause| disk(&path, cause))?;
        put(&path, chain.as_bytes(), 0o644)?;
        self.index.entries.push(entry);
        self.save()?;
        Ok(chain)
    }

    /// The chain that a kiosk's claim was answered with before, if its key has one that is good.
    pub fn answered(&self, request: &Request) -> Option<(&Entry, String)> {
        let key = request.key_sha256();
        let now = Timestamp::now().as_second();
        let good = |it: &&Entry| it.key_sha256 == key && it.revoked.is_none() && it.not_after > now;
        let entry = self.index.entries.iter().rev().find(good)?;
        Some((entry, fs::read_to_string(self.chain_path(entry)).ok()?))
    }

    /// Issues what a kiosk that is known and not revoked asks for. What it asked for before gives what
    /// it was given then.
    pub fn renew(
        &mut self,
        branch: &Name,
        kiosk: &Name,
        renewal: &Renewal,
        days: u32,
    ) -> Result<String, AuthorityError> {
        let request = Request::parse(&renewal.csr)?;
        let key = request.key_sha256();
        let same_key = |it: &&Entry| it.is_of(branch, kiosk) && it.key_sha256 == key;
        let Some(newest) = self.index.entries.iter().rev().find(same_key) else {
            return Err(AuthorityError::Refused(
                "no certificate of this name and key was issued here",
            ));
        };
        if newest.revoked.is_none() && newest.serial != renewal.replaces {
            let path = self.chain_path(newest);
            return fs::read_to_string(&path).map_err(|cause| disk(&path, cause));
        }
        self.sign(&request, branch, kiosk, days)
    }

    /// Revokes all certificates of a kiosk: how many.
    pub fn revoke(&mut self, branch: &Name, kiosk: &Name) -> Result<usize, AuthorityError> {
        let now = Timestamp::now().as_second();
        let good = |it: &&mut Entry| it.is_of(branch, kiosk) && it.revoked.is_none();
        let revoked = self.index.entries.iter_mut().filter(good);
        let count = revoked.map(|entry| entry.revoked = Some(now)).count();
        self.save()?;
        Ok(count)
    }

    /// Makes the list of revoked certificates, good for so many days: where it is.
    pub fn list_revoked(&mut self, days: u32) -> Result<PathBuf, AuthorityError> {
        self.index.crl_number += 1;
        // First: two lists of one number may not differ.
        self.save()?;
        let now = Timestamp::now();
        let revoked = self.index.entries.iter().filter_map(|entry| {
            Some(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&bytes(&entry.serial)),
                revocation_time: time(entry.revoked?),
                reason_code: None,
                invalidity_date: None,
            })
        });
        let list = CertificateRevocationListParams {
            this_update: time(now.as_second() - SKEW),
            next_update: time(now.as_second() + i64::from(days) * DAY),
            crl_number: SerialNumber::from(self.index.crl_number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.folder.join("crl.pem");
        put(&path, list.signed_by(&self.issuer)?.pem()?.as_bytes(), 0o644)?;
        Ok(path)
    }

    fn chain_path(&self, entry: &Entry) -> PathBuf {
        self.folder.join("issued").join(format!("{}.pem", entry.serial))
    }

    fn save(&self) -> Result<(), AuthorityError> {
        let text = serde_json::to_vec_pretty(&self.index).unwrap_or_default();
        put(&self.folder.join("index.json"), &text, 0o600)
    }
}

/// For a table.
impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let state = match self.revoked {
            Some(at) => format!("revoked {}", text(at)),
            None if self.not_after <= Timestamp::now().as_second() => "ended".to_owned(),
            None => "good".to_owned(),
        };
        let name = format!("{}/{}", self.branch, self.kiosk);
        write!(f, "{name:24}  {}  until {}  {state}", self.serial, text(self.not_after))
    }
}

/// The folder's, until it is dropped.
fn lock(folder: &Path) -> Result<File, AuthorityError> {
    let file = File::open(folder).map_err(|cause| disk(folder, cause))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|cause| disk(folder, cause.into()))?;
    Ok(file)
}

fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<(), AuthorityError> {
    files::put(path, bytes, mode).map_err(|cause| disk(path, cause))
}

fn disk(path: &Path, cause: io::Error) -> AuthorityError {
    AuthorityError::Disk { path: path.to_owned(), cause }
}

fn time(seconds: i64) -> OffsetDateTime {
    // Beyond the year 9999 there is no other.
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn text(seconds: i64) -> String {
    shown(Timestamp::from_second(seconds).unwrap_or_default())
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits.filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provisioning::certificate;
    use crate::provisioning::key::Key;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn renewal(key: &Key, replaces: &str) -> Renewal {
        let csr = key.request("HN-01/k1").unwrap();
        Renewal { at: String::new(), replaces: replaces.to_owned(), csr }
    }

    #[test]
    fn certificate_is_of_the_offices_name_and_a_kiosk_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = Authority::init(folder.path(), "Bank", 3650).unwrap();
        let key = Key::new().unwrap();
        let request = Request::parse(&key.request("somebody/else").unwrap()).unwrap();
        assert_eq!(request.fingerprint(), certificate::fingerprint(&key.public()));
        let chain = authority.sign(&request, &name("HN-01"), &name("k1"), 90).unwrap();
        let chain = certificate::chain(chain.as_bytes()).unwrap();
        let anchor = chain.last().unwrap().clone();
        assert_eq!(sha256(&anchor), authority.sha256().unwrap());
        let now = Timestamp::now().as_second();
        let own = certificate::judge(&chain, &key.public(), &[anchor], now).unwrap();
        assert_eq!(own.common_name, "HN-01/k1");
        assert!((own.not_after - now - 90 * DAY).abs() < 60);
        drop(authority);
        let again = Authority::init(folder.path(), "Bank", 3650).err().unwrap();
        assert!(matches!(again, AuthorityError::Exists(_)), "{again}");
    }

    #[test]
    fn renewal_is_for_the_same_key_and_name_and_is_issued_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = Authority::init(folder.path(), "Bank", 3650).unwrap();
        let (branch, kiosk) = (name("HN-01"), name("k1"));
        let key = Key::new().unwrap();
        let unknown = authority.renew(&branch, &kiosk, &renewal(&key, ""), 90);
        assert!(matches!(unknown, Err(AuthorityError::Refused(_))));
        let request = Request::parse(&key.request("HN-01/k1").unwrap()).unwrap();
        authority.sign(&request, &branch, &kiosk, 90).unwrap();
        let first = authority.index().entries[0].serial.clone();
        let next = authority.renew(&branch, &kiosk, &renewal(&key, &first), 90).unwrap();
        // It asks again, because it has not heard yet; and after a restart.
        assert_eq!(authority.renew(&branch, &kiosk, &renewal(&key, &first), 90).unwrap(), next);
        drop(authority);
        let mut authority = Authority::open(folder.path()).unwrap();
        assert_eq!(authority.renew(&branch, &kiosk, &renewal(&key, &first), 90).unwrap(), next);
        assert_eq!(authority.index().entries.len(), 2);
        let other = Key::new().unwrap();
        assert!(authority.renew(&branch, &kiosk, &renewal(&other, &first), 90).is_err());
        assert!(authority.renew(&branch, &name("k2"), &renewal(&key, &first), 90).is_err());
    }

    #[test]
    fn what_is_revoked_is_on_the_list_and_never_signed_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = Authority::init(folder.path(), "Bank", 3650).unwrap();
        let (branch, kiosk) = (name("HN-01"), name("k1"));
        let key = Key::new().unwrap();
        let request = Request::parse(&key.request("HN-01/k1").unwrap()).unwrap();
        authority.sign(&request, &branch, &kiosk, 90).unwrap();
        assert_eq!(authority.revoke(&branch, &kiosk).unwrap(), 1);
        assert_eq!(authority.revoke(&branch, &kiosk).unwrap(), 0);
        assert!(authority.sign(&request, &branch, &kiosk, 90).is_err());
        let serial = authority.index().entries[0].serial.clone();
        assert!(authority.renew(&branch, &kiosk, &renewal(&key, &serial), 90).is_err());
        assert!(authority.answered(&request).is_none());
        let list = fs::read_to_string(authority.list_revoked(30).unwrap()).unwrap();
        let list = rustls::pki_types::CertificateRevocationListDer::from_pem_slice(list.as_bytes());
        let list = list.unwrap();
        use x509_parser::prelude::{CertificateRevocationList, FromDer};
        let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
        let listed: Vec<_> =
            list.iter_revoked_certificates().map(|it| it.raw_serial().to_vec()).collect();
        assert_eq!(listed, [bytes(&serial)]);
        // The kiosk gets another key, and another certificate.
        let new = Key::new().unwrap();
        let request = Request::parse(&new.request("HN-01/k1").unwrap()).unwrap();
        authority.sign(&request, &branch, &kiosk, 90).unwrap();
    }

    #[test]
    fn key_of_one_kiosk_is_not_signed_for_another_and_no_request_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = Authority::init(folder.path(), "Bank", 3650).unwrap();
        let key = Key::new().unwrap();
        let request = Request::parse(&key.request("x").unwrap()).unwrap();
        authority.sign(&request, &name("HN-01"), &name("k1"), 90).unwrap();
        assert!(authority.sign(&request, &name("HN-01"), &name("k2"), 90).is_err());
        let long = name(&"k".repeat(64));
        let error = authority.sign(&request, &name("HN-01"), &long, 90).unwrap_err();
        assert!(matches!(error, AuthorityError::TooLong));
        let text = key.request("HN-01/k1").unwrap();
        let torn = text.replacen('M', "N", 1);
        for wrong in ["", "no request", torn.as_str()] {
            assert!(matches!(Request::parse(wrong), Err(AuthorityError::Request)), "{wrong}");
        }
    }
}
