//! The service of a machine that is a double of it: what the machine starts instead of the real one.

use std::process::ExitCode;

use super::{Local, Peer};
use crate::peers::{
    a1111_double::{self, Build},
    double::{self, Manners},
    ollama_double,
    tape::Tape,
};

/// A ComfyUI that knows the workflows of these three recordings of a real one.
pub(super) fn comfyui() -> Manners {
    Manners { tapes: vec![picture(), previewed(), broken()], ..Manners::default() }
}

/// A workflow that makes a picture.
pub(super) fn picture() -> Tape {
    Tape::of("fast", 0)
}

/// A workflow of which previews are seen.
pub(super) fn previewed() -> Tape {
    let mut tape = Tape::of("slowmeta", 0);
    tape.workflow["8"]["class_type"] = "PreviewSampler".into();
    tape
}

/// A workflow with a node that fails.
pub(super) fn broken() -> Tape {
    Tape::of("fail", 0)
}

/// Starts one, which nobody ends but a signal.
pub(super) async fn run(args: &Peer) -> Result<ExitCode, String> {
    let port = args.port;
    match args.service {
        Local::A1111 => drop(a1111_double::Double::at(port, Build::default()).await),
        Local::Comfyui => drop(double::Double::at(port, comfyui()).await),
        Local::Ollama => drop(ollama_double::Double::at(port).await),
    }
    std::future::pending().await
}
