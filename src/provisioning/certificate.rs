//! Certificates: what is in them, and which one a kiosk may take for its own.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates in a chain.
const MAX_CHAIN: usize = 8;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is, in DER.
    pub subject: Vec<u8>,
    /// Whose it is, by the common name; nothing where there is none.
    pub common_name: String,
    /// Its key: SubjectPublicKeyInfo in DER.
    pub key: Vec<u8>,
    /// Its number, in hexadecimal.
    pub serial: String,
    /// From when on it is good, in seconds since 1970.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
}

/// Why a certificate is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no certificate.
    #[error("it is no chain of certificates in PEM")]
    Malformed,
    /// It is of another key.
    #[error("it is for another key than this kiosk's")]
    OtherKey,
    /// It is for somebody else.
    #[error("it is for another name than this kiosk's")]
    OtherName,
    /// Its authority is not known.
    #[error("it does not lead to the authority that this kiosk knows ({0})")]
    Untrusted(String),
    /// Its time is over.
    #[error("its time is over, or this machine's clock is wrong")]
    Ended,
}

impl Certificate {
    /// What this one says.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let common_name = parsed.subject().iter_common_name().next();
        let common_name = common_name.and_then(|name| name.as_str().ok()).unwrap_or_default();
        Some(Self {
            subject: parsed.subject().as_raw().to_vec(),
            common_name: common_name.to_owned(),
            key: parsed.public_key().raw.to_vec(),
            serial: hexadecimal(parsed.raw_serial()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// From when on the next one is asked for: when two thirds of its time are over.
    pub fn renewal(&self) -> i64 {
        self.not_before + (self.not_after - self.not_before) / 3 * 2
    }
}

/// The certificates in this text.
pub fn all(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(Refusal::Malformed)
}

/// The certificates in a message or on a stick: a few at most.
pub fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    all(pem).ok().filter(|all| all.len() <= MAX_CHAIN).ok_or(Refusal::Malformed)
}

/// SHA-256 in lower case hexadecimal: of a certificate, what `openssl x509 -fingerprint -sha256` prints.
pub fn sha256(der: &[u8]) -> String {
    hexadecimal(&Sha256::digest(der))
}

/// A key's short name for people to compare: 64 bits of its SHA-256. It takes 2^64 tries to make
/// another key with the name of this one.
pub fn fingerprint(key: &[u8]) -> String {
    let digits = sha256(key).to_uppercase();
    [0, 4, 8, 12].map(|from| &digits[from..from + 4]).join("-")
}

/// Whether a chain may become the certificate of who has this key: what its first certificate says.
///
/// A kiosk's clock may be behind, without a battery by years: that the certificate is not good yet is
/// nothing against it.
pub fn judge(
    chain: &[CertificateDer<'_>],
    key: &[u8],
    anchors: &[CertificateDer<'_>],
    now: i64,
) -> Result<Certificate, Refusal> {
    let [own, others @ ..] = chain else { return Err(Refusal::Malformed) };
    let certificate = Certificate::parse(own).ok_or(Refusal::Malformed)?;
    if certificate.key != key {
        return Err(Refusal::OtherKey);
    }
    if certificate.not_after <= now {
        return Err(Refusal::Ended);
    }
    let untrusted = |error: &dyn ToString| Refusal::Untrusted(error.to_string());
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(anchor.clone().into_owned()).map_err(|error| untrusted(&error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|_| untrusted(&"it is not in the chain"))?;
    let at = now.max(certificate.not_before).try_into().unwrap_or_default();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    verifier.verify_client_cert(own, others, at).map_err(|error| untrusted(&error))?;
    Ok(certificate)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub mod tests {
    use jiff::Timestamp;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
        KeyPair, SubjectPublicKeyInfo,
    };
    use x509_parser::time::ASN1Time;

    use super::*;
    use crate::provisioning::key::Key;

    const DAY: i64 = 24 * 60 * 60;

    /// An authority for tests.
    pub struct Authority {
        issuer: Issuer<'static, KeyPair>,
        pub certificate: CertificateDer<'static>,
    }

    impl Authority {
        pub fn new() -> Self {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "Bank");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap().der().clone();
            Self { issuer: Issuer::new(params, key), certificate }
        }

        /// With a time from and to so many seconds after now.
        pub fn sign(&self, key: &Key, name: &str, from: i64, to: i64) -> CertificateDer<'static> {
            let now = Timestamp::now().as_second();
            let time = |at| ASN1Time::from_timestamp(now + at).unwrap().to_datetime();
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            (params.not_before, params.not_after) = (time(from), time(to));
            let public = SubjectPublicKeyInfo::from_der(&key.public()).unwrap();
            params.signed_by(&public, &self.issuer).unwrap().der().clone()
        }
    }

    fn judged(
        chain: &[CertificateDer<'static>],
        key: &Key,
        anchor: &Authority,
    ) -> Result<Certificate, Refusal> {
        judge(
            chain,
            &key.public(),
            std::slice::from_ref(&anchor.certificate),
            Timestamp::now().as_second(),
        )
    }

    #[test]
    fn certificate_of_the_own_key_by_the_known_authority_is_taken() {
        let (authority, key) = (Authority::new(), Key::new().unwrap());
        let own = authority.sign(&key, "HN-01/k1", -DAY, 2 * DAY);
        let taken =
            judged(&[own.clone(), authority.certificate.clone()], &key, &authority).unwrap();
        assert_eq!(taken.common_name, "HN-01/k1");
        assert_eq!(taken.renewal() - taken.not_before, 2 * DAY);
        // The authority's own certificate need not be there.
        assert!(judged(&[own], &key, &authority).is_ok());
    }

    #[test]
    fn clock_that_is_behind_is_nothing_against_a_certificate_and_its_end_is() {
        let (authority, key) = (Authority::new(), Key::new().unwrap());
        let later = authority.sign(&key, "HN-01/k1", 1000 * DAY, 1001 * DAY);
        assert!(judged(&[later], &key, &authority).is_ok());
        let over = authority.sign(&key, "HN-01/k1", -DAY, -1);
        assert_eq!(judged(&[over], &key, &authority), Err(Refusal::Ended));
    }

    #[test]
    fn what_is_for_another_key_or_of_another_authority_is_refused() {
        let (authority, key) = (Authority::new(), Key::new().unwrap());
        let (stranger, other) = (Authority::new(), Key::new().unwrap());
        let own = authority.sign(&other, "HN-01/k1", -DAY, DAY);
        assert_eq!(judged(&[own], &key, &authority), Err(Refusal::OtherKey));
        // It calls itself the same, and brings its authority with it.
        let forged = [stranger.sign(&key, "HN-01/k1", -DAY, DAY), stranger.certificate.clone()];
        assert!(matches!(judged(&forged, &key, &authority), Err(Refusal::Untrusted(_))));
        let none = judge(&forged, &key.public(), &[], 0);
        assert!(matches!(none, Err(Refusal::Untrusted(_))));
        assert_eq!(judged(&[], &key, &authority), Err(Refusal::Malformed));
        assert_eq!(judged(&[vec![0; 9].into()], &key, &authority), Err(Refusal::Malformed));
        assert_eq!(chain(b"nothing").unwrap_err(), Refusal::Malformed);
    }

    #[test]
    fn servers_certificate_is_no_kiosks() {
        let (authority, key) = (Authority::new(), Key::new().unwrap());
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let public = SubjectPublicKeyInfo::from_der(&key.public()).unwrap();
        let own = params.signed_by(&public, &authority.issuer).unwrap().der().clone();
        assert!(matches!(judged(&[own], &key, &authority), Err(Refusal::Untrusted(_))));
    }

    #[test]
    fn fingerprint_can_be_read_out_over_the_telephone() {
        let name = fingerprint(b"a key");
        assert_eq!(name.len(), 19);
        assert!(name.chars().all(|c| c == '-' || c.is_ascii_hexdigit()), "{name}");
        assert_ne!(name, fingerprint(b"another key"));
    }
}
