//! A look at the machine: NVML for the cards, the kernel for cores and memory.

use std::fs;
use std::num::{NonZeroU16, NonZeroU32};

use nvml_wrapper::error::NvmlError;
use spec::model::{Gpu, Inventory, InventoryOrigin, MigSlice};

use super::Host;

/// The seam to the cards: NVML in the binary, a list in a test.
pub trait Gpus {
    /// The cards in PCI bus order, or one sentence on why none can be seen.
    fn list(&self) -> Result<Vec<Gpu>, String>;
}

/// NVIDIA's management library, loaded at run time: a machine without the driver needs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nvml;

/// What a look at the machine found.
#[derive(Clone, Debug)]
pub struct Detected {
    /// What it has.
    pub inventory: Inventory,
    /// Why no card was seen, if none was.
    pub note: Option<String>,
}

/// Looks at the machine. An absent driver means 0 GPUs and a note, never an error.
pub fn detect(gpus: &dyn Gpus, host: Host) -> Detected {
    let (gpus, note) = match gpus.list() {
        Ok(gpus) => (gpus, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let origin = InventoryOrigin::Detected;
    let inventory = Inventory { origin, gpus, cpu_cores: host.cpu_cores, memory_mib: host.memory_mib };
    Detected { inventory, note }
}

impl Gpus for Nvml {
    fn list(&self) -> Result<Vec<Gpu>, String> {
        let nvml = open().map_err(|error| match error {
            NvmlError::LibloadingError(_) => "no NVIDIA driver library on this machine".to_owned(),
            other => format!("NVML does not start: {other}"),
        })?;
        let cards = nvml
            .device_count()
            .and_then(|count| (0..count).map(|index| card(&nvml, index)).collect::<Result<Vec<_>, _>>())
            .map_err(|error| format!("NVML does not answer: {error}"))?;
        // Nothing can run on such a card, and leaving it out in silence would look like a lost card.
        match cards.iter().find(|(gpu, sliced)| *sliced && gpu.slices.is_empty()) {
            Some((gpu, _)) => Err(format!("GPU {} is in MIG mode and has no slices", gpu.index)),
            None => Ok(cards.into_iter().map(|(gpu, _)| gpu).collect()),
        }
    }
}

/// Most drivers install `libnvidia-ml.so.1` only; the name without a version comes with the development package.
fn open() -> Result<nvml_wrapper::Nvml, NvmlError> {
    let versioned = nvml_wrapper::Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init();
    versioned.or_else(|_| nvml_wrapper::Nvml::init())
}

/// A card, and whether it is in MIG mode.
fn card(nvml: &nvml_wrapper::Nvml, index: u32) -> Result<(Gpu, bool), NvmlError> {
    let device = nvml.device_by_index(index)?;
    // Cards without MIG answer `NotSupported`, old drivers have no such function: both mean no slices.
    let slots = device.mig_device_count().unwrap_or(0);
    let slices = (0..slots)
        .filter_map(|slot| device.mig_device_by_index(slot).ok())
        .map(|slice| Ok(MigSlice { uuid: slice.uuid()?, vram_mib: mebibytes(slice.memory_info()?.total) }));
    let slices = slices.collect::<Result<Vec<_>, NvmlError>>()?;
    let gpu = Gpu {
        index: u16::try_from(index).unwrap_or(u16::MAX),
        uuid: Some(device.uuid()?),
        model: device.name().ok(),
        vram_mib: mebibytes(device.memory_info()?.total),
        slices,
    };
    Ok((gpu, device.mig_mode().is_ok_and(|it| it.current != 0)))
}

fn mebibytes(bytes: u64) -> NonZeroU32 {
    u32::try_from(bytes >> 20).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

impl Host {
    /// Asks the kernel. Memory is the smaller of the machine's and the cgroup's limit; 1 GiB when neither answers.
    pub fn look() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_total(&text));
        let limit =
            fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
        let bytes = total.into_iter().chain(limit).min().unwrap_or(1 << 30);
        let cpu_cores = u16::try_from(cores).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN);
        Self { cpu_cores, memory_mib: mebibytes(bytes) }
    }
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Absent;
    impl Gpus for Absent {
        fn list(&self) -> Result<Vec<Gpu>, String> {
            Err("no NVIDIA driver library on this machine".into())
        }
    }

    #[test]
    fn an_absent_driver_means_no_gpus_and_a_note() {
        let detected = detect(&Absent, Host::look());
        assert!(detected.inventory.gpus.is_empty());
        assert_eq!(detected.note.as_deref(), Some("no NVIDIA driver library on this machine"));
    }

    #[test]
    fn memory_is_read_from_the_kernels_words() {
        assert_eq!(meminfo_total("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(24_576_000 * 1024));
    }
}
