//! The planning verbs as a user meets them: a project in a temporary folder, a command line, and what comes out of it.
//! The world is made up, so that every run is the same; `crates/machine/tests` drives the real program.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "everything in here is a test")]

mod support;

mod canaries;
mod generations;
mod quiet;
mod stories;
mod verbs;
mod wrong_inputs;
