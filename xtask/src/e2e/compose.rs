//! The generated file, under the real Docker Compose: images built, machine up and healthy, jobs worked, `docker stop`
//! under load, and nothing left.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    models::ContainerInspectResponse,
    query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder},
};
use broker::life::State;
use serde_json::json;

use super::{
    Seen,
    project::Project,
    queue::Queue,
    redis::free_port,
    world::{World, until},
};
use crate::{image, workspace::tools};

/// What it is called, and so its containers, volumes and networks.
const NAME: &str = "roster-e2e";
/// What ends it, and leaves nothing of it.
const DOWN: &str = "down --volumes --timeout 60";
/// The token of the health server, which listens beyond the loopback here.
const TOKEN: &str = "a-token-of-the-end-to-end-test-and-of-nothing-else";

/// The scenario.
pub(super) async fn compose(world: Arc<World>) -> Seen {
    let docker = image::engine().await?;
    let base = world.base_image.as_deref();
    for (target, service) in [("base", "machine"), ("redis", "redis")] {
        image::built(target, Some(format!("{NAME}-{service}:latest")), base, &world.roster).await?;
    }
    let mut project = world.bare_project("compose")?;
    project.set("MACHINE_HEALTH_TOKEN", TOKEN);
    let mut stack = Stack { project, docker, down: false };
    let seen = stack.seen().await;
    let down = stack.compose(DOWN).map(drop);
    stack.down = true;
    let clean = stack.nothing_left().await;
    let seen = seen?;
    down.and(clean)?;
    Ok(seen)
}

/// The containers of a project. Dropped while they are there, by Ctrl-C for one, it ends them.
struct Stack {
    project: Project,
    docker: Docker,
    down: bool,
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !self.down {
            let _ = self.compose(DOWN);
        }
    }
}

impl Stack {
    async fn seen(&self) -> Seen {
        let (redis, health) = (free_port()?, self.project.health_port);
        self.project.edit("config/environments/profiles/simulation.json", |it| {
            it["docker"] = json!({ "publish": true });
        })?;
        self.project.type_in("env-build simulation")?;
        // What an operator adds who wants to reach Redis from the host.
        let mine = json!({ "services": {
            "redis": { "networks": ["egress", "internal"], "ports": [format!("127.0.0.1:{redis}:6379")] },
        }});
        self.project.write("docker-compose.override.yaml", &mine.to_string())?;
        let http = worker::client(Duration::from_secs(10));
        let began = Instant::now();
        self.compose("up --detach --no-build")?;
        until("/ready says 200", Duration::from_mins(2), async || {
            let ready = http.get(format!("http://127.0.0.1:{health}/ready")).bearer_auth(TOKEN).send().await;
            Ok(ready.ok().filter(|it| it.status().is_success()).map(drop))
        })
        .await?;
        let ready = began.elapsed();
        // Compose asks the health checks, which the engine asks every fifteen seconds.
        self.compose("up --detach --wait --no-build")?;
        for (path, wanted) in [("/ready", "\"ready\""), ("/metrics", "# TYPE roster_")] {
            let address = format!("http://127.0.0.1:{health}{path}");
            let answer =
                http.get(address).bearer_auth(TOKEN).send().await.map_err(|error| error.to_string())?;
            let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
            if !status.is_success() || !text.contains(wanted) {
                return Err(format!("{path} says {status}: {text}"));
            }
        }
        self.hardened().await?;

        let queue = Queue::fresh(&format!("redis://127.0.0.1:{redis}/0")).await?;
        let job = |ms: u64| Queue::job("simulation", json!({ "duration_ms": ms }));
        let first = queue.submit((0..8).map(|_| job(100)).collect::<Result<_, _>>()?).await?;
        queue.over(&first).await?;

        // Work for longer than the machine will live.
        let ids = queue.submit((0..40).map(|_| job(1000)).collect::<Result<_, _>>()?).await?;
        queue.running(&ids[0]).await?;
        let began = Instant::now();
        self.compose("stop machine")?;
        let stop = began.elapsed();
        let state = self.container("machine").await?.state.unwrap_or_default();
        if state.exit_code != Some(0) || state.oom_killed == Some(true) {
            return Err(format!("the machine ended with {:?}: {:?}", state.exit_code, state.error));
        }
        for id in &ids {
            let life = queue.status(id).await?.life;
            let kept = matches!(life.state, State::Succeeded | State::Waiting);
            if !kept || life.attempts > 0 || life.crashes > 0 {
                return Err(format!("{id} after docker stop: {life:?}"));
            }
        }
        self.compose("up --detach --wait --no-build")?;
        let done = queue.over(&ids).await?.iter().filter(|it| it.result.is_some()).count();
        if done != ids.len() {
            return Err(format!("{done} of {} jobs are done", ids.len()));
        }
        queue.audited().await?;
        Ok(format!(
            "ready {:.1} s after up, stopped under load in {:.1} s, 48 of 48 jobs",
            ready.as_secs_f64(),
            stop.as_secs_f64()
        ))
    }

    /// Not root, nothing to write to, no capability.
    async fn hardened(&self) -> Result<(), String> {
        let machine = self.container("machine").await?;
        let (config, host) = (machine.config.unwrap_or_default(), machine.host_config.unwrap_or_default());
        let inside = self.compose("exec -T machine cat /proc/1/status")?;
        let value = |key: &str| {
            let line = inside.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().next().unwrap_or_default().to_owned()
        };
        let refused = self.compose("exec -T machine touch /usr/local/bin/x").is_err();
        let seen = [
            ("user 10001", config.user.as_deref() == Some("10001:10001") && value("Uid:") == "10001"),
            ("a root file system that is read-only", host.readonly_rootfs == Some(true) && refused),
            (
                "no capability",
                ["CapEff:", "CapPrm:", "CapBnd:"].iter().all(|it| value(it) == "0000000000000000"),
            ),
            ("no new privileges", value("NoNewPrivs:") == "1"),
        ];
        match seen.iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err(format!("the machine's container has not: {what}\n{inside}")),
            None => Ok(()),
        }
    }

    async fn container(&self, service: &str) -> Result<ContainerInspectResponse, String> {
        let name = format!("{NAME}-{service}-1");
        self.docker.inspect_container(&name, None).await.map_err(|error| format!("{name}: {error}"))
    }

    /// Waits until no container, volume or network of ours is there.
    async fn nothing_left(&self) -> Result<(), String> {
        let label = format!("com.docker.compose.project={NAME}");
        let filters = HashMap::from([("label", vec![label.as_str()])]);
        until("nothing of the project is left", Duration::from_secs(30), async || {
            let containers = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
            let containers = self.docker.list_containers(Some(containers)).await;
            let volumes = ListVolumesOptionsBuilder::default().filters(&filters).build();
            let volumes = self.docker.list_volumes(Some(volumes)).await;
            let networks = ListNetworksOptionsBuilder::default().filters(&filters).build();
            let networks = self.docker.list_networks(Some(networks)).await;
            let left = containers.map_err(|error| error.to_string())?.len()
                + volumes.map_err(|error| error.to_string())?.volumes.unwrap_or_default().len()
                + networks.map_err(|error| error.to_string())?.len();
            Ok((left == 0).then_some(()))
        })
        .await
    }

    fn compose(&self, words: &str) -> Result<String, String> {
        let mut command = Command::new(tools().join("venv/bin/docker-compose"));
        command.args(["--project-name", NAME]).args(words.split_whitespace());
        command.current_dir(self.project.path("")).stdin(Stdio::null());
        crate::workspace::output(&mut command)
    }
}
