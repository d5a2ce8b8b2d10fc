//! Tells the truth about a machine.
//!
//! Whoever runs the machine puts what it knows ([`Facts`]) on a [`Board`]; there it is [judged](judge) into six states
//! with their causes, and shown to everybody who reads.

mod board;
mod control;
mod events;
mod facts;
mod state;
mod words;

pub use board::{Board, Snapshot};
pub use control::{Control, Refused};
pub use events::{Event, Journal, KEPT};
pub use facts::{
    Counts, Disk, Facts, Gpu, Install, Interface, Job, Machine, Millis, Phase, Planned, Probe, Process,
    Reading, Recovery, RedisLink, Service, Stage, Trouble, Usage, Worker,
};
pub use state::{Blocker, MachineVerdict, State, Verdict, Verdicts, judge, story};
