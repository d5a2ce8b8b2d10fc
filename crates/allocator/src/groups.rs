//! The demands of one service, and how many instances and workers it gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use spec::grammar::Count;
use spec::ids::{ServiceName, WorkerName};
use spec::model::{Demand, Occupies, ServiceType, Workload};
use spec::source::Place;

use crate::packing::Item;

/// Every demand for one service.
pub(crate) struct Group<'a> {
    pub(crate) service: &'a Arc<ServiceType>,
    /// The first roster entry that asks for it.
    pub(crate) place: &'a Place,
    /// By name of the worker, so that the order of the roster changes nothing.
    demands: BTreeMap<&'a WorkerName, &'a Demand>,
}

/// The groups of a workload, by service.
pub(crate) fn groups(workload: &Workload) -> BTreeMap<&ServiceName, Group<'_>> {
    let mut groups: BTreeMap<&ServiceName, Group<'_>> = BTreeMap::new();
    for demand in &workload.demands {
        let group = groups.entry(&demand.service.name).or_insert_with(|| Group {
            service: &demand.service,
            place: &demand.cause.place,
            demands: BTreeMap::new(),
        });
        group.demands.insert(&demand.worker.name, demand);
    }
    groups
}

impl Group<'_> {
    fn exact(&self) -> u32 {
        let counts = self.demands.values().map(|it| match it.count {
            Count::Exactly(count) => u32::from(count.get()),
            Count::Auto => 0,
        });
        counts.sum()
    }

    /// The most instances that are of use: one a worker, or all that fit when a type asks for `auto`.
    fn want(&self) -> u32 {
        if self.demands.values().any(|it| it.count == Count::Auto) { u32::MAX } else { self.exact() }
    }

    /// What the packing has to know, when the service needs a GPU.
    pub(crate) fn item(&self) -> Option<Item> {
        match self.service.local()?.occupies {
            Occupies::Gpu { instances_per_gpu, vram_mib, exclusive } => Some(Item {
                vram_mib: vram_mib.get(),
                per_device: instances_per_gpu.get(),
                exclusive,
                want: self.want(),
            }),
            Occupies::Machine { .. } => None,
        }
    }

    /// The instances of a service that may have `limit` of them.
    pub(crate) fn wanted_of(&self, limit: u16) -> u16 {
        u16::try_from(self.want()).map_or(limit, |it| it.min(limit))
    }

    /// How many workers each type gets, by name: what it asks for; for `auto` an even share of the instances that the
    /// others leave, the first by name one more when it is uneven, and never less than 1. With the service elsewhere
    /// there are no instances to share, and `auto` is one worker a core.
    pub(crate) fn workers(&self, instances: usize, cores: u16) -> BTreeMap<&WorkerName, usize> {
        let autos = self.demands.values().filter(|it| it.count == Count::Auto).count().max(1);
        let left = instances.saturating_sub(self.exact() as usize);
        let mut auto = 0;
        let counts = self.demands.iter().map(|(name, demand)| match demand.count {
            Count::Exactly(count) => (*name, count.get().into()),
            Count::Auto if self.service.local().is_none() => (*name, cores.into()),
            Count::Auto => {
                let share = left / autos + usize::from(auto < left % autos);
                auto += 1;
                (*name, share.max(1))
            }
        });
        counts.collect()
    }
}
