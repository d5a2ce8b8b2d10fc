//! Long lives in microseconds. Each line is `seconds event → state`.

use std::fmt::Write;
use std::time::Duration;

use insta::assert_snapshot;

use super::policy;
use crate::{Effect, Event, Exit, Pid, Policy, Process, Restart, step};

/// Plays events at their seconds. The launcher and the sweeper answer at once; the clock ticks when something is due.
struct Story {
    policy: Policy,
    process: Process,
    pid: u32,
    text: String,
}

impl Story {
    fn new(policy: Policy) -> Self {
        Self { policy, process: Process::new(1), pid: 0, text: String::new() }
    }

    fn at(mut self, seconds: u64, event: Event) -> Self {
        let now = Duration::from_secs(seconds);
        while let Some(due) = self.process.state.wakes_at().filter(|it| *it < now) {
            self.apply(due, Event::Tick);
        }
        self.apply(now, event);
        self
    }

    fn apply(&mut self, now: Duration, event: Event) {
        let name = format!("{event:?}");
        let effect;
        (self.process, effect) = step(&self.policy, self.process.clone(), event, now);
        writeln!(self.text, "{:.1} {name} → {}", now.as_secs_f32(), self.process.state).unwrap();
        match effect {
            Some(Effect::Launch) => {
                self.pid += 1;
                self.apply(now, Event::Launched(Pid(self.pid.try_into().unwrap())));
            }
            Some(Effect::Sweep { .. }) => self.apply(now, Event::Swept),
            Some(Effect::Ask(..) | Effect::Kill(_)) | None => {}
        }
    }
}

const CRASH: Event = Event::Died(Exit::Code(1));

#[test]
fn a_crash_after_a_good_run_is_answered_at_once() {
    let policy = Policy { probed: false, ..policy() };
    assert_snapshot!(Story::new(policy).at(0, Event::Start).at(60, CRASH).text, @r"
    0.0 Start → launching
    0.0 Launched(Pid(1)) → healthy
    60.0 Died(Code(1)) → sweeping: ended with 1
    60.0 Swept → launching
    60.0 Launched(Pid(2)) → healthy
    ");
}

#[test]
fn a_crash_loop_backs_off_fails_and_is_retried_slowly() {
    let policy = Policy { probed: false, ..policy() };
    let story = Story::new(policy).at(0, Event::Start).at(0, CRASH).at(2, CRASH).at(6, CRASH).at(310, CRASH);
    assert_snapshot!(story.at(650, CRASH).text, @r"
    0.0 Start → launching
    0.0 Launched(Pid(1)) → healthy
    0.0 Died(Code(1)) → sweeping: ended with 1
    0.0 Swept → backing off: ended with 1
    0.6 Tick → launching
    0.6 Launched(Pid(2)) → healthy
    2.0 Died(Code(1)) → sweeping: ended with 1
    2.0 Swept → backing off: ended with 1
    3.4 Tick → launching
    3.4 Launched(Pid(3)) → healthy
    6.0 Died(Code(1)) → sweeping: ended with 1
    6.0 Swept → failed: ended with 1
    306.0 Tick → launching
    306.0 Launched(Pid(4)) → healthy
    310.0 Died(Code(1)) → sweeping: ended with 1
    310.0 Swept → failed: ended with 1
    610.0 Tick → launching
    610.0 Launched(Pid(5)) → healthy
    650.0 Died(Code(1)) → sweeping: ended with 1
    650.0 Swept → launching
    650.0 Launched(Pid(6)) → healthy
    ");
}

#[test]
fn what_is_not_healthy_in_time_is_asked_killed_and_replaced() {
    let story = Story::new(policy()).at(0, Event::Start).at(1, Event::Ready);
    assert_snapshot!(story.at(45, Event::Died(Exit::Signal(9))).text, @r"
    0.0 Start → launching
    0.0 Launched(Pid(1)) → started
    1.0 Ready → ready
    30.0 Tick → stopping: not healthy within 30 s
    40.0 Tick → killing: not healthy within 30 s
    45.0 Died(Signal(9)) → sweeping: not healthy within 30 s
    45.0 Swept → backing off: not healthy within 30 s
    ");
}

#[test]
fn an_unhealthy_process_is_replaced_within_its_budget() {
    let story = (Story::new(policy()).at(0, Event::Start).at(1, Event::Healthy).at(9, Event::Unhealthy))
        .at(10, Event::Healthy)
        .at(11, Event::Unhealthy)
        .at(12, Event::Unhealthy)
        .at(13, Event::Died(Exit::Signal(15)));
    assert_snapshot!(story.text, @r"
    0.0 Start → launching
    0.0 Launched(Pid(1)) → started
    1.0 Healthy → healthy
    9.0 Unhealthy → unhealthy
    10.0 Healthy → healthy
    11.0 Unhealthy → unhealthy
    12.0 Unhealthy → stopping: unhealthy in 2 looks in a row
    13.0 Died(Signal(15)) → sweeping: unhealthy in 2 looks in a row
    13.0 Swept → backing off: unhealthy in 2 looks in a row
    ");
}

#[test]
fn too_much_memory_is_a_reason() {
    let story =
        Story::new(policy()).at(0, Event::Start).at(1, Event::Healthy).at(70, Event::Memory(150 << 20));
    assert_snapshot!(story.at(71, Event::Died(Exit::Code(0))).text, @r"
    0.0 Start → launching
    0.0 Launched(Pid(1)) → started
    1.0 Healthy → healthy
    70.0 Memory(157286400) → stopping: 150 MiB of memory, above its limit of 100 MiB
    71.0 Died(Code(0)) → sweeping: 150 MiB of memory, above its limit of 100 MiB
    71.0 Swept → launching
    71.0 Launched(Pid(2)) → started
    ");
}

#[test]
fn a_stop_during_the_launch_is_kept() {
    let (launching, _) = step(&policy(), Process::new(1), Event::Start, Duration::ZERO);
    let (launching, _) = step(&policy(), launching, Event::Stop, Duration::ZERO);
    let mut story = Story { process: launching, ..Story::new(policy()) };
    story.apply(Duration::ZERO, Event::Launched(Pid(1.try_into().unwrap())));
    assert_snapshot!(story.at(20, Event::Died(Exit::Signal(9))).text, @r"
    0.0 Launched(Pid(1)) → stopping
    10.0 Tick → killing
    20.0 Died(Signal(9)) → sweeping
    20.0 Swept → stopped
    ");
}

#[test]
fn the_last_order_wins() {
    let story = Story::new(policy()).at(0, Event::Start).at(1, Event::Restart).at(2, Event::Stop);
    assert_snapshot!(story.at(3, Event::Start).at(4, Event::Died(Exit::Code(0))).text, @r"
    0.0 Start → launching
    0.0 Launched(Pid(1)) → started
    1.0 Restart → stopping to restart
    2.0 Stop → stopping
    3.0 Start → stopping to restart
    4.0 Died(Code(0)) → sweeping to restart
    4.0 Swept → launching
    4.0 Launched(Pid(2)) → started
    ");
}

#[test]
fn a_one_shot_is_tried_until_it_has_ended_with_0() {
    let policy = Policy { probed: false, restart: Restart::OnFailure, ..policy() };
    let story = Story::new(policy).at(0, Event::Start).at(1, CRASH).at(4, Event::Died(Exit::Code(0)));
    assert_snapshot!(story.text, @r"
    0.0 Start → launching
    0.0 Launched(Pid(1)) → healthy
    1.0 Died(Code(1)) → sweeping: ended with 1
    1.0 Swept → backing off: ended with 1
    1.6 Tick → launching
    1.6 Launched(Pid(2)) → healthy
    4.0 Died(Code(0)) → sweeping: ended with 0
    4.0 Swept → completed
    ");
}

#[test]
fn a_missing_program_is_a_start_without_success() {
    let (process, _) = step(&policy(), Process::new(1), Event::Start, Duration::ZERO);
    let (process, effect) =
        step(&policy(), process, Event::NotLaunched("no such file".into()), Duration::ZERO);
    assert_eq!(
        (process.state.to_string().as_str(), effect),
        ("backing off: could not be started: no such file", None)
    );
}
