//! An archive whose bytes depend on nothing but its files: sorted, of nobody, all of one time.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};

/// A file in the archive.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) executable: bool,
}

/// Files by their path in the archive.
pub(super) type Files = BTreeMap<String, Content>;

/// Adds a file.
pub(super) fn add(files: &mut Files, name: &str, from: &Path, executable: bool) -> Result<(), String> {
    let bytes = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    files.insert(name.to_owned(), Content { bytes, executable });
    Ok(())
}

/// Adds all files of a folder, those in its folders too.
pub(super) fn add_all(files: &mut Files, name: &str, from: &Path) -> Result<(), String> {
    let why = |error| format!("{}: {error}", from.display());
    let entries: Result<Vec<PathBuf>, _> =
        fs::read_dir(from).map_err(why)?.map(|it| it.map(|it| it.path())).collect();
    for path in entries.map_err(why)? {
        let last = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{name}/{last}");
        if path.is_dir() { add_all(files, &name, &path)? } else { add(files, &name, &path, false)? }
    }
    Ok(())
}

/// The archive, with everything below `folder` and as old as `time`, in seconds since 1970.
pub(super) fn pack(folder: &str, files: &Files, time: u64) -> Result<Vec<u8>, String> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.bytes.len() as u64);
        header.set_mode(if content.executable { 0o755 } else { 0o644 });
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        let path = format!("{folder}/{name}");
        let added = tar.append_data(&mut header, &path, content.bytes.as_slice());
        added.map_err(|error| format!("{path}: {error}"))?;
    }
    let why = |error| format!("the archive: {error}");
    let tar = tar.into_inner().map_err(why)?;
    // No time and no name in its head.
    let mut gz = GzBuilder::new().write(Vec::new(), Compression::best());
    gz.write_all(&tar).and_then(|()| gz.finish()).map_err(why)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _};

    use super::{Files, add, add_all, pack};

    #[test]
    fn the_same_files_are_the_same_bytes_whoever_has_them_and_in_whatever_order_they_were_made() {
        let packed = |names: [&str; 3]| {
            let folder = tempfile::tempdir().expect("a folder");
            for name in names {
                let path = folder.path().join("config").join(name);
                fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
                fs::write(path, name).expect("it is written");
            }
            let mut files = Files::new();
            add_all(&mut files, "config", &folder.path().join("config")).expect("they are read");
            add(&mut files, "bin/roster", &folder.path().join("config/b"), true).expect("it is read");
            pack("roster-1", &files, 1_700_000_000).expect("they are packed")
        };
        let archive = packed(["b", "sub/c", "a"]);
        assert_eq!(archive, packed(["a", "b", "sub/c"]));

        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(archive.as_slice()).read_to_end(&mut plain).expect("it is gzip");
        let mut tar = tar::Archive::new(plain.as_slice());
        let told = tar.entries().expect("it is tar").map(|it| {
            let it = it.expect("an entry");
            let (path, head) = (it.path().expect("a path").display().to_string(), it.header());
            (path, head.mode().expect("a mode"), head.mtime().expect("a time"))
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                ("roster-1/bin/roster".to_owned(), 0o755, 1_700_000_000),
                ("roster-1/config/a".to_owned(), 0o644, 1_700_000_000),
                ("roster-1/config/b".to_owned(), 0o644, 1_700_000_000),
                ("roster-1/config/sub/c".to_owned(), 0o644, 1_700_000_000),
            ]
        );
    }
}
