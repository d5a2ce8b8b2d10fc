//! The machine's states, by table and by story.

use std::fmt::Write as _;

use super::*;

const fn seconds(it: u64) -> Duration {
    Duration::from_secs(it)
}

/// Round numbers: without Redis for 100 s, without a resource for 50 s, without a worker for 10 s.
const POLICY: Policy =
    Policy { reconnect_within: seconds(100), recover_within: seconds(50), hopeless_for: seconds(10) };

/// What happens in the table happens now.
const NOW: Time = seconds(1000);

const WELL: Census = Census { down: 0, working: 4, coming: 0, lost: 0 };
const ONE_DOWN: Census = Census { down: 1, working: 3, coming: 1, lost: 0 };
const ALL_LOST: Census = Census { down: 1, working: 0, coming: 0, lost: 4 };

fn troubles(change: impl FnOnce(&mut Troubles)) -> Troubles {
    let mut troubles = Troubles::default();
    change(&mut troubles);
    troubles
}

/// One of each state, and of each trouble.
fn states() -> Vec<(&'static str, State)> {
    let running = |change: fn(&mut Troubles)| State::Running(troubles(change));
    let why = Failure::NoRedis;
    vec![
        ("starting", State::Starting { stage: Stage::Services, troubles: Troubles::default() }),
        (
            "starting without Redis",
            State::Starting {
                stage: Stage::Registration,
                troubles: troubles(|it| it.redis = Some(seconds(990))),
            },
        ),
        ("healthy", State::Running(Troubles::default())),
        ("restarting", running(|it| it.down = Some(seconds(990)))),
        (
            "restarting in vain",
            running(|it| (it.down, it.hopeless) = (Some(seconds(900)), Some(seconds(990)))),
        ),
        ("reconnecting", running(|it| it.redis = Some(seconds(990)))),
        ("reconnecting too long", running(|it| it.redis = Some(seconds(900)))),
        ("recovering", running(|it| _ = it.short.insert(Resource::Disk, seconds(990)))),
        ("recovering too long", running(|it| _ = it.short.insert(Resource::Memory, seconds(950)))),
        ("draining", State::Draining { forced: false }),
        ("draining by force", State::Draining { forced: true }),
        ("failed", State::Failed { why: why.clone(), forced: false }),
        ("failed, by force", State::Failed { why, forced: true }),
        ("ended", State::Ended { exit: Exit::Ok }),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("an earlier stage", Event::Reached(Stage::CleanUp)),
        ("a later stage", Event::Reached(Stage::Workers)),
        ("all up", Event::Reached(Stage::Running)),
        ("a stage fails", Event::StageFailed(Exit::DoesNotFit)),
        ("all well", Event::News(News::Processes(WELL))),
        ("one down", Event::News(News::Processes(ONE_DOWN))),
        ("all lost", Event::News(News::Processes(ALL_LOST))),
        ("Redis lost", Event::News(News::RedisLost)),
        ("Redis back", Event::News(News::RedisBack)),
        ("disk short", Event::News(News::Short(Resource::Disk))),
        ("disk enough", Event::News(News::Enough(Resource::Disk))),
        ("drain", Event::Drain),
        ("signal", Event::Signal),
        ("all ended", Event::AllEnded { left: 0 }),
        ("all but one ended", Event::AllEnded { left: 1 }),
        ("tick", Event::Tick),
    ]
}

fn shown(state: &State) -> String {
    match state {
        State::Starting { stage, troubles } => format!("starting: {stage}{}", wrong(troubles)),
        State::Running(it) => format!("{}{}", state.recovery(), wrong(it)),
        State::Draining { forced: false } => "draining".into(),
        State::Draining { forced: true } => "draining by force".into(),
        State::Failed { why, forced } => format!("failed{}: {why}", if *forced { " by force" } else { "" }),
        State::Ended { exit } => format!("ended with {}", exit.code()),
    }
}

/// What is wrong, with the seconds since when.
fn wrong(it: &Troubles) -> String {
    let one =
        |name: &str, at: &Option<Time>| at.map(|it| format!(" {name}@{}", it.as_secs())).unwrap_or_default();
    let short =
        it.short.iter().fold(String::new(), |short, (name, at)| format!("{short} {name}@{}", at.as_secs()));
    [one("down", &it.down), one("hopeless", &it.hopeless), one("redis", &it.redis), short].concat()
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn every_event_in_every_state_also_those_that_are_ignored() {
    let mut table = String::new();
    for (name, state) in states() {
        let _ = writeln!(table, "{name}");
        let mut ignored = Vec::new();
        for (event_name, event) in events() {
            let (next, effects) = step(&POLICY, state.clone(), &event, NOW);
            if next == state && effects.is_empty() {
                ignored.push(event_name);
                continue;
            }
            let effects: Vec<_> = effects.iter().map(|it| format!("{it:?}")).collect();
            let line = format!("  {event_name:<18} -> {} | {}", shown(&next), effects.join(", "));
            let _ = writeln!(table, "{}", line.trim_end_matches(" | "));
        }
        let _ = writeln!(table, "  ignored: {}", ignored.join(", "));
    }
    insta::assert_snapshot!(table, @r"
    starting
      a later stage      -> starting: workers
      all up             -> healthy | AnnounceReady
      a stage fails      -> failed: it did not come up: services failed | AnnounceShutdown, StopAll
      all lost           -> starting: services hopeless@1000
      Redis lost         -> starting: services redis@1000
      disk short         -> starting: services disk space@1000
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      ignored: an earlier stage, all well, one down, Redis back, disk enough, tick
    starting without Redis
      a later stage      -> starting: workers redis@990
      all up             -> reconnecting redis@990 | AnnounceReady
      a stage fails      -> failed: it did not come up: registration failed | AnnounceShutdown, StopAll
      Redis back         -> starting: registration
      disk short         -> starting: registration redis@990 disk space@1000
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      ignored: an earlier stage, all well, one down, all lost, Redis lost, disk enough, tick
    healthy
      one down           -> restarting down@1000
      all lost           -> restarting down@1000 hopeless@1000
      Redis lost         -> reconnecting redis@1000
      disk short         -> resource_recovery disk space@1000 | StopWorkers
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, Redis back, disk enough, tick
    restarting
      all well           -> healthy
      all lost           -> restarting down@990 hopeless@1000
      Redis lost         -> reconnecting down@990 redis@1000
      disk short         -> resource_recovery down@990 disk space@1000 | StopWorkers
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      ignored: an earlier stage, a later stage, all up, a stage fails, one down, Redis back, disk enough, tick
    restarting in vain
      all well           -> healthy
      one down           -> restarting down@900
      Redis lost         -> reconnecting down@900 redis@1000
      disk short         -> resource_recovery down@900 disk space@1000 | StopWorkers
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      tick               -> failed: no worker can work any more | AnnounceShutdown, StopAll
      ignored: an earlier stage, a later stage, all up, a stage fails, all lost, Redis back, disk enough
    reconnecting
      one down           -> reconnecting down@1000 redis@990
      all lost           -> reconnecting down@1000 redis@990
      Redis back         -> healthy | StartWorkers
      disk short         -> reconnecting redis@990 disk space@1000 | StopWorkers
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, Redis lost, disk enough, tick
    reconnecting too long
      one down           -> reconnecting down@1000 redis@900
      all lost           -> reconnecting down@1000 redis@900
      Redis back         -> healthy | StartWorkers
      disk short         -> reconnecting redis@900 disk space@1000 | StopWorkers
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      tick               -> failed: Redis did not come back in time | AnnounceShutdown, StopAll
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, Redis lost, disk enough
    recovering
      one down           -> resource_recovery down@1000 disk space@990
      all lost           -> resource_recovery down@1000 disk space@990
      Redis lost         -> reconnecting redis@1000 disk space@990
      disk enough        -> healthy | StartWorkers
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, Redis back, disk short, tick
    recovering too long
      one down           -> resource_recovery down@1000 memory@950
      all lost           -> resource_recovery down@1000 memory@950
      Redis lost         -> reconnecting redis@1000 memory@950
      disk short         -> resource_recovery memory@950 disk space@1000
      drain              -> draining | AnnounceShutdown, StopAll
      signal             -> draining | AnnounceShutdown, StopAll
      all ended          -> ended with 0 | AnnounceShutdown, End(Ok)
      all but one ended  -> ended with 1 | AnnounceShutdown, End(Error)
      tick               -> failed: memory ran out and did not come back in time | AnnounceShutdown, StopAll
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, Redis back, disk enough
    draining
      signal             -> draining by force | KillAll
      all ended          -> ended with 0 | End(Ok)
      all but one ended  -> ended with 1 | End(Error)
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, one down, all lost, Redis lost, Redis back, disk short, disk enough, drain, tick
    draining by force
      all ended          -> ended with 1 | End(Error)
      all but one ended  -> ended with 1 | End(Error)
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, one down, all lost, Redis lost, Redis back, disk short, disk enough, drain, signal, tick
    failed
      signal             -> failed by force: Redis did not come back in time | KillAll
      all ended          -> ended with 5 | End(Unhealthy)
      all but one ended  -> ended with 5 | End(Unhealthy)
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, one down, all lost, Redis lost, Redis back, disk short, disk enough, drain, tick
    failed, by force
      all ended          -> ended with 5 | End(Unhealthy)
      all but one ended  -> ended with 5 | End(Unhealthy)
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, one down, all lost, Redis lost, Redis back, disk short, disk enough, drain, signal, tick
    ended
      ignored: an earlier stage, a later stage, all up, a stage fails, all well, one down, all lost, Redis lost, Redis back, disk short, disk enough, drain, signal, all ended, all but one ended, tick
    ");
}

/// Runs a story and tells what became of it.
fn story(events: &[(u64, Event)]) -> String {
    let mut state = State::Starting { stage: Stage::Configuration, troubles: Troubles::default() };
    let mut told = String::new();
    for (at, event) in events {
        let (next, effects) = step(&POLICY, state, event, seconds(*at));
        let effects: Vec<_> = effects.iter().map(|it| format!("{it:?}")).collect();
        let line = format!("{at:>4} {} {}", shown(&next), effects.join(", "));
        let _ = writeln!(told, "{}", line.trim_end());
        state = next;
    }
    told
}

#[test]
fn redis_goes_and_comes_back_while_a_service_is_restarted() {
    let news = |it| Event::News(it);
    let told = story(&[
        (1, Event::Reached(Stage::Running)),
        (10, news(News::Processes(ONE_DOWN))),
        (11, news(News::RedisLost)),
        (12, news(News::Processes(ALL_LOST))),
        (60, Event::Tick),
        (70, news(News::RedisBack)),
        (71, news(News::Processes(ONE_DOWN))),
        (72, news(News::Processes(WELL))),
        (900, Event::Tick),
    ]);
    insta::assert_snapshot!(told, @r"
      1 healthy AnnounceReady
     10 restarting down@10
     11 reconnecting down@10 redis@11
     12 reconnecting down@10 redis@11
     60 reconnecting down@10 redis@11
     70 restarting down@10 StartWorkers
     71 restarting down@10
     72 healthy
    900 healthy
    ");
}

#[test]
fn a_machine_without_a_worker_that_can_work_gives_up_after_a_while_and_not_at_once() {
    let news = |it| Event::News(News::Processes(it));
    let told = story(&[
        (1, Event::Reached(Stage::Services)),
        (10, news(ALL_LOST)),
        (19, Event::Tick),
        (19, news(ONE_DOWN)),
        (30, Event::Tick),
        (31, news(ALL_LOST)),
        (41, Event::Tick),
        (42, Event::Signal),
        (43, Event::AllEnded { left: 0 }),
    ]);
    insta::assert_snapshot!(told, @r"
     1 starting: services
    10 starting: services hopeless@10
    19 starting: services hopeless@10
    19 starting: services
    30 starting: services
    31 starting: services hopeless@31
    41 failed: no worker can work any more AnnounceShutdown, StopAll
    42 failed by force: no worker can work any more KillAll
    43 ended with 5 End(Unhealthy)
    ");
}

#[test]
fn two_resources_have_to_be_back_before_workers_are_started_again() {
    let news = |it| Event::News(it);
    let told = story(&[
        (0, news(News::Short(Resource::Disk))),
        (1, Event::Reached(Stage::Running)),
        (2, news(News::Short(Resource::Memory))),
        (3, news(News::Enough(Resource::Disk))),
        (4, news(News::Enough(Resource::Memory))),
        (5, Event::Drain),
        (6, Event::Drain),
        (7, Event::Signal),
        (8, Event::AllEnded { left: 0 }),
    ]);
    insta::assert_snapshot!(told, @r"
    0 starting: configuration disk space@0
    1 resource_recovery disk space@0 AnnounceReady, StopWorkers
    2 resource_recovery memory@2 disk space@0
    3 resource_recovery memory@2
    4 healthy StartWorkers
    5 draining AnnounceShutdown, StopAll
    6 draining
    7 draining by force KillAll
    8 ended with 1 End(Error)
    ");
}

#[test]
fn a_machine_that_failed_does_not_become_healthy_by_ending() {
    let ended = |state: State| step(&POLICY, state, &Event::AllEnded { left: 0 }, NOW).0.recovery();
    let (failed, _) = step(&POLICY, states().remove(0).1, &Event::StageFailed(Exit::DoesNotFit), NOW);
    assert_eq!(ended(failed), Recovery::Failed);
    assert_eq!(ended(State::Draining { forced: false }), Recovery::Healthy);
}
