//! Work that goes as it should.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use super::hold;
use crate::{
    e2e::{
        Seen,
        project::cards,
        queue::Queue,
        redis::free_port,
        world::{World, until},
    },
    workspace::tools,
};

pub(super) async fn single_worker(world: Arc<World>) -> Seen {
    let (project, queue) = world.project("single-worker").await?;
    let machine = project.boot("simulation --spec simulation:1").await?;
    let jobs = (0..20).map(|seed| Queue::job("simulation", json!({ "duration_ms": 50, "seed": seed })));
    let ids = queue.submit(jobs.collect::<Result<_, _>>()?).await?;
    let ended: Vec<_> = queue.over(&ids).await?.into_iter().map(|it| (it.finished, it.result)).collect();
    hold(ended.is_sorted_by_key(|(finished, _)| *finished), || "jobs ended out of order".to_owned())?;
    for (seed, (_, result)) in ended.iter().enumerate() {
        let own = result.as_ref().is_some_and(|it| it["seed"] == seed);
        hold(own, || format!("job {seed} has the result {result:?}"))?;
    }
    queue.audited().await?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("20 jobs in order, each with its own result".to_owned())
}

pub(super) async fn many_gpus(world: Arc<World>) -> Seen {
    const GPUS: u32 = 4;
    const EACH: u32 = 8;
    const JOB: Duration = Duration::from_millis(1500);
    let (project, queue) = world.project("many-gpus").await?;
    project.write("cards.json", &cards(GPUS))?;
    let machine = project.boot(&format!("simulation --spec render:{GPUS} --inventory cards.json")).await?;

    let payload = json!({ "duration_ms": u64::try_from(JOB.as_millis()).unwrap_or(0), "steps": 4 });
    let jobs = (0..GPUS * EACH).map(|_| Queue::job("render", payload.clone())).collect::<Result<_, _>>()?;
    let began = Instant::now();
    let ids = queue.submit(jobs).await?;
    let workers = queue.done(&ids).await?;
    let (took, ideal) = (began.elapsed(), JOB * EACH);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for worker in workers.values() {
        *counts.entry(worker).or_default() += 1;
    }
    let balanced = counts.len() == GPUS as usize && counts.values().all(|it| it.abs_diff(EACH) <= 1);
    hold(balanced, || format!("jobs a worker: {counts:?}"))?;
    hold(took <= ideal.mul_f64(1.1), || format!("{took:.1?}, ideal {ideal:.1?}"))?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok(format!("{} jobs on {GPUS} GPUs in {took:.2?}, ideal {ideal:.1?}", GPUS * EACH))
}

pub(super) async fn mixed_workload(world: Arc<World>) -> Seen {
    let (mut project, queue) = world.project("mixed-workload").await?;
    let port = free_port()?;
    let _server = Peer::start(port)?;
    let address = format!("http://127.0.0.1:{port}/v1");
    let http = worker::client(Duration::from_secs(10));
    until("llmock answers", Duration::from_secs(30), async || {
        Ok(http.get(format!("{address}/models")).bearer_auth("e2e").send().await.ok().map(|_| ()))
    })
    .await?;
    project.set("OPENAI_BASE_URL", &address);
    project.set("OPENAI_API_KEY", "e2e-key-of-nobody");
    project.write("cards.json", &cards(1))?;
    let machine = project.boot("simulation --spec render:1,openai:4 --inventory cards.json").await?;

    let text = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "Say hello" }] });
    let mut jobs = Vec::new();
    for seed in 0..10 {
        jobs.push(Queue::job("render", json!({ "duration_ms": 100, "seed": seed }))?);
        jobs.push(Queue::job("openai_text", text.clone())?);
        jobs.push(Queue::job("openai_text", text.clone())?);
    }
    let ids = queue.submit(jobs).await?;
    for status in queue.over(&ids).await? {
        hold(status.result.is_some(), || format!("{:?}: {:?}", status.job.service_required, status.error))?;
    }
    queue.audited().await?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("10 GPU jobs and 20 of the OpenAI API at once".to_owned())
}

pub(super) async fn priorities(world: Arc<World>) -> Seen {
    let (project, queue) = world.project("priorities").await?;
    let machine = project.boot("simulation --spec simulation:1").await?;
    let job = |ms: u64| Queue::job("simulation", json!({ "duration_ms": ms }));
    // The only worker is busy while the others line up.
    let first = queue.submit(vec![job(1500)?]).await?;
    queue.running(&first[0]).await?;
    let usual = queue.submit((0..5).map(|_| job(50)).collect::<Result<_, _>>()?).await?;
    let urgent = queue.submit(vec![job(50)?.priority(50)]).await?;
    let first_usual = queue.over(&usual).await?.into_iter().filter_map(|it| it.finished).min();
    let urgent = queue.over(&urgent).await?.remove(0).finished;
    hold(urgent < first_usual, || format!("urgent at {urgent:?}, the first usual one at {first_usual:?}"))?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("the last one in was the first one out".to_owned())
}

/// A server of the OpenAI protocol; killed when dropped.
struct Peer(Child);

impl Peer {
    fn start(port: u16) -> Result<Self, String> {
        let program = tools().join("venv/bin/llmock");
        let mut command = Command::new(&program);
        command.args(["serve", "--port", &port.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Self).map_err(|error| format!("llmock: {error}; `cargo xtask setup` installs it"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
