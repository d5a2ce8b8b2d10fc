//! What a claim costs the server while much waits: alone, and as workers claim, in one call with the end of the job before.

use broker::{Broker as _, MAX_BATCH, Native, Outcome, Want};

use super::{
    Scale,
    floor::Floor,
    load::{self, Crew},
    report::{Limit, Row, Unit, thousands},
    server::{Calls, Server, Side},
};

/// Lines of the queue with many.
const SIGNATURES: usize = 1000;

/// Lines of the jobs in front.
const OTHERS: usize = 10;

/// Connections that claim.
const CONNECTIONS: usize = 1;

/// Rounds in which the calls with most to do are made to find the longest, how often in each; and jobs of a submission, more
/// than the broker sends in one call.
const ROUNDS: usize = 5;
const PROBES: usize = 40;
const SUBMITTED: usize = 3 * MAX_BATCH;

/// New classes of each round that judge every signature.
const STRANGERS: usize = 2;

/// Jobs of which the memory is measured.
const WEIGHED: usize = 100_000;

/// What the rounds measured: the server's time, and claims per second.
type Rounds = Vec<(Calls, f64)>;

fn each(rounds: &Rounds, figure: impl Fn(&(Calls, f64)) -> f64) -> Vec<f64> {
    rounds.iter().map(figure).collect()
}

/// The model that a job needs, by its number.
type Model = fn(usize) -> Option<String>;

/// A queue that is as deep before every round.
struct Deep {
    queue: Native,
    /// Of the jobs that are worked.
    model: Model,
    crew: Crew,
    rounds: Rounds,
}

impl Deep {
    /// With a worker that takes jobs without a model, or with any.
    async fn new(server: &Server, name: &str, any_model: bool, model: Model) -> Result<Self, String> {
        let crew = Crew::new(server, name, CONNECTIONS, true, any_model).await?;
        Ok(Self { queue: load::connect(&server.url, name).await?, model, crew, rounds: vec![] })
    }

    /// Adds as many jobs as are claimed afterwards.
    async fn round(&mut self, server: &mut Server, claims: usize) -> Result<(), String> {
        load::fill(&self.queue, claims, self.model).await?;
        server.settle(Side::Ours("submitting")).await?;
        let rate = self.crew.work(claims, 1).await?;
        self.rounds.push((server.settle(Side::Ours("claiming")).await?, rate));
        Ok(())
    }

    /// Adds as many jobs as are claimed afterwards, and ends them when that is measured.
    async fn claims(&mut self, server: &mut Server, claims: usize) -> Result<(Calls, f64), String> {
        load::fill(&self.queue, claims, self.model).await?;
        server.settle(Side::Ours("submitting")).await?;
        let rate = self.crew.claim(claims).await?;
        let calls = server.settle(Side::Ours("claiming")).await?;
        self.crew.rest().await?;
        server.settle(Side::Ours("ending")).await?;
        Ok((calls, rate))
    }
}

/// Runs the rounds of all queues in turn, after one that warms up.
async fn rounds(server: &mut Server, scale: &Scale, queues: &mut [Deep]) -> Result<(), String> {
    for round in 0..=scale.rounds {
        eprintln!("bench: round {round} of {}", scale.rounds);
        for queue in &mut *queues {
            queue.round(server, scale.claims).await?;
            if round == 0 {
                queue.rounds.clear();
            }
        }
    }
    Ok(())
}

/// Claims while few and while many wait.
pub(super) async fn waiting(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    let (mut ours, mut alone, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for (index, &waiting) in scale.backlogs.iter().enumerate() {
        eprintln!("bench: filling with {waiting}");
        let deep = Deep::new(server, &format!("waiting-{index}"), false, |_| None).await?;
        load::fill(&deep.queue, waiting, |_| None).await?;
        ours.push(deep);
        alone.push(Rounds::new());
        let floor = Floor::new(server, index, CONNECTIONS).await?;
        floor.fill(0, waiting).await?;
        floors.push((floor, Rounds::new()));
    }
    server.settle(Side::Ours("submitting")).await?;
    for round in 0..=scale.rounds {
        eprintln!("bench: round {round} of {}", scale.rounds);
        let queues = ours.iter_mut().zip(&mut alone).zip(&mut floors).zip(scale.backlogs);
        for (((deep, alone), (floor, measured)), waiting) in queues {
            deep.round(server, scale.claims).await?;
            alone.push(deep.claims(server, scale.claims).await?);
            floor.fill(waiting + round * scale.claims, scale.claims).await?;
            let rate = floor.work(scale.claims).await?;
            measured.push((server.settle(Side::Floor).await?, rate));
            if round == 0 {
                deep.rounds.clear();
                alone.clear();
                measured.clear();
            }
        }
    }
    let mut rows = Vec::new();
    for (((deep, alone), (_, floor)), waiting) in ours.iter().zip(&alone).zip(&floors).zip(scale.backlogs) {
        for (doing, rounds, most) in [("claim", alone, Some(25.0)), ("end and claim", &deep.rounds, None)] {
            let row = |what, unit, figure: &dyn Fn(&(Calls, f64)) -> f64| {
                let name = format!("{doing}, {} waiting, {what}", thousands(*waiting));
                Row::paired(name, unit, &each(rounds, figure), "floor", &each(floor, figure))
            };
            let mean = row("server mean", Unit::Micros, &|it| it.0.mean);
            rows.push(most.map(Limit::AtMost).into_iter().fold(mean, Row::limit));
            rows.push(row("server p50", Unit::Micros, &|it| it.0.p50));
            rows.push(row("server p99", Unit::Micros, &|it| it.0.p99));
            rows.push(row("1 connection", Unit::PerSecond, &|it| it.1));
        }
    }
    for (deep, waiting) in ours.iter_mut().zip(scale.backlogs) {
        rows.extend(longest(server, deep, *waiting).await?);
    }
    let ends: Vec<_> = ours.iter().map(|it| &it.rounds).collect();
    for (doing, rounds) in [("claim", alone.iter().collect()), ("end and claim", ends)] {
        if let ([few, .., many], [first, .., last]) = (&*rounds, scale.backlogs) {
            let [many, few] = [many, few].map(|it| each(it, |it| it.0.mean));
            let name = format!("{doing}, {} waiting against {}", thousands(*last), thousands(*first));
            rows.push(Row::paired(name, Unit::Micros, &many, "", &few).limit(Limit::RatioAtMost(1.3)));
        }
    }
    Ok(rows)
}

/// The longest of the calls with most to do, at this depth: a full submission, a full exchange, and what a new class does
/// with its first claim, which is to judge every signature. The shortest of what the rounds found: what makes a call long by
/// its own work makes the same calls long in every round, and what else the machine does, in some.
async fn longest(server: &mut Server, deep: &mut Deep, waiting: usize) -> Result<Vec<Row>, String> {
    let said = |error: broker::Error| error.to_string();
    let mut found = [f64::INFINITY; 3];
    server.log_all(true).await?;
    for round in 0..ROUNDS {
        let mut longest = [0.0_f64; 3];
        let [submission, exchange, first] = &mut longest;
        for probe in round * PROBES..(round + 1) * PROBES {
            let jobs = load::jobs(SUBMITTED, |job| (deep.model)(job + probe * SUBMITTED))?;
            let submits = async { deep.queue.submit(&jobs).await.map_err(said) };
            *submission = submission.max(server.watch(submits).await?.1);
            let worker = deep.crew.first();
            for _ in (0..SUBMITTED).step_by(MAX_BATCH) {
                *exchange = exchange.max(server.watch(worker.exchange(MAX_BATCH)).await?.1);
            }
        }
        for index in round * STRANGERS..(round + 1) * STRANGERS {
            let worker = load::stranger(index)?;
            let claims = async { deep.queue.exchange(&worker, vec![], Want::now(1)).await.map_err(said) };
            let (answer, took) = server.watch(claims).await?;
            *first = first.max(took);
            let back = answer.claims.into_iter().map(|it| (it.ticket, Outcome::HandBack)).collect();
            deep.queue.exchange(&worker, back, Want::NOTHING).await.map_err(said)?;
        }
        found = std::array::from_fn(|it| found[it].min(longest[it]));
    }
    server.log_all(false).await?;
    let [submission, exchange, first] = found;
    let over = if (deep.model)(0).is_some() {
        format!(" over {} signatures", thousands(SIGNATURES))
    } else {
        String::new()
    };
    let row = |doing, longest: f64| {
        let name = format!("longest call, {} waiting{over}, {doing}", thousands(waiting));
        Row::new(name, longest / 1000.0, Unit::Millis).limit(Limit::AtMost(1.0))
    };
    Ok(vec![row("submitting", submission), row("exchanging", exchange), row("first claim of a class", first)])
}

/// Claims behind jobs that this worker cannot run, all older than those that it can.
pub(super) async fn in_front(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    let mut queues = Vec::new();
    for (index, &front) in scale.fronts.iter().enumerate() {
        eprintln!("bench: filling with {front}");
        let deep = Deep::new(server, &format!("front-{index}"), false, |_| None).await?;
        load::fill(&deep.queue, front, |job| Some(format!("model-{}", job % OTHERS))).await?;
        queues.push(deep);
    }
    rounds(server, scale, &mut queues).await?;
    let mut rows = Vec::new();
    let (none, fronts) = queues.split_first().ok_or("no queue")?;
    for (deep, front) in fronts.iter().zip(&scale.fronts[1..]) {
        let name = format!("claim, {} in front that cannot run", thousands(*front));
        let pair =
            |figure: fn(&(Calls, f64)) -> f64| [each(&deep.rounds, figure), each(&none.rounds, figure)];
        let [ours, least] = pair(|it| it.0.mean);
        let mean = Row::paired(format!("{name}, server mean"), Unit::Micros, &ours, "with none", &least);
        rows.push(mean.limit(Limit::RatioAtMost(1.2)));
        let [ours, least] = pair(|it| it.1);
        rows.push(Row::paired(format!("{name}, 1 connection"), Unit::PerSecond, &ours, "with none", &least));
    }
    Ok(rows)
}

/// Claims from many lines, all of which the worker takes from.
pub(super) async fn signatures(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    eprintln!("bench: filling with {}", scale.over_signatures);
    let many = Deep::new(server, "many", true, |job| Some(format!("model-{}", job % SIGNATURES))).await?;
    let one = Deep::new(server, "one", true, |_| None).await?;
    load::fill(&many.queue, scale.over_signatures, many.model).await?;
    load::fill(&one.queue, scale.backlogs[0], one.model).await?;
    let mut queues = [many, one];
    rounds(server, scale, &mut queues).await?;
    let longest = longest(server, &mut queues[0], scale.over_signatures).await?;
    let [many, one] = &queues;
    let row = |what, unit, figure: fn(&(Calls, f64)) -> f64| {
        let name = format!(
            "claim, {} over {} signatures, {what}",
            thousands(scale.over_signatures),
            thousands(SIGNATURES)
        );
        Row::paired(name, unit, &each(&many.rounds, figure), "of 1,000 in one", &each(&one.rounds, figure))
    };
    let mut rows = vec![
        row("server mean", Unit::Micros, |it| it.0.mean),
        row("server p99", Unit::Micros, |it| it.0.p99),
        row("1 connection", Unit::PerSecond, |it| it.1),
    ];
    rows.extend(longest);
    Ok(rows)
}

/// What a waiting job weighs in Redis, its document included.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) async fn memory(server: &mut Server) -> Result<Vec<Row>, String> {
    let queue = load::connect(&server.url, "memory").await?;
    let floor = Floor::new(server, 0, 1).await?;
    let mut used = vec![used_memory(server).await?];
    load::fill(&queue, WEIGHED, |_| None).await?;
    used.push(used_memory(server).await?);
    floor.fill(0, WEIGHED).await?;
    used.push(used_memory(server).await?);
    server.settle(Side::Ours("submitting")).await?;
    let documents = queue.counts().await.map_err(|error| error.to_string())?.bytes;
    let name = format!("memory of a waiting job, document of {} bytes", documents / WEIGHED as u64);
    let each = |from: usize| [(used[from + 1] - used[from]) / WEIGHED as f64];
    Ok(vec![Row::paired(name, Unit::Bytes, &each(0), "floor, without a document", &each(1))])
}

async fn used_memory(server: &mut Server) -> Result<f64, String> {
    let used = server.info("memory", "used_memory").await?;
    used.parse().map_err(|error| format!("used_memory {used}: {error}"))
}
