//! What a proposed plan can have wrong. Each is a fault of whoever proposed it, except a port that an input moved.

use crate::ids::{ProcessName, ServiceName};

/// An invariant of a plan that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Two processes of one name.
    #[error("two processes are named `{name}`")]
    DuplicateName {
        /// That name.
        name: ProcessName,
    },
    /// Two claims on one port, the health server's included.
    #[error("{second} needs port {port}, which {first} has")]
    DuplicatePort {
        /// The port.
        port: u16,
        /// Who has it: "the health server", or a process in backticks.
        first: String,
        /// Who needs it too.
        second: String,
    },
    /// An instance whose ports are not those of its rules.
    #[error("`{name}` does not have the ports that its rules give instance {instance}")]
    PortRule {
        /// The instance.
        name: ProcessName,
        /// Its number.
        instance: u16,
    },
    /// An instance on a device that the inventory does not have.
    #[error("`{name}` is on device {ordinal}; the machine has {devices}")]
    NoSuchDevice {
        /// The instance.
        name: ProcessName,
        /// The device's ordinal.
        ordinal: u16,
        /// How many there are.
        devices: usize,
    },
    /// A GPU service off a device, or another one on it.
    #[error("`{name}` is not where the binding of `{service}` puts it")]
    Misplaced {
        /// The instance.
        name: ProcessName,
        /// Its service.
        service: ServiceName,
    },
    /// An instance whose number another one of its service has, or its place does not have.
    #[error("`{name}` cannot have the number {instance} where it is")]
    Number {
        /// The instance.
        name: ProcessName,
        /// Its number.
        instance: u16,
    },
    /// More device memory used than there is.
    #[error("device {label} has {capacity_mib} MiB; {used_mib} MiB are given out")]
    Memory {
        /// The device.
        label: String,
        /// Its memory.
        capacity_mib: u32,
        /// The sum over its instances.
        used_mib: u64,
    },
    /// A service that wants its device alone has company.
    #[error("`{service}` shares device {label} although it is exclusive")]
    NotAlone {
        /// The service.
        service: ServiceName,
        /// The device.
        label: String,
    },
    /// More instances on one device, or on the machine, than the mapping allows.
    #[error("{where_} has {count} instances of `{service}`; {limit} is the limit")]
    TooManyInstances {
        /// The service.
        service: ServiceName,
        /// A device, or the machine.
        where_: String,
        /// How many.
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// An instance that serves nobody.
    #[error("no worker works on `{name}`")]
    Idle {
        /// The instance.
        name: ProcessName,
    },
    /// A worker of an instance that is not there, or of another service.
    #[error("`{worker}` works on `{target}`, which is not an instance of its service")]
    NoSuchTarget {
        /// The worker.
        worker: ProcessName,
        /// What it was given.
        target: String,
    },
    /// A stage that lacks a service.
    #[error("the build stage does not provide `{service}`")]
    StageLacks {
        /// The service.
        service: ServiceName,
    },
}
