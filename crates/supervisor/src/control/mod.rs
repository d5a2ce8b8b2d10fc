//! Control from outside: what can be asked of a supervisor, over a Unix socket or within the program.

mod advice;
mod client;
mod handle;
mod logs;
pub mod protocol;
mod seen;
mod server;
mod socket;

pub(crate) use advice::fix;
pub use client::{Answers, Client, ClientError};
pub use handle::{Control, Desk, control};
pub use server::{Reader, Service, serve};
pub use socket::{Socket, SocketError};

pub(crate) use handle::{Ask, LogFiles, Order};
