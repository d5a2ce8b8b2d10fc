//! What can go wrong, with what to do about it. No message holds a secret: addresses are told without their query.

use std::path::PathBuf;

use spec::ids::EnvKey;
use spec::notes::{Code, Fault};
use spec::template::TemplateFault;

use crate::codes;
use crate::disk::DiskError;
use crate::names::Refused;

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum InstallFault {
    /// A name or path that could leave its folder or be taken for something else.
    #[error("`{what}` is not allowed: {why}")]
    Name {
        /// The field.
        what: String,
        /// Why not.
        why: Refused,
    },
    /// A path that could be another one.
    #[error("`{what}` is no path of a folder: {why}")]
    Path {
        /// The field.
        what: String,
        /// Why not.
        why: Refused,
    },
    /// Something else where a requirement should be.
    #[error("{text:?} is no requirement")]
    Requirement {
        /// What is there.
        text: String,
    },
    /// An address that is not to be fetched from.
    #[error("`{what}` is no address to fetch from: {why}")]
    Address {
        /// The field.
        what: String,
        /// Why not.
        why: Refused,
    },
    /// A commit or sum that is not whole.
    #[error("`{what}` is not whole: {why}")]
    Hash {
        /// The field.
        what: String,
        /// Why not.
        why: Refused,
    },
    /// Two of one name.
    #[error("two {what} are called `{name}`")]
    Twice {
        /// `nodes`, `models`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Nobody said what is to be installed.
    #[error("nothing says what is to be installed: {why}")]
    NoOrder {
        /// Where it was looked for.
        why: String,
    },
    /// A variable without a value.
    #[error("`{key}` is not set")]
    Missing {
        /// The variable.
        key: EnvKey,
    },
    /// A variable that the service does not declare.
    #[error("`{key}` is not declared by the service")]
    Undeclared {
        /// The variable.
        key: EnvKey,
    },
    /// A value that no env file can hold.
    #[error("the value of `{key}` cannot stand in a `.env`: {why}")]
    Unwritable {
        /// The variable.
        key: EnvKey,
        /// Why not.
        why: String,
    },
    /// A text that is no template.
    #[error(transparent)]
    Template(TemplateFault),
    /// The lock file is not ours to read.
    #[error("the lock `{}` cannot be read: {why}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Somebody else is at it.
    #[error("another install of `{service}` is going on, or a program that it started is")]
    Busy {
        /// The service.
        service: String,
    },
    /// The disk refuses.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is not enough room, seen before anything was begun.
    #[error("{needed} MiB more are needed at `{}`, and {there} MiB are free", path.display())]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// Mebibytes that are missing, the reserve included.
        needed: u64,
        /// Mebibytes that are free.
        there: u64,
    },
    /// A source could not be had.
    #[error("{what} could not be fetched: {why}")]
    Fetch {
        /// `core`, `node/x`.
        what: String,
        /// Why not, in the words of the program or server.
        why: String,
    },
    /// A program is not there.
    #[error("the program `{program}` is not there")]
    NoProgram {
        /// Its name.
        program: String,
    },
    /// A program failed.
    #[error("`{program}` {how}")]
    Program {
        /// The program and its first words.
        program: String,
        /// `ended with 1`, `took more than 600 s`.
        how: String,
        /// The last that it wrote.
        output: String,
    },
    /// The build does not work.
    #[error("the probe failed: `{program}` {how}")]
    Probe {
        /// The program and its first words.
        program: String,
        /// How it ended.
        how: String,
        /// The last that it wrote.
        output: String,
    },
    /// A host does not give the file to us.
    #[error("{host} does not give `{file}`: {why}")]
    Withheld {
        /// The host.
        host: String,
        /// The file.
        file: String,
        /// `401 Unauthorized`, `a page for people instead of a file`.
        why: String,
        /// The variable of the host's token, where one is known.
        token: Option<EnvKey>,
    },
    /// A transfer broke off as often as it was tried.
    #[error("{host} did not deliver `{file}`: {why}")]
    Transfer {
        /// The host.
        host: String,
        /// The file.
        file: String,
        /// What happened last.
        why: String,
    },
    /// What came is not what was declared.
    #[error("`{file}` from {host} is not what was declared: {why}")]
    Content {
        /// The host.
        host: String,
        /// The file.
        file: String,
        /// How it differs.
        why: String,
    },
    /// A file of somebody else's has the name.
    #[error("`{}` is in the way: it is not the file that was declared, and not ours", path.display())]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// What is there is not what was installed.
    #[error("{what} is damaged: {why}")]
    Damaged {
        /// What.
        what: String,
        /// How.
        why: String,
    },
    /// A node failed, and the install went on without it.
    #[error("the node `{name}` {what}: {why}")]
    LeftOut {
        /// The node.
        name: String,
        /// `is left out`, `stays as far as it got`.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Somebody wants it to end.
    #[error("the install was asked to end before it was done")]
    Stopped,
    /// Nothing to go back to.
    #[error("there is no earlier install of `{service}` to go back to")]
    NoPrevious {
        /// The service.
        service: String,
    },
}

impl InstallFault {
    /// The last that a failed program wrote.
    pub fn output(&self) -> &str {
        match self {
            Self::Program { output, .. } | Self::Probe { output, .. } => output,
            _ => "",
        }
    }
}

impl Fault for InstallFault {
    fn code(&self) -> Code {
        match self {
            Self::Name { .. } | Self::Path { .. } | Self::Requirement { .. } => codes::NAME,
            Self::Address { .. } => codes::ADDRESS,
            Self::Hash { .. } => codes::HASH,
            Self::Twice { .. } => codes::TWICE,
            Self::NoOrder { .. } => codes::ORDER,
            Self::Missing { .. } | Self::Undeclared { .. } | Self::Unwritable { .. } => codes::VARIABLE,
            Self::Template(fault) => fault.code(),
            Self::Lock { .. } => codes::LOCK,
            Self::Busy { .. } => codes::BUSY,
            Self::Disk(error) if error.is_full() => codes::ROOM,
            Self::Disk(_) => codes::DISK,
            Self::NoRoom { .. } => codes::ROOM,
            Self::Fetch { .. } => codes::FETCH,
            Self::NoProgram { .. } | Self::Program { .. } => codes::PROGRAM,
            Self::Probe { .. } => codes::PROBE,
            Self::Withheld { .. } => codes::WITHHELD,
            Self::Transfer { .. } => codes::TRANSFER,
            Self::Content { .. } => codes::CONTENT,
            Self::InTheWay { .. } => codes::IN_THE_WAY,
            Self::Damaged { .. } => codes::DAMAGED,
            Self::LeftOut { .. } => codes::LEFT_OUT,
            Self::Stopped => codes::STOPPED,
            Self::NoPrevious { .. } => codes::NO_PREVIOUS,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Name { .. } => {
                "use letters, digits and . _ - +, beginning with a letter, a digit or _".to_owned()
            }
            Self::Path { .. } => "begin it with `/` or `${WORKSPACE}/`, without `..`".to_owned(),
            Self::Requirement { .. } => {
                "write one requirement, as a line of a requirements file has it: `requests>=2`".to_owned()
            }
            Self::Address { .. } => "write an address of its own: `https://host/path`".to_owned(),
            Self::Hash { .. } => "write all of its digits, in lower case".to_owned(),
            Self::Twice { .. } => "remove one of them, or give it another name".to_owned(),
            Self::NoOrder { .. } => {
                "say `--ecosystem FILE`, or run it where `ecosystem.json` is; `roster env-build` writes it".to_owned()
            }
            Self::Missing { key } => format!("set `{key}`, or give it a default: `${{{key}:-default}}`"),
            Self::Undeclared { key } => {
                format!("add `{key}` to the service's `optional_env` in the mapping, or remove it here")
            }
            Self::Unwritable { key, .. } => format!("give `{key}` a value that every reader takes alike"),
            Self::Template(fault) => fault.fix(),
            Self::Lock { .. } => "restore the file, or remove it: everything is resolved anew then".to_owned(),
            Self::Busy { .. } => "wait until it has ended; `roster install status` says how far it is".to_owned(),
            Self::Disk(error) if error.is_full() => {
                "free some room, then run `roster install apply` again: it goes on from here".to_owned()
            }
            Self::Disk(error) => format!("see that we may write to `{}`, then run it again", error.path.display()),
            Self::NoRoom { path, .. } => format!("free as much on the disk of `{}`, or declare fewer models", path.display()),
            Self::Fetch { .. } => {
                "see that the address, branch and commit exist and that the host can be reached, then run it again".to_owned()
            }
            Self::NoProgram { program } => format!("install `{program}`, or see that it is in `PATH`"),
            Self::Program { .. } => "mend what its last lines speak of, then run it again: what is done is kept".to_owned(),
            Self::Probe { .. } => {
                "mend what its last lines speak of; until then what ran before goes on being what is started".to_owned()
            }
            Self::Withheld { token: Some(key), .. } => {
                format!("set `{key}` to a token that may read it, and accept the file's terms on the host's page")
            }
            Self::Withheld { .. } => {
                "see that the address is the file's own; a host that asks for a token needs an entry in `tokens`".to_owned()
            }
            Self::Transfer { .. } => "run it again: it goes on from the last byte".to_owned(),
            Self::Content { .. } => "correct the declared `size` and `sha256`, or the address".to_owned(),
            Self::InTheWay { path } => format!("move `{}` away, or declare the model under another name", path.display()),
            Self::Damaged { .. } => "run `roster install apply`: it makes anew what is missing".to_owned(),
            Self::LeftOut { .. } => {
                "mend the node, or remove it from the document; `roster install update` tries again".to_owned()
            }
            Self::Stopped => "run it again: it goes on from here".to_owned(),
            Self::NoPrevious { .. } => "there has been no update yet; nothing needs to be done".to_owned(),
        }
    }
}
