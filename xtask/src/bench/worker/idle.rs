//! Workers that have nothing to do.

use std::time::Instant;

use super::{Scale, fleet::Fleet};
use crate::{
    bench::{
        broker::server::Server,
        report::{Limit, Row, Unit, median},
    },
    peers::double::{Double, Manners},
};

/// Workers at once: alone, and as many as a machine with eight cards has.
const WORKERS: [usize; 2] = [1, 8];

pub(super) async fn run(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    let double = Double::start(Manners::default()).await;
    let mut rows = Vec::new();
    for workers in WORKERS {
        let fleet = Fleet::start(server, &vec![double.url.to_string(); workers])?;
        fleet.waits(server).await?;
        Fleet::forget(server).await?;
        let (began, before) = (Instant::now(), fleet.processor()?);
        tokio::time::sleep(scale.watch).await;
        let spent = fleet.processor()? - before;
        let commands = Fleet::commands(server).await?;
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let each = workers as f64 * began.elapsed().as_secs_f64();
        let name =
            if workers == 1 { "an idle worker".to_owned() } else { format!("{workers} idle workers, each") };
        let row = |what, value, unit| Row::new(format!("{name}, {what}"), value, unit);
        let memory = row("PSS", median(&fleet.memory()?), Unit::Megabytes);
        rows.extend([
            // A worker alone has the whole program for itself. Beside another, or a supervisor, it has not.
            if workers == 1 { memory } else { memory.limit(Limit::AtMost(8.0)) },
            row("its own memory", median(&fleet.own()?), Unit::Megabytes).limit(Limit::AtMost(8.0)),
            row("commands to Redis", commands / each, Unit::PerSecond).limit(Limit::AtMost(1.0)),
            row("processor", 100.0 * spent / each, Unit::Percent),
        ]);
        drop(fleet);
        server.flush().await?;
    }
    Ok(rows)
}
