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

/// The connections of the floor, in the two halves.
const CONNECTIONS: [usize; 2] = [1, 50];

/// How jobs are worked.
struct Way {
    /// Which half; as many workers as it has connections.
    half: usize,
    /// All workers are of one process and share its connection, or each is a process of its own.
    together: bool,
    /// Jobs in one call.
    batch: usize,
    /// The least part of the floor.
    least: Option<f64>,
}

const WAYS: [Way; 6] = [
    Way { half: 0, together: true, batch: 1, least: Some(0.3) },
    Way { half: 0, together: true, batch: MAX_BATCH, least: None },
    Way { half: 1, together: true, batch: 1, least: Some(0.8) },
    Way { half: 1, together: true, batch: MAX_BATCH, least: Some(1.5) },
    Way { half: 1, together: false, batch: 1, least: None },
    Way { half: 1, together: false, batch: MAX_BATCH, least: None },
];

/// Jobs per second, and the processor time of Redis for a job, in microseconds; of every round.
#[derive(Default)]
struct Rounds {
    worked: Vec<f64>,
    spent: Vec<f64>,
}

/// What the rounds measured.
#[derive(Default)]
struct Rates {
    /// Of each half.
    floors: [Rounds; CONNECTIONS.len()],
    ways: [Rounds; WAYS.len()],
    single: Vec<f64>,
    bulk: Vec<f64>,
}

pub(super) async fn run(server: &mut Server, scale: &Scale, suffix: &str) -> Result<Vec<Row>, String> {
    let mut rates = Rates::default();
    for round in 0..=scale.rounds {
        eprintln!("bench: round {round} of {}", scale.rounds);
        if round == 1 {
            // The first has warmed up: scripts are loaded, memory is taken from the system.
            rates = Rates::default();
        }
        one_round(server, scale, &mut rates).await?;
    }
    let mut rows = Vec::new();
    for (Way { half, together, batch, least }, rounds) in WAYS.iter().zip(&rates.ways) {
        let workers = match (CONNECTIONS[*half], together) {
            (1, _) => "1 worker".into(),
            (count, true) => format!("{count} workers of a process"),
            (count, false) => format!("{count} processes"),
        };
        let (name, floor) = (format!("worked, {workers}, {batch} a call{suffix}"), &rates.floors[*half]);
        let row = Row::paired(&name, Unit::PerSecond, &rounds.worked, "floor", &floor.worked);
        rows.push(least.map(Limit::RatioAtLeast).into_iter().fold(row, Row::limit));
        let name = format!("{name}, processor of Redis");
        rows.push(Row::paired(name, Unit::Micros, &rounds.spent, "floor", &floor.spent));
    }
    let floor = &rates.floors[0].worked;
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

impl Rounds {
    /// Adds a round: what is worked, on what server, and how many jobs it is.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    async fn add(
        &mut self,
        work: impl Future<Output = Result<f64, String>>,
        server: &Server,
        jobs: usize,
    ) -> Result<(), String> {
        let before = server.processor_time().await?;
        self.worked.push(work.await?);
        self.spent.push((server.processor_time().await? - before) / jobs as f64);
        Ok(())
    }
}

async fn one_round(server: &mut Server, scale: &Scale, rates: &mut Rates) -> Result<(), String> {
    for (half, connections) in CONNECTIONS.into_iter().enumerate() {
        let jobs = scale.jobs[half];
        server.flush().await?;
        let floor = Floor::new(server, 0, connections).await?;
        floor.fill(0, jobs).await?;
        rates.floors[half].add(floor.work(jobs), server, jobs).await?;
        server.settle(Side::Floor).await?;
        for (way, rounds) in WAYS.iter().zip(&mut rates.ways).filter(|(way, _)| way.half == half) {
            server.flush().await?;
            // Batches are over too soon to be timed well.
            let jobs = jobs * if way.batch == 1 { 1 } else { 2 };
            load::fill(&load::connect(&server.url, "work").await?, jobs, |_| None).await?;
            server.settle(Side::Ours("submitting")).await?;
            let mut crew = Crew::new(server, "work", connections, way.together, false).await?;
            rounds.add(crew.work(jobs, way.batch), server, jobs).await?;
            crew.rest().await?;
            server.settle(Side::Ours("claiming")).await?;
        }
    }
    server.flush().await?;
    let queue = load::connect(&server.url, "submit").await?;
    rates.single.push(submit(&queue, scale.jobs[0] / 2, 1).await?);
    server.flush().await?;
    rates.bulk.push(submit(&queue, scale.jobs[1] * 4, BULK).await?);
    server.settle(Side::Ours("submitting")).await.map(drop)
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
