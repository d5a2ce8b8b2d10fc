//! What the broker promises: one contract over every implementation, the requirements language, and a simulation.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod contract;
mod memory;
mod naive;
mod native;
mod requirements;
mod simulation;
