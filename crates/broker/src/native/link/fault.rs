//! What can be wrong with an address.

use spec::notes::{Code, Fault};

use super::address::SCHEMES;
use crate::codes;

/// One fault of an [`Address`](crate::Address). None of them can hold a password.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AddressFault {
    /// There is no `://`, or nothing before it that could be a scheme.
    #[error("the address has no scheme")]
    NoScheme,
    /// Not one of Redis.
    #[error("`{found}://` is not a scheme of Redis")]
    Scheme {
        /// As written.
        found: String,
    },
    /// A character that divides the parts of an address, in the user or the password.
    #[error("the user or the password has a `{found}` that is not percent-encoded")]
    Unescaped {
        /// The first of them.
        found: char,
    },
    /// A `%` that encodes nothing.
    #[error("a `%` in the {part} is not followed by the two hexadecimal digits of a byte of UTF-8")]
    Escape {
        /// Where.
        part: &'static str,
    },
    /// A user, but no password.
    #[error("there is no password before the `@`")]
    Password,
    /// No host between two commas, or none at all.
    #[error("host {at} is empty")]
    Host {
        /// Which, from 1.
        at: usize,
    },
    /// Several hosts of one server.
    #[error("the address of one server has {found} hosts")]
    Hosts {
        /// How many.
        found: usize,
    },
    /// Not a number from 1 to 65535.
    #[error("`{found}` is not a port, as host {at} has it")]
    Port {
        /// Which host, from 1.
        at: usize,
        /// As written.
        found: String,
    },
    /// Sentinels watch several masters.
    #[error("the address says no master")]
    Master,
    /// Not a number.
    #[error("`{found}` is not the number of a database")]
    Database {
        /// As written.
        found: String,
    },
    /// A cluster has one database.
    #[error("the address of a cluster ends with its hosts, and this one has `/{found}`")]
    Path {
        /// As written.
        found: String,
    },
    /// No absolute path.
    #[error("the address has no absolute path of a socket")]
    Socket,
    /// Not an option here.
    #[error("`{found}` is not an option of `{scheme}://`")]
    Option {
        /// As written.
        found: String,
        /// Of the address.
        scheme: String,
        /// What there is instead.
        known: String,
    },
    /// Which of the two?
    #[error("the option `{name}` is there twice")]
    Twice {
        /// Which.
        name: &'static str,
    },
    /// Nothing behind it.
    #[error("the option `{name}` has no value")]
    Empty {
        /// Which.
        name: &'static str,
    },
    /// One of two that belong together.
    #[error("the option `{there}` is there without `{absent}`")]
    Alone {
        /// The one.
        there: &'static str,
        /// The other.
        absent: &'static str,
    },
    /// Not a number of milliseconds.
    #[error("`{found}` is not a timeout")]
    Timeout {
        /// As written.
        found: String,
    },
    /// Other clients switch the checks of TLS off there.
    #[error("the address has a part behind `#`")]
    Fragment,
    /// A file of TLS.
    #[error("`{path}`: {why}")]
    File {
        /// Which.
        path: String,
        /// In the words of the system, or of the reader.
        why: String,
    },
}

impl Fault for AddressFault {
    fn code(&self) -> Code {
        codes::ADDRESS
    }

    fn fix(&self) -> String {
        use AddressFault as F;
        match self {
            F::NoScheme | F::Scheme { .. } => {
                format!("Begin it with one of {}, followed by `://`.", SCHEMES.join(", "))
            }
            F::Unescaped { found } => format!("Write `%{:02X}` for it.", u32::from(*found)),
            F::Escape { .. } => "Write `%25` for a `%` itself.".into(),
            F::Password => "Write `user:password@`, or `:password@` for the default user.".into(),
            F::Host { .. } => "Write `host` or `host:port`, with a comma between two of them.".into(),
            F::Hosts { .. } => "Name one, or use `redis-sentinel://` or `redis-cluster://`.".into(),
            F::Port { .. } => {
                "Write a number from 1 to 65535, or leave it out; IPv6 stands in brackets.".into()
            }
            F::Master => "Write its name behind the hosts: `redis-sentinel://host/master`.".into(),
            F::Database { .. } => "Write a number from 0, or leave it out.".into(),
            F::Path { .. } => "Leave it out: a cluster has only one database.".into(),
            F::Socket => "Write three slashes: `redis+unix:///run/redis.sock`.".into(),
            F::Option { known, .. } => format!("There are: {known}."),
            F::Twice { .. } => "Leave one out.".into(),
            F::Empty { .. } => "Write a value behind `=`, or leave it out.".into(),
            F::Alone { absent, .. } => format!("Write `{absent}=` as well."),
            F::Timeout { .. } => "Write whole milliseconds from 1 to 600000.".into(),
            F::Fragment => {
                "Leave it out. A certificate is always checked: trust your own authority with `?ca=FILE`."
                    .into()
            }
            F::File { .. } => "Name a PEM file that can be read.".into(),
        }
    }
}
