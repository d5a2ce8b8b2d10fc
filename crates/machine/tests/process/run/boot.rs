//! The way up.

use super::*;

#[test]
fn a_machine_comes_up_step_by_step_and_everybody_hears_of_it() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut status = machine.redis.subscribed("machine:status:simulation");
    let mut up = machine.run();
    for stage in
        ["clean_up", "inventory", "allocation", "ecosystem", "registration", "services", "workers", "running"]
    {
        up.wait("machine", stage);
    }
    up.wait("machine", "startup_complete");
    let (out, talk, exit) = machine.ask("status --wait --json");
    assert_eq!(exit, Some(0), "{out}{talk}");
    let reply: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(reply["result"]["machine"]["ready"], true);
    assert_eq!(reply["result"]["workers"].as_array().unwrap().len(), 4);
    // What the plan has no use for is shown as well.
    assert_eq!(machine.state("comfyui"), "not_configured");

    // Monitors of the queue hear of it in the shape that they know.
    let ready = loop {
        let message = status.next();
        if message["update_type"] == "machine_ready" {
            break message;
        }
    };
    assert_eq!(
        (&ready["machine_id"], &ready["status"]["machine"]["phase"]),
        (&json!("simulation"), &json!("ready"))
    );
    let worker = "simulation-worker-simulation-0";
    assert_eq!(ready["structure"]["workers"][worker]["pm2_name"], "simulation-worker-0");
    assert_eq!(ready["status"]["workers"][worker]["is_connected"], true);
    assert_eq!(ready["status"]["services"][format!("{worker}.simulation")]["health"], "healthy");
    // What is kept of it ends by itself if nobody renews it.
    let left: u64 = machine.redis.cli(&["PTTL", "{jobs}:machine:simulation"]).trim().parse().unwrap();
    assert!((1..=45_000).contains(&left), "{left}");

    assert_eq!(up.stop().0, Some(0));
    let last = loop {
        let message = status.next();
        if message["update_type"] == "shutdown" {
            break message;
        }
    };
    assert_eq!(last["status"]["machine"]["phase"], "shutdown");
    assert_eq!(machine.redis.cli(&["EXISTS", "{jobs}:machine:simulation"]).trim(), "0");
}

#[test]
fn the_health_server_answers_while_nothing_else_is_there_and_the_machine_comes_up_once_redis_does() {
    let mut machine = Machine::new();
    let mut up = machine.run();
    until("it answers", || machine.get("/live").is_some_and(|it| it.0 == 200));
    until("it waits for Redis", || {
        machine.get("/ready").is_some_and(|it| it.0 == 503 && it.1["stage"] == "registration")
    });
    until("it tells why", || {
        let (out, _, exit) = machine.ask("status");
        assert_eq!(exit, Some(5));
        out.contains("reconnecting") && out.contains("Connection refused")
    });
    machine.redis.start();
    machine.wait_ready();
    // It can be stopped at any time, also before it is up.
    assert_eq!(up.stop().0, Some(0));
    machine.redis.kill();
    let mut up = machine.run();
    up.wait("machine", "reconnecting");
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn what_a_killed_machine_has_left_is_cleaned_up_by_the_next_one() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut first = machine.run();
    machine.wait_ready();
    first.process.kill().unwrap();
    first.process.wait().unwrap();
    let mut second = machine.run();
    machine.wait_ready();
    let services = machine.status()["services"].as_array().unwrap().clone();
    let pids = services.iter().filter_map(|it| it["pid"].as_u64()).count();
    assert_eq!((pids, processes(&format!("simulate --port {}", machine.base))), (4, 1));
    // Two at a time are refused, by name.
    let (_, talk, exit) = machine.ask("run");
    assert_eq!(exit, Some(1), "{talk}");
    assert!(talk.contains("HEALTH") || talk.contains("SUP009"), "{talk}");
    assert_eq!(second.stop().0, Some(0));
}

#[test]
fn a_plan_for_other_cards_does_not_fit_and_says_which_are_missing() {
    let machine = Machine::new();
    let (_, talk, exit) = machine.ask("env-build mixed-workload");
    assert_eq!(exit, Some(0), "{talk}");
    let mut up = Fleet::spawned(machine.command("run"));
    let (exit, talk) = up.end();
    assert_eq!(exit, Some(3), "{talk}");
    assert!(talk.contains("error[RUN010]: `comfyui-gpu1` is planned for gpu1"), "{talk}");
}

#[test]
fn a_container_runs_its_document_with_its_environment_and_secrets_from_files() {
    let mut machine = Machine::new();
    machine.redis.start();
    machine.redis.cli(&["CONFIG", "SET", "requirepass", "canary-of-redis"]);
    // As the compose file has it: a document, an environment, secrets as files, and no generation.
    let container = tempfile::tempdir().unwrap();
    let (document, secret) = (container.path().join("ecosystem.json"), container.path().join("REDIS_URL"));
    let workspace = container.path().join("workspace").display().to_string();
    let text = fs::read_to_string(machine.path("ecosystem.json")).unwrap().replace("/workspace", &workspace);
    fs::write(&document, text).unwrap();
    let url = machine.redis.url().replace("redis://", "redis://:canary-of-redis@");
    fs::write(&secret, url + "\n").unwrap();
    let in_container = |line: &str| {
        let mut command = machine.command(line);
        command.current_dir(container.path()).env("ROSTER_ECOSYSTEM", &document);
        command.env_remove("REDIS_URL").env("REDIS_URL_FILE", &secret).env("MACHINE_WORKSPACE", &workspace);
        command
    };
    let mut up = Fleet::spawned(in_container("run --json"));
    machine.wait_ready();
    let (out, _, exit) = told(&in_container("config --resolved").output().unwrap());
    assert_eq!(exit, Some(0));
    assert!(out.contains("REDIS_URL") && out.contains("[redacted]") && !out.contains("canary"), "{out}");
    assert!(!machine.status().to_string().contains("canary"));
    assert_eq!(
        told(&in_container("status --quiet").output().unwrap()),
        (String::new(), String::new(), Some(0))
    );
    assert_eq!(up.stop().0, Some(0));
}
