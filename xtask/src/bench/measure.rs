//! Runs a whole process many times and says how long it took and how much memory it held at most.
//!
//! Time is the wall clock around the process. Memory is the maximum resident set that GNU `time` reads from `wait4`: the
//! standard library has no safe `wait4`, and the kernel counts what a process was before `exec` towards its maximum, so the
//! parent has to be as small as `time` is.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::workspace::{command, output, remove, typed};

/// What is measured: one command line.
pub(super) struct Case {
    /// The row's name.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// A folder that is empty before each run.
    pub emptied: Option<PathBuf>,
    /// What it may take; none for a program that only stands beside ours.
    pub limit: Option<Limit>,
}

/// What a case may take: median time and maximum resident memory.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// Milliseconds.
    pub ms: u64,
    /// Megabytes of 10^6 bytes, where memory has a limit.
    pub mb: Option<u64>,
}

/// What a case took.
pub(super) struct Measured {
    median: Duration,
    p95: Duration,
    /// Bytes.
    memory: u64,
}

/// How often a case runs for its memory, which hardly varies.
const MEMORY_RUNS: usize = 3;

impl Case {
    /// Runs the case `runs` times for its time, after one run that warms the file cache, and a few for its memory.
    pub(super) fn measure(&self, runs: u16, settings: &[(String, String)]) -> Result<Measured, String> {
        let (program, arguments) = self.command.split_first().expect("a case names its program");
        let start = |program: &str| {
            if let Some(folder) = &self.emptied {
                remove(folder)?;
                fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            }
            let mut command = command(program);
            command.envs(settings.iter().cloned());
            Ok::<_, String>(command)
        };
        output(start(program)?.args(arguments))?;
        let mut times = Vec::new();
        for _ in 0..runs {
            let mut direct = start(program)?;
            direct.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
            let started = Instant::now();
            let status = direct.status();
            times.push(started.elapsed());
            if !status.is_ok_and(|status| status.success()) {
                return Err(format!("`{}` did not succeed every time", typed(&direct)));
            }
        }
        let mut memory = 0;
        for _ in 0..MEMORY_RUNS {
            let mut under_time = start("time")?;
            under_time.args(["--quiet", "--format=%M", "--", program]).args(arguments);
            memory = memory.max(maximum_resident(&mut under_time)?);
        }
        times.sort_unstable();
        Ok(Measured { median: quantile(&times, 50), p95: quantile(&times, 95), memory })
    }
}

/// The last line that `time` wrote on stderr, after whatever the program itself wrote there.
pub(super) fn maximum_resident(under_time: &mut Command) -> Result<u64, String> {
    let failed = |error: &dyn std::fmt::Display| format!("GNU time: {error}; type `cargo xtask setup`");
    let finished = under_time.stdout(Stdio::null()).output().map_err(|error| failed(&error))?;
    let said = String::from_utf8_lossy(&finished.stderr);
    let kibibytes: u64 =
        said.lines().last().unwrap_or_default().trim().parse().map_err(|error| failed(&error))?;
    Ok(kibibytes * 1024)
}

/// The smallest of `sorted` (not empty) that at least `percent` of them do not exceed: the nearest-rank method.
pub(super) fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

impl Measured {
    pub(super) const HEAD: &'static str = "| case | median ms | p95 ms | max RSS MB | limit | verdict | of docker-compose |\n\
                                           |---|--:|--:|--:|---|---|--:|";

    /// One row of the table, and whether it is within its limit. `beside` is what stands beside it.
    pub(super) fn row(&self, case: &Case, beside: Option<&Self>) -> (String, bool) {
        let memory = tenths_of_megabytes(self.memory);
        let within = case.limit.is_none_or(|limit| {
            self.median <= Duration::from_millis(limit.ms) && limit.mb.is_none_or(|mb| memory <= mb * 10)
        });
        let limit = match case.limit {
            None => String::new(),
            Some(Limit { ms, mb: None }) => format!("{ms} ms"),
            Some(Limit { ms, mb: Some(mb) }) => format!("{ms} ms, {mb} MB"),
        };
        let verdict = match case.limit {
            None => "",
            Some(_) if within => "within",
            Some(_) => "OVER",
        };
        let part = beside.map(|it| format!("{:.2}", self.median.as_secs_f64() / it.median.as_secs_f64()));
        let [median, p95] = [self.median, self.p95].map(|it| it.as_secs_f64() * 1000.0);
        let (name, whole, tenth) = (&case.name, memory / 10, memory % 10);
        let measured = format!("| {name} | {median:.1} | {p95:.1} | {whole}.{tenth} |");
        (format!("{measured} {limit} | {verdict} | {} |", part.unwrap_or_default()), within)
    }
}

/// Rounded up: a limit that is broken by a little is broken.
fn tenths_of_megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(100_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Case, Limit, Measured, quantile};

    #[test]
    fn quantiles_are_measured_values() {
        let times: Vec<_> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(quantile(&times, 50), Duration::from_millis(10));
        assert_eq!(quantile(&times, 95), Duration::from_millis(19));
        assert_eq!(quantile(&times[..1], 95), Duration::from_millis(1));
    }

    #[test]
    fn a_row_says_when_a_limit_is_broken() {
        let limit = Some(Limit { ms: 20, mb: Some(15) });
        let case = Case { name: "plan".into(), command: vec!["true".into()], emptied: None, limit };
        let measured = |ms, memory| Measured {
            median: Duration::from_millis(ms),
            p95: Duration::from_millis(ms),
            memory,
        };
        let within = measured(20, 15_000_000).row(&case, Some(&measured(80, 1)));
        assert_eq!(within, ("| plan | 20.0 | 20.0 | 15.0 | 20 ms, 15 MB | within | 0.25 |".to_owned(), true));
        assert!(!measured(21, 1).row(&case, None).1, "too slow");
        assert!(!measured(1, 15_000_001).row(&case, None).1, "too large");
    }
}
