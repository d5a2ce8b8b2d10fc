//! The error codes of the runtime crates, for `explain` and `docs/errors.md`. This crate may not import them, for it stays
//! light; but their `codes.rs` name nothing except `spec`, so they are read as modules of this one.

use spec::notes::Code;

#[path = "../../crates/broker/src/codes.rs"]
mod broker;
#[path = "../../crates/health/src/codes.rs"]
mod health;
#[path = "../../crates/importer/src/codes.rs"]
mod importer;
#[path = "../../crates/installer/src/codes.rs"]
mod installer;
#[path = "../../crates/machine/src/codes.rs"]
mod machine;
#[path = "../../crates/supervisor/src/codes.rs"]
mod supervisor;
#[path = "../../crates/worker/src/codes.rs"]
mod worker;

/// All of them.
pub(crate) const RUNTIME: &[&[Code]] =
    &[broker::ALL, health::ALL, importer::ALL, installer::ALL, machine::ALL, supervisor::ALL, worker::ALL];
