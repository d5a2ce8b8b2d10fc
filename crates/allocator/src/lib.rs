//! Decides where everything of a roster runs: services on GPUs and ports, workers on services, and every name.
//!
//! [`allocate`] takes what is wanted ([`Workload`]) and what there is ([`Machine`]), and returns the finished
//! [`AllocationPlan`] with advice, or every reason why there is none. It reads no clock, no file and no environment:
//! equal input, equal plan.
//!
//! What holds, and is tested against brute force over all placements of small cases:
//! - no device gives out more memory or slots than it has, and an exclusive service shares its device with nobody;
//! - a refusal is true: no other placement would have fitted. An acceptance is true: [`AllocationPlan::try_new`],
//!   which shares no code with this crate, has checked it;
//! - the order of the roster changes neither a name nor a load, only the order in which workers are listed;
//! - one more GPU behind the others takes no instance from any service, and refuses nothing that fitted. (Ports are
//!   apart: instances are numbered through the devices, so a further device can reach a port that another has.)
//!
//! # The rules
//!
//! Workers of all types that name a service share its instances, of which there are at most as many as workers. Each
//! service gets at least one, or the roster is refused. How GPU instances are placed is said in the module `packing`.
//! Workers go round the instances of their service, one device after the other, the types by name: `comfyui:4` on two
//! GPUs is `comfyui-worker-0` to `-3` on GPU 0, 1, 0, 1. `auto` is one worker for each instance that fits, and one for
//! each core when the service is elsewhere.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use allocator::{Machine, allocate};
//! # use spec::grammar;
//! # use spec::model::*;
//! # use spec::source::SourceText;
//! #
//! # let text = SourceText::open("--spec", "comfyui:4");
//! # let roster = grammar::parse(&text).unwrap();
//! # let probes = Probes { install: Probe::Process, run: Probe::Process, health: Probe::Process };
//! # let local = LocalService {
//! #     occupies: Occupies::Gpu {
//! #         instances_per_gpu: 1.try_into().unwrap(),
//! #         vram_mib: 14_336.try_into().unwrap(),
//! #         exclusive: false,
//! #     },
//! #     build_stage: "comfyui".parse().unwrap(),
//! #     install: None,
//! #     ports: vec![PortRule {
//! #         name: "http".parse().unwrap(),
//! #         base: 8188,
//! #         increment: 1,
//! #         variable: None,
//! #         base_from: SourceText::open("mapping", "").whole(),
//! #     }],
//! #     start: Start {
//! #         command: vec![],
//! #         mock_arguments: vec![],
//! #         working_directory: spec::template::Template::parse("/").unwrap(),
//! #         env: Default::default(),
//! #         ready_within_s: 60.try_into().unwrap(),
//! #         stop_grace_s: 10.try_into().unwrap(),
//! #     },
//! #     volumes: vec![],
//! #     memory_mib: 8192.try_into().unwrap(),
//! # };
//! # let service = Arc::new(ServiceType {
//! #     name: "comfyui".parse().unwrap(),
//! #     description: String::new(),
//! #     hosting: Hosting::Local(local),
//! #     env: vec![],
//! #     probes,
//! # });
//! # let worker = Arc::new(WorkerType {
//! #     name: "comfyui".parse().unwrap(),
//! #     description: String::new(),
//! #     service: service.name.clone(),
//! #     connector: Connector::Comfyui,
//! #     accepts: vec![],
//! #     isolation: Isolation::Process,
//! #     env: vec![],
//! #     memory_mib: 256.try_into().unwrap(),
//! #     stop_grace_s: 60.try_into().unwrap(),
//! # });
//! # let demands = roster.entries().iter().map(|entry| Demand {
//! #     worker: worker.clone(),
//! #     service: service.clone(),
//! #     count: entry.count,
//! #     cause: Arc::new(Cause { entry: entry.to_string(), place: entry.place.clone() }),
//! # });
//! # let stage = BuildStage {
//! #     name: "comfyui".parse().unwrap(),
//! #     from: None,
//! #     provides: [service.name.clone()].into(),
//! # };
//! // The roster `comfyui:4`, resolved against the service mapping.
//! let workload = Workload { demands: demands.collect(), stage };
//! # let gpu = |index| Gpu {
//! #     index, uuid: None, model: None, vram_mib: 24_576.try_into().unwrap(), slices: vec![],
//! # };
//! # let inventory = Inventory {
//! #     origin: InventoryOrigin::Declared,
//! #     gpus: vec![gpu(0), gpu(1)],
//! #     cpu_cores: 8.try_into().unwrap(),
//! #     memory_mib: 65_536.try_into().unwrap(),
//! # };
//! // A machine with two cards of 24 GiB.
//! let machine = Machine {
//!     id: "m1".parse().unwrap(),
//!     workspace: "/workspace".into(),
//!     health_port: 9090,
//!     published: false,
//!     inventory,
//! };
//!
//! let plan = allocate(&workload, &machine).unwrap().plan;
//! let on = |it| plan.instance_of(it).unwrap().name.to_string();
//! let workers: Vec<_> = plan.workers().iter().map(|it| (it.name.to_string(), on(it))).collect();
//! assert_eq!(workers[3], ("comfyui-worker-3".into(), "comfyui-gpu1".into()));
//! ```

mod advice;
pub mod codes;
mod devices;
mod groups;
mod instances;
mod packing;
mod refusal;
mod workers;

use spec::ids::MachineId;
use spec::model::{AllocationPlan, Inventory, Occupies, PlanParts, Workload};
use spec::notes::Located;

pub use advice::Advice;
pub use refusal::{Base, Claimant, Need, Refusal, Room};

use instances::Spread;
use workers::Turns;

/// What a workload is allocated on.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Its name, a part of every worker's id.
    pub id: MachineId,
    /// The directory that holds services, logs and outputs, absolute.
    pub workspace: String,
    /// The health server's port.
    pub health_port: u16,
    /// Ports are published to the host's loopback; see [`PlanParts::published`].
    pub published: bool,
    /// What it has.
    pub inventory: Inventory,
}

/// An allocation that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocation {
    /// What runs where.
    pub plan: AllocationPlan,
    /// What people should know about it.
    pub advice: Vec<Located<Advice>>,
}

/// Allocates `workload` on `machine`, or says every reason why it does not fit.
pub fn allocate(workload: &Workload, machine: &Machine) -> Result<Allocation, Vec<Located<Refusal>>> {
    let groups = groups::groups(workload);
    let devices = machine.inventory.devices();
    let (mut refusals, mut advice) = (Vec::new(), Vec::new());
    let mut held = devices::place(workload, &groups, &devices, &mut refusals);

    let mut services = Vec::new();
    let mut turns = Turns::default();
    for (name, group) in &groups {
        let spread = group.service.local().and_then(|local| match local.occupies {
            Occupies::Machine { instances } => Some(Spread::Machine(group.wanted_of(instances.get()))),
            Occupies::Gpu { .. } => held.remove(name).map(Spread::Devices),
        });
        let first = services.len();
        if let Some(spread) = spread {
            services.extend(instances::instances(
                group.service,
                &spread,
                &devices,
                group.place,
                &mut refusals,
            ));
        }
        let counts = group.workers(services.len() - first, machine.inventory.cpu_cores.get());
        advice.extend(Advice::oversubscribed(group, counts.values().sum(), services.len() - first));
        turns.add(counts, &services, first);
    }
    refusals.extend(instances::collisions(machine.health_port, &services));
    if !refusals.is_empty() {
        return Err(refusals);
    }

    let workers = turns.workers(workload, &machine.id);
    advice.extend(Advice::memory(&services, &workers, machine.inventory.memory_mib.get()));
    let parts = PlanParts {
        machine: machine.id.clone(),
        inventory: machine.inventory.clone(),
        workspace: machine.workspace.clone(),
        health_port: machine.health_port,
        published: machine.published,
        stage: workload.stage.clone(),
        services,
        workers,
    };
    match AllocationPlan::try_new(parts) {
        Ok(plan) => Ok(Allocation { plan, advice }),
        Err(found) => Err(found.into_iter().map(|it| Located::nowhere(Refusal::Internal(it))).collect()),
    }
}
