//! The rules of an ecosystem beyond the form of its document.

use spec::notes::{Code, Exit};

/// Names are unique.
pub const DUPLICATE_NAME: Code = Code {
    id: "ECO001",
    title: "two processes of one name",
    exit: Exit::Error,
    explanation: "A process is started, watched and stopped by its name, so a name belongs to one process of `apps` \
and `setup` together. PM2 would take the second for a new version of the first.\n\nBreaks it: two apps named \
`comfyui-gpu0`.\n\nMend it: rename one of them. A document that `roster ecosystem` wrote has unique names.",
};

/// Dependencies exist.
pub const NO_SUCH_PROCESS: Code = Code {
    id: "ECO002",
    title: "a process waits for one that does not exist",
    exit: Exit::Error,
    explanation: "What a process waits for has to be in `apps` or `setup`; else it would wait for ever.\n\nBreaks it: \
`\"depends_on\": [{ \"name\": \"comfyui-gpu2\", \"until\": \"healthy\" }]` on a machine of two cards.\n\nMend it: the \
message names the nearest process; or remove the dependency.",
};

/// Dependencies have an order.
pub const CYCLE: Code = Code {
    id: "ECO003",
    title: "processes wait for each other",
    exit: Exit::Error,
    explanation: "Processes are started in the order of their dependencies, and stopped in the reverse order. A \
cycle has no order.\n\nBreaks it: `a` depends on `b`, and `b` on `a`.\n\nMend it: remove the dependency that is a \
convenience; what needs another only now and then should try again instead of waiting.",
};

/// What is waited for can happen.
pub const NEVER_TRUE: Code = Code {
    id: "ECO004",
    title: "a wait for something that does not happen",
    exit: Exit::Error,
    explanation: "What is in `apps` goes on for ever and so never completes; what is in `setup` runs to its end and \
does not stay ready or healthy.\n\nBreaks it: `\"until\": \"completed\"` on a service, or `\"until\": \
\"healthy\"` on an installer.\n\nMend it: wait for what is in `setup` until it is `completed`, for all others until they \
are `started`, `ready` or `healthy`.",
};

/// Ports are unique.
pub const DUPLICATE_PORT: Code = Code {
    id: "ECO005",
    title: "two processes of one port",
    exit: Exit::Error,
    explanation: "Two processes cannot listen on one port: the second fails to start, over and over. The machine's \
health server counts too.\n\nBreaks it: a service on 9090 beside a health server on 9090.\n\nMend it: change the \
port's base in `config/service-mapping.json`, or by its variable, and write the document anew.",
};

/// Secrets are named, never told.
pub const SECRET_VALUE: Code = Code {
    id: "ECO006",
    title: "a secret's value in the ecosystem",
    exit: Exit::Error,
    explanation: "The document is a public file: it names the secrets of a process, and the supervisor hands over \
their values at the start.\n\nBreaks it: `OPENAI_API_KEY` both in `roster.secrets` and in `env`.\n\nMend it: remove \
it from `env`, put the value into the secrets file, and replace the secret if the document has been shared.",
};

/// A catalog entry can be started.
pub const BAD_START: Code = Code {
    id: "ECO007",
    title: "a service that cannot be started as its mapping entry says",
    exit: Exit::Error,
    explanation: "A start command and a probe may use the placeholders PORT, PORT_<NAME>, INSTANCE, NAME, \
LISTEN and WORKSPACE, and the ports that the service has.\n\nBreaks it: `${PORT_GRPC}` in a service whose only port is \
`http`.\n\nMend it: correct the service's entry in `config/service-mapping.json`; `roster check` finds this before a \
plan is made.",
};

/// Every code of this crate.
pub const ALL: &[Code] =
    &[DUPLICATE_NAME, NO_SUCH_PROCESS, CYCLE, NEVER_TRUE, DUPLICATE_PORT, SECRET_VALUE, BAD_START];
