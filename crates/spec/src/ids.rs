//! Names are types with one door each: a private text, one validator, and deserialising through the same door.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// A character that this kind of name cannot hold.
    #[error("{found:?} cannot be in a name; {allowed}")]
    Forbidden {
        /// The first such character.
        found: char,
        /// What can be.
        allowed: &'static str,
    },
    /// A first character that cannot begin this kind of name.
    #[error("a name cannot begin with {found:?}; {allowed}")]
    Beginning {
        /// That character.
        found: char,
        /// What can be.
        allowed: &'static str,
    },
    /// More bytes than this kind of name may have.
    #[error("the name has {length} bytes; {limit} is the limit")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// The most there may be.
        limit: usize,
    },
}

/// The longest name, in bytes: the limit of a DNS label, since names become host names.
pub const MAX_NAME: usize = 63;

/// The longest name that is built from names ([`ProcessName`], [`WorkerId`]), in bytes. It is no host name.
pub const MAX_BUILT_NAME: usize = 3 * MAX_NAME;

fn check(
    text: &str,
    begins: fn(char) -> bool,
    holds: fn(char) -> bool,
    limit: usize,
    allowed: &'static str,
) -> Result<(), NameError> {
    let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
    if let Some(found) = text.chars().find(|it| !holds(*it)) {
        return Err(NameError::Forbidden { found, allowed });
    }
    if !begins(first) {
        return Err(NameError::Beginning { found: first, allowed });
    }
    if text.len() > limit {
        return Err(NameError::TooLong { length: text.len(), limit });
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident: $begins:expr, $holds:expr, $limit:expr, $pattern:literal, $allowed:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text, $begins, $holds, $limit, $allowed).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().into()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        #[cfg(feature = "documents")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "maxLength": $limit, "pattern": $pattern })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    )*};
}

fn lower_or_digit(it: char) -> bool {
    it.is_ascii_lowercase() || it.is_ascii_digit()
}
fn lower_digit_hyphen(it: char) -> bool {
    lower_or_digit(it) || it == '-'
}
fn word(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_' || it == '-'
}
fn word_start(it: char) -> bool {
    it.is_ascii_alphanumeric()
}
fn variable(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_'
}
fn variable_start(it: char) -> bool {
    it.is_ascii_alphabetic() || it == '_'
}

names! {
    /// The part of an entry before the colon: `comfyui` in `comfyui:2`. A key of the mapping's `workers`.
    WorkerName: lower_or_digit, lower_digit_hyphen, MAX_NAME, "^[a-z0-9][a-z0-9-]*$", "use a-z, 0-9 and -";
    /// A key of the mapping's `services`: what must run, or be reachable, for a worker to work.
    ServiceName: lower_or_digit, lower_digit_hyphen, MAX_NAME, "^[a-z0-9][a-z0-9-]*$", "use a-z, 0-9 and -";
    /// A build stage of `docker/Dockerfile`.
    StageName: lower_or_digit, lower_digit_hyphen, MAX_NAME, "^[a-z0-9][a-z0-9-]*$", "use a-z, 0-9 and -";
    /// One of a service's ports: `http`.
    PortName: lower_or_digit, lower_digit_hyphen, MAX_NAME, "^[a-z0-9][a-z0-9-]*$", "use a-z, 0-9 and -";
    /// A value of `service_required` in a job: `openai_text`.
    JobType: lower_or_digit, word, MAX_NAME, "^[a-z0-9][A-Za-z0-9_-]*$", "use letters, digits, _ and -";
    /// A process of a machine: `comfyui-gpu0`, `openai-worker-3`.
    ProcessName: lower_or_digit, lower_digit_hyphen, MAX_BUILT_NAME, "^[a-z0-9][a-z0-9-]*$", "use a-z, 0-9 and -";
    /// A machine. No `:` or `.`, for it is a part of Redis keys and host names.
    MachineId: word_start, word, MAX_NAME, "^[A-Za-z0-9][A-Za-z0-9_-]*$", "use letters, digits, _ and -";
    /// `<machine>-worker-<type>-<i>`.
    WorkerId: word_start, word, MAX_BUILT_NAME, "^[A-Za-z0-9][A-Za-z0-9_-]*$", "use letters, digits, _ and -";
    /// An environment profile: the file name without `.json`.
    ProfileName: lower_or_digit, lower_digit_hyphen, MAX_NAME, "^[a-z0-9][a-z0-9-]*$", "use a-z, 0-9 and -";
    /// A component file's name without `.env`.
    ComponentName: lower_or_digit, lower_digit_hyphen, MAX_NAME, "^[a-z0-9][a-z0-9-]*$", "use a-z, 0-9 and -";
    /// A section of a component file.
    SectionName: word_start, word, MAX_NAME, "^[A-Za-z0-9][A-Za-z0-9_-]*$", "use letters, digits, _ and -";
    /// The name of an environment variable, as POSIX has it: every shell and every env file reader takes it.
    EnvKey: variable_start, variable, MAX_NAME, "^[A-Za-z_][A-Za-z0-9_]*$", "use letters, digits and _";
}

impl WorkerId {
    /// `<machine>-worker-<type>-<index>`, cut nowhere: it may exceed [`MAX_NAME`].
    pub fn of(machine: &MachineId, worker: &WorkerName, index: u16) -> Self {
        Self(format!("{machine}-worker-{worker}-{index}").into())
    }
}

impl ProcessName {
    /// A name built from names, hence valid whatever its length.
    pub fn of_parts(parts: fmt::Arguments<'_>) -> Self {
        let text = parts.to_string();
        debug_assert!(text.chars().all(lower_digit_hyphen), "{text:?} is not made of names");
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_cannot_hold() {
        let told = |text: &str| text.parse::<WorkerName>().unwrap_err().to_string();
        assert_eq!(told(""), "the name is empty");
        assert_eq!(told("ComfyUI"), "'C' cannot be in a name; use a-z, 0-9 and -");
        assert_eq!(told("-a"), "a name cannot begin with '-'; use a-z, 0-9 and -");
        assert_eq!(told(&"a".repeat(64)), "the name has 64 bytes; 63 is the limit");
    }

    #[test]
    fn a_name_built_from_the_longest_names_can_be_read_back() {
        let longest = "a".repeat(MAX_NAME);
        let id = WorkerId::of(&longest.parse().unwrap(), &longest.parse().unwrap(), u16::MAX);
        assert_eq!(id.as_str().parse::<WorkerId>().unwrap(), id);
        let name = ProcessName::of_parts(format_args!("{longest}-gpu65535-mig65535-{}", u16::MAX));
        assert_eq!(name.as_str().parse::<ProcessName>().unwrap(), name);
    }

    #[test]
    fn deserialising_goes_through_the_same_door() {
        assert!(serde_json::from_str::<MachineId>("\"gpu:1\"").is_err());
        assert_eq!(serde_json::from_str::<EnvKey>("\"OPENAI_API_KEY\"").unwrap().as_str(), "OPENAI_API_KEY");
    }
}
