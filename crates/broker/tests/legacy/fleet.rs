//! A mixed fleet: workers of the other system and ours share one queue, and any of them is killed at any moment.
//!
//! `FLEET_JOBS=5000` is the full size, `FLEET_SEED` another course of events.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use broker::legacy::Settings;
use broker::{Broker, Legacy, Outcome, Progress, Want};
use serde_json::{Value, json};

use crate::server::{Server, settings, tool, worker_with};
use crate::sheet::Sheet;

/// Makes this program a worker: what is in it says which.
pub const ORDERS: &str = "LEGACY_TEST_ORDERS";
/// Workers of each house.
const WORKERS: usize = 3;
/// How long the whole may take.
const PATIENCE: Duration = Duration::from_mins(9);

pub async fn workers_of_two_houses_share_a_queue(sheet: &Sheet) -> Option<()> {
    run(sheet, false).await
}

pub async fn with_the_reaper_nothing_is_lost_at_all(sheet: &Sheet) -> Option<()> {
    run(sheet, true).await
}

/// One of ours.
pub fn work(orders: &OsStr) -> ExitCode {
    let orders: Value = serde_json::from_str(orders.to_str().unwrap()).unwrap();
    let text = |name: &str| orders[name].as_str().unwrap();
    let mut log = std::fs::OpenOptions::new().append(true).create(true).open(text("log")).unwrap();
    let id = text("id");
    let mut say = |what: &str, job: &str| log.write_all(format!("{what} {job} {id}\n").as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let poll_every = Duration::from_millis(3);
        let broker = Legacy::connect(text("url"), Settings { poll_every, ..settings() }).await.unwrap();
        let me = worker_with(id, &json!({ "services": ["comfyui"] }));
        let mut done = Vec::new();
        loop {
            let told: Vec<_> = done.clone();
            let want = Want::now(2).wait(Duration::from_millis(200));
            let answer = broker.exchange(&me, std::mem::take(&mut done), want).await.unwrap();
            for ((ticket, outcome), heard) in told.iter().zip(&answer.done) {
                let (ticket, outcome): (&broker::Ticket, &Outcome) = (ticket, outcome);
                if heard.is_ok() && matches!(outcome, Outcome::Success(_)) {
                    say("heard", ticket.id.as_str());
                }
            }
            for claim in answer.claims {
                say("start", claim.ticket.id.as_str());
                let half = Progress { percent: 50, message: "half".into() };
                let _ = broker.progress(&claim.ticket, half).await.unwrap();
                let delay = claim.job.payload["delay_ms"].as_u64().unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(delay)).await;
                let fails =
                    u64::from(claim.attempts) < claim.job.payload["fail_runs"].as_u64().unwrap_or_default();
                let message = "told to fail".into();
                let outcome = if fails {
                    Outcome::Failure { retryable: true, message }
                } else {
                    Outcome::Success(json!({ "by": id }))
                };
                done.push((claim.ticket, outcome));
            }
        }
    })
}

/// A process that can be killed.
struct Worker {
    id: String,
    child: Child,
    ours: bool,
}

struct Fleet<'s> {
    server: &'s Server,
    python: std::path::PathBuf,
    log: std::path::PathBuf,
    /// Ids of the other system never return.
    born: usize,
    dead: BTreeSet<String>,
}

impl Fleet<'_> {
    fn start(&mut self, ours: bool, place: usize) -> Worker {
        self.born += 1;
        let (id, mut command) = if ours {
            let id = format!("ours-{place}");
            let orders = json!({ "url": self.server.url(), "id": id, "log": self.log });
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.env(ORDERS, orders.to_string());
            (id, command)
        } else {
            let id = format!("theirs-{}", self.born);
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy/old_worker.py");
            let mut command = Command::new(&self.python);
            command.arg(script).arg(self.server.folder().join("socket")).arg(&self.log);
            command.env("WORKER_ID", &id).env("MACHINE_ID", "m2");
            command.env("WORKER_POLL_INTERVAL_MS", "3").env("SETTLE_MS", "1");
            (id, command)
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Worker { id, child, ours }
    }

    fn kill(&mut self, worker: &mut Worker) {
        _ = worker.child.kill();
        _ = worker.child.wait();
        if !worker.ours {
            self.dead.insert(worker.id.clone());
        }
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |it| it.parse().unwrap())
}

async fn run(sheet: &Sheet, reap: bool) -> Option<()> {
    let (jobs, seed) = (number("FLEET_JOBS", 300), number("FLEET_SEED", 7) as u64);
    let python = tool("python3")?;
    let server = Server::with_function().await?;
    let mut chance = fastrand::Rng::with_seed(seed);
    let ids = submit(&server, jobs, &mut chance).await;
    let ear = server.listen().await;
    let log = server.folder().join("log");
    let mut fleet = Fleet { server: &server, python, log, born: 0, dead: BTreeSet::new() };
    let mut workers: Vec<Worker> = (0..2 * WORKERS).map(|place| fleet.start(place % 2 == 0, place)).collect();
    let reap_after = Some(Duration::ZERO);
    let reaper = server.legacy_with(Settings { reap_after, ..settings() }).await;
    let (began, mut kills) = (Instant::now(), [0_usize; 2]);
    // About one kill for forty jobs, and none at the very end, which would never come.
    while kills[0] + kills[1] < jobs / 40 + 4 {
        tokio::time::sleep(Duration::from_millis(chance.u64(20..200))).await;
        let place = chance.usize(0..workers.len());
        fleet.kill(&mut workers[place]);
        kills[usize::from(workers[place].ours)] += 1;
        workers[place] = fleet.start(workers[place].ours, place);
        assert!(began.elapsed() < PATIENCE, "the kills come to an end");
    }
    loop {
        if reap {
            // A minute without a heartbeat.
            for worker in &fleet.dead {
                server.ask::<()>(&["DEL", &format!("worker:{worker}:heartbeat")]).await;
            }
            reaper.sweep().await.unwrap();
        }
        if is_over(&server, &workers, &fleet.dead, reap).await {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the queue is worked off");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for worker in &mut workers {
        fleet.kill(worker);
    }
    let heard = ear.heard().await;
    let log = std::fs::read_to_string(&fleet.log).unwrap();
    let (ours, theirs) = (kills[1], kills[0]);
    println!(
        "{jobs} jobs, {ours} of ours and {theirs} of theirs killed, in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let lost = lost(sheet, &server, &ids, &fleet.dead).await;
    sheet.is(
        "13.1",
        "they lose no more than one job with each of their workers that is killed",
        lost.len() <= theirs,
    );
    if reap {
        sheet.eq("13.1", "with the reaper nothing is lost", &lost, &vec![]);
    }
    twice(sheet, &log, &heard.on("complete_job"));
    let by = |house: &str| {
        heard
            .on("complete_job")
            .iter()
            .filter(|it| it["worker_id"].as_str().unwrap().starts_with(house))
            .count()
    };
    println!("{} done by ours, {} by theirs, {} lost by theirs", by("ours"), by("theirs"), lost.len());
    sheet.is("6", "both houses had a share", by("ours") > jobs / 20 && by("theirs") > jobs / 20);
    Some(())
}

/// Jobs of every sort: some submitted by the API, some by us; some fail at first.
async fn submit(server: &Server, jobs: usize, chance: &mut fastrand::Rng) -> Vec<String> {
    let (broker, mut ids) = (server.legacy().await, Vec::new());
    for n in 0..jobs {
        let id = format!("job-{n}");
        let fails = if chance.u8(0..10) == 0 { chance.u8(1..3) } else { 0 };
        let payload = json!({ "delay_ms": chance.u8(0..4), "fail_runs": fails });
        if chance.bool() {
            let fields = json!({ "payload": payload.to_string(), "max_retries": "50" });
            server.submit(&id, &fields).await;
        } else {
            let job = broker::Job::new("comfyui".parse().unwrap()).id(id.parse().unwrap());
            broker.submit(&[job.payload(payload).max_attempts(50)]).await.unwrap();
        }
        ids.push(id);
    }
    ids
}

/// Whether nothing waits, and nobody who lives has a job.
async fn is_over(server: &Server, workers: &[Worker], dead: &BTreeSet<String>, reap: bool) -> bool {
    let waiting: u64 = server.ask(&["ZCARD", "jobs:pending"]).await;
    let mut active = 0;
    let gone = dead.iter().filter(|_| reap);
    for worker in workers.iter().map(|it| &it.id).chain(gone) {
        active += server.ask::<u64>(&["HLEN", &format!("jobs:active:{worker}")]).await;
    }
    waiting == 0 && active == 0
}

/// The jobs that did not come to their end. Each has to be one that a worker of theirs had when it was killed.
async fn lost(sheet: &Sheet, server: &Server, ids: &[String], dead: &BTreeSet<String>) -> Vec<String> {
    let (mut lost, mut strange) = (Vec::new(), Vec::new());
    for id in ids {
        let job = server.hash(&format!("job:{id}")).await;
        if job["status"] == "completed" {
            continue;
        }
        lost.push(id.clone());
        let owner = job.get("worker_id").filter(|it| !it.is_empty()).or(job.get("last_failed_worker"));
        if !owner.is_some_and(|it| dead.contains(it)) {
            strange.push(format!("{id}: {job:?}"));
        }
    }
    sheet.eq("13.1", "nothing is lost but by theirs", &strange, &vec![]);
    lost
}

/// That nothing was done twice by us: by the log of all workers, and by what was told.
fn twice(sheet: &Sheet, log: &str, completed: &[Value]) {
    let (mut heard, mut done, mut again) = (BTreeMap::<&str, usize>::new(), BTreeSet::new(), Vec::new());
    for line in log.lines() {
        let [what, job, worker] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        match what {
            "heard" => {
                *heard.entry(job).or_default() += 1;
                done.insert(job);
            }
            "start" if worker.starts_with("ours") && done.contains(job) => again.push(line),
            _ => {}
        }
    }
    let doubled: Vec<_> = heard.iter().filter(|(_, times)| **times > 1).collect();
    sheet.eq("13.2", "no success of ours is heard twice", &doubled, &vec![]);
    sheet.eq("13.2", "we begin nothing that is done", &again, &vec![]);
    let mut told = BTreeMap::<&str, Vec<&str>>::new();
    for message in completed {
        let text = |name: &str| message[name].as_str().unwrap();
        told.entry(text("job_id")).or_default().push(text("worker_id"));
    }
    let ours = |it: &Vec<&str>| it.iter().any(|it| it.starts_with("ours"));
    let double: Vec<_> = told.iter().filter(|(_, by)| by.len() > 1 && ours(by)).collect();
    sheet.eq("13.2", "what we complete is told once, by one", &double, &vec![]);
}
