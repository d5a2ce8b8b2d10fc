//! What the broker promises: one contract over every implementation, the requirements language, and a simulation.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod acl;
mod audit;
mod caps;
mod cluster;
mod contract;
mod damaged;
mod documents;
mod full;
mod memory;
mod naive;
mod native;
mod proxy;
mod reading;
mod reconnect;
mod requirements;
mod sentinel;
mod servers;
mod simulation;
mod tls;
