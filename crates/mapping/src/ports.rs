//! Finds ports that would meet on a machine with as many GPUs as a machine can have.

use std::collections::BTreeMap;

use spec::ids::{EnvKey, PortName, ServiceName};
use spec::model::{Binding, HEALTH_PORT};

use crate::document::ServiceEntry;
use crate::fault::Flaw;
use crate::found::{Found, readable};

/// The most devices (cards or slices) of one machine that static port ranges must have room for. A larger machine is
/// still refused by its plan when two of its ports meet.
pub(crate) const MAX_DEVICES: u32 = 64;

pub(crate) fn check(services: &BTreeMap<ServiceName, ServiceEntry>, found: &mut Found<'_>) {
    let mut claims: BTreeMap<u16, (&str, u32)> = BTreeMap::new();
    let mut variables: BTreeMap<&EnvKey, &str> = BTreeMap::new();
    let rules: Vec<_> = (services.iter())
        .flat_map(|(name, entry)| entry.ports.iter().enumerate().map(move |it| (name, entry, it)))
        .map(|(name, entry, (index, port))| (format!("/services/{name}/ports/{index}"), entry, index, port))
        .collect();
    for (path, entry, index, port) in &rules {
        let same_name = |name: &PortName| entry.ports[..*index].iter().any(|it| it.name == *name);
        if same_name(&port.name) {
            found.at_value(&format!("{path}/name"), Flaw::PortNamedTwice { port: port.name.clone() });
        }
        if let Some(variable) = &port.variable
            && let Some(other) = variables.insert(variable, path)
        {
            let flaw = Flaw::VariableTwice { variable: variable.clone(), other: readable(other) };
            found.at_value(&format!("{path}/variable"), flaw);
        }
        let mut met: Vec<&str> = Vec::new();
        for instance in 0..instances(entry) {
            let number = u32::from(port.base) + u32::from(port.increment) * instance;
            let Ok(number) = u16::try_from(number) else {
                found.at_value(path, Flaw::PortTooHigh { instance, port: number });
                break;
            };
            if number == HEALTH_PORT {
                found.at_value(path, Flaw::PortReserved { instance });
            }
            let &mut (other, other_instance) = claims.entry(number).or_insert((path, instance));
            // One flaw for each pair of rules: the first port at which they meet.
            if (other, other_instance) != (path, instance) && !met.contains(&other) {
                met.push(other);
                let other = readable(other);
                found.at_value(path, Flaw::PortCollision { port: number, instance, other, other_instance });
            }
        }
    }
}

/// The most instances that a machine can have.
fn instances(entry: &ServiceEntry) -> u32 {
    match entry.binding {
        Binding::Gpu => MAX_DEVICES * entry.instances_per_gpu.map_or(1, |it| u32::from(it.get())),
        Binding::Cpu => entry.instances_per_machine.map_or(1, |it| u32::from(it.get())),
        Binding::Shared => 0,
    }
}
