//! The program as a process: killed at any instant, on a disk that cannot be written, with every exit code, and with an
//! environment that is not text. What the verbs say is tested in `crates/planner/tests`.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "everything in here is a test")]

mod command_line;
#[path = "../../../ecosystem/tests/pm2/daemon.rs"]
mod daemon;
mod fleet;
mod import;
mod install;
mod job;
mod killed;
mod legacy;
mod run;
mod support;
mod worker;
