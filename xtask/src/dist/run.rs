//! Building a release and writing it down.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    Args,
    archive::{Content, Files, add, add_all, pack},
    materials,
};
use crate::workspace::{cargo, command, output, remove, root, run as start, target};

/// The shells that are served.
const SHELLS: [(&str, &str); 3] = [("bash", "roster.bash"), ("zsh", "_roster"), ("fish", "roster.fish")];

/// One release, in memory.
struct Release {
    name: String,
    archive: Vec<u8>,
    bill: Vec<u8>,
}

/// Makes it, and a second one if that is asked for.
pub(super) fn run(args: &Args) -> Result<(), String> {
    let place = target()?;
    let release = Release::make(&place.join("dist-build"))?;
    let out = args.out.clone().unwrap_or_else(|| place.join("dist"));
    let digest = Sha256::digest(&release.archive).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if args.twice {
        let again = place.join("dist-again");
        remove(&again)?;
        let second = Release::make(&again)?;
        remove(&again)?;
        if second.archive != release.archive || second.bill != release.bill {
            return Err("two builds of the same sources differ".to_owned());
        }
        eprintln!("dist: a second build is the same, byte for byte");
    }
    let archive = format!("{}.tar.gz", release.name);
    for (name, bytes) in [
        (archive.clone(), release.archive),
        (format!("{archive}.sha256"), format!("{digest}  {archive}\n").into_bytes()),
        (format!("{}.cdx.json", release.name), release.bill),
    ] {
        let path = out.join(name);
        let written = fs::create_dir_all(&out).and_then(|()| fs::write(&path, &bytes));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        say!("{:>10}  {}", bytes.len(), path.display());
    }
    Ok(())
}

impl Release {
    /// Builds it in this folder.
    fn make(folder: &Path) -> Result<Self, String> {
        let binary = build(folder)?;
        let host = output(command("rustc").args(["--print", "host-tuple"]))?.trim().to_owned();
        let version = env!("CARGO_PKG_VERSION");
        let name = format!("roster-{version}-{}-{}", env::consts::ARCH, env::consts::OS);
        // The time of the commit: the only time that two builds share.
        let seconds = output(command("git").args(["log", "-1", "--format=%ct"]))?;
        let seconds = seconds.trim().parse().map_err(|error| format!("the time of the commit: {error}"))?;
        let time = ["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"];
        let made = output(command("git").args(time).env("TZ", "UTC"))?;

        let bill = materials::bill(&host, made.trim())?;
        let bill = format!("{bill:#}\n").into_bytes();
        let files = files(&binary, &bill, folder)?;
        Ok(Self { archive: pack(&name, &files, seconds)?, bill, name })
    }
}

/// The binary; no path of this machine is in it.
fn build(folder: &Path) -> Result<PathBuf, String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let sysroot = PathBuf::from(output(command("rustc").args(["--print", "sysroot"]))?.trim());
    // Of several that match, the last wins.
    let mut flags = Vec::new();
    for (from, to) in [
        (Some(root()), "/roster"),
        (home, "/cargo"),
        (Some(sysroot), "/rust"),
        (Some(folder.to_owned()), "/target"),
    ] {
        flags.extend(from.map(|from| format!("--remap-path-prefix={}={to}", from.display())));
    }
    let mut cargo = cargo(["build", "--release", "--locked", "--package", "roster-machine"]);
    cargo.arg("--target-dir").arg(folder).env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    // The profile decides, whatever this shell says.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_INCREMENTAL").env("SOURCE_DATE_EPOCH", "0");
    start(&mut cargo)?;
    Ok(folder.join("release/roster"))
}

/// What is in the archive.
fn files(binary: &Path, bill: &[u8], folder: &Path) -> Result<Files, String> {
    let mut files = Files::new();
    add(&mut files, "bin/roster", binary, true)?;
    for name in ["README.md", "LICENSE-APACHE", "LICENSE-MIT"] {
        add(&mut files, name, &root().join(name), false)?;
    }
    add(&mut files, "systemd/roster.service", &root().join("docker/roster.service"), false)?;
    // As it is in git: what a person has put there, secrets first, is not for others.
    let known = output(command("git").args(["ls-files", "-z", "--cached", "config", "docs"]))?;
    for name in known.split_terminator('\0') {
        add(&mut files, name, &root().join(name), false)?;
    }
    for (shell, name) in SHELLS {
        let text = output(command(binary).args(["completions", shell]))?;
        let content = Content { bytes: text.into_bytes(), executable: false };
        files.insert(format!("completions/{name}"), content);
    }
    let pages = folder.join("man");
    remove(&pages)?;
    output(command(binary).args(["man", "--dir"]).arg(&pages))?;
    add_all(&mut files, "man/man1", &pages)?;
    files.insert("roster.cdx.json".to_owned(), Content { bytes: bill.to_vec(), executable: false });
    Ok(files)
}
