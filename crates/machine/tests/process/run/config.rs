//! What a machine is told.

use super::*;

#[test]
fn every_value_is_told_with_the_place_that_sets_it_and_those_that_do_so_in_vain() {
    let machine = Machine::new();
    let (out, talk, exit) = machine.ask("config --resolved --json");
    assert_eq!(exit, Some(0), "{talk}");
    let reply: Value = serde_json::from_str(&out).unwrap();
    let row = |key: &str| {
        let rows = reply["result"].as_array().unwrap();
        rows.iter().find(|it| it["key"] == key).cloned().unwrap_or_default()
    };
    assert_eq!(row("REDIS_URL")["source"], "the process environment");
    let files = row("REDIS_URL")["over"][0]["source"].as_str().unwrap().to_owned();
    assert!(files.ends_with("/.env"), "{files}");
    assert_eq!(row("MACHINE_HEALTH_LISTEN")["source"], "its default");
    assert!(row("MACHINE_ID")["source"].as_str().unwrap().starts_with("the plan ("));
    // The names of the compose file mean this machine, outside of it.
    assert_eq!(row("MACHINE_WORKSPACE")["written"], "/workspace");
    assert!(row("MACHINE_WORKSPACE")["value"].as_str().unwrap().ends_with("/.roster/workspace"));
    assert!(row("LOG_LEVEL")["given_to"].to_string().contains("simulation-worker-3"));
    let (out, _, exit) = machine.ask("config");
    assert_eq!(exit, Some(0));
    assert!(out.contains("MACHINE_STATUS_INTERVAL_S") && out.contains("15 by default"), "{out}");
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_no_secret_with_it() {
    let machine = Machine::new();
    let mut command = machine.command("run");
    command.env("REDIS_URL", "redis://:canary-in-the-address@host:port");
    command.env("MACHINE_ID", "other").env("MACHINE_STATUS_INTERVAL_S", "ten");
    command.env("MACHINE_HEALTH_LISTEN", "0.0.0.0");
    let (out, talk, exit) = told(&command.output().unwrap());
    assert_eq!(exit, Some(1), "{talk}");
    for expected in [
        "error[RUN003]: `REDIS_URL` is not the address of a Redis",
        "error[RUN003]: `MACHINE_STATUS_INTERVAL_S` is not a whole number of seconds from 1 to 86400",
        "error[RUN004]: `MACHINE_HEALTH_TOKEN` is not set",
        "error[RUN005]: `MACHINE_ID` is \"other\" in the process environment, and the plan has decided \"simulation\"",
    ] {
        assert!(talk.contains(expected), "{expected}: {talk}");
    }
    assert!(!talk.contains("canary") && out.is_empty(), "{talk}{out}");
    let (_, talk, exit) = told(&machine.command("run").current_dir("/").output().unwrap());
    assert_eq!(exit, Some(1));
    assert!(talk.contains("error[RUN001]: there is no generation in `/`"), "{talk}");
}

#[tokio::test]
async fn workers_claim_from_the_queue_that_the_machine_is_told_of() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut command = machine.command("run --json");
    command.env("JOB_QUEUE", "others");
    let mut up = Fleet::spawned(command);
    machine.wait_ready();
    let others =
        Native::connect(&machine.redis.url(), Settings::new("others".parse().unwrap())).await.unwrap();
    let id = submit(&others, 20).await;
    wait_for(&others, &id, |it| it.result.is_some()).await;
    assert_eq!(up.stop().0, Some(0));
}
