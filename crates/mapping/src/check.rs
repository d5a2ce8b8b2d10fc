//! Finds what entries of the mapping have wrong between them.

use std::collections::BTreeSet;

use spec::ids::{EnvKey, PortName, ServiceName, StageName};
use spec::model::Binding;
use spec::notes::did_you_mean;
use spec::template::Template;

use crate::document::{MappingDocument, ProbeEntry, ServiceEntry};
use crate::fault::{Flaw, port_key};
use crate::found::Found;
use crate::{environment, lower, ports, stage, volumes};

/// Checks everything that needs more than one entry, and what a field alone can have wrong beyond the schema.
pub(crate) fn document(document: &MappingDocument, found: &mut Found<'_>) {
    for (name, entry) in &document.workers {
        let services = document.services.keys().map(ServiceName::as_str);
        exists(&format!("/workers/{name}/service"), "service", entry.service.as_str(), services, found);
    }
    stages(document, found);
    for (name, entry) in &document.services {
        let path = format!("/services/{name}");
        if !document.workers.values().any(|it| it.service == *name) {
            found.at_key(&path, Flaw::DeadService);
        }
        for (word, probe) in
            [("install", &entry.probes.install), ("run", &entry.probes.run), ("health", &entry.probes.health)]
        {
            probe_fits(&format!("{path}/probes/{word}"), probe, entry, found);
        }
        port_uses(&path, entry, found);
    }
    ports::check(&document.services, found);
    environment::check(document, found);
    volumes::check(&document.services, found);
}

/// Whether `name` is among `known`; if not, says so at `path`.
fn exists<'a>(
    path: &str,
    kind: &'static str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    found: &mut Found<'_>,
) -> bool {
    let there = known.clone().any(|it| it == name);
    if !there {
        let meant = did_you_mean(name, known.clone()).map(str::to_owned);
        let known = known.map(str::to_owned).collect();
        found.at_value(path, Flaw::UnknownReference { kind, name: name.to_owned(), meant, known });
    }
    there
}

fn stages(document: &MappingDocument, found: &mut Found<'_>) {
    let whole = lower::stages(&document.stages);
    let names = document.stages.keys().map(StageName::as_str);
    let services = document.services.keys().map(ServiceName::as_str);
    let mut needed = BTreeSet::new();
    for stage in whole.values().filter_map(|it| stage::smallest(&whole, &it.provides)) {
        needed.insert(&stage.name);
        needed.extend(stage::below(&whole, &stage.name).into_iter().map(|it| &it.name));
    }
    for (name, entry) in &document.stages {
        let path = format!("/stages/{name}");
        if let Some(from) = &entry.from {
            exists(&format!("{path}/from"), "stage", from.as_str(), names.clone(), found);
        }
        let below = stage::below(&whole, name);
        let lowest = below.last().map_or(&entry.from, |it| &it.from);
        if lowest.as_ref() == Some(name) {
            // Every stage of the circle gets here; the first by name tells of it.
            if below.iter().all(|it| it.name > *name) {
                let through = [name].into_iter().chain(below.iter().map(|it| &it.name)).chain([name]);
                let through = through.cloned().collect();
                found.at_value(&format!("{path}/from"), Flaw::StageCycle { through });
            }
        } else if !needed.contains(name)
            && let Some(instead) = stage::smallest(&whole, &whole[name].provides)
        {
            found.at_key(&path, Flaw::DeadStage { instead: instead.name.clone() });
        }
        for (index, service) in entry.provides.iter().enumerate() {
            let path = format!("{path}/provides/{index}");
            if !exists(&path, "service", service.as_str(), services.clone(), found) {
                continue;
            }
            if document.services[service].binding == Binding::Shared {
                found.at_value(&path, Flaw::StageProvidesExternal { service: service.clone() });
            }
            if let Some(has) = below.iter().find(|it| document.stages[&it.name].provides.contains(service)) {
                let (service, stage) = (service.clone(), has.name.clone());
                found.at_value(&path, Flaw::StageProvidesTwice { service, stage });
            }
        }
    }
    for (name, entry) in &document.services {
        let path = format!("/services/{name}/build_stage");
        let Some(build_stage) = entry.build_stage.as_ref().filter(|_| entry.binding != Binding::Shared)
        else {
            continue;
        };
        if !exists(&path, "stage", build_stage.as_str(), names.clone(), found) {
            continue;
        }
        if !whole[build_stage].provides.contains(name) {
            let (stage, service) = (build_stage.clone(), name.clone());
            found.at_value(&path, Flaw::StageLacks { stage, service });
        } else if let Some(smaller) = stage::smallest(&whole, &BTreeSet::from([name.clone()]))
            && smaller.name != *build_stage
        {
            let (smaller, service) = (smaller.name.clone(), name.clone());
            found.at_value(&path, Flaw::StageNotSmallest { smaller, service });
        }
    }
}

fn probe_fits(path: &str, probe: &ProbeEntry, service: &ServiceEntry, found: &mut Found<'_>) {
    let (word, port, variables): (_, Option<&PortName>, &[EnvKey]) = match probe {
        ProbeEntry::Process => ("process", None, &[]),
        ProbeEntry::File { .. } => ("file", None, &[]),
        ProbeEntry::Exec { .. } => ("exec", None, &[]),
        ProbeEntry::Tcp { port } => ("tcp", Some(port), &[]),
        ProbeEntry::Http { port, .. } => ("http", Some(port), &[]),
        ProbeEntry::Variables { set } => ("variables", None, set),
        ProbeEntry::Url { variable, .. } => ("url", None, std::slice::from_ref(variable)),
    };
    let elsewhere = service.binding == Binding::Shared;
    let fits = match probe {
        ProbeEntry::Variables { .. } => true,
        ProbeEntry::Url { .. } => elsewhere,
        _ => !elsewhere,
    };
    if !fits {
        let place = if elsewhere { "elsewhere" } else { "on this machine" };
        found.at_value(path, Flaw::ProbeMisfit { place, probe: word });
    } else if let Some(port) = port {
        let ports = service.ports.iter().map(|it| it.name.as_str());
        exists(&format!("{path}/{word}/port"), "port", port.as_str(), ports, found);
    }
    for (index, key) in variables.iter().enumerate() {
        if !service.required_env.contains(key) && !service.optional_env.contains(key) {
            let place =
                if word == "url" { "url/variable".to_owned() } else { format!("variables/set/{index}") };
            found.at_value(&format!("{path}/{place}"), Flaw::ProbeVariable { key: key.clone() });
        }
    }
    if let ProbeEntry::Http { path: of_url, .. } | ProbeEntry::Url { path: of_url, .. } = probe {
        let appended_nothing = of_url.is_empty() && word == "url";
        if !of_url.starts_with('/') && !appended_nothing {
            found.at_value(&format!("{path}/{word}/path"), Flaw::UrlPath);
        }
    }
}

/// Finds the ports that neither the process nor a probe hears of.
fn port_uses(path: &str, service: &ServiceEntry, found: &mut Found<'_>) {
    let mut texts: Vec<&str> = Vec::new();
    let mut probed: Vec<&PortName> = Vec::new();
    if let Some(start) = &service.start {
        texts.extend(
            start.command.iter().chain(&start.mock_arguments).chain(start.env.values()).map(String::as_str),
        );
    }
    for probe in [&service.probes.install, &service.probes.run, &service.probes.health] {
        match probe {
            ProbeEntry::Tcp { port } | ProbeEntry::Http { port, .. } => probed.push(port),
            ProbeEntry::Exec { command } => texts.extend(command.iter().map(String::as_str)),
            _ => {}
        }
    }
    let templates: Vec<Template> = texts.into_iter().filter_map(|it| Template::parse(it).ok()).collect();
    let mentioned: BTreeSet<&str> =
        templates.iter().flat_map(Template::references).map(EnvKey::as_str).collect();
    for (index, port) in service.ports.iter().enumerate() {
        let first = index == 0 && mentioned.contains("PORT");
        if !first && !probed.contains(&&port.name) && !mentioned.contains(port_key(&port.name).as_str()) {
            found.at_value(&format!("{path}/ports/{index}"), Flaw::DeadPort { port: port.name.clone() });
        }
    }
}
