use proptest::prelude::*;

use super::{Effect as F, Event as E, Held, State as S, Stop, step};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A job claimed at 0 with a lease of 10 s and a deadline after 60 s.
fn claimed() -> Held {
    Held::new(s(10), s(60))
}

fn in_state(state: S) -> Held {
    Held { state, ..claimed() }
}

#[test]
fn what_happens_in_every_state() {
    let stopping = |why, at| S::Stopping { why, give_up_at: s(at) };
    let table = [
        // A job that runs.
        (S::Running, E::Tick, 9, S::Running, None),
        (S::Running, E::Tick, 10, stopping(Stop::LeaseLost, 15), Some(F::Stop(Stop::LeaseLost))),
        (S::Running, E::Lost, 3, stopping(Stop::LeaseLost, 8), Some(F::Stop(Stop::LeaseLost))),
        (S::Running, E::Cancelled, 3, stopping(Stop::Cancelled, 8), Some(F::Stop(Stop::Cancelled))),
        (S::Running, E::Shutdown { at: s(3) }, 3, stopping(Stop::Shutdown, 8), Some(F::Stop(Stop::Shutdown))),
        (S::Running, E::Shutdown { at: s(99) }, 3, S::Running, None),
        (S::Running, E::Done, 3, S::Ended { why: None }, None),
        // A job that is being stopped.
        (stopping(Stop::Cancelled, 8), E::Tick, 7, stopping(Stop::Cancelled, 8), None),
        (stopping(Stop::Cancelled, 8), E::Tick, 8, S::Abandoned { why: Stop::Cancelled }, Some(F::Abandon)),
        (stopping(Stop::Cancelled, 14), E::Tick, 10, stopping(Stop::LeaseLost, 14), None),
        (stopping(Stop::Shutdown, 8), E::Lost, 7, stopping(Stop::LeaseLost, 8), None),
        (stopping(Stop::Shutdown, 8), E::Cancelled, 7, stopping(Stop::Shutdown, 8), None),
        (stopping(Stop::Shutdown, 8), E::Shutdown { at: s(0) }, 7, stopping(Stop::Shutdown, 8), None),
        (stopping(Stop::Deadline, 8), E::Done, 7, S::Ended { why: Some(Stop::Deadline) }, None),
    ];
    for (before, event, at, after, effect) in table {
        let (held, found) = step(in_state(before), event, PATIENCE, s(at));
        assert_eq!((held.state, found), (after, effect), "{before:?} on {event:?} at {at} s");
    }
}

#[test]
fn nothing_happens_after_the_end() {
    let events =
        [E::Tick, E::Renewed { until: s(99) }, E::Cancelled, E::Lost, E::Shutdown { at: s(0) }, E::Done];
    for state in [S::Abandoned { why: Stop::Cancelled }, S::Ended { why: None }] {
        for event in events {
            assert_eq!(step(in_state(state), event, PATIENCE, s(999)), (in_state(state), None));
        }
    }
}

#[test]
fn a_renewed_job_runs_until_its_deadline() {
    let mut held = claimed();
    for now in 1..60 {
        held = step(held, E::Renewed { until: s(now + 10) }, PATIENCE, s(now)).0;
        assert_eq!(step(held, E::Tick, PATIENCE, s(now)), (held, None));
    }
    assert_eq!(step(held, E::Tick, PATIENCE, s(60)).1, Some(F::Stop(Stop::Deadline)));
}

#[test]
fn a_shutdown_lets_a_job_run_to_the_end_of_the_grace() {
    let (held, effect) = step(claimed(), E::Shutdown { at: s(8) }, PATIENCE, s(3));
    assert_eq!((held.state, effect, held.wakes_at()), (S::Running, None, Some(s(8))));
    assert_eq!(step(held, E::Tick, PATIENCE, s(8)).1, Some(F::Stop(Stop::Shutdown)));
}

fn events() -> impl Strategy<Value = (E, u64)> {
    let event = prop_oneof![
        Just(E::Tick),
        (0_u64..200).prop_map(|it| E::Renewed { until: s(it) }),
        Just(E::Cancelled),
        Just(E::Lost),
        (0_u64..200).prop_map(|it| E::Shutdown { at: s(it) }),
    ];
    (event, 0_u64..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_job_outlives_its_deadline_and_patience_and_no_job_is_kept_without_a_lease(
        story in prop::collection::vec(events(), 0..60),
    ) {
        let (mut held, mut now, mut stops) = (claimed(), 0, 0);
        for (event, pause) in story {
            now += pause;
            // The loop ticks whenever something is due.
            for event in [event, E::Tick] {
                let (next, effect) = step(held, event, PATIENCE, s(now));
                stops += usize::from(matches!(effect, Some(F::Stop(_))));
                held = next;
            }
            match held.state {
                S::Running => prop_assert!(held.until > s(now) && held.stop_at > s(now)),
                S::Stopping { give_up_at, .. } => prop_assert!(give_up_at > s(now) || held.until <= s(now)),
                S::Abandoned { .. } | S::Ended { .. } => {}
            }
            prop_assert!(stops <= 1, "a connector is asked once");
        }
    }
}
