//! `e2e`: the whole way, on the real thing: a roster becomes files, the files a machine, and jobs flow through a real
//! Redis. Nothing here knows how a crate works: it types what an operator would type, and looks at what comes out.

use std::process::ExitCode;
#[cfg(feature = "e2e")]
use std::{sync::Arc, time::Instant};

#[cfg(feature = "e2e")]
use futures_util::future::LocalBoxFuture;

#[cfg(feature = "e2e")]
mod compose;
#[cfg(feature = "e2e")]
mod machine;
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
    /// The Debian image that images are built from, instead of the Dockerfile's; see `image rootfs`
    #[arg(long, value_name = "IMAGE")]
    base_image: Option<String>,
    /// Keep the folder with projects and logs
    #[arg(long)]
    keep: bool,
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
    crate::light::again()
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
            println!("{:<22} {}", scenario.name, scenario.about);
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
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime: {error}"))?;
    let failed = runtime.block_on(async {
        let world = Arc::new(World::begin(args).await?);
        let (mut passed, mut failed) = (0_u32, 0_u32);
        for scenario in chosen {
            let began = Instant::now();
            let seen = (scenario.act)(Arc::clone(&world)).await;
            let took = began.elapsed().as_secs_f64();
            match seen {
                Ok(what) => {
                    passed += 1;
                    println!("ok      {:<22} {took:6.1} s  {what}", scenario.name);
                }
                Err(why) => {
                    failed += 1;
                    println!("FAILED  {:<22} {took:6.1} s  {why}", scenario.name);
                }
            }
        }
        println!("\n{passed} passed, {failed} failed");
        world.end(failed > 0).await;
        Ok::<_, String>(failed)
    })?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
