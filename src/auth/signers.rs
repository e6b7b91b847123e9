//! The keys that may sign tokens, kept current: the configured secret, a JWKS file, a JWKS URL.
//!
//! Readers see one immutable set, swapped whole under a new generation when a document changes.
//! A document that cannot be had or read leaves the last good one in place. The URL is fetched at
//! the start, every `jwks_refresh_s`, and for a token by a key not yet known, then at most once per
//! ten seconds, however many such tokens come.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, Guard};
use jsonwebtoken::DecodingKey;
use reqwest::{Client, Url};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::auth::jwks::{self, Algorithm, DOCUMENT_BYTES_MAX, Signer};
use crate::config;
use crate::error::{Code, Failure};

const FILE_LOOK_INTERVAL: Duration = Duration::from_secs(1);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two fetches for unknown keys, and after a fetch that failed.
const FETCH_INTERVAL_MIN: Duration = Duration::from_secs(10);
const FETCH_WAIT_MAX: Duration = Duration::from_secs(2);
const FETCH_WAITERS_MAX: usize = 64;

/// What may sign tokens at one time.
pub(crate) struct Signers {
    /// Grows by one with each change.
    pub(crate) generation: u64,
    secret: Option<Signer>,
    published: Vec<Signer>,
    /// Whether a JWKS document is configured, be it read already or not.
    expects_published: bool,
}

impl Signers {
    /// The one key that may have signed a token whose header says so. The header only chooses
    /// among the keys; how to verify is the key's own matter.
    pub(crate) fn choose(&self, algorithm: &str, key_id: Option<&str>) -> Result<&Signer, Failure> {
        let algorithm = Algorithm::named(algorithm)
            .filter(|algorithm| self.accepts(*algorithm))
            .ok_or_else(|| self.algorithm_refused())?;
        let by_id = || self.published.iter().filter(|signer| key_id.is_some() && signer.key_id.as_deref() == key_id);
        if let Some(signer) = by_id().find(|signer| signer.algorithm == algorithm) {
            return Ok(signer);
        }
        if let Some(other) = by_id().next() {
            return Err(Failure::new(
                Code::TokenAlgorithmRefused,
                format!("the token names a key for {}, but another algorithm", other.algorithm.as_str()),
            ));
        }
        if algorithm == Algorithm::Hs256 {
            // The secret has no id, so whatever id the token gives it is its signer's own business.
            return self.secret.as_ref().ok_or_else(|| self.algorithm_refused());
        }
        if key_id.is_some() {
            return Err(unknown("the token names a signing key (`kid`) that this gateway does not know"));
        }
        let mut candidates = self.published.iter().filter(|signer| signer.algorithm == algorithm);
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(unknown("the token does not name its signing key; expected `kid` in its header")),
            (None, _) => Err(unknown("this gateway knows no key for the token's algorithm")),
        }
    }

    fn accepts(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Hs256 => self.secret.is_some(),
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => self.expects_published,
        }
    }

    fn algorithm_refused(&self) -> Failure {
        let accepted: Vec<&str> =
            Algorithm::ALL.into_iter().filter(|algorithm| self.accepts(*algorithm)).map(Algorithm::as_str).collect();
        let detail = if accepted.is_empty() {
            "this gateway accepts no signed tokens; expected an api key `rgk_…`".to_owned()
        } else {
            format!("the token's algorithm is not accepted; expected one signed by {}", accepted.join(", "))
        };
        Failure::new(Code::TokenAlgorithmRefused, detail)
    }
}

/// Where signers come from.
pub(crate) struct SignerSource {
    signers: ArcSwap<Signers>,
    held: Mutex<Held>,
    file: Option<PathBuf>,
    url: Option<Remote>,
    fetching: Mutex<Fetching>,
    fetch_wanted: Notify,
    /// Counts the fetches that have ended.
    fetches_ended: watch::Sender<u64>,
    waiters: Semaphore,
    /// [`FETCH_INTERVAL_MIN`], but for tests.
    pub(crate) fetch_interval_min: Duration,
}

/// The last good document of each source.
#[derive(Default)]
struct Held {
    file: Option<Accepted>,
    /// Time of change and length when the file was last looked at, be it good or not.
    file_stamp: Option<(SystemTime, u64)>,
    url: Option<Accepted>,
}

struct Accepted {
    digest: [u8; 32],
    signers: Vec<Signer>,
}

struct Remote {
    url: Url,
    client: Client,
    refresh: Duration,
}

#[derive(Default)]
struct Fetching {
    last_begun: Option<Instant>,
    /// Begun, or asked for and about to begin.
    under_way: bool,
}

impl SignerSource {
    pub(crate) fn new(config: &config::Auth) -> Result<SignerSource, String> {
        let secret = config.hs256_secret.as_ref().map(|secret| Signer {
            key_id: None,
            algorithm: Algorithm::Hs256,
            verifying: DecodingKey::from_secret(secret.as_bytes()),
        });
        let url = config.jwks_url.as_ref().map(|url| remote(url, config.jwks_refresh_s)).transpose()?;
        let mut held = Held::default();
        if let Some(path) = &config.jwks_file {
            let in_file = |reason: String| format!("auth.jwks_file: {}: {reason}", path.display());
            held.file_stamp = Some(stamp(&std::fs::metadata(path).map_err(|error| in_file(error.to_string()))?));
            let document = read_whole(path).map_err(|error| in_file(error.to_string()))?;
            held.file = Some(accept(&document).map_err(in_file)?);
        }
        let expects_published = url.is_some() || config.jwks_file.is_some();
        let published = held.published();
        Ok(SignerSource {
            signers: ArcSwap::from_pointee(Signers { generation: 0, secret, published, expects_published }),
            held: Mutex::new(held),
            file: config.jwks_file.clone(),
            url,
            fetching: Mutex::default(),
            fetch_wanted: Notify::new(),
            fetches_ended: watch::Sender::new(0),
            waiters: Semaphore::new(FETCH_WAITERS_MAX),
            fetch_interval_min: FETCH_INTERVAL_MIN,
        })
    }

    pub(crate) fn signers(&self) -> Guard<Arc<Signers>> {
        self.signers.load()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.url.is_none() || locked(&self.held).url.is_some()
    }

    /// Looks at the file every second and fetches the URL when it is time; never ends unless
    /// neither is configured.
    pub(crate) async fn keep_current(&self) {
        tokio::join!(self.watch_file(), self.poll_url());
    }

    /// Has the URL fetched soon, unless it was within [`FETCH_INTERVAL_MIN`] or is being fetched.
    pub(crate) fn ask_for_fetch(&self) {
        if self.url.is_none() {
            return;
        }
        let mut fetching = locked(&self.fetching);
        let due = fetching.last_begun.is_none_or(|begun| begun.elapsed() >= self.fetch_interval_min);
        if due && !fetching.under_way {
            // Claimed here, so that the many that ask at once cause one fetch.
            fetching.under_way = true;
            self.fetch_wanted.notify_one();
        }
    }

    /// Whether the signers are no longer those of `generation`, after the fetch that is under way,
    /// if any. With more than [`FETCH_WAITERS_MAX`] waiting it answers at once.
    pub(crate) async fn fetched_since(&self, generation: u64) -> bool {
        let mut ended = self.fetches_ended.subscribe();
        if self.signers().generation == generation
            && locked(&self.fetching).under_way
            && let Ok(_waiting) = self.waiters.try_acquire()
        {
            // Running out of time is answered below like a fetch that brought nothing new.
            let _ = tokio::time::timeout(FETCH_WAIT_MAX, ended.changed()).await;
        }
        self.signers().generation != generation
    }

    /// Reads the file when its time of change or its length is another than at the last look.
    pub(crate) async fn look_at_file(&self, path: &Path) {
        let seen = match tokio::fs::metadata(path).await {
            Ok(metadata) => stamp(&metadata),
            Err(error) => {
                tracing::debug!(%error, "the JWKS file cannot be looked at; its last good keys stay");
                return;
            }
        };
        {
            let mut held = locked(&self.held);
            if held.file_stamp == Some(seen) {
                return;
            }
            held.file_stamp = Some(seen);
        }
        let read = async {
            let mut document = Vec::new();
            let file = tokio::fs::File::open(path).await?;
            file.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut document).await?;
            std::io::Result::Ok(document)
        };
        match read.await.map_err(|error| error.to_string()).and_then(|document| accept(&document)) {
            Ok(accepted) => self.publish(|held| &mut held.file, accepted, "file"),
            Err(reason) => tracing::warn!(reason, "the JWKS file cannot be used; its last good keys stay"),
        }
    }

    async fn watch_file(&self) {
        let Some(path) = &self.file else { return };
        loop {
            self.look_at_file(path).await;
            tokio::time::sleep(FILE_LOOK_INTERVAL).await;
        }
    }

    async fn poll_url(&self) {
        let Some(remote) = &self.url else { return };
        loop {
            {
                let mut fetching = locked(&self.fetching);
                fetching.under_way = true;
                fetching.last_begun = Some(Instant::now());
            }
            let fetched = fetch(remote).await.and_then(|document| accept(&document));
            let pause = match fetched {
                Ok(accepted) => {
                    self.publish(|held| &mut held.url, accepted, "url");
                    remote.refresh
                }
                Err(reason) => {
                    tracing::warn!(reason, "the JWKS URL cannot be used; its last good keys stay");
                    remote.refresh.min(FETCH_INTERVAL_MIN)
                }
            };
            locked(&self.fetching).under_way = false;
            self.fetches_ended.send_modify(|ended| *ended += 1);
            self.pause_unless_asked(pause).await;
        }
    }

    async fn pause_unless_asked(&self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                () = self.fetch_wanted.notified() => {
                    // A fetch on time may have served the one that asked already.
                    if locked(&self.fetching).under_way {
                        return;
                    }
                }
            }
        }
    }

    /// Puts a document in the place of the one before it, under a new generation if it differs.
    fn publish(&self, place: fn(&mut Held) -> &mut Option<Accepted>, accepted: Accepted, source: &str) {
        // Held until the set is swapped, so that file and URL cannot publish over each other.
        let mut held = locked(&self.held);
        let place = place(&mut held);
        if place.as_ref().is_some_and(|last| last.digest == accepted.digest) {
            return;
        }
        *place = Some(accepted);
        let published = held.published();
        let last = self.signers.load();
        let generation = last.generation + 1;
        tracing::info!(source, keys = published.len(), generation, "the keys that may sign tokens have changed");
        self.signers.store(Arc::new(Signers {
            generation,
            secret: last.secret.clone(),
            published,
            expects_published: last.expects_published,
        }));
    }
}

impl Held {
    fn published(&self) -> Vec<Signer> {
        [&self.file, &self.url].into_iter().flatten().flat_map(|accepted| accepted.signers.iter().cloned()).collect()
    }
}

fn remote(url: &str, refresh_s: u64) -> Result<Remote, String> {
    let url = Url::parse(url).map_err(|error| format!("auth.jwks_url: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err("auth.jwks_url: expected https; http is for loopback alone".to_owned());
    }
    if refresh_s == 0 {
        return Err("auth.jwks_refresh_s: expected at least 1".to_owned());
    }
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(FETCH_TIMEOUT);
    let builder = if loopback { builder.no_proxy() } else { builder };
    let client = builder.build().map_err(|error| format!("auth.jwks_url: no client could be made: {error}"))?;
    Ok(Remote { url, client, refresh: Duration::from_secs(refresh_s) })
}

async fn fetch(remote: &Remote) -> Result<Vec<u8>, String> {
    // The URL may hold a secret in its query, so no message names it.
    let inner = |error: reqwest::Error| error.without_url().to_string();
    let mut response = remote.client.get(remote.url.clone()).send().await.map_err(inner)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("answered {}; expected 200", response.status().as_u16()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(inner)? {
        document.extend_from_slice(&chunk);
        if document.len() > DOCUMENT_BYTES_MAX {
            return Err(format!("a JWKS document of over {DOCUMENT_BYTES_MAX} bytes"));
        }
    }
    Ok(document)
}

fn accept(document: &[u8]) -> Result<Accepted, String> {
    Ok(Accepted { digest: Sha256::digest(document).into(), signers: jwks::read(document)? })
}

fn read_whole(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut document = Vec::new();
    let file = std::fs::File::open(path)?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, DOCUMENT_BYTES_MAX as u64 + 1), &mut document)?;
    Ok(document)
}

fn stamp(metadata: &std::fs::Metadata) -> (SystemTime, u64) {
    (metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after every statement, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(detail: &'static str) -> Failure {
    Failure::new(Code::KeyUnknown, detail)
}
