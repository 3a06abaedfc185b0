//! A kiosk without a certificate gets one: step by step, each of which can be the last before a power
//! cut. The next run finds what is there and goes on.
//!
//! 1. The key is made and kept.
//! 2. Its request goes to the broker, or on a stick, and the certificate comes back.
//! 3. The certificate is judged, and put in its place; then the settings that name it.
//! 4. The request at the broker is cleared, and a mark says that all is done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use cic_kiosk::config::{Broker, Config, Loaded, Mqtt, Name};
use jiff::Timestamp;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::CertificateDer;
use tokio::time::sleep;
use toml::{Table, Value};

use super::certificate::{self, Certificate, Refusal};
use super::files;
use super::key::{Key, KeyError};
use super::message::{self, ClaimAnswer, Kept};
use super::store::{Store, StoreError};
use crate::credentials::Credentials;
use crate::fleet::machine::Machine;
use crate::fleet::presence::shown;
use crate::mqtt::{Dial, Failure, Talk, Topics};

/// Beside the configuration: the kiosk's certificate, unless `mqtt.certificate` names another place, ...
const CERTIFICATE: &str = "kiosk.pem";

/// ... the authority that it leads to, ...
const AUTHORITY: &str = "authority.pem";

/// ... the settings that are written here, ...
const SETTINGS: &str = "config.d/60-claim.toml";

/// ... and the mark that all is done; the unit looks for it.
const DONE: &str = "claimed";

/// Between two tries to reach the broker: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Why a claim came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The key is not to be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key cannot sign.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Disk {
        /// Which one.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A setting is missing, or stands in the way.
    #[error("{0}")]
    Settings(String),
    /// The certificate is not taken.
    #[error("the certificate is not taken: {0}")]
    Refused(#[from] Refusal),
    /// The office says no.
    #[error("the office has denied this kiosk a certificate; ask there, and start the claim again")]
    Denied,
}

/// The claim of this kiosk.
pub struct Claim {
    config: Config,
    /// Where the configuration is.
    folder: PathBuf,
    /// Keys that somebody else has set.
    set: Vec<&'static str>,
    key: Key,
    kept: Kept,
    id: Name,
}

/// What came of an answer.
struct Taken {
    branch: Name,
    kiosk: Name,
    broker: Option<Broker>,
    chain: Vec<u8>,
    authority: Vec<u8>,
}

impl Claim {
    /// With this configuration, which is in that folder. Makes the key, where there is none.
    pub fn new(loaded: &Loaded, folder: &Path, root: &Path) -> Result<Self, ClaimError> {
        let config = loaded.config.clone();
        let ours = folder.join(SETTINGS).display().to_string();
        let keys =
            ["kiosk.branch", "kiosk.id", "mqtt.broker", "mqtt.authorities", "mqtt.certificate"];
        let set: Vec<_> = keys
            .into_iter()
            .filter(|key| loaded.set_by(key).is_some_and(|place| place != ours))
            .collect();
        if set.contains(&"mqtt.broker") && !config.mqtt.broker.has_tls() {
            return Err(ClaimError::Settings(
                "mqtt.broker must begin with mqtts://: a certificate means nothing without TLS"
                    .to_owned(),
            ));
        }
        if config.claim.authority_sha256.is_none() && config.claim.authorities.is_none() {
            return Err(ClaimError::Settings(
                "set claim.authority_sha256, or claim.authorities: whose certificate this kiosk may \
                 take must be known beforehand"
                    .to_owned(),
            ));
        }
        let store = Store::new(config.kiosk.credentials.as_deref(), root, config.claim.seal);
        let (key, kept) = store.key()?;
        let id = id(&key, Machine::default().identity().serial)?;
        Ok(Self { config, folder: folder.to_owned(), set, key, kept, id })
    }

    /// What the kiosk is called until it has a name: the board's serial number, or else its key.
    pub fn id(&self) -> &Name {
        &self.id
    }

    /// What the office compares.
    pub fn fingerprint(&self) -> String {
        certificate::fingerprint(&self.key.public())
    }

    /// What the key is kept in.
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// Whether certificate and settings are in their places, and fit the key.
    pub fn is_installed(&self) -> bool {
        let own = fs::read(self.certificate()).ok().and_then(|pem| certificate::chain(&pem).ok());
        let own = own.and_then(|chain| Certificate::parse(chain.first()?));
        own.is_some_and(|own| own.key == self.key.public()) && self.folder.join(SETTINGS).exists()
    }

    /// Marks that all is done.
    pub fn finish(&self) -> Result<(), ClaimError> {
        let path = self.folder.join(DONE);
        files::put(&path, b"", 0o644).map_err(|cause| ClaimError::Disk { path, cause })
    }

    /// By a stick: puts the request there, and takes the certificate if it is there. Whether it was.
    pub fn by_folder(&self, stick: &Path) -> Result<bool, ClaimError> {
        let (request, answer) =
            (stick.join(format!("{}.csr", self.id)), stick.join(format!("{}.crt", self.id)));
        match fs::read(&answer) {
            Ok(chain) => {
                let taken = self.judge(&chain, None)?;
                self.install(&taken)?;
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                let text = self.key.request(&self.common_name())?;
                // A stick has a file system that knows no modes.
                let written = fs::write(&request, text)
                    .and_then(|()| fs::File::open(&request).and_then(|file| file.sync_all()));
                written.map_err(|cause| ClaimError::Disk { path: request, cause })?;
                Ok(false)
            }
            Err(cause) => Err(ClaimError::Disk { path: answer, cause }),
        }
    }

    /// At the broker: asks, waits for as long as it takes, and clears what it asked.
    pub async fn by_broker(&self, credentials: Credentials) -> Result<(), ClaimError> {
        let dial = self.dial(credentials)?;
        let pauses = || {
            let pauses = ExponentialBuilder::new().with_min_delay(PAUSES.0);
            pauses.with_max_delay(PAUSES.1).without_max_times().with_jitter().build()
        };
        let (mut waits, mut told) = (pauses(), String::new());
        loop {
            let failure = match self.talk(&dial).await {
                Ok(outcome) => return outcome,
                Err(failure) if self.is_installed() => {
                    log::warn!(
                        "the request stays at the broker, where the office may clear it: {failure}"
                    );
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if told != failure.reason() {
                log::warn!("no certificate yet, it is tried again: {failure}");
                told = failure.reason();
                waits = pauses();
            }
            sleep(waits.next().unwrap_or(PAUSES.1)).await;
        }
    }

    async fn talk(&self, dial: &Dial) -> Result<Result<(), ClaimError>, Failure> {
        let (request, verdict) = (message::claim_topic(&self.id), message::verdict_topic(&self.id));
        let mut talk = Talk::open(dial, self.id.as_str(), std::slice::from_ref(&verdict)).await?;
        if !self.is_installed() {
            let said = match self.message() {
                Ok(said) => said,
                Err(error) => return Ok(Err(error)),
            };
            talk.put(&request, said).await?;
            log::info!(id:% = self.id, fingerprint = self.fingerprint(); "a certificate is asked for");
            loop {
                let heard = talk.next().await?;
                match self.take(&heard.payload) {
                    Some(Ok(taken)) => match self.install(&taken) {
                        Ok(()) => break,
                        Err(error) => return Ok(Err(error)),
                    },
                    Some(Err(ClaimError::Refused(refusal))) => {
                        // Anybody may have put it there who has the right to claim: it is waited on.
                        log::warn!("a certificate is not taken: {refusal}");
                    }
                    Some(Err(error)) => return Ok(Err(error)),
                    None => {}
                }
            }
        }
        talk.put(&request, Vec::new()).await?;
        talk.end().await;
        Ok(Ok(()))
    }

    fn dial(&self, credentials: Credentials) -> Result<Dial, ClaimError> {
        let claim = &self.config.claim;
        let Some(broker) = claim.broker.clone() else {
            return Err(ClaimError::Settings(
                "claim.broker is not set: set it, or use a stick with --usb DIR".to_owned(),
            ));
        };
        let settings = Mqtt {
            broker,
            user: claim.user.clone(),
            certificate: claim.certificate.clone(),
            authorities: claim.authorities.clone(),
            ..Mqtt::default()
        };
        let topics = Topics::new(self.id.clone(), self.id.clone());
        Ok(Dial { settings, credentials, topics, renewed: None })
    }

    fn message(&self) -> Result<Vec<u8>, ClaimError> {
        let machine = Machine::default().identity();
        let claim = message::ClaimRequest {
            at: shown(Timestamp::now()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            key: self.kept,
            board: machine.board,
            serial: machine.serial,
            boot_id: machine.boot_id,
            csr: self.key.request(&self.common_name())?,
        };
        Ok(serde_json::json!(claim).to_string().into_bytes())
    }

    /// `BRANCH/KIOSK` where these are known, and otherwise what it is called here.
    fn common_name(&self) -> String {
        match self.names() {
            (Some(branch), Some(kiosk)) => format!("{branch}/{kiosk}"),
            _ => self.id.to_string(),
        }
    }

    /// Those that somebody has set.
    fn names(&self) -> (Option<&Name>, Option<&Name>) {
        let set = |key| self.set.contains(&key);
        let kiosk = &self.config.kiosk;
        (
            kiosk.branch.as_ref().filter(|_| set("kiosk.branch")),
            kiosk.id.as_ref().filter(|_| set("kiosk.id")),
        )
    }

    /// What a message at the broker comes to; `None` where it says nothing to this kiosk.
    fn take(&self, payload: &[u8]) -> Option<Result<Taken, ClaimError>> {
        if payload.is_empty() {
            return None;
        }
        match serde_json::from_slice(payload) {
            Ok(ClaimAnswer::Issued { chain, broker }) => Some(self.judge(chain.as_bytes(), broker)),
            // Another key had this name before.
            Ok(ClaimAnswer::Denied { fingerprint }) if fingerprint != self.fingerprint() => None,
            Ok(ClaimAnswer::Denied { .. }) => Some(Err(ClaimError::Denied)),
            Err(_) => Some(Err(Refusal::Malformed.into())),
        }
    }

    fn judge(&self, pem: &[u8], broker: Option<Broker>) -> Result<Taken, ClaimError> {
        if broker.as_ref().is_some_and(|broker| !broker.has_tls()) {
            return Err(Refusal::Malformed.into());
        }
        let chain = certificate::chain(pem)?;
        let anchors = self.anchors(&chain)?;
        let now = Timestamp::now().as_second();
        let own = certificate::judge(&chain, &self.key.public(), &anchors, now)?;
        let (branch, kiosk) = message::names(&own.common_name).ok_or(Refusal::OtherName)?;
        let (known_branch, known_kiosk) = self.names();
        if known_branch.is_some_and(|it| *it != branch)
            || known_kiosk.is_some_and(|it| *it != kiosk)
        {
            return Err(Refusal::OtherName.into());
        }
        let authority = anchors.iter().map(pem_of).collect::<String>().into_bytes();
        // With its authority at the end, which the next one must lead to.
        let mut all: String = chain.iter().map(pem_of).collect();
        if let [only] = &anchors[..]
            && !chain.contains(only)
        {
            all += &pem_of(only);
        }
        Ok(Taken { branch, kiosk, broker, chain: all.into_bytes(), authority })
    }

    /// Whom this kiosk believes about its certificate.
    fn anchors(
        &self,
        chain: &[CertificateDer<'static>],
    ) -> Result<Vec<CertificateDer<'static>>, ClaimError> {
        let claim = &self.config.claim;
        let mut known = Vec::new();
        if let Some(path) = &claim.authorities {
            let pem =
                fs::read(path).map_err(|cause| ClaimError::Disk { path: path.clone(), cause })?;
            known = certificate::all(&pem).map_err(|_| {
                ClaimError::Settings(format!("{} holds no certificates in PEM", path.display()))
            })?;
        }
        let Some(hash) = &claim.authority_sha256 else { return Ok(known) };
        known.extend_from_slice(chain);
        known.retain(|it| certificate::sha256(it) == hash.as_str());
        known.truncate(1);
        Ok(known)
    }

    /// Puts everything in its place. The settings, which name the others, come last.
    fn install(&self, taken: &Taken) -> Result<(), ClaimError> {
        let put = |path: &Path, bytes: &[u8]| {
            let folder = path.parent().unwrap_or(&self.folder);
            let done = fs::create_dir_all(folder).and_then(|()| files::put(path, bytes, 0o644));
            done.map_err(|cause| ClaimError::Disk { path: path.to_owned(), cause })
        };
        let settings = self.settings(taken)?;
        put(&self.folder.join(AUTHORITY), &taken.authority)?;
        put(&self.certificate(), &taken.chain)?;
        put(&self.folder.join(SETTINGS), settings.as_bytes())?;
        log::info!(branch:% = taken.branch, kiosk:% = taken.kiosk; "the kiosk has its certificate");
        Ok(())
    }

    fn certificate(&self) -> PathBuf {
        let set = self.config.mqtt.certificate.clone();
        set.filter(|_| self.set.contains(&"mqtt.certificate"))
            .unwrap_or_else(|| self.folder.join(CERTIFICATE))
    }

    /// What nobody else has set.
    fn settings(&self, taken: &Taken) -> Result<String, ClaimError> {
        let broker = taken.broker.as_ref().or(self.config.claim.broker.as_ref());
        if broker.is_none() && !self.set.contains(&"mqtt.broker") {
            return Err(ClaimError::Settings(
                "mqtt.broker is not set: set it before the claim".to_owned(),
            ));
        }
        let authorities = match &self.config.claim.authorities {
            Some(path) => path.clone(),
            None => self.folder.join(AUTHORITY),
        };
        let all = [
            ("kiosk.branch", Some(taken.branch.to_string())),
            ("kiosk.id", Some(taken.kiosk.to_string())),
            ("mqtt.broker", broker.map(Broker::to_string)),
            ("mqtt.authorities", Some(authorities.display().to_string())),
            ("mqtt.certificate", Some(self.certificate().display().to_string())),
        ];
        let mut sections = Table::new();
        for (key, value) in all {
            let (Some((section, name)), Some(value)) = (key.split_once('.'), value) else {
                continue;
            };
            if !self.set.contains(&key) {
                let section = sections.entry(section).or_insert_with(|| Table::new().into());
                if let Some(section) = section.as_table_mut() {
                    section.insert(name.to_owned(), Value::String(value));
                }
            }
        }
        Ok(format!("# Made by cic-kiosk claim.\n{sections}"))
    }
}

/// What a kiosk is called until it has a name: a serial number that can be one, or else its key.
fn id(key: &Key, serial: Option<String>) -> Result<Name, KeyError> {
    let plain = |text: String| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    // Firmware that was not filled in says "Default string", "0" or "None".
    let serial =
        serial.map(plain).filter(|it| it.len() >= 6 && it.contains(|c: char| c.is_ascii_digit()));
    let serial = serial.and_then(|serial| serial.parse().ok());
    let hash = certificate::sha256(&key.public());
    serial.or_else(|| format!("key-{}", &hash[..16]).parse().ok()).ok_or(KeyError)
}

fn pem_of(certificate: &CertificateDer<'_>) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new("CERTIFICATE", certificate.as_ref()), lines)
}

#[cfg(test)]
mod tests {
    use cic_kiosk::config::Layer;
    use tempfile::TempDir;

    use super::*;
    use crate::provisioning::certificate::tests::Authority;

    struct Kiosk {
        folder: TempDir,
        claim: Claim,
    }

    /// With these settings, and the authority's hash.
    fn kiosk(authority: &Authority, settings: &str) -> Kiosk {
        let folder = tempfile::tempdir().unwrap();
        let hash = certificate::sha256(&authority.certificate);
        let text = format!(
            "[claim]\nbroker = \"mqtts://b\"\nauthority_sha256 = \"{hash}\"\nseal = false\n{settings}"
        );
        let loaded = Loaded::from_layers([Layer::File("config.toml".to_owned(), text)]).unwrap();
        let claim = Claim::new(&loaded, folder.path(), folder.path()).unwrap();
        Kiosk { folder, claim }
    }

    impl Kiosk {
        fn chain(&self, authority: &Authority, name: &str) -> String {
            let own = authority.sign(&self.claim.key, name, -60, 86_400);
            pem_of(&own) + &pem_of(&authority.certificate)
        }

        fn issued(&self, authority: &Authority, name: &str) -> Vec<u8> {
            let verdict = ClaimAnswer::Issued { chain: self.chain(authority, name), broker: None };
            serde_json::json!(verdict).to_string().into_bytes()
        }

        fn settings(&self) -> String {
            fs::read_to_string(self.folder.path().join(SETTINGS)).unwrap()
        }
    }

    #[test]
    fn certificate_brings_the_kiosks_names_and_settings() {
        let authority = Authority::new();
        let it = kiosk(&authority, "");
        assert!(!it.claim.is_installed());
        let taken = it.claim.take(&it.issued(&authority, "HN-01/k1")).unwrap().unwrap();
        it.claim.install(&taken).unwrap();
        assert!(it.claim.is_installed());
        let config = Config::parse(&it.settings()).unwrap();
        assert_eq!(config.kiosk.branch.unwrap().as_str(), "HN-01");
        assert_eq!(config.mqtt.broker.to_string(), "mqtts://b:8883");
        assert_eq!(config.mqtt.certificate, Some(it.folder.path().join("kiosk.pem")));
    }

    #[test]
    fn what_is_set_at_the_kiosk_stays() {
        let authority = Authority::new();
        let it = kiosk(&authority, "[kiosk]\nbranch = \"HN-01\"\n[mqtt]\nbroker = \"mqtts://own\"");
        let other = it.claim.take(&it.issued(&authority, "HN-02/k1")).unwrap();
        assert!(matches!(other, Err(ClaimError::Refused(Refusal::OtherName))));
        let taken = it.claim.take(&it.issued(&authority, "HN-01/k1")).unwrap().unwrap();
        it.claim.install(&taken).unwrap();
        assert!(!it.settings().contains("branch") && !it.settings().contains("broker"));
        assert!(it.settings().contains("id = \"k1\""));
    }

    #[test]
    fn what_is_not_for_this_kiosk_is_not_taken() {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let it = kiosk(&authority, "");
        let code = |payload: &[u8]| match it.claim.take(payload) {
            Some(Err(ClaimError::Refused(refusal))) => match refusal {
                Refusal::Untrusted(_) => "untrusted",
                Refusal::OtherName => "other_name",
                Refusal::OtherKey => "other_key",
                Refusal::Malformed => "malformed",
                Refusal::Ended => "ended",
            },
            Some(Err(ClaimError::Denied)) => "denied",
            Some(_) => "taken",
            None => "nothing",
        };
        assert_eq!(code(&it.issued(&stranger, "HN-01/k1")), "untrusted");
        assert_eq!(code(&it.issued(&authority, "HN-01")), "other_name");
        assert_eq!(code(&kiosk(&authority, "").issued(&authority, "HN-01/k1")), "other_key");
        assert_eq!(code(b"{"), "malformed");
        assert_eq!(code(b""), "nothing");
        let denied = |fingerprint: &str| {
            serde_json::json!({"status": "denied", "fingerprint": fingerprint}).to_string()
        };
        assert_eq!(code(denied("0000-0000-0000-0000").as_bytes()), "nothing");
        assert_eq!(code(denied(&it.claim.fingerprint()).as_bytes()), "denied");
    }

    #[test]
    fn stick_has_the_request_and_brings_the_certificate() {
        let authority = Authority::new();
        let (it, stick) = (kiosk(&authority, ""), tempfile::tempdir().unwrap());
        assert!(!it.claim.by_folder(stick.path()).unwrap());
        let id = it.claim.id();
        let request = fs::read_to_string(stick.path().join(format!("{id}.csr"))).unwrap();
        assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{request}");
        fs::write(stick.path().join(format!("{id}.crt")), it.chain(&authority, "HN-01/k1"))
            .unwrap();
        assert!(it.claim.by_folder(stick.path()).unwrap() && it.claim.is_installed());
    }

    #[test]
    fn serial_number_is_a_name_if_it_is_one() {
        let key = Key::new().unwrap();
        let id = |serial: &str| id(&key, Some(serial.to_owned())).unwrap().to_string();
        assert_eq!(id("10000000 1a2b/3c#"), "100000001a2b3c");
        for nobodys in ["", "0", "Default string", "To be filled by O.E.M."] {
            assert!(id(nobodys).starts_with("key-"), "{nobodys}");
        }
    }
}
