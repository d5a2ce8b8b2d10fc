//! How many jobs a second.

use std::time::Instant;

use broker::{Broker as _, MAX_BATCH, Native};

use super::{
    Scale,
    floor::Floor,
    load::{self, BULK, Crew},
    report::{Limit, Row, Unit, thousands},
    server::{Server, Side},
};

/// The connections of the two halves.
const CONNECTIONS: [usize; 2] = [1, 50];

/// How jobs are worked, after the floor: jobs in one call.
const BATCHES: [(usize, usize); 2] = [(1, 1), (2, MAX_BATCH)];

/// What the rounds measured, in jobs per second: for each number of connections the floor, one by one, and batched.
#[derive(Default)]
struct Rates {
    worked: [[Vec<f64>; 3]; 2],
    /// The processor time of Redis for a job, in microseconds.
    spent: [[Vec<f64>; 3]; 2],
    single: Vec<f64>,
    bulk: Vec<f64>,
}

pub(super) async fn run(server: &mut Server, scale: &Scale, suffix: &str) -> Result<Vec<Row>, String> {
    let mut rates = Rates::default();
    for round in 0..=scale.rounds {
        eprintln!("bench: round {round} of {}", scale.rounds);
        let measured = one_round(server, scale).await?;
        // The first warms up: scripts are loaded, memory is taken from the system.
        if round > 0 {
            rates.add(measured);
        }
    }
    let mut rows = Vec::new();
    for (half, connections) in CONNECTIONS.into_iter().enumerate() {
        let least = if connections == 1 { [Some(0.3), None] } else { [Some(0.8), Some(1.5)] };
        let plural = if connections == 1 { "" } else { "s" };
        for (how, batch) in BATCHES {
            let name = format!("worked, {connections} connection{plural}, {batch} a call{suffix}");
            let [worked, spent] = [&rates.worked[half], &rates.spent[half]];
            let row = Row::paired(&name, Unit::PerSecond, &worked[how], "floor", &worked[0]);
            let limit = least[how - 1].map(Limit::RatioAtLeast);
            rows.push(limit.into_iter().fold(row, Row::limit));
            rows.push(Row::paired(
                format!("{name}, processor of Redis"),
                Unit::Micros,
                &spent[how],
                "floor",
                &spent[0],
            ));
        }
    }
    let floor = &rates.worked[0][0];
    let single =
        Row::paired(format!("submitted, 1 a call{suffix}"), Unit::PerSecond, &rates.single, "floor", floor);
    let bulk = Row::paired(
        format!("submitted, {} a call{suffix}", thousands(BULK)),
        Unit::PerSecond,
        &rates.bulk,
        "floor",
        floor,
    );
    rows.extend([single, bulk.limit(Limit::AtLeast(150_000.0))]);
    Ok(rows)
}

impl Rates {
    fn add(&mut self, round: Rates) {
        let all = self.worked.iter_mut().chain(&mut self.spent).flatten();
        for (all, round) in all.zip(round.worked.into_iter().chain(round.spent).flatten()) {
            all.extend(round);
        }
        self.single.extend(round.single);
        self.bulk.extend(round.bulk);
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
async fn one_round(server: &mut Server, scale: &Scale) -> Result<Rates, String> {
    let mut rates = Rates::default();
    for (half, connections) in CONNECTIONS.into_iter().enumerate() {
        let jobs = scale.jobs[half];
        server.flush().await?;
        let floor = Floor::new(server, 0, connections).await?;
        floor.fill(0, jobs).await?;
        let before = server.processor_time().await?;
        rates.worked[half][0].push(floor.work(jobs).await?);
        rates.spent[half][0].push((server.processor_time().await? - before) / jobs as f64);
        server.settle(Side::Floor).await?;
        for (how, batch) in BATCHES {
            server.flush().await?;
            // Batches are over too soon to be timed well.
            let jobs = jobs * if batch == 1 { 1 } else { 2 };
            load::fill(&load::connect(&server.url, "work").await?, jobs, |_| None).await?;
            server.settle(Side::Ours("submitting")).await?;
            let mut crew = Crew::new(server, "work", connections, false).await?;
            let before = server.processor_time().await?;
            rates.worked[half][how].push(crew.work(jobs, batch).await?);
            rates.spent[half][how].push((server.processor_time().await? - before) / jobs as f64);
            crew.rest().await?;
            server.settle(Side::Ours("claiming")).await?;
        }
    }
    server.flush().await?;
    let queue = load::connect(&server.url, "submit").await?;
    rates.single.push(submit(&queue, scale.jobs[0] / 2, 1).await?);
    server.flush().await?;
    rates.bulk.push(submit(&queue, scale.jobs[1] * 4, BULK).await?);
    server.settle(Side::Ours("submitting")).await?;
    Ok(rates)
}

/// Submits so many jobs, `bulk` in one call. Jobs per second, their making left out.
async fn submit(queue: &Native, count: usize, bulk: usize) -> Result<f64, String> {
    let jobs = load::jobs(count, |_| None)?;
    let started = Instant::now();
    for jobs in jobs.chunks(bulk) {
        queue.submit(jobs).await.map_err(|error| error.to_string())?;
    }
    Ok(load::rate(count, started))
}
