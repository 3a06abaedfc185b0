//! The credentials that the configuration needs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use cic_kiosk::config::Config;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::check::{Check, Finding};
use crate::credentials::{Credentials, Secret};
use crate::outbox::SealingKeys;

/// Whether a secret can be what it should be.
type Form = fn(&Secret) -> bool;

pub fn checks(config: &Arc<Config>) -> Vec<Check> {
    let mqtt = &config.mqtt;
    let needed: [(&str, bool, &str, Form); 4] = [
        ("mqtt-password", mqtt.user.is_some(), "the password of mqtt.user", is_text),
        ("mqtt-key", mqtt.certificate.is_some(), "the key of mqtt.certificate, in PEM", is_key),
        ("cloud-key", config.cloud.enabled, "the api_key of the cloud service", is_line),
        ("cloud-secret", config.cloud.enabled, "the api_secret of the cloud service", is_line),
    ];
    let credentials = Credentials::new(config.kiosk.credentials.as_deref());
    let (of, state) = (credentials.clone(), config.kiosk.state.clone());
    let mut checks = vec![Check::blocking("outbox-key", move || outbox_key(&of, &state))];
    checks.extend(needed.map(|(name, is_needed, what, form)| {
        let credentials = credentials.clone();
        Check::blocking(name, move || {
            if is_needed {
                credential(&credentials, name, what, form)
            } else {
                Finding::off("it is not needed")
            }
        })
    }));
    checks
}

fn outbox_key(credentials: &Credentials, state: &Path) -> Finding {
    match SealingKeys::load(credentials, state) {
        Err(error) => Finding::fault(
            error.to_string(),
            "`cic-kiosk outbox key` makes one; where something waits in the outbox, find the old one",
        ),
        Ok(keys) => {
            let exposed = ["outbox-key", "outbox-key-old"];
            let exposed = exposed.into_iter().find_map(|name| exposed_to_all(credentials, name));
            exposed.unwrap_or_else(|| Finding::ok(format!("its id is {}", keys.current())))
        }
    }
}

fn credential(credentials: &Credentials, name: &str, what: &str, form: Form) -> Finding {
    match credentials.need(name, what) {
        Err(error) => Finding::fault(error.to_string(), format!("put {what} there")),
        Ok(secret) if !form(&secret) => Finding::fault(
            format!("the credential {name} is not what it should be"),
            format!("put {what} there, and nothing else"),
        ),
        Ok(_) => exposed_to_all(credentials, name).unwrap_or_else(|| Finding::ok("it is there")),
    }
}

fn exposed_to_all(credentials: &Credentials, name: &str) -> Option<Finding> {
    let path = credentials.path(name)?;
    let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        Finding::fault(
            format!("every user of this machine may read the credential {name} (mode {mode:04o})"),
            format!("chmod 600 {}, and think of whether it must be replaced", path.display()),
        )
    })
}

fn is_text(secret: &Secret) -> bool {
    secret.text().is_some_and(|text| !text.is_empty())
}

fn is_line(secret: &Secret) -> bool {
    is_text(secret) && !secret.text().unwrap_or_default().chars().any(char::is_control)
}

fn is_key(secret: &Secret) -> bool {
    PrivateKeyDer::from_pem_slice(secret.bytes()).is_ok()
}
