//! Why a supervisor does not do what it is asked.

use spec::ids::{EnvKey, MachineId, ProcessName};
use spec::notes::{Code, Fault, Finding};

use crate::codes;
use crate::control::protocol::Refused;

/// Why a supervisor does not do what it is asked. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A name that the document does not have.
    #[error("there is no process `{name}`")]
    NoSuchProcess {
        /// That name.
        name: String,
        /// The name that was meant, perhaps.
        meant: Option<String>,
    },
    /// More than there are.
    #[error("the ecosystem has {has} of `{group}`, not {asked}")]
    TooMany {
        /// Of what.
        group: String,
        /// As many as were asked for.
        asked: u32,
        /// As many as there are.
        has: usize,
    },
    /// A signal to what does not run.
    #[error("`{name}` does not run: it is {state}")]
    NotRunning {
        /// Its name.
        name: ProcessName,
        /// What it does.
        state: String,
    },
    /// A document of another machine.
    #[error("the document is of the machine `{other}`, and this is `{own}`")]
    OtherMachine {
        /// Whose document it is.
        other: MachineId,
        /// Whose processes run here.
        own: MachineId,
    },
    /// A document that is wrong.
    #[error("{message}")]
    Document {
        /// The rule that it breaks.
        code: &'static str,
        /// What is wrong.
        message: String,
        /// What to do.
        fix: String,
        /// Where: `ecosystem.json:12:5`.
        place: Option<String>,
    },
    /// A document that cannot be read.
    #[error("`{name}` cannot be read: {why}")]
    Unreadable {
        /// Its path.
        name: String,
        /// What the system says.
        why: String,
    },
    /// A variable that is no text.
    #[error("the environment variable `{key}` is not valid UTF-8")]
    NotUnicode {
        /// Its name.
        key: EnvKey,
    },
    /// The supervisor goes down.
    #[error("the supervisor is stopping")]
    Stopping,
    /// The supervisor has gone.
    #[error("the supervisor has ended")]
    Ended,
    /// A request that is none.
    #[error("the request was not understood: {why}")]
    NotUnderstood {
        /// What is wrong with it.
        why: String,
    },
    /// The system refuses what it hardly ever does.
    #[error("the supervisor cannot begin: {why}")]
    System {
        /// What it says.
        why: String,
    },
    /// Somebody else's process asks.
    #[error("the supervisor belongs to the user {own}, and you are {other}")]
    OtherUser {
        /// Whose supervisor it is.
        own: u32,
        /// Who asks.
        other: u32,
    },
}

impl Refusal {
    /// A document is wrong.
    pub fn document(finding: &Finding) -> Self {
        let place = finding.place.as_ref().map(|place| {
            let (line, column) = place.line_column();
            format!("{}:{line}:{column}", place.source.name())
        });
        let (message, fix) = (finding.message.clone(), finding.fix.clone());
        Self::Document { code: finding.code.id, message, fix, place }
    }

    /// For the wire.
    pub fn to_wire(&self) -> Refused {
        let place = if let Self::Document { place, .. } = self { place.clone() } else { None };
        let code = if let Self::Document { code, .. } = self { code } else { self.code().id };
        Refused { code: code.to_owned(), message: self.to_string(), fix: self.fix(), place }
    }
}

impl Fault for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::NoSuchProcess { .. } => codes::NO_SUCH_PROCESS,
            Self::TooMany { .. } => codes::TOO_MANY,
            Self::NotRunning { .. } => codes::NOT_RUNNING,
            Self::OtherMachine { .. } => codes::OTHER_MACHINE,
            Self::Document { .. } | Self::Unreadable { .. } | Self::NotUnicode { .. } => codes::DOCUMENT,
            Self::Stopping | Self::Ended => codes::STOPPING,
            Self::NotUnderstood { .. } => codes::NOT_UNDERSTOOD,
            Self::System { .. } => codes::SYSTEM,
            Self::OtherUser { .. } => codes::OTHER_USER,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NoSuchProcess { meant: Some(it), .. } => {
                format!("did you mean `{it}`? `roster ps` lists them")
            }
            Self::NoSuchProcess { meant: None, .. } => "`roster ps` lists the processes".into(),
            Self::TooMany { has: 0, .. } => {
                "name a group as `roster ps` shows it, without the number: `comfyui-worker`".into()
            }
            Self::TooMany { .. } => "a plan decides about names and devices: make one with more of them \
(`roster env-build --spec …`), then `roster reload`"
                .into(),
            Self::NotRunning { name, .. } => format!("start it first: `roster start {name}`"),
            Self::OtherMachine { .. } => {
                "start a supervisor of its own for it: `roster up --ecosystem FILE`".into()
            }
            Self::Document { fix, .. } => fix.clone(),
            Self::Unreadable { .. } => "name it with `--ecosystem`; `roster env-build` writes one".into(),
            Self::NotUnicode { key } => format!("set `{key}` to UTF-8 text where the supervisor is started"),
            Self::Stopping | Self::Ended => "start it again when it has ended: `roster up`".into(),
            Self::NotUnderstood { .. } => "ask with the `roster` that the supervisor runs from".into(),
            Self::System { .. } => {
                "see whether this user may start processes and open files: `ulimit -a`".into()
            }
            Self::OtherUser { .. } => "ask as its user, or as root".into(),
        }
    }
}
