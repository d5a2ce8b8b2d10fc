//! The ecosystem as it is run here.

use std::path::{Path, PathBuf};

use ecosystem::{App, Ecosystem, Probe};
use spec::notes::{Finding, Located};
use spec::source::SourceText;
use supervisor::Refusal;

/// What a document calls the program that runs it.
const OWN: &str = "roster";

/// Its name and its text.
pub(super) fn text(path: &Path) -> Result<(String, String), Box<Finding>> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let fault = Refusal::Unreadable { name, why: error.to_string() };
            Err(Box::new(Finding::error(Located::nowhere(fault))))
        }
    }
}

/// The document in a text.
pub(super) fn read(name: &str, text: &str) -> Result<Ecosystem, Vec<Finding>> {
    Ecosystem::read(&SourceText::open(name, text))
}

/// How a document is run here: what it calls `roster` is this very program, and the logs may be kept elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Here {
    pub own: PathBuf,
    pub logs: Option<PathBuf>,
}

impl Here {
    pub(super) fn adapt(&self, mut ecosystem: Ecosystem) -> Ecosystem {
        for app in ecosystem.setup.iter_mut().chain(&mut ecosystem.apps) {
            self.adapt_app(app);
        }
        ecosystem
    }

    fn adapt_app(&self, app: &mut App) {
        let own = |it: &mut String| {
            if it == OWN {
                *it = self.own.display().to_string();
            }
        };
        own(&mut app.script);
        if let Some(probes) = &mut app.roster.probes {
            for it in [&mut probes.install, &mut probes.ready, &mut probes.health] {
                if let Probe::Exec { command } = it {
                    command.first_mut().map(own).unwrap_or_default();
                }
            }
        }
        if let Some(folder) = &self.logs {
            for file in [&mut app.out_file, &mut app.error_file] {
                if let Some(name) = Path::new(file.as_str()).file_name() {
                    *file = folder.join(name).display().to_string();
                }
            }
        }
    }
}
