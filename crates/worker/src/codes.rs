//! Every rule of a worker's environment that can be broken.

use spec::notes::{Code, Exit};

/// All of them, in the order of their numbers.
pub const ALL: &[Code] = &[MISSING, VALUE, TOGETHER, FILE];

/// A variable that is not there.
pub const MISSING: Code = Code {
    id: "WORKER001",
    title: "a variable that the worker needs is not set",
    exit: Exit::MissingValue,
    explanation: "\
A worker is told everything by its environment, which `ecosystem.json` and the secrets give it. What it needs is looked
at before the first claim, and all that is missing is told at once: a worker that starts without a key would claim jobs
and fail each of them.
`CONNECTOR=openai` without `OPENAI_API_KEY` breaks the rule.
Set the variable, or `NAME_FILE` to a file that holds it; `roster explain NAME` says where it should have come from.",
};

/// A value that is not what the variable takes.
pub const VALUE: Code = Code {
    id: "WORKER002",
    title: "a variable has a value that it cannot have",
    exit: Exit::Error,
    explanation: "\
Values are read once, at the start, and nothing is repaired: a lease of `ten` seconds is not taken for the default.
The value is not repeated where it may be a secret.
`WORKER_LEASE_S=ten` and `SERVICE_URL=localhost:8188` break the rule.
Write the value in the form that the message names: a number, an address with its scheme, a JSON document.",
};

/// Variables that contradict each other.
pub const TOGETHER: Code = Code {
    id: "WORKER003",
    title: "two variables do not go together",
    exit: Exit::Error,
    explanation: "\
A process is one worker (`WORKER_ID`, `SERVICE_URL`) or several that share it (`WORKER_IDS`, `SERVICE_URLS`): one
address a worker, or none. Both forms at once would leave open which one counts.
`WORKER_ID=m-worker-openai-0` beside `WORKER_IDS=m-worker-openai-0,m-worker-openai-1` breaks the rule.
Unset one of them; the plan's `ecosystem.json` sets exactly one form.",
};

/// A file with a value that cannot be read.
pub const FILE: Code = Code {
    id: "WORKER004",
    title: "the file of a variable cannot be read",
    exit: Exit::MissingValue,
    explanation: "\
`NAME_FILE` names a file whose text is the value of `NAME`, as Docker's secrets have it; one newline at its end is not
part of the value.
`OPENAI_API_KEY_FILE=/run/secrets/OPENAI_API_KEY` without that file breaks the rule.
Mount the secret, mend the path, or set the variable itself.",
};
