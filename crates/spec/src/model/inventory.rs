//! What a machine has.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};

/// A machine's devices, cores and memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// How we know.
    pub origin: InventoryOrigin,
    /// By ascending index, each once.
    pub gpus: Vec<Gpu>,
    /// Processor cores that may be used.
    pub cpu_cores: NonZeroU16,
    /// Memory that may be used, in MiB.
    pub memory_mib: NonZeroU32,
}

/// How an inventory is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InventoryOrigin {
    /// NVML and the kernel said so.
    Detected,
    /// A file, flag or profile says so.
    Declared,
    /// Pretended: GPU services run on the processor.
    Mock,
}

impl fmt::Display for InventoryOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detected => "detected",
            Self::Declared => "declared",
            Self::Mock => "mock",
        })
    }
}

/// One card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its index in PCI bus order.
    pub index: u16,
    /// `GPU-…`, when known.
    pub uuid: Option<String>,
    /// `NVIDIA GeForce RTX 4090`, when known.
    pub model: Option<String>,
    /// Its memory, in MiB.
    pub vram_mib: NonZeroU32,
    /// Its MIG slices; not empty means that MIG is on, and only slices can be used.
    pub slices: Vec<MigSlice>,
}

/// A part of a card with its own memory and engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigSlice {
    /// `MIG-…`: a slice can be named in no other way.
    pub uuid: String,
    /// Its memory, in MiB.
    pub vram_mib: NonZeroU32,
}

/// What a service can be put on: a whole card, or a slice of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its place in [`Inventory::devices`]; the instance number, hence the port, counts from it.
    pub ordinal: u16,
    /// The part of a process name: `gpu0`, `gpu0-mig1`.
    pub label: String,
    /// What the driver calls it: a UUID when known, else the index. The value of `CUDA_VISIBLE_DEVICES`.
    pub identity: String,
    /// Whether [`identity`](Self::identity) is a UUID, and so the same inside a container that sees fewer cards.
    pub identity_is_uuid: bool,
    /// Its memory, in MiB.
    pub vram_mib: NonZeroU32,
}

impl Inventory {
    /// Everything that a service can be put on, in order. The ordinal of a card equals its index when the indices
    /// run from 0 and no card is sliced, so that the service of GPU 1 has the port `base + 1`.
    pub fn devices(&self) -> Vec<Device> {
        let mut devices = Vec::new();
        let ordinal = |devices: &Vec<Device>| u16::try_from(devices.len()).unwrap_or(u16::MAX);
        for gpu in &self.gpus {
            if gpu.slices.is_empty() {
                devices.push(Device {
                    ordinal: ordinal(&devices),
                    label: format!("gpu{}", gpu.index),
                    identity: gpu.uuid.clone().unwrap_or_else(|| gpu.index.to_string()),
                    identity_is_uuid: gpu.uuid.is_some(),
                    vram_mib: gpu.vram_mib,
                });
            }
            for (slice, number) in gpu.slices.iter().zip(0..) {
                let number: u16 = number;
                devices.push(Device {
                    ordinal: ordinal(&devices),
                    label: format!("gpu{}-mig{number}", gpu.index),
                    identity: slice.uuid.clone(),
                    identity_is_uuid: true,
                    vram_mib: slice.vram_mib,
                });
            }
        }
        devices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_replace_their_card_and_ordinals_run_on() {
        let gib = |n: u32| NonZeroU32::new(n * 1024).unwrap();
        let slice = |uuid: &str| MigSlice { uuid: uuid.into(), vram_mib: gib(10) };
        let card = |index, slices| Gpu { index, uuid: None, model: None, vram_mib: gib(40), slices };
        let inventory = Inventory {
            origin: InventoryOrigin::Declared,
            gpus: vec![card(0, vec![slice("MIG-a"), slice("MIG-b")]), card(1, vec![])],
            cpu_cores: NonZeroU16::MIN,
            memory_mib: gib(64),
        };
        let seen: Vec<_> =
            inventory.devices().into_iter().map(|it| (it.ordinal, it.label, it.identity)).collect();
        let expected = [(0, "gpu0-mig0", "MIG-a"), (1, "gpu0-mig1", "MIG-b"), (2, "gpu1", "1")];
        assert_eq!(seen, expected.map(|(ordinal, label, id)| (ordinal, label.to_owned(), id.to_owned())));
    }
}
