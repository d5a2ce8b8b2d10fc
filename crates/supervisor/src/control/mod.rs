//! Control from outside: what can be asked of a supervisor, over a Unix socket or within the program.
//!
//! A program that embeds a supervisor holds four things: the [`Control`] that gives it orders, the [`Service`] that also
//! reads logs and measures, the receiver of the [`FleetStatus`](crate::FleetStatus) that it watches, and the future that
//! runs.
//!
//! ```no_run
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use ecosystem::Ecosystem;
//! use supervisor::control::protocol::Which;
//! use supervisor::control::{Service, control};
//! use supervisor::{FleetStatus, Keep, Linux, Refusal, Supervisor};
//! use tokio::sync::watch;
//!
//! # async fn embed(ecosystem: Ecosystem) -> Result<(), Box<dyn std::error::Error>> {
//! let launcher = Linux::begin(None, &ecosystem).await?;
//! let supervisor = Supervisor::new(launcher, Keep::default(), 7);
//! let (control, desk) = control();
//! let (sender, mut status) = watch::channel(FleetStatus::new());
//! let service = Service {
//!     control: control.clone(),
//!     logs: supervisor.logs().clone(),
//!     meter: supervisor.meter().clone(),
//!     reader: Arc::new(|_| Err(vec![Refusal::Ended])),
//! };
//! let variables = BTreeMap::new();
//! let running = supervisor.serve(&ecosystem, &variables, desk, &sender);
//! let asking = async {
//!     // Each change of any process: its typed state, run and budget.
//!     status.changed().await?;
//!     // What people are told about it: a word, why, the fix, since when, its pid and restarts, and what it uses.
//!     if let Ok(fleet) = service.fleet().await {
//!         for it in fleet.processes {
//!             println!("{} is {} for {} ms: {}", it.name, it.state, it.state_ms, it.why.unwrap_or_default());
//!         }
//!     }
//!     let web = Which::Names(vec!["web-service".parse()?]);
//!     let report = control.restart(web.clone()).await;
//!     println!("{}", report.is_ok_and(|it| it.is_well()));
//!     if let Ok(mut lines) = service.logs(web, 100, false).await {
//!         while let Some(it) = lines.next().await {
//!             println!("{} {} bytes", it.process, it.line.as_ref().len());
//!         }
//!     }
//!     // Everything goes down in order, each process within its grace; then `running` is ready.
//!     control.shutdown(false).await.unwrap_or_default();
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! };
//! let (left, asked) = tokio::join!(running, asking);
//! asked?;
//! assert_eq!(left?, 0, "processes that could not be ended");
//! # Ok(())
//! # }
//! ```

mod advice;
mod client;
mod handle;
mod logs;
pub mod protocol;
mod seen;
mod server;
mod service;
mod socket;

pub(crate) use advice::fix;
pub use client::{Answers, Client, ClientError};
pub use handle::{Control, Desk, control};
pub use logs::LogLines;
pub use server::serve;
pub use service::{Reader, Service};
pub use socket::{Socket, SocketError};

pub(crate) use handle::{Ask, LogFiles, Order};
