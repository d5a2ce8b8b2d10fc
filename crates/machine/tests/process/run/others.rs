//! What others do with a machine that runs: they give it a new plan, and look at it from elsewhere.

use super::*;

/// A generation of a simulation and a worker of OpenAI that has this key.
fn build_with_key(machine: &Machine, key: &str) {
    let mut command = machine.command("env-build --spec simulation:1,openai:1");
    let (_, talk, exit) = told(&command.env("OPENAI_API_KEY", key).output().unwrap());
    assert_eq!(exit, Some(0), "{talk}");
}

#[test]
fn a_reload_gives_a_new_secret_to_those_who_have_it_and_leaves_the_others_alone() {
    let mut machine = Machine::new();
    machine.redis.start();
    let built = |key: &str| build_with_key(&machine, key);
    built("sk-the-first");
    let mut up = machine.run();
    let pid = |name: &str| machine.service(name)["pid"].as_u64();
    let has = |key: &str| {
        let environment = pid("openai-worker-0").map(|it| fs::read(format!("/proc/{it}/environ")));
        environment.is_some_and(|it| it.is_ok_and(|it| String::from_utf8_lossy(&it).contains(key)))
    };
    until("its worker has the key", || has("sk-the-first"));
    until("the other one is there", || pid("simulation-worker-0").is_some());
    let other = pid("simulation-worker-0");
    built("sk-the-second");
    let (out, talk, exit) = machine.ask("reload");
    assert_eq!(exit, Some(0), "{out}{talk}");
    until("its worker has the new key", || has("sk-the-second"));
    assert_eq!(pid("simulation-worker-0"), other);
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_service_elsewhere_that_a_reload_brings_is_looked_at_and_one_that_it_takes_away_is_not() {
    let mut machine = Machine::new();
    machine.redis.start();
    // Any server does: this one answers 404, and so it is there.
    let url = format!("http://127.0.0.1:{}/live", machine.port);
    let built = |roster: &str| {
        let mut command = machine.command(&format!("env-build --spec {roster}"));
        command.env("OPENAI_API_KEY", "sk-of-nobody").env("OPENAI_BASE_URL", &url);
        let (_, talk, exit) = told(&command.output().unwrap());
        assert_eq!(exit, Some(0), "{talk}");
    };
    built("simulation:1");
    let mut up = machine.run();
    machine.wait_ready();
    assert_eq!(machine.state("openai"), "not_configured");
    built("simulation:1,openai:1");
    assert_eq!(machine.ask("reload").2, Some(0));
    until("it is looked at", || machine.state("openai") == "healthy");
    machine.wait_ready();
    built("simulation:1");
    assert_eq!(machine.ask("reload").2, Some(0));
    until("nobody wants it any more", || machine.state("openai") == "not_configured");
    machine.wait_ready();
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_secret_that_comes_with_a_reload_is_in_no_line_that_the_machine_shows() {
    let mut machine = Machine::new();
    machine.redis.start();
    let built = |key: &str| build_with_key(&machine, key);
    built("sk-the-first");
    let mut up = machine.run();
    until("the service runs", || machine.service("simulation-service-0")["pid"].is_u64());
    let log = machine.path(".roster/workspace/logs/simulation-service-0.log");
    let shown = |key: &str| {
        // It has no such secret, so what it writes passes the filter of its own.
        let mut file = fs::File::options().append(true).open(&log).unwrap();
        writeln!(file, "canary: {key}").unwrap();
        let (_, lines) = text(machine.port, "/services/simulation-service-0/logs?lines=9").unwrap();
        lines.lines().rfind(|it| it.starts_with("canary: ")).unwrap_or_default().to_owned()
    };
    assert_eq!(shown("sk-the-first"), "canary: [redacted]");
    assert_eq!(shown("sk-the-second"), "canary: sk-the-second");
    built("sk-the-second");
    assert_eq!(machine.ask("reload").2, Some(0));
    assert_eq!(shown("sk-the-second"), "canary: [redacted]");
    // Lines from before are still there.
    assert_eq!(shown("sk-the-first"), "canary: [redacted]");
    assert_eq!(up.stop().0, Some(0));
}

#[test]
fn a_monitor_shows_every_machine_of_its_queue_and_that_one_has_fallen_silent() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut up = machine.run();
    machine.wait_ready();
    let (_, port) = ports();
    let mut monitor = Fleet::spawned(machine.command(&format!("monitor --listen 127.0.0.1:{port}")));
    let members = || {
        let fleet = get(port, "/fleet").map(|it| it.1).unwrap_or_default();
        fleet["machines"].as_array().cloned().unwrap_or_default()
    };
    let state = |it: &Value| (it["id"].clone(), it["status"]["machine"]["stage"].clone());
    until("it shows the machine", || {
        members().iter().map(state).eq([(json!("simulation"), json!("running"))])
    });
    assert_eq!(get(port, "/").unwrap().0, 200);
    up.process.kill().unwrap();
    up.process.wait().unwrap();
    // What it had kept of itself ends with its lease; that is not waited for.
    machine.redis.cli(&["DEL", "{jobs}:machine:simulation"]);
    until("it is silent", || members().first().is_some_and(|it| it["silent"] == true));
    assert_eq!(monitor.stop().0, Some(0));
}

#[tokio::test]
async fn a_machine_needs_no_more_of_redis_than_the_two_pages_say() {
    let mut machine = Machine::new();
    machine.redis.start();
    let (broker, health) =
        (include_str!("../../../../../docs/broker.md"), include_str!("../../../../../docs/health.md"));
    let worker = broker.lines().find_map(|it| it.strip_prefix("ACL SETUSER worker on >PASSWORD ")).unwrap();
    let machines = health.split('`').find(|it| it.starts_with("&machine:status:*")).unwrap();
    let mut rules = vec!["ACL", "SETUSER", "machine", "on", ">opensesame"];
    rules.extend(worker.split(' ').chain(machines.split(' ')));
    assert_eq!(machine.redis.cli(&rules).trim(), "OK");
    let url = machine.redis.url().replace("//", "//machine:opensesame@");
    let mut command = machine.command("run --json");
    command.env("REDIS_URL", url).env("MACHINE_STATUS_INTERVAL_S", "1");
    let mut up = Fleet::spawned(command);
    machine.wait_ready();
    let broker = machine.redis.broker().await;
    let id = submit(&broker, 20).await;
    wait_for(&broker, &id, |it| it.result.is_some()).await;
    assert_eq!(up.stop().0, Some(0));
    assert_eq!(machine.redis.cli(&["ACL", "LOG"]).trim(), "");
    assert_eq!(machine.redis.cli(&["EXISTS", "{jobs}:machine:simulation"]).trim(), "0", "it said farewell");
}

#[test]
fn what_somebody_stopped_is_no_trouble_until_no_worker_is_left() {
    let mut machine = Machine::new();
    machine.redis.start();
    let mut up = machine.run();
    machine.wait_ready();
    let done = |line: &str| {
        let (out, talk, exit) = machine.ask(line);
        assert_eq!(exit, Some(0), "{line}: {out}{talk}");
    };
    done("scale simulation-worker 2");
    done("stop simulation-service-2");
    until("they are stopped", || {
        ["simulation-worker-3", "simulation-service-2"].iter().all(|it| machine.state(it) == "stopped")
    });
    let codes = || ["/ready", "/health"].map(|it| machine.get(it).unwrap().0);
    assert_eq!(codes(), [200, 200]);
    done("status --quiet");
    done("scale simulation-worker 0");
    until("no worker is left", || machine.state("simulation-worker-0") == "stopped");
    assert_eq!((codes(), machine.ask("status --quiet").2), ([503, 503], Some(5)));
    done("scale simulation-worker 4");
    machine.wait_ready();
    assert_eq!(up.stop().0, Some(0));
}
