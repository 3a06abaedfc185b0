//! `authority`: the office's side of kiosks' certificates.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use cic_kiosk::config::{Broker, Mqtt, Name};
use clap::{Args, Subcommand, value_parser};
use serde::de::DeserializeOwned;
use tokio::runtime;
use tokio::time::sleep;
use ulid::Ulid;

use super::{Failure, Outcome, print};
use crate::credentials::Credentials;
use crate::mqtt::{self, Dial, Talk, Topics};
use crate::provisioning::authority::{Authority as Signer, AuthorityError, Request};
use crate::provisioning::message::{
    ClaimAnswer, ClaimRequest, Issued, Renewal, claim_topic, verdict_topic,
};

/// What a broker keeps has come when nothing more comes for so long.
const QUIET: Duration = Duration::from_secs(2);

/// Before a broker that was lost is tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// The most bytes of a message that is looked at: a request has less than one KB.
const MAX_MESSAGE: usize = 64 << 10;

const CLAIMS: &str = "cic/v1/_claim/+/request";

const RENEWALS: &str = "cic/v1/+/+/certificate/request";

/// Issue, renew and revoke the certificates of kiosks
///
/// All that the authority is lies in one folder; whoever can read its authority.key can make kiosks.
/// A bank's own authority can be used in its place. See docs/provisioning.md.
#[derive(Args)]
pub struct Authority {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(Init),
    Sign(Sign),
    List(Folder),
    Revoke(Revoke),
    Crl(Crl),
    Claims(Claims),
    Approve(Approve),
    Deny(Deny),
    Renew(Renew),
}

/// List what was issued
#[derive(Args)]
struct Folder {
    /// Folder of the authority
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// For whom, and for how long
#[derive(Args)]
struct Whose {
    /// Branch of the kiosk
    #[arg(long, value_name = "NAME")]
    branch: Name,

    /// Its name there
    #[arg(long, value_name = "NAME")]
    kiosk: Name,

    #[command(flatten)]
    time: Time,
}

#[derive(Args)]
struct Time {
    /// Days that the certificate is good for; a kiosk asks for the next one after two thirds
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = value_parser!(u32).range(1..=3650))]
    days: u32,
}

/// The broker, and who asks there
#[derive(Args)]
struct BrokerArgs {
    /// Broker, mqtts://HOST[:PORT]
    #[arg(long, value_name = "ADDRESS")]
    broker: Broker,

    /// User name there; its password is mqtt-password in the folder of credentials
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// PEM file of the office's certificate there; its key is mqtt-key in the folder of credentials
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,

    /// PEM file of the authorities that vouch for the broker [default: the system's]
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,

    /// Folder of secrets
    #[arg(long, value_name = "DIR")]
    credentials: Option<PathBuf>,
}

/// Make an authority, and print the SHA-256 that kiosks must know
#[derive(Args)]
struct Init {
    #[command(flatten)]
    folder: Folder,

    /// What it is called
    #[arg(long, value_name = "NAME", default_value = "CIC kiosks")]
    name: String,

    /// Days that it is good for
    #[arg(long, value_name = "N", default_value_t = 7300, value_parser = value_parser!(u32).range(1..=36500))]
    days: u32,
}

/// Sign the request that a kiosk left on a stick
#[derive(Args)]
struct Sign {
    /// The request, ID.csr
    request: PathBuf,

    /// Fingerprint that the kiosk shows
    fingerprint: String,

    /// Where the certificate goes [default: ID.crt beside the request]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    whose: Whose,

    #[command(flatten)]
    folder: Folder,
}

/// Revoke all certificates of a kiosk, and make a new list of the revoked ones
#[derive(Args)]
struct Revoke {
    /// Branch of the kiosk
    branch: Name,

    /// Its name there
    kiosk: Name,

    #[command(flatten)]
    crl: Crl,
}

/// Make a new list of revoked certificates, for the broker
#[derive(Args)]
struct Crl {
    #[command(flatten)]
    folder: Folder,

    /// Days until the broker must have the next list; after that it refuses everybody
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u32).range(1..=3650))]
    next: u32,
}

/// List the kiosks that ask for a certificate at the broker
#[derive(Args)]
struct Claims {
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Give a kiosk that asks at the broker its certificate and its names
#[derive(Args)]
struct Approve {
    /// The kiosk, by the id that it shows
    id: Name,

    /// Fingerprint that it shows
    fingerprint: String,

    /// Where the kiosk's broker is, if it is not that of the claim
    #[arg(long, value_name = "ADDRESS")]
    kiosks_broker: Option<Broker>,

    #[command(flatten)]
    whose: Whose,

    #[command(flatten)]
    folder: Folder,

    #[command(flatten)]
    broker: BrokerArgs,
}

/// Tell a kiosk that asks at the broker that it gets no certificate
#[derive(Args)]
struct Deny {
    /// The kiosk, by the id of its claim
    id: Name,

    #[command(flatten)]
    broker: BrokerArgs,
}

/// Issue the next certificates that known kiosks ask for
#[derive(Args)]
struct Renew {
    /// Go on until ended, rather than end when all that wait have one
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    time: Time,

    #[command(flatten)]
    folder: Folder,

    #[command(flatten)]
    broker: BrokerArgs,
}

impl Authority {
    /// Does what was asked for.
    pub fn run(&self) -> Outcome {
        match &self.command {
            Command::Init(it) => it.run(),
            Command::Sign(it) => it.run(),
            Command::List(it) => it.run(),
            Command::Revoke(it) => it.run(),
            Command::Crl(it) => it.run(),
            Command::Claims(it) => block_on(it.run()),
            Command::Approve(it) => block_on(it.run()),
            Command::Deny(it) => block_on(it.run()),
            Command::Renew(it) => block_on(it.run()),
        }
    }
}

fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

impl Init {
    fn run(&self) -> Outcome {
        let signer = Signer::init(&self.folder.dir, &self.name, self.days)?;
        print(&format!("authority_sha256 = \"{}\"\n", signer.sha256()?))?;
        Ok(true)
    }
}

impl Sign {
    fn run(&self) -> Outcome {
        let text = fs::read_to_string(&self.request)?;
        let request = Request::parse(&text)?;
        same(&request, &self.fingerprint)?;
        let chain = issue(&self.folder, &request, &self.whose)?;
        let out = self.out.clone().unwrap_or_else(|| self.request.with_extension("crt"));
        fs::write(&out, chain)?;
        print(&format!("{}\n", out.display()))?;
        Ok(true)
    }
}

impl Folder {
    fn run(&self) -> Outcome {
        let signer = Signer::open(&self.dir)?;
        let lines = signer.index().entries.iter().map(|entry| format!("{entry}\n"));
        print(&lines.collect::<String>())?;
        Ok(true)
    }
}

impl Revoke {
    fn run(&self) -> Outcome {
        let mut signer = Signer::open(&self.crl.folder.dir)?;
        let count = signer.revoke(&self.branch, &self.kiosk)?;
        let list = signer.list_revoked(self.crl.next)?;
        let list = list.display();
        print(&format!("{count} revoked; the broker needs the new {list}\n"))?;
        Ok(count > 0)
    }
}

impl Crl {
    fn run(&self) -> Outcome {
        let list = Signer::open(&self.folder.dir)?.list_revoked(self.next)?;
        print(&format!("{}\n", list.display()))?;
        Ok(true)
    }
}

impl Claims {
    async fn run(&self) -> Outcome {
        let mut talk = self.broker.talk(&[CLAIMS.to_owned()]).await?;
        let mut lines = String::new();
        while let Some(heard) = talk.next_within(QUIET).await? {
            if heard.payload.is_empty() {
                continue;
            }
            let id = heard.topic.split('/').nth(3).unwrap_or_default();
            lines += &match parse::<ClaimRequest>(&heard.payload).and_then(|claim| line(&claim)) {
                Ok(line) => format!("{id:20}  {line}\n"),
                Err(error) => format!("{id:20}  {error}\n"),
            };
        }
        talk.end().await;
        print(&lines)?;
        Ok(true)
    }
}

/// Of a stranger's message: only what is plain goes to a terminal.
fn line(claim: &ClaimRequest) -> Result<String, Failure> {
    let request = Request::parse(&claim.csr)?;
    let wish = request.names().map(|(branch, kiosk)| format!("{branch}/{kiosk}"));
    let plain = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("-");
        text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(40).collect::<String>()
    };
    let (fingerprint, kept, wish) =
        (request.fingerprint(), claim.key.name(), wish.as_deref().unwrap_or("-").to_owned());
    Ok(format!(
        "{fingerprint}  {kept:4}  {wish:20}  {}  {}",
        plain(&claim.board),
        plain(&claim.serial)
    ))
}

impl Approve {
    async fn run(&self) -> Outcome {
        let (mut talk, request) = claimed(&self.broker, &self.id).await?;
        same(&request, &self.fingerprint)?;
        let chain = issue(&self.folder, &request, &self.whose)?;
        let verdict = ClaimAnswer::Issued { chain, broker: self.kiosks_broker.clone() };
        tell(&mut talk, &self.id, &verdict).await?;
        talk.end().await;
        let Whose { branch, kiosk, .. } = &self.whose;
        print(&format!("{} has its certificate as {branch}/{kiosk}\n", self.id))?;
        Ok(true)
    }
}

impl Deny {
    async fn run(&self) -> Outcome {
        let (mut talk, request) = claimed(&self.broker, &self.id).await?;
        let verdict = ClaimAnswer::Denied { fingerprint: request.fingerprint() };
        tell(&mut talk, &self.id, &verdict).await?;
        talk.put(&claim_topic(&self.id), Vec::new()).await?;
        talk.end().await;
        print(&format!("{} gets no certificate\n", self.id))?;
        Ok(true)
    }
}

async fn tell(talk: &mut Talk, id: &Name, verdict: &ClaimAnswer) -> Result<(), mqtt::Failure> {
    talk.put(&verdict_topic(id), serde_json::json!(verdict).to_string().into_bytes()).await
}

/// What this one asks for.
async fn claimed(broker: &BrokerArgs, id: &Name) -> Result<(Talk, Request), Failure> {
    let mut talk = broker.talk(&[claim_topic(id)]).await?;
    let heard = talk.next_within(QUIET).await?.filter(|heard| !heard.payload.is_empty());
    let Some(heard) = heard else { return Err(format!("{id} asks for nothing").into()) };
    let claim: ClaimRequest = parse(&heard.payload)?;
    Ok((talk, Request::parse(&claim.csr)?))
}

/// The key is the one that the kiosk shows.
fn same(request: &Request, fingerprint: &str) -> Result<(), Failure> {
    if request.fingerprint().eq_ignore_ascii_case(fingerprint) {
        return Ok(());
    }
    let other = request.fingerprint();
    Err(format!(
        "nothing was signed: the request is of the key {other}. If the kiosk does not show that, \
         somebody else asks in its name"
    )
    .into())
}

/// The certificate that was issued for this before, or a new one.
fn issue(folder: &Folder, request: &Request, whose: &Whose) -> Result<String, AuthorityError> {
    let mut signer = Signer::open(&folder.dir)?;
    match signer.answered(request) {
        Some((entry, chain)) if entry.is_of(&whose.branch, &whose.kiosk) => Ok(chain),
        _ => signer.sign(request, &whose.branch, &whose.kiosk, whose.time.days),
    }
}

impl Renew {
    async fn run(&self) -> Outcome {
        loop {
            match self.serve().await {
                Ok(all_well) if !self.watch => return Ok(all_well),
                Err(error) if !self.watch => return Err(error.into()),
                Ok(_) => {}
                Err(error) => log::warn!("the broker is tried again: {error}"),
            }
            sleep(PAUSE).await;
        }
    }

    /// On one connection. Whether all that was asked for was issued.
    async fn serve(&self) -> Result<bool, mqtt::Failure> {
        let mut talk = self.broker.talk(&[RENEWALS.to_owned()]).await?;
        let mut all_well = true;
        loop {
            let heard = if self.watch {
                talk.next().await?
            } else {
                let Some(heard) = talk.next_within(QUIET).await? else { break };
                heard
            };
            if heard.payload.is_empty() {
                continue;
            }
            let levels: Vec<&str> = heard.topic.split('/').collect();
            let [_, _, branch, kiosk, ..] = levels[..] else { continue };
            match self.issue(branch, kiosk, &heard.payload) {
                Ok(chain) => {
                    let issued = serde_json::json!(Issued { chain }).to_string().into_bytes();
                    talk.put(&format!("cic/v1/{branch}/{kiosk}/certificate/issued"), issued)
                        .await?;
                    // Who reads it may be gone; the certificate is out.
                    let _ = print(&format!("{branch}/{kiosk}: issued\n"));
                }
                Err(error) => {
                    all_well = false;
                    eprintln!("{branch}/{kiosk}: nothing was issued: {error}");
                }
            }
        }
        talk.end().await;
        Ok(all_well)
    }

    fn issue(&self, branch: &str, kiosk: &str, payload: &[u8]) -> Result<String, Failure> {
        let (branch, kiosk): (Name, Name) = (branch.parse()?, kiosk.parse()?);
        let renewal: Renewal = parse(payload)?;
        let mut signer = Signer::open(&self.folder.dir)?;
        Ok(signer.renew(&branch, &kiosk, &renewal, self.time.days)?)
    }
}

/// Without what stands there: it is a stranger's.
fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Failure> {
    if payload.len() > MAX_MESSAGE {
        return Err("the message is too long".into());
    }
    serde_json::from_slice(payload).map_err(|_| "the message is not what it should be".into())
}

impl BrokerArgs {
    async fn talk(&self, topics: &[String]) -> Result<Talk, mqtt::Failure> {
        let settings = Mqtt {
            broker: self.broker.clone(),
            user: self.user.clone(),
            certificate: self.certificate.clone(),
            authorities: self.authorities.clone(),
            ..Mqtt::default()
        };
        let credentials = Credentials::new(self.credentials.as_deref());
        let id = Ulid::new().to_string();
        let name = |text: &str| text.parse::<Name>().map_err(mqtt::Failure::Protocol);
        // Not used: a talk has a name of its own.
        let topics_of = Topics::new(name("authority")?, name(&id)?);
        let dial = Dial { settings, credentials, topics: topics_of, renewed: None };
        Talk::open(&dial, &format!("ca-{}", &id[10..]), topics).await
    }
}
