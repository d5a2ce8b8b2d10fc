//! What the machine has, from a file, a flag, the profile, or a look at the machine itself.

mod detect;
mod document;
mod flag;

pub use detect::{Detected, Gpus, Nvml, detect};
pub use document::{GpuDocument, HardwareDocument, HardwareError, SliceDocument};
pub use flag::{ASSUMED_VRAM_MIB, FlagError, GpuFlag, MAX_GPUS};

use std::num::{NonZeroU16, NonZeroU32};

/// Cores and memory that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Processor cores, a cgroup quota counted in.
    pub cpu_cores: NonZeroU16,
    /// Memory in MiB, a cgroup limit counted in.
    pub memory_mib: NonZeroU32,
}
