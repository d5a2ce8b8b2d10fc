//! The instances of local services: their numbers, names and ports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spec::ids::{PortName, ProcessName, ServiceName};
use spec::model::{Device, Occupies, Placement, PortRule, ServiceInstance, ServiceType};
use spec::notes::Located;
use spec::source::Place;

use crate::refusal::{Base, Claimant, Refusal};

/// How many instances of a service are where.
pub(crate) enum Spread {
    /// So many on each device, by ordinal.
    Devices(Vec<u8>),
    /// So many on the machine.
    Machine(u16),
}

/// The instances of `service`, by number; `place` is the roster entry that asked for it.
///
/// With one possible instance a device it is `comfyui-gpu0`, with more `comfyui-gpu0-0`; with one possible instance a
/// machine `playwright-service`, with more `playwright-service-0`. A name does not depend on how many there are.
pub(crate) fn instances(
    service: &Arc<ServiceType>,
    spread: &Spread,
    devices: &[Device],
    place: &Place,
    refusals: &mut Vec<Located<Refusal>>,
) -> Vec<ServiceInstance> {
    let Some(local) = service.local() else { return Vec::new() };
    let base = &service.name;
    let mut proposed: Vec<(u64, ProcessName, Placement)> = Vec::new();
    match (local.occupies, spread) {
        (Occupies::Gpu { instances_per_gpu, .. }, Spread::Devices(held)) => {
            let slots = instances_per_gpu.get();
            for (device, count) in devices.iter().zip(held) {
                for slot in 0..*count {
                    let (ordinal, label) = (device.ordinal, &device.label);
                    let name = match slots {
                        1 => ProcessName::of_parts(format_args!("{base}-{label}")),
                        _ => ProcessName::of_parts(format_args!("{base}-{label}-{slot}")),
                    };
                    let number = u64::from(ordinal) * u64::from(slots) + u64::from(slot);
                    proposed.push((number, name, Placement::Device(ordinal)));
                }
            }
        }
        (Occupies::Machine { instances }, Spread::Machine(count)) => {
            proposed.extend((0..*count).map(|number| {
                let name = match instances.get() {
                    1 => ProcessName::of_parts(format_args!("{base}-service")),
                    _ => ProcessName::of_parts(format_args!("{base}-service-{number}")),
                };
                (number.into(), name, Placement::Machine)
            }));
        }
        (Occupies::Gpu { .. }, Spread::Machine(_)) | (Occupies::Machine { .. }, Spread::Devices(_)) => {}
    }
    let mut told = BTreeSet::new();
    let mut numbered = Vec::with_capacity(proposed.len());
    for (number, name, placement) in proposed {
        let Ok(instance) = u16::try_from(number) else {
            let service = service.name.clone();
            refusals.push(Located::at(place.clone(), Refusal::InstanceNumber { service, number }));
            break;
        };
        let mut ports = BTreeMap::new();
        for rule in &local.ports {
            if let Some(port) = rule.port_of(instance) {
                ports.insert(rule.name.clone(), port);
            } else if told.insert(&rule.name) {
                let number = u64::from(rule.base) + u64::from(rule.increment) * number;
                let (name, port, base) = (name.clone(), rule.name.clone(), base_of(rule));
                let refusal = Refusal::PortOutOfRange { name, port, number, base };
                refusals.push(Located::at(rule.base_from.clone(), refusal));
            }
        }
        numbered.push(ServiceInstance { name, service: service.clone(), instance, placement, ports });
    }
    numbered
}

/// A port of an instance; `None` is the health server's.
type Claim<'a> = Option<(&'a ServiceInstance, &'a PortRule)>;

/// Every port with two claimants. Two rules that collide in many instances are one refusal.
pub(crate) fn collisions(health_port: u16, instances: &[ServiceInstance]) -> Vec<Located<Refusal>> {
    let mut claims: BTreeMap<u16, Claim<'_>> = BTreeMap::from([(health_port, None)]);
    let mut told = BTreeSet::new();
    let mut refusals = Vec::new();
    for instance in instances {
        for rule in instance.service.local().map_or(&[][..], |local| &local.ports) {
            let Some(&number) = instance.ports.get(&rule.name) else { continue };
            let second = Some((instance, rule));
            let Some(first) = claims.get(&number).copied() else {
                claims.insert(number, second);
                continue;
            };
            if told.insert((kind(first), kind(second))) {
                let refusal = Refusal::PortTaken { number, first: claimant(first), second: claimant(second) };
                refusals.push(Located::at(rule.base_from.clone(), refusal));
            }
        }
    }
    refusals
}

fn kind(claim: Claim<'_>) -> Option<(&ServiceName, &PortName)> {
    claim.map(|(instance, rule)| (&instance.service.name, &rule.name))
}

fn claimant(claim: Claim<'_>) -> Claimant {
    let service =
        |(it, rule): (&ServiceInstance, _)| Claimant::Service { name: it.name.clone(), base: base_of(rule) };
    claim.map_or(Claimant::Health, service)
}

fn base_of(rule: &PortRule) -> Base {
    Base {
        port: rule.base,
        increment: rule.increment,
        from: rule.base_from.clone(),
        variable: rule.variable.clone(),
    }
}
