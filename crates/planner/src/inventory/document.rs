//! Hardware as people write it: an inventory file, or the `hardware` block of a profile.

use std::num::{NonZeroU16, NonZeroU32};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spec::model::{Gpu, Inventory, InventoryOrigin, MigSlice};

use super::flag::{ASSUMED_VRAM_MIB, MAX_GPUS};
use super::{GpuFlag, Host};

/// What a machine has. What is left out is taken from the machine that plans.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HardwareDocument {
    /// The schema of this document, for editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// GPU services run on the processor; the cards are pretended.
    #[serde(default)]
    pub mock: bool,
    /// The cards, in PCI bus order.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub gpus: Vec<GpuDocument>,
    /// Processor cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<NonZeroU16>,
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<NonZeroU32>,
}

/// One card.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuDocument {
    /// Its index; the place in the list when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u16>,
    /// `GPU-…`, as `nvidia-smi -L` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^GPU-[0-9A-Za-z-]+$"))]
    pub uuid: Option<String>,
    /// Its product name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its memory in MiB.
    pub vram_mib: NonZeroU32,
    /// Its MIG slices, when MIG is on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mig: Vec<SliceDocument>,
}

/// One MIG slice.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliceDocument {
    /// `MIG-…`, as `nvidia-smi -L` prints it.
    #[schemars(regex(pattern = r"^MIG-[0-9A-Za-z/-]+$"))]
    pub uuid: String,
    /// Its memory in MiB.
    pub vram_mib: NonZeroU32,
}

/// Why a hardware document is not an inventory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HardwareError {
    /// Two cards of one index.
    #[error("two GPUs have the index {index}")]
    SameIndex {
        /// That index.
        index: u16,
    },
    /// Two devices of one UUID.
    #[error("two GPUs or slices have the UUID {uuid}")]
    SameUuid {
        /// That UUID.
        uuid: String,
    },
}

impl HardwareDocument {
    /// The inventory, completed with the cores and memory of `host`.
    pub fn lower(self, host: Host) -> Result<Inventory, Vec<HardwareError>> {
        let mut errors = Vec::new();
        let mut gpus: Vec<Gpu> = Vec::new();
        let mut uuids: Vec<String> = Vec::new();
        for (it, place) in self.gpus.into_iter().zip(0..MAX_GPUS) {
            let index = it.index.unwrap_or(place);
            if gpus.iter().any(|gpu| gpu.index == index) {
                errors.push(HardwareError::SameIndex { index });
            }
            for uuid in it.uuid.iter().chain(it.mig.iter().map(|slice| &slice.uuid)) {
                if uuids.contains(uuid) {
                    errors.push(HardwareError::SameUuid { uuid: uuid.clone() });
                }
                uuids.push(uuid.clone());
            }
            let slices =
                it.mig.into_iter().map(|it| MigSlice { uuid: it.uuid, vram_mib: it.vram_mib }).collect();
            gpus.push(Gpu { index, uuid: it.uuid, model: it.model, vram_mib: it.vram_mib, slices });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        gpus.sort_by_key(|gpu| gpu.index);
        if self.mock && gpus.is_empty() {
            // A mock machine always has a card to pretend with.
            gpus = GpuFlag { count: 1, vram_mib: Some(ASSUMED_VRAM_MIB) }.gpus();
        }
        let origin = if self.mock { InventoryOrigin::Mock } else { InventoryOrigin::Declared };
        let cpu_cores = self.cpu_cores.unwrap_or(host.cpu_cores);
        let memory_mib = self.memory_mib.unwrap_or(host.memory_mib);
        Ok(Inventory { origin, gpus, cpu_cores, memory_mib })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host { cpu_cores: NonZeroU16::MIN, memory_mib: NonZeroU32::MIN };

    fn lower(json: &str) -> Result<Inventory, Vec<HardwareError>> {
        serde_json::from_str::<HardwareDocument>(json).unwrap().lower(HOST)
    }

    #[test]
    fn every_repeated_index_and_uuid_is_told() {
        let two =
            r#"{"gpus": [{"vram_mib": 1, "uuid": "GPU-a"}, {"vram_mib": 1, "uuid": "GPU-a", "index": 0}]}"#;
        let uuid = "GPU-a".to_owned();
        let expected = vec![HardwareError::SameIndex { index: 0 }, HardwareError::SameUuid { uuid }];
        assert_eq!(lower(two), Err(expected));
    }

    #[test]
    fn a_mock_machine_has_a_card_to_pretend_with() {
        let mock = lower(r#"{"mock": true}"#).unwrap();
        assert_eq!((mock.origin, mock.gpus.len()), (InventoryOrigin::Mock, 1));
        assert_eq!(lower("{}").unwrap().gpus.len(), 0);
    }

    #[test]
    fn cards_are_ordered_by_index() {
        let gpus =
            lower(r#"{"gpus": [{"vram_mib": 1, "index": 3}, {"vram_mib": 2, "index": 1}]}"#).unwrap().gpus;
        assert_eq!(gpus.iter().map(|it| it.index).collect::<Vec<_>>(), [1, 3]);
    }
}
