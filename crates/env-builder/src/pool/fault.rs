//! What can be wrong with a selection and its variables. No message holds a value.

use spec::env::NotUnicode;
use spec::ids::{ComponentName, EnvKey, SectionName, ServiceName};
use spec::notes::{Code, Fault};
use spec::template::TemplateFault;

use super::Rank;
use crate::codes;

/// The longest `KEY=value` that Linux hands to a process, in bytes: `MAX_ARG_STRLEN` less the NUL that ends it.
pub(super) const MAX_BYTES: usize = 131_071;

/// How many variables may refer to each other in a row.
pub(super) const MAX_CHAIN: usize = 64;

/// One thing wrong with what a profile selects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveFault {
    /// A component without a file.
    #[error("there is no component `{name}`")]
    UnknownComponent {
        /// Its name.
        name: ComponentName,
        /// The one that was probably meant.
        meant: Option<String>,
        /// All there are.
        exist: Vec<String>,
    },
    /// A section that its component does not have.
    #[error("component `{component}` has no section [{section}]")]
    UnknownSection {
        /// The component.
        component: ComponentName,
        /// The section.
        section: SectionName,
        /// The one that was probably meant.
        meant: Option<String>,
        /// All there are.
        exist: Vec<String>,
    },
    /// Two components publish the same variable.
    #[error("components `{first}` ({first_place}) and `{second}` both publish `{key}`")]
    PublishedTwice {
        /// The variable.
        key: EnvKey,
        /// The component that is named first.
        first: ComponentName,
        /// Where that one sets it.
        first_place: String,
        /// The other.
        second: ComponentName,
    },
    /// Two interfaces give the same variable different defaults.
    #[error("service interfaces `{first}` and `{second}` give `{key}` different defaults")]
    DefaultsDisagree {
        /// The variable.
        key: EnvKey,
        /// One interface.
        first: ServiceName,
        /// The other.
        second: ServiceName,
    },
    /// A profile's value that is no template.
    #[error(transparent)]
    Template(#[from] TemplateFault),
    /// A reference to a variable that nothing sets.
    #[error("`{key}` ({rank}) needs `{name}`, which nothing sets")]
    NotSet {
        /// The variable with the reference.
        key: EnvKey,
        /// Where that is set.
        rank: Rank,
        /// The variable that is referred to.
        name: EnvKey,
        /// The one that was probably meant.
        meant: Option<EnvKey>,
        /// Where it can be set.
        secrets_file: String,
    },
    /// A `${NAME:?message}` to a variable that is not set, or empty.
    #[error("`{key}` ({rank}) insists on `{name}`, which has no value{}", told(message.as_ref()))]
    InsistedOn {
        /// The variable with the reference.
        key: EnvKey,
        /// Where that is set.
        rank: Rank,
        /// The variable that is referred to.
        name: EnvKey,
        /// What the reference says; `None` when it may hold a secret.
        message: Option<String>,
        /// Where it can be set.
        secrets_file: String,
    },
    /// A variable that refers to itself only: its value must come from a higher source.
    #[error("`{key}` ({rank}) must come from outside, where nothing sets it{}", told(message.as_ref()))]
    FromOutside {
        /// The variable.
        key: EnvKey,
        /// Where it is set.
        rank: Rank,
        /// What the reference says; `None` when it says nothing or may hold a secret.
        message: Option<String>,
        /// Where it can be set.
        secrets_file: String,
    },
    /// Variables that refer to each other in a circle.
    #[error("{}", circle(members))]
    Cycle {
        /// Each variable, with the place that sets it; at least two.
        members: Vec<(EnvKey, String)>,
    },
    /// More than 64 variables in a row.
    #[error("the references from `{key}` on lead through more than {MAX_CHAIN} variables")]
    TooDeep {
        /// The first variable of the chain.
        key: EnvKey,
    },
    /// A value that no process can be given.
    #[error("`{key}` has {bytes} bytes with its name; Linux gives a process at most {MAX_BYTES}")]
    TooLong {
        /// The variable.
        key: EnvKey,
        /// The bytes of `KEY=value`.
        bytes: usize,
    },
    /// A process variable that is not UTF-8.
    #[error(transparent)]
    NotUnicode(#[from] NotUnicode),
    /// Advice: a secret in a file that is not the secrets file.
    #[error("the secret `{key}` is written out in the {rank}")]
    SecretInOpenFile {
        /// The variable.
        key: EnvKey,
        /// The source.
        rank: Rank,
        /// Where it belongs.
        secrets_file: String,
    },
}

fn circle(members: &[(EnvKey, String)]) -> String {
    let told: Vec<_> = members.iter().map(|(key, place)| format!("`{key}` ({place})")).collect();
    let first = members.first().map(|(key, _)| format!(" -> `{key}`")).unwrap_or_default();
    format!("variables refer to each other in a circle: {}{first}", told.join(" -> "))
}

fn told(message: Option<&String>) -> String {
    message.map(|it| format!(": {it}")).unwrap_or_default()
}

fn one_of(meant: Option<&String>, exist: &[String]) -> String {
    match meant {
        Some(meant) => format!("did you mean `{meant}`? There are: {}", exist.join(", ")),
        None if exist.is_empty() => "there is none yet: write one".to_owned(),
        None => format!("use one of: {}", exist.join(", ")),
    }
}

impl Fault for ResolveFault {
    fn code(&self) -> Code {
        match self {
            Self::UnknownComponent { .. } => codes::UNKNOWN_COMPONENT,
            Self::UnknownSection { .. } => codes::UNKNOWN_SECTION,
            Self::PublishedTwice { .. } => codes::PUBLISHED_TWICE,
            Self::DefaultsDisagree { .. } => codes::DEFAULTS_DISAGREE,
            Self::Template(fault) => fault.code(),
            Self::NotSet { .. } => codes::NOT_SET,
            Self::InsistedOn { .. } => codes::INSISTED_ON,
            Self::FromOutside { .. } => codes::FROM_OUTSIDE,
            Self::Cycle { .. } => codes::CYCLE,
            Self::TooDeep { .. } => codes::TOO_DEEP,
            Self::TooLong { .. } => codes::TOO_LONG,
            Self::NotUnicode(_) => codes::NOT_UNICODE,
            Self::SecretInOpenFile { .. } => codes::SECRET_IN_OPEN_FILE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::UnknownComponent { meant, exist, .. } | Self::UnknownSection { meant, exist, .. } => {
                one_of(meant.as_ref(), exist)
            }
            Self::PublishedTwice { .. } => {
                "rename one of the keys, or give one component another namespace".into()
            }
            Self::DefaultsDisagree { .. } => {
                "give both the same default, or let one of them have none".into()
            }
            Self::Template(fault) => fault.fix(),
            Self::NotSet { meant: Some(meant), .. } => format!("did you mean `${{{meant}}}`?"),
            Self::NotSet { name, secrets_file, .. } => format!(
                "set `{name}` in the process environment or in {secrets_file}, or give it a default: `${{{name}:-default}}`"
            ),
            Self::InsistedOn { name: key, secrets_file, .. }
            | Self::FromOutside { key, secrets_file, .. } => {
                format!("set `{key}` in the process environment or in {secrets_file}")
            }
            Self::Cycle { .. } | Self::TooDeep { .. } => "give one of them a value of its own".into(),
            Self::TooLong { .. } => "put the value into a file, and the file's path into the variable".into(),
            Self::NotUnicode(NotUnicode { key }) => format!("set `{key}` to UTF-8 text, or unset it"),
            Self::SecretInOpenFile { key, secrets_file, .. } => format!("move `{key}` to {secrets_file}"),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::UnknownComponent { .. } => "no such component",
            Self::UnknownSection { .. } => "no such section",
            Self::PublishedTwice { .. } => "published again",
            Self::DefaultsDisagree { .. } => "another default",
            Self::Template(fault) => return fault.label(),
            Self::NotSet { .. } | Self::InsistedOn { .. } => "not set",
            Self::FromOutside { .. } => "refers to itself",
            Self::Cycle { .. } => "a part of the circle",
            Self::TooDeep { .. } => "begins here",
            Self::TooLong { .. } => "too long",
            Self::NotUnicode(_) => "",
            Self::SecretInOpenFile { .. } => "a secret",
        }
        .to_owned()
    }
}
