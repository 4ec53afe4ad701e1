//! The public keys of issuers of tokens: fetched before they are needed, again in time, and when a token names one that is not known.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use config::model::{Address, Config, JwtKeys, Service};
use policy::auth::jwt::Keys;
use proxy::{Board, KeySet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use wire::h1::{Body, Limits, Method, Progress, Response, Status};

use crate::task::Task;
use crate::text;

/// For one fetch, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tokens with unknown keys have them fetched no more often than this.
const GAP: Duration = Duration::from_secs(10);
/// After a failure, from here doubling to there.
const RETRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Larger answers are no key set. Unit: bytes.
const LARGEST: usize = 1 << 20;

/// The issuers in use, each followed by a task.
#[derive(Debug)]
pub(crate) struct Issuers {
    version: &'static str,
    followed: Mutex<BTreeMap<Service, Followed>>,
    /// Goes up with each first fetch that has ended, well or not.
    tries: watch::Sender<u64>,
}

#[derive(Debug)]
struct Followed {
    refresh: Duration,
    keys: Arc<KeySet>,
    _task: Task,
}

impl Issuers {
    pub(crate) fn new(version: &'static str) -> Self {
        Self { version, followed: Mutex::default(), tries: watch::Sender::new(0) }
    }

    /// Follows the issuers of this configuration from now on; those that only others need are followed on until [`Issuers::keep`].
    pub(crate) fn add(&self, config: &Config, board: &Board) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        for (url, refresh) in of(config) {
            if followed.get(&url).is_some_and(|known| known.refresh == refresh) {
                continue;
            }
            let keys = board.key_set(&url);
            let task = Task::spawn(follow(url.clone(), refresh, keys.clone(), self.version, self.tries.clone()));
            followed.insert(url, Followed { refresh, keys, _task: task });
        }
    }

    /// Follows the issuers of this configuration and no others.
    pub(crate) fn keep(&self, config: &Config) {
        let wanted = of(config);
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).retain(|url, _| wanted.contains_key(url));
    }

    /// Waits until every issuer has been asked once, for at most `patience`.
    pub(crate) async fn settled(&self, patience: Duration) {
        let mut tries = self.tries.subscribe();
        let all = tries.wait_for(|_| self.sets().iter().all(|(_, keys)| keys.load().is_some() || keys.fault().is_some()));
        let _ = timeout(patience, all).await;
    }

    /// What is known of each.
    pub(crate) fn sets(&self) -> Vec<(Service, Arc<KeySet>)> {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.iter().map(|(url, known)| (url.clone(), known.keys.clone())).collect()
    }
}

/// Where keys come from, and how often; where routes differ the shortest time counts.
fn of(config: &Config) -> BTreeMap<Service, Duration> {
    let mut all = BTreeMap::new();
    for jwt in config.routes.iter().filter_map(|route| route.access.jwt.as_ref()) {
        if let JwtKeys::At { url, refresh } = &jwt.keys {
            let known = all.entry(url.clone()).or_insert(*refresh);
            *known = (*known).min(*refresh);
        }
    }
    all
}

async fn follow(url: Service, refresh: Duration, keys: Arc<KeySet>, version: &'static str, tries: watch::Sender<u64>) {
    let mut retry = *RETRY.start();
    loop {
        let fetched = timeout(PATIENCE, fetch(&url, version)).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let began = Instant::now();
        let wait = match fetched.and_then(|text| Keys::parse(&text)) {
            Ok(fresh) => {
                if keys.load().is_none() || keys.fault().is_some() {
                    tracing::info!(url = %url, keys = fresh.len(), "keys fetched");
                }
                keys.store(fresh);
                retry = *RETRY.start();
                refresh
            }
            Err(why) => {
                if keys.fault().as_ref() != Some(&why) {
                    tracing::warn!(url = %url, "keys can't be fetched: {why}");
                }
                keys.failed(why);
                let wait = retry;
                retry = (retry * 2).min(*RETRY.end());
                wait.min(refresh)
            }
        };
        tries.send_modify(|tries| *tries += 1);
        tokio::select! {
            () = sleep(wait) => {}
            () = keys.wanted() => sleep_until(began + GAP.min(refresh)).await,
        }
    }
}

async fn fetch(url: &Service, version: &str) -> Result<Vec<u8>, String> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: evenkeel/{version}\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
        url.target, url.authority
    );
    let stream = match &url.address {
        Address::Socket(address) => TcpStream::connect(address).await,
        Address::Name { host, port } => TcpStream::connect((host.as_str(), *port)).await,
    };
    let stream = stream.map_err(|error| text::io_error(&error))?;
    let (status, body) = if url.https {
        let name = match &url.address {
            Address::Socket(address) => ServerName::from(address.ip()),
            Address::Name { host, .. } => {
                ServerName::try_from(host.clone()).map_err(|_| "its name can't be in a certificate".to_owned())?
            }
        };
        let stream = TlsConnector::from(tls()?).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
        exchange(stream, request.as_bytes()).await?
    } else {
        exchange(stream, request.as_bytes()).await?
    };
    if status == 200 { Ok(body) } else { Err(format!("status {status}, wanted 200")) }
}

/// TLS with the certificates that the system trusts, read once.
fn tls() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("the system trusts no certificate".to_owned());
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    };
    CONFIG.get_or_init(make).clone()
}

/// Sends a GET and reads the whole answer.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let broken = |error: io::Error| text::io_error(&error);
    stream.write_all(request).await.map_err(broken)?;
    let (mut head, mut progress, mut bytes) = (Response::new(), Progress::default(), Vec::new());
    let mut body: Option<(Body, usize)> = None;
    let mut read = Vec::new();
    loop {
        let ended = stream.read_buf(&mut bytes).await.map_err(broken)? == 0;
        if bytes.len() > LARGEST {
            return Err("the answer is larger than 1 MiB".to_owned());
        }
        if body.is_none() {
            let parsed = head.parse(&bytes, &mut progress, &Limits::DEFAULT, Method::Get);
            if parsed.map_err(|fault| format!("the answer is not valid HTTP ({})", fault.reason()))? == Status::Complete {
                body = Some((Body::of_response(head.framing), head.len));
            }
        }
        if let Some((framing, at)) = &mut body {
            loop {
                let piece =
                    framing.decode(&bytes[*at..]).map_err(|fault| format!("the answer is not valid HTTP ({})", fault.reason()))?;
                if piece.skip + piece.data == 0 {
                    break;
                }
                read.extend_from_slice(&bytes[*at + piece.skip..*at + piece.skip + piece.data]);
                *at += piece.skip + piece.data;
            }
            if ended {
                framing.at_eof().map_err(|_| "the answer breaks off".to_owned())?;
            }
            if framing.is_done() || ended {
                return Ok((head.status, read));
            }
        } else if ended {
            return Err("connection closed without an answer".to_owned());
        }
    }
}
