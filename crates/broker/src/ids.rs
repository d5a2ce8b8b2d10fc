//! Names of the broker: a private text, one validator, and deserialising through the same door.
//!
//! None can hold `:`, `{` or `}`, which divide the parts of Redis keys, so no text of a client can reach another key.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spec::ids::NameError;

/// The longest name, in bytes.
pub const MAX_ID: usize = 128;

fn id(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.')
}
fn label(it: char) -> bool {
    id(it) || matches!(it, '@' | '+' | '/' | '=')
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident: $holds:expr, $allowed:literal;)*) => {$(
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
                let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
                let holds: fn(char) -> bool = $holds;
                if let Some(found) = text.chars().find(|it| !holds(*it)) {
                    return Err(NameError::Forbidden { found, allowed: $allowed });
                }
                if !first.is_ascii_alphanumeric() {
                    return Err(NameError::Beginning { found: first, allowed: $allowed });
                }
                if text.len() > MAX_ID {
                    return Err(NameError::TooLong { length: text.len(), limit: MAX_ID });
                }
                Ok(Self(text.into()))
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

ids! {
    /// A queue: the hash tag of all its keys.
    QueueName: id, "use letters, digits and _-.";
    /// A job, unique in its queue.
    JobId: id, "use letters, digits and _-.";
    /// Whose job it is.
    CustomerId: label, "use letters, digits and _-.@+/=";
    /// The workflow that a job is a step of.
    WorkflowId: label, "use letters, digits and _-.@+/=";
    /// Jobs of one key share a limit.
    LimitKey: label, "use letters, digits and _-.@+/=";
    /// Two jobs submitted with one key are one job.
    IdempotencyKey: label, "use letters, digits and _-.@+/=";
}

impl JobId {
    /// A new id that sorts by the time of its making (UUID version 7, RFC 9562).
    pub fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_can_name_a_foreign_key() {
        let told = |text: &str| text.parse::<JobId>().unwrap_err().to_string();
        assert_eq!(told("a:b"), "':' cannot be in a name; use letters, digits and _-.");
        assert_eq!(told("{a}"), "'{' cannot be in a name; use letters, digits and _-.");
        assert_eq!(told(""), "the name is empty");
        assert!(serde_json::from_str::<CustomerId>("\"a:b\"").is_err());
        assert!("anna@example.org".parse::<CustomerId>().is_ok());
    }

    #[test]
    fn fresh_ids_sort_by_age() {
        let ids: Vec<_> = (0..100).map(|_| JobId::fresh()).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.as_str().parse::<JobId>().is_ok()));
    }
}
