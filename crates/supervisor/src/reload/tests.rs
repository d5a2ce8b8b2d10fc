//! By table: which field restarts what. By property: nothing twice, nothing forgotten, nothing without a reason.

use std::collections::BTreeMap;

use ecosystem::{App, Dependency, GpuClaim, Probe, Probes, StopSignal, Until};
use proptest::prelude::*;
use spec::ids::EnvKey;
use spec::source::SourceText;

use super::*;

fn one() -> Ecosystem {
    Ecosystem::read(&SourceText::open("one.json", include_str!("../../tests/one.json"))).unwrap()
}

fn specs(ecosystem: &Ecosystem) -> Specs {
    Spec::all(ecosystem, &BTreeMap::<EnvKey, String>::new()).unwrap()
}

type Edit = fn(&mut App);

/// Edits that can be made under a running process.
const IN_PLACE: [(&str, Edit); 10] = [
    ("autorestart", |it| it.autorestart = false),
    ("kill_timeout", |it| it.kill_timeout += 1),
    ("min_uptime", |it| it.min_uptime += 1),
    ("max_restarts", |it| it.max_restarts += 1),
    ("exp_backoff_restart_delay", |it| it.exp_backoff_restart_delay += 1),
    ("max_memory_restart", |it| it.max_memory_restart = Some(1)),
    ("depends_on", |it| {
        let name = "other".parse().unwrap();
        it.roster.depends_on.push(Dependency { name, until: Until::Started });
    }),
    ("probes", |it| {
        let (install, ready, health) = (Probe::Process, Probe::Process, Probe::Tcp { port: 1 });
        it.roster.probes = Some(Probes { install, startup: None, ready, health, live: None });
    }),
    ("ready_within_s", |it| it.roster.ready_within_s = Some(7)),
    ("stop_signal", |it| it.roster.stop_signal = StopSignal::Quit),
];

/// Edits that a process does not know of until it is started anew.
const LAUNCH: [(&str, Edit); 9] = [
    ("script", |it| it.script = "false".into()),
    ("args", |it| it.args.push("--more".into())),
    ("cwd", |it| it.cwd = "/tmp".into()),
    ("env", |it| _ = it.env.insert("KEY".parse().unwrap(), "value".into())),
    ("out_file", |it| it.out_file = "/tmp/other.log".into()),
    ("error_file", |it| it.error_file = "/tmp/other.log".into()),
    ("ports", |it| _ = it.roster.ports.insert("http".parse().unwrap(), 1)),
    ("gpu", |it| {
        it.roster.gpu = Some(GpuClaim { label: "gpu0".into(), identity: "0".into(), vram_mib: None });
    }),
    ("secrets", |it| it.roster.secrets.push("TOKEN".parse().unwrap())),
];

#[test]
fn only_what_a_process_was_launched_with_restarts_it() {
    for (restarts, edits) in [(false, &IN_PLACE[..]), (true, &LAUNCH[..])] {
        for (field, edit) in edits {
            let (old, mut new) = (one(), one());
            edit(&mut new.apps[0]);
            let changes = diff(&specs(&old), &specs(&new));
            assert_eq!(
                (changes.changed.len(), changes.amended.len()),
                (restarts.into(), (!restarts).into()),
                "{field}"
            );
        }
    }
}

#[test]
fn a_secret_that_was_replaced_restarts_those_that_have_it_and_nobody_else() {
    let mut ecosystem = one();
    ecosystem.apps.push(App { name: "other".parse().unwrap(), ..ecosystem.apps[0].clone() });
    ecosystem.apps[0].roster.secrets.push("TOKEN".parse().unwrap());
    let with = |value: &str| {
        let source = BTreeMap::from([("TOKEN".parse().unwrap(), value.to_owned())]);
        Spec::all(&ecosystem, &source).unwrap()
    };
    let changes = diff(&with("old"), &with("new"));
    assert_eq!((changes.changed.len(), changes.unchanged.len()), (1, 1));
    assert!(changes.changed.contains(&ecosystem.apps[0].name));
}

#[test]
fn what_ran_once_and_now_runs_on_is_started_anew() {
    let (old, mut new) = (one(), one());
    new.setup = std::mem::take(&mut new.apps);
    assert_eq!(diff(&specs(&old), &specs(&new)).changed.len(), 1);
}

/// A document of some of eight processes, each with some of the edits.
fn documents() -> impl Strategy<Value = BTreeMap<usize, BTreeSet<usize>>> {
    let edits = prop::collection::btree_set(0..IN_PLACE.len() + LAUNCH.len(), 0..3);
    prop::collection::btree_map(0_usize..8, edits, 0..8)
}

fn document(of: &BTreeMap<usize, BTreeSet<usize>>) -> Specs {
    let mut ecosystem = one();
    let model = ecosystem.apps.remove(0);
    for (number, edits) in of {
        let mut app = App { name: format!("p{number}").parse().unwrap(), ..model.clone() };
        for (_, edit) in edits.iter().map(|it| IN_PLACE.iter().chain(&LAUNCH).nth(*it).unwrap()) {
            edit(&mut app);
        }
        ecosystem.apps.push(app);
    }
    specs(&ecosystem)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_process_has_one_fate_and_a_reason_for_it(old in documents(), new in documents()) {
        let changes = diff(&document(&old), &document(&new));
        let launch = |edits: &BTreeSet<usize>| edits.iter().copied().filter(|it| *it >= IN_PLACE.len()).collect::<Vec<_>>();
        for number in 0..8 {
            let name: ProcessName = format!("p{number}").parse().unwrap();
            let fates = [&changes.added, &changes.removed, &changes.changed, &changes.amended, &changes.unchanged];
            let fate: Vec<_> = fates.iter().map(|it| it.contains(&name)).collect();
            let expected = match (old.get(&number), new.get(&number)) {
                (None, None) => [false; 5],
                (None, Some(_)) => [true, false, false, false, false],
                (Some(_), None) => [false, true, false, false, false],
                (Some(a), Some(b)) if launch(a) != launch(b) => [false, false, true, false, false],
                (Some(a), Some(b)) if a != b => [false, false, false, true, false],
                (Some(_), Some(_)) => [false, false, false, false, true],
            };
            prop_assert_eq!(fate, expected);
        }
        // The second time there is nothing to do.
        let again = diff(&document(&new), &document(&new));
        prop_assert_eq!(again.unchanged.len(), new.len());
        prop_assert_eq!(again, Changes { unchanged: changes.added.union(&changes.changed).chain(&changes.amended).chain(&changes.unchanged).cloned().collect(), ..Changes::default() });
    }
}
