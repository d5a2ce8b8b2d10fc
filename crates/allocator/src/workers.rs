//! Which worker works on which instance.

use std::collections::BTreeMap;
use std::rc::Rc;

use spec::ids::{MachineId, ProcessName, WorkerId, WorkerName};
use spec::model::{Occupies, Serves, ServiceInstance, WorkerInstance, Workload};

/// For every worker type, whose turn it is to take a worker.
#[derive(Default)]
pub(crate) struct Turns<'a>(BTreeMap<&'a WorkerName, Turn>);

struct Turn {
    /// Workers of the type.
    count: usize,
    /// The workers of types that share the service and come before it.
    start: usize,
    /// The service's instances in the order in which they take workers, as places in the plan.
    seats: Rc<[usize]>,
}

impl<'a> Turns<'a> {
    /// The types of one service, whose instances are the `services` from `first` on, ordered by number.
    ///
    /// Workers go round the instances, the first of every device before the second of any. Each type goes on where the
    /// one before it, by name, stopped.
    pub(crate) fn add(
        &mut self,
        counts: BTreeMap<&'a WorkerName, usize>,
        services: &[ServiceInstance],
        first: usize,
    ) {
        let mut seats: Vec<usize> = (first..services.len()).collect();
        seats.sort_by_key(|it| slot(&services[*it]));
        let seats: Rc<[usize]> = seats.into();
        let mut start = 0;
        for (worker, count) in counts {
            self.0.insert(worker, Turn { count, start, seats: seats.clone() });
            start += count;
        }
    }

    /// Every worker, by type in the order of the roster.
    pub(crate) fn workers(&self, workload: &Workload, machine: &MachineId) -> Vec<WorkerInstance> {
        let mut workers = Vec::with_capacity(self.0.values().map(|it| it.count).sum());
        for demand in &workload.demands {
            let worker = &demand.worker;
            let Some(Turn { count, start, seats }) = self.0.get(&worker.name) else { continue };
            workers.extend((0..=u16::MAX).zip(*start..start + count).map(|(index, turn)| WorkerInstance {
                name: ProcessName::of_parts(format_args!("{}-worker-{index}", worker.name)),
                id: WorkerId::of(machine, &worker.name, index),
                worker: worker.clone(),
                index,
                serves: match seats.get(turn % seats.len().max(1)) {
                    Some(seat) => Serves::Instance(*seat),
                    None => Serves::External(demand.service.clone()),
                },
                cause: demand.cause.clone(),
            }));
        }
        workers
    }
}

/// The number of an instance among those of its service on its device.
fn slot(instance: &ServiceInstance) -> u16 {
    match instance.service.local().map(|it| it.occupies) {
        Some(Occupies::Gpu { instances_per_gpu, .. }) => {
            instance.instance % u16::from(instances_per_gpu.get())
        }
        Some(Occupies::Machine { .. }) | None => 0,
    }
}
