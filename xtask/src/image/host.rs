//! A Docker engine on this machine where none answers, and in it a Debian image to build on where no registry does.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt;

use super::{ROOTFS, Rootfs, context, engine, local_base, rootfs};
use crate::{
    setup::{install_packages, on_path},
    workspace::{command, read, root, run, target},
};

/// How long an engine may take to answer, and a registry to give an image.
const PATIENCE: Duration = Duration::from_mins(1);

/// Brings both into place.
///
/// # Errors
///
/// What has to be installed by someone else, or what a program says.
pub(super) async fn prepare() -> Result<(), String> {
    if let Err(why) = engine().await {
        eprintln!("setup: {why}");
        if !on_path("dockerd") {
            install_packages("dockerd", &["docker.io"])?;
        }
        start().await?;
    }
    let docker = engine().await?;
    let version = docker.version().await.map_err(|error| error.to_string())?.version.unwrap_or_default();
    eprintln!("setup: a Docker engine answers, version {version}");

    let debian = default_base()?;
    if docker.inspect_image(&debian).await.is_ok() || local_base(&docker).await.is_some() {
        eprintln!("setup: it has an image of Debian");
        return Ok(());
    }
    let (name, tag) = debian.rsplit_once(':').unwrap_or((&debian, "latest"));
    let options = CreateImageOptionsBuilder::default().from_image(name).tag(tag).build();
    let pull = docker.create_image(Some(options), None, None).try_for_each(async |_| Ok(()));
    match tokio::time::timeout(PATIENCE, pull).await {
        Ok(Ok(())) => eprintln!("setup: {debian} is there"),
        answer => {
            let why =
                answer.err().map_or_else(|| "it is refused".to_owned(), |_| "nobody answers".to_owned());
            eprintln!("setup: {debian} cannot be had ({why}); one is made of Debian's packages");
            if !on_path("debootstrap") {
                install_packages("debootstrap", &["debootstrap"])?;
            }
            rootfs::run(&Rootfs { tag: ROOTFS.to_owned(), mirror: None }).await?;
        }
    }
    Ok(())
}

/// The image that the Dockerfile starts from.
fn default_base() -> Result<String, String> {
    let dockerfile = read(&root().join(context::DOCKERFILE))?;
    let line = dockerfile.lines().find_map(|line| line.strip_prefix("ARG DEBIAN_IMAGE="));
    line.map(str::to_owned).ok_or_else(|| format!("{} names no DEBIAN_IMAGE", context::DOCKERFILE))
}

/// Starts the engine: by systemd where that runs, else as a process of its own that outlives us.
async fn start() -> Result<(), String> {
    if Path::new("/run/systemd/system").is_dir() {
        run(command("systemctl").args(["start", "docker"]))?;
        return answers(None).await;
    }
    let log = target()?.join("dockerd.log");
    let why = |error| format!("{}: {error}", log.display());
    fs::create_dir_all(target()?).map_err(why)?;
    let (out, errors) = (File::create(&log).map_err(why)?, File::options().append(true).open(&log));
    let mut dockerd = command("dockerd");
    if let Ok(host) = std::env::var("DOCKER_HOST") {
        dockerd.args(["--host", &host]);
    }
    // Of its own group, so that what ends us does not end it.
    dockerd.stdin(Stdio::null()).stdout(out).stderr(errors.map_err(why)?).process_group(0);
    eprintln!("setup: dockerd is started; it says more in {}", log.display());
    let child = dockerd.spawn().map_err(|error| format!("dockerd: {error}"))?;
    answers(Some((child, &log))).await
}

/// Waits until it answers; fails as soon as its process ends.
async fn answers(mut process: Option<(Child, &Path)>) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let Err(why) = engine().await else { return Ok(()) };
        if let Some((child, log)) = &mut process
            && let Ok(Some(status)) = child.try_wait()
        {
            let said = read(log)?;
            let last: Vec<_> = said.lines().rev().take(10).collect();
            let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
            return Err(format!("dockerd ended with {status}:\n{last}"));
        }
        if Instant::now() > end {
            return Err(why);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
