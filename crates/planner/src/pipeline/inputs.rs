//! Everything that is read for one machine, and the pool of variables made of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use env_builder::component::{self, Component};
use env_builder::interface::{self, Interface};
use env_builder::pool::{self, Pool, Selection, Sources};
use spec::dotenv::Entry;
use spec::ids::{ComponentName, EnvKey, SectionName, ServiceName};
use spec::notes::{Finding, Located, errors};

use super::Setup;
use crate::layout::Layout;
use crate::profile::Profile;
use crate::redact::Redactor;
use crate::request::Request;

/// What was read for one machine.
pub(super) struct Inputs {
    pub(super) profile: Option<Profile>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) pool: Arc<Pool>,
}

impl Inputs {
    /// Whether a variable or a value is a secret, or holds one.
    pub(super) fn is_secret(&self, setup: &Setup<'_>, key: Option<&EnvKey>, value: &str) -> bool {
        let mut takes = self.interfaces.iter().flat_map(|it| &it.takes).filter(|it| it.secret);
        key.is_some_and(|key| setup.declared_secret().contains(key) || takes.any(|it| it.app == *key))
            || pool::has_password(value)
            || self
                .pool
                .secret_values()
                .any(|it| Redactor::guards(it.expose()) && value.contains(it.expose()))
    }
}

/// Reads and resolves. `None` when the profile itself cannot be read: everything else hangs on it.
pub(super) fn read(
    setup: &Setup<'_>,
    request: &Request,
    findings: &mut Vec<Finding>,
    redactor: &mut Redactor,
) -> Option<Inputs> {
    let layout = setup.layout;
    let profile = match &request.profile {
        None => None,
        Some(name) => {
            let source = layout.profile(name).map_err(|error| vec![Finding::error(Located::nowhere(error))]);
            let read = source.and_then(|source| Profile::read(name.clone(), source).map_err(errors));
            Some(read.map_err(|found| findings.extend(found)).ok()?)
        }
    };
    let (components, unreadable) = components(setup, profile.as_ref(), findings);
    let interfaces = interfaces(setup, profile.as_ref(), findings);
    let secrets_name = profile.as_ref().and_then(|it| it.document().secrets.clone());
    let secrets = secrets_name.as_ref().map_or_else(Vec::new, |name| secrets(setup, name, findings));
    for entry in &secrets {
        redactor.learn(&entry.value);
    }
    let secrets_file =
        secrets_name.map_or_else(|| "a secrets file of the profile".into(), |it| Layout::secrets_path(&it));
    let selection = Selection {
        components: profile.as_ref().map(Profile::components).unwrap_or_default(),
        overrides: profile.as_ref().map(Profile::overrides).unwrap_or_default(),
    };
    let sources = Sources {
        components: &components,
        unreadable: &unreadable,
        secrets: &secrets,
        secrets_file: &secrets_file,
        process: &*setup.world.environment,
        interfaces: &interfaces,
        declared_secret: &setup.declared_secret(),
        wanted: &setup.wanted(),
    };
    let pool = pool::resolve(&selection, &sources).unwrap_or_else(|unresolved| {
        findings.extend(unresolved.findings);
        unresolved.understood
    });
    findings.extend(pool.advice().iter().cloned());
    for value in pool.secret_values() {
        redactor.learn(value.expose());
    }
    Some(Inputs { profile, interfaces, pool: Arc::new(pool) })
}

/// Every component file that reads well, and the names of those that do not. Only the faults of those that the profile
/// names are told: a broken file that nothing uses is for `check`.
fn components(
    setup: &Setup<'_>,
    profile: Option<&Profile>,
    findings: &mut Vec<Finding>,
) -> (Vec<Component>, BTreeSet<ComponentName>) {
    let (mut read, mut unreadable) = (Vec::new(), BTreeSet::new());
    for found in setup.layout.components() {
        match found {
            Err(error) => findings.push(Finding::error(Located::nowhere(error))),
            Ok((name, source)) => match component::parse(name.clone(), &source) {
                Ok(component) => read.push(component),
                Err(faults) => {
                    if profile.is_some_and(|it| it.document().components.contains_key(&name)) {
                        findings.extend(errors(faults));
                    }
                    unreadable.insert(name);
                }
            },
        }
    }
    (read, unreadable)
}

/// The interfaces that the profile names; that of the machine without a profile.
fn interfaces(setup: &Setup<'_>, profile: Option<&Profile>, findings: &mut Vec<Finding>) -> Vec<Interface> {
    let machine = || "machine".parse().map(|it: ServiceName| vec![it]).unwrap_or_default();
    let names = profile.map_or_else(machine, |it| it.document().services.clone());
    let mut read = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        match setup.layout.interface(&name) {
            Ok(source) => match interface::read(name, &source) {
                Ok(interface) => read.push(interface),
                Err(found) => findings.extend(found),
            },
            Err(error) => {
                let place = profile.map(|it| it.place(&format!("/services/{index}")));
                findings.push(Finding::error(Located { fault: error, place }));
            }
        }
    }
    read
}

fn secrets(setup: &Setup<'_>, name: &SectionName, findings: &mut Vec<Finding>) -> Vec<Entry> {
    match setup.layout.secrets(name) {
        Ok(None) => Vec::new(),
        Ok(Some(source)) => {
            let (entries, faults) = spec::dotenv::read(&source);
            findings.extend(errors(faults));
            entries
        }
        Err(error) => {
            findings.push(Finding::error(Located::nowhere(error)));
            Vec::new()
        }
    }
}
