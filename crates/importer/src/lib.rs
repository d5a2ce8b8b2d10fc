//! The way from the PM2 and Node system to Roster: its env files, ecosystems and compose files become profiles and secrets
//! files, and a report says what became of each thing in them.
//!
//! It is pure: texts come in with what the project offers, proposals and a report go out. Values are in no message; those of
//! secrets are in the secrets files of the proposal and nowhere else.
//!
//! ```
//! use importer::{Offer, OfferedWorker, Outcome, Wishes};
//! use spec::{model::Binding, source::SourceText};
//!
//! let worker = OfferedWorker { service: "openai".parse().unwrap(), binding: Binding::Shared, env: Vec::new() };
//! let mut offer = Offer::default();
//! offer.workers.insert("openai".parse().unwrap(), worker);
//! let old = SourceText::guarded(".env.gpu-box", "WORKERS=openai:4\nNODE_ENV=production\n");
//! let import = importer::env(&[old], &Wishes::default(), &offer).unwrap();
//! assert_eq!(import.machines[0].roster, "openai:4");
//! let node = import.items.iter().find(|it| it.what == "`NODE_ENV`").unwrap();
//! assert_eq!(node.outcome, Outcome::Dropped);
//! ```

pub mod codes;
mod compose;
mod document;
mod draft;
mod ecosystem;
mod env;
mod fault;
mod json;
mod names;
mod offer;
mod proposal;
mod report;
mod roster;
mod tree;
mod variables;
mod yaml;

pub use document::{FilePart, ImportDocument, MachinePart};
pub use fault::{ImportFault, MAX_BYTES};
pub use names::markdown;
pub use offer::{Offer, OfferedPort, OfferedService, OfferedWorker, Published};
pub use proposal::{File, Machine};
pub use report::{Item, Outcome, Where, render};

use std::num::NonZeroU32;

use spec::ids::ProfileName;
use spec::notes::{Finding, Located};
use spec::source::SourceText;

use crate::draft::{Draft, agreed};
use crate::report::Report;

/// What people say beside the files.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The profile's name; with several machines, the beginning of their names.
    pub name: Option<ProfileName>,
    /// The roster, instead of what the files say.
    pub roster: Option<SourceText>,
    /// The only machine of a compose file that is meant, by the name of its service.
    pub service: Option<String>,
    /// The memory of each GPU in MiB, for the profile's `hardware`.
    pub gpus: Option<Vec<NonZeroU32>>,
}

/// An import that was understood.
#[derive(Clone, Debug)]
pub struct Import {
    /// A proposal for each machine.
    pub machines: Vec<Machine>,
    /// What became of each thing.
    pub items: Vec<Item>,
}

impl Import {
    /// How many things are left to decide.
    pub fn open(&self) -> usize {
        self.items.iter().filter(|it| it.outcome == Outcome::Decide).count()
    }
}

/// Where the files come from that a compose file names: relative to it, as it names them.
pub trait Files {
    /// The text of a file; `None` when it is not there.
    fn read(&self, path: &str) -> Option<SourceText>;
}

/// Imports the env files of one machine.
pub fn env(files: &[SourceText], wishes: &Wishes, offer: &Offer) -> Result<Import, Vec<Finding>> {
    let mut findings = Vec::new();
    let draft = env::read(files, &mut findings);
    finish(vec![draft], wishes, offer, Report::default(), findings)
}

/// Imports an ecosystem: what `pm2 start` is given, or what `pm2 jlist` and `pm2 save` write, as JSON.
pub fn ecosystem(file: &SourceText, wishes: &Wishes, offer: &Offer) -> Result<Import, Vec<Finding>> {
    let (mut report, mut findings) = (Report::default(), Vec::new());
    let draft = ecosystem::read(file, offer, &mut report, &mut findings);
    finish(draft.into_iter().collect(), wishes, offer, report, findings)
}

/// Imports a compose file: a machine for each service that has a roster.
pub fn compose(
    file: &SourceText,
    files: &dyn Files,
    wishes: &Wishes,
    offer: &Offer,
) -> Result<Import, Vec<Finding>> {
    let (mut report, mut findings) = (Report::default(), Vec::new());
    let drafts = compose::read(file, files, wishes.service.as_deref(), offer, &mut report, &mut findings);
    finish(drafts, wishes, offer, report, findings)
}

/// The proposals of what was read, or everything that is wrong.
fn finish(
    drafts: Vec<Draft>,
    wishes: &Wishes,
    offer: &Offer,
    mut report: Report,
    mut findings: Vec<Finding>,
) -> Result<Import, Vec<Finding>> {
    let several = drafts.len() > 1;
    if let Some(wish) = wishes.roster.as_ref().filter(|_| several) {
        findings.push(Finding::error(Located::at(
            wish.whole(),
            ImportFault::ManyMachines { count: drafts.len() },
        )));
    }
    let mut machines: Vec<Machine> = Vec::new();
    for draft in drafts {
        let name = name(&draft, wishes, several);
        if machines.iter().any(|it| it.profile == name) {
            let fault = ImportFault::Twice { key: name.to_string(), first_line: 1 };
            findings.push(Finding::error(Located::at(draft.place.clone(), fault)));
        }
        machines.extend(proposal::machine(&draft, name, wishes, offer, &mut report, &mut findings));
    }
    if findings.is_empty() { Ok(Import { machines, items: report.finish() }) } else { Err(findings) }
}

/// The name of a machine's profile: as people say, else as its files do.
fn name(draft: &Draft, wishes: &Wishes, several: bool) -> ProfileName {
    let said = |key: &str| {
        let said = draft.said.iter().find(|it| it.0.as_str() == key)?.1;
        agreed(said)?.value.parse::<ProfileName>().ok()
    };
    match &wishes.name {
        Some(name) if several => {
            let own = draft.name.as_ref().map_or("", ProfileName::as_str);
            format!("{name}-{own}").parse().unwrap_or_else(|_| name.clone())
        }
        Some(name) => name.clone(),
        None => {
            let own = said("ROSTER_PROFILE").or_else(|| draft.name.clone()).or_else(|| said("CURRENT_ENV"));
            let machine = || {
                let said = agreed(draft.said.iter().find(|it| it.0.as_str() == "MACHINE_ID")?.1)?;
                variables::without_chance(&said.value).parse().ok()
            };
            own.or_else(machine).unwrap_or_else(|| "imported".parse().expect("a name"))
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
