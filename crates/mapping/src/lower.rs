//! From what people wrote to what cannot contradict itself. Finds what a single entry has wrong.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::sync::Arc;

use spec::ids::{EnvKey, ServiceName, StageName, WorkerName};
use spec::model::{
    Binding, BuildStage, Catalog, EnvNeed, Hosting, LocalService, Occupies, PLACEHOLDERS, PortRule, Probe,
    Probes, ServiceType, Start, Volume, WorkerType,
};
use spec::template::Template;

use crate::document::{MappingDocument, ProbeEntry, ServiceEntry, StageEntry, StartEntry, WorkerEntry};
use crate::fault::{Flaw, port_key};
use crate::found::Found;
use crate::install;

/// The catalog, or `None` when an entry could not be lowered; why is in `found`.
pub(crate) fn catalog(document: &MappingDocument, found: &mut Found<'_>) -> Option<Catalog> {
    let lowered: Vec<_> = document.services.iter().map(|(name, entry)| service(name, entry, found)).collect();
    let services = lowered.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Catalog {
        workers: document
            .workers
            .iter()
            .map(|(name, entry)| (name.clone(), Arc::new(worker(name, entry))))
            .collect(),
        services: services.into_iter().map(|it| (it.name.clone(), Arc::new(it))).collect(),
        stages: stages(&document.stages),
    })
}

/// The stages with all that they provide.
pub(crate) fn stages(entries: &BTreeMap<StageName, StageEntry>) -> BTreeMap<StageName, BuildStage> {
    let own = |(name, entry): (&StageName, &StageEntry)| {
        let provides = entry.provides.iter().cloned().collect();
        (name.clone(), BuildStage { name: name.clone(), from: entry.from.clone(), provides })
    };
    let own: BTreeMap<StageName, BuildStage> = entries.iter().map(own).collect();
    let whole = |stage: &BuildStage| {
        let inherited = crate::stage::below(&own, &stage.name).into_iter().flat_map(|it| &it.provides);
        let provides = stage.provides.iter().chain(inherited).cloned().collect();
        (stage.name.clone(), BuildStage { provides, ..stage.clone() })
    };
    own.values().map(whole).collect()
}

fn worker(name: &WorkerName, entry: &WorkerEntry) -> WorkerType {
    WorkerType {
        name: name.clone(),
        description: entry.description.clone(),
        service: entry.service.clone(),
        connector: entry.connector,
        accepts: entry.accepts.clone(),
        isolation: entry.isolation,
        env: needs(&entry.required_env, &entry.optional_env, &entry.secret_env),
        memory_mib: entry.memory_mib,
        stop_grace_s: entry.stop_grace_s,
    }
}

/// The required ones, then the optional ones.
fn needs(required: &[EnvKey], optional: &[EnvKey], secret: &[EnvKey]) -> Vec<EnvNeed> {
    let need = |key: &EnvKey, required| EnvNeed { key: key.clone(), required, secret: secret.contains(key) };
    required.iter().map(|it| need(it, true)).chain(optional.iter().map(|it| need(it, false))).collect()
}

fn service(name: &ServiceName, entry: &ServiceEntry, found: &mut Found<'_>) -> Option<ServiceType> {
    let path = format!("/services/{name}");
    let templates = Templates::of(entry);
    let hosting = hosting(&path, entry, &templates, found);
    let mut probe =
        |word: &str, entry: &ProbeEntry| probe(&format!("{path}/probes/{word}"), entry, &templates, found);
    let install = probe("install", &entry.probes.install);
    let run = probe("run", &entry.probes.run);
    let health = probe("health", &entry.probes.health);
    Some(ServiceType {
        name: name.clone(),
        description: entry.description.clone(),
        hosting: hosting?,
        env: needs(&entry.required_env, &entry.optional_env, &entry.secret_env),
        probes: Probes { install: install?, run: run?, health: health? },
    })
}

/// What a binding has to say about a field.
enum Rule {
    Needed,
    Allowed,
    Forbidden,
}

fn rule(binding: Binding, field: &str) -> Rule {
    match (binding, field) {
        (Binding::Shared, _)
        | (Binding::Gpu, "instances_per_machine")
        | (Binding::Cpu, "instances_per_gpu" | "vram_mib" | "exclusive") => Rule::Forbidden,
        (_, "build_stage" | "start") | (Binding::Gpu, "vram_mib") => Rule::Needed,
        _ => Rule::Allowed,
    }
}

fn hosting(
    path: &str,
    entry: &ServiceEntry,
    templates: &Templates,
    found: &mut Found<'_>,
) -> Option<Hosting> {
    let binding = entry.binding;
    let fields = [
        ("build_stage", entry.build_stage.is_some()),
        ("install", entry.install.is_some()),
        ("instances_per_gpu", entry.instances_per_gpu.is_some()),
        ("instances_per_machine", entry.instances_per_machine.is_some()),
        ("vram_mib", entry.vram_mib.is_some()),
        ("exclusive", entry.exclusive.is_some()),
        ("memory_mib", entry.memory_mib.is_some()),
        ("ports", !entry.ports.is_empty()),
        ("start", entry.start.is_some()),
        ("volumes", !entry.volumes.is_empty()),
    ];
    for (field, present) in fields {
        match rule(binding, field) {
            Rule::Needed if !present => found.at_key(path, Flaw::FieldNeeded { binding, field }),
            Rule::Forbidden if present => {
                found.at_key(&format!("{path}/{field}"), Flaw::FieldForbidden { binding, field });
            }
            Rule::Needed | Rule::Allowed | Rule::Forbidden => {}
        }
    }
    let start = entry.start.as_ref().map(|it| start(&format!("{path}/start"), it, templates, found));
    if let Some(install) = &entry.install {
        install::check(&format!("{path}/install"), install, entry, templates, found);
    }
    let occupies = match binding {
        Binding::Shared => return Some(Hosting::External),
        Binding::Gpu => Occupies::Gpu {
            instances_per_gpu: entry.instances_per_gpu.unwrap_or(NonZeroU8::MIN),
            vram_mib: entry.vram_mib?,
            exclusive: entry.exclusive.unwrap_or(false),
        },
        Binding::Cpu => {
            Occupies::Machine { instances: entry.instances_per_machine.unwrap_or(NonZeroU16::MIN) }
        }
    };
    let ports = (entry.ports.iter().enumerate()).map(|(index, it)| PortRule {
        name: it.name.clone(),
        base: it.base,
        increment: it.increment,
        variable: it.variable.clone(),
        base_from: found.place(&format!("{path}/ports/{index}/base")),
    });
    let volumes = entry.volumes.iter();
    Some(Hosting::Local(LocalService {
        occupies,
        build_stage: entry.build_stage.clone()?,
        install: entry.install.clone().map(Box::new),
        ports: ports.collect(),
        start: start??,
        volumes: volumes
            .map(|it| Volume { name: it.name.clone(), path: it.path.clone(), read_only: it.read_only })
            .collect(),
        memory_mib: entry.memory_mib.unwrap_or(const { NonZeroU32::new(4096).expect("not zero") }),
    }))
}

fn start(path: &str, entry: &StartEntry, templates: &Templates, found: &mut Found<'_>) -> Option<Start> {
    let command = templates.list(&format!("{path}/command"), &entry.command, found);
    let mock_arguments = templates.list(&format!("{path}/mock_arguments"), &entry.mock_arguments, found);
    let working_directory =
        templates.path(&format!("{path}/working_directory"), &entry.working_directory, found);
    let env: Vec<_> = (entry.env.iter())
        .map(|(key, text)| Some((key.clone(), templates.one(&format!("{path}/env/{key}"), text, found)?)))
        .collect();
    Some(Start {
        command: command?,
        mock_arguments: mock_arguments?,
        working_directory: working_directory?,
        env: env.into_iter().collect::<Option<_>>()?,
        ready_within_s: entry.ready_within_s,
        stop_grace_s: entry.stop_grace_s,
    })
}

fn probe(path: &str, entry: &ProbeEntry, templates: &Templates, found: &mut Found<'_>) -> Option<Probe> {
    Some(match entry {
        ProbeEntry::Process => Probe::Process,
        ProbeEntry::File { path: file } => {
            Probe::File { path: templates.path(&format!("{path}/file/path"), file, found)? }
        }
        ProbeEntry::Exec { command } => {
            Probe::Exec { command: templates.list(&format!("{path}/exec/command"), command, found)? }
        }
        ProbeEntry::Tcp { port } => Probe::Tcp { port: port.clone() },
        ProbeEntry::Http { port, path } => Probe::Http { port: port.clone(), path: path.clone() },
        ProbeEntry::Variables { set } => Probe::Variables { set: set.iter().cloned().collect() },
        ProbeEntry::Url { variable, path } => Probe::Url { variable: variable.clone(), path: path.clone() },
    })
}

/// Reads the templates of one service, whose ports decide what may stand in them.
pub(crate) struct Templates {
    known: Vec<String>,
}

impl Templates {
    fn of(entry: &ServiceEntry) -> Self {
        let always = PLACEHOLDERS.iter().filter(|it| **it != "PORT" || !entry.ports.is_empty());
        let ports = entry.ports.iter().map(|it| port_key(&it.name));
        Self { known: always.map(|it| (*it).to_owned()).chain(ports).collect() }
    }

    /// Those of an install: of the machine, and the variables that may be told to anybody.
    pub(crate) fn of_install(entry: &ServiceEntry, more: &[&str]) -> Self {
        let public = entry.required_env.iter().chain(&entry.optional_env);
        let public = public.filter(|it| !entry.secret_env.contains(it)).map(ToString::to_string);
        let known = ["WORKSPACE"].iter().chain(more).map(|it| (*it).to_owned());
        Self { known: known.chain(public).collect() }
    }

    pub(crate) fn one(&self, path: &str, text: &str, found: &mut Found<'_>) -> Option<Template> {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(faults) => {
                for (_, fault) in faults {
                    found.at_value(path, Flaw::Template(fault));
                }
                return None;
            }
        };
        let mut sound = true;
        for name in template.references().filter(|it| !self.known.iter().any(|known| known == it.as_str())) {
            found.at_value(path, Flaw::UnknownPlaceholder { name: name.clone(), known: self.known.clone() });
            sound = false;
        }
        sound.then_some(template)
    }

    pub(crate) fn list(&self, path: &str, texts: &[String], found: &mut Found<'_>) -> Option<Vec<Template>> {
        let read: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(index, it)| self.one(&format!("{path}/{index}"), it, found))
            .collect();
        read.into_iter().collect()
    }

    /// A template of a path that is absolute once it is expanded.
    pub(crate) fn path(&self, path: &str, text: &str, found: &mut Found<'_>) -> Option<Template> {
        let rest = text.strip_prefix("${WORKSPACE}");
        if !text.starts_with('/') && !rest.is_some_and(|it| it.is_empty() || it.starts_with('/')) {
            found.at_value(path, Flaw::PathNotAbsolute);
        }
        self.one(path, text, found)
    }
}
