//! The rules of compose projects.

use spec::notes::{Code, Exit};

/// Every rule of this crate, in the order of their numbers.
pub const ALL: &[Code] = &[RESERVED_NAME, DUPLICATE_NAME, UNPINNED_IMAGE, SHARED_PORT, SHARED_PATH, NUL];

/// `machine` and `redis` are ours.
pub const RESERVED_NAME: Code = Code {
    id: "COMPOSE001",
    title: "a service has a name that Roster uses itself",
    exit: Exit::Error,
    explanation: "\
The compose file has one service `machine`, which is always started, and one service `redis` where a machine wants it.
Another service of that name would silently replace it.
Breaks it: `compose-profile comfyui:1 --name machine`; `redis` among a profile's additional services.
Mend it: choose another name.",
};

/// A name is one service's.
pub const DUPLICATE_NAME: Code = Code {
    id: "COMPOSE002",
    title: "a compose profile and an additional service share a name",
    exit: Exit::Error,
    explanation: "\
A compose profile is a service of its name, and so is each additional service of an environment profile. One file holds
both, and a name means one of them.
Breaks it: `compose-profile openai:4 --name metrics` beside an additional service `metrics`.
Mend it: give one of them another name.",
};

/// An image is the same tomorrow.
pub const UNPINNED_IMAGE: Code = Code {
    id: "COMPOSE003",
    title: "an image has neither a digest nor a tag that stays",
    exit: Exit::Error,
    explanation: "\
Without a tag, or with `latest`, the image is whatever its registry has on that day: equal files start unequal machines.
A digest cannot change. A version tag can, and is accepted; compose-lint warns of it.
Breaks it: `redis`, `redis:latest`, `registry.example:5000/redis` (that is a port, not a tag), `${IMAGE}`.
Mend it: `redis:7.4.2@sha256:…`, or at least `redis:7.4.2`. `docker buildx imagetools inspect redis:7.4.2` shows the
digest.",
};

/// A port of the host is one machine's.
pub const SHARED_PORT: Code = Code {
    id: "COMPOSE004",
    title: "two machines publish one port of the host",
    exit: Exit::Error,
    explanation: "\
Ports are published at their own numbers on the host's loopback, and a number there belongs to one container. That also
holds for machines under compose profiles: started together, the second would fail.
Breaks it: two machines with `publish` whose health servers are both at 9090.
Mend it: publish only one of them, or give one of them another health port and other base ports.",
};

/// A path of a container is one mount's.
pub const SHARED_PATH: Code = Code {
    id: "COMPOSE005",
    title: "two mounts of a machine have one path",
    exit: Exit::Error,
    explanation: "\
A machine's container has its workspace, the volumes that the mapping's services declare, and `/tmp`. Docker refuses two
mounts at one path. A volume below the workspace is fine.
Breaks it: the workspace `/workspace/models` with a service whose volume `models` is there; the workspace `/tmp`.
Mend it: move one of them to another path.",
};

/// No text holds a NUL.
pub const NUL: Code = Code {
    id: "COMPOSE006",
    title: "a text holds a NUL character",
    exit: Exit::Error,
    explanation: "\
YAML has no way to write U+0000 that all readers take, and no process can be given it: arguments, variables and paths end
there. The text is not shown, for it may be binary data that was pasted by mistake.
Breaks it: an additional service with \"a\\u0000b\" in its command.
Mend it: remove the character.",
};
