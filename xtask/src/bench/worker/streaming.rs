//! An output that is much larger than a worker may become.

use std::time::{Duration, Instant};

use broker::{Broker as _, Job};

use super::{Scale, fleet::Fleet};
use crate::{
    bench::{
        broker::{load, server::Server},
        report::{Limit, Row, Unit, thousands},
    },
    peers::{
        double::{Double, Manners},
        tape::made,
    },
};

/// No job takes longer.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn run(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    let tape = made([]);
    let manners = Manners { tape: Some(tape.clone()), more_bytes: scale.output, ..Manners::default() };
    let double = Double::start(manners).await;
    let fleet = Fleet::start(server, &[double.url.to_string()])?;
    fleet.waits(server).await?;
    let before = fleet.peak()?[0];
    let queue = load::connect(&server.url, "fleet").await?;
    let job = Job::new(load::named("comfyui")?).payload(tape.payload());
    let began = Instant::now();
    queue.submit(std::slice::from_ref(&job)).await.map_err(|error| error.to_string())?;
    let status = loop {
        let status = queue.status(&job.id).await.map_err(|error| error.to_string())?;
        match status {
            Some(status) if status.life.state.is_terminal() => break status,
            _ if began.elapsed() > PATIENCE => return Err("the large output is not stored".into()),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let took = began.elapsed().as_secs_f64();
    let result = status.result.ok_or_else(|| format!("the job failed: {:?}", status.error))?;
    let bytes = result["files"][0]["bytes"].as_f64().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    if bytes < scale.output as f64 {
        return Err(format!("the output has {bytes} bytes"));
    }
    let name = format!("an output of {} MB", thousands(scale.output / 1_000_000));
    let peak = fleet.peak()?[0];
    Ok(vec![
        Row::paired(format!("{name}, most resident memory"), Unit::Megabytes, &[peak], "before", &[before])
            .limit(Limit::AtMost(30.0)),
        Row::new(format!("{name}, stored"), bytes / took / 1e6, Unit::MegabytesPerSecond),
    ])
}
