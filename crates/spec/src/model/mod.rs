//! The types that the deciding crates share: what the mapping offers ([`Catalog`]), what a machine has
//! ([`Inventory`]), what is wanted of it ([`Workload`]) and what was decided ([`AllocationPlan`]).

mod binding;
mod catalog;
mod install;
mod inventory;
mod plan;
mod violation;
mod workload;

pub use binding::Binding;
pub use catalog::{
    BuildStage, Catalog, Connector, EnvNeed, Hosting, Isolation, LocalService, Occupies, PLACEHOLDERS,
    PortRule, Probe, Probes, ServiceType, Start, Volume, WorkerType,
};
pub use install::{Install, InstallOrder, InstallSource, ModelNeeds, NodeNeeds, PythonNeeds};
pub use inventory::{Device, Gpu, Inventory, InventoryOrigin, MigSlice};
pub use plan::{AllocationPlan, HEALTH_PORT, Placement, PlanParts, Serves, ServiceInstance, WorkerInstance};
pub use violation::Violation;
pub use workload::{Cause, Demand, Workload};
