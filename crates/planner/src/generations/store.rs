//! One output root: writing, switching, going back.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::disk;
use super::error::StoreError;
use super::{Artefacts, GenerationId};

/// The names at the output root that are links into the generation in force.
const LINKS: [&str; 4] = [".env", ".env.secret", "docker-compose.yaml", "ecosystem.json"];

/// How many generations are kept.
const KEPT: usize = 10;

/// An output root.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// What writing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The set was in force already, byte for byte.
    NoChange(GenerationId),
    /// The set is in force now.
    Switched {
        /// What was before.
        from: Option<GenerationId>,
        /// What is now.
        to: GenerationId,
    },
}

impl Store {
    /// The store at an output root. Nothing is read or made yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The output root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn home(&self) -> PathBuf {
        self.root.join(".roster")
    }

    fn folder(&self, id: &GenerationId) -> PathBuf {
        self.home().join("generations").join(id.as_str())
    }

    /// The generation in force.
    pub fn current(&self) -> Option<GenerationId> {
        let target = fs::read_link(self.home().join("current")).ok()?;
        GenerationId::parse(target.file_name()?.to_str()?)
    }

    /// The files of the generation in force, as they are on the disk; none when there is no such generation.
    pub fn load_current(&self) -> Result<Artefacts, StoreError> {
        self.current().map_or(Ok(Artefacts::default()), |id| self.load(&id))
    }

    /// The files of a generation, as they are on the disk.
    fn load(&self, id: &GenerationId) -> Result<Artefacts, StoreError> {
        let folder = self.folder(id);
        let mut paths = Vec::new();
        list(&folder, "", &mut paths);
        let mut artefacts = Artefacts::default();
        for path in paths {
            let bytes = disk::read(&folder.join(&path))?.unwrap_or_default();
            artefacts.add(path, bytes);
        }
        Ok(artefacts)
    }

    /// Whether the generation in force is still what its name, a hash of its content, says.
    pub fn verify(&self) -> Result<(), StoreError> {
        let current = self.current().filter(|it| self.folder(it).exists());
        current.map_or(Ok(()), |id| self.verify_one(&id))
    }

    fn verify_one(&self, id: &GenerationId) -> Result<(), StoreError> {
        let same = self.load(id)?.id() == *id;
        if same { Ok(()) } else { Err(StoreError::Edited { path: self.folder(id) }) }
    }

    /// Whether the generation in force is `artefacts`, whose name is `id`, byte for byte, and every link shows it.
    pub fn shows(&self, id: &GenerationId, artefacts: &Artefacts) -> Result<bool, StoreError> {
        if self.current().as_ref() != Some(id) || !self.edited(id, artefacts)?.is_empty() {
            return Ok(false);
        }
        Ok(LINKS.iter().all(|link| self.is_ours(link) == artefacts.get(link).is_some()))
    }

    /// Writes `artefacts` as a generation and puts it in force. Refuses, with every reason and before anything is
    /// written, when files of others are in the way or generated files were edited; `force` keeps the former under
    /// another name and restores the latter.
    pub fn write(&self, artefacts: &Artefacts, force: bool) -> Result<Written, Vec<StoreError>> {
        let one = |error| vec![error];
        let id = artefacts.id();
        if self.shows(&id, artefacts).map_err(one)? {
            return Ok(Written::NoChange(id));
        }
        let foreign: Vec<PathBuf> =
            LINKS.iter().filter(|it| artefacts.get(it).is_some()).filter_map(|it| self.foreign(it)).collect();
        let folder = self.folder(&id);
        let edited = if folder.exists() { self.edited(&id, artefacts).map_err(one)? } else { Vec::new() };
        if !force {
            let mut refused: Vec<_> =
                foreign.iter().map(|it| StoreError::Foreign { path: it.clone() }).collect();
            refused.extend(edited.iter().map(|it| StoreError::Edited { path: folder.join(it) }));
            if self.current().is_some_and(|it| it != id) {
                refused.extend(self.verify().err());
            }
            if !refused.is_empty() {
                return Err(refused);
            }
        }
        let _lock = self.lock().map_err(one)?;
        if folder.exists() {
            for path in edited {
                if let Some(artefact) = artefacts.get(path) {
                    disk::restore_file(&folder.join(path), artefact, &self.home().join("restoring"))
                        .map_err(one)?;
                }
            }
        } else {
            let building = folder.with_file_name("building");
            disk::remove_folder(&building).map_err(one)?;
            disk::write_set(&building, artefacts).map_err(one)?;
            fs::rename(&building, &folder).map_err(StoreError::io("name", &folder)).map_err(one)?;
            disk::sync_folder(&self.home().join("generations")).map_err(one)?;
        }
        for path in foreign {
            let kept = disk::kept_name(&path);
            fs::hard_link(&path, &kept).map_err(StoreError::io("keep", &path)).map_err(one)?;
        }
        self.put_in_force(&id).map_err(one)
    }

    /// Puts an earlier generation in force: the one before the present one, or the one that is named.
    pub fn rollback(&self, to: Option<&GenerationId>) -> Result<Written, StoreError> {
        let current = self.current();
        let history = self.history()?;
        let before = || {
            let place = history.iter().rposition(|it| Some(it) == current.as_ref())?;
            history[..place]
                .iter()
                .rev()
                .find(|it| Some(*it) != current.as_ref() && self.folder(it).exists())
                .cloned()
        };
        let (wanted, found) = match to {
            Some(id) => (format!("generation {id}"), Some(id.clone()).filter(|it| self.folder(it).exists())),
            None => ("previous generation".to_owned(), before()),
        };
        let Some(id) = found else {
            return Err(StoreError::NoGeneration { root: self.root.clone(), wanted });
        };
        if current.as_ref() == Some(&id) {
            return Ok(Written::NoChange(id));
        }
        self.verify_one(&id)?;
        let _lock = self.lock()?;
        self.switch(&id)?;
        Ok(Written::Switched { from: current, to: id })
    }

    /// The generations that were in force, oldest first; what followed the present one before a rollback included.
    pub fn history(&self) -> Result<Vec<GenerationId>, StoreError> {
        let bytes = disk::read(&self.home().join("history"))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).lines().filter_map(GenerationId::parse).collect())
    }

    fn put_in_force(&self, id: &GenerationId) -> Result<Written, StoreError> {
        let from = self.current();
        let mut history = self.history()?;
        // What was rolled back is no longer between this generation and the one before it.
        if let Some(place) = history.iter().rposition(|it| Some(it) == from.as_ref()) {
            history.truncate(place + 1);
        }
        if history.last() != Some(id) {
            history.push(id.clone());
        }
        history.drain(..history.len().saturating_sub(KEPT));
        let text = history.iter().fold(String::new(), |text, it| text + it.as_str() + "\n");
        disk::replace_file(&self.home().join("history"), text.as_bytes())?;
        self.switch(id)?;
        self.forget(&history)?;
        Ok(Written::Switched { from, to: id.clone() })
    }

    /// The switch itself. Links that the new set needs are made before it, and dangle until it if they are new; links
    /// that it lacks are removed after it.
    fn switch(&self, id: &GenerationId) -> Result<(), StoreError> {
        let folder = self.folder(id);
        let has = |link: &str| folder.join(link).exists();
        for link in LINKS.iter().filter(|it| has(it)) {
            disk::switch_link(&self.root.join(link), &Path::new(".roster/current").join(link))?;
        }
        disk::switch_link(&self.home().join("current"), &Path::new("generations").join(id.as_str()))?;
        for link in LINKS.iter().filter(|it| !has(it) && self.is_ours(it)) {
            disk::remove_file(&self.root.join(link))?;
        }
        Ok(())
    }

    /// Removes generations that are not among the kept ones.
    fn forget(&self, kept: &[GenerationId]) -> Result<(), StoreError> {
        let folder = self.home().join("generations");
        let leaving = folder.join("leaving");
        disk::remove_folder(&leaving)?;
        let entries = fs::read_dir(&folder).map_err(StoreError::io("read", &folder))?;
        for entry in entries.filter_map(Result::ok) {
            let id = entry.file_name().to_str().and_then(GenerationId::parse);
            if id.is_some_and(|it| !kept.contains(&it)) {
                // Renamed first: what a crash leaves of it must not look like an edited generation.
                fs::rename(entry.path(), &leaving).map_err(StoreError::io("remove", &entry.path()))?;
                disk::remove_folder(&leaving)?;
            }
        }
        Ok(())
    }

    /// Takes the lock for as long as the file lives. The kernel releases it with the process.
    fn lock(&self) -> Result<File, StoreError> {
        let home = self.home();
        disk::make_folder(&home.join("generations"), 0o755)?;
        let path = home.join("lock");
        let file = File::create(&path).map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { root: self.root.clone() }),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
        }
        // Whatever is in here, secrets too, stays out of version control wherever the output root is.
        let ignore = home.join(".gitignore");
        if !ignore.exists() {
            disk::replace_file(&ignore, b"*\n")?;
        }
        Ok(file)
    }

    fn is_ours(&self, link: &str) -> bool {
        let target = Path::new(".roster/current").join(link);
        fs::read_link(self.root.join(link)).is_ok_and(|it| it == target)
    }

    fn foreign(&self, link: &str) -> Option<PathBuf> {
        let path = self.root.join(link);
        (path.symlink_metadata().is_ok() && !self.is_ours(link)).then_some(path)
    }

    /// The files of a generation on disk that are not what was generated: other bytes, another mode, gone.
    fn edited<'a>(&self, id: &GenerationId, artefacts: &'a Artefacts) -> Result<Vec<&'a str>, StoreError> {
        let folder = self.folder(id);
        let mut edited = Vec::new();
        for (path, artefact) in artefacts.iter() {
            let file = folder.join(path);
            let mode = file.metadata().map(|it| it.permissions().mode() & 0o777).ok();
            let same =
                mode == Some(artefact.access.mode()) && disk::read(&file)?.as_ref() == Some(&artefact.bytes);
            if !same {
                edited.push(path);
            }
        }
        Ok(edited)
    }
}

fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            list(&entry.path(), &format!("{path}/"), found);
        } else {
            found.push(path);
        }
    }
}
