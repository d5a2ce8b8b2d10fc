//! What each step does. Every one may be done again after it was cut short anywhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::apply::Installer;
use crate::disk;
use crate::fault::InstallFault;
use crate::fetch::Wanted;
use crate::git::Git;
use crate::layout::{Build, flat};
use crate::lock::{Lock, Pin, Wheel};
use crate::look;
use crate::manifest::{Node, Revision, Source, Unit};
use crate::names::{GitUrl, NodeName};
use crate::programs::Call;
use crate::python::{Environment, Needs};
use crate::sources;

impl Installer {
    /// Gets the source of a part: what the lock says, or else what is asked for.
    pub(crate) async fn fetch(&self, unit: &Unit, lock: &Lock) -> Result<Pin, InstallFault> {
        let manifest = &self.manifest;
        let wanted = manifest.wanted(unit).unwrap_or_default();
        let pinned = lock.pin(manifest, unit).map(|it| it.found.clone());
        let place = self.layout.fetched_unit(unit);
        // A program that outlived a killed install may still write to what that one began.
        let name = format!(".{}.{:08x}", flat(unit), fastrand::u32(..));
        let begun = self.layout.fetched().join(name);
        disk::make_folder(&begun)?;
        let tree = begun.join("tree");
        let found = self.fetch_into(unit, pinned, &tree, &begun).await;
        let found = found.inspect_err(|_| drop(disk::remove(&begun)))?;
        let pin = Pin { wanted, found };
        let text = serde_json::to_vec(&pin).unwrap_or_default();
        disk::put_file(&begun.join("pin.json"), &text, 0o644)?;
        disk::remove(&place)?;
        std::fs::rename(&begun, &place).map_err(disk::failed("move", &place))?;
        Ok(pin)
    }

    async fn fetch_into(
        &self,
        unit: &Unit,
        pinned: Option<String>,
        tree: &Path,
        beside: &Path,
    ) -> Result<String, InstallFault> {
        match (unit, &self.manifest.source) {
            (Unit::Node(name), _) => {
                let Some(node) = self.manifest.node(name) else { return Ok(String::new()) };
                self.clone(unit, (&node.url, &node.revision, node.recursive), pinned, tree).await
            }
            (Unit::Core, Source::Git { url, revision, recursive }) => {
                self.clone(unit, (url, revision, *recursive), pinned, tree).await
            }
            (Unit::Core, Source::Directory(path)) => sources::copy(path.clone(), tree.to_owned()).await,
            (Unit::Core, Source::Tarball { url, sha256, strip }) => {
                let urls = [url.clone()];
                let (whole, part) = (beside.join("tarball"), beside.join("tarball.part"));
                let file = url.path().rsplit('/').next().unwrap_or_default().to_owned();
                let wanted = Wanted { file, urls: &urls, sha256, size: None, whole: whole.clone(), part };
                self.fetcher.get(&wanted, &Arc::new(AtomicU64::new(0))).await?;
                sources::unpack(whole.clone(), tree.to_owned(), *strip).await?;
                disk::remove(&whole)?;
                Ok(sha256.to_string())
            }
            (Unit::Core, Source::Program { name, at }) => {
                disk::make_folder(&tree.join("bin"))?;
                if let Some(at) = at {
                    disk::switch_link(&tree.join("bin").join(name.as_str()), at)?;
                }
                Ok(at.as_ref().map(|it| it.display().to_string()).unwrap_or_default())
            }
        }
    }

    pub(crate) fn git<'a>(&'a self, url: &'a GitUrl) -> Git<'a> {
        let token = url.tls_host().and_then(|(host, _)| self.manifest.tokens.get(&host));
        Git { programs: &self.programs, url, token }
    }

    async fn clone(
        &self,
        unit: &Unit,
        (url, revision, recursive): (&GitUrl, &Revision, bool),
        pinned: Option<String>,
        tree: &Path,
    ) -> Result<String, InstallFault> {
        let pinned = pinned.and_then(|it| it.parse().ok()).map(Revision::Commit);
        let revision = pinned.as_ref().unwrap_or(revision);
        let commit = self.git(url).checkout(revision, recursive, tree).await;
        let told = |fault| match fault {
            InstallFault::Program { how, output, .. } => {
                let why = output.lines().rev().find(|it| !it.trim().is_empty()).unwrap_or(&how).to_owned();
                InstallFault::Fetch { what: unit.to_string(), why }
            }
            InstallFault::Fetch { why, .. } => InstallFault::Fetch { what: unit.to_string(), why },
            other => other,
        };
        commit.map(|it| it.to_string()).map_err(told)
    }

    /// Moves a source to its place in the build.
    pub(crate) fn place(&self, build: &Build, unit: &Unit) -> Result<(), InstallFault> {
        let (from, to) = (self.layout.fetched_unit(unit).join("tree"), build.unit(&self.manifest, unit));
        disk::remove(&to)?;
        disk::make_folder(disk::folder_of(&to))?;
        std::fs::rename(&from, &to).map_err(disk::failed("move", &to))?;
        Ok(disk::remove(&self.layout.fetched_unit(unit))?)
    }

    pub(crate) fn environment(&self, build: &Build) -> Environment<'_> {
        Environment { programs: &self.programs, folder: build.venv() }
    }

    /// Installs what a part requires, and gives what came.
    pub(crate) async fn require(
        &self,
        build: &Build,
        unit: &Unit,
        lock: &Lock,
    ) -> Result<Vec<Wheel>, InstallFault> {
        let folder = build.unit(&self.manifest, unit);
        let (files, lines): (Vec<PathBuf>, &[String]) = match (unit, &self.manifest.python) {
            (Unit::Core, Some(needs)) => {
                (needs.requirements.iter().map(|it| folder.join(it)).collect(), &needs.packages)
            }
            (Unit::Core, None) => (Vec::new(), &[]),
            (Unit::Node(_), _) => {
                // A node that has dropped its list requires nothing any more.
                let file = folder.join("requirements.txt");
                (file.is_file().then_some(file).into_iter().collect(), &[])
            }
        };
        let notes = build.done().join(format!(".python-{}", flat(unit)));
        let requirement = self.manifest.requirement(lock, unit);
        let locked = lock.wheels.get(&unit.to_string()).filter(|it| it.of == requirement);
        let locked = locked.map(|it| it.packages.as_slice());
        self.environment(build).install(&Needs { folder: &folder, files, lines, locked, notes }).await
    }

    /// Runs a node's script.
    pub(crate) async fn script(&self, build: &Build, name: &NodeName) -> Result<(), InstallFault> {
        let Some((node, script)) = self.manifest.node(name).and_then(|it| Some((it, it.script.as_ref()?)))
        else {
            return Ok(());
        };
        let folder = build.unit(&self.manifest, &Unit::Node(node.name.clone()));
        let path = folder.join(script.as_str());
        // A link in the checkout may lead out of it.
        let real = path.canonicalize().map_err(disk::failed("run", &path))?;
        let real_folder = folder.canonicalize().map_err(disk::failed("run", &folder))?;
        if !real.starts_with(&real_folder) || !real.is_file() {
            let error = std::io::Error::other("it is not a file of the node");
            return Err(disk::failed("run", &path)(error).into());
        }
        let python = build.venv().join("bin/python").display().to_string();
        let is_python = path.extension().is_some_and(|it| it == "py");
        let by = if is_python { python.as_str() } else { "bash" };
        let mut env = vec![("PYTHON".to_owned(), spec::env::Secret::new(python.clone()))];
        env.extend(
            node.env.iter().map(|(key, value)| (key.to_string(), spec::env::Secret::new(value.clone()))),
        );
        let args = vec![real.display().to_string()];
        let call = Call { program: by, args, folder: &folder, env, limit: self.limits.script };
        self.programs.run(call).await.map(drop)
    }

    /// Runs words in the checkout.
    pub(crate) async fn command(&self, build: &Build, words: &[String]) -> Result<(), InstallFault> {
        let words = build.command(words);
        let Some((program, args)) = words.split_first() else { return Ok(()) };
        let (folder, limit) = (build.source(), self.limits.script);
        let call = Call { program, args: args.to_vec(), folder: &folder, env: Vec::new(), limit };
        self.programs.run(call).await.map(drop)
    }

    /// Sees whether a build works.
    pub(crate) async fn probe(&self, build: &Build) -> Result<(), InstallFault> {
        self.command(build, &self.manifest.probe).await.map_err(|fault| match fault {
            InstallFault::Program { program, how, output } => InstallFault::Probe { program, how, output },
            other => other,
        })
    }

    /// Writes a node's `.env`, for us alone: secrets may be in it.
    pub(crate) fn variables(&self, build: &Build, node: &Node) -> Result<(), InstallFault> {
        let path = build.unit(&self.manifest, &Unit::Node(node.name.clone())).join(".env");
        let text = look::variables(node).unwrap_or_default();
        Ok(disk::replace_file(&path, text.as_bytes(), 0o600)?)
    }
}
