//! The folder that a script runs in. It is removed with the script; what a worker that was killed has left is removed
//! before the next script of whoever has the same folder for temporary files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;
use tempfile::{Builder, TempDir};

const PREFIX: &str = "roster-script-";
/// Until a folder that has just been made has its lock, with much to spare.
const FRESH: Duration = Duration::from_mins(1);

/// A folder of its own, gone with this.
pub(super) struct Folder {
    made: TempDir,
    /// The kernel lets go of it when the worker ends, however it does: a folder without is nobody's.
    _lock: File,
}

impl Folder {
    /// An empty one.
    pub(super) fn new() -> io::Result<Self> {
        Self::within(&std::env::temp_dir())
    }

    fn within(parent: &Path) -> io::Result<Self> {
        sweep(parent);
        let made = Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::open(made.path())?;
        lock.try_lock()?;
        Ok(Self { made, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.made.path()
    }
}

/// Removes the folders of this user that nobody has any more. One that cannot be removed is in nobody's way.
fn sweep(parent: &Path) {
    for it in fs::read_dir(parent).into_iter().flatten().flatten() {
        let named = it.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if named && is_left(&it.path()).unwrap_or(false) {
            _ = fs::remove_dir_all(it.path());
        }
    }
}

fn is_left(path: &Path) -> io::Result<bool> {
    let about = path.symlink_metadata()?;
    let old = about.modified()?.elapsed().is_ok_and(|it| it > FRESH);
    let ours = about.is_dir() && about.uid() == geteuid().as_raw();
    Ok(old && ours && File::open(path)?.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_a_killed_worker_has_left_is_removed_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let age =
            |path: &Path| File::open(path).unwrap().set_modified(SystemTime::now() - FRESH * 2).unwrap();
        let live = Folder::within(parent.path()).unwrap();
        for name in ["roster-script-left", "somebody-elses"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("script.mjs"), "").unwrap();
            age(&at(name));
        }
        fs::create_dir(at("roster-script-fresh")).unwrap();
        fs::write(at("roster-script-file"), "").unwrap();
        age(&at("roster-script-file"));
        std::os::unix::fs::symlink(at("somebody-elses"), at("roster-script-link")).unwrap();
        age(live.path());
        let next = Folder::within(parent.path()).unwrap();
        assert!(!at("roster-script-left").exists());
        for it in
            ["somebody-elses/script.mjs", "roster-script-fresh", "roster-script-file", "roster-script-link"]
        {
            assert!(at(it).exists(), "{it}");
        }
        assert!(live.path().exists() && next.path().exists());
        let path = live.path().to_owned();
        drop(live);
        assert!(!path.exists());
    }
}
