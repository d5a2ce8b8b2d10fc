//! Workers that do real jobs: a loop that claims through the broker, and connectors that speak with services.
//!
//! [`Runner`] claims for free slots of services that are well, keeps leases off the jobs' path, stops what was cancelled
//! or has taken too long, and reports how each job ended. A [`Connector`] does one job on one service instance and says
//! in one of three [kinds](Kind) why it did not.
//!
//! ```
//! use std::sync::Arc;
//! use broker::{Broker as _, Job, Memory, Settings};
//! use serde_json::json;
//! use worker::{Pace, Redactor, Runner, Service, Store, connectors::simulation::Simulation};
//!
//! let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
//! runtime.block_on(async {
//!     let broker = Arc::new(Memory::new(Settings::new("demo".parse().unwrap())));
//!     let job = Job::new("simulation".parse().unwrap()).payload(json!({ "duration_ms": 10, "seed": 7 }));
//!     let id = broker.submit(&[job]).await.unwrap()[0].id().clone();
//!
//!     let capabilities = serde_json::from_value(json!({ "services": ["simulation"] })).unwrap();
//!     let runner = Runner {
//!         broker: broker.clone(),
//!         worker: broker::Worker::new("m1-worker-simulation-0".parse().unwrap(), capabilities),
//!         services: vec![Service { connector: Arc::new(Simulation::new(None)), slots: 2, restart: None }],
//!         store: Store::new(Arc::new(object_store::memory::InMemory::new()), "memory:///{path}", 1 << 20),
//!         pace: Pace::default(),
//!         redactor: Redactor::default(),
//!         jobs: tokio::runtime::Handle::current(),
//!         connector: "simulation".into(),
//!         gpu: None,
//!         listener: None,
//!     };
//!     let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//!     let running = tokio::spawn(runner.run(async move { drop(stopped.await) }));
//!     let status = loop {
//!         let status = broker.status(&id).await.unwrap().unwrap();
//!         if status.life.state.is_terminal() {
//!             break status;
//!         }
//!         tokio::task::yield_now().await;
//!     };
//!     assert_eq!(status.result.unwrap()["seed"], 7);
//!     drop(stop);
//!     assert_eq!(running.await.unwrap().succeeded, 1);
//! });
//! ```

pub mod codes;
mod connector;
pub mod connectors;
mod egress;
mod failure;
mod gate;
mod http;
mod job;
mod lease;
mod outputs;
mod pace;
mod payload;
mod redact;
mod report;
mod runner;
mod settings;
mod tally;
mod vars;
mod watched;

pub use connector::{Connector, Hands, Stop, Stopper, Task};
pub use egress::{Egress, Fetched, Forbidden, Inside, Rules};
pub use failure::{Failure, Kind, Symptom};
pub use http::{Waits, client};
pub use outputs::{File, Outputs, Store, Stored};
pub use pace::Pace;
pub use payload::Payload;
pub use redact::Redactor;
pub use report::{Current, End, Ended, Listener, Place, Report, VERSION};
pub use runner::{Restart, Runner, Service};
pub use settings::Settings;
pub use tally::Tally;
pub use vars::{VariableFault, Vars};
