//! The broker's server: whether it answers, keeps what it was told, and has the right time.

use std::time::Duration;

use broker::{Native, Server, Settings};
use spec::notes::{Finding, Located};

use super::Check;
use super::fault::DoctorFault;
use crate::config::Config;
use crate::run::now;

/// How often it is asked for the time.
const LOOKS: usize = 5;
/// The oldest that has all that the broker asks for.
const OLDEST: (u32, u32) = (6, 2);
/// Clocks that differ by less tell the same time to people.
const SKEW: Duration = Duration::from_secs(2);
/// Above this, certificates and the times of logs mislead.
const SERIOUS_SKEW: Duration = Duration::from_mins(1);
/// An answer that takes longer slows every claim down.
const SLOW: Duration = Duration::from_millis(50);

pub(super) async fn check(config: &Config) -> Vec<Check> {
    let settings = &config.settings;
    let broker = match Native::connect(settings.redis.expose(), Settings::new(settings.queue.clone())).await {
        Ok(it) => it,
        Err(error) => {
            let error = Finding::error(Located::nowhere(error));
            let skipped = Check::skipped("clock", "it is held against that of Redis");
            return vec![Check::new("redis", "it does not answer").with(error), skipped];
        }
    };
    let redis = broker.server().await;
    let mut clock = broker.time().await;
    // The quickest of a few: what was in the way once says nothing about the server.
    for _ in 1..LOOKS {
        clock = match (clock, broker.time().await) {
            (Ok(before), Ok(now)) if now.1 < before.1 => Ok(now),
            (before, _) => before,
        };
    }
    let redis = match redis {
        Ok(it) => server(&it),
        Err(error) => {
            // The right to look is not the right to work.
            Check::new("redis", "it answers").with(Finding::advice(Located::nowhere(error)))
        }
    };
    let (redis, clock) = match clock {
        Ok((theirs, took)) => (slow(redis, took), self::clock(theirs, took)),
        Err(error) => (redis, Check::new("clock", "unknown").with(Finding::error(Located::nowhere(error)))),
    };
    vec![redis, clock]
}

fn server(it: &Server) -> Check {
    let name = if it.is_valkey { "Valkey" } else { "Redis" };
    let keeps = match (it.appends, it.snapshots) {
        (true, _) => "append-only file",
        (false, true) => "snapshots only",
        (false, false) => "keeps nothing",
    };
    let mut check = Check::new("redis", format!("{name} {}, {keeps}, {}", it.version, it.policy));
    let mut numbers = it.version.split('.').map(|it| it.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if !it.is_valkey && version < OLDEST {
        check = check.error(DoctorFault::OldRedis { version: it.version.clone() });
    }
    if !it.appends {
        check = check.advice(DoctorFault::Forgets { snapshots: it.snapshots });
    }
    if it.policy != "noeviction" {
        check = check.error(DoctorFault::Evicts { policy: it.policy.clone() });
    }
    check
}

fn slow(check: Check, took: Duration) -> Check {
    if took > SLOW { check.advice(DoctorFault::SlowRedis { took }) } else { check }
}

fn clock(theirs: u64, took: Duration) -> Check {
    // Their answer was made in the middle of ours, as far as anybody can know.
    let ours = now().saturating_sub(u64::try_from(took.as_millis() / 2).unwrap_or(0));
    let skew = Duration::from_millis(ours.abs_diff(theirs));
    let side = if ours >= theirs { "ahead of" } else { "behind" };
    let check = Check::new("clock", format!("{} ms {side} that of Redis", skew.as_millis()));
    match skew {
        it if it > SERIOUS_SKEW => check.error(DoctorFault::Clock { skew }),
        it if it > SKEW => check.advice(DoctorFault::Clock { skew }),
        _ => check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str, is_valkey: bool, appends: bool, policy: &str) -> String {
        let (version, policy) = (version.to_owned(), policy.to_owned());
        let check =
            server(&Server { version, is_valkey, appends, snapshots: false, policy, memory_limit: 0 });
        format!("{} {:?}", check.seen, check.codes)
    }

    #[test]
    fn a_server_is_judged_by_what_a_queue_needs() {
        assert_eq!(told("7.2.4", false, true, "noeviction"), "Redis 7.2.4, append-only file, noeviction []");
        assert_eq!(told("8.1.0", true, true, "noeviction"), "Valkey 8.1.0, append-only file, noeviction []");
        assert_eq!(
            told("6.0.16", false, false, "allkeys-lru"),
            r#"Redis 6.0.16, keeps nothing, allkeys-lru ["DOCTOR010", "DOCTOR011", "DOCTOR012"]"#
        );
    }

    #[test]
    fn clocks_that_differ_are_told_by_how_much() {
        let codes = |theirs: u64| clock(theirs, Duration::ZERO).codes;
        assert!(codes(now()).is_empty());
        assert_eq!(codes(now() - 10_000), ["DOCTOR050"]);
        assert_eq!(clock(now() + 90_000, Duration::ZERO).outcome, super::super::Outcome::Error);
    }
}
