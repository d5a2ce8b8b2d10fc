//! What people should know about an allocation that holds.

use spec::ids::ServiceName;
use spec::model::{ServiceInstance, WorkerInstance};
use spec::notes::{Code, Fault, Located};

use crate::codes;
use crate::groups::Group;

/// One thing to know. `--strict` makes it an error at the edge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Advice {
    /// More workers than instances: some wait for each other at the service.
    #[error("{workers} workers share {}, up to {} on one", instances_of(*instances, service), workers.div_ceil(*instances))]
    Oversubscribed {
        /// The service.
        service: ServiceName,
        /// Its workers, of all types.
        workers: usize,
        /// Its instances; above 0.
        instances: usize,
    },
    /// The memory ceilings of all processes exceed the machine's memory.
    #[error(
        "services may take {services_mib} MiB and workers {workers_mib} MiB of main memory; the machine has {memory_mib} MiB"
    )]
    Memory {
        /// The ceilings of all service instances, in MiB.
        services_mib: u64,
        /// The ceilings of all workers, in MiB.
        workers_mib: u64,
        /// What there is, in MiB.
        memory_mib: u32,
    },
}

fn instances_of(count: usize, service: &ServiceName) -> String {
    if count == 1 {
        format!("one instance of `{service}`")
    } else {
        format!("{count} instances of `{service}`")
    }
}

impl Advice {
    pub(crate) fn oversubscribed(
        group: &Group<'_>,
        workers: usize,
        instances: usize,
    ) -> Option<Located<Self>> {
        let service = group.service.name.clone();
        let advice = Self::Oversubscribed { service, workers, instances };
        (instances > 0 && workers > instances).then(|| Located::at(group.place.clone(), advice))
    }

    pub(crate) fn memory(
        services: &[ServiceInstance],
        workers: &[WorkerInstance],
        memory_mib: u32,
    ) -> Option<Located<Self>> {
        let services = services.iter().filter_map(|it| it.service.local());
        let services_mib = services.map(|it| u64::from(it.memory_mib.get())).sum();
        let workers_mib = workers.iter().map(|it| u64::from(it.worker.memory_mib.get())).sum();
        let advice = Self::Memory { services_mib, workers_mib, memory_mib };
        (services_mib + workers_mib > u64::from(memory_mib)).then(|| Located::nowhere(advice))
    }
}

impl Fault for Advice {
    fn code(&self) -> Code {
        match self {
            Self::Oversubscribed { .. } => codes::OVERSUBSCRIBED,
            Self::Memory { .. } => codes::MEMORY,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Oversubscribed { instances, .. } => {
                format!(
                    "ask for {instances} in all, or keep it if jobs may wait for each other at the service"
                )
            }
            Self::Memory { .. } => {
                "ask for fewer workers, or keep it if they rarely work all at once".to_owned()
            }
        }
    }

    fn label(&self) -> String {
        match self {
            Self::Oversubscribed { instances, .. } => format!("more than {instances}"),
            Self::Memory { .. } => String::new(),
        }
    }
}
