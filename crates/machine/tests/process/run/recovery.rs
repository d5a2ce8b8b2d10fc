//! What goes wrong, and the way back.

use super::*;

#[tokio::test]
async fn a_service_that_hangs_is_unhealthy_and_the_others_go_on() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut up = machine.run();
    machine.wait_ready();
    machine.signal("simulation-service-1", "STOP");
    until("it is unhealthy", || machine.state("simulation-service-1") == "unhealthy");
    let health = machine.get("/health").unwrap();
    assert_eq!((health.0, &health.1["state"]), (503, &json!("unhealthy")));
    let worker = machine.service("simulation-worker-1");
    assert!(worker["cause"][0].as_str().unwrap().starts_with("simulation-service-1 unhealthy"), "{worker}");
    assert_eq!(machine.state("simulation-service-0"), "healthy");
    let broker = machine.redis.broker().await;
    for _ in 0..6 {
        let id = submit(&broker, 20).await;
        wait_for(&broker, &id, |it| it.result.is_some()).await;
    }
    machine.signal("simulation-service-1", "CONT");
    machine.wait_ready();
    assert_eq!(up.stop().0, Some(0));
}

#[tokio::test]
async fn one_of_four_services_is_killed_again_and_again_and_the_other_three_work_on() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut up = machine.run();
    machine.wait_ready();
    let broker = machine.redis.broker().await;
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(submit(&broker, 100).await);
    }
    for _ in 0..3 {
        machine.signal("simulation-service-2", "KILL");
        up.wait("simulation-service-2", "backing off");
        up.wait("simulation-service-2", "started");
        until("its page shows the new one", || machine.service("simulation-service-2")["pid"].is_u64());
    }
    for id in &ids {
        let status = wait_for(&broker, id, |it| it.result.is_some()).await;
        assert_eq!(status.life.attempts, 0, "no job has paid for it");
    }
    machine.wait_ready();
    let restarted = machine.service("simulation-service-2");
    assert!(restarted["restarts"].as_u64().unwrap() >= 3, "{restarted}");
    assert_eq!(machine.service("simulation-service-0")["restarts"], 0);
    assert_eq!(up.stop().0, Some(0));
}

#[tokio::test]
async fn redis_is_killed_and_the_machine_looks_for_it_and_comes_back_with_every_job() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut up = machine.run();
    machine.wait_ready();
    let broker = machine.redis.broker().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(submit(&broker, 1500).await);
    }
    wait_for(&broker, &ids[0], |it| !matches!(it.life.state, broker::life::State::Waiting)).await;
    machine.redis.kill();
    up.wait("machine", "reconnecting");
    until("it says so", || {
        let (status, ready) = machine.get("/ready").unwrap();
        status == 503 && ready["blockers"].to_string().contains("redis does not answer")
    });
    // The services are not to blame, and are left alone.
    assert_eq!(machine.state("simulation-service-0"), "healthy");
    machine.redis.start();
    up.wait("machine", "healthy");
    for id in &ids {
        wait_for(&broker, id, |it| it.result.is_some()).await;
    }
    machine.wait_ready();
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_machine_whose_workers_can_never_work_fails_and_says_so() {
    let mut machine = Machine::new();
    machine.redis.start();
    // All that the services can do is to end.
    let path = machine.path(".roster/current/ecosystem.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    for app in document["apps"].as_array_mut().unwrap() {
        if app["roster"]["kind"] == "service" {
            app["args"] = json!(["simulate", "--nonsense"]);
            app["max_restarts"] = json!(2);
            app["exp_backoff_restart_delay"] = json!(1);
        }
    }
    let broken = machine.path("broken.json");
    fs::write(&broken, document.to_string().replace("/workspace", &machine.path("w").display().to_string()))
        .unwrap();
    let mut command = machine.command("run --json --ecosystem broken.json");
    command.env("MACHINE_GIVE_UP_AFTER_S", "1").env("MACHINE_WORKSPACE", machine.path("w"));
    let mut up = Fleet::spawned(command);
    up.wait("machine", "failed");
    let (exit, talk) = up.end();
    assert_eq!(exit, Some(5), "{talk}");
}

#[test]
fn a_machine_without_room_holds_its_workers_back_and_says_what_has_to_be_free() {
    let mut machine = Machine::new();
    machine.redis.start();
    // An exbibyte: nobody has that.
    let mut command = machine.command("run --json");
    command.env("MACHINE_DISK_RESERVE_MIB", (1 << 30).to_string());
    let mut up = Fleet::spawned(command);
    up.wait("machine", "resource_recovery");
    let workspace = machine.path(".roster/workspace").display().to_string();
    let mib = (1 << 30) + (1 << 28);
    let why = format!("disk space is short: {mib} MiB have to be free at `{workspace}`");
    let stopped = |it: usize| machine.state(&format!("simulation-worker-{it}")) == "stopped";
    until("the workers are stopped", || (0..4).all(stopped));
    let (out, _, exit) = machine.ask("status");
    assert_eq!(exit, Some(5), "{out}");
    assert!(out.contains(&format!("resource_recovery: {why}")), "{out}");
    assert!(out.contains(&format!("← the machine holds it back ({why})  Make room")), "{out}");
    assert!(!out.contains("somebody"), "{out}");
    let ready = machine.get("/ready").unwrap();
    assert!(ready.0 == 503 && ready.1.to_string().contains("holds it back"), "{ready:?}");
    assert_eq!(up.stop().0, Some(0));
}
