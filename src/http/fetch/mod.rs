//! Fetches a document from a URL that a stranger gave.
//!
//! Promises:
//! - Nothing is connected to but public addresses and what the operator [`Allowed`]. A name is
//!   resolved once for each request, and only the addresses that were judged fit are connected to.
//! - A redirect is a request like the first: the same judgement, within the same limits.
//! - No limit of [`Limits`] is exceeded, however slowly or endlessly a server talks.
//! - Nothing goes out that identifies anybody: no credentials, cookies or `Referer`, no proxy of the
//!   environment, no connection that another request used.
//! - No error holds the URL, a host, an address or anything else of an answer but its status.
//!
//! What kind of file it is, its content says elsewhere; its declared type is not looked at.

mod policy;

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{io, iter, str};

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Response, redirect, retry};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

pub use policy::Allowed;

use policy::Policy;

/// What a fetch may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the document, in bytes. Default 64 MiB, what a file may have elsewhere.
    pub max_bytes: usize,
    /// Time for everything: names, connections, redirects and the whole body. Default 30 s, in
    /// which 64 MiB arrive at 18 Mbit/s.
    pub max_time: Duration,
    /// Time for one connection: its name, TCP and TLS. Default 5 s: TCP's own first repetitions
    /// come after 1 s and 3 s.
    pub max_connect_time: Duration,
    /// Redirects that are followed. Default 5: from a short link, to https, to a mirror,
    /// and some to spare.
    pub max_redirects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_time: Duration::from_secs(30),
            max_connect_time: Duration::from_secs(5),
            max_redirects: 5,
        }
    }
}

/// Why no document comes, in a sentence for whoever gave the URL.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// No URL, or one that nothing can be sent to.
    #[error("The address is not a valid URL, or it leads to one that is not; check it.")]
    Malformed,
    /// Neither http nor https.
    #[error("Only addresses that begin with http:// or https:// are fetched.")]
    Scheme,
    /// With a user name or a password.
    #[error("The address holds, or leads to, a user name or a password; give one without.")]
    Credentials,
    /// The policy has no address for it.
    #[error("The address is not allowed: it leads to a private or reserved network.")]
    Refused,
    /// The name has no address.
    #[error("The address's host name cannot be resolved; check its spelling.")]
    Unresolvable,
    /// No connection.
    #[error("The server cannot be reached; check the address or try again later.")]
    Unreachable,
    /// No TLS, or with a certificate that is not trusted.
    #[error(
        "No secure connection to the server is possible; its certificate must be trusted here."
    )]
    Tls,
    /// No certificate could be trusted.
    #[error(
        "Addresses with https:// cannot be fetched: no certificate authority is installed here."
    )]
    NoAuthorities,
    /// From https to http.
    #[error("The server redirects from https:// to http://, which is not followed.")]
    Downgrade,
    /// More than [`Limits::max_redirects`].
    #[error("The server redirects more than {limit} times; give the address of the file itself.")]
    TooManyRedirects {
        /// What is allowed.
        limit: usize,
    },
    /// Anything but success.
    #[error("The server answered with status {status}.")]
    Status {
        /// The status.
        status: u16,
    },
    /// More than [`Limits::max_bytes`].
    #[error("The file is larger than {limit} bytes.")]
    TooLarge {
        /// What is allowed.
        limit: usize,
    },
    /// Longer than [`Limits::max_time`] or [`Limits::max_connect_time`].
    #[error("The server did not answer in time.")]
    TooSlow,
    /// Ends early, or is no HTTP.
    #[error("The server's answer is broken or incomplete; try again.")]
    Incomplete,
}

impl FetchError {
    /// Only the kind of error is kept: its text may name the URL and addresses.
    fn from_client(error: &reqwest::Error) -> Self {
        for cause in causes(error) {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return own.clone();
            }
            if cause.is::<rustls::Error>() {
                return Self::Tls;
            }
        }
        match error {
            _ if error.is_timeout() => Self::TooSlow,
            _ if error.is_connect() => Self::Unreachable,
            _ if error.is_builder() => Self::Malformed,
            _ => Self::Incomplete,
        }
    }
}

/// An error and what it comes from. An I/O error's own `source` skips the error that it wraps.
pub fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

/// Why there is no fetcher, in a sentence for the operator.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The operator's certificates are none.
    #[error("The extra certificate authorities are no valid certificates in PEM; check the file.")]
    Authorities,
    /// TLS cannot be configured.
    #[error("TLS cannot be set up: {0}.")]
    Tls(#[from] rustls::Error),
    /// The HTTP client cannot be made.
    #[error("The HTTP client cannot be set up: {0}.")]
    Client(#[from] reqwest::Error),
}

/// Resolves names to what the policy permits. As the client asks nobody else, it cannot connect to
/// an address that was not judged, whatever a second query would have brought.
struct Resolver(Arc<Policy>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            // The client puts the URL's port in place of 0.
            let found = lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(|_| FetchError::Unresolvable)?.collect();
            let fit = permitted(&policy, name.as_str(), found)?;
            Ok(Box::new(fit.into_iter()) as Addrs)
        })
    }
}

fn permitted(
    policy: &Policy,
    name: &str,
    mut addresses: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, FetchError> {
    if addresses.is_empty() {
        return Err(FetchError::Unresolvable);
    }
    if !policy.permits_name(name) {
        addresses.retain(|address| policy.permits_address(address.ip()));
    }
    if addresses.is_empty() { Err(FetchError::Refused) } else { Ok(addresses) }
}

/// Fetches documents.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    policy: Arc<Policy>,
    limits: Limits,
    trusts_any: bool,
}

impl Fetcher {
    /// With `extra_roots`, certificates in PEM, the authorities that are trusted besides the
    /// system's. Without any, http alone can be fetched.
    ///
    /// # Errors
    /// [`SetupError`], most likely for what is in `extra_roots`.
    pub fn new(
        allowed: Vec<Allowed>,
        limits: Limits,
        extra_roots: Option<&[u8]>,
    ) -> Result<Self, SetupError> {
        let system = rustls_native_certs::load_native_certs().certs;
        Self::with_roots(allowed, limits, trusted(system, extra_roots)?)
    }

    fn with_roots(
        allowed: Vec<Allowed>,
        limits: Limits,
        roots: RootCertStore,
    ) -> Result<Self, SetupError> {
        let policy = Arc::new(Policy(allowed));
        let trusts_any = !roots.is_empty();
        if !trusts_any {
            log::warn!("no certificate authority is installed: no https:// address can be fetched");
        }
        let client = bare_client(roots)?
            .dns_resolver(Resolver(Arc::clone(&policy)))
            .connect_timeout(limits.max_connect_time)
            .build()?;
        Ok(Self { client, policy, limits, trusts_any })
    }

    /// Asks for the document; its bytes are then taken from the [`Download`], within the same time.
    ///
    /// # Errors
    /// Any [`FetchError`].
    pub async fn get(&self, url: &str) -> Result<Download, FetchError> {
        let deadline = Instant::now() + self.limits.max_time;
        let response = in_time(deadline, self.follow(url)).await?;
        let limit = self.limits.max_bytes;
        if response.content_length().is_some_and(|bytes| bytes > limit as u64) {
            return Err(FetchError::TooLarge { limit });
        }
        Ok(Download { response, deadline, limit, received: 0 })
    }

    async fn follow(&self, url: &str) -> Result<Response, FetchError> {
        let mut url = Url::parse(url).map_err(|_| FetchError::Malformed)?;
        for _ in 0..=self.limits.max_redirects {
            self.check(&url)?;
            let sent = self.client.get(url.clone()).send().await;
            let response = sent.map_err(|error| FetchError::from_client(&error))?;
            match target(&response, &url)? {
                Some(next) => url = next,
                None if response.status().is_success() => return Ok(response),
                None => return Err(FetchError::Status { status: response.status().as_u16() }),
            }
        }
        Err(FetchError::TooManyRedirects { limit: self.limits.max_redirects })
    }

    /// Judges what can be judged before a name is resolved. An address in the URL never comes to
    /// the [`Resolver`]; all its spellings (`2130706433`, `0x7f.1`) are one after parsing.
    fn check(&self, url: &Url) -> Result<(), FetchError> {
        match url.scheme() {
            "http" => {}
            "https" if self.trusts_any => {}
            "https" => return Err(FetchError::NoAuthorities),
            _ => return Err(FetchError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Credentials);
        }
        let fit = match url.host() {
            _ if url.port() == Some(0) => return Err(FetchError::Malformed),
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(address)) => self.policy.permits_address(address.into()),
            Some(Host::Ipv6(address)) => self.policy.permits_address(address.into()),
            None => return Err(FetchError::Malformed),
        };
        if fit { Ok(()) } else { Err(FetchError::Refused) }
    }
}

/// Where an answer redirects to, if it does.
fn target(response: &Response, url: &Url) -> Result<Option<Url>, FetchError> {
    let location = response.headers().get(LOCATION);
    let (301 | 302 | 303 | 307 | 308, Some(location)) = (response.status().as_u16(), location)
    else {
        return Ok(None);
    };
    let location = str::from_utf8(location.as_bytes()).map_err(|_| FetchError::Malformed)?;
    let next = url.join(location).map_err(|_| FetchError::Malformed)?;
    if url.scheme() == "https" && next.scheme() == "http" {
        return Err(FetchError::Downgrade);
    }
    Ok(Some(next))
}

/// The system's authorities, of which some may be unusable, and the operator's, of which none may.
pub fn trusted(
    system: Vec<CertificateDer<'static>>,
    extra: Option<&[u8]>,
) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system);
    let Some(pem) = extra else { return Ok(roots) };
    let extra: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let extra = extra.ok().filter(|it| !it.is_empty()).ok_or(SetupError::Authorities)?;
    for certificate in extra {
        roots.add(certificate).map_err(|_| SetupError::Authorities)?;
    }
    Ok(roots)
}

/// A client that trusts these authorities alone, and of which nothing goes out but what it is told to
/// send: it follows no redirect, repeats nothing, asks no proxy of the environment, and keeps no
/// connection.
///
/// # Errors
/// Where TLS cannot be configured.
pub fn bare_client(roots: RootCertStore) -> Result<ClientBuilder, rustls::Error> {
    // Without it, a server may compress as it likes, and nothing here unpacks.
    let as_it_is = (ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(Client::builder()
        .tls_backend_preconfigured(tls(roots)?)
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .http1_only()
        .pool_max_idle_per_host(0)
        .user_agent(env!("CARGO_PKG_NAME"))
        .default_headers(HeaderMap::from_iter([as_it_is])))
}

/// With its own provider, so that it depends on nothing that is set for the whole process; and not
/// with the platform's verifier, which logs a host's name when its certificate fails.
fn tls(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    timeout_at(deadline, work).await.unwrap_or(Err(FetchError::TooSlow))
}

/// A document on its way.
pub struct Download {
    response: Response,
    deadline: Instant,
    limit: usize,
    received: usize,
}

impl Download {
    /// The next bytes, `None` after the last.
    ///
    /// # Errors
    /// [`FetchError::TooLarge`], [`FetchError::TooSlow`] or [`FetchError::Incomplete`]. What came
    /// before is then not the document.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let next = async { self.response.chunk().await.map_err(|e| FetchError::from_client(&e)) };
        let next = in_time(self.deadline, next).await?;
        self.received = self.received.saturating_add(next.as_ref().map_or(0, Bytes::len));
        if self.received > self.limit {
            return Err(FetchError::TooLarge { limit: self.limit });
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests;
