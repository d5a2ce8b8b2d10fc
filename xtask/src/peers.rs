//! Services that are none: the doubles of the worker's own tests, for whole machines and for benchmarks.
#![allow(clippy::unwrap_used, dead_code, reason = "they belong to tests, and not all of it is needed here")]

#[path = "../../crates/worker/tests/peers/a1111_double.rs"]
pub(crate) mod a1111_double;
#[path = "../../crates/worker/tests/comfyui/double.rs"]
pub(crate) mod double;
#[path = "../../crates/worker/tests/peers/ollama_double.rs"]
pub(crate) mod ollama_double;
#[path = "../../crates/worker/tests/peers/openai_double.rs"]
pub(crate) mod openai_double;
#[path = "../../crates/worker/tests/peers/replicate_double.rs"]
pub(crate) mod replicate_double;
#[path = "../../crates/worker/tests/comfyui/routes.rs"]
mod routes;
#[path = "../../crates/worker/tests/peers/runpod_double.rs"]
pub(crate) mod runpod_double;
#[path = "../../crates/worker/tests/peers/serve.rs"]
mod serve;
#[path = "../../crates/worker/tests/browser/site.rs"]
pub(crate) mod site;
#[path = "../../crates/worker/tests/comfyui/tape.rs"]
pub(crate) mod tape;
#[path = "../../crates/worker/tests/comfyui/wire.rs"]
mod wire;
