//! The ComfyUI of the worker's own tests.
#![allow(clippy::unwrap_used, dead_code, reason = "it belongs to tests, and not all of it is needed here")]

#[path = "../../../../crates/worker/tests/comfyui/double.rs"]
pub(super) mod double;
#[path = "../../../../crates/worker/tests/comfyui/routes.rs"]
mod routes;
#[path = "../../../../crates/worker/tests/comfyui/tape.rs"]
pub(super) mod tape;
#[path = "../../../../crates/worker/tests/comfyui/wire.rs"]
mod wire;
