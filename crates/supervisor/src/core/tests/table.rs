//! Every state against every event, and what holds from any of them.

use std::fmt::Write;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::policy;
use crate::{
    Effect, End, Event, Exit, Level, Pid, Policy, Process, ProcessState, Purpose, Restart, Run, Trouble, step,
};

const NOW: Duration = Duration::from_secs(100);

fn run() -> Run {
    Run { pid: Pid(7.try_into().unwrap()), since: Duration::from_secs(90) }
}

fn replace() -> Purpose {
    Purpose::Replace { trouble: Trouble::Ended(Exit::Code(1)), well: Duration::ZERO }
}

fn states() -> Vec<ProcessState> {
    use ProcessState as S;
    let (run, trouble) = (run(), Trouble::Ended(Exit::Code(1)));
    let purposes = [Purpose::Stop, Purpose::Restart, replace()];
    let each = |state: &dyn Fn(Purpose) -> S| purposes.clone().map(state);
    let levels = [
        Level::Started { deadline: Some(NOW) },
        Level::Ready { deadline: Some(NOW) },
        Level::Healthy { since: NOW },
        Level::Unhealthy { failures: 1, well: Duration::ZERO },
    ];
    let mut all = vec![S::Waiting, S::Launching { abort: false }, S::Launching { abort: true }];
    all.extend(levels.map(|level| S::Running { run, level }));
    all.extend(each(&|purpose| S::Stopping { run, kill_at: NOW, purpose }));
    all.extend(each(&|purpose| S::Killing { run, purpose }));
    all.extend(each(&|purpose| S::Sweeping { purpose }));
    all.push(S::BackingOff { until: NOW, trouble: trouble.clone() });
    all.push(S::Failed { trouble: trouble.clone(), retry_at: NOW });
    all.extend([End::Completed, End::Stopped, End::Gone(trouble)].map(|end| S::Exited { end }));
    all
}

fn events() -> [Event; 13] {
    [
        Event::Start,
        Event::Stop,
        Event::Restart,
        Event::Launched(Pid(8.try_into().unwrap())),
        Event::NotLaunched("no such file".into()),
        Event::Died(Exit::Code(1)),
        Event::Swept,
        Event::Ready,
        Event::Healthy,
        Event::Unhealthy,
        Event::NotLive(3),
        Event::Memory(200 << 20),
        Event::Tick,
    ]
}

fn word(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_state_says_what_every_event_does_to_it() {
    let mut table = String::new();
    for state in states() {
        writeln!(table, "{state}").unwrap();
        let mut ignored = Vec::new();
        for event in events() {
            let process = Process { state: state.clone(), ..Process::new(1) };
            let (next, effect) = step(&policy(), process, event.clone(), NOW);
            if next.state == state && effect.is_none() {
                ignored.push(word(&event));
                continue;
            }
            let effect = effect.map(|it| format!(" + {}", word(&it))).unwrap_or_default();
            writeln!(table, "  {} → {}{effect}", word(&event), next.state).unwrap();
        }
        writeln!(table, "  ignored: {}", ignored.join(" ")).unwrap();
    }
    assert_snapshot!(table, @r"
    waiting
      Start → launching + Launch
      Stop → stopped
      ignored: Restart Launched NotLaunched Died Swept Ready Healthy Unhealthy NotLive Memory Tick
    launching
      Stop → launching, to be stopped
      Launched → started
      NotLaunched → backing off: could not be started: no such file
      ignored: Start Restart Died Swept Ready Healthy Unhealthy NotLive Memory Tick
    launching, to be stopped
      Start → launching
      Restart → launching
      Launched → stopping + Ask
      NotLaunched → stopped
      ignored: Stop Died Swept Ready Healthy Unhealthy NotLive Memory Tick
    started
      Stop → stopping + Ask
      Restart → stopping to restart + Ask
      Died → sweeping: ended with 1 + Sweep
      Ready → ready
      Healthy → healthy
      NotLive → stopping: not live in 3 looks in a row + Ask
      Memory → stopping: 200 MiB of memory, above its limit of 100 MiB + Ask
      Tick → stopping: not healthy within 10 s + Ask
      ignored: Start Launched NotLaunched Swept Unhealthy
    ready
      Stop → stopping + Ask
      Restart → stopping to restart + Ask
      Died → sweeping: ended with 1 + Sweep
      Healthy → healthy
      NotLive → stopping: not live in 3 looks in a row + Ask
      Memory → stopping: 200 MiB of memory, above its limit of 100 MiB + Ask
      Tick → stopping: not healthy within 10 s + Ask
      ignored: Start Launched NotLaunched Swept Ready Unhealthy
    healthy
      Stop → stopping + Ask
      Restart → stopping to restart + Ask
      Died → sweeping: ended with 1 + Sweep
      Unhealthy → unhealthy
      NotLive → stopping: not live in 3 looks in a row + Ask
      Memory → stopping: 200 MiB of memory, above its limit of 100 MiB + Ask
      ignored: Start Launched NotLaunched Swept Ready Healthy Tick
    unhealthy
      Stop → stopping + Ask
      Restart → stopping to restart + Ask
      Died → sweeping: ended with 1 + Sweep
      Healthy → healthy
      Unhealthy → stopping: unhealthy in 2 looks in a row + Ask
      NotLive → stopping: not live in 3 looks in a row + Ask
      Memory → stopping: 200 MiB of memory, above its limit of 100 MiB + Ask
      ignored: Start Launched NotLaunched Swept Ready Tick
    stopping
      Start → stopping to restart
      Restart → stopping to restart
      Died → sweeping + Sweep
      Tick → killing + Kill
      ignored: Stop Launched NotLaunched Swept Ready Healthy Unhealthy NotLive Memory
    stopping to restart
      Stop → stopping
      Died → sweeping to restart + Sweep
      Tick → killing to restart + Kill
      ignored: Start Restart Launched NotLaunched Swept Ready Healthy Unhealthy NotLive Memory
    stopping: ended with 1
      Start → stopping to restart
      Stop → stopping
      Restart → stopping to restart
      Died → sweeping: ended with 1 + Sweep
      Tick → killing: ended with 1 + Kill
      ignored: Launched NotLaunched Swept Ready Healthy Unhealthy NotLive Memory
    killing
      Start → killing to restart
      Restart → killing to restart
      Died → sweeping + Sweep
      ignored: Stop Launched NotLaunched Swept Ready Healthy Unhealthy NotLive Memory Tick
    killing to restart
      Stop → killing
      Died → sweeping to restart + Sweep
      ignored: Start Restart Launched NotLaunched Swept Ready Healthy Unhealthy NotLive Memory Tick
    killing: ended with 1
      Start → killing to restart
      Stop → killing
      Restart → killing to restart
      Died → sweeping: ended with 1 + Sweep
      ignored: Launched NotLaunched Swept Ready Healthy Unhealthy NotLive Memory Tick
    sweeping
      Start → sweeping to restart
      Restart → sweeping to restart
      Swept → stopped
      ignored: Stop Launched NotLaunched Died Ready Healthy Unhealthy NotLive Memory Tick
    sweeping to restart
      Stop → sweeping
      Swept → launching + Launch
      ignored: Start Restart Launched NotLaunched Died Ready Healthy Unhealthy NotLive Memory Tick
    sweeping: ended with 1
      Start → sweeping to restart
      Stop → sweeping
      Restart → sweeping to restart
      Swept → backing off: ended with 1
      ignored: Launched NotLaunched Died Ready Healthy Unhealthy NotLive Memory Tick
    backing off: ended with 1
      Start → launching + Launch
      Stop → stopped
      Restart → launching + Launch
      Tick → launching + Launch
      ignored: Launched NotLaunched Died Swept Ready Healthy Unhealthy NotLive Memory
    failed: ended with 1
      Start → launching + Launch
      Stop → stopped
      Restart → launching + Launch
      Tick → launching + Launch
      ignored: Launched NotLaunched Died Swept Ready Healthy Unhealthy NotLive Memory
    completed
      Start → launching + Launch
      Restart → launching + Launch
      ignored: Stop Launched NotLaunched Died Swept Ready Healthy Unhealthy NotLive Memory Tick
    stopped
      Start → launching + Launch
      Restart → launching + Launch
      ignored: Stop Launched NotLaunched Died Swept Ready Healthy Unhealthy NotLive Memory Tick
    gone: ended with 1
      Start → launching + Launch
      Restart → launching + Launch
      ignored: Stop Launched NotLaunched Died Swept Ready Healthy Unhealthy NotLive Memory Tick
    ");
}

/// A launcher and a kernel: what is launched runs, until it is killed or chooses to end.
#[derive(Default)]
struct World {
    live: Vec<Pid>,
    last: u32,
    pending: Vec<Event>,
}

impl World {
    /// Does what is asked; the answers arrive later. Fails when a second copy would live.
    fn act(&mut self, effect: Option<Effect>, obeys: bool) -> Result<(), TestCaseError> {
        match effect {
            Some(Effect::Launch) => {
                prop_assert_eq!(&self.live, &[], "launched while a copy lives");
                self.last += 1;
                let pid = Pid(self.last.try_into().unwrap());
                self.live.push(pid);
                self.pending.push(Event::Launched(pid));
            }
            Some(Effect::Ask(pid, _)) if obeys => self.end(pid),
            Some(Effect::Kill(pid)) => self.end(pid),
            Some(Effect::Sweep { .. }) => self.pending.push(Event::Swept),
            Some(Effect::Ask(..)) | None => {}
        }
        Ok(())
    }

    fn end(&mut self, pid: Pid) {
        if self.live.contains(&pid) {
            self.live.clear();
            self.pending.push(Event::Died(Exit::Signal(9)));
        }
    }

    /// Delivers one answer, oldest first.
    fn answer(&mut self, policy: &Policy, process: Process, now: Duration) -> Result<Process, TestCaseError> {
        if self.pending.is_empty() {
            return Ok(process);
        }
        let (process, effect) = step(policy, process, self.pending.remove(0), now);
        self.act(effect, false)?;
        Ok(process)
    }
}

#[derive(Clone, Debug)]
enum Move {
    Tell(Event),
    /// The process ends by itself.
    Crash,
    Answer,
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let told = prop::sample::select(
        events()
            .into_iter()
            .filter(|it| !matches!(it, Event::Launched(_) | Event::Died(_) | Event::Swept))
            .collect::<Vec<_>>(),
    );
    // What the launcher says it says only when it was asked: `NotLaunched` comes of `World` never.
    let told = told.prop_filter("an answer", |it| !matches!(it, Event::NotLaunched(_)));
    let one = prop_oneof![
        4 => told.prop_map(Move::Tell),
        2 => Just(Move::Crash),
        6 => Just(Move::Answer),
        2 => (0_u64..400).prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 0..60)
}

fn policies() -> impl Strategy<Value = Policy> {
    let restart = prop::sample::select(vec![Restart::No, Restart::OnFailure, Restart::Always]);
    (restart, any::<bool>(), 1_u32..5).prop_map(|(restart, probed, budget)| Policy {
        restart,
        budget,
        probed,
        ..policy()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_two_copies_ever_live_and_stop_always_arrives(
        policy in policies(), moves in moves(), seed: u64, obeys: bool,
    ) {
        let (mut process, mut world, mut now) = (Process::new(seed), World::default(), Duration::ZERO);
        for it in moves {
            match it {
                Move::Tell(event) => {
                    let effect;
                    (process, effect) = step(&policy, process, event, now);
                    world.act(effect, obeys)?;
                }
                Move::Crash => {
                    if let Some(&pid) = world.live.first() {
                        world.end(pid);
                    }
                }
                Move::Answer => process = world.answer(&policy, process, now)?,
                Move::Wait(seconds) => now += Duration::from_secs(seconds),
            }
            if let Some(pid) = process.state.pid() {
                let announced = world.pending.iter().any(|it| matches!(it, Event::Died(_)));
                prop_assert!(announced || world.live == [pid], "{} without a process", process.state);
            }
        }
        // From wherever that led, `stop` reaches the end: at most the ask, the grace and the answers pass.
        let effect;
        (process, effect) = step(&policy, process, Event::Stop, now);
        world.act(effect, obeys)?;
        for _ in 0..8 {
            process = world.answer(&policy, process, now)?;
            now += policy.grace;
            let effect;
            (process, effect) = step(&policy, process, Event::Tick, now);
            world.act(effect, obeys)?;
        }
        prop_assert!(process.state.has_exited(), "{}", process.state);
        prop_assert_eq!(world.live, []);
    }

    #[test]
    fn what_is_due_is_never_in_the_past(policy in policies(), moves in moves(), seed: u64) {
        let (mut process, mut world, mut now) = (Process::new(seed), World::default(), Duration::ZERO);
        for it in moves {
            if let Move::Wait(seconds) = it {
                now += Duration::from_secs(seconds);
            }
            let (next, effect) = step(&policy, process, Event::Tick, now);
            process = next;
            world.act(effect, true)?;
            prop_assert!(process.state.wakes_at().is_none_or(|at| at > now), "{}", process.state);
            process = world.answer(&policy, process, now)?;
        }
    }
}
