//! A corrupted plan is caught: one test for each invariant, each a sound plan with one thing wrong.
#![allow(clippy::unwrap_used, reason = "a fixture that does not parse fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use spec::ids::WorkerId;
use spec::model::{
    AllocationPlan, BuildStage, Cause, Connector, Gpu, HEALTH_PORT, Hosting, Inventory, InventoryOrigin,
    Isolation, LocalService, Occupies, Placement, PlanParts, PortRule, Probe, Probes, Serves,
    ServiceInstance, ServiceType, Start, WorkerInstance, WorkerType,
};
use spec::source::SourceText;
use spec::template::Template;

fn service(name: &str, occupies: Option<Occupies>, base: u16) -> Arc<ServiceType> {
    let local = |occupies| LocalService {
        occupies,
        build_stage: "all".parse().unwrap(),
        install: None,
        ports: vec![PortRule {
            name: "http".parse().unwrap(),
            base,
            increment: 1,
            variable: None,
            base_from: SourceText::open("mapping", "").whole(),
        }],
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
    };
    Arc::new(ServiceType {
        name: name.parse().unwrap(),
        description: String::new(),
        hosting: occupies.map_or(Hosting::External, |it| Hosting::Local(local(it))),
        env: vec![],
        probes: Probes { install: Probe::Process, run: Probe::Process, health: Probe::Process },
    })
}

fn gpu_service(name: &str, vram_mib: u32, exclusive: bool, base: u16) -> Arc<ServiceType> {
    let (instances_per_gpu, vram_mib) = (2.try_into().unwrap(), vram_mib.try_into().unwrap());
    service(name, Some(Occupies::Gpu { instances_per_gpu, vram_mib, exclusive }), base)
}

fn instance(name: &str, service: &Arc<ServiceType>, instance: u16, placement: Placement) -> ServiceInstance {
    let rules = &service.local().unwrap().ports;
    let ports = rules.iter().map(|it| (it.name.clone(), it.port_of(instance).unwrap())).collect();
    ServiceInstance { name: name.parse().unwrap(), service: service.clone(), instance, placement, ports }
}

fn worker(service: &Arc<ServiceType>, index: u16, serves: Serves) -> WorkerInstance {
    let worker = WorkerType {
        name: service.name.as_str().parse().unwrap(),
        description: String::new(),
        service: service.name.clone(),
        connector: Connector::Simulation,
        accepts: vec![],
        isolation: Isolation::Process,
        env: vec![],
        memory_mib: 128.try_into().unwrap(),
        stop_grace_s: 60.try_into().unwrap(),
    };
    let place = SourceText::open("--spec", "").whole();
    WorkerInstance {
        name: format!("{}-worker-{index}", service.name).parse().unwrap(),
        id: WorkerId::of(&"m1".parse().unwrap(), &worker.name, index),
        worker: Arc::new(worker),
        index,
        serves,
        cause: Arc::new(Cause { entry: service.name.to_string(), place }),
    }
}

/// Two cards of 24 GiB: two of `comfyui` on the first, the exclusive `trainer` on the second, `playwright` and, elsewhere,
/// `openai`.
fn sound() -> PlanParts {
    let card =
        |index| Gpu { index, uuid: None, model: None, vram_mib: 24_576.try_into().unwrap(), slices: vec![] };
    let comfyui = gpu_service("comfyui", 12_000, false, 8188);
    let trainer = gpu_service("trainer", 8000, true, 6006);
    let playwright =
        service("playwright", Some(Occupies::Machine { instances: 1.try_into().unwrap() }), 9190);
    let openai = service("openai", None, 0);
    PlanParts {
        machine: "m1".parse().unwrap(),
        inventory: Inventory {
            origin: InventoryOrigin::Declared,
            gpus: vec![card(0), card(1)],
            cpu_cores: 8.try_into().unwrap(),
            memory_mib: 65_536.try_into().unwrap(),
        },
        workspace: "/workspace".into(),
        health_port: HEALTH_PORT,
        published: false,
        stage: BuildStage {
            name: "all".parse().unwrap(),
            from: None,
            provides: [&comfyui, &trainer, &playwright].map(|it| it.name.clone()).into(),
        },
        workers: vec![
            worker(&comfyui, 0, Serves::Instance(0)),
            worker(&comfyui, 1, Serves::Instance(1)),
            worker(&trainer, 0, Serves::Instance(2)),
            worker(&playwright, 0, Serves::Instance(3)),
            worker(&openai, 0, Serves::External(openai.clone())),
        ],
        services: vec![
            instance("comfyui-gpu0-0", &comfyui, 0, Placement::Device(0)),
            instance("comfyui-gpu0-1", &comfyui, 1, Placement::Device(0)),
            instance("trainer-gpu1-0", &trainer, 2, Placement::Device(1)),
            instance("playwright-service", &playwright, 0, Placement::Machine),
        ],
    }
}

macro_rules! check {
    (|$plan:ident| $corrupt:expr, @$expected:literal) => {{
        let mut $plan = sound();
        $corrupt;
        let found = AllocationPlan::try_new($plan).err().unwrap_or_default();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(found.join("\n"), @$expected);
    }};
}

/// Replaces the service type of one instance and of its workers.
fn retype(plan: &mut PlanParts, place: usize, change: impl Fn(&mut LocalService)) {
    let it = &mut plan.services[place];
    let mut service = ServiceType::clone(&it.service);
    let Hosting::Local(local) = &mut service.hosting else { panic!("it is local") };
    change(local);
    it.service = Arc::new(service);
}

/// Adds an instance with a worker of its own.
fn add(plan: &mut PlanParts, it: ServiceInstance, index: u16) {
    plan.workers.push(worker(&it.service, index, Serves::Instance(plan.services.len())));
    plan.services.push(it);
}

#[test]
fn a_sound_plan_is_accepted() {
    assert_eq!(AllocationPlan::try_new(sound()).err(), None);
}

#[test]
fn two_processes_cannot_have_one_name() {
    check!(|plan| plan.workers[1].name = plan.services[0].name.clone(), @"two processes are named `comfyui-gpu0-0`");
}

#[test]
fn a_shared_process_has_a_name_too() {
    check!(|plan| {
        let mut shared = WorkerType::clone(&plan.workers[4].worker);
        shared.isolation = Isolation::SharedProcess;
        plan.workers[4].worker = Arc::new(shared);
        plan.workers[3].name = "openai-worker".parse().unwrap();
    }, @"two processes are named `openai-worker`");
}

#[test]
fn two_processes_cannot_have_one_port_and_the_health_server_is_one() {
    check!(|plan| plan.health_port = 8189, @"`comfyui-gpu0-1` needs port 8189, which the health server has");
    check!(|plan| {
        retype(&mut plan, 3, |it| it.ports[0].base = 8188);
        *plan.services[3].ports.values_mut().next().unwrap() = 8188;
    }, @"`playwright-service` needs port 8188, which `comfyui-gpu0-0` has");
}

#[test]
fn ports_follow_their_rules() {
    check!(|plan| *plan.services[0].ports.values_mut().next().unwrap() = 8200, @"`comfyui-gpu0-0` does not have the ports that its rules give instance 0");
    check!(|plan| plan.services[0].ports.clear(), @"`comfyui-gpu0-0` does not have the ports that its rules give instance 0");
    check!(|plan| plan.services[1].instance = 60_000, @r"
    `comfyui-gpu0-1` does not have the ports that its rules give instance 60000
    `comfyui-gpu0-1` cannot have the number 60000 where it is
    ");
}

#[test]
fn a_device_exists() {
    check!(|plan| plan.services[2].placement = Placement::Device(2), @r"
    `trainer-gpu1-0` is on device 2; the machine has 2
    `trainer-gpu1-0` cannot have the number 2 where it is
    ");
}

#[test]
fn every_instance_is_where_its_binding_puts_it() {
    check!(|plan| plan.services[2].placement = Placement::Machine, @"`trainer-gpu1-0` is not where the binding of `trainer` puts it");
    check!(|plan| plan.services[3].placement = Placement::Device(1), @"`playwright-service` is not where the binding of `playwright` puts it");
    check!(|plan| {
        let openai = service("openai", None, 0);
        plan.stage.provides.insert(openai.name.clone());
        plan.services.push(ServiceInstance {
            name: "openai-service".parse().unwrap(),
            service: openai.clone(),
            instance: 0,
            placement: Placement::Machine,
            ports: BTreeMap::new(),
        });
        plan.workers[4].serves = Serves::Instance(4);
    }, @"`openai-service` is not where the binding of `openai` puts it");
}

#[test]
fn an_instance_number_belongs_to_its_place_and_to_nobody_else() {
    check!(|plan| {
        let it = &plan.services[2];
        plan.services[2] = instance("trainer-gpu1-0", &it.service, 5, Placement::Device(1));
    }, @"`trainer-gpu1-0` cannot have the number 5 where it is");
    check!(|plan| {
        retype(&mut plan, 3, |it| it.occupies = Occupies::Machine { instances: 2.try_into().unwrap() });
        retype(&mut plan, 3, |it| it.ports.clear());
        plan.services[3].ports.clear();
        let mut twin = plan.services[3].clone();
        twin.name = "playwright-service-1".parse().unwrap();
        add(&mut plan, twin, 1);
    }, @"`playwright-service-1` cannot have the number 0 where it is");
}

#[test]
fn no_device_gives_out_more_memory_than_it_has() {
    check!(|plan| plan.inventory.gpus[0].vram_mib = 23_999.try_into().unwrap(), @"device gpu0 has 23999 MiB; 24000 MiB are given out");
}

#[test]
fn an_exclusive_service_shares_its_device_with_nobody() {
    check!(|plan| {
        let comfyui = plan.services[0].service.clone();
        add(&mut plan, instance("comfyui-gpu1-0", &comfyui, 2, Placement::Device(1)), 2);
    }, @"`trainer` shares device gpu1 although it is exclusive");
}

#[test]
fn instances_keep_to_the_limit_of_their_place() {
    check!(|plan| {
        for place in 0..2 {
            retype(&mut plan, place, |it| {
                let (instances_per_gpu, vram_mib) = (1.try_into().unwrap(), 1.try_into().unwrap());
                it.occupies = Occupies::Gpu { instances_per_gpu, vram_mib, exclusive: false };
            });
        }
    }, @r"
    `comfyui-gpu0-1` cannot have the number 1 where it is
    device 0 has 2 instances of `comfyui`; 1 is the limit
    ");
    check!(|plan| {
        let playwright = plan.services[3].service.clone();
        add(&mut plan, instance("playwright-service-1", &playwright, 1, Placement::Machine), 1);
        add(&mut plan, instance("playwright-service-2", &playwright, 2, Placement::Machine), 2);
    }, @r"
    `playwright-service-1` cannot have the number 1 where it is
    `playwright-service-2` cannot have the number 2 where it is
    the machine has 3 instances of `playwright`; 1 is the limit
    ");
}

#[test]
fn no_instance_is_idle() {
    check!(|plan| plan.workers[1].serves = Serves::Instance(0), @"no worker works on `comfyui-gpu0-1`");
}

#[test]
fn a_worker_works_on_an_instance_of_its_own_service() {
    check!(|plan| plan.workers[0].serves = Serves::Instance(9), @r"
    `comfyui-worker-0` works on `instance 9`, which is not an instance of its service
    no worker works on `comfyui-gpu0-0`
    ");
    check!(|plan| plan.workers[4].serves = Serves::Instance(3), @"`openai-worker-0` works on `playwright-service`, which is not an instance of its service");
    check!(|plan| plan.workers[4].serves = Serves::External(service("replicate", None, 0)), @"`openai-worker-0` works on `replicate`, which is not an instance of its service");
    check!(|plan| plan.workers[3].serves = Serves::External(plan.services[3].service.clone()), @r"
    `playwright-worker-0` works on `playwright`, which is not an instance of its service
    no worker works on `playwright-service`
    ");
}

#[test]
fn the_build_stage_has_every_service() {
    check!(|plan| plan.stage.provides.clear(), @r"
    the build stage does not provide `comfyui`
    the build stage does not provide `trainer`
    the build stage does not provide `playwright`
    ");
}

#[test]
fn every_violation_is_told_not_the_first() {
    check!(|plan| {
        plan.health_port = 8188;
        plan.services[2].placement = Placement::Device(7);
        plan.workers[1].name = plan.services[0].name.clone();
    }, @r"
    two processes are named `comfyui-gpu0-0`
    `comfyui-gpu0-0` needs port 8188, which the health server has
    `trainer-gpu1-0` is on device 7; the machine has 2
    `trainer-gpu1-0` cannot have the number 2 where it is
    ");
}

#[test]
fn a_container_gets_the_used_devices_or_all_when_one_is_known_by_index_only() {
    let labels = |plan: PlanParts| {
        let plan = AllocationPlan::try_new(plan).unwrap();
        plan.reserved_devices().iter().map(|it| it.label.clone()).collect::<Vec<_>>().join(" ")
    };
    let only_comfyui = || {
        let mut plan = sound();
        plan.services.truncate(2);
        plan.workers.truncate(2);
        plan
    };
    assert_eq!(labels(only_comfyui()), "gpu0 gpu1");
    let mut known = only_comfyui();
    known.inventory.gpus[0].uuid = Some("GPU-a".to_owned());
    assert_eq!(labels(known.clone()), "gpu0");
    known.inventory.origin = InventoryOrigin::Mock;
    assert_eq!(labels(known), "");
}

#[test]
fn a_whole_stop_may_take_the_slowest_worker_then_the_slowest_service_then_ourselves() {
    assert_eq!(AllocationPlan::try_new(sound()).unwrap().stop_grace_s(), 60 + 10 + 5);
}
