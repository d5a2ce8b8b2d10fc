//! What can be wrong with a project.

use spec::notes::{Code, Fault};

use crate::codes;

/// One thing that a compose file cannot say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeFault {
    /// A profile or additional service with a name of ours.
    #[error("`{name}` is the name of {owner}")]
    ReservedName {
        /// The name.
        name: String,
        /// Whose it is.
        owner: &'static str,
    },
    /// An additional service with the name of a profile.
    #[error("a compose profile and an additional service are both named `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// An image that may be another one tomorrow, or no image at all.
    #[error("the image of `{service}`, {image:?}, has neither a digest nor a tag that stays")]
    UnpinnedImage {
        /// Whose image it is.
        service: String,
        /// What was asked for.
        image: String,
    },
    /// Two machines, one port of the host.
    #[error("`{second}` publishes port {port} ({second_for}), which `{first}` publishes too ({first_for})")]
    SharedPort {
        /// The port.
        port: u16,
        /// One machine.
        first: String,
        /// What listens there.
        first_for: String,
        /// The other machine.
        second: String,
        /// What listens there.
        second_for: String,
    },
    /// Two things at one path of a container.
    #[error("`{machine}` has {first} and {second} both at {path:?}")]
    SharedPath {
        /// The machine.
        machine: String,
        /// The path.
        path: String,
        /// What is there.
        first: String,
        /// What should be there too.
        second: String,
    },
    /// A NUL in a text. The text is not kept.
    #[error("the text at `{key}` holds a NUL character")]
    Nul {
        /// Its place in the compose file: `services.tool.command.0`.
        key: String,
    },
}

impl Fault for ComposeFault {
    fn code(&self) -> Code {
        match self {
            Self::ReservedName { .. } => codes::RESERVED_NAME,
            Self::DuplicateName { .. } => codes::DUPLICATE_NAME,
            Self::UnpinnedImage { .. } => codes::UNPINNED_IMAGE,
            Self::SharedPort { .. } => codes::SHARED_PORT,
            Self::SharedPath { .. } => codes::SHARED_PATH,
            Self::Nul { .. } => codes::NUL,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::ReservedName { name, .. } => format!("choose another name, `{name}-2` say"),
            Self::DuplicateName { .. } => "give one of them another name".to_owned(),
            Self::UnpinnedImage { .. } => {
                "write the image as `name@sha256:…`, or at least `name:1.2.3`".to_owned()
            }
            Self::SharedPort { first, second, .. } => {
                format!("publish only one of `{first}` and `{second}`, or give one of them other ports")
            }
            Self::SharedPath { .. } => "move one of them to another path".to_owned(),
            Self::Nul { .. } => "remove the character; no environment or command can hold it".to_owned(),
        }
    }
}
