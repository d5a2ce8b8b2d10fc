//! `e2e`: the whole way, on the real thing: a roster becomes files, the files a machine, and jobs flow through a real
//! Redis. Nothing here knows how a crate works: it types what an operator would type, and looks at what comes out.

use std::process::ExitCode;
#[cfg(feature = "e2e")]
use std::{sync::Arc, time::Instant};

#[cfg(feature = "e2e")]
use futures_util::future::LocalBoxFuture;

#[cfg(feature = "e2e")]
mod chaos;
#[cfg(feature = "e2e")]
mod compose;
#[cfg(feature = "e2e")]
mod demo;
#[cfg(feature = "e2e")]
mod machine;
#[cfg(feature = "e2e")]
mod peer;
#[cfg(feature = "e2e")]
mod project;
#[cfg(feature = "e2e")]
mod queue;
#[cfg(feature = "e2e")]
mod redis;
#[cfg(feature = "e2e")]
mod scenarios;
#[cfg(feature = "e2e")]
mod world;

#[cfg(feature = "e2e")]
use world::World;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the scenarios of these names
    #[arg(value_name = "SCENARIO")]
    only: Vec<String>,
    /// List the scenarios, and run none
    #[arg(long)]
    list: bool,
    /// Where Redis comes from
    #[arg(long, value_enum, default_value_t)]
    redis: From,
    /// The image of a Redis that is a container; left out, one is built from Debian's packages
    #[arg(long, value_name = "IMAGE")]
    redis_image: Option<String>,
    /// The Debian image that images are built from; left out, the one of `image rootfs` if it is there, else the
    /// Dockerfile's
    #[arg(long, value_name = "IMAGE")]
    base_image: Option<String>,
    /// Run this binary, instead of one that is built as a release has it
    #[arg(long, value_name = "FILE")]
    roster: Option<std::path::PathBuf>,
    /// Keep the folder with projects and logs
    #[arg(long)]
    keep: bool,
}

#[derive(clap::Args)]
pub(crate) struct Demo {
    /// Leave the machine running in the end, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Run this binary, instead of one that is built for it
    #[arg(long, value_name = "FILE")]
    roster: Option<std::path::PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Chaos {
    /// How many faults there are
    #[arg(long, value_name = "N", default_value_t = 60)]
    kills: u32,
    /// What decides which; left out, chance
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run this binary, instead of one that is built as a release has it
    #[arg(long, value_name = "FILE")]
    roster: Option<std::path::PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Peer {
    /// Which service
    #[arg(value_enum)]
    service: Local,
    /// Where it listens, on the loopback
    port: u16,
}

/// A service that a machine starts, and that the scenario `connectors` has a double of.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Local {
    A1111,
    Comfyui,
    Ollama,
}

/// Where Redis comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, clap::ValueEnum)]
enum From {
    /// A container if an engine answers, else a server of this machine
    #[default]
    Auto,
    /// A container, or an error
    Docker,
    /// The program `redis-server` of this machine
    Server,
}

/// Runs the scenarios, by the xtask that can.
#[cfg(not(feature = "e2e"))]
pub(crate) fn run(_: &Args) -> Result<ExitCode, String> {
    crate::light::again(crate::light::DRIVER)
}

/// Shows a machine at work, by the xtask that can.
#[cfg(not(feature = "e2e"))]
pub(crate) fn demo(_: &Demo) -> Result<ExitCode, String> {
    crate::light::again(crate::light::DRIVER)
}

/// Does to machines what happens to machines, by the xtask that can.
#[cfg(not(feature = "e2e"))]
pub(crate) fn chaos(_: &Chaos) -> Result<ExitCode, String> {
    crate::light::again(crate::light::DRIVER)
}

/// Stands in for a service, by the xtask that can.
#[cfg(not(feature = "e2e"))]
pub(crate) fn peer(_: &Peer) -> Result<ExitCode, String> {
    crate::light::again(crate::light::DRIVER)
}

/// Stands in for a service until it is told to end.
///
/// # Errors
///
/// Threads that the system refuses.
#[cfg(feature = "e2e")]
pub(crate) fn peer(args: &Peer) -> Result<ExitCode, String> {
    runtime()?.block_on(peer::run(args))
}

/// Shows a machine at work.
///
/// # Errors
///
/// What is missing and how to get it, or what went wrong.
#[cfg(feature = "e2e")]
pub(crate) fn demo(args: &Demo) -> Result<ExitCode, String> {
    runtime()?.block_on(demo::run(args))?;
    Ok(ExitCode::SUCCESS)
}

/// Does to machines what happens to machines.
///
/// # Errors
///
/// What could not be started, or what was lost, doubled or left over.
#[cfg(feature = "e2e")]
pub(crate) fn chaos(args: &Chaos) -> Result<ExitCode, String> {
    runtime()?.block_on(chaos::run(args))?;
    Ok(ExitCode::SUCCESS)
}

/// Commands that are typed into a machine hold up one thread; what machines are connected by goes on.
#[cfg(feature = "e2e")]
fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    runtime.map_err(|error| format!("the runtime: {error}"))
}

/// What a scenario comes to: what to say of it, or why it failed.
#[cfg(feature = "e2e")]
type Seen = Result<String, String>;

/// One scenario.
#[cfg(feature = "e2e")]
struct Scenario {
    name: &'static str,
    /// What it shows, in a line.
    about: &'static str,
    /// Whether it needs a Docker engine.
    docker: bool,
    act: fn(Arc<World>) -> LocalBoxFuture<'static, Seen>,
}

/// Runs the scenarios one after the other and counts.
///
/// # Errors
///
/// A name that no scenario has, or a world that could not be made.
#[cfg(feature = "e2e")]
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let all: Vec<_> = scenarios::ALL.iter().collect();
    if args.list {
        for scenario in all {
            say!("{:<22} {}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let unknown: Vec<_> =
        args.only.iter().filter(|name| all.iter().all(|it| it.name != **name)).cloned().collect();
    if !unknown.is_empty() {
        return Err(format!(
            "no scenario is named {}; `cargo xtask e2e --list` has them",
            unknown.join(", ")
        ));
    }
    let chosen =
        all.into_iter().filter(|it| args.only.is_empty() || args.only.iter().any(|name| name == it.name));
    let failed = runtime()?.block_on(world::interruptible(async {
        let world = Arc::new(World::begin(args).await?);
        let (mut passed, mut failed, mut left_out) = (0_u32, 0_u32, 0_u32);
        // Who asks for a scenario by its name, and who checks a change, has to have what it needs.
        let lenient = args.only.is_empty() && std::env::var_os("CI").is_none();
        for scenario in chosen {
            if let Some(why) = world.no_engine.as_ref().filter(|_| scenario.docker && lenient) {
                left_out += 1;
                say!("not run {:<22}           {why}", scenario.name);
                continue;
            }
            let began = Instant::now();
            let seen = (scenario.act)(Arc::clone(&world)).await;
            let took = began.elapsed().as_secs_f64();
            match seen {
                Ok(what) => {
                    passed += 1;
                    say!("ok      {:<22} {took:6.1} s  {what}", scenario.name);
                }
                Err(why) => {
                    failed += 1;
                    say!("FAILED  {:<22} {took:6.1} s  {why}", scenario.name);
                }
            }
        }
        let left_out = if left_out > 0 { format!(", {left_out} not run") } else { String::new() };
        say!("\n{passed} passed, {failed} failed{left_out}");
        world.end(failed > 0).await;
        Ok(failed)
    }))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
