//! Writes a proposal: all of it or nothing, and nothing over what somebody else has written.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use importer::{File, Import, ImportFault};
use planner::LayoutError;
use spec::notes::{Finding, Located};

/// Writes every file of an import below a folder.
pub(super) fn all(folder: &Path, import: &Import, force: bool) -> Result<(), Vec<Finding>> {
    let files: Vec<(&File, PathBuf)> =
        import.machines.iter().flat_map(|it| &it.files).map(|it| (it, folder.join(&it.path))).collect();
    let in_the_way = files.iter().filter(|_| !force).filter(|(file, path)| is_another(file, path));
    let faults: Vec<_> = in_the_way
        .map(|(_, path)| {
            let fault = ImportFault::InTheWay { path: path.display().to_string() };
            Finding::error(Located::nowhere(fault))
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let staged = files.iter().map(|(file, path)| stage(file, path)).collect::<Vec<_>>();
    if staged.iter().any(Result::is_err) {
        // What was put beside the files goes; the files are as they were.
        let (done, failed): (Vec<_>, Vec<_>) = staged.into_iter().partition(Result::is_ok);
        for it in done.into_iter().flatten() {
            let _ = fs::remove_file(it);
        }
        return Err(failed.into_iter().filter_map(Result::err).map(|it| *it).collect());
    }
    // Secrets first: what is there without its profile does nothing.
    let mut moves: Vec<_> = files.iter().zip(staged.into_iter().flatten()).collect();
    moves.sort_by_key(|((file, _), _)| !file.private);
    let moved = moves
        .into_iter()
        .map(|((_, path), beside)| fs::rename(beside, path).map_err(|it| unwritable(path, it)));
    let faults: Vec<_> = moved.filter_map(Result::err).map(|it| *it).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Whether a file is there that says something else, or cannot be looked at.
fn is_another(file: &File, path: &Path) -> bool {
    match fs::read(path) {
        Ok(bytes) => bytes != file.text.expose().as_bytes(),
        // Where no folder can be made, writing says so.
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

/// Writes a file beside the place where it is to be; its mode is right before its first byte.
fn stage(file: &File, path: &Path) -> Result<PathBuf, Box<Finding>> {
    let folder = path.parent().unwrap_or(path);
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    let beside = folder.join(format!(".{name}.import"));
    let write = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mode = if file.private { 0o600 } else { 0o644 };
        let mut handle = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        handle.set_permissions(Permissions::from_mode(mode))?;
        handle.write_all(file.text.expose().as_bytes())?;
        handle.sync_all()
    };
    match write() {
        Ok(()) => Ok(beside),
        Err(error) => {
            let _ = fs::remove_file(&beside);
            Err(unwritable(path, error))
        }
    }
}

fn unwritable(path: &Path, source: io::Error) -> Box<Finding> {
    let error = LayoutError::Unwritable { path: path.display().to_string(), source };
    Box::new(Finding::error(Located::nowhere(error)))
}
