//! What a claim costs the server while much waits. One call both finishes a job and claims the next.

use broker::{Broker as _, Native};

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

/// Jobs of which the memory is measured.
const WEIGHED: usize = 100_000;

/// What the rounds measured: the server's time, and claims per second.
type Rounds = Vec<(Calls, f64)>;

fn each(rounds: &Rounds, figure: impl Fn(&(Calls, f64)) -> f64) -> Vec<f64> {
    rounds.iter().map(figure).collect()
}

/// A queue that is as deep before every round.
struct Deep {
    queue: Native,
    crew: Crew,
    rounds: Rounds,
}

impl Deep {
    async fn new(server: &Server, name: &str, any_model: bool) -> Result<Self, String> {
        let crew = Crew::new(server, name, CONNECTIONS, any_model).await?;
        Ok(Self { queue: load::connect(&server.url, name).await?, crew, rounds: vec![] })
    }

    /// Adds as many jobs as are claimed afterwards.
    async fn round(
        &mut self,
        server: &mut Server,
        claims: usize,
        model: impl Fn(usize) -> Option<String>,
    ) -> Result<(), String> {
        load::fill(&self.queue, claims, model).await?;
        server.settle(Side::Ours("submitting")).await?;
        let rate = self.crew.work(claims, 1).await?;
        self.rounds.push((server.settle(Side::Ours("claiming")).await?, rate));
        Ok(())
    }
}

/// Runs the rounds of all queues in turn, after one that warms up.
async fn rounds(
    server: &mut Server,
    scale: &Scale,
    queues: &mut [Deep],
    model: impl Fn(usize) -> Option<String> + Copy,
) -> Result<(), String> {
    for round in 0..=scale.rounds {
        eprintln!("bench: round {round} of {}", scale.rounds);
        for queue in &mut *queues {
            queue.round(server, scale.claims, model).await?;
            if round == 0 {
                queue.rounds.clear();
            }
        }
    }
    Ok(())
}

/// Claims while few and while many wait.
pub(super) async fn waiting(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for (index, &waiting) in scale.backlogs.iter().enumerate() {
        eprintln!("bench: filling with {waiting}");
        let deep = Deep::new(server, &format!("waiting-{index}"), false).await?;
        load::fill(&deep.queue, waiting, |_| None).await?;
        ours.push(deep);
        let floor = Floor::new(server, index, CONNECTIONS).await?;
        floor.fill(0, waiting).await?;
        floors.push((floor, Rounds::new()));
    }
    server.settle(Side::Ours("submitting")).await?;
    for round in 0..=scale.rounds {
        eprintln!("bench: round {round} of {}", scale.rounds);
        for ((deep, (floor, measured)), waiting) in ours.iter_mut().zip(&mut floors).zip(scale.backlogs) {
            deep.round(server, scale.claims, |_| None).await?;
            floor.fill(waiting + round * scale.claims, scale.claims).await?;
            let rate = floor.work(scale.claims).await?;
            measured.push((server.settle(Side::Floor).await?, rate));
            if round == 0 {
                deep.rounds.clear();
                measured.clear();
            }
        }
    }
    let mut rows = Vec::new();
    for ((deep, (_, floor)), waiting) in ours.iter().zip(&floors).zip(scale.backlogs) {
        let row = |what, unit, figure: &dyn Fn(&(Calls, f64)) -> f64| {
            let name = format!("claim, {} waiting, {what}", thousands(*waiting));
            Row::paired(name, unit, &each(&deep.rounds, figure), "floor", &each(floor, figure))
        };
        rows.push(row("server mean", Unit::Micros, &|it| it.0.mean).limit(Limit::AtMost(25.0)));
        rows.push(row("server p50", Unit::Micros, &|it| it.0.p50));
        rows.push(row("server p99", Unit::Micros, &|it| it.0.p99));
        rows.push(row("1 connection", Unit::PerSecond, &|it| it.1));
    }
    if let [(few, first), .., (many, last)] = &*ours.iter().zip(scale.backlogs).collect::<Vec<_>>() {
        let [many, few] = [many, few].map(|it| each(&it.rounds, |it| it.0.mean));
        let name = format!("claim, {} waiting against {}", thousands(**last), thousands(**first));
        rows.push(Row::paired(name, Unit::Micros, &many, "", &few).limit(Limit::RatioAtMost(1.3)));
    }
    Ok(rows)
}

/// Claims behind jobs that this worker cannot run, all older than those that it can.
pub(super) async fn in_front(server: &mut Server, scale: &Scale) -> Result<Vec<Row>, String> {
    let mut queues = Vec::new();
    for (index, &front) in scale.fronts.iter().enumerate() {
        eprintln!("bench: filling with {front}");
        let deep = Deep::new(server, &format!("front-{index}"), false).await?;
        load::fill(&deep.queue, front, |job| Some(format!("model-{}", job % OTHERS))).await?;
        queues.push(deep);
    }
    rounds(server, scale, &mut queues, |_| None).await?;
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
    let model = |job| Some(format!("model-{}", job % SIGNATURES));
    eprintln!("bench: filling with {}", scale.over_signatures);
    let mut queues = [Deep::new(server, "many", true).await?, Deep::new(server, "one", true).await?];
    load::fill(&queues[0].queue, scale.over_signatures, model).await?;
    load::fill(&queues[1].queue, scale.backlogs[0], |_| None).await?;
    for round in 0..=scale.rounds {
        eprintln!("bench: round {round} of {}", scale.rounds);
        let [many, one] = &mut queues;
        many.round(server, scale.claims, model).await?;
        one.round(server, scale.claims, |_| None).await?;
        if round == 0 {
            many.rounds.clear();
            one.rounds.clear();
        }
    }
    let [many, one] = &queues;
    let row = |what, unit, figure: fn(&(Calls, f64)) -> f64| {
        let name =
            format!("claim, {} over {SIGNATURES} signatures, {what}", thousands(scale.over_signatures));
        Row::paired(name, unit, &each(&many.rounds, figure), "of 1,000 in one", &each(&one.rounds, figure))
    };
    Ok(vec![
        row("server mean", Unit::Micros, |it| it.0.mean),
        row("server p99", Unit::Micros, |it| it.0.p99),
        row("1 connection", Unit::PerSecond, |it| it.1),
    ])
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
