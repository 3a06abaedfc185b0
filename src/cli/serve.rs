//! `serve`: the contract's HTTP API, alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use cic_kiosk::config::{Config, Tls};
use clap::Args;
use tokio::runtime;

use super::config::ConfigArgs;
use super::setup::{ReadingArgs, set};
use super::{Failure, Outcome, print, usage_error};
use crate::http::fetch::Allowed;
use crate::http::server::Listening;
use crate::http::{self, Api, router};
use crate::keys::KeyStore;
#[cfg(feature = "office")]
use crate::queue::Submitter;
use crate::reading::Reader;
use crate::signals::Signals;

/// Serve the cloud service's HTTP API
///
/// Any program written for it works here with another address and a key from `cic-kiosk keys add`.
/// When it is ready it prints one line with its address; SIGTERM ends it. The command line goes
/// over the configuration.
#[derive(Args)]
pub struct Serve {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// Folder of the keys and of the record of their uses
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Host or network (CIDR) that documents may be fetched from although it is no public one; can
    /// be given several times
    #[arg(long, value_name = "HOST|CIDR")]
    allow_url_host: Vec<Allowed>,

    #[command(flatten)]
    config: ConfigArgs,

    /// Certificate in PEM, with those that lead to its authority; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,

    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,

    /// Speak plain HTTP beyond this machine: keys and papers can then be read on the way
    #[arg(long)]
    allow_plain_http: bool,

    #[command(flatten)]
    reading: ReadingArgs,

    #[cfg(feature = "office")]
    #[command(flatten)]
    queue: super::queue::QueueArgs,
}

impl Serve {
    /// Serves until it is told to stop.
    pub fn run(&self) -> Outcome {
        let mut config = self.config()?;
        let state = config.http.state.as_deref().ok_or_else(|| {
            usage_error("name the folder of the keys, with --state or as state in [http]")
        })?;
        let keys = KeyStore::create(state)?;
        let fetcher = http::fetcher(&config, self.allow_url_host.clone())?;
        let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let reader = Arc::new(self.reader(&mut config)?);
            let (http, limits) = (config.http.clone(), config.limits.clone());
            let api = Api::new(Arc::clone(&reader), Arc::new(keys), fetcher, http, limits, None);
            // Before the first request rather than with it; without models there is nothing to serve.
            reader.load().await?;
            let listening = Listening::bind(&config.http).await?;
            // Taken over before anybody is told that there is something to end.
            let mut signals = Signals::take()?;
            print(&format!("listening on {}://{}\n", listening.scheme(), listening.address))?;
            let (house, stops) = (Arc::clone(&api), Arc::clone(&api));
            tokio::spawn(async move { house.keep_house().await });
            let drain = config.http.drain_seconds;
            let end = async move {
                signals.end().await;
                log::info!("stopping; requests under way have {drain} s");
                stops.stop();
            };
            listening.serve(router(api), end).await?;
            reader.leave().await;
            Ok(true)
        })
    }

    /// Reads here, unless there is a queue.
    fn reader(&self, config: &mut Config) -> Result<Reader, Failure> {
        #[cfg(feature = "office")]
        if self.queue.is_meant() {
            let access = self.queue.access(config, "serve")?;
            let submitter = Submitter::start(access, config.limits.max_pages, true);
            return Ok(Reader::queue(Arc::new(submitter)));
        }
        Ok(Reader::new(config))
    }

    fn config(&self) -> Result<Config, Failure> {
        let mut config = self.config.load()?.config;
        self.reading.apply(&mut config);
        let http = &mut config.http;
        set(&mut http.listen, self.listen);
        set(&mut http.state, self.state.clone().map(Some));
        let (certificate, key) = (self.tls_certificate.clone(), self.tls_key.clone());
        let tls = certificate.zip(key).map(|(certificate, key)| Tls { certificate, key });
        set(&mut http.tls, tls.map(Some));
        http.allow_plain_http |= self.allow_plain_http;
        config.check().map_err(|error| usage_error(&error.to_string()))?;
        Ok(config)
    }
}
