//! What the allocator promises, seen from outside.
#![allow(clippy::unwrap_used, reason = "a fixture that does not parse fails the test")]

mod common;
mod goldens;
mod properties;
