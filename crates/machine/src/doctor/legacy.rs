//! `roster doctor --legacy`: what a queue of the TypeScript system is like, what is wrong with it, and how to mend that.

use std::fmt::Write as _;
use std::process::ExitCode;

use broker::Any;
use broker::legacy::Inspection;
use planner::Told;
use spec::notes::{Finding, Located};

use crate::job::At;
use crate::say::Common;

pub(super) fn run(common: &Common) -> ExitCode {
    At::legacy(common.clone()).ask(async |queue| {
        let inspected = match &queue.broker {
            Any::Legacy(broker) => broker.inspect().await,
            Any::Native(_) => {
                Err(broker::Error::Wire("this is a native queue; `roster job audit` looks at it"))
            }
        };
        let found = inspected.map_err(|it| queue.findings(it))?;
        let issues = found.issues.iter().cloned();
        let findings = issues.map(|it| Finding::error(Located::nowhere(it))).collect();
        let out = text(&found);
        Ok(Told { findings, ..queue.answer(found, out, String::new()) })
    })
}

fn text(found: &Inspection) -> String {
    let mut out = String::new();
    let mut line = |name: &str, seen: &str| {
        let _ = writeln!(out, "{name:<10} {seen}");
    };
    let checksum = found.checksum.as_deref().unwrap_or_default();
    line(
        "function",
        &if found.function { format!("installed, sha256 {checksum}") } else { "missing".into() },
    );
    let (waiting, running, failed) = (found.waiting, found.running, found.failed);
    line("jobs", &format!("{waiting} waiting, {running} running, {failed} failed"));
    let services: Vec<String> = found.services.iter().map(|(name, jobs)| format!("{name} {jobs}")).collect();
    line("waiting", &if services.is_empty() { "-".into() } else { services.join(", ") });
    line("workers", &if found.workers.is_empty() { "-".into() } else { found.workers.join(", ") });
    out
}
