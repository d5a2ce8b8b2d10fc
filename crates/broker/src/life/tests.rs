use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

const POLICY: Policy = Policy {
    max_attempts: 2,
    max_crashes: 2,
    timeout: Duration::from_secs(100),
    backoff: Backoff { base: Duration::from_secs(1), most: Duration::from_secs(8) },
};

fn worker() -> WorkerId {
    "w".parse().unwrap()
}

fn states() -> [(&'static str, State); 7] {
    let running = |cancel| State::Running { worker: worker(), until: 10_000, deadline: 100_000, cancel };
    [
        ("delayed", State::Delayed { due: 5_000 }),
        ("waiting", State::Waiting),
        ("running", running(false)),
        ("stopping", running(true)),
        ("succeeded", State::Succeeded),
        ("cancelled", State::Cancelled),
        ("dead", State::Dead(Reason { kind: Death::Attempts, message: String::new() })),
    ]
}

fn events(fence: u64) -> Vec<(&'static str, Event)> {
    let fail = |retryable| Event::Fail { fence, retryable, message: String::new(), roll: 1.0 };
    vec![
        ("due", Event::Due),
        ("claim", Event::Claim { worker: worker(), lease: Duration::from_secs(10), fence: fence + 1 }),
        ("renew", Event::Renew { fence, lease: Duration::from_secs(10) }),
        ("succeed", Event::Succeed { fence }),
        ("fail", fail(true)),
        ("fail for good", fail(false)),
        ("hand back", Event::HandBack { fence }),
        ("stopped", Event::Stopped { fence }),
        ("expire", Event::Expire { roll: 1.0 }),
        ("cancel", Event::Cancel),
        ("replay", Event::Replay),
    ]
}

fn show(state: &State) -> String {
    match state {
        State::Delayed { due } => format!("delayed to {due}"),
        State::Waiting => "waiting".into(),
        State::Running { until, cancel, .. } => {
            format!("{} until {until}", if *cancel { "stopping" } else { "running" })
        }
        State::Succeeded => "succeeded".into(),
        State::Cancelled => "cancelled".into(),
        State::Dead(reason) => format!("dead: {:?}", reason.kind).to_lowercase(),
    }
}

fn life(state: State) -> Life {
    Life { state, attempts: 0, crashes: 0, fence: 4 }
}

/// Every pair of a state and an event, at 9 s; what is not listed is rejected.
fn table(fence: u64, now: Millis) -> String {
    let mut lines = Vec::new();
    for (from, state) in states() {
        for (name, event) in events(fence) {
            if let Ok(after) = step(&life(state.clone()), &POLICY, &event, now) {
                let Life { attempts, crashes, .. } = after;
                lines.push(format!("{from} + {name} = {} ({attempts}, {crashes})", show(&after.state)));
            }
        }
    }
    lines.join("\n")
}

#[test]
fn a_job_goes_where_its_life_says() {
    assert_snapshot!(table(4, 9_000), @r#"
    delayed + due = waiting (0, 0)
    delayed + cancel = cancelled (0, 0)
    waiting + claim = running until 19000 (0, 0)
    waiting + cancel = cancelled (0, 0)
    running + renew = running until 19000 (0, 0)
    running + succeed = succeeded (0, 0)
    running + fail = delayed to 10000 (1, 0)
    running + fail for good = dead: permanent (1, 0)
    running + hand back = waiting (0, 0)
    running + stopped = cancelled (0, 0)
    running + cancel = stopping until 10000 (0, 0)
    stopping + renew = stopping until 19000 (0, 0)
    stopping + succeed = succeeded (0, 0)
    stopping + fail = cancelled (0, 0)
    stopping + fail for good = cancelled (0, 0)
    stopping + hand back = cancelled (0, 0)
    stopping + stopped = cancelled (0, 0)
    stopping + cancel = stopping until 10000 (0, 0)
    dead + replay = waiting (0, 0)
    "#);
}

#[test]
fn a_stale_fence_is_never_heard() {
    assert_snapshot!(table(3, 9_000), @r#"
    delayed + due = waiting (0, 0)
    delayed + cancel = cancelled (0, 0)
    waiting + cancel = cancelled (0, 0)
    running + cancel = stopping until 10000 (0, 0)
    stopping + cancel = stopping until 10000 (0, 0)
    dead + replay = waiting (0, 0)
    "#);
}

#[test]
fn a_lease_ends_by_crash_and_an_attempt_by_failure() {
    let expire = |life: &Life, now| step(life, &POLICY, &Event::Expire { roll: 0.0 }, now).unwrap();
    let running = life(states()[2].1.clone());
    let crashed = expire(&running, 10_000);
    assert_eq!((&crashed.state, crashed.attempts, crashed.crashes), (&State::Waiting, 0, 1));
    let dead = expire(&Life { state: running.state.clone(), ..crashed }, 10_000);
    assert_eq!(show(&dead.state), "dead: crashes");
    let late = expire(&running, 100_000);
    assert_eq!((show(&late.state), late.attempts, late.crashes), ("delayed to 100500".into(), 1, 0));
    assert_eq!(expire(&life(states()[3].1.clone()), 10_000).state, State::Cancelled);
    assert_eq!(
        step(&running, &POLICY, &Event::Renew { fence: 4, lease: Duration::MAX }, 10_000),
        Err(Rejection::Stale)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_wait_doubles_up_to_its_limit_and_half_of_it_is_certain(attempts in 1_u32..200, roll in 0.0..=1.0) {
        let whole = (1_000_f64 * 2_f64.powi(i32::try_from(attempts).unwrap() - 1)).min(8_000.0);
        let wait = POLICY.backoff.wait(attempts, roll).as_secs_f64() * 1_000.0;
        prop_assert!(whole / 2.0 - 0.001 <= wait && wait <= whole + 0.001);
        prop_assert!((wait - whole * (0.5 + roll / 2.0)).abs() < 0.001);
    }
}
