//! Where sockets are.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use spec::ids::MachineId;
use spec::notes::{Finding, Located};
use supervisor::control::{ClientError, Socket};

/// A socket of a name of its own.
const SOCKET: &str = "ROSTER_SOCKET";

/// What a variable says, if it says anything.
pub(super) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from)
}

/// Where this user's sockets are, unless somebody says otherwise.
fn folder() -> PathBuf {
    let user = rustix::process::geteuid();
    match variable("XDG_RUNTIME_DIR") {
        Some(it) => it.join("roster"),
        None if user.is_root() => "/run/roster".into(),
        None => format!("/tmp/roster-{}", user.as_raw()).into(),
    }
}

/// Whether a folder is not ours: in `/tmp` anybody could have made one of its name.
fn is_foreign(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder)
        .is_ok_and(|it| !it.is_dir() || it.uid() != rustix::process::geteuid().as_raw())
}

/// Where the supervisor of `machine` listens.
pub(crate) fn to_listen(flag: Option<PathBuf>, machine: &MachineId) -> Result<PathBuf, Box<Finding>> {
    if let Some(it) = flag.or_else(|| variable(SOCKET)) {
        return Ok(it);
    }
    let folder = folder();
    if is_foreign(&folder) {
        return Err(denied(folder));
    }
    Ok(folder.join(format!("{machine}.sock")))
}

fn denied(path: PathBuf) -> Box<Finding> {
    let error = std::io::ErrorKind::PermissionDenied.into();
    Box::new(Finding::error(Located::nowhere(ClientError::Io { path, error })))
}

/// Where to ask: the only supervisor that listens, if nobody says which.
pub(super) fn to_ask(flag: Option<PathBuf>) -> Result<PathBuf, Box<Finding>> {
    if let Some(it) = flag.or_else(|| variable(SOCKET)) {
        return Ok(it);
    }
    let folder = folder();
    if is_foreign(&folder) {
        return Err(denied(folder));
    }
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|it| it.path());
    let sockets = files.filter(|it| it.extension().is_some_and(|it| it == "sock"));
    let mut live: Vec<PathBuf> = sockets.filter(|it| Socket::is_live(it)).collect();
    live.sort();
    match &live[..] {
        [only] => Ok(only.clone()),
        [] => Err(Box::new(Finding::error(Located::nowhere(ClientError::Nobody {
            path: folder.join("*.sock"),
        })))),
        _ => Err(Box::new(Finding::error(Located::nowhere(ClientError::Several { paths: live })))),
    }
}
