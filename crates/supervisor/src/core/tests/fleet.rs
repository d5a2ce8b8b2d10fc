//! Waves up, waves down, and who waits in vain.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use ecosystem::{App, Dependency, Ecosystem, Until};
use insta::assert_snapshot;
use proptest::prelude::*;
use spec::ids::ProcessName;
use spec::source::SourceText;

use crate::{End, Exit, Fleet, Gate, Level, Order, Pid, ProcessState, Run, Trouble};

fn name(text: &str) -> ProcessName {
    text.parse().unwrap()
}

/// A document of `name ← dependency:until …` lines.
fn ecosystem(lines: &[(&str, &[(&str, Until)])]) -> Ecosystem {
    let source = SourceText::open("one.json", include_str!("../../../tests/one.json"));
    let mut ecosystem = Ecosystem::read(&source).unwrap();
    let model = ecosystem.apps.remove(0);
    for (app, needs) in lines {
        let mut app = App { name: name(app), ..model.clone() };
        app.roster.depends_on =
            needs.iter().map(|(on, until)| Dependency { name: name(on), until: *until }).collect();
        ecosystem.apps.push(app);
    }
    ecosystem
}

fn comfy() -> Ecosystem {
    ecosystem(&[
        ("worker-0", &[("gpu0", Until::Healthy)]),
        ("worker-1", &[("gpu1", Until::Healthy)]),
        ("gpu0", &[("install", Until::Completed)]),
        ("gpu1", &[("install", Until::Completed)]),
        ("install", &[]),
        ("openai-worker-0", &[]),
    ])
}

fn healthy() -> ProcessState {
    let run = Run { pid: Pid(1.try_into().unwrap()), since: Duration::ZERO };
    ProcessState::Running { run, level: Level::Healthy { since: Duration::ZERO } }
}

type States = BTreeMap<ProcessName, ProcessState>;

fn all(fleet: &Fleet, state: &ProcessState) -> States {
    fleet.names().map(|it| (it.clone(), state.clone())).collect()
}

fn names(orders: &[Order]) -> String {
    let names = orders.iter().map(|it| match it {
        Order::Start(name) | Order::Stop(name) => name.as_str(),
    });
    names.collect::<Vec<_>>().join(" ")
}

#[test]
fn waves_rise_by_dependency_and_fall_the_other_way_round() {
    let fleet = Fleet::new(&comfy());
    let (mut states, mut text) = (all(&fleet, &ProcessState::Waiting), String::new());
    loop {
        let wave = fleet.starts(&states);
        if wave.is_empty() {
            break;
        }
        writeln!(text, "start {}", names(&wave)).unwrap();
        for it in wave {
            let Order::Start(name) = it else { panic!("{it:?}") };
            let one_shot = name.as_str() == "install";
            let done = if one_shot { ProcessState::Exited { end: End::Completed } } else { healthy() };
            states.insert(name, done);
        }
    }
    loop {
        let wave = fleet.stops(&states);
        if wave.is_empty() {
            break;
        }
        writeln!(text, "stop {}", names(&wave)).unwrap();
        for it in wave {
            let Order::Stop(name) = it else { panic!("{it:?}") };
            states.insert(name, ProcessState::Exited { end: End::Stopped });
        }
    }
    assert!(states.values().all(ProcessState::has_exited));
    assert_snapshot!(text, @r"
    start install openai-worker-0
    start gpu0 gpu1
    start worker-0 worker-1
    stop openai-worker-0 worker-0 worker-1
    stop gpu0 gpu1
    ");
}

#[test]
fn who_waits_for_what_failed_knows_at_once_and_why() {
    let fleet = Fleet::new(&comfy());
    let mut states = all(&fleet, &ProcessState::Waiting);
    let trouble = Trouble::Ended(Exit::Code(1));
    states.insert(name("install"), ProcessState::Failed { trouble, retry_at: Duration::ZERO });
    let Gate::Blocked(chain) = fleet.gate(&name("worker-0"), &states) else { panic!("not blocked") };
    let chain: Vec<_> = chain.iter().map(|it| format!("{} is {}", it.process, it.state)).collect();
    assert_snapshot!(chain.join(", for "), @r"
    gpu0 is waiting, for install is failed: ended with 1
    ");
    // And it is no longer blocked when the slow retry has succeeded.
    states.insert(name("install"), ProcessState::Exited { end: End::Completed });
    assert_eq!(fleet.gate(&name("worker-0"), &states), Gate::Closed);
    assert_eq!(names(&fleet.starts(&states)), "gpu0 gpu1 openai-worker-0");
}

#[test]
fn each_condition_has_its_states() {
    let run = Run { pid: Pid(1.try_into().unwrap()), since: Duration::ZERO };
    let running = |level| ProcessState::Running { run, level };
    let trouble = Trouble::Ended(Exit::Code(1));
    let mut text = String::new();
    for state in [
        ProcessState::Waiting,
        running(Level::Started { deadline: None }),
        running(Level::Ready { deadline: None }),
        running(Level::Healthy { since: Duration::ZERO }),
        running(Level::Unhealthy { failures: 1, well: Duration::ZERO }),
        ProcessState::BackingOff { until: Duration::ZERO, trouble: trouble.clone() },
        ProcessState::Failed { trouble: trouble.clone(), retry_at: Duration::ZERO },
        ProcessState::Exited { end: End::Completed },
        ProcessState::Exited { end: End::Stopped },
    ] {
        let met = [Until::Started, Until::Ready, Until::Healthy, Until::Completed].map(|it| state.met(it));
        writeln!(text, "{met:?} {state}").unwrap();
    }
    assert_snapshot!(text, @r"
    [NotYet, NotYet, NotYet, NotYet] waiting
    [Yes, NotYet, NotYet, NotYet] started
    [Yes, Yes, NotYet, NotYet] ready
    [Yes, Yes, Yes, NotYet] healthy
    [Yes, Yes, NotYet, NotYet] unhealthy
    [NotYet, NotYet, NotYet, NotYet] backing off: ended with 1
    [Never, Never, Never, Never] failed: ended with 1
    [Never, Never, Never, Yes] completed
    [Never, Never, Never, Never] stopped
    ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the order of events, everything comes up after what it needs and goes down before it.
    #[test]
    fn no_process_runs_without_what_it_needs(edges in prop::collection::vec((0_usize..8, 0_usize..8), 0..20), picks in prop::collection::vec(any::<prop::sample::Index>(), 16)) {
        let names: Vec<String> = (0..8).map(|it| format!("p{it}")).collect();
        // An edge leads from the higher to the lower number: no cycles.
        let needs: Vec<Vec<(&str, Until)>> = (0..8)
            .map(|me| edges.iter().filter(|(a, b)| *a.max(b) == me && a != b).map(|(a, b)| (names[*a.min(b)].as_str(), Until::Healthy)).collect())
            .collect();
        let lines: Vec<(&str, &[(&str, Until)])> = names.iter().zip(&needs).map(|(n, d)| (n.as_str(), &d[..])).collect();
        let fleet = Fleet::new(&ecosystem(&lines));
        let mut states = all(&fleet, &ProcessState::Waiting);
        let up = |states: &States, it: &str| states[&name(it)] == healthy();
        for (round, pick) in picks.iter().enumerate() {
            let orders = if round < 8 { fleet.starts(&states) } else { fleet.stops(&states) };
            prop_assert!(!orders.is_empty(), "stuck in round {round}");
            match pick.get(&orders).clone() {
                Order::Start(it) => { states.insert(it, healthy()); }
                Order::Stop(it) => { states.insert(it, ProcessState::Exited { end: End::Stopped }); }
            }
            for (me, needs) in &lines {
                prop_assert!(!up(&states, me) || needs.iter().all(|(on, _)| up(&states, on)));
            }
        }
        prop_assert!(states.values().all(ProcessState::has_exited));
    }
}
