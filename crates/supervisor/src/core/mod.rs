//! What is decided, apart from what is done: no clock, no system call, no task. Time comes in, effects go out.

mod asked;
mod backoff;
mod fleet;
mod policy;
mod show;
mod state;
mod step;

pub(crate) use policy::UNHEALTHY_AFTER;

pub use asked::Asked;
pub use fleet::{Fleet, Gate, Link, Met, Order, States};
pub use policy::{Backoff, Policy, Restart};
pub use state::{Effect, End, Event, Exit, Level, Pid, Process, ProcessState, Purpose, Run, Time, Trouble};
pub use step::step;

#[cfg(test)]
mod tests;
