//! The server over real sockets, the page in a real browser, and the status on a real Redis.

#![allow(clippy::unwrap_used, reason = "a test's helpers are tests too")]

mod answers;
mod described;
#[cfg(feature = "nvml")]
mod gpus;
mod hostile;
mod metrics;
mod page;
mod records;
mod streams;
mod support;
