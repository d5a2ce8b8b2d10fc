//! Installs the services of a machine: sources, Python environments, custom nodes, models.
//!
//! What there is to do is decided by a pure function, [`plan::plan`], from what is wanted ([`manifest`]), what was resolved
//! ([`lock`]) and what is there; [`Installer`] does it. Every step may be cut short at any instant and done again, a build
//! is started only once its probe has passed, and models are outside everything that is ever removed.
//! [`status::read`] tells anybody how far an install is.
//!
//! ```
//! use std::collections::BTreeMap;
//! use installer::{Event, Installer, Limits, Witness};
//! use spec::{env::EnvSource, ids::EnvKey, model::InstallOrder};
//!
//! struct Nobody;
//! impl Witness for Nobody {
//!     fn see(&self, _: Event<'_>) {}
//! }
//!
//! let folder = tempfile::tempdir().unwrap();
//! std::fs::create_dir(folder.path().join("mine")).unwrap();
//! std::fs::write(folder.path().join("mine/main.py"), "").unwrap();
//! let order: InstallOrder = serde_json::from_value(serde_json::json!({
//!     "service": "comfyui",
//!     "workspace": folder.path().join("workspace"),
//!     "install": {
//!         "source": { "directory": { "path": folder.path().join("mine") } },
//!         "probe": ["test", "-f", "main.py"],
//!     },
//!     "variables": [],
//! })).unwrap();
//! let environment = BTreeMap::<EnvKey, String>::new();
//! let passed = std::env::vars().filter(|(name, _)| installer::programs::is_passed(name)).collect();
//! let installer = Installer::open(&order, &environment, passed, Limits::default()).unwrap();
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! let report = runtime.block_on(installer.apply(&Nobody)).unwrap();
//! assert!(report.failures.is_empty() && installer.layout().current().join("source/main.py").exists());
//! assert!(installer.plan().unwrap().is_empty(), "nothing is left to do");
//! ```

mod apply;
mod build;
pub mod codes;
mod disk;
mod documents;
mod fault;
mod fetch;
mod git;
pub mod layout;
pub mod lock;
mod look;
pub mod manifest;
mod models;
pub mod names;
mod order;
pub mod plan;
pub mod programs;
mod progress;
mod python;
mod sources;
pub mod status;
mod steps;
mod update;
mod verify;

pub use apply::{Installer, Limits, Report};
pub use disk::DiskError;
pub use documents::{models_schema, nodes_schema};
pub use fault::InstallFault;
pub use fetch::Patience;
pub use order::variable;
pub use progress::{Event, Failure, Witness};
pub use update::Updated;
