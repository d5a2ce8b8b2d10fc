//! Where the documents are: `config/` at the project's root. Sources carry their path relative to that root, so that a
//! message says `config/environments/profiles/mixed-workload.json` wherever the command was typed.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use spec::ids::{ComponentName, ProfileName, SectionName, ServiceName};
use spec::notes::{Code, Exit, Fault, did_you_mean};
use spec::source::{Exposure, SourceText};

/// The mapping's path below the root; the file by which a root is known.
pub const MAPPING: &str = "config/service-mapping.json";
/// The declared compose profiles.
pub const COMPOSE_PROFILES: &str = "config/compose-profiles.json";
const PROFILES: &str = "config/environments/profiles";
const COMPONENTS: &str = "config/environments/components";
const INTERFACES: &str = "config/environments/services";
const SECRETS: &str = "config/environments/secrets";

/// Why a document was not read.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// No root here or above.
    #[error("there is no `{MAPPING}` in `{}` or above it", start.display())]
    NoRoot {
        /// Where the search began.
        start: PathBuf,
    },
    /// A named document that does not exist.
    #[error("there is no {kind} `{name}` (`{path}`)")]
    Absent {
        /// `profile`, `service interface`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Its path below the root.
        path: String,
        /// Those that exist.
        existing: Vec<String>,
    },
    /// The file system refused, or the file is not UTF-8.
    #[error("cannot read `{path}`: {source}")]
    Unreadable {
        /// Its path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file system refused to write.
    #[error("cannot write `{path}`: {source}")]
    Unwritable {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// No root, or a named document that is not there.
pub const ABSENT: Code = Code {
    id: "CONF001",
    title: "a document is not there",
    exit: Exit::Error,
    explanation: "Roster reads `config/service-mapping.json` and what is below `config/environments/`: `profiles/`, \
`components/`, `services/` and `secrets/`. It looks for `config/` in the present folder, then in those above it.\n\n\
Breaks it: `--profile mixed-wokload`, or a command typed outside the project.\n\nMend it: the message names the nearest \
existing document; `--root DIR` names the project.",
};

/// A document that cannot be read.
pub const UNREADABLE: Code = Code {
    id: "CONF002",
    title: "a document cannot be read or written",
    exit: Exit::Error,
    explanation: "The file is there, but the system does not let this user read it, or its text is not UTF-8.\n\n\
Breaks it: a secrets file that belongs to root.\n\nMend it: `chown` the file, or save it as UTF-8.",
};

impl Fault for LayoutError {
    fn code(&self) -> Code {
        match self {
            Self::NoRoot { .. } | Self::Absent { .. } => ABSENT,
            Self::Unreadable { .. } | Self::Unwritable { .. } => UNREADABLE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NoRoot { .. } => "run it inside the project, or name the project with `--root DIR`".into(),
            Self::Absent { name, existing, .. } => {
                match did_you_mean(name, existing.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("there are: {}", existing.join(", ")),
                }
            }
            Self::Unreadable { .. } => "make it a readable UTF-8 file".into(),
            Self::Unwritable { .. } => {
                "make its folder writable for this user, with space left on the disk".into()
            }
        }
    }
}

/// A project's root.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The nearest root at or above `start`.
    pub fn find(start: &Path) -> Result<Self, LayoutError> {
        let found = start.ancestors().find(|it| it.join(MAPPING).is_file());
        found
            .map(|it| Self { root: it.to_owned() })
            .ok_or_else(|| LayoutError::NoRoot { start: start.to_owned() })
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The service mapping.
    pub fn mapping(&self) -> Result<SourceText, LayoutError> {
        let found = self.read(MAPPING, Exposure::Open)?;
        found.ok_or_else(|| LayoutError::NoRoot { start: self.root.clone() })
    }

    /// The declared compose profiles, if there are any.
    pub fn compose_profiles(&self) -> Result<Option<SourceText>, LayoutError> {
        self.read(COMPOSE_PROFILES, Exposure::Open)
    }

    /// A profile.
    pub fn profile(&self, name: &ProfileName) -> Result<SourceText, LayoutError> {
        self.named("profile", PROFILES, name.as_str(), "json", Exposure::Open)
    }

    /// The names of all profiles.
    pub fn profiles(&self) -> Vec<ProfileName> {
        self.names(PROFILES, "json").iter().filter_map(|it| it.parse().ok()).collect()
    }

    /// A service interface.
    pub fn interface(&self, name: &ServiceName) -> Result<SourceText, LayoutError> {
        self.named("service interface", INTERFACES, name.as_str(), "json", Exposure::Open)
    }

    /// The names of all service interfaces.
    pub fn interfaces(&self) -> Vec<ServiceName> {
        self.names(INTERFACES, "json").iter().filter_map(|it| it.parse().ok()).collect()
    }

    /// Every component file.
    pub fn components(&self) -> Vec<Result<(ComponentName, SourceText), LayoutError>> {
        let names = self.names(COMPONENTS, "env");
        let read = |name: String| {
            let source = self.named("component", COMPONENTS, &name, "env", Exposure::Guarded)?;
            Ok(name.parse().ok().map(|name| (name, source)))
        };
        names.into_iter().map(read).filter_map(Result::transpose).collect()
    }

    /// A secrets file, if it is there.
    pub fn secrets(&self, name: &SectionName) -> Result<Option<SourceText>, LayoutError> {
        self.read(&Self::secrets_path(name), Exposure::Guarded)
    }

    /// The path of a secrets file below the root.
    pub fn secrets_path(name: &SectionName) -> String {
        format!("{SECRETS}/{name}.env")
    }

    /// A file that an argument names, relative to `directory`, where the command was typed.
    pub fn argument(directory: &Path, path: &Path, exposure: Exposure) -> Result<SourceText, LayoutError> {
        let name = path.display().to_string();
        match fs::read_to_string(directory.join(path)) {
            Ok(text) if exposure == Exposure::Guarded => Ok(SourceText::guarded(name, text)),
            Ok(text) => Ok(SourceText::open(name, text)),
            Err(source) => Err(LayoutError::Unreadable { path: name, source }),
        }
    }

    fn named(
        &self,
        kind: &'static str,
        folder: &str,
        name: &str,
        extension: &str,
        exposure: Exposure,
    ) -> Result<SourceText, LayoutError> {
        let path = format!("{folder}/{name}.{extension}");
        let found = self.read(&path, exposure)?;
        found.ok_or_else(|| LayoutError::Absent {
            kind,
            name: name.to_owned(),
            path,
            existing: self.names(folder, extension),
        })
    }

    fn names(&self, folder: &str, extension: &str) -> Vec<String> {
        let suffix = format!(".{extension}");
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|it| Some(it.file_name().to_str()?.strip_suffix(&suffix)?.to_owned()));
        let mut names: Vec<String> = names.filter(|it| !it.starts_with('.')).collect();
        names.sort();
        names
    }

    fn read(&self, path: &str, exposure: Exposure) -> Result<Option<SourceText>, LayoutError> {
        match fs::read_to_string(self.root.join(path)) {
            Ok(text) if exposure == Exposure::Guarded => Ok(Some(SourceText::guarded(path, text))),
            Ok(text) => Ok(Some(SourceText::open(path, text))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LayoutError::Unreadable { path: path.to_owned(), source }),
        }
    }
}

/// Every code of this module.
pub const ALL: &[Code] = &[ABSENT, UNREADABLE];
