//! The few file system steps that generations are made of. Each is atomic or can be repeated.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::{Access, Artefact, Artefacts};

/// Makes a folder and those above it.
pub(super) fn make_folder(path: &Path, mode: u32) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(StoreError::io("make the folder", path))
}

/// Writes a whole generation into a new folder and waits for the disk.
pub(super) fn write_set(folder: &Path, artefacts: &Artefacts) -> Result<(), StoreError> {
    make_folder(folder, 0o755)?;
    for (path, artefact) in artefacts.iter() {
        let path = folder.join(path);
        if let Some(parent) = path.parent().filter(|it| *it != folder) {
            let private = artefact.access == Access::Mounted;
            make_folder(parent, if private { 0o700 } else { 0o755 })?;
        }
        write_file(&path, artefact)?;
    }
    sync_folder(folder)
}

/// Writes one new file with its mode.
fn write_file(path: &Path, artefact: &Artefact) -> Result<(), StoreError> {
    let mode = artefact.access.mode();
    let mut options = OpenOptions::new();
    // Created for the owner only and opened up afterwards, so that no instant shows more than the last.
    let mut file = (options.write(true).create_new(true).mode(0o600).open(path))
        .map_err(StoreError::io("write", path))?;
    file.write_all(&artefact.bytes).map_err(StoreError::io("write", path))?;
    file.set_permissions(fs::Permissions::from_mode(mode))
        .map_err(StoreError::io("set the mode of", path))?;
    file.sync_all().map_err(StoreError::io("write", path))
}

/// Puts one file of a set back as it was generated. It is written as `staging`, outside the set: what a crash leaves of it
/// must not look like an edit.
pub(super) fn restore_file(path: &Path, artefact: &Artefact, staging: &Path) -> Result<(), StoreError> {
    remove_file(staging)?;
    write_file(staging, artefact)?;
    fs::rename(staging, path).map_err(StoreError::io("restore", path))
}

/// Makes `link` point to `target` in one step, whatever it was before.
pub(super) fn switch_link(link: &Path, target: &Path) -> Result<(), StoreError> {
    if fs::read_link(link).is_ok_and(|it| it == target) {
        return Ok(());
    }
    let beside = beside(link);
    remove_file(&beside)?;
    symlink(target, &beside).map_err(StoreError::io("link", &beside))?;
    fs::rename(&beside, link).map_err(StoreError::io("switch", link))?;
    sync_folder(link.parent().unwrap_or(link))
}

/// Replaces a small file in one step.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let beside = beside(path);
    remove_file(&beside)?;
    let artefact = Artefact { bytes: bytes.to_vec(), access: Access::Owner };
    write_file(&beside, &artefact)?;
    fs::rename(&beside, path).map_err(StoreError::io("replace", path))
}

/// Removes a file or link; absent is well.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder and all in it; absent is well.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The bytes of a file; `None` when it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Where a foreign file is kept under `--force`: `.env.before-roster`, numbered when that is taken.
pub(super) fn kept_name(path: &Path) -> PathBuf {
    let with = |suffix: String| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        path.with_file_name(name)
    };
    let numbered = (2..).map(|number: u32| with(format!(".before-roster-{number}")));
    let mut names = std::iter::once(with(".before-roster".into())).chain(numbered);
    names.find(|it| it.symlink_metadata().is_err()).unwrap_or_else(|| path.to_owned())
}

/// Waits until a folder's entries are on the disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|it| it.sync_all()).map_err(StoreError::io("write", path))
}

/// A name beside a path that only the holder of the lock uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".roster-new");
    path.with_file_name(name)
}
