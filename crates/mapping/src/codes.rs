//! The rules of the service mapping (`MAP0xx`) and of looking a roster up in it (`MAP1xx`).

use spec::notes::{Code, Exit};

/// Every code of this crate.
pub const ALL: &[Code] = &[
    UNKNOWN_REFERENCE,
    STAGE_CYCLE,
    DEAD_ENTRY,
    FIELD_OF_BINDING,
    ENV_LISTS,
    PROBE,
    STAGE_CONTENT,
    PORT_COLLISION,
    PORT_RANGE,
    PLACEHOLDER,
    PATH,
    VOLUME,
    UNKNOWN_WORKER,
    BINDING_CONTRADICTED,
    NOT_A_PORT,
    INCOMPATIBLE,
    TARGET,
    THIRD_PART,
];

const fn error(id: &'static str, title: &'static str, explanation: &'static str) -> Code {
    Code { id, title, exit: Exit::Error, explanation }
}

/// A name of nothing.
pub const UNKNOWN_REFERENCE: Code = error(
    "MAP001",
    "a name in the mapping that nothing has",
    "Entries of the mapping refer to each other by name: a worker to its service, a service to its build stage, a stage
to the stage below it and to what it provides, a probe to a port of its service. Every such name must exist.
Breaks it: a worker with `\"service\": \"comfy\"` where the service is `comfyui`.
Mend it: the message names the nearest entry, or lists all.",
);

/// A stage below itself.
pub const STAGE_CYCLE: Code = error(
    "MAP002",
    "build stages that start from each other",
    "A stage begins where the stage in its `from` ends, so following `from` must come to a stage that has none.
Breaks it: `a` has `\"from\": \"b\"` and `b` has `\"from\": \"a\"`.
Mend it: remove one `from`, or point it at another stage.",
);

/// An entry without an effect.
pub const DEAD_ENTRY: Code = error(
    "MAP003",
    "an entry of the mapping that changes nothing",
    "What nobody uses is either a slip or a leftover: a service that no worker works on; a build stage that is the
smallest for no set of services and below no such stage; a port that neither `start` nor a probe mentions.
Breaks it: a port `ws` while the command has only `${PORT}`, which is the first port, `http`.
Mend it: use it (`${PORT_WS}`) or remove it.",
);

/// A field that the binding needs or forbids.
pub const FIELD_OF_BINDING: Code = error(
    "MAP004",
    "a field that does not go with the binding",
    "The binding decides which fields mean something. `gpu` needs `build_stage`, `start` and `vram_mib`, and counts by
`instances_per_gpu`. `cpu` needs `build_stage` and `start`, and counts by `instances_per_machine`. `shared` runs
elsewhere: nothing is built, started or stored for it here.
Breaks it: `\"binding\": \"shared\"` with `ports`.
Mend it: remove the field, or choose the binding that it belongs to.",
);

/// Contradictory declarations of variables.
pub const ENV_LISTS: Code = error(
    "MAP005",
    "variables that are declared in contradictory ways",
    "A variable is required or optional, not both. What is in `secret_env` is also in one of those lists, and a variable
that is a secret in one entry is one in all, so that no process gets it in the open. `start.env` sets what nobody else
sets: CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER are the plan's.
Breaks it: `\"secret_env\": [\"OPENAI_API_KEY\"]` with an empty `required_env`.
Mend it: as the message says.",
);

/// A probe that cannot see its service.
pub const PROBE: Code = error(
    "MAP006",
    "a probe that cannot see its service",
    "A service elsewhere has no process, file or port here: it is seen by `variables` and `url`. A service on this machine
has its address from the plan, not from a variable: it is seen by anything but `url`. A variable that a probe reads is
in `required_env` or `optional_env` of the service; a `url` probe whose optional variable is not set is not made.
Breaks it: `\"run\": \"process\"` in a service with the binding `shared`.
Mend it: use a probe that fits, or declare the variable.",
);

/// A stage that lacks its service, or has too much.
pub const STAGE_CONTENT: Code = error(
    "MAP007",
    "a build stage with the wrong services",
    "A service's `build_stage` is the smallest stage that provides it: fewest services, then fewest stages below, then
by name. A stage provides what its `provides` adds and what the stages below it have; it names nothing twice, and
nothing that runs elsewhere.
Breaks it: `\"build_stage\": \"base\"` in `comfyui` while `base` provides nothing.
Mend it: name the right stage, or mend its `provides`.",
);

/// Ports that meet.
pub const PORT_COLLISION: Code = error(
    "MAP008",
    "ports of the mapping that meet",
    "Instance i of a service has the port base + increment × i. No two rules may give the same port to any instances that
one machine can have: 64 devices × `instances_per_gpu`, or `instances_per_machine`. Ports of a service have different
names, and a variable moves one port.
Breaks it: bases 8188 and 8200, both with increment 1, for two GPU services.
Mend it: move a base, or lower the number of instances.",
);

/// A port that cannot be given.
pub const PORT_RANGE: Code = error(
    "MAP009",
    "a port that cannot be given",
    "Port 9090 is the health server's, and 65535 is the last port. No instance that one machine can have may get 9090 or
more than 65535.
Breaks it: base 9090, or base 9050 with increment 1 for a GPU service, whose instance 40 gets 9090.
Mend it: choose another base or increment.",
);

/// A reference that stands for nothing.
pub const PLACEHOLDER: Code = error(
    "MAP010",
    "a placeholder that stands for nothing",
    "The texts of `start` and of `file` and `exec` probes may hold `${PORT}` (the first port), `${PORT_<NAME>}` (the port
of that name, in capitals, `-` as `_`), `${INSTANCE}`, `${NAME}`, `${LISTEN}` and `${WORKSPACE}`. Variables of the
environment are not among them: the process reads those itself.
Breaks it: `${PORT}` in a service without `ports`; `${HOME}`.
Mend it: use a placeholder that exists, or write `$${` where `${` itself is meant.",
);

/// A path that is not absolute.
pub const PATH: Code = error(
    "MAP011",
    "a path that does not begin where it should",
    "`working_directory` and the path of a `file` probe begin with `/` or `${WORKSPACE}/`; the path of a volume begins
with `/` and has no `.`, `..` or empty part; the path of an `http` probe begins with `/`, that of a `url` probe too
unless it is empty.
Breaks it: `\"working_directory\": \"services/comfyui\"`.
Mend it: write the path from its beginning.",
);

/// Volumes that one container cannot have together.
pub const VOLUME: Code = error(
    "MAP012",
    "volumes that cannot be in one container",
    "All services of a machine share one container, so a volume has one path and one mode in the whole mapping, and a path
has one volume.
Breaks it: `models` at `/workspace/models` in `comfyui` and at `/models` in `a1111`.
Mend it: give both the same path and `read_only`, or different names.",
);

/// A worker that the mapping does not have.
pub const UNKNOWN_WORKER: Code = error(
    "MAP101",
    "a worker that the service mapping does not have",
    "Every name in a roster is a key of `workers` in the service mapping. No name is skipped or guessed.
Breaks it: `comfyiu:2`.
Mend it: the message names the nearest worker and lists all; a new kind of worker is added to the mapping.",
);

/// A third part that says otherwise than the mapping.
pub const BINDING_CONTRADICTED: Code = error(
    "MAP102",
    "an entry whose third part contradicts the service mapping",
    "What an instance occupies comes from the mapping alone. The old form with a third part is read, but only while both
say the same: it cannot be known which of the two was meant.
Breaks it: `openai:4:gpu`, when the mapping binds `openai` to `shared`.
Mend it: remove the third part.",
);

/// A variable that cannot be the base of a port.
pub const NOT_A_PORT: Code = error(
    "MAP103",
    "a port variable that is not a port",
    "A port of the mapping can have a `variable` that replaces its base. Its value is a whole number from 1 to 65535 and
nothing else. An empty value is not taken for an absent one.
Breaks it: `COMFYUI_BASE_PORT=81880`.
Mend it: set a port, or unset the variable for the base of the mapping.",
);

/// Services that no one image has.
pub const INCOMPATIBLE: Code = error(
    "MAP104",
    "services that are in no build stage together",
    "A machine is one image, built from one stage: the smallest that provides every local service of the roster. When no
stage has them all, the message names the stages that parts of the roster need, and a roster for each part.
Breaks it: `comfyui:1,a1111:1`, since their Python environments are built in different stages.
Mend it: give each roster a machine of its own, or add a stage with both to the mapping and to `docker/Dockerfile`.",
);

/// A build stage that is asked for and will not do.
pub const TARGET: Code = error(
    "MAP105",
    "a build target that will not do",
    "A profile can ask for a build stage with `docker.build_target`. It must be a stage of the mapping and provide every
local service of the roster; it may provide more.
Breaks it: `\"build_target\": \"base\"` with the roster `comfyui:2`.
Mend it: remove `build_target`, and the smallest stage that provides all is taken.",
);

/// The old form of an entry.
pub const THIRD_PART: Code = error(
    "MAP110",
    "an entry in the old form",
    "`openai:10:shared` is the old form of `openai:10`. It says nothing that the mapping does not say, and Roster never
writes it.
Breaks it: a third part that equals the binding in the mapping.
Mend it: remove the third part; the message has the entry without it.",
);
