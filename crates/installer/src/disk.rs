//! The few steps on disk that an install is made of. Each is atomic or can be repeated.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// What was being done to which file, and what the system said.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} `{}`: {error}", path.display())]
pub struct DiskError {
    /// `write`, `link`, `remove`.
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub error: io::Error,
}

impl DiskError {
    /// Whether there was no room for it.
    pub fn is_full(&self) -> bool {
        matches!(self.error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    }
}

/// For `map_err`.
pub(crate) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError + use<> {
    let path = path.to_owned();
    move |error| DiskError { doing, path, error }
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), DiskError> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed("make the folder", path))
}

/// The name under which a file is prepared before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.{:08x}", std::process::id(), fastrand::u32(..)))
}

/// Replaces a small file in one step: at every instant the old text is there or the new one, even if the power fails.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    put(path, bytes, mode, true)?;
    sync_folder(folder_of(path))
}

/// The same for what may be lost when the power fails.
pub(crate) fn put_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    put(path, bytes, mode, false)
}

fn put(path: &Path, bytes: &[u8], mode: u32, sync: bool) -> Result<(), DiskError> {
    make_folder(folder_of(path))?;
    let beside = beside(path);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&beside, path)
    })();
    written.map_err(|error| {
        // What is left of it is of no use, and in nobody's way.
        let _ = fs::remove_file(&beside);
        failed("write", path)(error)
    })
}

/// Makes `link` point to `target` in one step, whatever it was before.
pub(crate) fn switch_link(link: &Path, target: &Path) -> Result<(), DiskError> {
    if fs::read_link(link).is_ok_and(|it| it == target) {
        return Ok(());
    }
    let beside = beside(link);
    symlink(target, &beside).map_err(failed("link", link))?;
    fs::rename(&beside, link).map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed("switch", link)(error)
    })?;
    sync_folder(folder_of(link))
}

/// Gives a file a second name in one step, whatever had that name before.
pub(crate) fn hard_link(file: &Path, name: &Path) -> Result<(), DiskError> {
    make_folder(folder_of(name))?;
    let beside = beside(name);
    fs::hard_link(file, &beside).map_err(failed("link", name))?;
    fs::rename(&beside, name).map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed("link", name)(error)
    })?;
    sync_folder(folder_of(name))
}

/// Removes a folder and all in it, or a file; absent is well.
pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
    match if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) } {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Waits until the disk knows the names in a folder.
pub(crate) fn sync_folder(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|it| it.sync_all()).map_err(failed("write the folder", path))
}

/// The folder that a path is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The text of a file; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, DiskError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Bytes that may still be written where `path` is, or will be.
pub(crate) fn room(path: &Path) -> Result<u64, DiskError> {
    let there = path.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
    let seen = rustix::fs::statvfs(there).map_err(|it| failed("look at the disk of", path)(it.into()))?;
    Ok(seen.f_bavail.saturating_mul(seen.f_frsize))
}
