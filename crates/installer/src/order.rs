//! From an order to a manifest: every text is expanded, every name passes its door, and everything that is wrong is told
//! at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use spec::env::{EnvSource, Secret};
use spec::ids::EnvKey;
use spec::model::{InstallOrder, InstallSource};
use spec::notes::{Finding, Located};
use spec::source::SourceText;

use crate::disk;
use crate::documents::{self, expanded};
use crate::fault::InstallFault;
use crate::manifest::{Manifest, Revision, Source};
use crate::names::{self, Inner, Refused};
use crate::programs::Programs;

/// The placeholders that are filled in when a command is run.
const LATER: [&str; 3] = ["SOURCE", "INSTALL", "PYTHON"];

/// What is read of an order.
pub(crate) struct Read {
    pub(crate) manifest: Manifest,
    /// The variable and the token of each host.
    pub(crate) tokens: BTreeMap<String, (EnvKey, Option<Secret<String>>)>,
}

/// Reads an order with the variables of the process.
pub(crate) fn read(
    order: &InstallOrder,
    environment: &dyn EnvSource,
    programs: &Programs,
) -> Result<Read, Vec<Finding>> {
    let mut reading = Reading { order, environment, findings: Vec::new() };
    let manifest = reading.manifest(programs);
    let tokens = reading.tokens();
    match manifest {
        Some(mut manifest) if reading.findings.is_empty() => {
            manifest.tokens =
                tokens.iter().filter_map(|(host, (_, token))| Some((host.clone(), token.clone()?))).collect();
            Ok(Read { manifest, tokens })
        }
        _ => Err(reading.findings),
    }
}

/// The value of a variable, or of the file that `NAME_FILE` names.
pub fn variable(environment: &dyn EnvSource, key: &EnvKey) -> Result<Option<String>, InstallFault> {
    let get = |key: &EnvKey| environment.get(key).map_err(|_| InstallFault::Missing { key: key.clone() });
    if let Some(value) = get(key)?.filter(|it| !it.is_empty()) {
        return Ok(Some(value));
    }
    let Ok(file) = format!("{key}_FILE").parse::<EnvKey>() else { return Ok(None) };
    let Some(path) = get(&file)?.filter(|it| !it.is_empty()) else { return get(key) };
    let text = disk::read(Path::new(&path))?.ok_or(InstallFault::Missing { key: file })?;
    Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned()))
}

struct Reading<'a> {
    order: &'a InstallOrder,
    environment: &'a dyn EnvSource,
    findings: Vec<Finding>,
}

impl Reading<'_> {
    fn note(&mut self, fault: InstallFault) {
        self.findings.push(Finding::error(Located::nowhere(fault)));
    }

    /// A variable that the service declares, or `WORKSPACE`.
    fn value(&self, key: &EnvKey) -> Result<Option<String>, InstallFault> {
        if key.as_str() == "WORKSPACE" {
            return Ok(Some(self.order.workspace.clone()));
        }
        if !self.order.variables.contains(key) {
            return Err(InstallFault::Undeclared { key: key.clone() });
        }
        variable(self.environment, key)
    }

    fn text(&mut self, text: &str) -> Option<String> {
        let expanded = expanded(text, &|key| self.value(key));
        expanded.map_err(|faults| faults.into_iter().for_each(|it| self.note(it))).ok()
    }

    fn words(&mut self, words: &[String]) -> Vec<String> {
        let expand = |word: &String| {
            expanded(word, &|key| {
                if LATER.contains(&key.as_str()) { Ok(Some(format!("${{{key}}}"))) } else { self.value(key) }
            })
        };
        let read: Vec<_> = words.iter().map(expand).collect();
        let mut all = Vec::new();
        for it in read {
            match it {
                Ok(word) => all.push(word),
                Err(faults) => faults.into_iter().for_each(|it| self.note(it)),
            }
        }
        all
    }

    fn checked<T>(
        &mut self,
        what: &str,
        text: &str,
        fault: fn(String, Refused) -> InstallFault,
        read: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Option<T> {
        let text = self.text(text)?;
        read(&text).map_err(|why| self.note(fault(what.to_owned(), why))).ok()
    }

    fn path(&mut self, what: &str, text: &str) -> Option<PathBuf> {
        self.checked(what, text, path, absolute)
    }

    fn manifest(&mut self, programs: &Programs) -> Option<Manifest> {
        let install = &self.order.install;
        let workspace =
            absolute(&self.order.workspace).map_err(|why| self.note(path("workspace".into(), why)));
        let source = self.source(programs);
        let python = install.python.clone().map(|mut needs| {
            needs.requirements = self.words(&needs.requirements);
            needs.packages = self.words(&needs.packages);
            let bad = |it: &String| it.is_empty() || it.starts_with('-') || it.contains(char::is_control);
            for it in needs.requirements.iter().chain(&needs.packages).filter(|it| bad(it)) {
                self.note(InstallFault::Requirement { text: it.clone() });
            }
            for it in needs.requirements.clone() {
                let _: Option<Inner> = self.checked("requirements", &it, name, str::parse);
            }
            needs
        });
        let commands = install.commands.iter().map(|it| self.words(it)).collect();
        let nodes_folder =
            install.nodes.as_ref().map(|it| self.checked("nodes.folder", &it.folder, name, str::parse));
        let nodes = install.nodes.as_ref().and_then(|it| {
            let source = self.document("nodes.file", &it.file)?;
            let nodes = documents::nodes(&source, &|key| self.value(key));
            nodes.map_err(|findings| self.findings.extend(findings)).ok()
        });
        let models_folder = install.models.as_ref().map(|it| self.path("models.folder", &it.folder));
        let models = install.models.as_ref().and_then(|it| {
            let source = self.document("models.file", &it.file)?;
            documents::models(&source).map_err(|findings| self.findings.extend(findings)).ok()
        });
        let models = models.unwrap_or_default();
        let kinds: Vec<Option<Inner>> = (install.models.iter().flat_map(|it| &it.kinds))
            .map(|it| self.checked("models.kinds", it, name, str::parse))
            .collect();
        let paths_file = install
            .models
            .as_ref()
            .and_then(|it| it.paths_file.as_ref())
            .map(|it| self.path("models.paths_file", it));
        let directories: Vec<_> = install.directories.iter().map(|it| self.path("directories", it)).collect();
        let probe = self.words(&install.probe);
        let models_folder = flat(models_folder)?;
        let paths_file = match (flat(paths_file)?, &models_folder) {
            (Some(file), Some(folder)) => {
                let kinds: Vec<_> = kinds.into_iter().flatten().collect();
                let text = paths_text(folder, kinds.iter().chain(models.iter().map(|it| &it.folder)));
                Some((file, text))
            }
            _ => None,
        };
        Some(Manifest {
            service: self.order.service.clone(),
            workspace: workspace.ok()?,
            source: source?,
            python,
            commands,
            nodes_folder: flat(nodes_folder)?,
            nodes: nodes.unwrap_or_default(),
            models_folder,
            models,
            paths_file,
            directories: directories.into_iter().collect::<Option<_>>()?,
            tokens: BTreeMap::new(),
            probe,
        })
    }

    fn source(&mut self, programs: &Programs) -> Option<Source> {
        Some(match &self.order.install.source {
            InstallSource::Git { url, branch, commit, recursive } => {
                let url = self.checked("source.git.url", url, address, str::parse);
                let mut some = |it: &Option<String>| it.as_ref().map(|it| self.text(it));
                let (branch, commit) = (flat(some(branch)), flat(some(commit)));
                let (branch, commit) =
                    (branch?.filter(|it| !it.is_empty()), commit?.filter(|it| !it.is_empty()));
                let revision = match (commit, branch) {
                    (Some(it), _) => Revision::Commit(self.plain("source.git.commit", &it, hash)?),
                    (None, Some(it)) => Revision::Branch(self.plain("source.git.branch", &it, name)?),
                    (None, None) => Revision::Head,
                };
                Source::Git { url: url?, revision, recursive: *recursive }
            }
            InstallSource::Directory { path } => Source::Directory(self.path("source.directory.path", path)?),
            InstallSource::Tarball { url, sha256, strip } => {
                let url = self.checked("source.tarball.url", url, address, names::file_url);
                let sha256 = self.checked("source.tarball.sha256", sha256, hash, str::parse);
                Source::Tarball { url: url?, sha256: sha256?, strip: *strip }
            }
            InstallSource::Program { name: program } => {
                let inner: Inner = self.checked("source.program.name", program, name, str::parse)?;
                let at = programs.find(inner.as_str());
                Source::Program { name: inner, at }
            }
        })
    }

    fn plain<T: std::str::FromStr<Err = Refused>>(
        &mut self,
        what: &str,
        text: &str,
        fault: fn(String, Refused) -> InstallFault,
    ) -> Option<T> {
        text.parse().map_err(|why| self.note(fault(what.to_owned(), why))).ok()
    }

    /// A document; `None` where there is no such file.
    fn document(&mut self, what: &str, file: &str) -> Option<SourceText> {
        let text = self.text(file)?;
        if text.is_empty() {
            return None;
        }
        let path = Path::new(&self.order.workspace).join(self.plain_path(what, &text)?);
        match disk::read(&path) {
            Ok(text) => Some(SourceText::open(path.display().to_string(), text?)),
            Err(error) => {
                self.note(error.into());
                None
            }
        }
    }

    fn plain_path(&mut self, what: &str, text: &str) -> Option<PathBuf> {
        if text.contains(char::is_control) {
            self.note(path(what.to_owned(), Refused("it holds a control character".into())));
            return None;
        }
        Some(PathBuf::from(text))
    }

    fn tokens(&mut self) -> BTreeMap<String, (EnvKey, Option<Secret<String>>)> {
        let mut tokens = BTreeMap::new();
        for (host, key) in &self.order.install.tokens {
            match self.value(key) {
                Ok(value) => {
                    let value = value.filter(|it| !it.is_empty()).map(Secret::new);
                    tokens.insert(host.clone(), (key.clone(), value));
                }
                Err(fault) => self.note(fault),
            }
        }
        tokens
    }
}

/// `Some(None)` is a value that was asked for and could not be had.
#[expect(clippy::option_option, reason = "absent, wrong, or there")]
fn flat<T>(it: Option<Option<T>>) -> Option<Option<T>> {
    match it {
        None => Some(None),
        Some(None) => None,
        Some(it) => Some(it),
    }
}

fn name(what: String, why: Refused) -> InstallFault {
    InstallFault::Name { what, why }
}
fn path(what: String, why: Refused) -> InstallFault {
    InstallFault::Path { what, why }
}
fn address(what: String, why: Refused) -> InstallFault {
    InstallFault::Address { what, why }
}
fn hash(what: String, why: Refused) -> InstallFault {
    InstallFault::Hash { what, why }
}

/// A path that begins at the root and says the same however it is read.
fn absolute(text: &str) -> Result<PathBuf, Refused> {
    if text.contains(char::is_control) {
        return Err(Refused("it holds a control character".into()));
    }
    let whole = text.strip_prefix('/').is_some_and(|rest| {
        rest.trim_end_matches('/').split('/').all(|part| !matches!(part, "" | "." | ".."))
    });
    if whole {
        Ok(PathBuf::from(text))
    } else {
        Err(Refused("it does not begin with `/`, or has `..` in it".into()))
    }
}

/// What `--extra-model-paths-config` takes: the folder, and what it looks for where. A JSON text is a text of YAML too.
fn paths_text<'a>(folder: &Path, kinds: impl Iterator<Item = &'a Inner>) -> String {
    let kinds: std::collections::BTreeSet<&str> =
        kinds.filter_map(|it| it.as_str().split('/').next()).collect();
    let base = serde_json::Value::from(folder.display().to_string());
    let head =
        format!("# Written by `roster install apply`.\nroster:\n  base_path: {base}\n  is_default: true\n");
    kinds.iter().fold(head, |text, it| text + &format!("  {it}: {it}\n"))
}
