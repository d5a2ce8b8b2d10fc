//! Why a workload does not fit a machine. Each refusal is true: no other allocation would have fitted.

use std::fmt;

use spec::ids::{EnvKey, PortName, ProcessName, ServiceName};
use spec::model::Violation;
use spec::notes::{Code, Fault};
use spec::source::Place;

use crate::codes;
use crate::packing::MAX_ITEMS;

/// One reason against an allocation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A worker whose service is bound to a GPU, and no GPU.
    #[error("`{entry}` works on `{service}`, which needs a GPU; the machine has none")]
    NoGpu {
        /// The roster entry.
        entry: String,
        /// Its service.
        service: ServiceName,
    },
    /// An instance that no device can hold, even empty.
    #[error(
        "an instance of `{}` needs {} MiB of device memory; the largest device, {}, has {} MiB: {} MiB too few",
        need.service, need.vram_mib, largest.label, largest.vram_mib, need.vram_mib.saturating_sub(largest.vram_mib)
    )]
    DeviceTooSmall {
        /// The service.
        need: Need,
        /// The largest device, of equal ones the first.
        largest: Room,
    },
    /// Services that each fit a device, but not all of them; any one less and they do.
    #[error("{} do not fit together; the machine has {}", listed(needs), rooms(devices))]
    NotTogether {
        /// The services, by name.
        needs: Vec<Need>,
        /// Every device, by ordinal.
        devices: Vec<Room>,
    },
    /// Services that would fit together if none were exclusive.
    #[error(
        "{} do not fit together, since an exclusive service shares no device; the machine has {}",
        listed(needs),
        rooms(devices)
    )]
    Exclusive {
        /// The services, by name.
        needs: Vec<Need>,
        /// Every device, by ordinal.
        devices: Vec<Room>,
    },
    /// More GPU services than are packed exactly.
    #[error("the roster needs {kinds} different GPU services; {MAX_ITEMS} is the limit for one machine")]
    TooManyKinds {
        /// How many.
        kinds: usize,
    },
    /// A port above 65,535: said once for a port of a service, for its first such instance.
    #[error("port `{port}` of `{name}` would be {number}; 65535 is the last one")]
    PortOutOfRange {
        /// The instance.
        name: ProcessName,
        /// The port's name.
        port: PortName,
        /// Its number.
        number: u64,
        /// What gave it.
        base: Base,
    },
    /// Two claims on one port: said once for two ports of services, for the first such instances.
    #[error("port {number} is claimed by {first} and by {second}")]
    PortTaken {
        /// The port.
        number: u16,
        /// Who has it.
        first: Claimant,
        /// Who wants it too.
        second: Claimant,
    },
    /// More instances of a service than can be numbered.
    #[error("an instance of `{service}` would have the number {number}; 65535 is the last one")]
    InstanceNumber {
        /// The service.
        service: ServiceName,
        /// The first number that is too high.
        number: u64,
    },
    /// A mistake of ours.
    #[error("the proposed plan does not hold: {0}")]
    Internal(Violation),
}

/// What one instance of a GPU service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The service.
    pub service: ServiceName,
    /// Device memory, in MiB.
    pub vram_mib: u32,
    /// It shares its device with no other service.
    pub exclusive: bool,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exclusive = if self.exclusive { ", exclusive" } else { "" };
        write!(f, "`{}` ({} MiB{exclusive})", self.service, self.vram_mib)
    }
}

/// What a device has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// `gpu0`, `gpu0-mig1`.
    pub label: String,
    /// Its memory, in MiB; all of it is free before an allocation.
    pub vram_mib: u32,
}

/// Where a port comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// The port of instance 0.
    pub port: u16,
    /// Added for each further instance.
    pub increment: u16,
    /// Who said `port`.
    pub from: Place,
    /// The variable that may replace it.
    pub variable: Option<EnvKey>,
}

/// Who claims a port.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimant {
    /// The machine's health server.
    Health,
    /// An instance of a service.
    Service {
        /// Its name.
        name: ProcessName,
        /// What gave the port.
        base: Base,
    },
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health => f.write_str("the health server"),
            Self::Service { name, base } => write!(f, "`{name}` (base {} from {})", base.port, base.from),
        }
    }
}

/// `a, b and c`.
fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn listed(needs: &[Need]) -> String {
    joined(&needs.iter().map(Need::to_string).collect::<Vec<_>>())
}

/// `2 × 24576 MiB (gpu0, gpu2) and 8192 MiB (gpu1)`: equal devices together, in the order of the first of each kind.
fn rooms(devices: &[Room]) -> String {
    const NAMED: usize = 4;
    let mut kinds: Vec<(u32, Vec<&str>)> = Vec::new();
    for device in devices {
        match kinds.iter_mut().find(|(mib, _)| *mib == device.vram_mib) {
            Some((_, labels)) => labels.push(&device.label),
            None => kinds.push((device.vram_mib, vec![&device.label])),
        }
    }
    let kinds = kinds.iter().map(|(mib, labels)| {
        let times = if labels.len() > 1 { format!("{} × ", labels.len()) } else { String::new() };
        let more = if labels.len() > NAMED { ", …" } else { "" };
        format!("{times}{mib} MiB ({}{more})", labels[..labels.len().min(NAMED)].join(", "))
    });
    joined(&kinds.collect::<Vec<_>>())
}

impl Base {
    /// How to move it.
    fn mover(&self) -> String {
        match &self.variable {
            Some(variable) => format!("set `{variable}`"),
            None => format!("change the base at {}", self.from),
        }
    }
}

impl Fault for Refusal {
    fn code(&self) -> Code {
        match self {
            Self::NoGpu { .. } => codes::NO_GPU,
            Self::DeviceTooSmall { .. } => codes::DEVICE_TOO_SMALL,
            Self::NotTogether { .. } => codes::NOT_TOGETHER,
            Self::Exclusive { .. } => codes::EXCLUSIVE,
            Self::TooManyKinds { .. } => codes::TOO_MANY_KINDS,
            Self::PortOutOfRange { .. } => codes::PORT_OUT_OF_RANGE,
            Self::PortTaken { .. } => codes::PORT_TAKEN,
            Self::InstanceNumber { .. } => codes::INSTANCE_NUMBER,
            Self::Internal(_) => codes::INTERNAL,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NoGpu { entry, .. } => {
                format!("say which GPUs there are, plan for a mock inventory, or take `{entry}` out")
            }
            Self::DeviceTooSmall { need, .. } => {
                let Need { service, vram_mib, .. } = need;
                format!(
                    "give the machine a device of at least {vram_mib} MiB, or leave out the workers of `{service}`"
                )
            }
            Self::NotTogether { .. } => {
                "leave one of them out, add a GPU or a larger one, or split the roster over two machines"
                    .to_owned()
            }
            Self::Exclusive { .. } => {
                "leave one of them out, add a GPU, or split the roster over two machines".to_owned()
            }
            Self::TooManyKinds { .. } => "split the roster over several machines".to_owned(),
            Self::PortOutOfRange { base, .. } => {
                format!(
                    "{} to a lower port (now {}, {} more for each instance)",
                    base.mover(),
                    base.port,
                    base.increment
                )
            }
            Self::PortTaken { first, second, .. } => match (first, second) {
                (Claimant::Service { base: one, .. }, Claimant::Service { base: two, .. }) if one == two => {
                    "give the port an increment above 0 in the service mapping".to_owned()
                }
                (Claimant::Service { base: one, name }, Claimant::Service { base: two, name: other }) => {
                    format!("{} to move `{other}`, or {} to move `{name}`", two.mover(), one.mover())
                }
                (Claimant::Health, Claimant::Service { name, base })
                | (Claimant::Service { name, base }, Claimant::Health) => {
                    format!("{} to move `{name}`, or move the health server", base.mover())
                }
                (Claimant::Health, Claimant::Health) => "move the health server".to_owned(),
            },
            Self::InstanceNumber { .. } => "lower `instances_per_gpu` in the service mapping".to_owned(),
            Self::Internal(_) => "report this: the allocator and the plan's own check disagree".to_owned(),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::NoGpu { .. } => "needs a GPU",
            Self::DeviceTooSmall { .. } => "fits no device",
            Self::NotTogether { .. } | Self::Exclusive { .. } => "does not fit beside the others",
            Self::PortOutOfRange { .. } | Self::PortTaken { .. } => "its ports count from here",
            Self::TooManyKinds { .. } | Self::InstanceNumber { .. } | Self::Internal(_) => "",
        }
        .to_owned()
    }
}
