//! `roster simulate`: the service of simulated workers. It does nothing but be there, as a real one is: it takes a while to
//! start, listens, answers how it is, and ends when it is asked.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// Pretend to be a service: answer `/health` after a start-up time
#[derive(Clone, Debug, Args)]
pub(crate) struct Simulate {
    /// The port, on the loopback
    #[arg(long)]
    port: u16,
    /// Milliseconds from the start until it is healthy
    #[arg(long, default_value_t = 100, value_name = "MS")]
    start_ms: u64,
}

pub(crate) fn run(service: &Simulate) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|it| it.block_on(serve(service))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the simulated service cannot listen on port {}: {error}", service.port);
            ExitCode::FAILURE
        }
    }
}

async fn serve(service: &Simulate) -> std::io::Result<()> {
    let healthy_at = Instant::now() + Duration::from_millis(service.start_ms);
    let health = move || async move { health(healthy_at) };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, service.port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut term = signal(SignalKind::terminate())?;
    let stop = async move {
        term.recv().await;
        println!("stopping");
    };
    axum::serve(listener, Router::new().route("/health", get(health))).with_graceful_shutdown(stop).await
}

fn health(healthy_at: Instant) -> (StatusCode, Json<Value>) {
    if Instant::now() < healthy_at {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "starting" })))
    } else {
        (StatusCode::OK, Json(json!({ "status": "healthy" })))
    }
}
