//! What a machine is told: where from, in which order, and by whom each value is set.

mod fault;
mod guard;
mod layers;
mod place;
mod settings;
mod show;
mod table;

pub(crate) use fault::ConfigFault;
pub(crate) use guard::Guard;
pub(crate) use layers::{Files, Layers};
pub(crate) use place::Origin;
pub(crate) use settings::{Config, Settings};
pub(crate) use show::{Verb, run};

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use ecosystem::Ecosystem;
use planner::{Redactor, World};
use spec::env::Secret;
use spec::ids::ServiceName;
use spec::notes::Finding;
use spec::source::SourceText;
use supervisor::control::protocol::Document;

use crate::ask::Server;
use crate::fleet;
use crate::say::world;
use crate::worker::introduce;
use layers::Layer;
use place::Moved;
use settings::Reader;

/// A document of a name of its own: what the compose file sets.
const ECOSYSTEM: &str = "ROSTER_ECOSYSTEM";
/// The service mapping, in a generation or beside the document.
const MAPPING: &str = "service-mapping.json";

/// Which machine.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Which {
    /// Where `env-build` wrote the generation; left out, this folder or the nearest above it that has one
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A named machine of the generation; left out, the default one
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// Run this document, with everything else from the process environment; also `ROSTER_ECOSYSTEM`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "machine"])]
    ecosystem: Option<PathBuf>,
}

impl Which {
    /// What is meant. What the command line says counts for more than `ROSTER_ECOSYSTEM`.
    fn origin(&self, world: &World) -> Result<Origin, ConfigFault> {
        let key = ECOSYSTEM.parse().expect("our own keys are keys");
        let document = match &self.ecosystem {
            None if self.out.is_none() && self.machine.is_none() => {
                world.environment.get(&key)?.map(PathBuf::from)
            }
            other => other.clone(),
        };
        if let Some(path) = document.filter(|it| !it.as_os_str().is_empty()) {
            return Ok(Origin::Document { path: world.directory.join(path) });
        }
        let root = if let Some(it) = &self.out {
            world.directory.join(it)
        } else {
            let has = |it: &&Path| it.join(".roster/current").exists();
            world.directory.ancestors().find(has).unwrap_or(&world.directory).to_owned()
        };
        Origin::generation(&root, self.machine.as_deref()).ok_or_else(|| match &self.machine {
            Some(name) if root.join(".roster/current").exists() => {
                ConfigFault::NoMachine { root: root.clone(), name: name.clone() }
            }
            _ => ConfigFault::Nothing { root: root.clone() },
        })
    }
}

/// What was understood of a configuration, and what was not.
struct Loaded {
    origin: Origin,
    ecosystem: Ecosystem,
    layers: Layers,
    redactor: Redactor,
}

/// Reads everything; or says all that is missing or wrong.
pub(crate) fn load(which: &Which, world: World) -> Result<Config, (Vec<Finding>, Redactor)> {
    let mut findings = Vec::new();
    let loaded = read(which, world, None, &mut findings);
    let Some(Loaded { origin, ecosystem, layers, redactor }) = loaded else {
        return Err((findings, Redactor::default()));
    };
    let mut reader = Reader { layers: &layers, findings };
    let settings = reader.read(&ecosystem);
    let findings = reader.findings;
    let Some(settings) = settings else { return Err((findings, redactor)) };
    match fleet::place::to_listen(None, &settings.machine) {
        Ok(socket) => {
            let ecosystem = introduced(ecosystem, &layers, &socket);
            Ok(Config { origin, ecosystem, socket, layers, settings, guard: redactor.into() })
        }
        Err(finding) => Err((vec![*finding], redactor)),
    }
}

/// What a reload brings.
pub(crate) struct Again {
    /// The document as it is to be run from now on.
    pub(crate) ecosystem: Ecosystem,
    /// The files that its variables come from.
    pub(crate) files: Files,
    /// Knows its secrets.
    pub(crate) redactor: Redactor,
}

/// The document that was sent or the one of `which` as it is now, and what belongs to it.
pub(crate) fn again(which: &Which, sent: Option<&Document>) -> Result<Again, Vec<Finding>> {
    let mut findings = Vec::new();
    let loaded = read(which, world(), sent, &mut findings);
    let loaded = loaded.filter(|_| findings.is_empty()).ok_or(findings)?;
    let socket = fleet::place::to_listen(None, &loaded.ecosystem.machine).map_err(|it| vec![*it])?;
    let ecosystem = introduced(loaded.ecosystem, &loaded.layers, &socket);
    Ok(Again { ecosystem, files: loaded.layers.files(), redactor: loaded.redactor })
}

/// The document of the generation in force in this folder or above it, as it is run here, and its sources; `None` where there
/// is no generation.
pub(crate) fn here() -> Result<Option<(Ecosystem, Layers)>, Vec<Finding>> {
    let which = Which::default();
    if !matches!(which.origin(&world()), Ok(Origin::Generation { .. })) {
        return Ok(None);
    }
    let mut findings = Vec::new();
    let loaded = read(&which, world(), None, &mut findings);
    let loaded = loaded.filter(|_| findings.is_empty()).ok_or(findings)?;
    Ok(Some((loaded.ecosystem, loaded.layers)))
}

/// With what its workers have to know of this machine: where its supervisor listens, and where its health server answers
/// them, if that is open to them.
fn introduced(ecosystem: Ecosystem, layers: &Layers, socket: &Path) -> Ecosystem {
    let (listen, token) = Reader { layers, findings: vec![] }.server();
    let health = listen.filter(|it| it.is_loopback() && token.is_none());
    let health = health.map(|it| SocketAddr::new(it, ecosystem.health_port));
    introduce(ecosystem, socket, health)
}

/// The sources, and the document; `None` when there is nothing to run.
fn read(which: &Which, world: World, sent: Option<&Document>, findings: &mut Vec<Finding>) -> Option<Loaded> {
    let origin = which.origin(&world).map_err(|fault| findings.push(fault.nowhere())).ok()?;
    let source = match sent {
        Some(it) => Some(SourceText::open(&*it.name, &*it.text)),
        None => text(&origin.ecosystem()).map_err(|fault| findings.push(fault.nowhere())).ok(),
    };
    let ecosystem = Ecosystem::read(&source?).map_err(|them| findings.extend(them)).ok();
    let (layers, moved) = layers(&origin, world, findings);
    let mut redactor = Redactor::default();
    let own = std::env::current_exe().unwrap_or_default();
    let mut ecosystem = moved.ecosystem(ecosystem?, &own.display().to_string());
    if let Err(fault) = settings::overridden(&layers, &mut ecosystem) {
        findings.push(fault.nowhere());
    }
    settings::learn(&layers, &ecosystem, &mut redactor);
    Some(Loaded { origin, ecosystem, layers, redactor })
}

fn text(path: &Path) -> Result<SourceText, ConfigFault> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(SourceText::open(name, text)),
        Err(error) => Err(ConfigFault::Unreadable { path: name, why: error.to_string() }),
    }
}

/// The names of all services of the mapping, where that can be found: what is not in the plan is shown too.
pub(crate) fn known_services(origin: &Origin) -> Vec<ServiceName> {
    let root = match origin {
        Origin::Generation { root, id, .. } => root.join(".roster/generations").join(id),
        Origin::Document { path } => path.parent().unwrap_or(Path::new("/etc/roster")).to_owned(),
    };
    let text = std::fs::read(root.join(MAPPING)).unwrap_or_default();
    let mapping: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let services = mapping["services"].as_object();
    services.into_iter().flatten().filter_map(|(name, _)| name.parse().ok()).collect()
}

fn layers(origin: &Origin, world: World, findings: &mut Vec<Finding>) -> (Layers, Moved) {
    let environment = world.environment;
    let Origin::Generation { folder, .. } = origin else {
        return (Layers::new(environment, vec![]), Moved::default());
    };
    let (public, secret) = (folder.join(".env"), folder.join(".env.secret"));
    let workspace = table::WORKSPACE.key();
    let as_written = Layer::read(&public, false, &Moved::default(), &mut Vec::new());
    let planned = as_written.as_ref().and_then(|it| it.get(&workspace)).unwrap_or_default();
    let asked = match environment.get(&workspace) {
        Ok(it) => it.filter(|it| !it.is_empty()),
        Err(fault) => {
            findings.push(ConfigFault::from(fault).nowhere());
            None
        }
    };
    let moved = origin.moved(planned, asked.as_deref());
    let files = [(secret, true), (public, false)];
    let files = files.into_iter().filter_map(|(path, secret)| Layer::read(&path, secret, &moved, findings));
    let files = files.collect();
    (Layers::new(environment, files), moved)
}

/// Where the health server of a machine is, and the token for it. Nothing else of the configuration has to be right; with
/// `anywhere`, there need not even be one.
pub(crate) fn server(which: &Which, anywhere: bool) -> Result<(Server, Redactor), (Vec<Finding>, Redactor)> {
    let mut findings = Vec::new();
    let Some(loaded) = read(which, world(), None, &mut findings) else {
        let token = world().environment.get(&table::HEALTH_TOKEN.key()).ok().flatten();
        let server = Server {
            address: ([127, 0, 0, 1], spec::model::HEALTH_PORT).into(),
            token: token.map(Secret::new),
        };
        return if anywhere {
            Ok((server, Redactor::default()))
        } else {
            Err((findings, Redactor::default()))
        };
    };
    let mut reader = Reader { layers: &loaded.layers, findings: Vec::new() };
    let (listen, token) = reader.server();
    // Whoever listens everywhere listens here.
    let ip = listen.filter(|it| !it.is_unspecified()).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let address = SocketAddr::new(ip, loaded.ecosystem.health_port);
    Ok((Server { address, token }, loaded.redactor))
}
