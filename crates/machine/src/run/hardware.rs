//! Whether the hardware that is here is the one that was planned for. The plan's choices stand: what does not fit is
//! refused, and what is merely different is told.

use std::collections::BTreeMap;

use ecosystem::{App, Ecosystem, GpuClaim};
use planner::inventory::Detected;
use spec::ids::ProcessName;
use spec::model::{Device, Inventory};
use spec::notes::{Code, Fault, Finding, Located};

use crate::codes;

/// What was planned for, as far as it is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Cards and slices.
    pub(crate) devices: Option<usize>,
    /// Processor cores.
    pub(crate) cpu_cores: Option<u16>,
    /// Memory in MiB.
    pub(crate) memory_mib: Option<u32>,
}

/// How the hardware differs from the plan's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HardwareFault {
    /// A card that is not here.
    #[error("`{process}` is planned for {} ({}), which is not on this machine: {seen}", claim.label, claim.identity)]
    Absent { process: ProcessName, claim: GpuClaim, seen: String },
    /// A card that has less memory than is given out of it.
    #[error("{label} has {has_mib} MiB of memory, and the plan gives out {wanted_mib} MiB of it")]
    Small { label: String, has_mib: u32, wanted_mib: u32 },
    /// More or fewer than planned for, and none of those is missing that are used.
    #[error("the plan was made for {planned} {what}, and here are {here}")]
    Different { what: &'static str, planned: String, here: String },
}

impl Fault for HardwareFault {
    fn code(&self) -> Code {
        match self {
            Self::Absent { .. } | Self::Small { .. } => codes::DOES_NOT_FIT,
            Self::Different { .. } => codes::DIFFERENT,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Absent { .. } | Self::Small { .. } => {
                "plan for this machine: `roster env-build --detect`; in a container, see that it is given the card (`roster doctor`)"
                    .into()
            }
            Self::Different { .. } => {
                "plan again if the machine is to use what it has: `roster env-build --detect`".into()
            }
        }
    }
}

/// Holds what is planned against what is here. Errors: it does not fit; advice: it is different.
pub(crate) fn hold(ecosystem: &Ecosystem, planned: Planned, here: &Detected) -> Vec<Finding> {
    let devices = here.inventory.devices();
    let claims = ecosystem.apps.iter().filter_map(|it: &App| Some((&it.name, it.roster.gpu.as_ref()?)));
    let mut findings = Vec::new();
    let mut given: BTreeMap<&str, (u32, &Device)> = BTreeMap::new();
    for (process, claim) in claims {
        if let Some(device) = devices.iter().find(|it| is(claim, it)) {
            given.entry(&claim.label).or_insert((0, device)).0 += claim.vram_mib.unwrap_or(0);
        } else {
            let seen = seen(&devices, here.note.as_deref());
            let fault = HardwareFault::Absent { process: process.clone(), claim: claim.clone(), seen };
            findings.push(Finding::error(Located::nowhere(fault)));
        }
    }
    for (label, (wanted_mib, device)) in given {
        let has_mib = device.vram_mib.get();
        if wanted_mib > has_mib {
            let fault = HardwareFault::Small { label: label.to_owned(), has_mib, wanted_mib };
            findings.push(Finding::error(Located::nowhere(fault)));
        }
    }
    findings.extend(different(planned, &here.inventory, devices.len()));
    findings
}

/// Whether a claim means a device. By UUID where the plan knows it, else by its place.
fn is(claim: &GpuClaim, device: &Device) -> bool {
    claim.identity == device.identity
        || (claim.identity.parse::<u16>().is_ok() && claim.label == device.label)
}

fn seen(devices: &[Device], note: Option<&str>) -> String {
    match (devices, note) {
        ([], Some(why)) => why.to_owned(),
        ([], None) => "there is no GPU".to_owned(),
        (some, _) => {
            let names: Vec<_> = some.iter().map(|it| format!("{} ({})", it.label, it.identity)).collect();
            format!("here are {}", names.join(", "))
        }
    }
}

fn different(planned: Planned, here: &Inventory, devices: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tell = |what, planned: String, here: String| {
        let fault = HardwareFault::Different { what, planned, here };
        findings.push(Finding::advice(Located::nowhere(fault)));
    };
    if let Some(it) = planned.devices.filter(|it| *it != devices) {
        tell("GPUs", it.to_string(), devices.to_string());
    }
    if let Some(it) = planned.cpu_cores.filter(|it| *it > here.cpu_cores.get()) {
        tell("processor cores", it.to_string(), here.cpu_cores.to_string());
    }
    // What the kernel keeps for itself differs from boot to boot.
    if let Some(it) = planned.memory_mib.filter(|it| it / 16 * 15 > here.memory_mib.get()) {
        tell("MiB of memory", it.to_string(), here.memory_mib.to_string());
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroU32};

    use spec::model::{Gpu, InventoryOrigin};
    use spec::notes::Severity;
    use spec::source::SourceText;

    use super::*;

    const TWO_CARDS: &str = include_str!("../../../planner/tests/stories/mixed-workload/ecosystem.json");

    fn here(gpus: &[(&str, u32)]) -> Detected {
        let gpu = |(index, (uuid, mib)): (u16, &(&str, u32))| Gpu {
            index,
            uuid: Some((*uuid).into()),
            model: None,
            vram_mib: NonZeroU32::new(*mib).unwrap(),
            slices: vec![],
        };
        let inventory = Inventory {
            origin: InventoryOrigin::Detected,
            gpus: (0..).zip(gpus).map(gpu).collect(),
            cpu_cores: NonZeroU16::new(8).unwrap(),
            memory_mib: NonZeroU32::new(32_768).unwrap(),
        };
        Detected {
            inventory,
            note: gpus.is_empty().then(|| "no NVIDIA driver library on this machine".into()),
        }
    }

    fn told(planned: Planned, detected: &Detected) -> String {
        let document = Ecosystem::read(&SourceText::open("ecosystem.json", TWO_CARDS)).unwrap();
        let findings = hold(&document, planned, detected);
        let line = |it: &Finding| {
            let kind = if it.severity == Severity::Error { "error" } else { "advice" };
            format!("{kind} {} {}", it.code.id, it.message)
        };
        findings.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn claims() -> Vec<String> {
        let document = Ecosystem::read(&SourceText::open("ecosystem.json", TWO_CARDS)).unwrap();
        document.apps.iter().filter_map(|it| Some(it.roster.gpu.as_ref()?.identity.clone())).collect()
    }

    #[test]
    fn the_machine_that_was_planned_for_fits_in_whatever_order_its_cards_are() {
        let claims = claims();
        let cards = [(claims[1].as_str(), 24_576), (claims[0].as_str(), 24_576)];
        let planned = Planned { devices: Some(2), cpu_cores: Some(8), memory_mib: Some(33_000) };
        assert_eq!(told(planned, &here(&cards)), "");
    }

    #[test]
    fn a_card_that_is_not_there_or_too_small_does_not_fit() {
        let claims = claims();
        let missing = told(Planned::default(), &here(&[(claims[0].as_str(), 4_096)]));
        assert!(missing.contains("error RUN010 `comfyui-gpu1` is planned for gpu1"), "{missing}");
        assert!(
            missing.contains("error RUN010 gpu0 has 4096 MiB of memory, and the plan gives out 8192 MiB"),
            "{missing}"
        );
        let none = told(Planned::default(), &here(&[]));
        assert!(none.contains("not on this machine: no NVIDIA driver library on this machine"), "{none}");
    }

    #[test]
    fn a_machine_that_is_merely_different_is_told_and_runs() {
        let claims = claims();
        let cards = [(claims[0].as_str(), 24_576), (claims[1].as_str(), 24_576), ("GPU-other", 24_576)];
        let planned = Planned { devices: Some(2), cpu_cores: Some(16), memory_mib: Some(65_536) };
        let told = told(planned, &here(&cards));
        assert_eq!(
            told,
            "advice RUN011 the plan was made for 2 GPUs, and here are 3\n\
             advice RUN011 the plan was made for 16 processor cores, and here are 8\n\
             advice RUN011 the plan was made for 65536 MiB of memory, and here are 32768"
        );
    }
}
