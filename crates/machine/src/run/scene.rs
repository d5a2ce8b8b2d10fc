//! What a machine is made of, as the health server shows it: its services and workers with all that never changes while
//! it runs.

use std::collections::BTreeMap;

use ecosystem::{App, Ecosystem, External, Kind, Probes};
use health::{Counts, Install, Phase, Planned, Probe, Process, Service, Worker};
use spec::ids::{EnvKey, ProcessName, ServiceName, WorkerId};

/// A process that a service or worker is.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// Services: set-up first, then those of the plan, those elsewhere, and those that nobody wants.
    pub(crate) services: Vec<Service>,
    /// How the install of each service of [`Self::services`] is seen, and whose installer there is, in the same order.
    pub(crate) installs: Vec<Installed>,
    /// Workers.
    pub(crate) workers: Vec<Worker>,
    /// The process of each worker of [`Self::workers`], in the same order: slots share one.
    pub(crate) processes: Vec<ProcessName>,
    /// The services elsewhere.
    pub(crate) external: Vec<External>,
}

/// How to see whether a service is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Installed {
    /// Its probes; none: there is nothing to install.
    pub(crate) probes: Option<Probes>,
    /// The process that installs it.
    pub(crate) installer: Option<ProcessName>,
}

impl Scene {
    /// The scene of a document; `known` are the names of all services of the mapping.
    pub(crate) fn of(ecosystem: &Ecosystem, known: &[ServiceName]) -> Self {
        let mut scene = Self {
            services: Vec::new(),
            installs: Vec::new(),
            workers: Vec::new(),
            processes: Vec::new(),
            external: ecosystem.external.clone(),
        };
        for app in &ecosystem.setup {
            scene.put(local(app), Installed::default());
        }
        for app in ecosystem.apps.iter().filter(|it| it.roster.kind != Kind::Worker) {
            let mut installers = app.roster.depends_on.iter().map(|it| &it.name);
            let installer = installers.find(|it| ecosystem.setup.iter().any(|app| app.name == **it));
            let probes = app.roster.probes.clone();
            scene.put(local(app), Installed { probes, installer: installer.cloned() });
        }
        for it in &ecosystem.external {
            let probes = Some(it.probes.clone());
            let mut service = absent(&it.service);
            (service.plan, service.install, service.probe) =
                (Planned::Enabled, Install::Unknown, Probe::Pending);
            scene.put(service, Installed { probes, installer: None });
        }
        let used = |name: &ServiceName| scene.services.iter().any(|it| it.kind.as_ref() == Some(name));
        let unused: Vec<_> = known.iter().filter(|it| !used(it)).map(absent).collect();
        for it in unused {
            scene.put(it, Installed::default());
        }
        for app in ecosystem.apps.iter().filter(|it| it.roster.kind == Kind::Worker) {
            scene.workers(app);
        }
        scene
    }

    fn put(&mut self, service: Service, installed: Installed) {
        self.services.push(service);
        self.installs.push(installed);
    }

    fn workers(&mut self, app: &App) {
        let value = |key: &str| {
            let key: Option<EnvKey> = key.parse().ok();
            key.and_then(|it| app.env.get(&it)).cloned().unwrap_or_default()
        };
        let is_elsewhere = |it: &&External| it.service == app.roster.service;
        let elsewhere = self.external.iter().find(is_elsewhere).map(|it| named(&it.service));
        let needs: Vec<_> = app.roster.depends_on.iter().map(|it| it.name.clone()).chain(elsewhere).collect();
        let gpus: Vec<u32> = self
            .services
            .iter()
            .filter(|it| needs.contains(&it.name))
            .flat_map(|it| it.gpus.clone())
            .collect();
        for id in &app.roster.workers {
            let shares = app.roster.workers.len() > 1;
            self.workers.push(Worker {
                name: if shares { slot(app, id) } else { app.name.clone() },
                id: id.clone(),
                connector: value("CONNECTOR"),
                accepts: value("ACCEPTS").split(',').map(str::to_owned).collect(),
                needs: needs.clone(),
                gpu: gpus.first().copied(),
                process: waiting(),
                held: None,
                job: None,
                counts: Counts::default(),
            });
            self.processes.push(app.name.clone());
        }
    }

    /// The processes that claim jobs, each once.
    pub(crate) fn worker_processes(&self) -> Vec<ProcessName> {
        let mut names = self.processes.clone();
        names.dedup();
        names
    }
}

/// A process that has not been started.
pub(crate) fn waiting() -> Process {
    Process { phase: Phase::Waiting, since: 0, pid: None, restarts: 0, trouble: None, usage: None }
}

fn local(app: &App) -> Service {
    let role = &app.roster;
    let install = if role.probes.is_some() { Install::Unknown } else { Install::Present };
    Service {
        name: app.name.clone(),
        kind: (role.kind == Kind::Service).then(|| role.service.clone()),
        plan: Planned::Enabled,
        install,
        process: Some(waiting()),
        probe: Probe::Unneeded,
        port: role.ports.values().next().copied(),
        gpus: role.gpu.iter().filter_map(|it| index(&it.label)).collect(),
        needs: role.depends_on.iter().map(|it| it.name.clone()).collect(),
    }
}

fn absent(name: &ServiceName) -> Service {
    Service {
        name: named(name),
        kind: Some(name.clone()),
        plan: Planned::Absent,
        install: Install::Present,
        process: None,
        probe: Probe::Unneeded,
        port: None,
        gpus: vec![],
        needs: vec![],
    }
}

/// A service that has no process goes by its own name.
pub(crate) fn named(service: &ServiceName) -> ProcessName {
    ProcessName::of_parts(format_args!("{service}"))
}

/// `gpu0`, `gpu0-mig1`: the card's index.
fn index(label: &str) -> Option<u32> {
    label.strip_prefix("gpu")?.split('-').next()?.parse().ok()
}

/// What one of several workers in a process is called: as if it were alone.
fn slot(app: &App, id: &WorkerId) -> ProcessName {
    let number = id.as_str().rsplit('-').next().unwrap_or_default();
    ProcessName::of_parts(format_args!("{}-{number}", app.name))
}

/// The processes of several services, by name.
pub(crate) type ByProcess<T> = BTreeMap<ProcessName, T>;

#[cfg(test)]
mod tests {
    use spec::source::SourceText;

    use super::*;

    fn scene(text: &str) -> Scene {
        let document = Ecosystem::read(&SourceText::open("ecosystem.json", text)).unwrap();
        let known = ["openai", "playwright", "comfyui"].map(|it| it.parse().unwrap());
        Scene::of(&document, &known)
    }

    #[test]
    fn every_service_of_the_mapping_is_shown_and_workers_know_what_they_need() {
        let scene = scene(include_str!("../../../planner/tests/stories/mixed-workload/ecosystem.json"));
        let services: Vec<_> =
            scene.services.iter().map(|it| format!("{} {:?} {:?}", it.name, it.plan, it.gpus)).collect();
        let workers: Vec<_> = scene
            .workers
            .iter()
            .map(|it| format!("{} {} {:?} {:?}", it.name, it.connector, it.gpu, it.needs))
            .collect();
        let all = [services, workers].concat().join("\n");
        insta::assert_snapshot!(all, @r#"
        comfyui-install Enabled []
        comfyui-gpu0 Enabled [0]
        comfyui-gpu1 Enabled [1]
        openai Enabled []
        playwright Absent []
        comfyui-worker-0 comfyui Some(0) ["comfyui-gpu0"]
        comfyui-worker-1 comfyui Some(1) ["comfyui-gpu1"]
        openai-worker-0 openai None ["openai"]
        openai-worker-1 openai None ["openai"]
        openai-worker-2 openai None ["openai"]
        openai-worker-3 openai None ["openai"]
        "#);
        assert_eq!(scene.worker_processes().len(), 6);
    }
}
