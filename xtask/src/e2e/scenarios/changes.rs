//! Machines that stop, and machines that become others.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use broker::life::State;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::hold;
use crate::e2e::{
    Seen,
    machine::processes_in,
    queue::Queue,
    world::{World, until},
};

pub(super) async fn drain(world: Arc<World>) -> Seen {
    let (project, queue) = world.project("drain").await?;
    let mut machine = project.boot("simulation --spec simulation:4").await?;
    // Four that end within the grace of ten seconds, and behind them some that nobody may begin any more.
    let short = (0..4).map(|_| Queue::job("simulation", json!({ "duration_ms": 3000 })));
    let short = queue.submit(short.collect::<Result<_, _>>()?).await?;
    for id in &short {
        queue.running(id).await?;
    }
    // What a worker has not heard of yet when it is asked to end, it gives back at once.
    until("every worker is at its job", Duration::from_secs(10), async || {
        let all = machine.get("/services").await?;
        let at_work = |it: &Vec<Value>| it.iter().all(|it| it["job"].is_object());
        Ok(all["workers"].as_array().filter(|it| at_work(it)).map(|_| ()))
    })
    .await?;
    let behind = (0..8).map(|_| Queue::job("simulation", json!({ "duration_ms": 100 })));
    let behind = queue.submit(behind.collect::<Result<_, _>>()?).await?;
    machine.signal(Signal::TERM)?;
    let status = machine.ended().await?;
    hold(status.success(), || format!("the machine ended with {status}"))?;
    for id in &short {
        let status = queue.status(id).await?;
        hold(status.result.is_some(), || format!("a job within its grace: {:?}", status.life))?;
    }
    for id in &behind {
        let life = queue.status(id).await?.life;
        let untouched = life.state == State::Waiting && life.attempts == 0 && life.crashes == 0;
        hold(untouched, || format!("a job behind them: {life:?}"))?;
    }
    let machine = project.start().await?;
    queue.done(&behind).await?;
    queue.audited().await?;
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    Ok("4 finished, 8 waited untouched and were done by the next machine".to_owned())
}

pub(super) async fn switch_and_rollback(world: Arc<World>) -> Seen {
    let (project, _) = world.project("switch-and-rollback").await?;
    let mut machine = project.boot("simulation --spec simulation:2").await?;
    let before = names(&machine.get("/services").await?);
    project.type_in("env-build simulation --spec simulation:4")?;
    project.type_in("reload")?;
    machine.ready().await?;
    let during = names(&machine.get("/services").await?);
    hold(during.len() > before.len() && during.is_superset(&before), || {
        format!("{before:?}, then {during:?}")
    })?;
    project.type_in("rollback")?;
    project.type_in("reload")?;
    until("the machine is as before", Duration::from_secs(30), async || {
        Ok((names(&machine.get("/services").await?) == before).then_some(()))
    })
    .await?;
    machine.ready().await?;
    let folder = project.path("");
    hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    let left = processes_in(&folder.display().to_string());
    hold(left.is_empty(), || format!("left over: {left:?}"))?;
    Ok(format!("{} processes, then {}, then {}, then none", before.len(), during.len(), before.len()))
}

/// The names of services and workers.
fn names(services: &Value) -> BTreeSet<String> {
    let all = ["services", "workers"].into_iter().filter_map(|it| services[it].as_array()).flatten();
    all.filter_map(|it| it["name"].as_str()).map(str::to_owned).collect()
}
