//! The plan lowered to processes. Nothing is chosen here: names, ports and devices come from the plan, commands and
//! probes from the mapping, values from the public environment.

mod installers;

use std::collections::{BTreeMap, BTreeSet};

use spec::ids::{EnvKey, ProcessName, ServiceName};
use spec::model::{
    AllocationPlan, Binding, Connector, EnvNeed, Isolation, LocalService, Occupies, Placement, Serves,
    ServiceInstance, ServiceType, WorkerInstance,
};
use spec::notes::{Finding, Located, errors};

use crate::capabilities;
use crate::document::{
    App, Dependency, Ecosystem, ExecMode, External, GpuClaim, Interpreter, Kind, Role, SCHEMA_VERSION,
    StopSignal, Until,
};
use crate::fault::EcosystemFault;
use crate::words::{Words, placeholders};

/// What every worker reads, whether its mapping entry declares it or not, and whether that is a secret: its broker, what it
/// says of itself, where results go and what it may fetch. `REDIS_URL` is a secret unless a public value is known, for it may
/// hold a password.
pub const MACHINE_WIDE: [(&str, bool); 16] = [
    (REDIS_URL, false),
    ("LOG_LEVEL", false),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", false),
    ("OTEL_RESOURCE_ATTRIBUTES", false),
    ("OUTPUT_URL", false),
    ("OUTPUT_PUBLIC_URL", false),
    ("OUTPUT_LIMIT_MIB", false),
    ("AWS_REGION", false),
    ("AWS_ENDPOINT_URL", false),
    ("AWS_ACCESS_KEY_ID", true),
    ("AWS_SECRET_ACCESS_KEY", true),
    ("AWS_SESSION_TOKEN", true),
    ("EGRESS_HOSTS", false),
    ("EGRESS_INSIDE", false),
    ("EGRESS_HTTP", false),
    ("EGRESS_LIMIT_MIB", false),
];

const REDIS_URL: &str = "REDIS_URL";

/// Our program, as a name to be found in `PATH`: it runs the workers and the installers.
const ROSTER: &str = "roster";

// PM2 waits 100 ms, then 1.5 times as long each time, at most 15 s, and gives up for ever once `MAX_RESTARTS` starts
// failed within `MAX_RESTARTS × MIN_UPTIME_MS`. With these numbers the waits alone take longer: it never gives up.
pub(crate) const MIN_UPTIME_MS: u32 = 5_000;
pub(crate) const MAX_RESTARTS: u32 = 20;
pub(crate) const RESTART_DELAY_MS: u32 = 100;

/// Of the time between the ask to end and the kill, what the jobs of a worker may use: 25 s of 30 s.
const GRACE: f64 = 5.0 / 6.0;

/// Lowers a plan to its processes. `environment` holds the public variables: its values are copied to the processes
/// that declare them. The value of a variable that any worker or service of the plan declares secret is never copied.
///
/// Fails, with every reason, when the mapping starts or probes a service by a placeholder or port that it does not
/// have. Catalogs made by `mapping` have been checked for that.
pub fn lower(
    plan: &AllocationPlan,
    environment: &BTreeMap<EnvKey, String>,
) -> Result<Ecosystem, Vec<Finding>> {
    let mut lowering = Lowering {
        plan,
        environment,
        secret: secrets(plan),
        causes: causes(plan),
        workspace: plan.workspace().trim_end_matches('/'),
        faults: Vec::new(),
    };
    let setup = lowering.installers();
    let mut apps: Vec<App> = Vec::new();
    for (instance, place) in plan.services().iter().zip(0..) {
        // `AllocationPlan` puts no service elsewhere on this machine.
        let Some(local) = instance.service.local() else { continue };
        apps.push(lowering.service(instance, local, place));
    }
    let slots_of_one = |a: &WorkerInstance, b: &WorkerInstance| {
        a.worker.isolation == Isolation::SharedProcess && a.worker.name == b.worker.name
    };
    apps.extend(plan.workers().chunk_by(slots_of_one).map(|slots| lowering.worker(slots)));
    let external = plan.external_services().into_iter().map(|service| lowering.external(service)).collect();
    if lowering.faults.is_empty() {
        let (machine, health_port) = (plan.machine().clone(), plan.health_port());
        Ok(Ecosystem { schema_version: SCHEMA_VERSION, machine, health_port, apps, setup, external })
    } else {
        Err(errors(lowering.faults.into_iter().map(Located::nowhere)))
    }
}

struct Lowering<'a> {
    plan: &'a AllocationPlan,
    environment: &'a BTreeMap<EnvKey, String>,
    secret: BTreeSet<&'a EnvKey>,
    /// The roster entries behind each service instance, by its place in the plan.
    causes: BTreeMap<usize, Vec<String>>,
    /// Without a slash at its end.
    workspace: &'a str,
    faults: Vec<EcosystemFault>,
}

/// What a process is given of the environment.
#[derive(Default)]
struct Declared {
    env: BTreeMap<EnvKey, String>,
    public: BTreeSet<EnvKey>,
    secret: BTreeSet<EnvKey>,
}

impl Lowering<'_> {
    fn service(&mut self, instance: &ServiceInstance, local: &LocalService, place: usize) -> App {
        let start = &local.start;
        let values = placeholders(self.plan, instance, local, self.workspace);
        let mut words = Words { name: &instance.name, values: &values, faults: &mut self.faults };
        let mut command = words.all(&start.command).into_iter();
        // `Start` says that a command is never empty.
        let script = command.next().unwrap_or_default();
        let mut args: Vec<String> = command.collect();
        if self.plan.is_mock() {
            args.extend(words.all(&start.mock_arguments));
        }
        let own: BTreeMap<EnvKey, String> =
            start.env.iter().map(|(key, value)| (key.clone(), words.one(value))).collect();
        let cwd = words.one(&start.working_directory);
        let cwd = if cwd.starts_with('/') { cwd } else { format!("{}/{cwd}", self.workspace) };
        let probes = words.probes(&instance.service, &instance.ports);

        let mut declared = self.declared(&instance.service.env);
        for (key, value) in own {
            declared.put(key, value);
        }
        // A mock plan's services run on the processor.
        let device = self.plan.device_of(instance).filter(|_| !self.plan.is_mock());
        if instance.service.binding() == Binding::Gpu {
            // The mask alone says which card: with a device flag beside it the card would be counted twice.
            declared.set("CUDA_VISIBLE_DEVICES", device.map_or("", |it| &it.identity));
            if device.is_some() {
                declared.set("CUDA_DEVICE_ORDER", "PCI_BUS_ID");
            }
        }
        let vram_mib = match local.occupies {
            Occupies::Gpu { vram_mib, .. } => Some(vram_mib.get()),
            Occupies::Machine { .. } => None,
        };
        let gpu =
            device.map(|it| GpuClaim { label: it.label.clone(), identity: it.identity.clone(), vram_mib });
        let installed = local.install.as_ref().map(|_| installers::name(&instance.service.name));
        let depends_on =
            installed.into_iter().map(|name| Dependency { name, until: Until::Completed }).collect();
        let (environment, secrets) = declared.names();
        let role = Role {
            instance: Some(instance.instance),
            gpu,
            ports: instance.ports.clone(),
            depends_on,
            probes: Some(probes),
            ready_within_s: Some(start.ready_within_s.get()),
            environment,
            secrets,
            cause: self.causes.get(&place).cloned().unwrap_or_default(),
            ..role(Kind::Service, &instance.service.name)
        };
        App {
            args,
            cwd,
            env: declared.env,
            max_memory_restart: Some(bytes(local.memory_mib.get(), 1)),
            ..self.app(instance.name.clone(), script, start.stop_grace_s.get(), role)
        }
    }

    /// One process of workers: a single worker, or the slots of a type whose workers share a process.
    fn worker(&self, slots: &[WorkerInstance]) -> App {
        let first = &slots[0];
        let worker = &first.worker;
        let service = self.plan.service_of(first);
        // Nobody else here talks to a service elsewhere, so what that takes (its key) goes to its workers.
        let of_service = if service.local().is_none() { &service.env[..] } else { &[] };
        let mut declared =
            self.declared(worker.env.iter().chain(of_service).chain(&machine_wide(self.environment)));

        declared.set("MACHINE_ID", self.plan.machine().as_str());
        declared.set("WORKER_TYPE", worker.name.as_str());
        declared.set("CONNECTOR", worker.connector.as_str());
        declared.set("SERVICE", service.name.as_str());
        declared.set("ACCEPTS", &joined(worker.accepts.iter()));
        let instances: Vec<&ServiceInstance> =
            slots.iter().filter_map(|it| self.plan.instance_of(it)).collect();
        declared.set("WORKER_GRACE_S", &format!("{:.1}", f64::from(worker.stop_grace_s.get()) * GRACE));
        declared.set("WORKER_CAPABILITIES", &capabilities::of(self.plan, worker, &instances));
        let urls: Vec<String> = instances.iter().filter_map(|it| url(it)).collect();
        let name = match worker.isolation {
            Isolation::Process => {
                declared.set("WORKER_ID", first.id.as_str());
                if let Some(url) = urls.first() {
                    declared.set("SERVICE_URL", url);
                    self.old_names(first, url, &mut declared);
                }
                first.name.clone()
            }
            Isolation::SharedProcess => {
                declared.set("WORKER_IDS", &joined(slots.iter().map(|it| &it.id)));
                if !urls.is_empty() {
                    declared.set("SERVICE_URLS", &urls.join(","));
                }
                ProcessName::of_parts(format_args!("{}-worker", worker.name))
            }
        };

        let served: BTreeSet<&ProcessName> = instances.iter().map(|it| &it.name).collect();
        let depends_on =
            served.into_iter().map(|name| Dependency { name: name.clone(), until: Until::Healthy }).collect();
        let (environment, secrets) = declared.names();
        let role = Role {
            workers: slots.iter().map(|it| it.id.clone()).collect(),
            depends_on,
            environment,
            secrets,
            cause: vec![first.cause.entry.clone()],
            ..role(Kind::Worker, &service.name)
        };
        App {
            args: vec!["worker".into()],
            env: declared.env,
            max_memory_restart: Some(bytes(worker.memory_mib.get(), slots.len())),
            ..self.app(name, ROSTER.into(), worker.stop_grace_s.get(), role)
        }
    }

    /// The names that worker programs from before Roster read. Only these two are kept.
    fn old_names(&self, worker: &WorkerInstance, url: &str, declared: &mut Declared) {
        if let Some(Placement::Device(ordinal)) = self.plan.instance_of(worker).map(|it| it.placement) {
            declared.set("WORKER_GPU_ID", &ordinal.to_string());
        }
        if let Connector::Comfyui | Connector::ComfyuiWebsocket = worker.worker.connector {
            declared.set("COMFYUI_BASE_URL", url);
        }
    }

    fn external(&mut self, service: &ServiceType) -> External {
        let (name, values) = (ProcessName::of_parts(format_args!("{}", service.name)), BTreeMap::new());
        let mut words = Words { name: &name, values: &values, faults: &mut self.faults };
        External { service: service.name.clone(), probes: words.probes(service, &BTreeMap::new()) }
    }

    fn app(&self, name: ProcessName, script: String, stop_grace_s: u16, role: Role) -> App {
        let log = format!("{}/logs/{name}.log", self.workspace);
        App {
            name,
            script,
            args: Vec::new(),
            interpreter: Interpreter::None,
            exec_mode: ExecMode::Fork,
            cwd: if self.workspace.is_empty() { "/".into() } else { self.workspace.into() },
            env: BTreeMap::new(),
            autorestart: true,
            kill_timeout: u32::from(stop_grace_s) * 1000,
            min_uptime: MIN_UPTIME_MS,
            max_restarts: MAX_RESTARTS,
            exp_backoff_restart_delay: RESTART_DELAY_MS,
            max_memory_restart: None,
            out_file: log.clone(),
            error_file: log,
            merge_logs: true,
            vizion: false,
            roster: role,
        }
    }

    fn declared<'n>(&self, needs: impl IntoIterator<Item = &'n EnvNeed>) -> Declared {
        let mut declared = Declared::default();
        for EnvNeed { key, secret, .. } in needs {
            if *secret || self.secret.contains(key) {
                declared.secret.insert(key.clone());
                continue;
            }
            declared.public.insert(key.clone());
            if let Some(value) = self.environment.get(key) {
                declared.env.insert(key.clone(), value.clone());
            }
        }
        declared
    }
}

impl Declared {
    /// Sets what the mapping or the plan decides; it replaces whatever the environment says.
    fn put(&mut self, key: EnvKey, value: String) {
        self.secret.remove(&key);
        self.env.insert(key, value);
    }

    fn set(&mut self, key: &'static str, value: &str) {
        self.put(key.parse().expect("our own keys are keys"), value.to_owned());
    }

    fn names(&self) -> (Vec<EnvKey>, Vec<EnvKey>) {
        (self.public.iter().cloned().collect(), self.secret.iter().cloned().collect())
    }
}

fn role(kind: Kind, service: &ServiceName) -> Role {
    Role {
        kind,
        service: service.clone(),
        instance: None,
        gpu: None,
        ports: BTreeMap::new(),
        workers: Vec::new(),
        depends_on: Vec::new(),
        probes: None,
        ready_within_s: None,
        stop_signal: StopSignal::Term,
        survive: false,
        user: None,
        group: None,
        umask: None,
        limits: BTreeMap::new(),
        oom_score_adj: None,
        environment: Vec::new(),
        secrets: Vec::new(),
        cause: Vec::new(),
    }
}

/// Where a worker finds an instance: its first port.
fn url(instance: &ServiceInstance) -> Option<String> {
    let first = instance.service.local()?.ports.first()?;
    instance.ports.get(&first.name).map(|port| format!("http://127.0.0.1:{port}"))
}

/// What anyone in the plan declares secret.
fn secrets(plan: &AllocationPlan) -> BTreeSet<&EnvKey> {
    let services = plan.services().iter().flat_map(|it| &it.service.env);
    let workers = plan.workers().iter().flat_map(|it| it.worker.env.iter().chain(&plan.service_of(it).env));
    services.chain(workers).filter(|it| it.secret).map(|it| &it.key).collect()
}

fn causes(plan: &AllocationPlan) -> BTreeMap<usize, Vec<String>> {
    let mut causes: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for worker in plan.workers() {
        let Serves::Instance(place) = worker.serves else { continue };
        let entries = causes.entry(place).or_default();
        if !entries.contains(&worker.cause.entry) {
            entries.push(worker.cause.entry.clone());
        }
    }
    causes
}

fn machine_wide(environment: &BTreeMap<EnvKey, String>) -> [EnvNeed; MACHINE_WIDE.len()] {
    MACHINE_WIDE.map(|(key, secret)| EnvNeed {
        key: key.parse().expect("our own keys are keys"),
        required: false,
        secret: secret || (key == REDIS_URL && !environment.contains_key(key)),
    })
}

fn joined<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|it| it.to_string()).collect::<Vec<_>>().join(",")
}

fn bytes(mib: u32, times: usize) -> u64 {
    u64::from(mib) * times as u64 * 1024 * 1024
}
