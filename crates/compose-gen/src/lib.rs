//! Plans lowered to one hardened `docker-compose.yaml`.
//!
//! The file is written whole from a [`Project`], never patched: one always started machine, further machines under
//! compose profiles, Redis when a machine wants it here, and what a profile adds. Nothing is decided in this crate
//! that a plan has decided; what it adds is the container around it: limits, networks, volumes, health, hardening.
//!
//! No secret value can get in: a [`Project`] has only the paths of secret files.
//!
//! ```
//! use std::{collections::BTreeMap, sync::Arc};
//! use spec::model::{AllocationPlan, BuildStage, HEALTH_PORT, Inventory, InventoryOrigin, PlanParts};
//!
//! let plan = AllocationPlan::try_new(PlanParts {
//!     machine: "roster-local".parse()?,
//!     inventory: Inventory {
//!         origin: InventoryOrigin::Declared,
//!         gpus: vec![],
//!         cpu_cores: 4.try_into()?,
//!         memory_mib: 8192.try_into()?,
//!     },
//!     workspace: "/workspace".into(),
//!     health_port: HEALTH_PORT,
//!     published: false,
//!     stage: BuildStage { name: "base".parse()?, from: None, provides: [].into() },
//!     services: vec![],
//!     workers: vec![],
//! }).expect("an empty machine breaks no rule");
//! let text = compose_gen::lower(&compose_gen::Project {
//!     name: "roster".parse()?,
//!     header: "Generated; do not edit.".into(),
//!     context: ".".into(),
//!     mapping_file: "./service-mapping.json".into(),
//!     machine: Some(compose_gen::Machine {
//!         plan: Arc::new(plan),
//!         env_files: vec!["./.env".into()],
//!         ecosystem_file: "./ecosystem.json".into(),
//!         ecosystem_digest: "sha256:ab12".into(),
//!         secrets: BTreeMap::from([("OPENAI_API_KEY".parse()?, "./secrets/OPENAI_API_KEY".into())]),
//!         uses_local_redis: false,
//!     }),
//!     profiles: BTreeMap::new(),
//!     redis_image: None,
//!     additional: BTreeMap::new(),
//! }).expect("nothing collides");
//! assert!(text.starts_with("# Generated; do not edit.\n---\nx-base-machine: &base-machine\n"));
//! assert!(text.contains("      OPENAI_API_KEY_FILE: /run/secrets/OPENAI_API_KEY\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
pub mod codes;
mod document;
mod fault;
mod limits;
mod service;
mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use fault::ComposeFault;

use spec::ids::{EnvKey, ServiceName};
use spec::model::AllocationPlan;
use spec::notes::Located;
use spec::source::Place;

/// The service name of the machine that is always started.
pub const MACHINE: &str = "machine";
/// The service name of Redis, and the build stage that holds it.
pub const REDIS: &str = "redis";
/// Where a machine finds its ecosystem: the value of `ROSTER_ECOSYSTEM`.
pub const ECOSYSTEM_PATH: &str = "/etc/roster/ecosystem.json";
/// Where it finds the service mapping: beside the ecosystem.
pub const MAPPING_PATH: &str = "/etc/roster/service-mapping.json";
/// The secret without which a health server answers its own container alone, so that its port is not published.
pub const HEALTH_TOKEN: &str = "MACHINE_HEALTH_TOKEN";
/// The user and group of every process, but for a Redis image of other people.
pub const USER: &str = "10001:10001";

/// Everything that one compose file says.
#[derive(Clone, Debug)]
pub struct Project {
    /// The compose project. Keep it when profiles change: containers and volumes of another name are forgotten.
    pub name: ServiceName,
    /// The comment at the top: who wrote the file and how to write it anew.
    pub header: String,
    /// The folder that images are built from, relative to the file or absolute: `.` when both are in one place.
    pub context: String,
    /// The service mapping that the machines were planned with, mounted at [`MAPPING_PATH`] in each.
    pub mapping_file: String,
    /// The machine that is always started, under the name [`MACHINE`].
    pub machine: Option<Machine>,
    /// Machines that are started on request. The name is the compose profile, the service and the host name.
    pub profiles: BTreeMap<ServiceName, Machine>,
    /// Redis as an image; left out, it is the stage [`REDIS`] of `docker/Dockerfile`. There is a Redis only when a
    /// machine uses one.
    pub redis_image: Option<Image>,
    /// Further services, always started.
    pub additional: BTreeMap<ServiceName, Additional>,
}

/// A machine. All paths are relative to the project's directory.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What it runs.
    pub plan: Arc<AllocationPlan>,
    /// Files of public variables, later ones win: `./.env`.
    pub env_files: Vec<String>,
    /// The plan lowered to processes, mounted at [`ECOSYSTEM_PATH`].
    pub ecosystem_file: String,
    /// A digest of that file, put into a label: Compose looks at no file's content, so without it a changed ecosystem
    /// would not replace a running container.
    pub ecosystem_digest: String,
    /// The file that holds each secret. It is mounted at `/run/secrets/KEY`, which `KEY_FILE` names.
    pub secrets: BTreeMap<EnvKey, String>,
    /// It waits for the Redis of this project, and reaches it by the host name [`REDIS`].
    pub uses_local_redis: bool,
}

/// An image of other people's.
#[derive(Clone, Debug)]
pub struct Image {
    /// `redis@sha256:…`, or with a tag that stays: compose-lint accepts a digest only.
    pub reference: String,
    /// Who asked for it.
    pub place: Place,
}

/// A service beside the machines, as hardened as they are: it runs as [`USER`] on a read-only root with `/tmp`.
#[derive(Clone, Debug)]
pub struct Additional {
    /// What it runs.
    pub image: Image,
    /// Its command; empty for the image's own.
    pub command: Vec<String>,
    /// Its variables; never a secret.
    pub environment: BTreeMap<EnvKey, String>,
    /// Who asked for it.
    pub place: Place,
}

/// The compose file of a project: equal projects, equal bytes. Adding a profile changes no other machine's service.
/// Otherwise everything that is wrong with it.
pub fn lower(project: &Project) -> Result<String, Vec<Located<ComposeFault>>> {
    let mut faults = check::faults(project);
    match yaml::emit(&project.header, &document::document(project)) {
        Ok(text) if faults.is_empty() => return Ok(text),
        Ok(_) => {}
        Err(paths) => faults.extend(paths.iter().map(|path| check::nul(project, path))),
    }
    Err(faults)
}

impl Project {
    /// Every machine by its service name, in the order of names. A profile of a reserved name does not hide the other.
    fn machines(&self) -> Vec<(&str, &Machine)> {
        let default = self.machine.iter().map(|it| (MACHINE, it));
        let profiles = self.profiles.iter().map(|(name, it)| (name.as_str(), it));
        let mut machines: Vec<_> = default.chain(profiles).collect();
        machines.sort_by_key(|(name, _)| *name);
        machines
    }
}

impl Machine {
    /// Whether its health server is to answer beyond its container: ports are published, and it has a token for those
    /// who ask.
    fn answers_outside(&self) -> bool {
        self.plan.is_published() && self.secrets.keys().any(|it| it.as_str() == HEALTH_TOKEN)
    }

    /// Every port that it publishes, with the process that listens: its services and the health server, as far as they
    /// answer beyond its container.
    fn published_ports(&self) -> BTreeMap<u16, &str> {
        if !self.plan.is_published() {
            return BTreeMap::new();
        }
        let services = self.plan.services().iter().filter(|it| self.plan.publishes(it));
        let services = services.flat_map(|it| it.ports.values().map(|port| (*port, it.name.as_str())));
        let health = self.answers_outside().then_some((self.plan.health_port(), "the health server"));
        services.chain(health).collect()
    }
}
