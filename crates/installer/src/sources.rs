//! Gets the source of a part into a folder of its own, from which it is moved to its place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use crate::disk::{self, DiskError};
use crate::fault::InstallFault;
use crate::manifest::hex;

/// The links of a folder, one below the other, that are followed at most.
const DEPTH: usize = 128;

/// Copies a folder, and gives the SHA-256 of what is in it: names, modes and bytes.
pub(crate) async fn copy(from: PathBuf, to: PathBuf) -> Result<String, InstallFault> {
    let copied = spawn_blocking(move || {
        if !from.is_dir() {
            let error = io::ErrorKind::NotADirectory.into();
            return Err(DiskError { doing: "copy the folder", path: from, error });
        }
        let mut hasher = Sha256::new();
        copy_folder(&from, &to, &from, &mut hasher, 0)?;
        Ok(hex(&hasher.finalize()))
    });
    Ok(copied.await.map_err(|it| lost(&it))??)
}

/// The same without copying.
pub(crate) async fn folder_sum(folder: PathBuf) -> Result<String, InstallFault> {
    let summed = spawn_blocking(move || {
        let mut hasher = Sha256::new();
        walk(&folder, &folder, &mut hasher, 0, &mut |_, _| Ok(()))?;
        Ok::<_, DiskError>(hex(&hasher.finalize()))
    });
    Ok(summed.await.map_err(|it| lost(&it))??)
}

fn lost(error: &tokio::task::JoinError) -> InstallFault {
    InstallFault::Fetch { what: "the source".into(), why: error.to_string() }
}

fn copy_folder(
    from: &Path,
    to: &Path,
    root: &Path,
    hasher: &mut Sha256,
    depth: usize,
) -> Result<(), DiskError> {
    disk::make_folder(to)?;
    walk(from, root, hasher, depth, &mut |path, kind| {
        let inner = path.strip_prefix(root).unwrap_or(path);
        let target = to.join(inner);
        let done = match kind {
            Kind::Folder => fs::create_dir_all(&target),
            Kind::Link(link) => symlink(link, &target),
            Kind::File => fs::copy(path, &target).map(|_| ()),
        };
        done.map_err(disk::failed("copy", path))
    })
}

enum Kind<'a> {
    Folder,
    File,
    Link(&'a Path),
}

type Visit<'a> = dyn FnMut(&Path, Kind<'_>) -> Result<(), DiskError> + 'a;

/// Everything below a folder in the order of its names.
fn walk(
    folder: &Path,
    root: &Path,
    hasher: &mut Sha256,
    depth: usize,
    visit: &mut Visit<'_>,
) -> Result<(), DiskError> {
    if depth > DEPTH {
        return Err(DiskError {
            doing: "copy",
            path: folder.into(),
            error: io::Error::other("its folders are too deep"),
        });
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(disk::failed("read", folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let inner = path.strip_prefix(root).unwrap_or(&path).to_path_buf();
        let kind = entry.file_type().map_err(disk::failed("read", &path))?;
        let mut note = |what: &str, bytes: &[u8]| {
            hasher.update(format!("{what} {}\0", inner.display()));
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        if kind.is_dir() {
            note("folder", b"");
            visit(&path, Kind::Folder)?;
            walk(&path, root, hasher, depth + 1, visit)?;
        } else if kind.is_symlink() {
            let link = fs::read_link(&path).map_err(disk::failed("read", &path))?;
            note("link", link.as_os_str().as_encoded_bytes());
            visit(&path, Kind::Link(&link))?;
        } else if kind.is_file() {
            let mode = entry.metadata().map_err(disk::failed("read", &path))?.permissions().mode() & 0o111;
            note(if mode == 0 { "file" } else { "program" }, b"");
            let file = File::open(&path).and_then(|mut it| io::copy(&mut it, &mut Hashing(hasher)));
            file.map_err(disk::failed("read", &path))?;
            visit(&path, Kind::File)?;
        }
        // Sockets and devices are no part of a source.
    }
    Ok(())
}

struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Unpacks a gzipped tar. What would land outside the folder, by its name or through a link, is refused.
pub(crate) async fn unpack(archive: PathBuf, to: PathBuf, strip: u8) -> Result<(), InstallFault> {
    let unpacked = spawn_blocking(move || {
        disk::make_folder(&to)?;
        unpack_now(&archive, &to, strip).map_err(disk::failed("unpack", &archive))
    });
    Ok(unpacked.await.map_err(|it| lost(&it))??)
}

fn unpack_now(archive: &Path, to: &Path, strip: u8) -> io::Result<()> {
    let refused = |why: &str, path: &Path| io::Error::other(format!("{why}: `{}`", path.display()));
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let path = entry.path()?.into_owned();
        if path.components().any(|it| !matches!(it, Component::Normal(_) | Component::CurDir)) {
            return Err(refused("a path that leads out of it", &path));
        }
        let parts = path.components().filter(|it| matches!(it, Component::Normal(_)));
        let inner: PathBuf = parts.skip(usize::from(strip)).collect();
        if inner.as_os_str().is_empty() || matches!(kind, tar::EntryType::XGlobalHeader) {
            continue;
        }
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            return Err(refused("something that is neither file, folder nor link", &path));
        }
        if kind.is_symlink() && !entry.link_name()?.is_some_and(|link| stays(&inner, &link)) {
            return Err(refused("a link that leads out of it", &path));
        }
        let target = to.join(&inner);
        let folder = target.parent().unwrap_or(to);
        fs::create_dir_all(folder)?;
        // A link that is there already may lead anywhere within: never out of it.
        if !folder.canonicalize()?.starts_with(to.canonicalize()?) {
            return Err(refused("a path that leads out of it", &path));
        }
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
        } else {
            entry.set_preserve_permissions(false);
            entry.unpack(&target)?;
        }
    }
    Ok(())
}

/// Whether a link at a place below a folder leads to a place below it.
fn stays(at: &Path, link: &Path) -> bool {
    let mut depth = at.components().count().saturating_sub(1);
    for part in link.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}
