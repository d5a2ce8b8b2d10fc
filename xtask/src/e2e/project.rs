//! A project as a user has it: a folder with `config/`, in which `roster` is typed.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::machine::Machine;
use crate::workspace::root;

/// Cards that pretend, as `--inventory` reads them.
pub(super) fn cards(count: u32) -> String {
    let gpus: Vec<_> = (0..count).map(|_| json!({ "model": "mock", "vram_mib": 24576 })).collect();
    json!({ "mock": true, "gpus": gpus, "cpu_cores": 16, "memory_mib": 65536 }).to_string()
}

/// A project.
pub(super) struct Project {
    roster: PathBuf,
    folder: PathBuf,
    /// Variables that every command gets.
    variables: Vec<(String, String)>,
    pub(super) health_port: u16,
}

impl Project {
    /// A copy of the repository's configuration, with a service for GPUs that pretends. Its ports start at `ports`.
    pub(super) fn new(roster: &Path, folder: &Path, ports: u16) -> Result<Self, String> {
        copy(&root().join("config"), &folder.join("config"))?;
        let project = Self {
            roster: roster.to_owned(),
            folder: folder.to_owned(),
            variables: [
                ("MACHINE_HEALTH_PORT", ports.to_string()),
                ("SIMULATION_BASE_PORT", (ports + 1).to_string()),
                ("RENDER_BASE_PORT", (ports + 41).to_string()),
                ("XDG_RUNTIME_DIR", folder.join("runtime").display().to_string()),
                // Crashes are noticed soon: a lease of ten seconds would be most of a scenario.
                ("WORKER_LEASE_S", "2".to_owned()),
                // How much room there is on this host is not what is shown.
                ("MACHINE_DISK_RESERVE_MIB", "0".to_owned()),
                ("MACHINE_MEMORY_RESERVE_MIB", "0".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            health_port: ports,
        };
        project.add_render()?;
        fs::create_dir_all(folder.join("runtime"))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(project)
    }

    /// Adds the worker `render` on the service `render`, which is on GPUs and pretends.
    fn add_render(&self) -> Result<(), String> {
        self.edit("config/service-mapping.json", |mapping| {
            mapping["stages"]["base"]["provides"] = json!(["render", "simulation"]);
            // A worker is given what its entry names, and nothing else.
            mapping["workers"]["simulation"]["optional_env"] = json!(["WORKER_LEASE_S"]);
            let mut worker = mapping["workers"]["simulation"].clone();
            (worker["service"], worker["accepts"]) = (json!("render"), json!(["render"]));
            mapping["workers"]["render"] = worker;
            let mut service = mapping["services"]["simulation"].clone();
            service["binding"] = json!("gpu");
            service["instances_per_gpu"] = json!(1);
            service["vram_mib"] = json!(1024);
            service["ports"][0]["base"] = json!(8400);
            service["ports"][0]["variable"] = json!("RENDER_BASE_PORT");
            if let Some(service) = service.as_object_mut() {
                service.remove("instances_per_machine");
            }
            mapping["services"]["render"] = service;
        })
    }

    /// A file of the project.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Gives every command a variable more.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Writes a file.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), String> {
        crate::workspace::write(&self.path(name), text)
    }

    /// Changes a JSON file.
    pub(super) fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let path = self.path(name);
        let text = crate::workspace::read(&path)?;
        let mut value =
            serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        change(&mut value);
        crate::workspace::write(&path, &format!("{value:#}\n"))
    }

    /// `roster` with these words, in the project.
    pub(super) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(&self.roster);
        command.args(words.split_whitespace());
        self.prepare(&mut command);
        command
    }

    /// Puts a command into the project, with its variables and no other.
    pub(super) fn prepare(&self, command: &mut Command) {
        command.current_dir(&self.folder).stdin(Stdio::null());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// Types a command that has to succeed, and returns what it printed.
    pub(super) fn type_in(&self, words: &str) -> Result<String, String> {
        crate::workspace::output(&mut self.command(words))
    }

    /// Plans as told, starts the machine, and waits until it is ready.
    pub(super) async fn boot(&self, plan: &str) -> Result<Machine, String> {
        self.type_in(&format!("env-build {plan}"))?;
        self.start().await
    }

    /// Starts the machine of the generation in force, and waits until it is ready.
    pub(super) async fn start(&self) -> Result<Machine, String> {
        let log = self.path("roster-run.log");
        let file = fs::File::options().create(true).append(true).open(&log);
        let file = file.map_err(|error| format!("{}: {error}", log.display()))?;
        let other = file.try_clone().map_err(|error| error.to_string())?;
        // Not in our group: Ctrl-C is for us, and we end it before what it needs.
        let child = self.command("run").stdout(file).stderr(other).process_group(0).spawn();
        let child = child.map_err(|error| format!("roster run: {error}"))?;
        let mut machine = Machine::new(child, self.health_port, log);
        machine.ready().await?;
        Ok(machine)
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let why = |error| format!("{}: {error}", from.display());
    fs::create_dir_all(to).map_err(why)?;
    for entry in fs::read_dir(from).map_err(why)? {
        let entry = entry.map_err(why)?;
        let target = to.join(entry.file_name());
        match entry.file_type().map_err(why)? {
            // What a person has put there is not for tests.
            it if it.is_dir() && entry.file_name() == "secrets" => {}
            it if it.is_dir() => copy(&entry.path(), &target)?,
            _ => drop(fs::copy(entry.path(), target).map_err(why)?),
        }
    }
    Ok(())
}
