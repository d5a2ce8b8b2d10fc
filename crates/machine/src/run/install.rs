//! Whether services are there, apart from whether they run: by the install probes of the plan, and by what an installer
//! says of itself while it works.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ecosystem::{App, Probe};
use health::Install;
use spec::env::EnvSource;
use spec::ids::{EnvKey, ProcessName};
use supervisor::{End, FleetStatus, ProcessState};

use super::scene::{Installed, Scene};

/// What an installer that works says of itself.
pub(crate) trait Progress: Send + Sync {
    /// What it does, and how much of all is done, in percent. `None`: it has not said anything.
    fn of(&self, installer: &App) -> Option<(String, Option<u8>)>;
}

/// Nobody says anything: what is known of an installer is that its process runs.
#[derive(Debug)]
pub(crate) struct Silent;

impl Progress for Silent {
    fn of(&self, _: &App) -> Option<(String, Option<u8>)> {
        None
    }
}

/// How to see whether services are there.
pub(crate) struct Installs<'a> {
    /// Variables, for services that are there once a key is.
    pub(crate) variables: &'a dyn EnvSource,
    /// The installers.
    pub(crate) installers: BTreeMap<ProcessName, &'a App>,
    /// What they say.
    pub(crate) progress: &'a dyn Progress,
}

impl Installs<'_> {
    /// How it is with each service of the scene, in its order. A few looks at the file system.
    pub(crate) fn look(&self, scene: &Scene, fleet: &FleetStatus) -> Vec<Install> {
        scene.installs.iter().map(|it| self.look_at(it, fleet)).collect()
    }

    fn look_at(&self, installed: &Installed, fleet: &FleetStatus) -> Install {
        if let Some(name) = &installed.installer
            && fleet.get(name).is_some_and(|it| works(&it.process.state))
        {
            let said = self.installers.get(name).and_then(|it| self.progress.of(it));
            let (step, percent) = said.unwrap_or_else(|| (format!("{name} works"), None));
            return Install::Underway { step, percent };
        }
        match installed.probes.as_ref().and_then(|it| self.lacks(&it.install)) {
            Some(what) => Install::Missing { what },
            None => Install::Present,
        }
    }

    /// What is not there; `None` when all is, or when only a process that runs could tell.
    fn lacks(&self, probe: &Probe) -> Option<String> {
        match probe {
            Probe::File { path } => (!Path::new(path).exists()).then(|| path.clone()),
            // What it answers is seen when the service runs; whether it is there is seen without running it.
            Probe::Exec { command } => {
                let program = command.first()?;
                self.program(program).is_none().then(|| format!("the program `{program}`"))
            }
            Probe::Variables { set } => {
                let is_set =
                    |it: &&EnvKey| self.variables.get(it).is_ok_and(|it| it.is_some_and(|it| !it.is_empty()));
                let missing: Vec<_> =
                    set.iter().filter(|it| !is_set(it)).map(|it| format!("`{it}`")).collect();
                (!missing.is_empty()).then(|| missing.join(", "))
            }
            Probe::Process
            | Probe::Log { .. }
            | Probe::Tcp { .. }
            | Probe::Http { .. }
            | Probe::Url { .. } => None,
        }
    }

    /// As a shell finds it.
    fn program(&self, name: &str) -> Option<PathBuf> {
        let runs =
            |it: &PathBuf| it.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(runs);
        }
        let path = self.variables.get(&"PATH".parse().ok()?).ok()??;
        std::env::split_paths(&path).map(|it| it.join(name)).find(runs)
    }
}

/// Whether an installer is at it.
fn works(state: &ProcessState) -> bool {
    match state {
        ProcessState::Launching { .. } | ProcessState::Running { .. } => true,
        ProcessState::Waiting
        | ProcessState::Stopping { .. }
        | ProcessState::Killing { .. }
        | ProcessState::Sweeping { .. }
        | ProcessState::BackingOff { .. }
        | ProcessState::Failed { .. }
        | ProcessState::Exited { end: End::Completed | End::Stopped | End::Gone(_) } => false,
    }
}
