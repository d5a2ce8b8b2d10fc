//! A job queue that matches what jobs require with what workers have, loses nothing, and stays flat at a million jobs.
//!
//! Jobs that differ in nothing that matters for matching have one [`Signature`] and wait in one line. Workers of equal
//! [`Capabilities`] are one class, for which is decided *here*, once for each signature, whether it may run such jobs:
//! a claim looks at the heads of lines and never at requirements.
//!
//! [`Broker`] is what an implementation does: [`Native`] on Redis or Valkey, [`Legacy`] on the wire of the TypeScript system that Roster's
//! workers can join, [`Memory`] in the process, for tests. What becomes of a job
//! is decided by [`life::step`] alone.
//!
//! # Example
//!
//! ```
//! use broker::{Broker, Capabilities, Job, Memory, Outcome, Requirements, Settings, Want, Worker};
//! use serde_json::json;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let queue = Memory::new(Settings::new("demo".parse().unwrap()));
//!
//! // Somewhere, a client.
//! let requirements = Requirements::read(&json!({ "hardware": { "gpu_memory_gb": 16 }, "models": ["sdxl"] })).unwrap();
//! let job = Job::new("comfyui".parse().unwrap()).requirements(requirements).payload(json!({ "prompt": "a cat" }));
//! let id = queue.submit(&[job]).await.unwrap()[0].id().clone();
//!
//! // Elsewhere, a worker.
//! let capabilities: Capabilities = serde_json::from_value(json!({
//!     "services": ["comfyui"],
//!     "hardware": { "gpu_memory_gb": 24 },
//!     "models": { "comfyui": ["sdxl", "flux"] },
//! })).unwrap();
//! let worker = Worker::new("m1-worker-comfyui-0".parse().unwrap(), capabilities);
//! let claim = queue.exchange(&worker, vec![], Want::now(1)).await.unwrap().claims.remove(0);
//! assert_eq!(claim.job.payload["prompt"], "a cat");
//!
//! // Finishing one job claims the next.
//! let done = vec![(claim.ticket, Outcome::Success(json!({ "image": "cat.png" })))];
//! assert!(queue.exchange(&worker, done, Want::now(1)).await.unwrap().claims.is_empty());
//! assert_eq!(queue.status(&id).await.unwrap().unwrap().result, Some(json!({ "image": "cat.png" })));
//! # });
//! ```

mod any;
mod audit;
mod broker;
mod capabilities;
pub mod codes;
pub mod document;
mod error;
mod event;
mod ids;
mod job;
pub mod legacy;
pub mod life;
mod limit;
mod list;
mod memory;
mod native;
mod read;
mod refusal;
mod requirements;
mod settings;
mod signature;
mod value;
mod watch;

pub use any::{Any, NotAWire, Wire};
pub use audit::{Audit, Damage, MAX_DAMAGE};
pub use broker::{
    Broker, Cancel, Claim, Counts, Exchange, Explanation, Heard, MAX_BATCH, MAX_REPLAY, Outcome, Renewal,
    Replay, Status, Submission, Swept, Ticket, Want,
};
pub use capabilities::{AnyModel, Capabilities, ClassId, Models, Unmet, Worker};
pub use error::Error;
pub use event::{EventId, Happened, MAX_MESSAGE, News, NotAnEventId, Progress};
pub use ids::{CustomerId, IdempotencyKey, JobId, LimitKey, MAX_ID, QueueName, WorkflowId};
pub use job::{Job, MAX_ATTEMPTS, MAX_NESTING, MAX_PAYLOAD, MAX_PRIORITY, MAX_TIME, VERSION, Workflow};
pub use legacy::Legacy;
pub use life::{Backoff, Death, Millis, Reason, Rejection};
pub use limit::{Held, Limit, Rate};
pub use list::{Cursor, Filter, MAX_PAGE, NotACursor, Page, Stage, Summary};
pub use memory::{Clock, Memory};
pub use native::{Address, AddressFault, Native, Server};
pub use refusal::{Refusal, Why};
pub use requirements::{Hardware, MAX_CANONICAL, MAX_DEPTH, MAX_MEMBERS, MAX_TEXT, Requirements, Test};
pub use settings::Settings;
pub use signature::{Digest, Signature, SignatureId};
pub use value::{Capability, Number, Scalar};
pub use watch::WATCH_PATIENCE;
