//! What the project that an import is for offers: the workers and services of its mapping, and who takes which variable.

use std::collections::{BTreeMap, BTreeSet};

use spec::ids::{EnvKey, ServiceName, WorkerName};
use spec::model::{Binding, Catalog, EnvNeed};

/// What is offered.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The workers that a roster may name.
    pub workers: BTreeMap<WorkerName, OfferedWorker>,
    /// The services that they work on.
    pub services: BTreeMap<ServiceName, OfferedService>,
    /// What service interfaces take: the name in the service, and what publishes it.
    pub published: BTreeMap<EnvKey, Published>,
}

/// A worker of the mapping.
#[derive(Clone, Debug)]
pub struct OfferedWorker {
    /// Its service.
    pub service: ServiceName,
    /// What its service occupies.
    pub binding: Binding,
    /// The variables that it reads.
    pub env: Vec<EnvNeed>,
}

/// A service of the mapping.
#[derive(Clone, Debug)]
pub struct OfferedService {
    /// The variables that it reads.
    pub env: Vec<EnvNeed>,
    /// Its first port, and the variable that may move it: when it runs here.
    pub port: Option<OfferedPort>,
    /// Where volumes are mounted, below a workspace of `/workspace`.
    pub volumes: BTreeSet<String>,
}

/// The first port of a service.
#[derive(Clone, Debug)]
pub struct OfferedPort {
    /// Of instance 0.
    pub base: u16,
    /// Added for each further one.
    pub increment: u16,
    /// The variable that replaces `base`.
    pub variable: Option<EnvKey>,
}

/// A variable that a service interface takes.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its name in profiles and components.
    pub pool: EnvKey,
    /// It travels as a secret.
    pub secret: bool,
    /// Absent or empty is an error.
    pub required: bool,
}

/// What becomes of a variable under a name of ours.
pub(crate) enum Taken {
    /// A profile sets it under this name.
    By { key: EnvKey, secret: bool },
    /// The mapping knows it, but nothing of this roster takes it.
    Elsewhere,
    /// Nobody knows it.
    No,
}

/// Where a workspace is unless somebody says otherwise.
pub(crate) const WORKSPACE: &str = "/workspace";
/// Settings of the machine itself, which a profile may say and no interface lists.
const SETTINGS: [&str; 3] = ["MACHINE_ID", "MACHINE_WORKSPACE", "MACHINE_HEALTH_PORT"];

impl Offer {
    /// What a mapping offers.
    pub fn of(catalog: &Catalog, published: BTreeMap<EnvKey, Published>) -> Self {
        let services = catalog.services.iter().map(|(name, it)| {
            let first = it.local().and_then(|it| it.ports.first());
            let port = first.map(|it| OfferedPort {
                base: it.base,
                increment: it.increment,
                variable: it.variable.clone(),
            });
            let volumes = it.local().map(|it| it.volumes.iter().map(|it| it.path_in(WORKSPACE)).collect());
            (name.clone(), OfferedService { env: it.env.clone(), port, volumes: volumes.unwrap_or_default() })
        });
        let workers = catalog.workers.iter().filter_map(|(name, it)| {
            let binding = catalog.services.get(&it.service)?.binding();
            Some((name.clone(), OfferedWorker { service: it.service.clone(), binding, env: it.env.clone() }))
        });
        Self { workers: workers.collect(), services: services.collect(), published }
    }

    /// Who takes a variable on a machine with these workers.
    pub(crate) fn taken(&self, key: &EnvKey, roster: &[WorkerName]) -> Taken {
        let published =
            self.published.get(key).or_else(|| self.published.values().find(|it| it.pool == *key));
        if let Some(it) = published {
            return Taken::By { key: it.pool.clone(), secret: it.secret };
        }
        if SETTINGS.contains(&key.as_str()) {
            return Taken::By { key: key.clone(), secret: false };
        }
        if let Some(need) = self.needs(roster).find(|it| it.key == *key) {
            return Taken::By { key: key.clone(), secret: need.secret };
        }
        if self.ports(roster).any(|it| it == key) {
            return Taken::By { key: key.clone(), secret: false };
        }
        let all: Vec<_> = self.workers.keys().cloned().collect();
        let known = self.needs(&all).any(|it| it.key == *key) || self.ports(&all).any(|it| it == key);
        if known { Taken::Elsewhere } else { Taken::No }
    }

    /// What a machine with these workers must be told and is not.
    pub(crate) fn missing(&self, told: &BTreeSet<EnvKey>, roster: &[WorkerName]) -> BTreeSet<EnvKey> {
        let required = self.needs(roster).filter(|it| it.required).map(|it| it.key.clone());
        let published = self.published.values().filter(|it| it.required).map(|it| it.pool.clone());
        required.chain(published).filter(|it| !told.contains(it)).collect()
    }

    fn served<'a>(
        &'a self,
        roster: &'a [WorkerName],
    ) -> impl Iterator<Item = (&'a OfferedWorker, &'a OfferedService)> {
        let workers = roster.iter().filter_map(|it| self.workers.get(it));
        workers.filter_map(|it| Some((it, self.services.get(&it.service)?)))
    }

    fn needs<'a>(&'a self, roster: &'a [WorkerName]) -> impl Iterator<Item = &'a EnvNeed> {
        self.served(roster).flat_map(|(worker, service)| worker.env.iter().chain(&service.env))
    }

    fn ports<'a>(&'a self, roster: &'a [WorkerName]) -> impl Iterator<Item = &'a EnvKey> {
        self.served(roster).filter_map(|(_, it)| it.port.as_ref()?.variable.as_ref())
    }
}
