//! Downloads: streamed to disk, hashed on the way, gone on with where they broke off, and visible only when whole.

mod answer;
mod writer;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, IF_RANGE, LOCATION, RANGE};
use reqwest::{Client, Response, Url};
use rustix::fs::{FlockOperation, flock};
use spec::env::Secret;
use spec::ids::EnvKey;

use crate::disk;
use crate::fault::InstallFault;
use crate::names::{Sha256, is_here};
use answer::Offer;
use writer::{Writer, hash_of};

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(20);
/// Redirects of one request.
const HOPS: usize = 10;
/// A try that brought at least this much is not counted.
const WORTH: u64 = 1 << 20;

/// How patient downloads are.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The longest silence of a server.
    pub stall: Duration,
    /// The first pause before another try; it doubles, up to a minute.
    pub pause: Duration,
    /// Tries of one address without progress worth the name.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stall: Duration::from_secs(30), pause: Duration::from_millis(500), tries: 5 }
    }
}

/// A file that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// Its name, for people.
    pub(crate) file: String,
    pub(crate) urls: &'a [Url],
    pub(crate) sha256: &'a Sha256,
    /// Its bytes, where they are declared.
    pub(crate) size: Option<u64>,
    /// Where it goes when it is whole.
    pub(crate) whole: PathBuf,
    /// Where it grows: on the same file system.
    pub(crate) part: PathBuf,
}

/// What downloads.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    tokens: BTreeMap<String, (EnvKey, Option<Secret<String>>)>,
    patience: Patience,
}

/// How a try ended that did not end well.
enum Bad {
    /// The same address may do better.
    Again(InstallFault, Option<Duration>),
    /// It will not.
    Give(InstallFault),
    /// No address will.
    Stop(InstallFault),
}

/// What is known of a file on its way.
struct Part {
    file: File,
    length: u64,
    /// The server's name for these very bytes, and where it came from.
    tag: Option<(Url, HeaderValue)>,
}

impl Fetcher {
    pub(crate) fn new(
        tokens: BTreeMap<String, (EnvKey, Option<Secret<String>>)>,
        patience: Patience,
    ) -> Self {
        let builder = Client::builder().tls_backend_preconfigured(tls()).connect_timeout(CONNECT);
        let builder = builder.read_timeout(patience.stall).redirect(reqwest::redirect::Policy::none());
        let client = builder.user_agent(concat!("roster/", env!("CARGO_PKG_VERSION"))).http1_only().build();
        Self { client: client.expect("a client with these settings can be made"), tokens, patience }
    }

    /// Gets a file. `come` grows by what has come, what was there before included, and falls back when it was of no use.
    pub(crate) async fn get(&self, wanted: &Wanted<'_>, come: &Arc<AtomicU64>) -> Result<(), InstallFault> {
        let mut part = self.open(wanted).await?;
        if wanted.whole.exists() {
            // Somebody else was at it, and has brought it.
            come.store(wanted.size.unwrap_or_default(), Ordering::Relaxed);
            return Ok(disk::remove(&wanted.part)?);
        }
        let mut last = None;
        for url in wanted.urls {
            let mut tries = 0;
            loop {
                let before = part.length;
                let bad = match self.attempt(wanted, url, &mut part, come).await {
                    Ok(()) => return finish(wanted, &part),
                    Err(bad) => bad,
                };
                match bad {
                    Bad::Stop(fault) => return Err(fault),
                    Bad::Give(fault) => {
                        last = Some(fault);
                        break;
                    }
                    Bad::Again(fault, asked) => {
                        tries = if part.length >= before + WORTH { 0 } else { tries + 1 };
                        last = Some(fault);
                        if tries >= self.patience.tries {
                            break;
                        }
                        tokio::time::sleep(asked.unwrap_or_else(|| self.pause(tries))).await;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| InstallFault::Transfer {
            host: String::new(),
            file: wanted.file.clone(),
            why: "it has no address".into(),
        }))
    }

    /// Doubles, with a part left to chance so that many machines do not come back at once.
    fn pause(&self, tries: u32) -> Duration {
        let full = self.patience.pause.saturating_mul(1 << tries.min(8)).min(Duration::from_mins(1));
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// The part, for us alone: two machines may share a folder of models.
    async fn open(&self, wanted: &Wanted<'_>) -> Result<Part, InstallFault> {
        loop {
            disk::make_folder(disk::folder_of(&wanted.part))?;
            let open = File::options().read(true).write(true).create(true).truncate(false).open(&wanted.part);
            let file = open.map_err(disk::failed("write", &wanted.part))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
                Err(error) => return Err(disk::failed("lock", &wanted.part)(error.into()).into()),
            }
            let length = file.metadata().map_err(disk::failed("read", &wanted.part))?.len();
            // Whoever had it may have finished and removed it; then this one is nobody's.
            if wanted.part.exists() || wanted.whole.exists() {
                return Ok(Part { file, length, tag: None });
            }
        }
    }

    /// One try: what is missing is asked for, and written as it comes.
    async fn attempt(
        &self,
        wanted: &Wanted<'_>,
        url: &Url,
        part: &mut Part,
        come: &Arc<AtomicU64>,
    ) -> Result<(), Bad> {
        if wanted.size.is_some_and(|size| part.length > size) {
            part.length = 0;
        }
        come.store(part.length, Ordering::Relaxed);
        let (begun, host) = (part.length, host_of(url));
        let transfer =
            |why: String| InstallFault::Transfer { host: host.clone(), file: wanted.file.clone(), why };
        let hasher = hash_of(&part.file, begun).await;
        let mut hasher = hasher.map_err(|it| Bad::Stop(disk::failed("read", &wanted.part)(it).into()))?;
        if Some(begun) != wanted.size {
            let tag = part.tag.as_ref().filter(|(of, _)| of == url).map(|(_, tag)| tag.clone());
            let answer = self.ask(url, begun, tag, wanted).await?;
            let offer = match Offer::read(&answer, begun, wanted, &host) {
                Ok(it) => it,
                Err(bad) => {
                    // It does not go on from what we have: from its first byte, then.
                    if begun > 0 && matches!(answer.status().as_u16(), 206 | 416) {
                        forget(part, wanted)?;
                    }
                    return Err(self.with_token(bad, url));
                }
            };
            part.tag = offer.tag.map(|tag| (url.clone(), tag));
            if offer.begins == 0 && begun > 0 {
                part.length = 0;
                hasher = sha2::Digest::new();
            }
            let mut writer = Writer::begin(&part.file, part.length, hasher)
                .map_err(|it| Bad::Stop(disk::failed("write", &wanted.part)(it).into()))?;
            let body = body(answer, &mut writer, part, wanted.size, come).await;
            hasher =
                writer.end().await.map_err(|it| Bad::Stop(disk::failed("write", &wanted.part)(it).into()))?;
            match body {
                // What is missing is seen below.
                Ok(()) | Err(Broken::Off) => {}
                Err(Broken::Stalled) => return Err(Bad::Again(transfer("it stood still".into()), None)),
                Err(Broken::TooMuch) => {
                    forget(part, wanted)?;
                    let why = "more bytes came than were declared".to_owned();
                    return Err(Bad::Give(InstallFault::Content { host, file: wanted.file.clone(), why }));
                }
            }
            if let Some(size) = offer.size.or(wanted.size).filter(|size| part.length < *size) {
                return Err(Bad::Again(
                    transfer(format!("it broke off after {} of {size} bytes", part.length)),
                    None,
                ));
            }
        }
        let found = crate::manifest::hex(&sha2::Digest::finalize(hasher));
        if found == wanted.sha256.as_str() {
            return Ok(());
        }
        forget(part, wanted)?;
        let fault =
            InstallFault::Content { host, file: wanted.file.clone(), why: format!("its SHA-256 is {found}") };
        // What was there before may have been of another file, or of another version.
        Err(if begun > 0 { Bad::Again(fault, Some(Duration::ZERO)) } else { Bad::Give(fault) })
    }

    /// Asks, and follows redirects. The token of the first host goes to that host and to no other.
    async fn ask(
        &self,
        url: &Url,
        begun: u64,
        tag: Option<HeaderValue>,
        wanted: &Wanted<'_>,
    ) -> Result<Response, Bad> {
        let host = host_of(url);
        let failed =
            |why: String| InstallFault::Transfer { host: host.clone(), file: wanted.file.clone(), why };
        let token = url.host_str().and_then(|it| self.tokens.get(it)).and_then(|(_, token)| token.as_ref());
        let mut at = url.clone();
        for _ in 0..HOPS {
            let mut request = self.client.get(at.clone());
            request = request.header(ACCEPT, "*/*").header(ACCEPT_ENCODING, "identity");
            if begun > 0 {
                request = request.header(RANGE, format!("bytes={begun}-"));
                if let Some(tag) = &tag {
                    request = request.header(IF_RANGE, tag);
                }
            }
            if let Some(token) = token.filter(|_| at.origin() == url.origin()) {
                let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
                let mut value = value.map_err(|_| {
                    Bad::Stop(failed("its token has a character that no header can hold".into()))
                })?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
            let answer =
                request.send().await.map_err(|it| Bad::Again(failed(chain(&it.without_url())), None))?;
            if !answer.status().is_redirection() || answer.status().as_u16() == 304 {
                return Ok(answer);
            }
            let next = answer.headers().get(LOCATION).and_then(|it| it.to_str().ok());
            let next = next.and_then(|it| at.join(it).ok());
            let Some(next) = next else {
                return Err(Bad::Give(failed("it leads somewhere else and does not say where".into())));
            };
            let plain_before = at.scheme() == "http";
            if next.scheme() != "https" && !(plain_before && next.scheme() == "http" && is_here(&next)) {
                return Err(Bad::Give(failed("it leads to an address without TLS".into())));
            }
            at = next;
        }
        Err(Bad::Give(failed(format!("it leads from address to address, more than {HOPS} times"))))
    }

    /// Tells the variable of the host's token, where a file was withheld.
    fn with_token(&self, mut bad: Bad, url: &Url) -> Bad {
        if let Bad::Give(InstallFault::Withheld { token, .. }) = &mut bad {
            *token = url.host_str().and_then(|it| self.tokens.get(it)).map(|(key, _)| key.clone());
        }
        bad
    }
}

/// How a body broke off.
enum Broken {
    Stalled,
    Off,
    TooMuch,
}

async fn body(
    mut answer: Response,
    writer: &mut Writer,
    part: &mut Part,
    size: Option<u64>,
    come: &AtomicU64,
) -> Result<(), Broken> {
    loop {
        let chunk = match answer.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(()),
            Err(error) if error.is_timeout() => return Err(Broken::Stalled),
            Err(_) => return Err(Broken::Off),
        };
        let length = part.length + chunk.len() as u64;
        if size.is_some_and(|size| length > size) {
            return Err(Broken::TooMuch);
        }
        // A writer that has stopped says why at its end.
        if !writer.write(chunk).await {
            return Ok(());
        }
        part.length = length;
        come.store(length, Ordering::Relaxed);
    }
}

/// What has come is of no use.
fn forget(part: &mut Part, wanted: &Wanted<'_>) -> Result<(), Bad> {
    (part.length, part.tag) = (0, None);
    part.file.set_len(0).map_err(|it| Bad::Stop(disk::failed("write", &wanted.part)(it).into()))
}

/// It is whole: the disk has it, then its name says so.
fn finish(wanted: &Wanted<'_>, part: &Part) -> Result<(), InstallFault> {
    let failed = |it| InstallFault::from(disk::failed("write", &wanted.part)(it));
    part.file.set_len(part.length).map_err(failed)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o444);
    part.file.set_permissions(permissions).map_err(failed)?;
    part.file.sync_all().map_err(failed)?;
    disk::make_folder(disk::folder_of(&wanted.whole))?;
    std::fs::rename(&wanted.part, &wanted.whole).map_err(disk::failed("write", &wanted.whole))?;
    Ok(disk::sync_folder(disk::folder_of(&wanted.whole))?)
}

/// The SHA-256 of a file on disk.
pub(crate) async fn sum(path: &Path) -> std::io::Result<String> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok(crate::manifest::hex(&sha2::Digest::finalize(hash_of(&file, length).await?)))
}

/// `huggingface.co`
fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// An error and its causes, in one line.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// TLS with the roots of the system.
fn tls() -> rustls::ClientConfig {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("ring knows the versions of TLS");
    builder.with_platform_verifier().expect("the roots of the system can be looked up").with_no_client_auth()
}
