//! From what people wrote to one plan with all its artefacts. Every step goes on with what it understood, so that one
//! run tells everything that is wrong.
//!
//! ```text
//! mapping ─┐
//! profile ─┼─ pool of variables ─ roster ─ workload ─ allocation ─ environment ─ ecosystem
//! files  ──┘                                  inventory ─┘
//! ```

mod additional;
mod derived;
mod inputs;
mod loopback;
mod machine;
mod roster;

pub use machine::{Planned, plan};

use std::collections::BTreeSet;
use std::sync::Arc;

use env_builder::pool::Pool;
use spec::ids::{EnvKey, MachineId};
use spec::model::{Catalog, EnvNeed};
use spec::notes::{Code, Finding, Located};
use spec::source::SourceText;

use crate::layout::Layout;
use crate::redact::Redactor;
use crate::world::World;

/// Every code of this module.
pub const CODES: &[Code] = &[
    additional::SECRET,
    derived::SETTING,
    derived::ALIAS,
    roster::UNSAID,
    roster::TWO,
    machine::HARDWARE,
    machine::ASSUMED,
    machine::NOT_DETECTED,
    machine::UNPUBLISHED,
    machine::UNREACHABLE,
    loopback::LOOPBACK,
];

/// What every machine of one run is planned with.
pub struct Setup<'a> {
    /// Where the documents are.
    pub layout: &'a Layout,
    /// The world.
    pub world: &'a World,
    /// The service mapping as it is written.
    pub mapping: SourceText,
    /// What it offers.
    pub catalog: Catalog,
}

/// What planning one machine came to. Findings and a plan can be there together: advice, or a value that is missing.
pub struct Outcome {
    /// The plan, when there is one.
    pub planned: Option<Planned>,
    /// The variables, as far as they were understood, for `explain`.
    pub pool: Option<Arc<Pool>>,
    /// Errors and advice.
    pub findings: Vec<Finding>,
    /// Knows the secrets that were read.
    pub redactor: Redactor,
}

/// Whose plan it is to be.
#[derive(Clone, Debug)]
pub enum Identity {
    /// The default machine: `MACHINE_ID`, else the profile's name.
    Default,
    /// A named machine beside it.
    Named(MachineId),
}

impl<'a> Setup<'a> {
    /// Reads the mapping.
    pub fn read(layout: &'a Layout, world: &'a World) -> Result<Self, Vec<Finding>> {
        let mapping = layout.mapping().map_err(|error| vec![Finding::error(Located::nowhere(error))])?;
        let catalog = mapping::load(&mapping)?;
        Ok(Self { layout, world, mapping, catalog })
    }

    /// Every variable that the mapping or a plan may ask for.
    fn wanted(&self) -> BTreeSet<EnvKey> {
        let services = self.catalog.services.values();
        let ports = services
            .filter_map(|it| it.local())
            .flat_map(|it| &it.ports)
            .filter_map(|it| it.variable.clone());
        self.needs().map(|it| it.key.clone()).chain(ports).chain(derived::asked_for()).collect()
    }

    /// Every variable that the mapping declares secret.
    fn declared_secret(&self) -> BTreeSet<EnvKey> {
        self.needs().filter(|it| it.secret).map(|it| it.key.clone()).collect()
    }

    fn needs(&self) -> impl Iterator<Item = &EnvNeed> {
        let workers = self.catalog.workers.values().flat_map(|it| &it.env);
        workers.chain(self.catalog.services.values().flat_map(|it| &it.env))
    }
}
