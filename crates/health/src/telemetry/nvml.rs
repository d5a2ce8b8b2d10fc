//! GPUs as NVIDIA's driver sees them.

use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, EventSet, Nvml as Library};

use super::GpuTelemetry;
use crate::facts::{Gpu, Reading};

/// The most events that are taken in one reading; those beyond are taken in the next.
const EVENTS: usize = 256;

/// The driver's library.
pub struct Nvml {
    library: &'static Library,
    /// Where XID errors are told; nothing where the driver does not tell them (some virtual GPUs).
    events: Option<EventSet<'static>>,
    /// By the index of the GPU: what is known of it, should it be lost, and its XID errors so far.
    seen: Vec<(Gpu, u64, Option<u64>)>,
}

impl Nvml {
    /// Loads the library; fails where there is no driver. The library stays loaded until the program ends.
    pub fn load() -> Result<Self, NvmlError> {
        // An event set borrows the library, and both are needed for as long as the machine runs.
        let library: &'static Library = Box::leak(Box::new(Library::init()?));
        let count = library.device_count()?;
        let mut events = library.create_event_set().ok();
        let mut seen = Vec::new();
        for index in 0..count {
            if let (Some(set), Ok(device)) = (events.take(), library.device_by_index(index)) {
                // A set that refuses a device is lost; without it there are readings and no XID errors.
                events =
                    device.register_events(EventTypes::CRITICAL_XID_ERROR, set).map_err(|it| it.error).ok();
            }
            seen.push((Gpu { index, ..Gpu::default() }, 0, None));
        }
        Ok(Self { library, events, seen })
    }

    /// Counts the XID errors that came since the last reading.
    fn count(&mut self) {
        let Some(events) = &self.events else { return };
        for _ in 0..EVENTS {
            let Ok(event) = events.wait(0) else { return };
            let Some(Ok(index)) = Some(event.device.index()) else { continue };
            let Some((_, count, last)) = self.seen.get_mut(index as usize) else { continue };
            *count += 1;
            *last = match event.event_data {
                Some(XidError::Value(it)) => Some(it),
                _ => *last,
            };
        }
    }
}

impl GpuTelemetry for Nvml {
    fn read(&mut self) -> Vec<Gpu> {
        self.count();
        for (gpu, xid_errors, last_xid) in &mut self.seen {
            let read = self.library.device_by_index(gpu.index).and_then(|it| look(&it, gpu));
            match read {
                Ok(reading) => {
                    gpu.fault = None;
                    gpu.reading = Some(Reading { xid_errors: *xid_errors, last_xid: *last_xid, ..reading });
                }
                Err(error) => {
                    gpu.reading = None;
                    gpu.fault = Some(error.to_string());
                }
            }
        }
        self.seen.iter().map(|(gpu, ..)| gpu.clone()).collect()
    }
}

/// What it is, into `gpu`, and what it does.
fn look(device: &Device<'_>, gpu: &mut Gpu) -> Result<Reading, NvmlError> {
    let memory = device.memory_info()?;
    gpu.memory_total = memory.total;
    if gpu.uuid.is_none() {
        gpu.uuid = Some(device.uuid()?);
        gpu.name = device.name()?;
    }
    Ok(Reading {
        memory_used: memory.used,
        // A card that is cut into MIG instances does not tell: it counts as idle.
        utilisation: device.utilization_rates().map_or(0, |it| u8::try_from(it.gpu).unwrap_or(100)),
        temperature: device.temperature(TemperatureSensor::Gpu)?,
        power: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1000.0),
        xid_errors: 0,
        last_xid: None,
    })
}
