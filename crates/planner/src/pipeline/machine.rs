//! The pipeline for one machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use allocator::Machine;
use compose_gen::{Additional, HEALTH_TOKEN};
use ecosystem::Ecosystem;
use env_builder::environment::Environment;
use env_builder::take::{self, Need};
use spec::grammar::Entry;
use spec::ids::{EnvKey, MachineId, ServiceName};
use spec::model::{AllocationPlan, Binding, Demand, EnvNeed, Inventory, Workload};
use spec::notes::{Code, Exit, Fault, Finding, Located, Severity, errors};

use super::{Identity, Outcome, Setup, additional, derived, inputs, loopback, roster};
use crate::document::{EnvironmentPart, PlanDocument};
use crate::inventory::{ASSUMED_VRAM_MIB, HardwareDocument, HardwareError, detect};
use crate::profile::Profile;
use crate::redact::Redactor;
use crate::request::{HardwareChoice, Request, gpu_flag};

/// A planned machine.
pub struct Planned {
    /// Its profile, if it has one.
    pub profile: Option<Profile>,
    /// What runs where.
    pub plan: Arc<AllocationPlan>,
    /// Its environment; `None` when a value is missing, which the findings say, or when none was asked for.
    pub environment: Option<Environment>,
    /// The plan lowered to processes.
    pub ecosystem: Ecosystem,
    /// The plan as programs read it.
    pub document: PlanDocument,
    /// The services that its profile puts beside it.
    pub additional: BTreeMap<ServiceName, Additional>,
}

/// Plans one machine. Without a profile, the environment is made only when `with_environment`.
pub fn plan(setup: &Setup<'_>, request: &Request, identity: &Identity, with_environment: bool) -> Outcome {
    let (mut findings, mut redactor) = (Vec::new(), Redactor::default());
    let Some(inputs) = inputs::read(setup, request, &mut findings, &mut redactor) else {
        return Outcome { planned: None, pool: None, findings, redactor };
    };
    let planned =
        decide(setup, request, identity, with_environment, inputs.profile.clone(), &inputs, &mut findings);
    if let Some(environment) = planned.as_ref().and_then(|it| it.environment.as_ref()) {
        for value in environment.secret_values() {
            redactor.learn(value.expose());
        }
    }
    Outcome { planned, pool: Some(inputs.pool), findings, redactor }
}

fn decide(
    setup: &Setup<'_>,
    request: &Request,
    identity: &Identity,
    with_environment: bool,
    profile: Option<Profile>,
    inputs: &inputs::Inputs,
    findings: &mut Vec<Finding>,
) -> Option<Planned> {
    let settings = derived::settings(&inputs.pool, findings);
    let is_secret = |key: Option<&EnvKey>, value: &str| inputs.is_secret(setup, key, value);
    let additional =
        profile.as_ref().map(|it| additional::services(it, &is_secret, findings)).unwrap_or_default();
    let mut unseen = None;
    let inventory = inventory(setup, request, profile.as_ref(), findings, &mut unseen);
    let entries = roster::read(request, profile.as_ref(), &inputs.pool, findings);
    let workload = entries.as_ref().and_then(|it| workload(setup, it, profile.as_ref(), inputs, findings));
    let demands = workload.as_ref().map_or(&[][..], |it| &it.demands);
    if demands.iter().any(|it| it.service.binding() == Binding::Gpu) {
        findings.extend(unseen);
    }
    let plan = workload.as_ref().zip(inventory).and_then(|(workload, inventory)| {
        let machine = Machine {
            id: machine_id(identity, settings.id, profile.as_ref()),
            workspace: settings.workspace,
            health_port: settings.health_port,
            published: profile.as_ref().is_some_and(|it| it.document().docker.publish),
            inventory,
        };
        let allocation = allocator::allocate(workload, &machine);
        let allocation = allocation.map_err(|refusals| findings.extend(errors(refusals))).ok()?;
        findings.extend(allocation.advice.into_iter().map(Finding::advice));
        Some(allocation.plan)
    });
    // What the environment lacks is told even when there is no plan: one run, every fault.
    let roster = entries.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let name = profile.as_ref().map(|it| it.name.as_str().to_owned());
    let environment = (profile.is_some() || with_environment).then(|| {
        let decided = plan.as_ref().map(|it| derived::of(it, &roster, name.as_deref()));
        if let Some(plan) = &plan {
            derived::aliases(&inputs.pool, plan, findings);
        }
        let decided = decided.unwrap_or_else(derived::unplanned);
        take::take(&inputs.pool, &inputs.interfaces, &needs(demands), &decided)
    });
    let environment = match environment {
        Some(Err(found)) => {
            findings.extend(found);
            None
        }
        Some(Ok(environment)) => {
            findings.extend(environment.advice().iter().cloned());
            Some(environment)
        }
        None => None,
    };
    let plan = plan?;
    // A roster of which only a part was understood has no plan, whatever fits of it.
    if findings.iter().any(|it| it.severity == Severity::Error && it.code.exit != Exit::MissingValue) {
        return None;
    }
    findings.extend(environment.as_ref().and_then(|it| unpublished(&plan, it, profile.as_ref())));
    findings.extend(unreachable(&plan, profile.as_ref()));
    findings.extend(environment.as_ref().and_then(|it| loopback::loopback(it, profile.as_ref())));
    let none = BTreeMap::new();
    let ecosystem = match ecosystem::lower(&plan, environment.as_ref().map_or(&none, Environment::public)) {
        Ok(ecosystem) => ecosystem,
        Err(found) => {
            findings.extend(found);
            return None;
        }
    };
    let part = environment.as_ref().map_or_else(EnvironmentPart::default, names);
    let document = PlanDocument::of(&plan, name.as_deref(), &roster, part);
    Some(Planned { profile, plan: Arc::new(plan), environment, ecosystem, document, additional })
}

/// A machine whose ports are published, all but one.
fn unpublished(
    plan: &AllocationPlan,
    environment: &Environment,
    profile: Option<&Profile>,
) -> Option<Finding> {
    let has_token = environment.secrets().any(|(key, _)| key.as_str() == HEALTH_TOKEN);
    let place = profile?.place("/docker/publish");
    (plan.is_published() && !has_token).then(|| Finding::advice(Located::at(place, Unpublished)))
}

/// A health server that answers in its container alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the port of the health server is not published: it has no `{HEALTH_TOKEN}`")]
struct Unpublished;

impl Fault for Unpublished {
    fn code(&self) -> Code {
        UNPUBLISHED
    }

    fn fix(&self) -> String {
        format!(
            "set `{HEALTH_TOKEN}`, 16 characters or more, where the profile's secrets are; or ask inside: `docker compose exec machine roster status`"
        )
    }
}

/// A health server without a token is not published.
pub(crate) const UNPUBLISHED: Code = Code {
    id: "MACH003",
    title: "the port of the health server is not published",
    exit: Exit::Error,
    explanation: "Whoever reaches a health server can stop its machine, so that beyond its own loopback it answers only \
who shows its token, and without one it does not listen there. A published port is beyond the loopback of the \
container.\n\nTold of: `docker.publish` in a profile, and no `MACHINE_HEALTH_TOKEN`.\n\nMend it: set one beside the \
profile's other secrets, or ask inside of the container, which needs none.",
};

/// Services of a machine whose ports are published, all but theirs.
fn unreachable(plan: &AllocationPlan, profile: Option<&Profile>) -> Option<Finding> {
    let place = profile?.place("/docker/publish");
    let services = plan.services().iter().filter(|it| !it.ports.is_empty() && !plan.publishes(it));
    let services: BTreeSet<_> = services.map(|it| format!("`{}`", it.service.name)).collect();
    let names = services.into_iter().collect::<Vec<_>>().join(", ");
    let told = plan.is_published() && !names.is_empty();
    told.then(|| Finding::advice(Located::at(place, Unreachable { names })))
}

/// Services that answer in their container alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ports are not published of services that are not told where to listen: {names}")]
struct Unreachable {
    names: String,
}

impl Fault for Unreachable {
    fn code(&self) -> Code {
        UNREACHABLE
    }

    fn fix(&self) -> String {
        "start what can listen elsewhere with `${LISTEN}`, in the service mapping; or ask inside of the container"
            .to_owned()
    }
}

/// A service that answers its container alone is not published.
pub(crate) const UNREACHABLE: Code = Code {
    id: "MACH004",
    title: "the ports of a service are not published",
    exit: Exit::Error,
    explanation: "Docker forwards a published port to the container's own address. A service that is not told by \
`${LISTEN}`, in its command or its variables, where to listen does so on the loopback, as far as anybody knows: nobody would \
reach it at the port.\n\nTold of: `docker.publish` in a profile with Chromium, which lets nobody else in, or with the \
simulated service.\n\nMend it: give the service `${LISTEN}` in the mapping if its program can listen elsewhere, or ask \
inside of the container.",
};

fn names(environment: &Environment) -> EnvironmentPart {
    EnvironmentPart {
        public: environment.public().keys().map(ToString::to_string).collect(),
        secret: environment.secrets().map(|(key, _)| key.to_string()).collect(),
    }
}

fn machine_id(identity: &Identity, said: Option<MachineId>, profile: Option<&Profile>) -> MachineId {
    let default = || "machine".parse().expect("a valid name");
    match identity {
        Identity::Named(id) => id.clone(),
        Identity::Default => {
            said.or_else(|| profile.and_then(|it| it.name.as_str().parse().ok())).unwrap_or_else(default)
        }
    }
}

/// The entries that were understood, found in the mapping.
fn workload(
    setup: &Setup<'_>,
    entries: &[Entry],
    profile: Option<&Profile>,
    inputs: &inputs::Inputs,
    findings: &mut Vec<Finding>,
) -> Option<Workload> {
    let variable = |key: &EnvKey| {
        let value = inputs.pool.get(key)?;
        Some((value.value().expose().clone(), value.reading(key)))
    };
    let target = profile.and_then(|it| {
        let target = it.document().docker.build_target.clone()?;
        Some((target, it.place("/docker/build_target")))
    });
    let resolved = mapping::resolve(entries, &setup.catalog, &variable, target.as_ref());
    match resolved {
        Ok(resolved) => {
            findings.extend(resolved.advice.into_iter().map(Finding::advice));
            Some(resolved.workload)
        }
        Err(unresolved) => {
            findings.extend(errors(unresolved.faults));
            findings.extend(unresolved.advice.into_iter().map(Finding::advice));
            unresolved.understood
        }
    }
}

/// The variables that the workers of a roster and their services read.
fn needs(demands: &[Demand]) -> Vec<Need> {
    let mut needs = Vec::new();
    let mut add = |env: &[EnvNeed], claimant: String| {
        needs.extend(env.iter().map(|it| Need {
            key: it.key.clone(),
            required: it.required,
            secret: it.secret,
            claimant: claimant.clone(),
        }));
    };
    for demand in demands {
        add(&demand.worker.env, format!("worker `{}`", demand.worker.name));
        add(&demand.service.env, format!("service `{}`", demand.service.name));
    }
    needs
}

/// What the machine has: the command line, else the profile, else a look at the machine. Why that saw no GPU goes into
/// `unseen`: it is worth telling only when one is needed.
fn inventory(
    setup: &Setup<'_>,
    request: &Request,
    profile: Option<&Profile>,
    findings: &mut Vec<Finding>,
    unseen: &mut Option<Finding>,
) -> Option<Inventory> {
    let host = setup.world.host;
    let block = profile.and_then(|it| it.document().hardware.clone());
    let choice =
        request.hardware.clone().or(block.map(HardwareChoice::Declared)).unwrap_or(HardwareChoice::Detect);
    let lower = |document: HardwareDocument, findings: &mut Vec<Finding>| {
        let place = profile.filter(|_| request.hardware.is_none()).map(|it| it.place("/hardware"));
        let told = |fault| Located { fault: HardwareFault::Document(fault), place: place.clone() };
        document.lower(host).map_err(|them| findings.extend(errors(them.into_iter().map(told)))).ok()
    };
    match choice {
        HardwareChoice::Declared(document) => lower(document, findings),
        HardwareChoice::Gpus(text) => {
            let Some(flag) = gpu_flag(&text) else {
                findings.push(Finding::error(Located::nowhere(HardwareFault::Gpus { text })));
                return None;
            };
            if flag.vram_mib.is_none() && flag.count > 0 {
                findings
                    .push(Finding::advice(Located::nowhere(HardwareFault::Assumed { count: flag.count })));
            }
            let mut inventory = lower(HardwareDocument::default(), findings)?;
            inventory.gpus = flag.gpus();
            Some(inventory)
        }
        HardwareChoice::Detect => {
            let detected = detect(&*setup.world.gpus, host);
            *unseen = detected
                .note
                .map(|why| Finding::advice(Located::nowhere(HardwareFault::NotDetected { why })));
            Some(detected.inventory)
        }
    }
}

/// Something about the hardware to tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum HardwareFault {
    #[error("{0}")]
    Document(HardwareError),
    #[error("`{text}` is not a number of GPUs")]
    Gpus { text: String },
    #[error("each of the {count} GPUs is taken to have {} GiB", ASSUMED_VRAM_MIB.get() / 1024)]
    Assumed { count: u16 },
    #[error("no GPU is seen: {why}")]
    NotDetected { why: String },
}

impl Fault for HardwareFault {
    fn code(&self) -> Code {
        match self {
            Self::Document(_) | Self::Gpus { .. } => HARDWARE,
            Self::Assumed { .. } => ASSUMED,
            Self::NotDetected { .. } => NOT_DETECTED,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Document(_) => "give each its own".into(),
            Self::Gpus { .. } => "write `2` or `2x24GiB`".into(),
            Self::Assumed { count } => format!("say `--gpus {count}x48GiB`, or describe the cards with `--inventory FILE`"),
            Self::NotDetected { .. } => {
                "on the machine itself, install the driver; to plan for another one, say `--gpus N` or `--inventory FILE`".into()
            }
        }
    }
}

/// Hardware that cannot be.
pub(crate) const HARDWARE: Code = Code {
    id: "HW001",
    title: "the declared hardware cannot be",
    exit: Exit::Error,
    explanation: "Indices and UUIDs name cards, so no two cards can share one.\n\nBreaks it: two entries with \
`\"index\": 0`.\n\nMend it: copy what `nvidia-smi -L` prints on the machine.",
};

/// The memory of a card was assumed.
pub(crate) const ASSUMED: Code = Code {
    id: "HW002",
    title: "the memory of the GPUs is assumed",
    exit: Exit::Error,
    explanation: "`--gpus N` does not say how much memory each card has; 24 GiB is taken, and what is placed on a card \
is counted against it.\n\nMend it: `--gpus 2x80GiB`, or `--inventory FILE`.",
};

/// No card was seen.
pub(crate) const NOT_DETECTED: Code = Code {
    id: "HW003",
    title: "no GPU is seen on this machine",
    exit: Exit::Error,
    explanation: "Without `--gpus`, `--inventory` and a `hardware` block in the profile, the machine itself is looked at \
through NVIDIA's management library. Without its driver the machine counts as one without GPUs: right for API workers, \
wrong when you plan for another machine.\n\nMend it: declare the other machine's cards.",
};
