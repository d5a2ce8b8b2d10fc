//! Connectors and the services that they are for: the real one where it can be had, and doubles that behave like the rest.
//!
//! A double is written from what the real service was seen to do, with its traps, and is itself driven by the official
//! client of its service, so that it and the connector cannot share a mistake. Real ones are in the folder that
//! `cargo xtask setup` fills.

#![allow(clippy::unwrap_used, reason = "a test")]

mod a1111;
mod a1111_double;
mod cog;
mod llmock;
mod ollama;
mod ollama_double;
mod openai;
mod openai_double;
mod replicate;
mod replicate_double;
mod runpod;
mod runpod_double;
mod serve;
mod support;
