//! What a document, or a plan to be lowered to one, can have wrong.

use spec::ids::{EnvKey, PortName, ProcessName};
use spec::notes::{Code, Fault};

use crate::codes;
use crate::document::Until;

/// One thing wrong with an ecosystem whose form is right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EcosystemFault {
    /// Two processes of one name.
    #[error("two processes are named `{name}`")]
    DuplicateName {
        /// That name.
        name: ProcessName,
    },
    /// A wait for a process that is not there.
    #[error("`{process}` waits for `{on}`, which is no process of this document")]
    NoSuchProcess {
        /// Who waits.
        process: ProcessName,
        /// For whom.
        on: ProcessName,
        /// Whom it may mean.
        meant: Option<String>,
    },
    /// Processes that wait for each other.
    #[error("{} wait for each other", path.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" → "))]
    Cycle {
        /// Each waits for the next; the last is the first again.
        path: Vec<ProcessName>,
    },
    /// A wait for the end of what goes on, or for the state of what runs to its end.
    #[error("`{process}` waits until `{on}` is {}, which is{} in `setup`", word(*until), not(*until))]
    NeverTrue {
        /// Who waits.
        process: ProcessName,
        /// For whom.
        on: ProcessName,
        /// For what.
        until: Until,
    },
    /// Something in `setup` that is started again whenever it ends.
    #[error("`{process}` is in `setup` but is started again whenever it ends")]
    EndlessSetup {
        /// The process.
        process: ProcessName,
    },
    /// Two claims on one port.
    #[error("`{second}` has port {port}, which {first} has too")]
    DuplicatePort {
        /// The port.
        port: u16,
        /// Who has it, ready to show.
        first: String,
        /// Who has it too.
        second: ProcessName,
    },
    /// A value where only a secret's name may be.
    #[error("`{process}` has the value of `{key}` in `env` although it is one of its secrets")]
    SecretValue {
        /// The process.
        process: ProcessName,
        /// The secret.
        key: EnvKey,
    },
    /// A placeholder that the process does not have.
    #[error("`{process}` is started or probed with `${{{name}}}`, which it does not have")]
    Placeholder {
        /// The process.
        process: ProcessName,
        /// The placeholder.
        name: EnvKey,
    },
    /// A probe of a port that the process does not have.
    #[error("`{process}` is probed on the port `{port}`, which it does not have")]
    NoPort {
        /// The process.
        process: ProcessName,
        /// The port.
        port: PortName,
    },
}

impl Fault for EcosystemFault {
    fn code(&self) -> Code {
        match self {
            Self::DuplicateName { .. } => codes::DUPLICATE_NAME,
            Self::NoSuchProcess { .. } => codes::NO_SUCH_PROCESS,
            Self::Cycle { .. } => codes::CYCLE,
            Self::NeverTrue { .. } | Self::EndlessSetup { .. } => codes::NEVER_TRUE,
            Self::DuplicatePort { .. } => codes::DUPLICATE_PORT,
            Self::SecretValue { .. } => codes::SECRET_VALUE,
            Self::Placeholder { .. } | Self::NoPort { .. } => codes::BAD_START,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::DuplicateName { .. } => "give one of them another name".into(),
            Self::NoSuchProcess { meant: Some(meant), .. } => format!("did you mean `{meant}`?"),
            Self::NoSuchProcess { meant: None, .. } => "add the process, or remove the dependency".into(),
            Self::Cycle { .. } => "remove one of these dependencies".into(),
            Self::NeverTrue { until: Until::Completed, .. } => {
                "wait until it is `started`, `ready` or `healthy`".into()
            }
            Self::NeverTrue { .. } => "wait until it is `completed`".into(),
            Self::EndlessSetup { .. } => "set `autorestart` to false, or move it to `apps`".into(),
            Self::DuplicatePort { .. } => "give one of them another port in the service mapping".into(),
            Self::SecretValue { key, .. } => {
                format!("remove `{key}` from `env`, and replace the secret if others have seen this file")
            }
            Self::Placeholder { .. } | Self::NoPort { .. } => {
                "mend the service's entry in the service mapping".into()
            }
        }
    }

    fn label(&self) -> String {
        match self {
            Self::DuplicateName { .. } | Self::DuplicatePort { .. } => "again here".into(),
            Self::SecretValue { .. } => "a secret's value".into(),
            _ => String::new(),
        }
    }
}

fn word(until: Until) -> &'static str {
    match until {
        Until::Started => "started",
        Until::Ready => "ready",
        Until::Healthy => "healthy",
        Until::Completed => "completed",
    }
}

/// What is in `setup` can be waited for to complete, and nothing else can.
fn not(until: Until) -> &'static str {
    if until == Until::Completed { " not" } else { "" }
}
