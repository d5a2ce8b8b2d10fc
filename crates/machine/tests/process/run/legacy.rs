//! A machine of ours in the TypeScript system.

use super::*;

#[test]
fn a_machine_of_ours_works_in_the_typescript_system_and_its_api_sees_it() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut status = machine.redis.subscribed("machine:status:simulation");
    let mut command = machine.command("run --json");
    command.env("REDIS_URL", format!("legacy+{}", machine.redis.url())).env("WORKER_POLL_INTERVAL_MS", "20");
    let mut up = Fleet::spawned(command);
    let mut next = |is: &dyn Fn(&Value) -> bool| loop {
        let message = status.next();
        if is(&message) {
            break message;
        }
    };
    let ready = next(&|it| it["update_type"] == "machine_ready");
    let (id, phase) = (&ready["machine_id"], &ready["status"]["machine"]["phase"]);
    assert_eq!((id, phase), (&json!("simulation"), &json!("ready")));
    let worker = "simulation-worker-simulation-0";
    assert_eq!(ready["structure"]["workers"][worker]["services"], json!(["simulation"]));
    assert_eq!(ready["status"]["workers"][worker]["status"], "idle");

    // As the API writes it.
    let job = "HSET job:a id a service_required simulation priority 50 payload {\"duration_ms\":1500} requirements {} \
        created_at 2025-01-01T00:00:00.000Z status pending retry_count 0 max_retries 3";
    machine.redis.cli(&job.split_whitespace().collect::<Vec<_>>());
    machine.redis.cli(&["ZADD", "jobs:pending", "49999998264310400", "a"]);
    let busy = next(&|it| {
        let workers = it["status"]["workers"].as_object();
        workers.is_some_and(|all| all.values().any(|it| it["status"] == "busy"))
    });
    assert_eq!(busy["update_type"], "event_driven");
    assert!(busy["status"]["workers"].to_string().contains("\"current_job_id\":\"a\""), "{busy}");
    until("it is done", || machine.redis.cli(&["HGET", "job:a", "status"]).trim() == "completed");

    assert_eq!(up.stop().0, Some(0));
    let last = next(&|it| it["update_type"] == "shutdown");
    assert_eq!(last["status"]["machine"]["phase"], "shutdown");
    // Nothing of ours is among the keys of that system, and no worker.
    for pattern in ["{*", "worker:simulation-*", "jobs:active:*"] {
        assert_eq!(machine.redis.cli(&["KEYS", pattern]).trim(), "", "{pattern}");
    }
}

#[test]
fn an_address_and_a_variable_that_name_two_wires_are_refused() {
    let machine = Machine::new();
    let mut command = machine.command("run");
    command.env("REDIS_URL", "legacy+redis://127.0.0.1:1/0").env("BROKER", "native");
    let (_, talk, exit) = told(&command.output().unwrap());
    assert_eq!(exit, Some(1), "{talk}");
    let expected = "error[RUN003]: `REDIS_URL` is not the address of a Redis";
    assert!(
        talk.contains(expected) && talk.contains("it says `legacy+`, and `BROKER` is `native`"),
        "{talk}"
    );
}
