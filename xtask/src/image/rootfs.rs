//! A Debian image made from Debian's packages: what `--base-image` takes where no registry can be reached.

use std::{fs, path::Path, process::Stdio};

use bollard::{body_try_stream, query_parameters::CreateImageOptionsBuilder};
use futures_util::StreamExt;
use tokio_util::io::ReaderStream;

use super::{Rootfs, engine};
use crate::workspace::{command, remove, run as start, target};

/// The release of Debian that the Dockerfile starts from.
const RELEASE: &str = "bookworm";

/// Makes the root file system and gives it to the engine.
///
/// # Errors
///
/// No engine, no debootstrap, not root, or what one of them says.
pub(super) async fn run(args: &Rootfs) -> Result<(), String> {
    let docker = engine().await?;
    let folder = target()?.join("rootfs");
    remove(&folder)?;
    let mut debootstrap = command("debootstrap");
    debootstrap
        .args(["--variant=minbase", "--include=ca-certificates", RELEASE])
        .arg(&folder)
        .args(&args.mirror);
    eprintln!("image: debootstrap {RELEASE} (a minute or two)");
    start(debootstrap.stdout(std::io::stderr()))?;
    trim(&folder)?;

    let (repository, tag) = args.tag.rsplit_once(':').unwrap_or((&args.tag, "latest"));
    let mut tar = tokio::process::Command::new("tar");
    tar.arg("-C")
        .arg(&folder)
        .args(["--numeric-owner", "-c", "."])
        .stdout(Stdio::piped())
        .stdin(Stdio::null());
    let mut tar = tar.kill_on_drop(true).spawn().map_err(|error| format!("tar: {error}"))?;
    let packed = ReaderStream::new(tar.stdout.take().ok_or("tar: no output")?);
    let options = CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(tag).build();
    let mut answers = docker.create_image(Some(options), Some(body_try_stream(packed)), None);
    while let Some(answer) = answers.next().await {
        answer.map_err(|error| format!("import of {}: {error}", args.tag))?;
    }
    let status = tar.wait().await.map_err(|error| format!("tar: {error}"))?;
    if !status.success() {
        return Err(format!("tar failed ({status})"));
    }
    remove(&folder)?;
    eprintln!("image: {repository}:{tag} is there; build on it with `--base-image {repository}:{tag}`");
    Ok(())
}

/// Removes what can be fetched again, and makes it trust whom this machine trusts: a network with a proxy of its own
/// answers with certificates of its own.
fn trim(folder: &Path) -> Result<(), String> {
    for lists in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        remove(&folder.join(lists))?;
        let partial = folder.join(lists).join("partial");
        fs::create_dir_all(&partial).map_err(|error| format!("{}: {error}", partial.display()))?;
    }
    let bundle = "etc/ssl/certs/ca-certificates.crt";
    let ours = Path::new("/").join(bundle);
    if ours.is_file() {
        fs::copy(&ours, folder.join(bundle)).map_err(|error| format!("{}: {error}", ours.display()))?;
    }
    Ok(())
}
