use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::facts::Trouble;
use crate::testing::{machine, process, service, worker};

/// Every service and worker, each in one line.
fn told(facts: &Facts) -> String {
    let verdicts = judge(facts, None);
    let names = facts.services.iter().map(|it| &it.name).chain(facts.workers.iter().map(|it| &it.name));
    let verdicts = verdicts.services.iter().chain(&verdicts.workers);
    let lines = names.zip(verdicts).map(|(name, it)| {
        let next = if it.next.is_empty() { String::new() } else { format!("{:<14} {}\n", "", it.next) };
        format!("{:<14} {}\n{next}", it.state.word(), story(name.as_str(), it))
    });
    lines.collect()
}

#[test]
fn each_of_the_six_states_says_why_and_what_to_do() {
    let mut facts = machine();
    let mut add = |name: &str, change: &dyn Fn(&mut Service)| {
        let mut it = service(name, &[]);
        change(&mut it);
        facts.services.push(it);
    };
    add("a1111", &|it| it.plan = Planned::Absent);
    add("playwright", &|it| it.plan = Planned::Disabled);
    add("comfyui-gpu0", &|it| it.install = Install::Missing { what: "/opt/comfyui/main.py".into() });
    add("comfyui-gpu1", &|it| {
        it.install = Install::Underway { step: "model sync".into(), percent: Some(62) };
    });
    add("comfyui-gpu2", &|it| {
        it.install = Install::Failed {
            step: "requirements of core".into(),
            why: "`uv pip install` ended with 2".into(),
            output: "no space left on device".into(),
            fix: "Free some room.".into(),
        };
    });
    add("ollama", &|it| it.process = Some(process(Phase::Stopped)));
    add("simulation", &|it| it.process = Some(process(Phase::Started)));
    add("openai", &|it| (it.process, it.probe) = (None, Probe::Failing { why: "HTTP 401".into() }));
    add("replicate", &|it| {
        (it.process, it.probe) = (None, Probe::Passing { took: std::time::Duration::ZERO });
    });
    assert_snapshot!(told(&facts), @r"
    not_configured a1111 not ready ← nothing in the roster needs it
                   Add a worker that needs it to the roster, if it is wanted.
    not_configured playwright not ready ← it is switched off
                   Enable it in the profile, if it is wanted.
    not_installed  comfyui-gpu0 not ready ← /opt/comfyui/main.py is not there
                   Run its set-up again, or use an image that has it.
    not_installed  comfyui-gpu1 not ready ← model sync 62%
                   Wait: it is being installed.
    not_installed  comfyui-gpu2 not ready ← its install failed at `requirements of core`: `uv pip install` ended with 2; its last words: no space left on device
                   Free some room.
    stopped        ollama not ready ← somebody stopped it
                   Start it: `roster start ollama`.
    starting       simulation not ready ← it is not ready yet
                   Wait.
    unhealthy      openai not ready ← HTTP 401
                   Check its address, its key and its own status page.
    healthy        replicate ready
    ");
}

#[test]
fn a_cause_is_followed_to_its_root() {
    let mut facts = machine();
    let mut comfyui = service("comfyui-gpu0", &["shared-setup"]);
    let trouble = Trouble::Killed { signal: 9, out_of_memory: true };
    comfyui.process = Some(Process { trouble: Some(trouble), ..process(Phase::BackingOff { until: 0 }) });
    facts.services = vec![service("shared-setup", &[]), comfyui];
    facts.workers =
        vec![worker("comfyui-worker-0", &["comfyui-gpu0"]), worker("comfyui-worker-1", &["comfyui-gpu0"])];
    facts.workers[1].process = process(Phase::Waiting);
    assert_snapshot!(told(&facts), @r"
    healthy        shared-setup ready
    unhealthy      comfyui-gpu0 not ready ← exited 137 (killed by the kernel: out of memory)
                   Wait: it is started again by itself. `roster logs comfyui-gpu0` says more.
    unhealthy      comfyui-worker-0 not ready ← comfyui-gpu0 unhealthy ← exited 137 (killed by the kernel: out of memory)
                   See to comfyui-gpu0 first.
    stopped        comfyui-worker-1 not ready ← comfyui-gpu0 unhealthy ← exited 137 (killed by the kernel: out of memory)
                   See to comfyui-gpu0 first.
    ");
}

#[test]
fn what_waits_for_something_that_starts_is_starting_too() {
    let mut facts = machine();
    let mut comfyui = service("comfyui-gpu1", &["model-sync"]);
    comfyui.process = Some(process(Phase::Waiting));
    let mut sync = service("model-sync", &[]);
    sync.process = Some(process(Phase::Started));
    facts.services = vec![comfyui, sync];
    facts.workers = vec![worker("comfyui-worker-3", &["comfyui-gpu1"])];
    assert_snapshot!(told(&facts), @r"
    starting       comfyui-gpu1 not ready ← model-sync starting ← it is not ready yet
                   Wait.
    starting       model-sync not ready ← it is not ready yet
                   Wait.
    starting       comfyui-worker-3 not ready ← comfyui-gpu1 starting ← model-sync starting ← it is not ready yet
                   Wait.
    ");
}

#[test]
fn a_circle_of_needs_and_a_need_that_is_not_there_are_no_end() {
    let mut facts = machine();
    facts.services = vec![service("a", &["b"]), service("b", &["a"]), service("c", &["nobody"])];
    assert_snapshot!(told(&facts), @r"
    healthy        a ready
    healthy        b ready
    unhealthy      c not ready ← nobody is not on this machine
                   Plan the machine anew: it has no nobody.
    ");
}

#[test]
fn a_machine_that_starts_says_how_far_it_is() {
    let mut facts = machine();
    facts.machine.stage = Stage::SharedSetup;
    facts.machine.percent = Some(40);
    facts.machine.doing = Some("model sync".into());
    facts.redis = RedisLink::Lost { since: 0, why: "connection refused".into() };
    facts.gpus = vec![crate::facts::Gpu { fault: Some("GPU is lost".into()), ..Default::default() }];
    let verdict = judge(&facts, None).machine;
    let lines: Vec<_> =
        verdict.blockers.iter().map(|it| format!("{:<9} {}", it.state.word(), it.why)).collect();
    assert_snapshot!(lines.join("\n"), @r"
    starting  the machine is starting ← shared_setup 40% ← model sync
    unhealthy redis does not answer ← connection refused
    unhealthy gpu0 unhealthy ← GPU is lost
    ");
    assert_eq!(verdict.state, State::Unhealthy);
}

/// What keeps a machine from being ready, each in one line.
fn blockers(facts: &Facts) -> String {
    let lines = judge(facts, None).machine.blockers.into_iter().map(|it| format!("{}\n", it.why));
    lines.collect()
}

#[test]
fn what_somebody_stopped_is_in_nobodys_way_as_long_as_another_worker_is_wanted() {
    let mut facts = machine();
    facts.services = vec![service("comfyui-gpu0", &[]), service("comfyui-gpu1", &[])];
    facts.workers =
        vec![worker("comfyui-worker-0", &["comfyui-gpu0"]), worker("comfyui-worker-1", &["comfyui-gpu1"])];
    facts.workers[1].process = process(Phase::Stopping);
    assert_snapshot!(blockers(&facts), @"");
    facts.workers[1].process = process(Phase::Stopped);
    facts.services[1].process = Some(process(Phase::Stopped));
    let verdicts = judge(&facts, None);
    assert_eq!((verdicts.machine.ready(), verdicts.machine.state), (true, State::Healthy));
    assert_eq!((verdicts.services[1].state, verdicts.workers[1].state), (State::Stopped, State::Stopped));
    // Who is wanted and cannot work for want of it is.
    facts.workers[1].process = process(Phase::Waiting);
    assert_snapshot!(blockers(&facts), @"comfyui-worker-1 not ready ← comfyui-gpu1 stopped ← somebody stopped it");
    for it in &mut facts.workers {
        it.process = process(Phase::Stopped);
    }
    assert_snapshot!(blockers(&facts), @r"
    comfyui-gpu1 not ready ← somebody stopped it
    comfyui-worker-0 not ready ← somebody stopped it
    comfyui-worker-1 not ready ← somebody stopped it
    ");
}

#[test]
fn who_is_held_back_by_the_machine_is_missed_and_nobody_is_told_to_start_it() {
    let mut facts = machine();
    facts.services = vec![service("comfyui-gpu0", &[])];
    facts.workers = vec![worker("comfyui-worker-0", &["comfyui-gpu0"]), worker("comfyui-worker-1", &[])];
    facts.workers[0].process = process(Phase::Stopped);
    facts.workers[0].held = Some("memory is short".into());
    let story = "comfyui-worker-0 not ready ← the machine holds it back (memory is short)\n";
    assert_eq!(blockers(&facts), story);
    facts.workers[1].process = process(Phase::Stopped);
    assert_eq!(blockers(&facts), story);
    assert_eq!(judge(&facts, None).workers[0].next, "Make room: it is started again by itself.");
    // It may have been started all the same.
    facts.workers[0].process = process(Phase::Healthy);
    assert_eq!(blockers(&facts), "");
}

#[test]
fn a_machine_without_workers_is_there_for_its_services() {
    let mut facts = machine();
    facts.services = vec![service("a", &[]), service("b", &[])];
    facts.services[0].process = Some(process(Phase::Stopped));
    assert_snapshot!(blockers(&facts), @"");
    facts.services[1].process = Some(process(Phase::Stopped));
    assert_snapshot!(blockers(&facts), @r"
    a not ready ← somebody stopped it
    b not ready ← somebody stopped it
    ");
}

#[test]
fn a_state_that_lasts_keeps_its_beginning() {
    let mut facts = machine();
    facts.services = vec![service("a", &[])];
    let first = judge(&facts, None);
    facts.at += 1000;
    let second = judge(&facts, Some(&first));
    assert_eq!(second.services[0].since, first.services[0].since);
    facts.at += 1000;
    facts.services[0].process = Some(process(Phase::Unhealthy));
    let third = judge(&facts, Some(&second));
    assert_eq!((third.services[0].since, third.machine.since), (facts.at, facts.at));
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![
        1 => Just(Phase::Waiting),
        1 => Just(Phase::Launching),
        1 => Just(Phase::Started),
        1 => Just(Phase::Ready),
        4 => Just(Phase::Healthy),
        1 => Just(Phase::Unhealthy),
        1 => Just(Phase::Restarting),
        1 => Just(Phase::Stopping),
        1 => Just(Phase::BackingOff { until: 5 }),
        1 => Just(Phase::Failed { retry_at: None }),
        2 => Just(Phase::Completed),
        1 => Just(Phase::Stopped),
        1 => Just(Phase::Gone),
    ]
}

fn any_process() -> impl Strategy<Value = Process> {
    let trouble =
        prop_oneof![Just(None), Just(Some(Trouble::Exited { code: 1 })), Just(Some(Trouble::Vanished))];
    (phase(), trouble).prop_map(|(phase, trouble)| Process { trouble, ..process(phase) })
}

fn any_service(index: usize) -> impl Strategy<Value = Service> {
    let plan =
        prop_oneof![6 => Just(Planned::Enabled), 1 => Just(Planned::Absent), 1 => Just(Planned::Disabled)];
    let install = prop_oneof![
        8 => Just(Install::Present),
        1 => Just(Install::Unknown),
        1 => Just(Install::Missing { what: "it".into() }),
        1 => Just(Install::Underway { step: "sync".into(), percent: None }),
        1 => Just(Install::Failed { step: "s".into(), why: "w".into(), output: String::new(), fix: "f".into() }),
    ];
    let probe = prop_oneof![
        3 => Just(Probe::Unneeded),
        3 => Just(Probe::Passing { took: std::time::Duration::ZERO }),
        1 => Just(Probe::Pending),
        1 => Just(Probe::Failing { why: "no".into() }),
    ];
    let process = prop::option::weighted(0.8, any_process());
    (plan, install, probe, process, needs(index)).prop_map(move |(plan, install, probe, process, needs)| {
        Service { plan, install, process, probe, needs, ..service(&format!("s{index}"), &[]) }
    })
}

/// Some of what comes before, and sometimes what is not there.
fn needs(index: usize) -> impl Strategy<Value = Vec<ProcessName>> {
    prop::collection::btree_set(0..=index * 3, 0..3).prop_map(move |some| {
        let name = |it: usize| if it < index { format!("s{it}") } else { "nobody".to_owned() };
        let mut names: Vec<ProcessName> = some
            .into_iter()
            .filter(|it| *it < index || *it == index * 3 && index > 0)
            .map(|it| name(it).parse().unwrap())
            .collect();
        names.dedup();
        names
    })
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let services = (any_service(0), any_service(1), any_service(2), any_service(3), any_service(4));
    let held = prop::option::weighted(0.3, Just("memory is short".to_owned()));
    let workers = prop::collection::vec((any_process(), needs(5), held), 0..4);
    let stage = prop_oneof![3 => Just(Stage::Running), 1 => prop::sample::select(Stage::ALL)];
    let redis = prop_oneof![
        2 => Just(RedisLink::Unneeded),
        2 => Just(RedisLink::Connected { latency: std::time::Duration::ZERO }),
        1 => Just(RedisLink::Pending),
        1 => Just(RedisLink::Lost { since: 1, why: "gone".into() }),
    ];
    (services, workers, stage, redis, prop::bool::weighted(0.1)).prop_map(
        |(services, workers, stage, redis, failed)| {
            let mut facts = machine();
            facts.services = vec![services.0, services.1, services.2, services.3, services.4];
            let workers = workers.into_iter().enumerate();
            facts.workers = workers
                .map(|(at, (process, needs, held))| Worker {
                    needs,
                    process,
                    held,
                    ..worker(&format!("w{at}"), &[])
                })
                .collect();
            facts.machine.stage = stage;
            facts.machine.recovery = if failed { Recovery::Failed } else { Recovery::Healthy };
            facts.redis = redis;
            facts
        },
    )
}

/// The second opinion: what a name is, told from the words of the promise and not from how `judge` finds it. It asks
/// anew each time, all the way down.
fn promised(facts: &Facts, name: &ProcessName) -> State {
    let needs_are = |needs: &[ProcessName], what: &[State]| {
        needs.iter().all(|it| {
            facts.services.iter().any(|service| service.name == *it) && what.contains(&promised(facts, it))
        })
    };
    let runs = |it: &Process, needs: &[ProcessName]| {
        let well = [State::Healthy];
        let coming = [State::Healthy, State::Starting];
        match it.phase {
            Phase::Healthy | Phase::Completed if needs_are(needs, &well) => State::Healthy,
            Phase::Healthy | Phase::Completed | Phase::Waiting if needs_are(needs, &coming) => {
                State::Starting
            }
            Phase::Launching | Phase::Started | Phase::Ready => State::Starting,
            Phase::Restarting if it.trouble.is_none() => State::Starting,
            Phase::Waiting | Phase::Stopping | Phase::Stopped => State::Stopped,
            _ => State::Unhealthy,
        }
    };
    if let Some(worker) = facts.workers.iter().find(|it| it.name == *name) {
        return runs(&worker.process, &worker.needs);
    }
    let it = facts.services.iter().find(|it| it.name == *name).unwrap();
    let alive = Process { trouble: None, ..process(Phase::Healthy) };
    let running = it.process.as_ref().unwrap_or(&alive);
    match () {
        () if it.plan != Planned::Enabled => State::NotConfigured,
        () if !matches!(it.install, Install::Present | Install::Unknown) => State::NotInstalled,
        () if it.install == Install::Unknown => State::Starting,
        () if !matches!(running.phase, Phase::Healthy | Phase::Completed) => runs(running, &it.needs),
        () if matches!(it.probe, Probe::Failing { .. }) => State::Unhealthy,
        () if it.probe == Probe::Pending => State::Starting,
        () => runs(running, &it.needs),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_state_is_the_promised_one(facts in any_facts()) {
        let verdicts = judge(&facts, None);
        for (it, is) in facts.services.iter().zip(&verdicts.services) {
            prop_assert_eq!(is.state, promised(&facts, &it.name), "{}", it.name);
        }
        for (it, is) in facts.workers.iter().zip(&verdicts.workers) {
            prop_assert_eq!(is.state, promised(&facts, &it.name), "{}", it.name);
        }
    }

    #[test]
    fn a_machine_is_never_better_than_its_worst_enabled_service_and_ready_only_when_all_are_healthy(facts in any_facts()) {
        let is = judge(&facts, None).machine;
        let enabled = facts.services.iter().filter(|it| it.plan == Planned::Enabled);
        let goes = |it: &Process| !matches!(it.phase, Phase::Stopping | Phase::Stopped);
        let services: Vec<_> =
            enabled.map(|it| (promised(&facts, &it.name), it.process.as_ref().is_none_or(goes))).collect();
        let workers: Vec<_> =
            facts.workers.iter().map(|it| (promised(&facts, &it.name), it.held.is_some() || goes(&it.process))).collect();
        // What somebody stopped counts only where nothing else would do jobs.
        let counts = |(state, wanted): &(State, bool)| *state != State::Stopped || *wanted;
        let works = if workers.is_empty() { &services } else { &workers }.iter().any(|it| it.1);
        let all: Vec<State> = services.iter().chain(&workers).filter(|it| !works || counts(it)).map(|it| it.0).collect();
        let order = [State::Healthy, State::Starting, State::Stopped, State::NotInstalled, State::Unhealthy];
        let rank = |it: State| order.iter().position(|is| *is == it).unwrap();
        for state in &all {
            prop_assert!(rank(is.state) >= rank(*state));
        }
        let redis = matches!(facts.redis, RedisLink::Unneeded | RedisLink::Connected { .. });
        let runs = facts.machine.stage == Stage::Running && facts.machine.recovery != Recovery::Failed;
        prop_assert_eq!(is.ready(), runs && redis && all.iter().all(|it| *it == State::Healthy));
    }

    #[test]
    fn a_cause_leads_from_need_to_need(facts in any_facts()) {
        let verdicts = judge(&facts, None);
        let services = facts.services.iter().map(|it| (&it.name, &it.needs)).zip(&verdicts.services);
        let workers = facts.workers.iter().map(|it| (&it.name, &it.needs)).zip(&verdicts.workers);
        for ((name, needs), is) in services.chain(workers) {
            prop_assert_eq!(is.cause.is_empty(), is.state == State::Healthy, "{}", name);
            prop_assert_eq!(is.next.is_empty(), is.state == State::Healthy, "{}", name);
            let (mut needs, mut cause) = (needs.clone(), &is.cause[..]);
            while let [link, rest @ ..] = cause && !rest.is_empty() {
                let (need, state) = link.split_once(' ').unwrap();
                prop_assert!(needs.iter().any(|it| it.as_str() == need), "{} needs no {}", name, need);
                let at = facts.services.iter().position(|it| it.name.as_str() == need).unwrap();
                prop_assert_eq!(verdicts.services[at].state.word(), state);
                needs = facts.services[at].needs.clone();
                cause = rest;
            }
        }
    }
}
