//! Tells the truth about a machine.
//!
//! Whoever runs the machine puts what it knows ([`Facts`]) on a [`Board`]; there it is [judged](judge) into six states
//! with their causes, and shown to everybody who reads.

mod board;
pub mod codes;
mod control;
pub mod documents;
mod events;
mod facts;
mod fleet;
mod guard;
mod metrics;
mod publish;
mod server;
mod state;
mod telemetry;
#[cfg(test)]
mod testing;
mod words;

pub use board::{Board, Snapshot};
pub use control::{Control, Refused};
pub use events::{Event, Journal, KEPT};
pub use facts::{
    Counts, Disk, Facts, Gpu, Install, Interface, Job, Machine, Millis, Phase, Planned, Probe, Process,
    Reading, Recovery, RedisLink, Service, Stage, Trouble, Usage, Worker,
};
pub use fleet::{Fleet, Member, Queue};
pub use metrics::{Ended, Meters, Outcome};
pub use publish::{Post, Publisher, RedisWire, Update, Wire, message};
pub use server::{Limits, Options, Running, Server, ServerFault, Shown, openapi};
pub use state::{Blocker, MachineVerdict, State, Verdict, Verdicts, judge, story};
pub use telemetry::GpuTelemetry;
#[cfg(feature = "nvml")]
pub use telemetry::Nvml;
