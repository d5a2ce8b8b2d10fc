//! What is wanted of a machine: a roster whose every name was found in the catalog.

use std::sync::Arc;

use super::{BuildStage, ServiceType, WorkerType};
use crate::grammar::Count;
use crate::source::Place;

/// A roster resolved against the catalog, in the order in which it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// One a roster entry.
    pub demands: Vec<Demand>,
    /// The smallest build stage that provides every local service among them.
    pub stage: BuildStage,
}

/// One roster entry, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// The worker type.
    pub worker: Arc<WorkerType>,
    /// Its service, with the port bases that are in force.
    pub service: Arc<ServiceType>,
    /// How many workers.
    pub count: Count,
    /// Why.
    pub cause: Arc<Cause>,
}

/// What made an instance be there: the roster entry and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// The entry in canonical form: `comfyui:2`.
    pub entry: String,
    /// Its place.
    pub place: Place,
}
