//! From the groups to the packing and back: how many instances of each GPU service are on each device, or why not.

use std::collections::BTreeMap;

use spec::ids::ServiceName;
use spec::model::{Binding, Device, Workload};
use spec::notes::Located;

use crate::groups::Group;
use crate::packing::{Item, MAX_ITEMS, conflicts, pack};
use crate::refusal::{Need, Refusal, Room};

/// The instances of every GPU service on each device, by ordinal. Services that are refused are left out, and the
/// others are placed as if those were not there, so that their faults come to light in the same run.
pub(crate) fn place<'a>(
    workload: &Workload,
    groups: &BTreeMap<&'a ServiceName, Group<'_>>,
    devices: &[Device],
    refusals: &mut Vec<Located<Refusal>>,
) -> BTreeMap<&'a ServiceName, Vec<u8>> {
    let Some(largest) = devices.iter().rev().max_by_key(|it| it.vram_mib).map(room) else {
        let stranded = workload.demands.iter().filter(|it| it.service.binding() == Binding::Gpu);
        refusals.extend(stranded.map(|it| {
            let (entry, service) = (it.cause.entry.clone(), it.service.name.clone());
            Located::at(it.cause.place.clone(), Refusal::NoGpu { entry, service })
        }));
        return BTreeMap::new();
    };
    let gpu_services = groups.iter().filter_map(|(name, group)| Some((*name, group, group.item()?)));
    let (mut fitting, too_large): (Vec<_>, Vec<_>) =
        gpu_services.partition(|(.., item)| item.vram_mib <= largest.vram_mib);
    refusals.extend(too_large.iter().map(|(_, group, item)| {
        let refusal = Refusal::DeviceTooSmall { need: need(group, item), largest: largest.clone() };
        Located::at(group.place.clone(), refusal)
    }));
    if fitting.len() > MAX_ITEMS {
        refusals.push(Located::nowhere(Refusal::TooManyKinds { kinds: fitting.len() }));
        return BTreeMap::new();
    }

    let capacities: Vec<u32> = devices.iter().map(|it| it.vram_mib.get()).collect();
    let items =
        |of: &[(&'a ServiceName, &Group<'_>, Item)]| of.iter().map(|(.., it)| *it).collect::<Vec<_>>();
    let conflicts = conflicts(&items(&fitting), &capacities);
    refusals.extend(conflicts.iter().map(|conflict| {
        let members: Vec<_> = conflict.items.iter().map(|it| &fitting[*it]).collect();
        let needs = members.iter().map(|(_, group, item)| need(group, item)).collect();
        let devices = devices.iter().map(room).collect();
        let refusal = if conflict.by_exclusion {
            Refusal::Exclusive { needs, devices }
        } else {
            Refusal::NotTogether { needs, devices }
        };
        Located { fault: refusal, place: members.first().map(|(_, group, _)| group.place.clone()) }
    }));
    let mut place = 0..fitting.len();
    fitting.retain(|_| {
        place.next().is_some_and(|it| !conflicts.iter().any(|conflict| conflict.items.contains(&it)))
    });

    let Some(layout) = pack(&items(&fitting), &capacities) else { return BTreeMap::new() };
    fitting.iter().enumerate().map(|(item, (name, ..))| (*name, layout.held(item).collect())).collect()
}

fn room(device: &Device) -> Room {
    Room { label: device.label.clone(), vram_mib: device.vram_mib.get() }
}

fn need(group: &Group<'_>, item: &Item) -> Need {
    Need { service: group.service.name.clone(), vram_mib: item.vram_mib, exclusive: item.exclusive }
}
