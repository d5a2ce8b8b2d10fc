//! Work that goes wrong, and what becomes of it.

use std::{sync::Arc, time::Duration};

use broker::{Broker as _, Death, Replay, life::State};
use rustix::process::Signal;
use serde_json::json;

use super::hold;
use crate::e2e::{
    Seen,
    machine::{process, signal_to},
    queue::Queue,
    world::{World, until},
};

pub(super) async fn retry_and_dead_letter(world: Arc<World>) -> Seen {
    let (project, queue) = world.project("retry-and-dead-letter").await?;
    let machine = project.boot("simulation --spec simulation:2").await?;
    let fails = |attempts: u32| {
        let payload = json!({ "duration_ms": 20, "fail": "retryable", "fail_attempts": attempts });
        Queue::job("simulation", payload).map(|it| it.max_attempts(3))
    };
    let ids = queue.submit(vec![fails(1)?, fails(3)?]).await?;
    let mut ended = queue.over(&ids).await?;
    let (dead, tried_again) = (ended.pop(), ended.pop());
    let succeeded = tried_again.is_some_and(|it| it.result.is_some() && it.life.attempts == 1);
    hold(succeeded, || "the job that fails once did not succeed in its second attempt".to_owned())?;
    let kind = dead.map(|it| it.life.state);
    hold(matches!(&kind, Some(State::Dead(it)) if it.kind == Death::Attempts), || format!("{kind:?}"))?;
    // A replayed job starts from nothing, and fails again as its payload says.
    let replay = Replay::Kind(Death::Attempts);
    let replayed = queue.broker.replay(&replay).await.map_err(|error| error.to_string())?;
    hold(replayed == ids[1..], || format!("replayed: {replayed:?}"))?;
    queue.over(&ids).await?;
    queue.audited().await?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("one done in its second attempt, one dead after three and replayed".to_owned())
}

pub(super) async fn cancel(world: Arc<World>) -> Seen {
    let (project, queue) = world.project("cancel").await?;
    let machine = project.boot("simulation --spec simulation:1").await?;
    let job = |ms: u64| Queue::job("simulation", json!({ "duration_ms": ms }));
    let ids = queue.submit(vec![job(60_000)?, job(60_000)?, job(50)?]).await?;
    queue.running(&ids[0]).await?;
    for id in ids[..2].iter().rev() {
        queue.broker.cancel(id).await.map_err(|error| error.to_string())?;
    }
    let states: Vec<_> = queue.over(&ids).await?.into_iter().map(|it| it.life.state).collect();
    let wanted = [State::Cancelled, State::Cancelled, State::Succeeded];
    hold(states == wanted, || format!("{states:?}"))?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("the running one stopped, the waiting one never began, the worker went on".to_owned())
}

pub(super) async fn worker_crash(world: Arc<World>) -> Seen {
    let (project, queue) = world.project("worker-crash").await?;
    let machine = project.boot("simulation --spec simulation:2").await?;
    let jobs = (0..2).map(|_| Queue::job("simulation", json!({ "duration_ms": 3000 })));
    let ids = queue.submit(jobs.collect::<Result<_, _>>()?).await?;
    for id in &ids {
        queue.running(id).await?;
    }
    let killed = process(&project, "simulation-worker-0")?;
    signal_to(killed, Signal::KILL)?;
    let ended = queue.over(&ids).await?;
    hold(ended.iter().all(|it| it.result.is_some() && it.life.attempts == 0), || {
        format!("{:?}", ended.iter().map(|it| &it.life).collect::<Vec<_>>())
    })?;
    let crashes: u32 = ended.iter().map(|it| it.life.crashes).sum();
    hold(crashes == 1, || format!("{crashes} crashes were counted"))?;
    until("the worker is back", Duration::from_secs(30), async || {
        Ok(process(&project, "simulation-worker-0").ok().filter(|it| *it != killed))
    })
    .await?;
    queue.audited().await?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("its job was done by another, with no attempt spent; it is back".to_owned())
}

pub(super) async fn service_crash(world: Arc<World>) -> Seen {
    let (project, queue) = world.project("service-crash").await?;
    let mut machine = project.boot("simulation --spec simulation:4").await?;
    let jobs = (0..40).map(|_| Queue::job("simulation", json!({ "duration_ms": 200 })));
    let ids = queue.submit(jobs.collect::<Result<_, _>>()?).await?;
    queue.running(&ids[0]).await?;
    signal_to(process(&project, "simulation-service-0")?, Signal::KILL)?;
    let ended = queue.over(&ids).await?;
    hold(ended.iter().all(|it| it.result.is_some()), || "a job was lost".to_owned())?;
    machine.ready().await?;
    queue.audited().await?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("40 of 40 jobs, and the machine is ready again".to_owned())
}

pub(super) async fn redis_restart(world: Arc<World>) -> Seen {
    let (project, queue) = world.project("redis-restart").await?;
    let mut machine = project.boot("simulation --spec simulation:4").await?;
    let jobs = (0..200).map(|seed| Queue::job("simulation", json!({ "duration_ms": 100, "seed": seed })));
    let ids = queue.submit(jobs.collect::<Result<_, _>>()?).await?;
    queue.running(&ids[20]).await?;
    world.redis.restart(Duration::from_secs(2)).await?;
    let ended = queue.over(&ids).await?;
    hold(ended.iter().all(|it| it.result.is_some() && it.life.attempts == 0), || {
        format!("{} of 200 jobs are done", ended.iter().filter(|it| it.result.is_some()).count())
    })?;
    machine.ready().await?;
    queue.audited().await?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("200 of 200 jobs; Redis was dead for 2 s".to_owned())
}
