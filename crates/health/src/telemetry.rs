//! What GPUs do.

use crate::facts::Gpu;

#[cfg(feature = "nvml")]
mod nvml;

#[cfg(feature = "nvml")]
pub use nvml::Nvml;

/// Asks GPUs what they do. NVIDIA's driver, or what a test says.
pub trait GpuTelemetry: Send {
    /// Every GPU, in the order of their indices. It may block for some milliseconds: call it where that does no harm.
    ///
    /// A GPU that cannot be asked is in the answer, with its fault.
    fn read(&mut self) -> Vec<Gpu>;
}

/// GPUs that nobody can ask: a declared inventory, or one that a test invents.
impl GpuTelemetry for Vec<Gpu> {
    fn read(&mut self) -> Vec<Gpu> {
        self.clone()
    }
}
