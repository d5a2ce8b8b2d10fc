//! The plan as people read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::document::{BecausePart, DevicePart, PlanDocument, WorkerPart};

/// The plan as text: the machine, its devices, what runs on them and why, the workers by entry, a summary.
pub fn render(plan: &PlanDocument) -> String {
    let mut out = String::new();
    let _ = write!(out, "Plan {}", plan.id);
    if let Some(profile) = &plan.profile {
        let _ = write!(out, "  profile {profile}");
    }
    let _ = writeln!(out, "  machine {}  image {}", plan.machine, plan.build_stage);
    let _ = writeln!(out, "  roster     {}", plan.roster);
    let it = &plan.inventory;
    let cores = if it.cpu_cores == 1 { "core" } else { "cores" };
    let _ = writeln!(
        out,
        "  inventory  {}: {}, {} {cores}, {}",
        it.origin,
        cards(&it.devices),
        it.cpu_cores,
        gib(it.memory_mib)
    );
    for device in it.devices.iter().filter(|it| it.vram_used_mib > 0) {
        let used = format!("{}/{}", gib(device.vram_used_mib).trim_end_matches(" GiB"), gib(device.vram_mib));
        let _ = writeln!(out, "  {:<9}  vram {used}  {}", device.name, device.identity);
    }
    out.push('\n');
    let groups = groups(&plan.workers);
    let width = names(plan, &groups).map(|it| it.len()).max().unwrap_or(0);
    let _ = writeln!(
        out,
        "  {:<8} {:<width$}  health server  port 127.0.0.1:{}",
        "machine", plan.machine, plan.health_port
    );
    for service in &plan.services {
        let ports: Vec<String> = service.ports.values().map(|port| format!("127.0.0.1:{port}")).collect();
        let _ = write!(out, "  {:<8} {:<width$}", "service", service.name);
        let _ = write!(out, "  {}", service.device.as_deref().unwrap_or("cpu"));
        if !ports.is_empty() {
            let _ = write!(out, "  port {}", ports.join(", "));
        }
        if let Some(mib) = service.vram_mib {
            let _ = write!(out, "  vram {}", gib(mib));
        }
        let _ = writeln!(out, "  because {}", because(&service.because));
    }
    for group in &groups {
        let _ = write!(out, "  {:<8} {:<width$}", "worker", group.name());
        let _ =
            writeln!(out, "  -> {}  because {}", group.target, because(std::slice::from_ref(group.because)));
    }
    if !plan.environment.secret.is_empty() {
        let names: Vec<&str> = plan.environment.secret.iter().map(String::as_str).collect();
        let _ = writeln!(out, "  {:<8} {}", "secret", names.join(", "));
    }
    let count = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let _ = write!(
        out,
        "\n{}, {}",
        count(plan.services.len(), "service process").replace("processs", "processes"),
        count(plan.workers.len(), "worker"),
    );
    // Every environment has variables: without one, it was not asked for, or a value is missing.
    if !plan.environment.public.is_empty() {
        let _ = write!(
            out,
            ", {}, {}",
            count(plan.environment.public.len(), "variable"),
            count(plan.environment.secret.len(), "secret"),
        );
    }
    out.push_str(".\n");
    out
}

/// Workers of one entry that follow each other and work on one target.
struct Group<'a> {
    first: &'a str,
    last: Option<&'a str>,
    target: String,
    because: &'a BecausePart,
}

impl Group<'_> {
    fn name(&self) -> String {
        let Some(last) = self.last else { return self.first.to_owned() };
        let index = last.rsplit('-').next().unwrap_or_default();
        format!("{}..{index}", self.first)
    }
}

fn groups(workers: &[WorkerPart]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for it in workers {
        let target = it.works_on.clone().unwrap_or_else(|| format!("{} (elsewhere, no GPU)", it.service));
        match groups.last_mut() {
            Some(last) if last.target == target && *last.because == it.because => last.last = Some(&it.name),
            _ => groups.push(Group { first: &it.name, last: None, target, because: &it.because }),
        }
    }
    groups
}

fn names(plan: &PlanDocument, groups: &[Group<'_>]) -> impl Iterator<Item = String> {
    let services = plan.services.iter().map(|it| it.name.clone());
    services.chain(groups.iter().map(Group::name)).chain([plan.machine.clone()])
}

fn because(causes: &[BecausePart]) -> String {
    let told = causes.iter().map(|it| format!("{} ({}:{}:{})", it.entry, it.file, it.line, it.column));
    told.collect::<Vec<_>>().join(", ")
}

fn cards(devices: &[DevicePart]) -> String {
    let mut kinds: BTreeMap<u32, usize> = BTreeMap::new();
    for it in devices {
        *kinds.entry(it.vram_mib).or_default() += 1;
    }
    if kinds.is_empty() {
        return "no GPU".into();
    }
    let told = kinds.iter().rev().map(|(mib, count)| format!("{count} x {}", gib(*mib)));
    told.collect::<Vec<_>>().join(" + ") + " GPU"
}

/// MiB as GiB with one decimal, none when it is whole.
pub(crate) fn gib(mib: u32) -> String {
    if mib.is_multiple_of(1024) {
        format!("{} GiB", mib / 1024)
    } else {
        format!("{:.1} GiB", f64::from(mib) / 1024.0)
    }
}
