//! The connectors.

pub mod simulation;
