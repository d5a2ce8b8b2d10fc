//! Reading a document back, and the rules that its schema cannot express.

use std::collections::{BTreeMap, BTreeSet};

use spec::document;
use spec::ids::ProcessName;
use spec::json::JsonIndex;
use spec::notes::{Finding, Located, did_you_mean, errors};
use spec::source::SourceText;

use crate::document::{App, Ecosystem, Until};
use crate::fault::EcosystemFault;
use crate::limits;

impl Ecosystem {
    /// Reads a document. First its form, then its rules; all faults of either at once, each with its place.
    pub fn read(source: &SourceText) -> Result<Self, Vec<Finding>> {
        let document = document::read_quickly::<Self>(source, limits::hold).map_err(errors)?;
        let mut check = Check { index: &document.index, faults: Vec::new() };
        check.ecosystem(&document.value);
        if check.faults.is_empty() {
            return Ok(document.value);
        }
        check.faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
        Err(errors(check.faults))
    }
}

struct Check<'a> {
    index: &'a JsonIndex,
    faults: Vec<Located<EcosystemFault>>,
}

/// A process and its JSON pointer.
struct Entry<'a> {
    app: &'a App,
    pointer: String,
}

impl Entry<'_> {
    fn is_setup(&self) -> bool {
        self.pointer.starts_with("/setup/")
    }
}

impl Check<'_> {
    fn ecosystem(&mut self, ecosystem: &Ecosystem) {
        let [apps, setup] = ["apps", "setup"].map(|list| (0_usize..).map(move |it| format!("/{list}/{it}")));
        let entries: Vec<Entry<'_>> = (ecosystem.apps.iter().zip(apps))
            .chain(ecosystem.setup.iter().zip(setup))
            .map(|(app, pointer)| Entry { app, pointer })
            .collect();

        let mut by_name: BTreeMap<&ProcessName, &Entry<'_>> = BTreeMap::new();
        for it in &entries {
            if by_name.insert(&it.app.name, it).is_some() {
                self.at(
                    &format!("{}/name", it.pointer),
                    EcosystemFault::DuplicateName { name: it.app.name.clone() },
                );
            }
        }
        let mut ports = BTreeMap::from([(ecosystem.health_port, "the health server".to_owned())]);
        for it in &entries {
            for (name, &port) in &it.app.roster.ports {
                if let Some(first) = ports.insert(port, format!("`{}`", it.app.name)) {
                    let fault = EcosystemFault::DuplicatePort { port, first, second: it.app.name.clone() };
                    self.at(&format!("{}/roster/ports/{name}", it.pointer), fault);
                }
            }
            for key in it.app.roster.secrets.iter().filter(|key| it.app.env.contains_key(*key)) {
                let fault = EcosystemFault::SecretValue { process: it.app.name.clone(), key: key.clone() };
                self.at(&format!("{}/env/{key}", it.pointer), fault);
            }
            if it.app.autorestart && it.is_setup() {
                let fault = EcosystemFault::EndlessSetup { process: it.app.name.clone() };
                self.at(&format!("{}/autorestart", it.pointer), fault);
            }
            self.dependencies(it, &by_name);
        }
        self.cycles(&by_name);
    }

    fn dependencies(&mut self, entry: &Entry<'_>, by_name: &BTreeMap<&ProcessName, &Entry<'_>>) {
        let process = &entry.app.name;
        for (dependency, place) in entry.app.roster.depends_on.iter().zip(0..) {
            let pointer = format!("{}/roster/depends_on/{place}", entry.pointer);
            let (on, until) = (&dependency.name, dependency.until);
            match by_name.get(on) {
                None => {
                    let names = by_name.keys().map(|it| it.as_str());
                    let meant = did_you_mean(on.as_str(), names).map(str::to_owned);
                    let fault =
                        EcosystemFault::NoSuchProcess { process: process.clone(), on: on.clone(), meant };
                    self.at(&format!("{pointer}/name"), fault);
                }
                Some(target) if (until == Until::Completed) != target.is_setup() => {
                    let fault = EcosystemFault::NeverTrue { process: process.clone(), on: on.clone(), until };
                    self.at(&format!("{pointer}/until"), fault);
                }
                Some(_) => {}
            }
        }
    }

    /// Follows every dependency once, depth first; one that leads back to where the walk came from closes a cycle.
    fn cycles(&mut self, by_name: &BTreeMap<&ProcessName, &Entry<'_>>) {
        let mut done = BTreeSet::new();
        for (&start, entry) in by_name {
            let mut path = vec![(start, entry.app.roster.depends_on.iter())];
            while let Some((name, rest)) = path.last_mut() {
                let Some(dependency) = rest.next() else {
                    done.insert(*name);
                    path.pop();
                    continue;
                };
                let Some((&next, entry)) = by_name.get_key_value(&dependency.name) else { continue };
                if done.contains(next) {
                    continue;
                }
                if let Some(begin) = path.iter().position(|(it, _)| *it == next) {
                    let cycle = path[begin..].iter().map(|(it, _)| *it).chain([next]).cloned().collect();
                    let pointer = format!("{}/roster/depends_on", entry.pointer);
                    self.at(&pointer, EcosystemFault::Cycle { path: cycle });
                } else {
                    path.push((next, entry.app.roster.depends_on.iter()));
                }
            }
        }
    }

    fn at(&mut self, pointer: &str, fault: EcosystemFault) {
        self.faults.push(Located { fault, place: self.index.value(pointer) });
    }
}
