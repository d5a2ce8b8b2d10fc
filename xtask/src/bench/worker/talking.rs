//! ComfyUI jobs that tell their progress a hundred times a second.

use std::time::{Duration, Instant};

use broker::{Broker as _, Job};
use serde_json::json;

use super::{Scale, fleet::Fleet};
use crate::{
    bench::{
        broker::{load, server::Server},
        report::{Limit, Row, Unit},
    },
    peers::{
        double::{Double, Manners},
        tape::{Step, Tape, made},
    },
};

/// Workers, each with a server of its own.
const WORKERS: u32 = 8;
/// Progress messages of a server, a second.
const MESSAGES: u32 = 100;

/// A job that talks for so long.
fn tape(time: Duration) -> Tape {
    let steps = (0..u64::from(MESSAGES) * time.as_secs()).flat_map(|value| {
        let max = u64::from(MESSAGES) * time.as_secs();
        let data = json!({ "prompt_id": "", "node": "1", "value": value, "max": max });
        [
            Step::Pause(Duration::from_secs(1) / MESSAGES),
            Step::Say(json!({ "type": "progress", "data": data })),
        ]
    });
    made(steps)
}

pub(super) async fn run(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    // Longer than it is watched: a pause is never shorter than asked for, and jobs begin one after the other.
    let tape = tape(scale.watch + Duration::from_secs(5));
    let mut doubles = Vec::new();
    for _ in 0..WORKERS {
        doubles.push(Double::start(Manners { tape: Some(tape.clone()), ..Manners::default() }).await);
    }
    let fleet = Fleet::start(server, &doubles.iter().map(|it| it.url.to_string()).collect::<Vec<_>>())?;
    fleet.waits(server).await?;
    let queue = load::connect(&server.url, "fleet").await?;
    let job = || Ok::<_, String>(Job::new(load::named("comfyui")?).payload(tape.payload()));
    let jobs = (0..WORKERS).map(|_| job()).collect::<Result<Vec<_>, _>>()?;
    queue.submit(&jobs).await.map_err(|error| error.to_string())?;
    for double in &doubles {
        double.until(|it| it.running.is_some()).await;
    }
    Fleet::forget(server).await?;
    let (began, before) = (Instant::now(), fleet.processor()?);
    tokio::time::sleep(scale.watch).await;
    let spent = fleet.processor()? - before;
    let (commands, took) = (Fleet::commands(server).await?, began.elapsed().as_secs_f64());
    if doubles.iter().any(|it| it.state().running.is_none()) {
        return Err("a job has ended while it was watched".into());
    }
    let each = f64::from(WORKERS) * took;
    let name = format!("{WORKERS} workers, {MESSAGES} progress messages a second each");
    Ok(vec![
        Row::new(format!("{name}, commands to Redis a worker"), commands / each, Unit::PerSecond)
            .limit(Limit::AtMost(11.0)),
        Row::new(format!("{name}, processor a worker"), 100.0 * spent / each, Unit::Percent)
            .limit(Limit::AtMost(5.0)),
    ])
}
