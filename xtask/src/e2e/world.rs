//! What scenarios share: the binary, Redis, and a folder for projects.

use std::{
    net::TcpListener,
    path::PathBuf,
    sync::atomic::{AtomicU8, AtomicU16, Ordering},
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

use super::{Args, From, project::Project, queue::Queue, redis};
use crate::image;

/// The databases of a Redis with its usual settings.
const DATABASES: u8 = 16;
/// How many ports a project may use.
const PORTS: u16 = 100;
/// Where they are looked for: below those that the system gives to connections.
const FIRST_PORT: u16 = 21_000;
/// Where no more are looked for.
const LAST_PORT: u16 = 32_000;

/// What scenarios share.
pub(super) struct World {
    /// `roster`, as a release has it unless another one was asked for.
    pub(super) roster: PathBuf,
    pub(super) redis: redis::Redis,
    pub(super) base_image: Option<String>,
    /// What says that no engine answers.
    pub(super) no_engine: Option<String>,
    folder: tempfile::TempDir,
    keep: bool,
    databases: AtomicU8,
    ports: AtomicU16,
}

impl World {
    /// Builds the binary and starts Redis; says where it comes from.
    pub(super) async fn begin(args: &Args) -> Result<Self, String> {
        let engine = image::engine().await;
        let in_container = in_container(args.redis, args.redis_image.as_deref(), engine.as_ref().map(drop))?;
        let roster = match &args.roster {
            Some(it) => it.canonicalize().map_err(|error| format!("{}: {error}", it.display()))?,
            None => image::released()?,
        };
        let folder = tempfile::Builder::new().prefix("roster-e2e-").tempdir();
        let folder = folder.map_err(|error| format!("a folder for projects: {error}"))?;
        let base_image = match (&args.base_image, &engine) {
            (None, Ok(docker)) => image::local_base(docker).await,
            (given, _) => given.clone(),
        };
        let no_engine = engine.err();
        let redis = match &args.redis_image {
            _ if !in_container => redis::Redis::server(folder.path())?,
            Some(image) => redis::Redis::container(image).await?,
            None => {
                let image = image::built("redis", None, base_image.as_deref(), &roster).await?;
                redis::Redis::container(&image).await?
            }
        };
        redis.ready().await?;
        eprintln!("e2e: {}", redis.words());
        Ok(Self {
            roster,
            redis,
            base_image,
            no_engine,
            folder,
            keep: args.keep,
            databases: AtomicU8::new(0),
            ports: first_port(),
        })
    }

    /// A new project with a database and ports of its own, and a client of its queue.
    pub(super) async fn project(&self, name: &str) -> Result<(Project, Queue), String> {
        // Reused when there are more scenarios than databases; the ones before are over.
        let database = self.databases.fetch_add(1, Ordering::Relaxed) % DATABASES;
        let url = self.redis.url(database);
        let queue = Queue::fresh(&url).await?;
        let mut project = self.bare_project(name)?;
        project.set("REDIS_URL", url);
        Ok((project, queue))
    }

    /// A new project with ports of its own; its Redis is as its profile says.
    pub(super) fn bare_project(&self, name: &str) -> Result<Project, String> {
        let ports = free_ports(&self.ports)?;
        Project::new(&self.roster, &self.folder.path().join(name), ports)
    }

    /// Ends Redis. The folder stays when it was asked for, or when something failed in it.
    pub(super) async fn end(self: std::sync::Arc<Self>, failed: bool) {
        let Some(it) = std::sync::Arc::into_inner(self) else { return };
        it.redis.end().await;
        if it.keep || failed {
            eprintln!("e2e: projects and logs are in {}", it.folder.keep().display());
        }
    }
}

/// Whether Redis is to be a container. Who asks for one, or names its image, means no other server.
fn in_container(from: From, image: Option<&str>, engine: Result<(), &String>) -> Result<bool, String> {
    match (from, image, engine) {
        (From::Server, Some(_), _) => {
            Err("--redis-image is the image of a container: leave it out, or --redis server".to_owned())
        }
        (From::Server, None, _) | (From::Auto, None, Err(_)) => Ok(false),
        (From::Docker, _, Err(why)) | (From::Auto, Some(_), Err(why)) => Err(why.clone()),
        (From::Docker | From::Auto, _, Ok(())) => Ok(true),
    }
}

/// Where the ports of the first project are looked for.
pub(super) fn first_port() -> AtomicU16 {
    AtomicU16::new(FIRST_PORT)
}

/// The first of as many ports in a row as a project may use, none of which anybody has; another machine may be running
/// here. They are looked for from `next` on, which moves behind them.
pub(super) fn free_ports(next: &AtomicU16) -> Result<u16, String> {
    loop {
        let first = next.fetch_add(PORTS, Ordering::Relaxed);
        if first > LAST_PORT {
            return Err(format!("there are no {PORTS} free ports in a row from {FIRST_PORT} to {LAST_PORT}"));
        }
        if (first..first + PORTS).all(|it| TcpListener::bind(("127.0.0.1", it)).is_ok()) {
            return Ok(first);
        }
    }
}

/// Does it, unless it is asked to end; then all that was started is dropped, and so ended.
pub(super) async fn interruptible<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::select! {
        done = work => done,
        asked = asked_to_end() => Err(asked.err().unwrap_or_else(|| "interrupted".to_owned())),
    }
}

/// Waits until someone types Ctrl-C, a program such as `timeout` wants our end, or the terminal is gone.
pub(super) async fn asked_to_end() -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("signals: {error}"));
    let mut typed = listen(SignalKind::interrupt())?;
    let mut told = listen(SignalKind::terminate())?;
    let mut gone = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = typed.recv() => {}
        _ = told.recv() => {}
        _ = gone.recv() => {}
    }
    Ok(())
}

/// Asks until there is an answer.
///
/// # Errors
///
/// What asking came to, or that there was none in time.
pub(super) async fn until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>, String>,
) -> Result<T, String> {
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() > end {
            return Err(format!("not within {} s: {what}", patience.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        sync::atomic::{AtomicU16, Ordering},
    };

    use rustix::process::{Signal, getpid, kill_process};

    use super::{FIRST_PORT, From, LAST_PORT, PORTS, free_ports, in_container, interruptible};

    #[tokio::test]
    async fn whoever_asks_us_to_end_lets_us_end_what_we_started() {
        for asked in [Signal::INT, Signal::TERM, Signal::HUP] {
            let work = std::future::pending::<Result<(), String>>();
            let ended = tokio::select! {
                // First, so that it listens before anything is sent.
                biased;
                ended = interruptible(work) => ended,
                () = async {
                    kill_process(getpid(), asked).unwrap();
                    std::future::pending::<()>().await;
                } => unreachable!("it is pending"),
            };
            assert_eq!(ended, Err("interrupted".to_owned()), "{asked:?}");
        }
    }

    #[test]
    fn a_project_is_given_no_ports_that_somebody_has() {
        let next = AtomicU16::new(FIRST_PORT);
        let first = free_ports(&next).unwrap();
        let taken = TcpListener::bind(("127.0.0.1", first + PORTS / 2)).unwrap();
        next.store(first, Ordering::Relaxed);
        assert!(free_ports(&next).unwrap() >= first + PORTS);
        drop(taken);
        next.store(LAST_PORT + 1, Ordering::Relaxed);
        assert!(free_ports(&next).unwrap_err().contains("no 100 free ports"));
    }

    #[test]
    fn who_names_an_image_of_redis_gets_no_other_server() {
        let (engine, none) = (Ok(()), "no Docker engine answers".to_owned());
        let image = Some("redis:8");
        for (from, image, engine, expected) in [
            (From::Auto, None, engine, Ok(true)),
            (From::Auto, image, engine, Ok(true)),
            (From::Auto, None, Err(&none), Ok(false)),
            (From::Auto, image, Err(&none), Err("no Docker engine answers")),
            (From::Docker, None, Err(&none), Err("no Docker engine answers")),
            (From::Server, None, engine, Ok(false)),
            (
                From::Server,
                image,
                engine,
                Err("--redis-image is the image of a container: leave it out, or --redis server"),
            ),
        ] {
            assert_eq!(
                in_container(from, image, engine),
                expected.map_err(str::to_owned),
                "{from:?} {image:?}"
            );
        }
    }
}
