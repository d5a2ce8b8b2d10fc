//! A small mapping, machines and a rendering, for all tests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use allocator::{Allocation, Machine, Refusal, allocate};
use spec::grammar;
use spec::model::{
    AllocationPlan, BuildStage, Cause, Connector, Demand, Gpu, Hosting, Inventory, InventoryOrigin,
    Isolation, LocalService, MigSlice, Occupies, PortRule, Probe, Probes, ServiceInstance, ServiceType,
    Start, WorkerType, Workload,
};
use spec::notes::{Finding, Located};
use spec::source::SourceText;
use spec::template::Template;

/// One service of the small mapping.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) occupies: Option<Occupies>,
    pub(crate) ports: Vec<(&'static str, u16, u16)>,
}

pub(crate) fn gpu(per_gpu: u8, vram_mib: u32, exclusive: bool) -> Occupies {
    Occupies::Gpu {
        instances_per_gpu: per_gpu.try_into().unwrap(),
        vram_mib: vram_mib.try_into().unwrap(),
        exclusive,
    }
}

pub(crate) fn cpu(instances: u16) -> Occupies {
    Occupies::Machine { instances: instances.try_into().unwrap() }
}

/// A service here, or elsewhere with `None`; ports are name, base and increment.
pub(crate) fn kind(
    name: &str,
    occupies: impl Into<Option<Occupies>>,
    ports: &[(&'static str, u16, u16)],
) -> Kind {
    Kind { name: name.to_owned(), occupies: occupies.into(), ports: ports.to_vec() }
}

/// The small mapping, with Playwright at `playwright`.
pub(crate) fn kinds(playwright: u16) -> Vec<Kind> {
    vec![
        kind("a1111", gpu(1, 10_240, false), &[("http", 7860, 1)]),
        kind("comfyui", gpu(1, 14_336, false), &[("http", 8188, 1)]),
        kind("embedder", gpu(1, 10_240, false), &[("http", 7000, 1)]),
        kind("ollama", gpu(2, 6_144, false), &[("http", 11_434, 1)]),
        kind("trainer", gpu(1, 8_192, true), &[("http", 6006, 1)]),
        kind("playwright", cpu(1), &[("http", playwright, 1)]),
        kind("simulation", cpu(3), &[("http", 8299, 1)]),
        kind("far", cpu(4), &[("http", 65_534, 1)]),
        kind("stuck", cpu(2), &[("http", 5000, 0)]),
        kind("openai", None, &[]),
        kind("replicate", None, &[]),
    ]
}

fn service(kind: &Kind) -> Arc<ServiceType> {
    let mapping = SourceText::open("config/service-mapping.json", "");
    let hosting = match kind.occupies {
        None => Hosting::External,
        Some(occupies) => Hosting::Local(LocalService {
            occupies,
            build_stage: "all".parse().unwrap(),
            install: None,
            ports: (kind.ports.iter())
                .map(|(name, base, increment)| PortRule {
                    name: name.parse().unwrap(),
                    base: *base,
                    increment: *increment,
                    variable: (kind.name == "playwright").then(|| "PLAYWRIGHT_PORT".parse().unwrap()),
                    base_from: mapping.whole(),
                })
                .collect(),
            start: Start {
                command: vec![],
                mock_arguments: vec![],
                working_directory: Template::parse("/").unwrap(),
                env: BTreeMap::new(),
                ready_within_s: 60.try_into().unwrap(),
                stop_grace_s: 10.try_into().unwrap(),
            },
            volumes: vec![],
            memory_mib: 1024.try_into().unwrap(),
        }),
    };
    Arc::new(ServiceType {
        name: kind.name.parse().unwrap(),
        description: String::new(),
        hosting,
        env: vec![],
        probes: Probes { install: Probe::Process, run: Probe::Process, health: Probe::Process },
    })
}

/// Resolves `roster`: a worker is named like its service, or `<service>-…`.
pub(crate) fn workload(roster: &str, kinds: &[Kind]) -> Workload {
    let roster = grammar::parse(&SourceText::open("--spec", roster)).unwrap();
    let services: BTreeMap<&str, _> = kinds.iter().map(|it| (it.name.as_str(), service(it))).collect();
    let demands = roster.entries().iter().map(|entry| {
        let name = entry.name.as_str();
        let service = services.get(name).unwrap_or_else(|| &services[name.rsplit_once('-').unwrap().0]);
        Demand {
            worker: Arc::new(WorkerType {
                name: entry.name.clone(),
                description: String::new(),
                service: service.name.clone(),
                connector: Connector::Simulation,
                accepts: vec![],
                isolation: Isolation::Process,
                env: vec![],
                memory_mib: 128.try_into().unwrap(),
                stop_grace_s: 60.try_into().unwrap(),
            }),
            service: service.clone(),
            count: entry.count,
            cause: Arc::new(Cause { entry: entry.to_string(), place: entry.place.clone() }),
        }
    });
    let stage = BuildStage {
        name: "all".parse().unwrap(),
        from: None,
        provides: services.values().map(|it| it.name.clone()).collect(),
    };
    Workload { demands: demands.collect(), stage }
}

/// A machine of 8 cores with one card for each size, in MiB.
pub(crate) fn machine(cards: &[u32]) -> Machine {
    let gpus = cards.iter().zip(0..).map(|(vram, index)| Gpu {
        index,
        uuid: None,
        model: None,
        vram_mib: (*vram).try_into().unwrap(),
        slices: vec![],
    });
    Machine {
        id: "m1".parse().unwrap(),
        workspace: "/workspace".into(),
        health_port: 9090,
        published: false,
        inventory: Inventory {
            origin: InventoryOrigin::Declared,
            gpus: gpus.collect(),
            cpu_cores: 8.try_into().unwrap(),
            memory_mib: 65_536.try_into().unwrap(),
        },
    }
}

/// The same machine with its first card cut into slices.
pub(crate) fn sliced(mut machine: Machine, slices: &[u32]) -> Machine {
    let slice = |(vram, number): (&u32, u16)| MigSlice {
        uuid: format!("MIG-{number}"),
        vram_mib: (*vram).try_into().unwrap(),
    };
    machine.inventory.gpus[0].slices = slices.iter().zip(0..).map(slice).collect();
    machine
}

pub(crate) fn try_plan(
    roster: &str,
    kinds: &[Kind],
    machine: &Machine,
) -> Result<Allocation, Vec<Located<Refusal>>> {
    allocate(&workload(roster, kinds), machine)
}

/// The plan or the refusals, one line each.
pub(crate) fn render(roster: &str, kinds: &[Kind], machine: &Machine) -> String {
    let mut text = String::new();
    match try_plan(roster, kinds, machine) {
        Ok(Allocation { plan, advice }) => {
            for it in plan.services() {
                let ports: Vec<String> = it.ports.values().map(u16::to_string).collect();
                writeln!(text, "{} on {} port {}", it.name, place(&plan, it), ports.join(" ")).unwrap();
            }
            for it in plan.workers() {
                let on = match plan.instance_of(it) {
                    Some(instance) => format!("{} ({})", instance.name, place(&plan, instance)),
                    None => format!("{}, elsewhere", plan.service_of(it).name),
                };
                writeln!(text, "{} -> {on}", it.name).unwrap();
            }
            for it in advice {
                tell(&mut text, "advice", Finding::advice(it));
            }
        }
        Err(refusals) => {
            for it in refusals {
                tell(&mut text, "error", Finding::error(it));
            }
        }
    }
    text
}

fn place(plan: &AllocationPlan, instance: &ServiceInstance) -> String {
    plan.device_of(instance).map_or_else(|| "cpu".to_owned(), |it| it.label.clone())
}

fn tell(text: &mut String, severity: &str, finding: Finding) {
    let place = finding.place.map(|it| format!("{it}: ")).unwrap_or_default();
    writeln!(text, "{severity}[{}] {place}{}", finding.code.id, finding.message).unwrap();
    writeln!(text, "  fix: {}", finding.fix).unwrap();
}
