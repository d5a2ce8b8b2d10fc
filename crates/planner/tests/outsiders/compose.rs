//! Every shipped profile on every inventory, and 1,000 rosters by chance: judged, expanded, compared with the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::Instant;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::meant::{Built, compare};
use crate::project::{Project, fields, items};
use crate::rosters::{Fate, Wish, inventories, wish};
use crate::say;

#[path = "../../../compose-gen/tests/judges/mod.rs"]
#[allow(dead_code, reason = "compose-gen needs more of it")]
mod judges;

use judges::Judges;

#[test]
fn outsiders_accept_every_profile_on_every_inventory() {
    let Some(judges) = Judges::find() else { return };
    let (started, project) = (Instant::now(), Project::shipped());
    let mapping = project.mapping();
    let mut built: Vec<(String, PathBuf)> = Vec::new();
    let (mut texts, mut refused) = (BTreeSet::new(), 0);
    for profile in project.profiles() {
        for (machine, inventory) in inventories() {
            let case = format!("{profile} on {machine}");
            project.write("inventory.json", &inventory.to_string());
            let out = project.root().join(&case);
            let answer = project.run(&[
                "env-build",
                &profile,
                "--inventory",
                "inventory.json",
                "--out",
                out.to_str().unwrap(),
            ]);
            let plan = project.run(&["plan", &profile, "--gpus", "1x24GiB", "--json"]);
            let plan: Value = serde_json::from_str(&plan.out).unwrap();
            let needs_gpu = items(&plan["result"]["services"])
                .any(|it| mapping["services"][it["service"].as_str().unwrap()]["binding"] == "gpu");
            let fits = !needs_gpu || inventory["gpus"].is_array();
            assert_eq!(answer.exit.code(), if fits { 0 } else { 3 }, "{case}: {}", answer.talk);
            if !fits {
                refused += 1;
                assert!(answer.talk.contains("needs a GPU; the machine has none"), "{case}: {}", answer.talk);
                assert!(!out.exists(), "{case}: something was written");
                continue;
            }
            let read = |name| fs::read_to_string(out.join(name)).unwrap();
            if texts.insert((read("docker-compose.yaml"), read(".env"))) {
                built.push((case, out));
            }
        }
    }
    let cases = project.profiles().len() * inventories().len();
    let expanded = judges.judge_folders(&built).unwrap_or_else(|them| panic!("{}", them.join("\n")));
    for ((case, out), expanded) in built.iter().zip(&expanded) {
        compare(case, &Built { root: project.root(), out }, expanded);
    }
    say(&format!(
        "compose: {cases} profiles × inventories: {refused} without the GPU that they need, {} different texts judged in {:.1?}",
        built.len(),
        started.elapsed(),
    ));
}

/// Named machines of a project, beside its default one.
const NAMED: usize = 39;
const PROJECTS: usize = 25;

#[test]
fn outsiders_accept_a_thousand_rosters() {
    let Some(judges) = Judges::find() else { return };
    let (started, mut runner) = (Instant::now(), TestRunner::deterministic());
    let shipped = Project::shipped();
    shipped.add_profiles_for_all();
    let mapping = shipped.mapping();
    let wishes = wish(&mapping);
    let (mut seen, mut refused): (BTreeSet<String>, BTreeMap<&str, usize>) = Default::default();
    let mut planned: Vec<Wish> = Vec::new();
    while planned.len() < PROJECTS * (NAMED + 1) {
        let wish = wishes.new_tree(&mut runner).unwrap().current();
        if !seen.insert(format!("{wish:?}")) {
            continue;
        }
        let (code, exit) = match wish.fate(&mapping) {
            Fate::Planned => {
                planned.push(wish);
                continue;
            }
            Fate::Incompatible => ("MAP104", 1),
            Fate::NoGpu => ("ALLOC001", 3),
            Fate::TooSmall => ("ALLOC002", 3),
        };
        *refused.entry(code).or_default() += 1;
        shipped.write("inventory.json", &wish.inventory.to_string());
        let answer =
            shipped.run(&["plan", "closed-local", "--spec", &wish.roster, "--inventory", "inventory.json"]);
        assert_eq!(answer.exit.code(), exit, "{wish:?}: {}", answer.talk);
        assert!(answer.talk.contains(code), "{wish:?}: {}", answer.talk);
    }
    let projects: Vec<Project> =
        planned.chunks(NAMED + 1).enumerate().map(|(number, them)| build(number, them)).collect();
    let built = started.elapsed();
    let folders: Vec<(String, PathBuf)> = projects
        .iter()
        .enumerate()
        .map(|(number, it)| (format!("project {number}"), it.root().to_owned()))
        .collect();
    let expanded = judges.judge_folders(&folders).unwrap_or_else(|them| panic!("{}", them.join("\n")));
    let mut machines = 0;
    for ((name, root), expanded) in folders.iter().zip(&expanded) {
        machines += compare(name, &Built { root, out: root }, expanded);
    }
    assert_eq!(machines, PROJECTS * (NAMED + 1));
    let workers: BTreeSet<&String> = planned.iter().flat_map(|it| &it.workers).collect();
    assert_eq!(workers.len(), fields(&mapping["workers"]).count(), "every worker is in some roster");
    assert!(
        refused.len() == 3 && refused.values().all(|it| *it >= 20),
        "every refusal is tried: {refused:?}"
    );
    say(&format!(
        "compose: {machines} rosters in {} texts judged; refused as they had to be: {refused:?}; built in {built:.1?}, all in {:.1?}",
        folders.len(),
        started.elapsed(),
    ));
}

/// A project of a default machine with published ports and 39 named ones without. Redis is beside some of them.
fn build(number: usize, wishes: &[Wish]) -> Project {
    let project = Project::shipped();
    project.add_profiles_for_all();
    let (default, named) = wishes.split_first().unwrap();
    let redis = |it: usize| if (number + it).is_multiple_of(3) { "local" } else { "remote" };
    let machines = named.iter().enumerate().map(|(at, it)| {
        let request = json!({
            "profile": format!("closed-{}", if number == 0 { "remote" } else { redis(at) }),
            "workers": it.roster,
            "hardware": { "declared": it.inventory },
        });
        (format!("m{at:02}"), request)
    });
    let machines: BTreeMap<String, Value> = machines.collect();
    project.write("config/compose-profiles.json", &json!({ "machines": machines }).to_string());
    project.write("inventory.json", &default.inventory.to_string());
    let profile = format!("open-{}", if number == 0 { "remote" } else { redis(1) });
    let answer =
        project.run(&["env-build", &profile, "--spec", &default.roster, "--inventory", "inventory.json"]);
    assert_eq!(answer.exit.code(), 0, "project {number}: {}", answer.talk);
    for (name, wish) in machines.keys().zip(named) {
        let plan = project.json(&format!(".roster/current/machines/{name}/plan.json"));
        assert_eq!(plan["roster"], wish.roster, "project {number}: {name}");
    }
    project
}

#[test]
fn the_comparison_has_teeth() {
    let Some(judges) = Judges::find() else { return };
    let project = Project::shipped();
    let answer = project.run(&["env-build", "dev-full"]);
    assert_eq!(answer.exit.code(), 0, "{}", answer.talk);
    let built = Built { root: project.root(), out: project.root() };
    let expanded = judges.judge_folders(&[("dev-full".to_owned(), project.root().to_owned())]).unwrap();
    assert_eq!(compare("dev-full", &built, &expanded[0]), 1);
    for (place, lie) in [
        ("services/machine/build/target", json!("base")),
        ("services/machine/deploy/resources/reservations", json!({})),
        ("services/machine/deploy/resources/limits/cpus", json!(1)),
        ("services/machine/deploy/resources/limits/memory", json!("1")),
        ("services/machine/deploy/resources/limits/pids", json!(1)),
        ("services/machine/secrets", json!([])),
        ("services/machine/ports", json!([])),
        ("services/machine/environment/LOG_LEVEL", json!("other")),
        ("services/machine/environment/OTHER", json!("")),
        ("services/machine/volumes", json!([])),
        ("services/machine/networks/other", json!(null)),
        ("services/machine/depends_on/redis/condition", json!("service_started")),
        ("services/machine/profiles", json!(["other"])),
        ("services/machine/hostname", json!("other")),
        ("services/machine/stop_grace_period", json!("1m1s")),
        ("services/machine/healthcheck/start_period", json!("1m1s")),
        ("services/machine/cap_drop", json!([])),
        ("services/machine/privileged", json!(true)),
        ("services/redis/profiles", json!(["other"])),
        ("services/redis/networks/egress", json!(null)),
        ("services/other", json!({})),
        ("secrets/other", json!({})),
        ("networks/internal/internal", json!(false)),
    ] {
        let mut spoilt = expanded[0].clone();
        *place.split('/').fold(&mut spoilt, |it, field| &mut it[field]) = lie;
        let bites = catch_unwind(|| compare("spoilt", &built, &spoilt)).is_err();
        assert!(bites, "{place} is not looked at");
    }
}
