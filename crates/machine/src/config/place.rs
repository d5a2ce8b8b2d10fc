//! What is run, and where: a generation in a folder, or a document that a container was given.

use std::path::{Path, PathBuf};

use broker::Wire;
use compose_gen::REDIS;
use ecosystem::{App, Ecosystem, Probe, Probes};

/// Where a container has its workspace. Outside of one it is used if it is there.
const CONTAINER_WORKSPACE: &str = "/workspace";
/// What containers call the machine that they run on.
const HOST: &str = "host.docker.internal";
/// What the document calls the program that runs it.
const OWN: &str = "roster";

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A generation, outside of containers.
    Generation {
        /// Where `env-build` wrote it.
        root: PathBuf,
        /// Its name.
        id: String,
        /// Its files.
        folder: PathBuf,
    },
    /// A document, with everything else in the process environment: what the compose file starts.
    Document {
        /// Its path.
        path: PathBuf,
    },
}

impl Origin {
    /// The generation in force below `root`, and of that the machine `name`; `None` when there is none.
    pub(crate) fn generation(root: &Path, name: Option<&str>) -> Option<Self> {
        // Read once: a switch in the middle of the start must not mix two sets.
        let link = std::fs::read_link(root.join(".roster/current")).ok()?;
        let id = link.file_name()?.to_str()?.to_owned();
        let folder = root.join(".roster").join(link);
        let folder = name.map_or(folder.clone(), |it| folder.join("machines").join(it));
        folder.join("ecosystem.json").exists().then(|| Self::Generation { root: root.to_owned(), id, folder })
    }

    /// The document.
    pub(crate) fn ecosystem(&self) -> PathBuf {
        match self {
            Self::Generation { folder, .. } => folder.join("ecosystem.json"),
            Self::Document { path } => path.clone(),
        }
    }

    /// The name of the generation.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Generation { id, .. } => Some(id),
            Self::Document { .. } => None,
        }
    }

    /// What has another name here than in the containers that the files were made for. `planned` is the plan's
    /// workspace, `asked` the one that the process environment asks for.
    pub(crate) fn moved(&self, planned: &str, asked: Option<&str>) -> Moved {
        let Self::Generation { root, .. } = self else {
            return Moved { workspace: None, hosts: false };
        };
        let elsewhere = match asked {
            Some(it) => Some(PathBuf::from(it)),
            None if planned == CONTAINER_WORKSPACE && !Path::new(planned).is_dir() => {
                Some(root.join(".roster/workspace"))
            }
            None => None,
        };
        let workspace = elsewhere.map(|it| (planned.to_owned(), it.display().to_string()));
        Moved { workspace: workspace.filter(|(from, to)| from != to), hosts: true }
    }
}

/// What is called otherwise outside of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// The workspace: where the plan has it, and where it is.
    pub(crate) workspace: Option<(String, String)>,
    /// Whether the names that the compose file gives to Redis and to the host mean this machine.
    pub(crate) hosts: bool,
}

impl Moved {
    /// A text of the generation as it reads here.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = match &self.workspace {
            Some((from, to)) => rebased(text, from, to),
            None => text.to_owned(),
        };
        if self.hosts {
            let scheme = Wire::of(&text).1.split_once("://");
            let is_redis = scheme.is_some_and(|(it, _)| it.starts_with("redis"));
            for host in [HOST].into_iter().chain(is_redis.then_some(REDIS)) {
                text = at_home(&text, host);
            }
        }
        text
    }

    /// A document as it is run here: its `roster` is this very program.
    pub(crate) fn ecosystem(&self, mut ecosystem: Ecosystem, own: &str) -> Ecosystem {
        for app in ecosystem.setup.iter_mut().chain(&mut ecosystem.apps) {
            self.app(app, own);
        }
        for it in &mut ecosystem.external {
            self.probes(&mut it.probes, own);
        }
        ecosystem
    }

    fn app(&self, app: &mut App, own: &str) {
        for it in [&mut app.script, &mut app.cwd, &mut app.out_file, &mut app.error_file] {
            *it = self.text(it);
        }
        for it in app.args.iter_mut().chain(app.env.values_mut()) {
            *it = self.text(it);
        }
        if app.script == OWN {
            own.clone_into(&mut app.script);
        }
        if let Some(probes) = &mut app.roster.probes {
            self.probes(probes, own);
        }
    }

    fn probes(&self, probes: &mut Probes, own: &str) {
        let Probes { install, startup, ready, health, live } = probes;
        for probe in [install, ready, health].into_iter().chain(startup).chain(live) {
            match probe {
                Probe::File { path } => *path = self.text(path),
                Probe::Exec { command } => {
                    for it in command.iter_mut() {
                        *it = self.text(it);
                    }
                    if let Some(it) = command.first_mut().filter(|it| *it == OWN) {
                        own.clone_into(it);
                    }
                }
                Probe::Http { url } => *url = self.text(url),
                Probe::Process
                | Probe::Log { .. }
                | Probe::Tcp { .. }
                | Probe::Variables { .. }
                | Probe::Url { .. } => {}
            }
        }
    }
}

/// `text` with the path `from` replaced by `to` wherever it begins a path: at the start, or behind a character that
/// cannot be part of one before it.
fn rebased(text: &str, from: &str, to: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        let begins = match before.chars().next_back() {
            None => out.is_empty(),
            // After the two slashes of an address without a host, or the three of one whose path is the rest: SQLite's.
            Some('/') => before.ends_with("://") || before.ends_with(":///"),
            Some(it) => "=:,;\"' ".contains(it),
        };
        let ends = after.chars().next().is_none_or(|it| "/,;:\"' ".contains(it));
        out.push_str(before);
        out.push_str(if begins && ends { to } else { from });
        rest = after;
    }
    out + rest
}

/// `text` with `host` replaced by the loopback where it is the host of an address.
fn at_home(text: &str, host: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(host) {
        let (before, after) = (&rest[..at], &rest[at + host.len()..]);
        let begins = before.ends_with("://") || before.ends_with('@');
        let ends = after.chars().next().is_none_or(|it| ":/?,".contains(it));
        out.push_str(before);
        out.push_str(if begins && ends { "127.0.0.1" } else { host });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_moves_where_a_path_begins_and_nowhere_else() {
        let moved = |text: &str| rebased(text, "/workspace", "/srv/run");
        assert_eq!(moved("/workspace"), "/srv/run");
        assert_eq!(moved("/workspace/logs/a.log"), "/srv/run/logs/a.log");
        assert_eq!(moved("--dir=/workspace/models:/workspace/x"), "--dir=/srv/run/models:/srv/run/x");
        assert_eq!(moved("sqlite:////workspace/a.db"), "sqlite:////srv/run/a.db");
        assert_eq!(moved("file:///workspace/a"), "file:///srv/run/a");
        for untouched in ["/workspaces/a", "/opt/workspace/a", "http://127.0.0.1/workspace/a", "workspace"] {
            assert_eq!(moved(untouched), untouched);
        }
    }

    #[test]
    fn the_names_of_the_compose_file_mean_this_machine_outside_of_it() {
        let moved = Moved { workspace: None, hosts: true };
        assert_eq!(moved.text("redis://redis:6379/0"), "redis://127.0.0.1:6379/0");
        assert_eq!(moved.text("redis://me:redis@redis"), "redis://me:redis@127.0.0.1");
        assert_eq!(moved.text("http://host.docker.internal:8080/v1"), "http://127.0.0.1:8080/v1");
        for untouched in ["redis", "http://redis:80", "redis://redis.example:6379", "redis://my-redis:6379"] {
            assert_eq!(moved.text(untouched), untouched);
        }
        assert_eq!(Moved::default().text("redis://redis:6379/0"), "redis://redis:6379/0");
    }
}
