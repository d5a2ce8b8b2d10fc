//! Installs with real Git, a real server of files, and real Python; all of it made here.

#![allow(clippy::unwrap_used, reason = "tests")]

mod downloads;
mod full;
mod hostile;
mod killed;
mod private;
mod server;
mod support;
mod updates;
