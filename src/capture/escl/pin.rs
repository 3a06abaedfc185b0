//! Whom a secure connection is trusted with: the scanner with the certificate that the settings name,
//! or, where they name none, one that an authority of this system vouches for.
//!
//! Promises:
//! - Nothing else is trusted, and whoever shows a certificate must prove that it is theirs.
//! - What was shown instead is named by its SHA-256, as the settings want it.
//!
//! A certificate that the settings name is trusted past its date, and whatever names it bears:
//! scanners make theirs themselves, and never again.

use std::str::FromStr;
use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use sha2::{Digest, Sha256};

use crate::http::fetch::{bare_client, causes, trusted};

/// SHA-256 of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of this certificate.
    pub fn of(certificate: &CertificateDer) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = ();

    /// With or without colons, as programs show it.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b':').collect();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut bytes = [0; 32];
        let (pairs, rest) = digits.as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(());
        }
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            let value = digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low);
            *byte = value.and_then(|value| u8::try_from(value).ok()).ok_or(())?;
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A certificate that is not trusted.
#[derive(Debug, thiserror::Error)]
#[error("the certificate {0} is not trusted")]
struct Stranger(Fingerprint);

/// The certificate that a request failed for, if that is why.
pub fn stranger(error: &reqwest::Error) -> Option<Fingerprint> {
    causes(error).find_map(|cause| match cause.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            Some(inner.downcast_ref::<Stranger>()?.0)
        }
        _ => None,
    })
}

#[derive(Debug)]
struct Judge {
    pinned: Option<Fingerprint>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer,
        between: &[CertificateDer],
        name: &ServerName,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = Fingerprint::of(certificate);
        let trusted = match (self.pinned, &self.authorities) {
            (Some(pinned), _) => pinned == seen,
            (None, Some(authorities)) => {
                authorities.verify_server_cert(certificate, between, name, ocsp, now).is_ok()
            }
            (None, None) => false,
        };
        if trusted {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::Other(OtherError(Arc::new(Stranger(seen)))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// How secure connections are made.
#[derive(Clone)]
pub struct Trust(ClientConfig);

impl Trust {
    /// In this certificate alone, or in the system's authorities.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(pinned: Option<Fingerprint>) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = match pinned {
            Some(_) => None,
            None => authorities(&provider),
        };
        let algorithms = provider.signature_verification_algorithms;
        let judge = Arc::new(Judge { pinned, authorities, algorithms });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(judge)
            .with_no_client_auth();
        Ok(Self(config))
    }

    /// A client that trusts so, and is otherwise as bare as any here.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn client(&self) -> Result<ClientBuilder, Error> {
        Ok(bare_client(RootCertStore::empty())?.tls_backend_preconfigured(self.0.clone()))
    }
}

/// The system's, where there are any.
fn authorities(provider: &Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    let system = trusted(rustls_native_certs::load_native_certs().certs, None).ok()?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(system), Arc::clone(provider)).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_64_hexadecimal_digits_with_or_without_colons() {
        let text = "0f".repeat(32);
        let colons = text.as_bytes().chunks(2).map(|it| std::str::from_utf8(it).unwrap());
        let colons = colons.collect::<Vec<_>>().join(":").to_uppercase();
        assert_eq!(text.parse(), Ok(Fingerprint([15; 32])));
        assert_eq!(colons.parse(), Ok(Fingerprint([15; 32])));
        assert_eq!(Fingerprint([15; 32]).to_string(), text);
        for bad in ["", "0f", &"0f".repeat(33), &"0g".repeat(32), &"0".repeat(63)] {
            assert_eq!(Fingerprint::from_str(bad), Err(()), "{bad}");
        }
    }
}
