//! Whether services are there, apart from whether they run: by the install probes of the plan, and by what an installer
//! says of itself while it works.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ecosystem::{App, Probe};
use health::Install;
use installer::status::Status;
use spec::env::EnvSource;
use spec::ids::{EnvKey, ProcessName};
use spec::model::InstallOrder;
use supervisor::{End, FleetStatus, ProcessState};

use super::scene::{Installed, Scene};

/// Of the output of a program that failed, the lines that are shown, and their letters: `roster install status` has more.
const LINES: usize = 5;
const LETTERS: usize = 500;

/// How to see whether services are there.
pub(crate) struct Installs<'a> {
    /// Variables, for services that are there once a key is.
    pub(crate) variables: &'a dyn EnvSource,
    /// The installers.
    pub(crate) installers: BTreeMap<ProcessName, &'a App>,
}

impl Installs<'_> {
    /// How it is with each service of the scene, in its order. A few looks at the file system.
    pub(crate) fn look(&self, scene: &Scene, fleet: &FleetStatus) -> Vec<Install> {
        scene.installs.iter().map(|it| self.look_at(it, fleet)).collect()
    }

    fn look_at(&self, installed: &Installed, fleet: &FleetStatus) -> Install {
        if let Some(name) = &installed.installer
            && let Some(process) = fleet.get(name)
            && let Some(it) = self.of_installer(name, &process.process.state)
        {
            return it;
        }
        match installed.probes.as_ref().and_then(|it| self.lacks(&it.install)) {
            Some(what) => Install::Missing { what },
            None => Install::Present,
        }
    }

    /// What an installer is at, or what it failed at; `None` where it has nothing to say.
    fn of_installer(&self, name: &ProcessName, state: &ProcessState) -> Option<Install> {
        let works = works(state);
        if !works && !has_failed(state) {
            return None;
        }
        let said = self.installers.get(name).and_then(|it| said(it));
        Some(match said {
            Some(it) if works => Install::Underway { step: it.step, percent: Some(it.percent) },
            None if works => Install::Underway { step: format!("{name} works"), percent: None },
            Some(Status { failed: Some(it), .. }) => Install::Failed {
                step: it.step,
                why: it.message,
                output: last_words(&it.output),
                fix: sentence(&it.fix),
            },
            _ => Install::Failed {
                step: name.to_string(),
                why: state.trouble().map_or_else(|| state.word().to_owned(), ToString::to_string),
                output: String::new(),
                fix: format!(
                    "Read its log (`roster logs {name}`), mend the cause, then run it again: `roster restart {name}`."
                ),
            },
        })
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

/// Whether it has ended, and not well.
fn has_failed(state: &ProcessState) -> bool {
    matches!(
        state,
        ProcessState::BackingOff { .. }
            | ProcessState::Failed { .. }
            | ProcessState::Exited { end: End::Gone(_) }
    )
}

/// What an installer last said of itself. Who is no `roster install` says nothing.
fn said(app: &App) -> Option<Status> {
    let order = app.env.get(&InstallOrder::VARIABLE.parse::<EnvKey>().ok()?)?;
    let order: InstallOrder = serde_json::from_str(order).ok()?;
    installer::status::read(Path::new(&order.workspace), &order.service).ok()?
}

/// The end of an output, on one line.
fn last_words(output: &str) -> String {
    let lines: Vec<_> = output.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join(" | ");
    let cut = end.char_indices().rev().nth(LETTERS).map_or(0, |(at, _)| at);
    end[cut..].to_owned()
}

/// An advice as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |it| format!("{}{}.", it.to_uppercase(), letters.as_str()))
}
