//! Tells the truth about a machine.
//!
//! Whoever runs the machine puts what it knows ([`Facts`]) on a [`Board`]; there it is [judged](judge) into six states
//! with their causes, and shown to everybody who reads: over HTTP by a [`Server`], in Redis by a [`Publisher`]. What
//! people ask for through the page goes to a [`Control`].
//!
//! ```
//! use health::{Board, Facts, Limits, Options, Server, Stage};
//!
//! let mut facts = Facts::starting("m1".parse().unwrap(), "0.1.0", 0);
//! let board = Board::new(facts.clone());
//! let listen = "127.0.0.1:0".parse().unwrap();
//! let options = Options { listen, token: None, hosts: vec![], limits: Limits::default() };
//! let server = Server::bind(options).unwrap().start(board.clone()).unwrap();
//!
//! // From here on it answers, and says how far the start-up is.
//! assert_eq!(board.latest().ready().blockers[0].why, "the machine is starting ← configuration");
//!
//! facts.machine.stage = Stage::Running;
//! assert!(board.publish(facts).ready().ready);
//! # drop(server);
//! ```

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
