//! Compose files: each service that has a roster is a machine.

mod fields;
mod interpolate;
mod mounts;
mod variables;

use std::collections::BTreeMap;

use spec::ids::EnvKey;
use spec::notes::{Finding, Located, errors};
use spec::source::{Place, SourceText};

use self::variables::Layers;
use crate::Files;
use crate::codes;
use crate::draft::Draft;
use crate::fault::ImportFault;
use crate::names::{self, Fate};
use crate::offer::Offer;
use crate::report::Report;
use crate::tree::{Member, Node, Value};
use crate::yaml;

/// The variable by which a machine of Roster knows its processes.
const ECOSYSTEM: &str = "ROSTER_ECOSYSTEM";

/// Reads a compose file into a draft for each machine.
pub(crate) fn read(
    source: &SourceText,
    files: &dyn Files,
    only: Option<&str>,
    offer: &Offer,
    report: &mut Report,
    findings: &mut Vec<Finding>,
) -> Vec<Draft> {
    let root = match yaml::read(source) {
        Ok(root) => root,
        Err(faults) => {
            findings.extend(errors(faults));
            return Vec::new();
        }
    };
    let form = |place: &Place, what: String, expected| {
        Finding::error(Located::at(place.clone(), ImportFault::Form { what, expected }))
    };
    let services = match root.get("services") {
        Some(Node { value: Value::Map(services), .. }) => services,
        other => {
            let place = other.map_or(&root.place, |it| &it.place);
            findings.push(form(place, "`services`".into(), "a mapping of services"));
            return Vec::new();
        }
    };
    let wrong = services.iter().filter(|it| !matches!(it.value.value, Value::Map(_)));
    findings.extend(wrong.map(|it| form(&it.place, format!("the service `{}`", it.key), "a mapping")));
    fields::of_document(&root, report);

    let mut reader = Reader { root: &root, files, offer, report, findings };
    let beside = reader.beside();
    let mut drafts = Vec::new();
    let mut others = Vec::new();
    for service in services {
        let layers = variables::layers(&mut reader, service, &beside);
        if !is_machine(&layers) {
            others.push(service);
        } else if only.is_none_or(|it| it == service.key) {
            drafts.push(reader.machine(service, layers));
        }
    }
    if let Some(name) = only.filter(|_| drafts.is_empty()) {
        reader.findings.push(form(
            &root.place,
            format!("the service `{name}`"),
            "one of the file that has a roster",
        ));
    }
    if drafts.is_empty() && reader.findings.is_empty() {
        let fault = ImportFault::NoWorker { profile: source.name().to_owned() };
        reader.findings.push(Finding::error(Located::at(root.place.clone(), fault)));
    }
    for service in others {
        reader.other(service, &mut drafts);
    }
    named_apart(&mut drafts, reader.report);
    drafts
}

/// Machines of one name would take each other's place in Redis: a name that several have is no name.
fn named_apart(drafts: &mut [Draft], report: &mut Report) {
    let mut named: BTreeMap<String, Vec<&mut Draft>> = BTreeMap::new();
    for draft in drafts {
        if let Some(name) = crate::variables::machine_id(draft) {
            named.entry(name.to_owned()).or_default().push(draft);
        }
    }
    for draft in named.into_values().filter(|it| it.len() > 1).flatten() {
        for said in draft.said.remove("MACHINE_ID").unwrap_or_default() {
            let why = "other machines of the file have this name too";
            let fix = "say one for each; left out, it is the profile's name";
            report.decide(codes::SETTING, "`MACHINE_ID`", why, fix, &said.place);
        }
    }
}

/// What reading a compose file needs.
struct Reader<'a> {
    root: &'a Node,
    files: &'a dyn Files,
    offer: &'a Offer,
    report: &'a mut Report,
    findings: &'a mut Vec<Finding>,
}

/// A Redis, by its name or image.
fn is_redis(service: &Member) -> bool {
    let image = service.value.get("image").and_then(Node::scalar).unwrap_or_default();
    let program = image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
    service.key == "redis" || ["redis", "valkey"].contains(&program)
}

/// A service with workers.
fn is_machine(layers: &Layers) -> bool {
    let says = |key: &EnvKey| {
        key.as_str() == ECOSYSTEM || names::find(key.as_str()).is_some_and(|it| it.fate == Fate::Roster)
    };
    layers.said.iter().any(|(key, said)| says(key) && !said.value.is_empty())
}

impl Reader<'_> {
    /// What Compose puts in place of `${NAME}`, as far as a file says it: `.env` beside the compose file.
    fn beside(&mut self) -> Vec<(EnvKey, String)> {
        let Some(file) = self.files.read(".env") else { return Vec::new() };
        let entries = crate::env::entries(&file, self.findings);
        entries.into_iter().map(|(key, said)| (key, said.value)).collect()
    }

    fn machine(&mut self, service: &Member, layers: Layers) -> Draft {
        let mut draft = Draft::new(service.place.clone());
        draft.name = service.key.parse().ok();
        let what = format!("service `{}`", service.key);
        self.report.renamed(what, "a machine with a profile of its own", "", &service.place);
        for (key, said) in layers.said {
            draft.say(key, said);
        }
        for it in service.value.members() {
            match it.key.as_str() {
                "ports" => mounts::ports(it, self.offer, &mut draft, self.report),
                "volumes" => mounts::volumes(it, self.offer, self.report),
                _ => fields::of_machine(it, &mut draft, self.report),
            }
        }
        draft
    }

    /// A service without workers: Redis, a container beside the machines, or somebody else's.
    fn other(&mut self, service: &Member, drafts: &mut [Draft]) {
        let what = format!("service `{}`", service.key);
        if is_redis(service) {
            for it in drafts {
                it.redis = Some((service.key.clone(), service.place.clone()));
            }
            return;
        }
        let image = service.value.get("image").and_then(Node::scalar).unwrap_or_default();
        match fields::additional(service, &image) {
            Ok(document) => {
                self.report.renamed(what, "`docker.additional_services`", "", &service.place);
                for it in drafts {
                    it.additional.insert(service.key.clone(), document.clone());
                }
            }
            Err(why) => {
                let fix =
                    "leave it with the system it belongs to, or put it into `docker-compose.override.yaml`";
                self.report.decide(codes::FOREIGN, what, why, fix, &service.place);
            }
        }
    }
}
