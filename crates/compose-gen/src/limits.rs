//! What a container may take of its machine.

use spec::model::{AllocationPlan, Isolation};

/// Redis' memory in MiB. It may fill half of it: rewriting its append-only file forks, and the fork copies what changes.
pub(crate) const REDIS_MEMORY_MIB: u32 = 1024;

/// The most memory that a machine leaves to its host, in MiB.
const MOST_FOR_HOST_MIB: u32 = 4096;

/// Memory of a machine's container, in MiB: what the machine has, less an eighth of it (at most 4 GiB) for the kernel
/// and the engine, less Redis where that runs beside it; but always half of it.
pub(crate) fn memory_mib(plan: &AllocationPlan, with_redis: bool) -> u32 {
    let has = plan.inventory().memory_mib.get();
    let reserve = (has / 8).min(MOST_FOR_HOST_MIB) + if with_redis { REDIS_MEMORY_MIB } else { 0 };
    has - reserve.min(has / 2)
}

/// Threads count as processes. 512 cover an event loop, a browser with its pages or a client pool.
const PIDS_PER_PROCESS: u64 = 512;
/// Numeric libraries start a pool as large as the machine, and `PyTorch` has several: intra-op, inter-op, OpenMP, BLAS.
const PIDS_PER_CORE: u64 = 4;
/// More than this the kernel cannot count on 64-bit machines (`PID_MAX_LIMIT`).
const MOST_PIDS: u64 = 4 * 1024 * 1024;

/// Processes and threads of a machine's container: 512 and 4 a core for each process that its supervisor starts, and
/// for the supervisor itself. It stops a fork bomb, and nothing that works.
pub(crate) fn pids(plan: &AllocationPlan) -> u64 {
    let own = |it: &&spec::model::WorkerInstance| it.index == 0 || it.worker.isolation == Isolation::Process;
    let processes = 1 + plan.services().len() + plan.workers().iter().filter(own).count();
    let each = PIDS_PER_PROCESS + PIDS_PER_CORE * u64::from(plan.inventory().cpu_cores.get());
    MOST_PIDS.min(each.saturating_mul(processes as u64))
}

/// What a machine's workers and its own start-up add to the time in which its slowest service gets ready, in seconds.
const STARTUP_S: u32 = 30;

/// Seconds in which a failed health check does not count yet.
pub(crate) fn start_period_s(plan: &AllocationPlan) -> u32 {
    let services = plan.local_services();
    let ready = services.iter().filter_map(|it| it.local()).map(|it| it.start.ready_within_s.get());
    ready.max().unwrap_or(0).saturating_add(STARTUP_S)
}
