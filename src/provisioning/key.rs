//! A key of P-256, and what is asked for with it.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData};

use crate::credentials::Secret;

/// A private key.
pub struct Key(KeyPair);

/// A key cannot be made, or this one cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the key of the kiosk's certificate cannot sign a request: expected one of P-256, P-384, Ed25519 \
     or RSA, in PEM as PKCS #8 (BEGIN PRIVATE KEY)"
)]
pub struct KeyError;

impl Key {
    /// A new one.
    pub fn new() -> Result<Self, KeyError> {
        KeyPair::generate().map(Self).map_err(|_| KeyError)
    }

    /// The one in this text.
    pub fn parse(pem: &Secret) -> Result<Self, KeyError> {
        let text = pem.text().ok_or(KeyError)?;
        KeyPair::from_pem(text).map(Self).map_err(|_| KeyError)
    }

    /// As PKCS #8 in PEM.
    pub fn pem(&self) -> Secret {
        self.0.serialize_pem().into_bytes().into()
    }

    /// Its public half: SubjectPublicKeyInfo in DER.
    pub fn public(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// A request (PKCS #10, PEM) for a certificate of this common name, signed with the key.
    pub fn request(&self, common_name: &str) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let request = params.serialize_request(&self.0).and_then(|request| request.pem());
        request.map_err(|_| KeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_the_same_when_it_was_kept() {
        let key = Key::new().unwrap();
        let again = Key::parse(&key.pem()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_ne!(Key::new().unwrap().public(), key.public());
        assert!(Key::parse(&b"no key".to_vec().into()).is_err());
    }
}
