//! What the machine itself has to offer: cards, ports, files, space.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ecosystem::Kind;
use health::{Install, Planned};
use planner::inventory::{Host, Nvml, detect};
use supervisor::FleetStatus;

use super::Check;
use super::fault::DoctorFault;
use crate::ask::Server;
use crate::config::{Config, Origin};
use crate::run::{Installs, Scene, hardware, planned};

/// For our own health server to say who it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// The cards, against those that were planned for.
pub(super) fn gpus(config: &Config) -> Check {
    const NAME: &str = "hardware";
    if !config.uses_gpus() {
        return Check::skipped(NAME, "the plan uses no GPU");
    }
    let here = detect(&Nvml, Host::look());
    let seen = format!("{} GPUs or slices", here.inventory.devices().len());
    let findings = hardware::hold(&config.ecosystem, planned(&config.origin), &here);
    findings.into_iter().fold(Check::new(NAME, seen), Check::with)
}

/// The ports of the plan. Those of the machine that runs already are its own.
pub(super) fn ports(config: &Config) -> Check {
    const NAME: &str = "ports";
    let settings = &config.settings;
    let own = Server { address: ([127, 0, 0, 1], settings.port).into(), token: settings.token.clone() };
    let is_running = own.get("/version", PATIENCE).ok().is_some_and(|(_, body)| {
        let version: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        version["machine"] == settings.machine.as_str()
    });
    if is_running {
        return Check::new(NAME, "the machine runs and has them");
    }
    let health = ("the health server".to_owned(), settings.port);
    let apps = config.ecosystem.apps.iter();
    let services = apps.flat_map(|it| it.roster.ports.values().map(|port| (it.name.to_string(), *port)));
    let wanted: Vec<_> = std::iter::once(health).chain(services).collect();
    let check = Check::new(NAME, format!("{} ports are wanted", wanted.len()));
    let taken = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err();
    wanted
        .into_iter()
        .filter(|(_, port)| taken(*port))
        .fold(check, |check, (who, port)| check.error(DoctorFault::PortInUse { port, who }))
}

/// The files of secrets: nobody but their owner may read them.
pub(super) fn secrets(config: &Config) -> Check {
    let mut files: Vec<PathBuf> = Vec::new();
    if let Origin::Generation { folder, root, .. } = &config.origin {
        files.extend([folder.join(".env.secret"), folder.join("secrets")]);
        files.extend(listed(&root.join("config/environments/secrets")).filter(|it| is_secret_file(it)));
    }
    let keys = config.ecosystem.apps.iter().flat_map(|it| &it.roster.secrets);
    files.extend(keys.filter_map(|it| config.layers.named(it).ok().flatten()));
    files.extend(listed(Path::new("/run/secrets")));
    files.sort_unstable();
    files.dedup();
    let there: Vec<_> = files.iter().filter_map(|it| Some((it, it.metadata().ok()?))).collect();
    let own = rustix::process::geteuid().as_raw();
    let check = Check::new("secrets", format!("{} files and folders", there.len()));
    there.into_iter().fold(check, |check, (path, it)| {
        let (path, mode, owner) = (path.clone(), it.mode() & 0o777, it.uid());
        // What a container is given belongs to the host, and stands on a mount of its own.
        let mounted = path.starts_with("/run/secrets");
        let check = if mode & 0o077 != 0 && !mounted {
            check.error(DoctorFault::OpenSecret { path: path.clone(), mode })
        } else {
            check
        };
        if owner == own || own == 0 || mounted {
            check
        } else {
            check.advice(DoctorFault::ForeignSecret { path, owner })
        }
    })
}

fn listed(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path())
}

/// `example.env` is there to be read.
fn is_secret_file(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "env") && path.file_stem().is_some_and(|it| it != "example")
}

/// Space where the workspace is, or will be.
pub(super) fn disk(config: &Config) -> Check {
    let workspace = &config.settings.workspace;
    let there = workspace.ancestors().find(|it| it.is_dir()).unwrap_or(Path::new("/"));
    let Some(disk) = crate::run::free(there).disk else {
        return Check::skipped("disk", format!("`{}` cannot be looked at", there.display()));
    };
    let check = Check::new(
        "disk",
        format!("{} GiB free of {} GiB at {}", disk.free >> 30, disk.total >> 30, disk.path),
    );
    let reserve = config.settings.disk_reserve;
    let fault = DoctorFault::Full { path: disk.path, free_mib: disk.free >> 20, reserve_mib: reserve >> 20 };
    match disk.free {
        it if it < reserve => check.error(fault),
        it if it < 2 * reserve => check.advice(fault),
        _ => check,
    }
}

/// Whether the services of the plan are installed.
pub(super) fn services(config: &Config) -> Check {
    let scene = Scene::of(&config.ecosystem, &[]);
    let installs = Installs { variables: &config.layers, installers: [].into() };
    let seen = installs.look(&scene, &FleetStatus::new());
    let wanted =
        scene.services.iter().zip(seen).filter(|(it, _)| it.plan == Planned::Enabled && it.kind.is_some());
    let wanted: Vec<_> = wanted.collect();
    let installed_by = |name: &str| {
        let app = config
            .ecosystem
            .apps
            .iter()
            .find(|it| it.name.as_str() == name && it.roster.kind == Kind::Service);
        app.is_some_and(|it| it.roster.depends_on.iter().any(|it| it.until == ecosystem::Until::Completed))
    };
    let check = Check::new("services", format!("{} in the plan", wanted.len()));
    wanted.into_iter().fold(check, |check, (service, install)| match install {
        Install::Missing { what } => {
            let by_itself = installed_by(service.name.as_str());
            let fault = DoctorFault::NotInstalled { service: service.name.to_string(), what, by_itself };
            // What the machine installs by itself need not be there yet.
            if by_itself { check.advice(fault) } else { check.error(fault) }
        }
        Install::Present | Install::Unknown | Install::Underway { .. } | Install::Failed { .. } => check,
    })
}
