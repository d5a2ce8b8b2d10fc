//! Waves up, waves down, and who waits in vain.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use ecosystem::{App, Dependency, Ecosystem, Until};
use insta::assert_snapshot;
use proptest::prelude::*;
use spec::ids::ProcessName;
use spec::source::SourceText;

use crate::{Asked, End, Exit, Fleet, Gate, Level, Order, Pid, ProcessState, Purpose, Run, States, Trouble};

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

fn all(fleet: &Fleet, state: &ProcessState) -> States {
    fleet.names().map(|it| (it.clone(), state.clone())).collect()
}

fn names(orders: &[Order]) -> String {
    let names = orders.iter().map(|it| match it {
        Order::Start(name) | Order::Stop(name) => name.as_str(),
    });
    names.collect::<Vec<_>>().join(" ")
}

fn set(list: &[&str]) -> BTreeSet<ProcessName> {
    list.iter().map(|it| name(it)).collect()
}

fn spelt<'a>(names: impl IntoIterator<Item = &'a ProcessName>) -> String {
    names.into_iter().map(ProcessName::as_str).collect::<Vec<_>>().join(" ")
}

/// What can be told now, when everybody obeys at once.
fn wave(fleet: &Fleet, asked: &mut Asked, states: &States) -> Vec<Order> {
    asked.settle(states, &|_| false);
    fleet.orders(asked, states, &|_| false)
}

fn obey(states: &mut States, order: Order) {
    let (name, state) = match order {
        Order::Start(name) if name.as_str() == "install" => {
            (name, ProcessState::Exited { end: End::Completed })
        }
        Order::Start(name) => (name, healthy()),
        Order::Stop(name) => (name, ProcessState::Exited { end: End::Stopped }),
    };
    states.insert(name, state);
}

/// Every wave until nothing is left to be told.
fn waves(fleet: &Fleet, asked: &mut Asked, states: &mut States) -> String {
    let mut text = String::new();
    loop {
        let wave = wave(fleet, asked, states);
        if wave.is_empty() {
            return text;
        }
        for (verb, start) in [("stop", false), ("start", true)] {
            let some: Vec<_> =
                wave.iter().filter(|it| matches!(it, Order::Start(_)) == start).cloned().collect();
            if !some.is_empty() {
                writeln!(text, "{verb} {}", names(&some)).unwrap();
            }
        }
        for it in wave {
            obey(states, it);
        }
    }
}

/// Everything of [`comfy`] is up.
fn up() -> (Fleet, Asked, States) {
    let fleet = Fleet::new(&comfy());
    let (mut asked, mut states) = (Asked::default(), all(&fleet, &ProcessState::Waiting));
    fleet.start(&mut asked, &states.keys().cloned().collect(), &states);
    waves(&fleet, &mut asked, &mut states);
    (fleet, asked, states)
}

#[test]
fn waves_rise_by_dependency_and_fall_the_other_way_round() {
    let fleet = Fleet::new(&comfy());
    let (mut asked, mut states) = (Asked::default(), all(&fleet, &ProcessState::Waiting));
    fleet.start(&mut asked, &states.keys().cloned().collect(), &states);
    let rise = waves(&fleet, &mut asked, &mut states);
    fleet.end(&mut asked);
    let text = rise + &waves(&fleet, &mut asked, &mut states);
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
fn who_needs_what_is_stopped_goes_down_before_it_and_what_somebody_needs_comes_up_before_him() {
    let (fleet, mut asked, mut states) = up();
    assert_eq!(spelt(&fleet.stop(&mut asked, &set(&["gpu0"]), &states)), "gpu0 worker-0");
    assert_snapshot!(waves(&fleet, &mut asked, &mut states), @r"
    stop worker-0
    stop gpu0
    ");
    // What is down needs no stop, and takes nobody with it.
    assert_eq!(spelt(&fleet.stop(&mut asked, &set(&["gpu0", "install"]), &states)), "");
    assert_eq!(spelt(&fleet.start(&mut asked, &set(&["worker-0"]), &states)), "gpu0 worker-0");
    assert_snapshot!(waves(&fleet, &mut asked, &mut states), @r"
    start gpu0
    start worker-0
    ");
    assert_eq!(spelt(&fleet.start(&mut asked, &set(&["worker-0"]), &states)), "");
}

#[test]
fn a_restart_concerns_those_that_are_named_and_keeps_their_order() {
    let (fleet, mut asked, mut states) = up();
    fleet.restart(&mut asked, &set(&["gpu0"]), &states);
    assert_snapshot!(waves(&fleet, &mut asked, &mut states), @r"
    stop gpu0
    start gpu0
    ");
    fleet.restart(&mut asked, &set(&["gpu0", "worker-0", "worker-1"]), &states);
    assert_snapshot!(waves(&fleet, &mut asked, &mut states), @r"
    stop worker-0 worker-1
    stop gpu0
    start worker-1
    start gpu0
    start worker-0
    ");
}

#[test]
fn what_is_started_after_a_restart_does_not_call_it_off() {
    let (fleet, mut asked, mut states) = up();
    fleet.stop(&mut asked, &set(&["worker-0"]), &states);
    waves(&fleet, &mut asked, &mut states);
    fleet.restart(&mut asked, &set(&["gpu0"]), &states);
    fleet.start(&mut asked, &set(&["worker-0"]), &states);
    assert_snapshot!(waves(&fleet, &mut asked, &mut states), @r"
    stop gpu0
    start gpu0
    start worker-0
    ");
}

#[test]
fn of_two_wishes_the_last_one_holds() {
    let (fleet, mut asked, mut states) = up();
    fleet.stop(&mut asked, &set(&["gpu0"]), &states);
    fleet.start(&mut asked, &set(&["worker-0"]), &states);
    waves(&fleet, &mut asked, &mut states);
    assert_eq!(states[&name("gpu0")], healthy());
    assert_eq!(states[&name("worker-0")], healthy());

    // Told already: the start comes after the stop.
    let run = Run { pid: Pid(1.try_into().unwrap()), since: Duration::ZERO };
    let stopping = ProcessState::Stopping { run, kill_at: Duration::ZERO, purpose: Purpose::Stop };
    fleet.stop(&mut asked, &set(&["worker-0"]), &states);
    states.insert(name("worker-0"), stopping);
    fleet.start(&mut asked, &set(&["worker-0"]), &states);
    assert_eq!(names(&wave(&fleet, &mut asked, &states)), "worker-0");
    fleet.start(&mut asked, &set(&["worker-0"]), &states);
    fleet.stop(&mut asked, &set(&["worker-0"]), &states);
    states.insert(name("worker-0"), healthy());
    assert_eq!(waves(&fleet, &mut asked, &mut states), "stop worker-0\n");
}

#[test]
fn who_has_not_obeyed_yet_is_told_nothing_and_is_not_taken_for_down() {
    let (fleet, mut asked, mut states) = up();
    waves(&fleet, &mut asked, &mut states);
    states.insert(name("worker-0"), ProcessState::Exited { end: End::Stopped });
    let busy = |it: &ProcessName| it.as_str() == "worker-0";
    // A start is on its way to it.
    fleet.start(&mut asked, &set(&["worker-0"]), &states);
    assert_eq!(names(&wave(&fleet, &mut asked, &states)), "worker-0");
    asked.forget(&name("worker-0"));
    states.insert(name("worker-0"), healthy());
    fleet.stop(&mut asked, &set(&["worker-0"]), &states);
    states.insert(name("worker-0"), ProcessState::Exited { end: End::Stopped });
    asked.settle(&states, &busy);
    assert!(asked.stops(&name("worker-0")));
    assert_eq!(fleet.orders(&mut asked, &states, &busy), []);
}

#[test]
fn a_new_document_keeps_the_old_order_for_what_leaves() {
    let (fleet, mut asked, mut states) = up();
    let next = ecosystem(&[("worker-0", &[]), ("gpu1", &[]), ("worker-1", &[("gpu1", Until::Healthy)])]);
    let mut fleet = fleet.followed_by(&next);
    let gone = set(&["gpu0", "install", "openai-worker-0"]);
    fleet.retire(&mut asked, &gone);
    fleet.restart(&mut asked, &set(&["worker-0"]), &states);
    assert_snapshot!(waves(&fleet, &mut asked, &mut states), @r"
    stop openai-worker-0 worker-0
    stop gpu0
    start worker-0
    ");
    for it in &gone {
        fleet.forget(it);
    }
    assert_eq!(fleet, Fleet::new(&next));
}

#[test]
fn who_waits_for_what_failed_knows_at_once_and_why() {
    let fleet = Fleet::new(&comfy());
    let mut states = all(&fleet, &ProcessState::Waiting);
    let trouble = Trouble::Ended(Exit::Code(1));
    states.insert(name("install"), ProcessState::Failed { trouble, retry_at: Duration::ZERO });
    let mut asked = Asked::default();
    fleet.start(&mut asked, &states.keys().filter(|it| it.as_str() != "install").cloned().collect(), &states);
    asked.forget(&name("install"));
    let Gate::Blocked(chain) = fleet.gate(&name("worker-0"), &states, &asked) else { panic!("not blocked") };
    let chain: Vec<_> = chain.iter().map(|it| format!("{} is {}", it.process, it.state)).collect();
    assert_snapshot!(chain.join(", for "), @r"
    gpu0 is waiting, for install is failed: ended with 1
    ");
    // And it is no longer blocked when the slow retry has succeeded.
    states.insert(name("install"), ProcessState::Exited { end: End::Completed });
    assert_eq!(fleet.gate(&name("worker-0"), &states, &asked), Gate::Closed);
    assert_eq!(names(&wave(&fleet, &mut asked, &states)), "gpu0 gpu1 openai-worker-0");
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
        let (mut asked, mut states) = (Asked::default(), all(&fleet, &ProcessState::Waiting));
        let up = |states: &States, it: &str| states[&name(it)] == healthy();
        fleet.start(&mut asked, &states.keys().cloned().collect(), &states);
        let mut told = Vec::new();
        for (round, pick) in picks.iter().enumerate() {
            if round == 8 {
                prop_assert!(told.is_empty() && states.values().all(|it| *it == healthy()));
                fleet.end(&mut asked);
            }
            // Some obey late.
            let busy = |it: &ProcessName| told.iter().any(|order| matches!(order, Order::Start(name) | Order::Stop(name) if name == it));
            asked.settle(&states, &busy);
            let orders = fleet.orders(&mut asked, &states, &busy);
            told.extend(orders);
            prop_assert!(!told.is_empty(), "stuck in round {round}");
            obey(&mut states, told.remove(pick.index(told.len())));
            for (me, needs) in &lines {
                prop_assert!(!up(&states, me) || needs.iter().all(|(on, _)| up(&states, on)));
            }
        }
        prop_assert!(states.values().all(ProcessState::has_exited));
    }
}
