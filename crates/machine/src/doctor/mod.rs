//! `roster doctor`: looks at everything that a machine needs from its surroundings, and says how to mend what is wrong.

mod docker;
mod fault;
mod host;
mod legacy;
mod redis;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use planner::cli::EXIT_CODES;
use planner::{Redactor, Told};
use serde::Serialize;
use spec::notes::{Exit, Fault, Finding, Located, Severity};

use crate::config::{self, Which};
use crate::say::{Common, world};

/// Look at what a machine needs: engine, cards, Redis, ports, secret files, disk and clock; say how to mend what is wrong
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verb {
    /// Look at the queue of the TypeScript system instead, at `REDIS_URL` or `HUB_REDIS_URL`; changes nothing there
    #[arg(long)]
    legacy: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
}

/// What was looked at.
#[derive(Clone, Debug, Serialize)]
struct Check {
    /// `docker`, `gpus`, `redis`, `ports`, `secrets`, `disk`, `clock`, `services`.
    name: &'static str,
    /// What came of it.
    outcome: Outcome,
    /// What was seen.
    seen: String,
    /// The codes of what is wrong; the findings say more.
    codes: Vec<&'static str>,
    #[serde(skip)]
    findings: Vec<Finding>,
}

/// What came of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// All is well.
    Ok,
    /// The machine will run; people should know.
    Advice,
    /// The machine will not run, or not as it should.
    Error,
    /// There was nothing to look at.
    Skipped,
}

impl Check {
    fn new(name: &'static str, seen: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Ok, seen: seen.into(), codes: vec![], findings: vec![] }
    }

    fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped, ..Self::new(name, why) }
    }

    /// With what is wrong.
    fn with(mut self, finding: Finding) -> Self {
        let outcome = if finding.severity == Severity::Error { Outcome::Error } else { Outcome::Advice };
        self.outcome = match (self.outcome, outcome) {
            (Outcome::Error, _) | (_, Outcome::Error) => Outcome::Error,
            _ => Outcome::Advice,
        };
        self.codes.push(finding.code.id);
        self.findings.push(finding);
        self
    }

    fn error<F: Fault>(self, fault: F) -> Self {
        self.with(Finding::error(Located::nowhere(fault)))
    }

    fn advice<F: Fault>(self, fault: F) -> Self {
        self.with(Finding::advice(Located::nowhere(fault)))
    }
}

pub(crate) fn run(verb: &Verb) -> ExitCode {
    if verb.legacy {
        return legacy::run(&verb.common);
    }
    let config = config::load(&verb.which, world());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (checks, findings, redactor) = match (&config, runtime) {
        (Ok(config), Ok(runtime)) => {
            let checks = runtime.block_on(async {
                let (docker, redis) = tokio::join!(docker::check(config.uses_gpus()), redis::check(config));
                let mut checks = vec![docker, host::gpus(config)];
                checks.extend(redis);
                checks.extend([
                    host::ports(config),
                    host::secrets(config),
                    host::disk(config),
                    host::services(config),
                ]);
                checks
            });
            (checks, vec![], config.guard.redactor())
        }
        // Without a configuration there is no telling what is needed; the engine can be looked at all the same.
        (Err((findings, redactor)), Ok(runtime)) => {
            let skipped =
                Check::skipped("configuration", "it is not complete; the rest is looked at once it is");
            (vec![runtime.block_on(docker::check(false)), skipped], findings.clone(), redactor.clone())
        }
        (_, Err(_)) => (vec![], vec![], Redactor::default()),
    };
    let out = text(&checks);
    let findings = findings.into_iter().chain(checks.iter().flat_map(|it| it.findings.clone())).collect();
    let (talk, exit) = (String::new(), Exit::Ok);
    verb.common.say(Told { result: Some(checks), out, talk, exit, findings, redactor })
}

fn text(checks: &[Check]) -> String {
    checks.iter().fold(String::new(), |mut out, it| {
        let outcome = match it.outcome {
            Outcome::Ok => "ok",
            Outcome::Advice => "note",
            Outcome::Error => "error",
            Outcome::Skipped => "-",
        };
        let _ = writeln!(out, "{:<13} {outcome:<5}  {}", it.name, it.seen);
        out
    })
}
