//! Every rule of the allocator that an input can break, and every advice it gives.

use spec::notes::{Code, Exit};

/// All of them, in the order of their numbers.
pub const ALL: &[Code] = &[
    NO_GPU,
    DEVICE_TOO_SMALL,
    NOT_TOGETHER,
    EXCLUSIVE,
    TOO_MANY_KINDS,
    PORT_OUT_OF_RANGE,
    PORT_TAKEN,
    INSTANCE_NUMBER,
    OVERSUBSCRIBED,
    MEMORY,
    INTERNAL,
];

/// A worker whose service is bound to a GPU, and no GPU.
pub const NO_GPU: Code = Code {
    id: "ALLOC001",
    title: "a GPU worker on a machine without GPUs",
    exit: Exit::DoesNotFit,
    explanation: "\
A service that the mapping binds to a GPU is never moved to the processor behind your back: it would start, and take
minutes for what a GPU does in seconds.
`comfyui:1` with `--gpus 0` breaks the rule, and so does a machine whose driver could not be loaded.
Say what the machine has (`--gpus N`, `--inventory FILE`, the profile's hardware), plan for a mock inventory to try
things without a GPU, or use a worker whose service is elsewhere (`comfyui-remote`).",
};

/// An instance that no device can hold, even empty.
pub const DEVICE_TOO_SMALL: Code = Code {
    id: "ALLOC002",
    title: "no device has the memory for one instance",
    exit: Exit::DoesNotFit,
    explanation: "\
The mapping says how much device memory one instance of a service takes. A device that has less would accept the
process and fail its jobs. Where MIG is on, a device is a slice, not the card.
A service of 14336 MiB on a machine with one card of 8192 MiB breaks the rule.
Use a larger card or slice, leave the worker out, or correct `vram_mib` in the mapping if it asks for too much.",
};

/// Services that each fit, but not all of them.
pub const NOT_TOGETHER: Code = Code {
    id: "ALLOC003",
    title: "services that do not fit together",
    exit: Exit::DoesNotFit,
    explanation: "\
Every service of a roster gets at least one instance, and instances share a device only if their memory fits. Each of
the services named fits a device when it is alone; no way of placing all of them exists.
Two services of 14336 and 10240 MiB on one card of 16384 MiB break the rule.
Run fewer kinds of workers on this machine, give it another or a larger GPU, or split the roster over two machines.",
};

/// Services that would fit if one of them did not want its device alone.
pub const EXCLUSIVE: Code = Code {
    id: "ALLOC004",
    title: "an exclusive service finds no device of its own",
    exit: Exit::DoesNotFit,
    explanation: "\
A service that the mapping calls `exclusive` shares its device with no other service, however much memory is left.
An exclusive service and any other GPU service on a machine with one device break the rule.
Give the machine another GPU, split the roster over two machines, or drop `exclusive` from the mapping if the services
do get along.",
};

/// More GPU services than are packed exactly.
pub const TOO_MANY_KINDS: Code = Code {
    id: "ALLOC005",
    title: "too many different GPU services on one machine",
    exit: Exit::DoesNotFit,
    explanation: "\
Whether services fit together is decided exactly, and the work doubles with each kind of service; hence the limit of
12 kinds of GPU service on one machine. The number of workers, instances and GPUs has nothing to do with it.
Split the roster over two machines.",
};

/// A port above 65,535.
pub const PORT_OUT_OF_RANGE: Code = Code {
    id: "ALLOC006",
    title: "a port beyond 65535",
    exit: Exit::DoesNotFit,
    explanation: "\
Instance i of a service has the port base + increment × i, and ports end at 65535. Instances are numbered through
all devices, used or not, so that the port of a GPU does not depend on what else runs.
Base 65530 with increment 10 breaks the rule from instance 1 on.
Lower the base or the increment, in the mapping or through the variable that it names.",
};

/// Two claims on one port.
pub const PORT_TAKEN: Code = Code {
    id: "ALLOC007",
    title: "two claims on one port",
    exit: Exit::DoesNotFit,
    explanation: "\
Everything on a machine has a port of its own, the health server included; of two programs on one port the second
does not start.
Playwright moved to 9090, where the health server listens, breaks the rule, and so does a service with several
instances and increment 0.
Move one of the two: the message says which source gave each base.",
};

/// An instance number that does not exist.
pub const INSTANCE_NUMBER: Code = Code {
    id: "ALLOC008",
    title: "more instances than can be numbered",
    exit: Exit::DoesNotFit,
    explanation: "\
Instances of a service are numbered from 0 to 65535, `instances_per_gpu` numbers to each device.
255 instances on each of 300 devices break the rule.
Lower `instances_per_gpu` in the mapping, or ask for fewer workers.",
};

/// More workers than instances.
pub const OVERSUBSCRIBED: Code = Code {
    id: "ALLOC010",
    title: "more workers than instances of their service",
    exit: Exit::DoesNotFit,
    explanation: "\
Workers beyond the number of instances share one: their jobs wait for each other at the service. That can be meant, to
prepare one job while another runs, so it is advice; with `--strict` it is an error.
`comfyui:4` on two GPUs gives it: two workers to each instance.
Lower the count to the number of instances, write `auto`, or add GPUs.",
};

/// More main memory than there is.
pub const MEMORY: Code = Code {
    id: "ALLOC011",
    title: "more main memory promised than there is",
    exit: Exit::DoesNotFit,
    explanation: "\
The mapping gives each service instance and each worker a ceiling of main memory. Together they exceed what the
inventory has, so the kernel may kill a process while all keep to their ceilings. Ceilings are rarely reached together,
so it is advice; with `--strict` it is an error.
Ask for fewer workers, add memory, or lower `memory_mib` in the mapping.",
};

/// A plan that its own check rejects.
pub const INTERNAL: Code = Code {
    id: "ALLOC099",
    title: "the allocator proposed a plan that its check rejects",
    exit: Exit::Error,
    explanation: "\
Every plan is checked once more by code that shares nothing with the allocator. The two disagree, so one of them has a
mistake; nothing was written. It is not your input's fault: please report the roster, the mapping and the inventory.",
};

#[cfg(test)]
mod tests {
    #[test]
    fn codes_are_listed_in_the_order_of_their_numbers() {
        assert!(super::ALL.is_sorted_by(|one, next| one.id < next.id));
    }
}
