//! The plan as programs read it: `plan.json`, `roster plan --json`. Versioned; its schema is `docs/schemas/`.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::model::{AllocationPlan, Cause, Hosting, Occupies, ServiceInstance};

use crate::hash;

/// The version of [`PlanDocument`]. It grows when a field changes its meaning or goes; new fields do not count.
pub const SCHEMA_VERSION: u32 = 1;

/// A plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanDocument {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// 16 hexadecimal digits of the hash of everything below.
    pub id: String,
    /// The machine's id.
    pub machine: String,
    /// The environment profile; absent for a bare roster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The roster in canonical form.
    pub roster: String,
    /// What the machine has.
    pub inventory: InventoryPart,
    /// The build stage of its image.
    pub build_stage: String,
    /// The health server's port.
    pub health_port: u16,
    /// The processes of local services, in the order of start-up.
    pub services: Vec<ServicePart>,
    /// The workers.
    pub workers: Vec<WorkerPart>,
    /// The services elsewhere that workers work on.
    pub external_services: Vec<String>,
    /// The names of the variables that the machine is given.
    pub environment: EnvironmentPart,
}

/// What a machine has, and how much of it is given out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InventoryPart {
    /// `detected`, `declared` or `mock`.
    pub origin: String,
    /// Processor cores.
    pub cpu_cores: u16,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Cards and MIG slices.
    pub devices: Vec<DevicePart>,
}

/// A card or MIG slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicePart {
    /// `gpu0`, `gpu0-mig1`.
    pub name: String,
    /// Its UUID when known, else its index.
    pub identity: String,
    /// Its memory in MiB.
    pub vram_mib: u32,
    /// What the plan gives out of it, in MiB.
    pub vram_used_mib: u32,
}

/// One process of a local service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServicePart {
    /// `comfyui-gpu0`.
    pub name: String,
    /// `comfyui`.
    pub service: String,
    /// The device that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What it takes of the device, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_mib: Option<u32>,
    /// Its ports by name.
    pub ports: BTreeMap<String, u16>,
    /// The workers that work on it.
    pub workers: Vec<String>,
    /// The roster entries that it is there for.
    pub because: Vec<BecausePart>,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerPart {
    /// `comfyui-worker-0`.
    pub name: String,
    /// `<machine>-worker-comfyui-0`.
    pub id: String,
    /// `comfyui`.
    pub worker: String,
    /// The service.
    pub service: String,
    /// The process of that service, when it is local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub works_on: Option<String>,
    /// The `service_required` values that it claims.
    pub accepts: Vec<String>,
    /// The roster entry that asked for it.
    pub because: BecausePart,
}

/// A roster entry and where it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BecausePart {
    /// `comfyui:2`.
    pub entry: String,
    /// The file, flag or variable.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

/// The names of the variables that the machine is given; their values are in the env files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentPart {
    /// In `.env`.
    pub public: BTreeSet<String>,
    /// In `.env.secret` and `secrets/`.
    pub secret: BTreeSet<String>,
}

impl BecausePart {
    fn of(cause: &Cause) -> Self {
        let (line, column) = cause.place.line_column();
        Self { entry: cause.entry.clone(), file: cause.place.source.name().to_owned(), line, column }
    }
}

impl PlanDocument {
    /// The document of a plan.
    pub fn of(
        plan: &AllocationPlan,
        profile: Option<&str>,
        roster: &str,
        environment: EnvironmentPart,
    ) -> Self {
        let mut served: Vec<(Vec<String>, Vec<BecausePart>)> =
            vec![Default::default(); plan.services().len()];
        let mut workers = Vec::with_capacity(plan.workers().len());
        for worker in plan.workers() {
            let because = BecausePart::of(&worker.cause);
            if let spec::model::Serves::Instance(place) = worker.serves {
                served[place].0.push(worker.name.to_string());
                if !served[place].1.contains(&because) {
                    served[place].1.push(because.clone());
                }
            }
            workers.push(WorkerPart {
                name: worker.name.to_string(),
                id: worker.id.to_string(),
                worker: worker.worker.name.to_string(),
                service: worker.worker.service.to_string(),
                works_on: plan.instance_of(worker).map(|it| it.name.to_string()),
                accepts: worker.worker.accepts.iter().map(ToString::to_string).collect(),
                because,
            });
        }
        let services = plan.services().iter().zip(served);
        let mut document = Self {
            schema_version: SCHEMA_VERSION,
            id: String::new(),
            machine: plan.machine().to_string(),
            profile: profile.map(ToOwned::to_owned),
            roster: roster.to_owned(),
            inventory: inventory(plan),
            build_stage: plan.stage().name.to_string(),
            health_port: plan.health_port(),
            services: services.map(|(it, (workers, because))| service(plan, it, workers, because)).collect(),
            workers,
            external_services: plan.external_services().iter().map(|it| it.name.to_string()).collect(),
            environment,
        };
        document.id = hash::short([serde_json::to_vec(&document).unwrap_or_default().as_slice()]);
        document
    }

    /// The document as text, with a newline at its end.
    pub fn to_json(&self) -> String {
        // A struct of texts, numbers and lists of them cannot fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// What an instance takes of its device, in MiB.
fn vram_mib(instance: &ServiceInstance) -> Option<u32> {
    match &instance.service.hosting {
        Hosting::Local(local) => match local.occupies {
            Occupies::Gpu { vram_mib, .. } => Some(vram_mib.get()),
            Occupies::Machine { .. } => None,
        },
        Hosting::External => None,
    }
}

fn service(
    plan: &AllocationPlan,
    it: &ServiceInstance,
    workers: Vec<String>,
    because: Vec<BecausePart>,
) -> ServicePart {
    ServicePart {
        name: it.name.to_string(),
        service: it.service.name.to_string(),
        device: plan.device_of(it).map(|device| device.label.clone()),
        vram_mib: vram_mib(it),
        ports: it.ports.iter().map(|(name, port)| (name.to_string(), *port)).collect(),
        workers,
        because,
    }
}

fn inventory(plan: &AllocationPlan) -> InventoryPart {
    let mut used: BTreeMap<&str, u32> = BTreeMap::new();
    for it in plan.services() {
        if let (Some(device), Some(mib)) = (plan.device_of(it), vram_mib(it)) {
            *used.entry(&device.label).or_default() += mib;
        }
    }
    let device = |it: &spec::model::Device| DevicePart {
        name: it.label.clone(),
        identity: it.identity.clone(),
        vram_mib: it.vram_mib.get(),
        vram_used_mib: used.get(it.label.as_str()).copied().unwrap_or(0),
    };
    InventoryPart {
        origin: plan.inventory().origin.to_string(),
        cpu_cores: plan.inventory().cpu_cores.get(),
        memory_mib: plan.inventory().memory_mib.get(),
        devices: plan.devices().iter().map(device).collect(),
    }
}
