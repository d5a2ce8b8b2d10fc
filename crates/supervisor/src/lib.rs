//! Runs an ecosystem: starts, watches, restarts and ends its processes.
//!
//! What is decided stands apart from what is done. [`step`] is a pure function from the state of a process, an event
//! and a moment to its next state and one effect; [`Fleet`] says who may be started and stopped when.
//!
//! ```
//! use std::time::Duration;
//! use supervisor::{Effect, Event, Exit, Pid, Policy, Process, step};
//!
//! # let text = include_str!("../tests/one.json");
//! # let source = spec::source::SourceText::open("ecosystem.json", text);
//! # let ecosystem = ecosystem::Ecosystem::read(&source).unwrap();
//! let policy = Policy::of_app(&ecosystem.apps[0]);
//! let (process, effect) = step(&policy, Process::new(7), Event::Start, Duration::ZERO);
//! assert_eq!(effect, Some(Effect::Launch));
//!
//! let launched = Event::Launched(Pid(42.try_into().unwrap()));
//! let (process, _) = step(&policy, process, launched, Duration::ZERO);
//! assert_eq!(process.state.to_string(), "healthy");
//!
//! let now = Duration::from_secs(60);
//! let (process, effect) = step(&policy, process, Event::Died(Exit::Signal(9)), now);
//! assert_eq!(process.state.to_string(), "sweeping: ended by signal 9");
//! assert_eq!(effect, Some(Effect::Sweep { kill_at: now }));
//! ```

mod adopt;
mod board;
mod cgroup;
pub mod codes;
pub mod control;
mod core;
mod gpu;
mod launcher;
mod linux;
mod log;
mod metrics;
#[cfg(feature = "nvml")]
mod nvml;
mod orders;
mod outlet;
mod ports;
mod probe;
mod proc;
mod recipe;
mod refusal;
mod reload;
mod rest;
mod room;
#[allow(unsafe_code, reason = "the only module that may: it makes children")]
mod spawn;
mod starter;
mod supervisor;
mod table;
mod task;
mod users;
mod waiter;

pub use crate::core::{
    Asked, Backoff, Effect, End, Event, Exit, Fleet, Gate, Level, Link, Met, Order, Pid, Policy, Process,
    ProcessState, Purpose, Restart, Run, States, Time, Trouble, step,
};
pub use gpu::{Card, Gpus, Holder};
pub use launcher::{Launched, Launcher, Output, Plan};
pub use linux::Linux;
pub use log::{Form, Keep, LogReader, Logs};
pub use metrics::{MemorySource, Meter, Resources, Usage};
#[cfg(feature = "nvml")]
pub use nvml::Nvml;
pub use refusal::Refusal;
pub use reload::{Changes, Spec, Specs, diff};
pub use supervisor::{FleetStatus, Status, Supervisor};

#[cfg(test)]
mod tests;
