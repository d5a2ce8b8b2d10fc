//! What Prometheus would say to `/metrics`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use health::{Ended, Outcome, Phase};

use crate::support::{Place, killed, machine, process, service, worker};

#[test]
fn prometheus_own_checker_has_nothing_to_say() {
    let mut facts = machine();
    killed(&mut facts, 0);
    facts.disks[0].path = "/odd \"name\" \\ \n".into();
    let place = Place::new(facts);
    let ended = |connector, gpu, outcome, ran| Ended {
        connector,
        gpu,
        outcome,
        waited: Some(Duration::from_millis(30)),
        ran: Duration::from_secs(ran),
    };
    place.board.meters.job(ended("comfyui", Some(0), Outcome::Succeeded, 12));
    place.board.meters.job(ended("comfyui", Some(0), Outcome::Failed, 4000));
    place.board.meters.job(ended("openai", None, Outcome::Succeeded, 1));
    place.board.meters.redis(Duration::from_micros(300));
    let answer = place.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));

    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return missing("promtool") };
    promtool.stdin.take().unwrap().write_all(answer.body.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert_eq!(said, "", "{}", answer.body);
}

#[test]
fn a_service_that_somebody_stopped_raises_no_alarm() {
    let mut facts = machine();
    facts.services[0].process = Some(process(Phase::Stopped));
    killed(&mut facts, 1);
    let text = Place::new(facts).get("/metrics").body;
    let lines: Vec<_> = text.lines().filter(|it| it.starts_with("roster_service_healthy{")).collect();
    let line = |name: &str| lines.iter().find(|it| it.contains(&format!("service=\"{name}\"")));
    assert_eq!(line("comfyui-gpu0"), None, "{lines:?}");
    assert!(line("comfyui-gpu1").is_some_and(|it| it.ends_with(" 0")), "{lines:?}");
}

#[test]
fn prometheus_own_checker_takes_the_alert_rules() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring");
    let run = |arguments: &[&str]| Command::new("promtool").args(arguments).current_dir(&rules).output();
    let Ok(checked) = run(&["check", "rules", "alerts.yaml"]) else { return missing("promtool") };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let tested = run(&["test", "rules", "alerts.test.yaml"]).unwrap();
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
}

fn missing(what: &str) {
    let ci = std::env::var("CI").is_ok_and(|it| it == "true");
    assert!(!ci, "{what} is needed in CI: type `cargo xtask setup`");
    println!("not run: {what} is missing; `cargo xtask setup` installs it");
}

/// The names in a text of Prometheus' query language that are ours.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_').filter(|it| it.starts_with("roster_"))
}

#[test]
fn the_rules_and_the_dashboard_ask_for_metrics_that_there_are() {
    let place = Place::new(machine());
    let metrics = place.get("/metrics").body;
    let known: Vec<_> =
        metrics.lines().filter_map(|it| it.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/monitoring");
    let mut seen = 0;
    for file in ["alerts.yaml", "grafana.json"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        for name in named(&text) {
            let base =
                ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it)).unwrap_or(name);
            let is = known.iter().any(|(it, kind)| *it == name || (*it == base && *kind == "histogram"));
            assert!(is, "{file} asks for `{name}`, which there is not");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} questions");
}

#[test]
fn the_number_of_series_is_bounded_whatever_the_machine_has() {
    let series = |services: usize, workers: usize| {
        let mut facts = machine();
        facts.services = (0..services).map(|it| service(&format!("s{it}"), "s")).collect();
        facts.workers = (0..workers).map(|it| worker(&format!("w{it}"), "s0")).collect();
        facts.workers.iter_mut().for_each(|it| it.process = process(health::Phase::Healthy));
        let place = Place::new(facts);
        for it in 0..1000 {
            let connector = format!("c{it}");
            let ran = Duration::from_secs(1);
            let ended =
                Ended { connector: &connector, gpu: Some(it), outcome: Outcome::Lost, waited: None, ran };
            place.board.meters.job(ended);
        }
        let body = place.get("/metrics").body;
        body.lines().filter(|it| !it.starts_with('#')).count()
    };
    let (many, more) = (series(2000, 2000), series(4000, 4000));
    assert_eq!(many, more);
    assert!(many < 7500, "{many}");
}
