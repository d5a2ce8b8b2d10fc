//! Where values come from: the process environment, then files, then defaults; and the whole chain for those who ask why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use spec::dotenv;
use spec::env::{EnvSource, NotUnicode, Secret};
use spec::ids::EnvKey;
use spec::notes::{Finding, errors};
use spec::source::SourceText;

use super::fault::ConfigFault;
use super::place::Moved;

/// Where container runtimes put secrets.
const RUN_SECRETS: &str = "/run/secrets";

/// One file of values.
pub(crate) struct Layer {
    /// Its path, for people.
    pub(crate) name: String,
    /// Whether it is a file of secrets.
    pub(crate) secret: bool,
    values: BTreeMap<EnvKey, Value>,
}

/// A value of a file, and what it was there if it means something else in this place.
struct Value {
    here: Secret<String>,
    there: Option<Secret<String>>,
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Found {
    /// The value.
    pub(crate) value: Secret<String>,
    /// Where it stands, in words: `the process environment`, a path, `default`.
    pub(crate) source: String,
    /// Whether that place is one for secrets.
    pub(crate) secret: bool,
    /// What stands there, where this place makes something else of it.
    pub(crate) written: Option<Secret<String>>,
}

/// The files of a machine, the strongest first. A document that is reloaded comes with new ones.
#[derive(Clone, Default)]
pub(crate) struct Files(Arc<RwLock<Vec<Layer>>>);

/// All sources of one machine, the strongest first.
pub(crate) struct Layers {
    environment: Box<dyn EnvSource>,
    files: Files,
}

impl Layer {
    /// Reads an env file; `None` when it is not there.
    pub(crate) fn read(
        path: &Path,
        secret: bool,
        moved: &Moved,
        findings: &mut Vec<Finding>,
    ) -> Option<Self> {
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(it) => it,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                let fault = ConfigFault::Unreadable { path: name, why: error.to_string() };
                findings.push(fault.nowhere());
                return None;
            }
        };
        let source = if secret { SourceText::guarded(&*name, text) } else { SourceText::open(&*name, text) };
        let (entries, faults) = dotenv::read(&source);
        findings.extend(errors(faults));
        let value = |text: String| {
            let here = moved.text(&text);
            let there = (here != text).then(|| Secret::new(text));
            Value { here: Secret::new(here), there }
        };
        let values = entries.into_iter().map(|it| (it.key, value(it.value))).collect();
        Some(Self { name, secret, values })
    }
}

impl Layer {
    /// A value as it stands in the file.
    pub(crate) fn get(&self, key: &EnvKey) -> Option<&str> {
        self.values.get(key).map(|it| it.there.as_ref().unwrap_or(&it.here).expose().as_str())
    }
}

impl Files {
    fn read(&self) -> RwLockReadGuard<'_, Vec<Layer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has from now on what `newer` has.
    pub(crate) fn take(&self, newer: &Self) {
        let layers = std::mem::take(&mut *newer.0.write().unwrap_or_else(PoisonError::into_inner));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = layers;
    }
}

impl Layers {
    pub(crate) fn new(environment: Box<dyn EnvSource>, files: Vec<Layer>) -> Self {
        Self { environment, files: Files(Arc::new(RwLock::new(files))) }
    }

    /// Its files, to be replaced when they are read again.
    pub(crate) fn files(&self) -> Files {
        self.files.clone()
    }

    /// Every place that sets `key`, the one that wins first. Set to nothing in the environment is set.
    pub(crate) fn chain(&self, key: &EnvKey) -> Result<Vec<Found>, ConfigFault> {
        let mut chain = Vec::new();
        let mut put = |value: String, source: String, secret: bool, written: Option<&Secret<String>>| {
            chain.push(Found { value: Secret::new(value), source, secret, written: written.cloned() });
        };
        if let Some(value) = self.environment.get(key)? {
            put(value, "the process environment".into(), false, None);
        }
        let named = self.named(key)?;
        if let Some(path) = &named {
            match std::fs::read_to_string(path) {
                Ok(text) => put(line(text), path.display().to_string(), true, None),
                Err(error) => {
                    let why = error.to_string();
                    return Err(ConfigFault::SecretFile { key: key.clone(), path: path.clone(), why });
                }
            }
        }
        let mounted = Path::new(RUN_SECRETS).join(key.as_str());
        if named.is_none_or(|it| it != mounted)
            && let Ok(text) = std::fs::read_to_string(&mounted)
        {
            put(line(text), mounted.display().to_string(), true, None);
        }
        for layer in self.files.read().iter() {
            if let Some(value) = layer.values.get(key) {
                put(value.here.expose().clone(), layer.name.clone(), layer.secret, value.there.as_ref());
            }
        }
        Ok(chain)
    }

    /// What is said beside the generated files: by the process environment, or by a secret that was mounted.
    pub(crate) fn outside(&self, key: &EnvKey) -> Result<Option<String>, ConfigFault> {
        let chain = self.chain(key)?;
        let files = self.files.read();
        let generated = |it: &Found| files.iter().any(|layer| layer.name == it.source);
        Ok(chain.into_iter().find(|it| !generated(it)).map(|it| it.value.expose().clone()))
    }

    /// What the process environment itself says: what was decided elsewhere is held against it.
    pub(crate) fn environment(&self, key: &EnvKey) -> Result<Option<String>, NotUnicode> {
        self.environment.get(key)
    }

    /// The file that `NAME_FILE` names.
    pub(crate) fn named(&self, key: &EnvKey) -> Result<Option<PathBuf>, NotUnicode> {
        let Ok(named) = format!("{key}_FILE").parse() else { return Ok(None) };
        Ok(self.environment.get(&named)?.filter(|it| !it.is_empty()).map(PathBuf::from))
    }
}

/// What processes are given, by the same order.
impl EnvSource for Layers {
    fn get(&self, key: &EnvKey) -> Result<Option<String>, NotUnicode> {
        if let Some(value) = self.environment.get(key)? {
            return Ok(Some(value));
        }
        // A file that cannot be read was told when the configuration was.
        let chain = self.chain(key).unwrap_or_default();
        Ok(chain.into_iter().next().map(|it| it.value.expose().clone()))
    }
}

/// A newline at the end of a file is not part of its value.
fn line(text: String) -> String {
    text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
}
