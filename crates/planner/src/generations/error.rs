//! What can go wrong with generations, and the codes for it.

use std::io;
use std::path::{Path, PathBuf};

use spec::notes::{Code, Exit, Fault};

/// Why a generation was not written, switched or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file in the way that Roster did not write.
    #[error("`{}` is there and was not written by roster", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A generated file that was changed afterwards.
    #[error("`{}` was edited after it was generated", path.display())]
    Edited {
        /// The file, through the link.
        path: PathBuf,
    },
    /// Another run holds the lock.
    #[error("another roster is writing to `{}`", root.display())]
    Locked {
        /// The output root.
        root: PathBuf,
    },
    /// Nothing to go back to.
    #[error("there is no {wanted} in `{}`", root.display())]
    NoGeneration {
        /// The output root.
        root: PathBuf,
        /// What was asked for: `previous generation`, `generation 0123…`.
        wanted: String,
    },
    /// The file system refused.
    #[error("cannot {doing} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

impl Fault for StoreError {
    fn code(&self) -> Code {
        match self {
            Self::Foreign { .. } => FOREIGN,
            Self::Edited { .. } => EDITED,
            Self::Locked { .. } => LOCKED,
            Self::NoGeneration { .. } => NO_GENERATION,
            Self::Io { .. } => IO,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Foreign { path } => format!(
                "move it away, write elsewhere with `--out DIR`, or say `--force`: it is then kept as `{}`",
                super::disk::kept_name(path).display()
            ),
            Self::Edited { .. } => {
                "put the change into `config/`, so that it is generated; `--force` discards the edit".into()
            }
            Self::Locked { .. } => "wait for it to end, then run the command again".into(),
            Self::NoGeneration { .. } => {
                "`env-build` makes one; `.roster/history` lists those that were".into()
            }
            Self::Io { .. } => {
                "make the path readable and writable for this user, with space left on the disk".into()
            }
        }
    }
}

/// A file in the way.
pub const FOREIGN: Code = Code {
    id: "GEN001",
    title: "a file in the way was not written by roster",
    exit: Exit::Error,
    explanation: "The files at the output root are links into the generation in force. A file of the same name that \
roster did not make is yours: it is never overwritten by default.\n\nBreaks it: a hand-written `.env` beside `config/` \
when `env-build` runs for the first time.\n\nMend it: carry its values over to `config/environments/`, then move it \
away; or `--force`, which keeps it as `.env.before-roster`.",
};

/// A generated file was edited.
pub const EDITED: Code = Code {
    id: "GEN002",
    title: "a generated file was edited by hand",
    exit: Exit::Error,
    explanation: "Generated files are lowered from one plan; an edit in one of them makes it disagree with the others, \
and would be lost with the next build.\n\nBreaks it: a port changed in the generated `docker-compose.yaml`.\n\nMend \
it: change the mapping, the profile or a component instead. Additions of your own belong into \
`docker-compose.override.yaml`, which Docker Compose merges and roster never touches. `--force` restores the file.",
};

/// Another run is writing.
pub const LOCKED: Code = Code {
    id: "GEN003",
    title: "another roster is writing here",
    exit: Exit::Error,
    explanation: "Two runs that write one output root would race for the link that says which generation is in force, \
so each takes `.roster/lock` while it writes. The lock goes with the process that holds it, even when it is \
killed.\n\nBreaks it: two `env-build` at once.\n\nMend it: run it again when the other one is done.",
};

/// No such generation.
pub const NO_GENERATION: Code = Code {
    id: "GEN004",
    title: "no such generation",
    exit: Exit::Error,
    explanation: "`rollback` puts the generation before the present one in force, or the one that `--to` names. The \
last ten are kept.\n\nBreaks it: `rollback` after the first `env-build`.\n\nMend it: `.roster/history` lists what was \
in force, oldest first.",
};

/// The file system refused.
pub const IO: Code = Code {
    id: "GEN005",
    title: "the file system refused",
    exit: Exit::Error,
    explanation: "Reading configuration or writing a generation failed. Nothing is half written: the generation that \
was in force still is.\n\nBreaks it: a full disk, or a folder of another user.\n\nMend it: the message has the path \
and what the system said.",
};

/// Every code of this module.
pub const ALL: &[Code] = &[FOREIGN, EDITED, LOCKED, NO_GENERATION, IO];
