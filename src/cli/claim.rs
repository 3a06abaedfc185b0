//! `claim`: a kiosk without a certificate gets one.

use std::path::PathBuf;

use clap::Args;
use tokio::runtime;

use super::config::ConfigArgs;
use super::{Outcome, print};
use crate::credentials::Credentials;
use crate::provisioning::claim;

/// Get the kiosk its certificate: make a key, ask for a certificate, put it in its place
///
/// It asks at claim.broker and waits until the office has answered, or leaves ID.csr on a stick and
/// takes ID.crt from there when it is run again. What it prints is what the office must be told. It
/// can be ended and run again at any time; done is done. See docs/provisioning.md.
#[derive(Args)]
pub struct Claim {
    #[command(flatten)]
    config: ConfigArgs,

    /// Folder of a stick, in place of the broker
    #[arg(long, value_name = "DIR")]
    usb: Option<PathBuf>,

    /// Folder of what the broker is told: mqtt-password of claim.user, mqtt-key of claim.certificate
    /// [default: systemd's]
    #[arg(long, value_name = "DIR")]
    credentials: Option<PathBuf>,

    /// Where the folders of systemd's credentials are: DIR/etc/credstore, DIR/etc/credstore.encrypted
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl Claim {
    /// Goes on until the kiosk has its certificate, or waits for a person.
    pub fn run(&self) -> Outcome {
        let loaded = self.config.load()?;
        if self.usb.is_none() && loaded.config.claim.broker.is_none() {
            print("nothing is claimed: claim.broker is not set\n")?;
            return Ok(true);
        }
        let claim = claim::Claim::new(&loaded, &self.config.folder(), &self.root)?;
        let (id, fingerprint, kept) = (claim.id(), claim.fingerprint(), claim.kept().name());
        print(&format!("id           {id}\nfingerprint  {fingerprint}\nkey          {kept}\n"))?;
        match &self.usb {
            Some(_) if claim.is_installed() => {}
            Some(stick) if claim.by_folder(stick)? => {}
            Some(stick) => {
                let stick = stick.display();
                print(&format!(
                    "have {stick}/{id}.csr signed, put {id}.crt there, run this again\n"
                ))?;
                return Ok(false);
            }
            None => {
                let credentials = Credentials::new(self.credentials.as_deref());
                let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(claim.by_broker(credentials))?;
            }
        }
        claim.finish()?;
        print("the kiosk has its certificate\n")?;
        Ok(true)
    }
}
