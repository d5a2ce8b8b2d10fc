//! A catalog and plans to lower. Allocation is another crate's business: what is put here is what the design says of
//! `comfyui:4` on two cards (one instance a card, workers in turn), sealed by `AllocationPlan::try_new`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::sync::Arc;

use spec::ids::{EnvKey, ProcessName, WorkerId};
use spec::model::*;
use spec::source::SourceText;
use spec::template::Template;

pub(crate) fn key(text: &str) -> EnvKey {
    text.parse().unwrap()
}

pub(crate) fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn need(text: &str, secret: bool) -> EnvNeed {
    EnvNeed { key: key(text), required: secret, secret }
}

fn mib(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn port(name: &str, base: u16) -> PortRule {
    let base_from = SourceText::open("service-mapping.json", "").whole();
    PortRule { name: name.parse().unwrap(), base, increment: 1, variable: None, base_from }
}

pub(crate) fn comfyui() -> ServiceType {
    let http = |path: &str| Probe::Http { port: "http".parse().unwrap(), path: path.into() };
    ServiceType {
        name: "comfyui".parse().unwrap(),
        description: "ComfyUI".into(),
        hosting: Hosting::Local(LocalService {
            occupies: Occupies::Gpu {
                instances_per_gpu: NonZeroU8::MIN,
                vram_mib: mib(8192),
                exclusive: false,
            },
            build_stage: "comfyui".parse().unwrap(),
            install: Some(Box::new(Install {
                source: InstallSource::Git {
                    url: "https://h/comfyui".into(),
                    branch: None,
                    commit: None,
                    recursive: false,
                },
                python: None,
                commands: Vec::new(),
                nodes: None,
                models: None,
                directories: vec!["${WORKSPACE}/instances/${NAME}".into()],
                tokens: BTreeMap::from([("h".into(), key("HF_TOKEN"))]),
                probe: vec!["${PYTHON}".into(), "main.py".into()],
            })),
            ports: vec![port("http", 8188)],
            start: Start {
                command: ["python3", "main.py", "--listen", "${LISTEN}", "--port", "${PORT}"]
                    .map(template)
                    .into(),
                mock_arguments: vec![template("--cpu")],
                working_directory: template("${WORKSPACE}/ComfyUI"),
                env: BTreeMap::from([(key("COMFYUI_OUTPUT"), template("${WORKSPACE}/output/${NAME}"))]),
                ready_within_s: mib(300),
                stop_grace_s: NonZeroU16::new(15).unwrap(),
            },
            volumes: Vec::new(),
            memory_mib: mib(16384),
        }),
        env: vec![need("COMFYUI_LOG_LEVEL", false), need("HF_TOKEN", true)],
        probes: Probes {
            install: Probe::File { path: template("${WORKSPACE}/ComfyUI/main.py") },
            run: Probe::Tcp { port: "http".parse().unwrap() },
            health: http("/system_stats"),
        },
    }
}

fn playwright() -> ServiceType {
    let mut service = comfyui();
    service.name = "playwright".parse().unwrap();
    service.env.clear();
    let Hosting::Local(local) = &mut service.hosting else { unreachable!() };
    local.occupies = Occupies::Machine { instances: NonZeroU16::MIN };
    local.install = None;
    local.ports = vec![port("http", 9190), port("dev-tools", 9222)];
    local.start.command =
        ["playwright", "run-server", "--port=${PORT}", "--tools=${PORT_DEV_TOOLS}"].map(template).into();
    local.start.working_directory = template("playwright");
    local.start.env.clear();
    service
}

fn external(name: &str) -> ServiceType {
    let api_key = key(&format!("{}_API_KEY", name.to_uppercase()));
    let variable = key(&format!("{}_BASE_URL", name.to_uppercase()));
    ServiceType {
        name: name.parse().unwrap(),
        description: name.into(),
        hosting: Hosting::External,
        env: vec![
            EnvNeed { key: api_key.clone(), required: true, secret: true },
            need(variable.as_str(), false),
        ],
        probes: Probes {
            install: Probe::Process,
            run: Probe::Variables { set: BTreeSet::from([api_key]) },
            health: Probe::Url { variable, path: "/models".into() },
        },
    }
}

/// The service of a worker type, with whether its workers share a process.
fn offered(name: &str) -> (Arc<ServiceType>, Connector, Isolation) {
    match name {
        "comfyui" => (Arc::new(comfyui()), Connector::Comfyui, Isolation::Process),
        "comfyui-pool" => (Arc::new(comfyui()), Connector::ComfyuiWebsocket, Isolation::SharedProcess),
        "playwright" => (Arc::new(playwright()), Connector::Playwright, Isolation::Process),
        "openai-shared" => (Arc::new(external("openai")), Connector::Openai, Isolation::SharedProcess),
        "replicate" => (Arc::new(external(name)), Connector::Replicate, Isolation::Process),
        _ => (Arc::new(external(name)), Connector::Openai, Isolation::Process),
    }
}

/// `comfyui:2,openai:4`, on so many cards of 24 GiB.
pub(crate) fn plan(
    machine: &str,
    workspace: &str,
    roster: &str,
    cards: u16,
    origin: InventoryOrigin,
) -> AllocationPlan {
    let gpus = (0..cards).map(|index| Gpu {
        index,
        uuid: (index > 0).then(|| format!("GPU-0000-{index}")),
        model: None,
        vram_mib: mib(24576),
        slices: Vec::new(),
    });
    let inventory = Inventory {
        origin,
        gpus: gpus.collect(),
        cpu_cores: NonZeroU16::new(8).unwrap(),
        memory_mib: mib(65536),
    };
    let machine = machine.parse().unwrap();
    let (mut services, mut workers): (Vec<ServiceInstance>, Vec<WorkerInstance>) = Default::default();
    for entry in roster.split(',').filter(|it| !it.is_empty()) {
        let (name, count) = entry.split_once(':').unwrap();
        let count: u16 = count.parse().unwrap();
        let (service, connector, isolation) = offered(name);
        let worker = Arc::new(WorkerType {
            name: name.parse().unwrap(),
            description: name.into(),
            service: service.name.clone(),
            connector,
            accepts: vec![
                service.name.as_str().parse().unwrap(),
                format!("{}_x", service.name).parse().unwrap(),
            ],
            isolation,
            env: vec![need("WORKER_POLL_MS", false)],
            memory_mib: mib(1024),
            stop_grace_s: NonZeroU16::new(30).unwrap(),
        });
        let cause =
            Arc::new(Cause { entry: entry.into(), place: SourceText::open("--spec", roster).whole() });
        let first = services.len();
        if let Some(local) = service.local() {
            let on_gpu = service.binding() == Binding::Gpu;
            for instance in 0..if on_gpu { count.min(cards) } else { 1 } {
                services.push(ServiceInstance {
                    name: if on_gpu {
                        ProcessName::of_parts(format_args!("{}-gpu{instance}", service.name))
                    } else {
                        ProcessName::of_parts(format_args!("{}-service", service.name))
                    },
                    service: service.clone(),
                    instance,
                    placement: if on_gpu { Placement::Device(instance) } else { Placement::Machine },
                    ports: local
                        .ports
                        .iter()
                        .map(|it| (it.name.clone(), it.port_of(instance).unwrap()))
                        .collect(),
                });
            }
        }
        let instances = services.len() - first;
        for index in 0..count {
            workers.push(WorkerInstance {
                name: ProcessName::of_parts(format_args!("{name}-worker-{index}")),
                id: WorkerId::of(&machine, &worker.name, index),
                worker: worker.clone(),
                index,
                serves: if instances == 0 {
                    Serves::External(service.clone())
                } else {
                    Serves::Instance(first + usize::from(index) % instances)
                },
                cause: cause.clone(),
            });
        }
    }
    let provides = services.iter().map(|it| it.service.name.clone()).collect();
    let stage = BuildStage { name: "full".parse().unwrap(), from: None, provides };
    let workspace = workspace.into();
    let parts = PlanParts {
        machine,
        inventory,
        workspace,
        health_port: HEALTH_PORT,
        published: false,
        stage,
        services,
        workers,
    };
    AllocationPlan::try_new(parts).unwrap()
}
