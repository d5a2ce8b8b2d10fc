//! What a worker says of itself beside the jobs that it takes, so that jobs which require hardware find it.

use serde_json::{Map, Value, json};
use spec::model::{AllocationPlan, ServiceInstance, WorkerType};

/// `WORKER_CAPABILITIES`: the hardware of the machine and the memory of the smallest device that its workers use, in the
/// broker's form. A service elsewhere takes whatever model it is asked for; of one that is here, only its operator knows
/// which models are there.
pub(crate) fn of(plan: &AllocationPlan, worker: &WorkerType, instances: &[&ServiceInstance]) -> String {
    let inventory = plan.inventory();
    let mut hardware = Map::new();
    hardware.insert("cpu_cores".into(), inventory.cpu_cores.get().into());
    hardware.insert("ram_gb".into(), gb(inventory.memory_mib.get()).into());
    if let Some(vram) = instances.iter().filter_map(|it| plan.device_of(it)).map(|it| it.vram_mib.get()).min()
    {
        hardware.insert("gpu_memory_gb".into(), gb(vram).into());
    }
    let mut capabilities = json!({ "hardware": hardware });
    if instances.is_empty() {
        let any: Map<String, Value> =
            worker.accepts.iter().map(|it| (it.to_string(), "any".into())).collect();
        capabilities["models"] = any.into();
    }
    capabilities.to_string()
}

/// Whole GB, as people ask for them: a card of 24,564 MiB has 24.
fn gb(mib: u32) -> u32 {
    (mib + 128) / 1024
}
