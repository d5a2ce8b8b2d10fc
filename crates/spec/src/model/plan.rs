//! The finished allocation. Whoever proposes one hands over [`PlanParts`]; [`AllocationPlan::try_new`] derives every
//! invariant again and trusts nobody. Below the plan nothing chooses a port, a GPU or a name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    BuildStage, Cause, Device, Inventory, InventoryOrigin, Isolation, Occupies, ServiceType, Violation,
    WorkerType,
};
use crate::ids::{MachineId, PortName, ProcessName, ServiceName, WorkerId};

/// The port of a machine's health server, unless its configuration says otherwise.
pub const HEALTH_PORT: u16 = 9090;

/// A proposed plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanParts {
    /// Whose plan it is.
    pub machine: MachineId,
    /// What the machine has.
    pub inventory: Inventory,
    /// The directory that holds services, logs and outputs, absolute.
    pub workspace: String,
    /// The health server's port.
    pub health_port: u16,
    /// Ports are published to the host's loopback, for debugging: services that are told where to listen do so on every
    /// address of their container. Otherwise they listen on its loopback only.
    pub published: bool,
    /// The build stage of its image.
    pub stage: BuildStage,
    /// Everything that runs for workers, in the order of start-up.
    pub services: Vec<ServiceInstance>,
    /// Everything that claims jobs.
    pub workers: Vec<WorkerInstance>,
}

/// One process of a local service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceInstance {
    /// `comfyui-gpu0`, `playwright-service`.
    pub name: ProcessName,
    /// What it is an instance of.
    pub service: Arc<ServiceType>,
    /// Its number among all possible instances of the service on this machine; ports count from it.
    pub instance: u16,
    /// Where it is.
    pub placement: Placement,
    /// Its ports by name.
    pub ports: BTreeMap<PortName, u16>,
}

/// What a service instance occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placement {
    /// A part of the device with this ordinal.
    Device(u16),
    /// The machine's processor.
    Machine,
}

/// One worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerInstance {
    /// `comfyui-worker-0`.
    pub name: ProcessName,
    /// `<machine>-worker-comfyui-0`.
    pub id: WorkerId,
    /// Its type.
    pub worker: Arc<WorkerType>,
    /// Its number among the workers of its type.
    pub index: u16,
    /// What it works on.
    pub serves: Serves,
    /// The roster entry that asked for it.
    pub cause: Arc<Cause>,
}

/// What a worker works on.
#[derive(Clone, Debug, PartialEq)]
pub enum Serves {
    /// The instance with this place in [`PlanParts::services`].
    Instance(usize),
    /// A service elsewhere.
    External(Arc<ServiceType>),
}

/// An allocation whose invariants hold. Immutable.
#[derive(Clone, Debug, PartialEq)]
pub struct AllocationPlan {
    parts: PlanParts,
    devices: Vec<Device>,
}

impl AllocationPlan {
    /// Checks `parts` and seals them; every violation is returned, not the first.
    pub fn try_new(parts: PlanParts) -> Result<Self, Vec<Violation>> {
        let devices = parts.inventory.devices();
        let mut found = Vec::new();
        names(&parts, &mut found);
        ports(&parts, &mut found);
        placements(&parts, &devices, &mut found);
        numbers(&parts, &mut found);
        capacities(&parts, &devices, &mut found);
        workers(&parts, &mut found);
        if found.is_empty() { Ok(Self { parts, devices }) } else { Err(found) }
    }

    /// Whose plan it is.
    pub fn machine(&self) -> &MachineId {
        &self.parts.machine
    }

    /// What the machine has.
    pub fn inventory(&self) -> &Inventory {
        &self.parts.inventory
    }

    /// Whether GPU services run on the processor.
    pub fn is_mock(&self) -> bool {
        self.parts.inventory.origin == InventoryOrigin::Mock
    }

    /// The directory that holds services, logs and outputs.
    pub fn workspace(&self) -> &str {
        &self.parts.workspace
    }

    /// The health server's port.
    pub fn health_port(&self) -> u16 {
        self.parts.health_port
    }

    /// Whether ports are published to the host's loopback.
    pub fn is_published(&self) -> bool {
        self.parts.published
    }

    /// Whether the ports of an instance are published: all are to be, and it answers beyond its container.
    pub fn publishes(&self, instance: &ServiceInstance) -> bool {
        self.is_published() && instance.service.local().is_some_and(|it| it.start.says_where_to_listen())
    }

    /// The address that services listen on: the value of the placeholder `LISTEN`.
    pub fn listen_address(&self) -> &'static str {
        if self.parts.published { "0.0.0.0" } else { "127.0.0.1" }
    }

    /// The build stage of its image.
    pub fn stage(&self) -> &BuildStage {
        &self.parts.stage
    }

    /// The service instances, in the order of start-up.
    pub fn services(&self) -> &[ServiceInstance] {
        &self.parts.services
    }

    /// The workers, by type in the order of the roster.
    pub fn workers(&self) -> &[WorkerInstance] {
        &self.parts.workers
    }

    /// Everything that a service can be put on, used or not.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The device of an instance.
    pub fn device_of(&self, instance: &ServiceInstance) -> Option<&Device> {
        match instance.placement {
            Placement::Device(ordinal) => self.devices.get(usize::from(ordinal)),
            Placement::Machine => None,
        }
    }

    /// The instance that a worker works on; `None` when its service is elsewhere.
    pub fn instance_of(&self, worker: &WorkerInstance) -> Option<&ServiceInstance> {
        match worker.serves {
            Serves::Instance(place) => self.parts.services.get(place),
            Serves::External(_) => None,
        }
    }

    /// The service of a worker, here or elsewhere.
    pub fn service_of<'a>(&'a self, worker: &'a WorkerInstance) -> &'a Arc<ServiceType> {
        match &worker.serves {
            Serves::Instance(place) => &self.parts.services[*place].service,
            Serves::External(service) => service,
        }
    }

    /// The types of all local services, each once, in the order of start-up.
    pub fn local_services(&self) -> Vec<&Arc<ServiceType>> {
        let mut seen = BTreeSet::new();
        self.parts.services.iter().map(|it| &it.service).filter(|it| seen.insert(&it.name)).collect()
    }

    /// The types of all services elsewhere, each once, by name.
    pub fn external_services(&self) -> Vec<&Arc<ServiceType>> {
        let externals = self.parts.workers.iter().filter_map(|it| match &it.serves {
            Serves::External(service) => Some((&service.name, service)),
            Serves::Instance(_) => None,
        });
        externals.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The devices that a container of this machine must be given, in order; empty when none or mock.
    ///
    /// With UUIDs these are the devices in use. A bare index means another card once a container sees fewer of them,
    /// so as soon as one used device is known by index only, the container gets every card and indices agree.
    pub fn reserved_devices(&self) -> Vec<&Device> {
        let used: BTreeSet<u16> = (self.parts.services.iter())
            .filter_map(|it| if let Placement::Device(ordinal) = it.placement { Some(ordinal) } else { None })
            .collect();
        if self.is_mock() || used.is_empty() {
            return Vec::new();
        }
        let all = self.devices.iter().any(|it| used.contains(&it.ordinal) && !it.identity_is_uuid);
        self.devices.iter().filter(|it| all || used.contains(&it.ordinal)).collect()
    }

    /// Seconds that a whole stop may take: the slowest worker, then the slowest service, then ourselves.
    pub fn stop_grace_s(&self) -> u32 {
        let workers = self.parts.workers.iter().map(|it| it.worker.stop_grace_s.get()).max().unwrap_or(0);
        let services = (self.parts.services.iter())
            .filter_map(|it| it.service.local())
            .map(|it| it.start.stop_grace_s.get())
            .max()
            .unwrap_or(0);
        u32::from(workers) + u32::from(services) + SELF_GRACE_S
    }
}

/// What the supervisor keeps for itself of the time to stop.
const SELF_GRACE_S: u32 = 5;

fn names(parts: &PlanParts, found: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    let services = parts.services.iter().map(|it| &it.name);
    for name in services.chain(parts.workers.iter().map(|it| &it.name)) {
        if !seen.insert(name) {
            found.push(Violation::DuplicateName { name: name.clone() });
        }
    }
    // A type whose workers share a process gives that process its own name.
    for worker in
        parts.workers.iter().filter(|it| it.index == 0 && it.worker.isolation == Isolation::SharedProcess)
    {
        let name = ProcessName::of_parts(format_args!("{}-worker", worker.worker.name));
        if seen.contains(&name) {
            found.push(Violation::DuplicateName { name });
        }
    }
}

fn ports(parts: &PlanParts, found: &mut Vec<Violation>) {
    let mut claims: BTreeMap<u16, String> =
        BTreeMap::from([(parts.health_port, "the health server".to_owned())]);
    for it in &parts.services {
        for &port in it.ports.values() {
            if let Some(first) = claims.insert(port, format!("`{}`", it.name)) {
                found.push(Violation::DuplicatePort { port, first, second: format!("`{}`", it.name) });
            }
        }
        let rules = it.service.local().map_or(&[][..], |local| &local.ports);
        let derived = rules.iter().map(|rule| Some((rule.name.clone(), rule.port_of(it.instance)?)));
        if derived.collect::<Option<BTreeMap<_, _>>>().as_ref() != Some(&it.ports) {
            found.push(Violation::PortRule { name: it.name.clone(), instance: it.instance });
        }
    }
}

fn placements(parts: &PlanParts, devices: &[Device], found: &mut Vec<Violation>) {
    let mut lacking = BTreeSet::new();
    for it in &parts.services {
        let fits = match (it.service.local().map(|local| local.occupies), it.placement) {
            (Some(Occupies::Gpu { .. }), Placement::Device(ordinal)) => {
                if usize::from(ordinal) >= devices.len() {
                    let name = it.name.clone();
                    found.push(Violation::NoSuchDevice { name, ordinal, devices: devices.len() });
                }
                true
            }
            (Some(Occupies::Machine { .. }), Placement::Machine) => true,
            _ => false,
        };
        if !fits {
            found.push(Violation::Misplaced { name: it.name.clone(), service: it.service.name.clone() });
        }
        if !parts.stage.provides.contains(&it.service.name) && lacking.insert(&it.service.name) {
            found.push(Violation::StageLacks { service: it.service.name.clone() });
        }
    }
}

/// A device has the numbers from its ordinal times the instances per device on; the machine those below its limit.
fn numbers(parts: &PlanParts, found: &mut Vec<Violation>) {
    let mut seen = BTreeSet::new();
    for it in &parts.services {
        let belongs = match (it.service.local().map(|local| local.occupies), it.placement) {
            (Some(Occupies::Gpu { instances_per_gpu, .. }), Placement::Device(ordinal)) => {
                it.instance / u16::from(instances_per_gpu.get()) == ordinal
            }
            (Some(Occupies::Machine { instances }), Placement::Machine) => it.instance < instances.get(),
            // Misplaced, which is told already.
            _ => true,
        };
        if !seen.insert((&it.service.name, it.instance)) || !belongs {
            found.push(Violation::Number { name: it.name.clone(), instance: it.instance });
        }
    }
}

fn capacities(parts: &PlanParts, devices: &[Device], found: &mut Vec<Violation>) {
    let mut counts: BTreeMap<(&ServiceName, Placement), (usize, usize)> = BTreeMap::new();
    let mut used: BTreeMap<u16, u64> = BTreeMap::new();
    let mut tenants: BTreeMap<u16, BTreeMap<&ServiceName, bool>> = BTreeMap::new();
    for it in &parts.services {
        let Some(local) = it.service.local() else { continue };
        let limit = match local.occupies {
            Occupies::Gpu { instances_per_gpu, .. } => usize::from(instances_per_gpu.get()),
            Occupies::Machine { instances } => usize::from(instances.get()),
        };
        counts.entry((&it.service.name, it.placement)).or_insert((0, limit)).0 += 1;
        if let (Placement::Device(ordinal), Occupies::Gpu { vram_mib, exclusive, .. }) =
            (it.placement, local.occupies)
        {
            *used.entry(ordinal).or_default() += u64::from(vram_mib.get());
            tenants.entry(ordinal).or_default().insert(&it.service.name, exclusive);
        }
    }
    for ((service, placement), (count, limit)) in
        counts.into_iter().filter(|(_, (count, limit))| count > limit)
    {
        let where_ = match placement {
            Placement::Device(ordinal) => format!("device {ordinal}"),
            Placement::Machine => "the machine".to_owned(),
        };
        found.push(Violation::TooManyInstances { service: service.clone(), where_, count, limit });
    }
    for device in devices {
        let used_mib = used.get(&device.ordinal).copied().unwrap_or(0);
        if used_mib > u64::from(device.vram_mib.get()) {
            let (label, capacity_mib) = (device.label.clone(), device.vram_mib.get());
            found.push(Violation::Memory { label, capacity_mib, used_mib });
        }
        let Some(tenants) = tenants.get(&device.ordinal).filter(|it| it.len() > 1) else { continue };
        for (service, _) in tenants.iter().filter(|(_, exclusive)| **exclusive) {
            found.push(Violation::NotAlone { service: (*service).clone(), label: device.label.clone() });
        }
    }
}

fn workers(parts: &PlanParts, found: &mut Vec<Violation>) {
    let mut served = BTreeSet::new();
    for it in &parts.workers {
        let target = match &it.serves {
            Serves::Instance(place) => {
                served.insert(*place);
                parts.services.get(*place).map(|instance| &instance.service)
            }
            Serves::External(service) => Some(service).filter(|it| it.local().is_none()),
        };
        if target.is_none_or(|service| service.name != it.worker.service) {
            let target = match &it.serves {
                Serves::Instance(place) => parts
                    .services
                    .get(*place)
                    .map_or_else(|| format!("instance {place}"), |it| it.name.to_string()),
                Serves::External(service) => service.name.to_string(),
            };
            found.push(Violation::NoSuchTarget { worker: it.name.clone(), target });
        }
    }
    for (place, it) in parts.services.iter().enumerate() {
        if !served.contains(&place) {
            found.push(Violation::Idle { name: it.name.clone() });
        }
    }
}
