//! The cards as NVIDIA's driver sees them.

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;

use crate::gpu::{Card, Gpus, Holder};
use crate::proc;

/// The driver's library.
#[derive(Debug)]
pub struct Nvml(nvml_wrapper::Nvml);

impl Nvml {
    /// Loads the library; fails where there is no driver.
    pub fn load() -> Result<Self, NvmlError> {
        nvml_wrapper::Nvml::init().map(Self)
    }

    fn look(&self, identity: &str) -> Result<Card, NvmlError> {
        let device = match identity.parse() {
            Ok(index) => self.0.device_by_index(index)?,
            Err(_) => self.0.device_by_uuid(identity)?,
        };
        let mib = |bytes: u64| bytes >> 20;
        let holders = device.running_compute_processes()?.into_iter().filter_map(|it| {
            let pid = i32::try_from(it.pid).ok()?;
            let used_mib = match it.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(mib(bytes)),
                UsedGpuMemory::Unavailable => None,
            };
            Some(Holder { pid, name: proc::name(pid).unwrap_or_else(|| "not in sight".into()), used_mib })
        });
        Ok(Card { free_mib: mib(device.memory_info()?.free), holders: holders.collect() })
    }
}

impl Gpus for Nvml {
    fn card(&self, identity: &str) -> Result<Card, String> {
        self.look(identity).map_err(|it| it.to_string())
    }
}
