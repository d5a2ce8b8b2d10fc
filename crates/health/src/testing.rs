//! What tests begin with.

use crate::facts::{Counts, Facts, Install, Phase, Planned, Probe, Process, Service, Stage, Worker};

/// A machine that runs and has nothing.
pub(crate) fn machine() -> Facts {
    let mut facts = Facts::starting("m1".parse().unwrap(), "0.1.0", 0);
    facts.at = 1_000_000;
    facts.machine.stage = Stage::Running;
    facts
}

/// A process without trouble.
pub(crate) fn process(phase: Phase) -> Process {
    Process { phase, since: 0, pid: None, restarts: 0, trouble: None, usage: None }
}

/// A healthy service.
pub(crate) fn service(name: &str, needs: &[&str]) -> Service {
    Service {
        name: name.parse().unwrap(),
        kind: None,
        plan: Planned::Enabled,
        install: Install::Present,
        process: Some(process(Phase::Healthy)),
        probe: Probe::Unneeded,
        port: None,
        gpus: vec![],
        needs: needs.iter().map(|it| it.parse().unwrap()).collect(),
    }
}

/// A worker that runs.
pub(crate) fn worker(name: &str, needs: &[&str]) -> Worker {
    Worker {
        name: name.parse().unwrap(),
        id: name.parse().unwrap(),
        connector: "comfyui".into(),
        accepts: vec![],
        needs: needs.iter().map(|it| it.parse().unwrap()).collect(),
        gpu: None,
        process: process(Phase::Healthy),
        held: None,
        job: None,
        counts: Counts::default(),
    }
}
