//! The connectors, and how each is made from a worker's environment.

use std::sync::Arc;

use reqwest::Url;

use crate::connector::Connector;
use crate::egress::Egress;
use crate::vars::Vars;

pub mod a1111;
pub mod comfyui;
pub mod ollama;
pub mod openai;
pub mod playwright;
mod remote;
pub mod replicate;
pub mod runpod;
pub mod simulation;

/// The connector named `kind`, for the service instance at `url`. What is missing or wrong is noted in `vars`.
pub(crate) fn build(
    kind: &str,
    url: Option<Url>,
    egress: &Egress,
    vars: &mut Vars<'_>,
) -> Option<Arc<dyn Connector>> {
    match kind {
        "a1111" => Some(Arc::new(a1111::A1111::build(url, vars, egress.clone())?)),
        "comfyui" | "comfyui-websocket" | "comfyui-remote" => {
            Some(Arc::new(comfyui::ComfyUi::build(kind, url, vars, egress.clone())?))
        }
        "ollama" => Some(Arc::new(ollama::Ollama::build(url, vars)?)),
        "openai" => Some(Arc::new(openai::OpenAi::build(vars, egress.clone()))),
        "playwright" => Some(Arc::new(playwright::Playwright::build(url, vars, egress.clone())?)),
        "replicate" => Some(Arc::new(replicate::Replicate::build(vars, egress.clone()))),
        "runpod" => Some(Arc::new(runpod::RunPod::build(vars, egress.clone())?)),
        "simulation" => Some(Arc::new(simulation::Simulation::new(url))),
        "" => None,
        _ => {
            vars.wrong("CONNECTOR", "the name of a connector", format!("there is none named `{kind}`"));
            None
        }
    }
}
