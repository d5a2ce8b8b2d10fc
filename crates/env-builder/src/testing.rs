//! A whole project in a few lines of text, for tests.

use std::collections::{BTreeMap, BTreeSet};

use spec::dotenv::{self, Entry};
use spec::ids::{ComponentName, EnvKey, SectionName};
use spec::notes::Finding;
use spec::source::{Place, SourceText};

use crate::component::{self, Component};
use crate::environment::Environment;
use crate::interface::{self, Interface};
use crate::pool::{self, Pool, Selection, Sources, Unresolved};
use crate::take::{Derived, Need, take};

pub(crate) fn key(name: &str) -> EnvKey {
    name.parse().unwrap()
}

/// One finding in a line.
pub(crate) fn tell(it: &Finding) -> String {
    let place = it.place.as_ref().map(|it| format!("{it} ")).unwrap_or_default();
    format!("{place}{} {}; {}\n", it.code.id, it.message, it.fix)
}

pub(crate) fn tell_all(findings: &[Finding]) -> String {
    findings.iter().map(tell).collect()
}

pub(crate) struct World {
    profile: SourceText,
    pub(crate) components: Vec<Component>,
    pub(crate) unreadable: BTreeSet<ComponentName>,
    secrets: Vec<Entry>,
    process: BTreeMap<EnvKey, String>,
    pub(crate) interfaces: Vec<Interface>,
    declared: BTreeSet<EnvKey>,
    wanted: BTreeSet<EnvKey>,
}

impl World {
    /// A profile of lines `component: section section` and `KEY=value`.
    pub(crate) fn new(profile: &str) -> Self {
        Self {
            profile: SourceText::open("profile.json", profile),
            components: vec![],
            unreadable: BTreeSet::new(),
            secrets: vec![],
            process: BTreeMap::new(),
            interfaces: vec![],
            declared: BTreeSet::new(),
            wanted: BTreeSet::new(),
        }
    }

    pub(crate) fn component(mut self, name: &str, text: &str) -> Self {
        let source = SourceText::guarded(format!("{name}.env"), text);
        self.components.push(component::parse(name.parse().unwrap(), &source).unwrap());
        self
    }

    pub(crate) fn secrets(mut self, text: &str) -> Self {
        self.secrets = dotenv::parse(&SourceText::guarded("secrets/local.env", text)).unwrap();
        self
    }

    pub(crate) fn process(mut self, name: &str, value: &str) -> Self {
        self.process.insert(key(name), value.to_owned());
        self
    }

    pub(crate) fn interface(mut self, name: &str, text: &str) -> Self {
        let source = SourceText::open(format!("{name}.json"), text);
        self.interfaces.push(interface::read(name.parse().unwrap(), &source).unwrap());
        self
    }

    pub(crate) fn declared(mut self, names: &[&str]) -> Self {
        self.declared.extend(names.iter().copied().map(key));
        self
    }

    pub(crate) fn wanted(mut self, names: &[&str]) -> Self {
        self.wanted.extend(names.iter().copied().map(key));
        self
    }

    fn selection(&self) -> Selection {
        let mut selection = Selection { components: vec![], overrides: vec![] };
        let text = self.profile.text();
        let at = |part: &str| -> Place {
            let start = part.as_ptr() as usize - text.as_ptr() as usize;
            self.profile.at(start..start + part.len())
        };
        for line in text.lines() {
            if let Some((name, sections)) = line.split_once(": ") {
                let sections =
                    sections.split(' ').map(|it| (it.parse::<SectionName>().unwrap(), at(it))).collect();
                selection.components.push((name.parse().unwrap(), sections, at(name)));
            } else if let Some((name, value)) = line.split_once('=') {
                selection.overrides.push((key(name), value.to_owned(), at(value)));
            }
        }
        selection
    }

    pub(crate) fn try_resolve(&self) -> Result<Pool, Box<Unresolved>> {
        let sources = Sources {
            components: &self.components,
            unreadable: &self.unreadable,
            secrets: &self.secrets,
            secrets_file: "secrets/local.env",
            process: &self.process,
            interfaces: &self.interfaces,
            declared_secret: &self.declared,
            wanted: &self.wanted,
        };
        pool::resolve(&self.selection(), &sources)
    }

    pub(crate) fn resolve(&self) -> Pool {
        self.try_resolve().unwrap_or_else(|it| panic!("{}", tell_all(&it.findings)))
    }

    /// What is wrong with it.
    pub(crate) fn faults(&self) -> String {
        tell_all(&self.try_resolve().expect_err("nothing is wrong").findings)
    }

    pub(crate) fn take(
        &self,
        needs: &[Need],
        derived: &[(&str, Derived)],
    ) -> Result<Environment, Vec<Finding>> {
        let derived = derived.iter().map(|(name, it)| (key(name), it.clone())).collect();
        take(&self.resolve(), &self.interfaces, needs, &derived)
    }
}
