//! The vocabulary of Roster, and nothing else: the worker grammar (`comfyui:2,openai:4`), the ids, the catalog,
//! inventory and plan that the deciding crates share, the `${NAME}` template, the env file format, and the
//! [`Finding`](notes::Finding) in which every crate says what is wrong, where, and what to do.
//!
//! Everything here is pure: no file, clock, environment, network or chance. A type lives here only when two other
//! crates must name it; what people write (wire documents) lives with the crate that reads it.
//!
//! ```
//! use spec::{grammar, source::SourceText};
//!
//! let roster = grammar::parse(&SourceText::open("--spec", "comfyui:2,openai:auto")).unwrap();
//! assert_eq!(roster.to_string(), "comfyui:2,openai:auto");
//! ```

pub mod condition;
#[cfg(feature = "documents")]
pub mod document;
pub mod dotenv;
pub mod env;
pub mod grammar;
pub mod ids;
pub mod json;
pub mod model;
pub mod notes;
pub mod source;
pub mod template;
