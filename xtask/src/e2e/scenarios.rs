//! The scenarios, in the order of how much they ask.

use super::{Scenario, compose};

mod changes;
mod connectors;
mod faults;
mod flow;
mod guide;
mod legacy;
mod newcomer;

/// All of them.
pub(super) const ALL: &[Scenario] = &[
    Scenario {
        name: "single-worker",
        about: "one worker does jobs in the order in which they came",
        docker: false,
        act: |world| Box::pin(flow::single_worker(world)),
    },
    Scenario {
        name: "many-gpus",
        about: "eight jobs a GPU on four mock GPUs: balanced, and in hardly more than the ideal time",
        docker: false,
        act: |world| Box::pin(flow::many_gpus(world)),
    },
    Scenario {
        name: "mixed-workload",
        about: "GPU jobs and jobs of an API at once, the API a real server of its protocol",
        docker: false,
        act: |world| Box::pin(flow::mixed_workload(world)),
    },
    Scenario {
        name: "priorities",
        about: "an urgent job overtakes those that wait",
        docker: false,
        act: |world| Box::pin(flow::priorities(world)),
    },
    Scenario {
        name: "retry-and-dead-letter",
        about: "a failing job is tried again; one that always fails is kept with its reason, and replayed",
        docker: false,
        act: |world| Box::pin(faults::retry_and_dead_letter(world)),
    },
    Scenario {
        name: "cancel",
        about: "a waiting job never starts, a running one stops",
        docker: false,
        act: |world| Box::pin(faults::cancel(world)),
    },
    Scenario {
        name: "worker-crash",
        about: "a killed worker's job is done by another, and the worker comes back",
        docker: false,
        act: |world| Box::pin(faults::worker_crash(world)),
    },
    Scenario {
        name: "service-crash",
        about: "a killed service comes back; the others work on and no job is lost",
        docker: false,
        act: |world| Box::pin(faults::service_crash(world)),
    },
    Scenario {
        name: "redis-restart",
        about: "Redis is killed under load and comes back; no job is lost or done for nothing",
        docker: false,
        act: |world| Box::pin(faults::redis_restart(world)),
    },
    Scenario {
        name: "drain",
        about: "SIGTERM under load: the machine ends with 0, its unfinished jobs wait untouched",
        docker: false,
        act: |world| Box::pin(changes::drain(world)),
    },
    Scenario {
        name: "switch-and-rollback",
        about: "a running machine takes another roster and goes back, and no process is left over",
        docker: false,
        act: |world| Box::pin(changes::switch_and_rollback(world)),
    },
    Scenario {
        name: "connectors",
        about: "a job of every kind, and one that fails, through every connector at a service of its protocol",
        docker: false,
        act: |world| Box::pin(connectors::connectors(world)),
    },
    Scenario {
        name: "legacy-producer",
        about: "jobs in the form of the TypeScript system are done by a machine of ours, on its wire",
        docker: false,
        act: |world| Box::pin(legacy::legacy_producer(world)),
    },
    Scenario {
        name: "operations-guide",
        about: "every block of commands in docs/operations.md does what it says",
        docker: false,
        act: |world| Box::pin(guide::operations(world)),
    },
    Scenario {
        name: "demo",
        about: "`cargo xtask demo --keep`: jobs, a killed worker, a page, and a good end by Ctrl-C",
        docker: false,
        act: |world| Box::pin(newcomer::demo(world)),
    },
    Scenario {
        name: "compose",
        about: "the generated file under Docker Compose: built, up, worked, stopped, gone",
        docker: true,
        act: |world| Box::pin(compose::compose(world)),
    },
];

/// Fails with `why` unless it holds.
fn hold(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
