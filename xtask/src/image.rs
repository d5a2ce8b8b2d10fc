//! `image`: the images of a machine, built through the engine's own `BuildKit`. `docker build` does the same; this verb
//! takes the binary that cargo made here, and says what every layer weighs and what a change of our code costs.

use std::process::ExitCode;

#[cfg(feature = "e2e")]
mod build;
#[cfg(feature = "e2e")]
mod context;
#[cfg(feature = "e2e")]
mod host;
#[cfg(feature = "e2e")]
mod layers;
#[cfg(feature = "e2e")]
mod progress;
#[cfg(feature = "e2e")]
mod rootfs;

/// What `image rootfs` makes unless told otherwise.
const ROOTFS: &str = "roster-debian:bookworm";

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Build one target of docker/Dockerfile
    Build(Build),
    /// Make a Debian image from Debian's packages, for an engine that reaches no registry; needs debootstrap and root
    Rootfs(Rootfs),
}

#[derive(clap::Args)]
pub(crate) struct Build {
    /// The target: a stage of the service mapping, or `redis`
    #[arg(long, value_name = "STAGE", default_value = "base")]
    target: String,
    /// What to call the image; `roster-STAGE:latest` unless told
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// The Debian image that it starts from, instead of the Dockerfile's
    #[arg(long, value_name = "IMAGE")]
    base_image: Option<String>,
    /// Compile the binary inside the build, instead of taking the one that cargo makes on this machine
    #[arg(long)]
    from_source: bool,
    /// Take this binary, which has to run on the base image
    #[arg(long, value_name = "FILE", conflicts_with = "from_source")]
    binary: Option<std::path::PathBuf>,
    /// With `--from-source`: the image with the Rust toolchain, instead of the Dockerfile's
    #[arg(long, value_name = "IMAGE", requires = "from_source")]
    rust_image: Option<String>,
    /// Do every step again
    #[arg(long)]
    no_cache: bool,
    /// Show what every step prints, not only what a failed one did
    #[arg(long)]
    verbose: bool,
}

#[derive(clap::Args)]
pub(crate) struct Rootfs {
    /// What to call the image
    #[arg(long, value_name = "NAME", default_value = ROOTFS)]
    tag: String,
    /// Where Debian's packages are; debootstrap knows a place
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

/// Builds.
///
/// # Errors
///
/// No engine, or what the engine or a program says.
#[cfg(feature = "e2e")]
pub(crate) fn run(verb: &Verb) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime: {error}"))?;
    runtime.block_on(async {
        match verb {
            Verb::Build(args) => build::run(args).await,
            Verb::Rootfs(args) => rootfs::run(args).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Sees to an engine on this machine, and to a Debian image in it; what is there is taken.
///
/// # Errors
///
/// What has to be installed by someone else, or what a program says.
#[cfg(feature = "e2e")]
pub(crate) fn prepare() -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime: {error}"))?;
    runtime.block_on(host::prepare())?;
    Ok(ExitCode::SUCCESS)
}

/// The same, by the xtask that can.
#[cfg(not(feature = "e2e"))]
pub(crate) fn prepare() -> Result<ExitCode, String> {
    crate::light::again(crate::light::DRIVER)
}

/// The Debian image that was made here, if the engine has it.
#[cfg(feature = "e2e")]
pub(crate) async fn local_base(docker: &bollard::Docker) -> Option<String> {
    docker.inspect_image(ROOTFS).await.ok().map(|_| ROOTFS.to_owned())
}

/// Builds, by the xtask that can.
#[cfg(not(feature = "e2e"))]
pub(crate) fn run(_: &Verb) -> Result<ExitCode, String> {
    crate::light::again(crate::light::DRIVER)
}

/// The engine that `DOCKER_HOST` names, or the local one; it has answered.
///
/// # Errors
///
/// It does not answer.
#[cfg(feature = "e2e")]
pub(crate) async fn engine() -> Result<bollard::Docker, String> {
    let why = |error| {
        format!(
            "no Docker engine answers: {error}; start one (`cargo xtask setup --engine`), or name one by DOCKER_HOST"
        )
    };
    let docker = bollard::Docker::connect_with_defaults().map_err(why)?;
    docker.ping().await.map_err(why)?;
    Ok(docker)
}

/// `roster`, built as a release has it.
///
/// # Errors
///
/// What cargo says.
#[cfg(feature = "e2e")]
pub(crate) fn released() -> Result<std::path::PathBuf, String> {
    roster("release")
}

/// `roster`, built by this profile.
///
/// # Errors
///
/// What cargo says.
#[cfg(feature = "e2e")]
pub(crate) fn roster(profile: &str) -> Result<std::path::PathBuf, String> {
    use crate::workspace::{cargo, run, target};
    run(&mut cargo(["build", "--profile", profile, "--locked", "--package", "roster-machine"]))?;
    Ok(target()?.join(profile).join("roster"))
}

/// Builds a target with this binary on this base image, unless everything of it is there already, and returns the image's
/// name.
///
/// # Errors
///
/// What the engine says.
#[cfg(feature = "e2e")]
pub(crate) async fn built(
    target: &str,
    tag: Option<String>,
    base_image: Option<&str>,
    binary: &std::path::Path,
) -> Result<String, String> {
    let args = Build {
        target: target.to_owned(),
        tag,
        base_image: base_image.map(str::to_owned),
        from_source: false,
        binary: Some(binary.to_owned()),
        rust_image: None,
        no_cache: false,
        verbose: false,
    };
    build::image(&engine().await?, &args).await
}
