//! Every connector that there is, on one machine, each at a service that speaks its protocol.
//!
//! Services of the machine are started by it: doubles in the place of ComfyUI, Automatic1111 and Ollama, and the real
//! Chromium, installed as a machine installs it. Doubles of those elsewhere are in this process.

use std::{collections::BTreeSet, env, net::Ipv4Addr, path::Path, sync::Arc};

use broker::{Status, life::State};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::hold;
use crate::{
    e2e::{
        Seen,
        machine::{Machine, processes},
        peer,
        project::{Project, cards},
        queue::Queue,
        world::{World, until},
    },
    peers::{
        double::{Double, Manners},
        openai_double, replicate_double, runpod_double,
        site::Site,
    },
};

mod cases;

use cases::{Bad, Case, Good, Places};

/// What a double of ComfyUI elsewhere asks for.
const TOKEN: &str = "e2e-token-of-nobody";
/// The services that a double stands in for, with the variables of their ports.
const DOUBLES: [(&str, &str); 3] =
    [("a1111", "A1111_BASE_PORT"), ("comfyui", "COMFYUI_BASE_PORT"), ("ollama", "OLLAMA_BASE_PORT")];
/// How often a job may fail. The second time is enough to see that it was worth another try.
const ATTEMPTS: u32 = 2;

pub(super) async fn connectors(world: Arc<World>) -> Seen {
    let (mut project, queue) = world.project("connectors").await?;
    let authorization = Some(format!("Bearer {TOKEN}"));
    let elsewhere = Double::at(0, Manners { authorization, ..peer::comfyui() }).await;
    let places = services(&mut project, &elsewhere).await?;
    doubles_start(&project)?;
    project.write("cards.json", &cards(1))?;

    let mut cases = cases::all(&places);
    let mut left_out = "";
    if !found("chromium") {
        hold(env::var_os("CI").is_none(), || "chromium is missing; `cargo xtask setup` installs it".into())?;
        cases.retain(|it| it.connector != "playwright");
        left_out = "; not playwright, for there is no chromium: `cargo xtask setup` installs it";
    }
    let mut machine = None;
    for round in rounds(&cases) {
        let spec: Vec<_> = round.iter().map(|it| format!("{}:1", it.connector)).collect();
        project.type_in(&format!("env-build simulation --inventory cards.json --spec {}", spec.join(",")))?;
        match &mut machine {
            None => machine = Some(project.start().await?),
            Some(it) => reload(&project, it, &round).await?,
        }
        all_of(&queue, &round).await?;
    }
    let faults = elsewhere.state().faults.clone();
    hold(faults.is_empty(), || format!("a real ComfyUI would not have been sent this: {faults:?}"))?;
    queue.audited().await?;
    if let Some(machine) = machine {
        hold(machine.stop().await?.success(), || "the machine did not end with 0".to_owned())?;
    }
    let names: Vec<_> = cases.iter().map(|it| it.connector).collect();
    let good: usize = cases.iter().map(|it| it.good.len()).sum();
    Ok(format!("{good} jobs done and {} failed as they should: {}{left_out}", names.len(), names.join(", ")))
}

/// Starts what is elsewhere and tells the project of it.
async fn services(project: &mut Project, comfyui: &Double) -> Result<Places, String> {
    let openai = openai_double::Double::start().await;
    let replicate = replicate_double::Double::start().await;
    let (_, runpod) = runpod_double::Double::start().await;
    let site = Site::start(Ipv4Addr::LOCALHOST.into(), "").await;
    // The double's address names the endpoint too.
    let runpod = runpod.join(".").map_err(|error| error.to_string())?;
    for (name, value) in [
        ("OPENAI_BASE_URL", openai.base.as_str()),
        ("OPENAI_API_KEY", "e2e-key-of-nobody"),
        ("REPLICATE_BASE_URL", replicate.base.as_str()),
        ("REPLICATE_API_TOKEN", replicate_double::TOKEN),
        ("RUNPOD_BASE_URL", runpod.as_str()),
        ("RUNPOD_ENDPOINT_ID", "endpoint"),
        ("RUNPOD_API_KEY", "key"),
        ("COMFYUI_REMOTE_URL", comfyui.url.as_str()),
        ("COMFYUI_REMOTE_TOKEN", TOKEN),
        ("OLLAMA_DEFAULT_MODEL", "m"),
        // Pictures, pages and files are on this machine.
        ("EGRESS_HTTP", "true"),
        ("EGRESS_INSIDE", "127.0.0.0/8"),
    ] {
        project.set(name, value);
    }
    for (at, variable) in
        DOUBLES.iter().map(|it| it.1).chain(["PLAYWRIGHT_BASE_PORT"]).zip(1_u16..).map(|it| (it.1, it.0))
    {
        project.set(variable, (project.health_port + 40 + 10 * at).to_string());
    }
    let picture = openai.base.join("/file/a.png").map_err(|error| error.to_string())?;
    Ok(Places { picture: picture.into(), form: site.url("/form") })
}

/// Has the machine start doubles instead of the real services, of an image that has them all.
fn doubles_start(project: &Project) -> Result<(), String> {
    let own = env::current_exe().map_err(|error| format!("this program: {error}"))?;
    project.edit("config/service-mapping.json", |mapping| {
        let services = ["a1111", "comfyui", "ollama", "playwright", "render", "simulation"];
        mapping["stages"] = json!({ "base": { "provides": services } });
        for service in services {
            mapping["services"][service]["build_stage"] = json!("base");
        }
        for (name, _) in DOUBLES {
            let service = &mut mapping["services"][name];
            service["start"]["command"] = json!([own, "peer", name, "${PORT}"]);
            service["start"]["working_directory"] = json!("${WORKSPACE}");
            service["probes"]["install"] = json!({ "file": { "path": own } });
            remove(service, &["install"]);
            remove(&mut service["start"], &["mock_arguments", "env"]);
        }
    })
}

fn remove(object: &mut Value, members: &[&str]) {
    for member in members {
        object.as_object_mut().and_then(|it| it.remove(*member));
    }
}

/// Whether there is such a program.
fn found(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|it| it.join(program).is_file())
}

/// Connectors that take the same kind of jobs are not on the machine at once: nobody could say which did a job.
fn rounds(cases: &[Case]) -> Vec<Vec<&Case>> {
    let meet = |one: &Case, other: &Case| {
        one.good.iter().any(|it| other.good.iter().any(|another| another.kind == it.kind))
    };
    let mut rounds: Vec<Vec<&Case>> = Vec::new();
    for case in cases {
        match rounds.iter_mut().find(|round| round.iter().all(|it| !meet(it, case))) {
            Some(round) => round.push(case),
            None => rounds.push(vec![case]),
        }
    }
    rounds
}

/// Has the machine take the generation in force, and waits until it has these workers and no other.
async fn reload(project: &Project, machine: &mut Machine, round: &[&Case]) -> Result<(), String> {
    let wanted: BTreeSet<_> = round.iter().map(|it| format!("{}-worker-0", it.connector)).collect();
    project.type_in("reload")?;
    until("the machine has its new workers", std::time::Duration::from_mins(1), async || {
        let running: BTreeSet<_> =
            processes(project)?.into_keys().filter(|it| it.contains("-worker-")).collect();
        Ok((running == wanted).then_some(()))
    })
    .await?;
    machine.ready().await
}

/// Submits every job of these, and holds what came of each against what had to.
async fn all_of(queue: &Queue, round: &[&Case]) -> Result<(), String> {
    let good: Vec<_> =
        round.iter().flat_map(|case| case.good.iter().map(|it| (case.connector, it))).collect();
    let jobs = good.iter().map(|(_, it)| Queue::job(it.kind, it.payload.clone()));
    let bad = round.iter().map(|it| Queue::job(it.bad.kind, it.bad.payload.clone()));
    let jobs = jobs.chain(bad).map(|it| it.map(|it| it.max_attempts(ATTEMPTS)));
    let mut ended = queue.over(&queue.submit(jobs.collect::<Result<_, _>>()?).await?).await?.into_iter();
    for (connector, it) in good {
        let status = ended.next().ok_or("a job has no end")?;
        succeeded(it, &status).map_err(|why| format!("{connector}: {}: {why}", it.kind))?;
    }
    for case in round {
        let status = ended.next().ok_or("a job has no end")?;
        failed(&case.bad, &status).map_err(|why| format!("{}: {why}", case.connector))?;
    }
    Ok(())
}

fn succeeded(job: &Good, status: &Status) -> Result<(), String> {
    let result = status.result.as_ref().ok_or_else(|| format!("{:?}: {:?}", status.life, status.error))?;
    for (at, wanted) in &job.has {
        hold(result.pointer(at) == Some(wanted), || format!("{at} is not {wanted} in {result}"))?;
    }
    for at in job.files {
        let file = result.pointer(at).ok_or_else(|| format!("{at} is not in {result}"))?;
        stored(file).map_err(|why| format!("{at}: {why}: {file}"))?;
    }
    Ok(())
}

/// A file of a result is where it says, and what it says.
fn stored(file: &Value) -> Result<(), String> {
    let path = file["url"].as_str().and_then(|it| it.strip_prefix("file://")).ok_or("it has no address")?;
    let bytes = std::fs::read(Path::new(path)).map_err(|error| error.to_string())?;
    let digest = Sha256::digest(&bytes).iter().fold(String::new(), |all, it| format!("{all}{it:02x}"));
    let same = file["bytes"] == bytes.len() && file["sha256"] == digest;
    hold(same && !bytes.is_empty(), || format!("it has {} bytes, and {digest}", bytes.len()))
}

fn failed(job: &Bad, status: &Status) -> Result<(), String> {
    let State::Dead(reason) = &status.life.state else { return Err(format!("{:?}", status.life)) };
    let attempts = if job.death == broker::Death::Permanent { 1 } else { ATTEMPTS };
    let as_it_should = (reason.kind, status.life.attempts, status.life.crashes) == (job.death, attempts, 0);
    hold(as_it_should && reason.message.contains(job.words), || {
        format!("it should have died as {:?} of `{}`: {:?}", job.death, job.words, status.life)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::workspace::{read, root};

    fn cases() -> Vec<Case> {
        cases::all(&Places { picture: String::new(), form: String::new() })
    }

    fn document(path: &str) -> Value {
        serde_json::from_str(&read(&root().join(path)).unwrap()).unwrap()
    }

    fn texts(list: &Value) -> BTreeSet<String> {
        list.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// The kinds of jobs of each connector, by the mapping that is shipped.
    fn mapping() -> BTreeMap<String, BTreeSet<String>> {
        let mapping = document("config/service-mapping.json");
        let workers = mapping["workers"].as_object().unwrap().values();
        let connector = |it: &Value| it["connector"].as_str().unwrap().to_owned();
        workers.map(|it| (connector(it), texts(&it["accepts"]))).collect()
    }

    #[test]
    fn every_connector_of_the_schema_is_shipped_documented_and_run_by_the_scenario() {
        let schema = document("docs/schemas/service-mapping.schema.json");
        let known = texts(&schema["definitions"]["Connector"]["enum"]);
        let run: BTreeSet<_> = cases().iter().map(|it| it.connector.to_owned()).collect();
        assert_eq!(run, known, "the scenario runs every connector");
        let shipped: BTreeSet<_> = mapping().into_keys().collect();
        assert_eq!(shipped, known, "every connector is shipped");
        for page in ["docs/connectors.md", "docs/mapping.md"] {
            let text = read(&root().join(page)).unwrap();
            let missing: Vec<_> = known.iter().filter(|it| !text.contains(&format!("`{it}`"))).collect();
            assert_eq!(missing, Vec::<&String>::new(), "{page} names every connector");
        }
    }

    #[test]
    fn a_job_of_every_kind_is_done() {
        let mapping = mapping();
        for case in cases() {
            let done: BTreeSet<_> = case.good.iter().map(|it| it.kind.to_owned()).collect();
            assert_eq!(done, mapping[case.connector], "{}", case.connector);
        }
    }

    #[test]
    fn no_round_has_two_connectors_for_one_kind_of_jobs() {
        let cases = cases();
        let rounds: Vec<Vec<_>> =
            rounds(&cases).iter().map(|round| round.iter().map(|it| it.connector).collect()).collect();
        assert_eq!(
            rounds,
            [
                vec![
                    "a1111",
                    "comfyui",
                    "ollama",
                    "openai",
                    "playwright",
                    "replicate",
                    "runpod",
                    "simulation"
                ],
                vec!["comfyui-remote"],
                vec!["comfyui-websocket"]
            ]
        );
    }
}
