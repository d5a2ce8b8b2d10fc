//! The rules of the roster.

use crate::notes::{Code, Exit};
/// Every rule of this module.
pub const ALL: &[Code] = &[
    EMPTY_ROSTER,
    EMPTY_ENTRY,
    WRONG_SEPARATOR,
    EMPTY_NAME,
    BAD_NAME,
    MISSING_COUNT,
    NOT_A_COUNT,
    BELOW_ONE,
    ABOVE_MAX,
    SPACE_AT_COLON,
    UNKNOWN_BINDING,
    MOCK_GPU,
    TOO_MANY_PARTS,
    DUPLICATE,
];

/// A roster has at least one entry.
pub const EMPTY_ROSTER: Code = Code {
    id: "SPEC001",
    title: "the roster is empty",
    exit: Exit::Error,
    explanation: "\
A roster has at least one entry. An empty one starts nothing, and no default takes its place: a machine that runs
something nobody asked for is worse than one that says what is missing.
Breaks it: `--spec ''`, or a variable that is set to nothing.
Mend it: name a worker and its count, `simulation:1`, or do not set the variable at all.",
};

/// There is an entry on both sides of a comma.
pub const EMPTY_ENTRY: Code = Code {
    id: "SPEC002",
    title: "an entry is empty",
    exit: Exit::Error,
    explanation: "\
Each comma stands between two entries. An empty entry is often a name that a script failed to fill in, so it is not
skipped in silence.
Breaks it: `comfyui:2,,openai:4`, `,openai:4`, `openai:4,`.
Mend it: remove the comma, or write the entry that is missing.",
};

/// Entries are separated by commas, a name and its count by a colon.
pub const WRONG_SEPARATOR: Code = Code {
    id: "SPEC003",
    title: "not the separator that belongs there",
    exit: Exit::Error,
    explanation: "\
Entries are separated by `,`, a name and its count by `:`. White space may stand around a comma, not instead of it.
Breaks it: `comfyui:2 openai:4`, `comfyui:2;openai:4`, `comfyui=2`, and the wide `，` and `：` of other keyboards.
Mend it: `comfyui:2,openai:4`.",
};

/// An entry names a worker.
pub const EMPTY_NAME: Code = Code {
    id: "SPEC004",
    title: "the name is empty",
    exit: Exit::Error,
    explanation: "\
An entry names a worker before its colon.
Breaks it: `:2`.
Mend it: `openai:2`. The service mapping lists the workers there are.",
};

/// A worker's name is `[a-z0-9][a-z0-9-]*`.
pub const BAD_NAME: Code = Code {
    id: "SPEC005",
    title: "not a name that a worker can have",
    exit: Exit::Error,
    explanation: "\
A worker's name is made of a-z, 0-9 and -, begins with a letter or digit, and has at most 63 characters, for it becomes
part of host names and process names. Case matters: `OpenAI` is not silently taken for `openai`.
Breaks it: `OpenAI:2`, `comfy_ui:2`, `-a:1`.
Mend it: write the name as the service mapping has it, `openai:2`.",
};

/// An entry has a count.
pub const MISSING_COUNT: Code = Code {
    id: "SPEC006",
    title: "the count is missing",
    exit: Exit::Error,
    explanation: "\
An entry says how many. Systems that read a missing count as 1, or as nothing, gave two machines from one line.
Breaks it: `openai`, `openai:`.
Mend it: `openai:1`, or `openai:auto` for as many as fit.",
};

/// A count is a whole number or `auto`.
pub const NOT_A_COUNT: Code = Code {
    id: "SPEC007",
    title: "the count is neither a whole number nor auto",
    exit: Exit::Error,
    explanation: "\
A count is a whole number in plain digits, or the word `auto`, which stands for as many as fit on the machine.
Breaks it: `openai:x`, `openai:2.9`, `openai:+2`, `openai:AUTO`.
Mend it: `openai:2` or `openai:auto`.",
};

/// A count is at least 1.
pub const BELOW_ONE: Code = Code {
    id: "SPEC008",
    title: "the count is below 1",
    exit: Exit::Error,
    explanation: "\
A count is at least 1. Zero workers are written by leaving the entry out; 0 and -1 do not mean `auto` here.
Breaks it: `openai:0`, `openai:-3`.
Mend it: write 1 or more, or leave the entry out.",
};

/// A count is at most 10,000.
pub const ABOVE_MAX: Code = Code {
    id: "SPEC009",
    title: "the count is above 10000",
    exit: Exit::Error,
    explanation: "\
A count is at most 10,000: more is a slip of the finger, and a plan for it would only fail later.
Breaks it: `openai:100000`.
Mend it: write at most 10000, or `auto` for as many as fit.",
};

/// No space stands at a colon.
pub const SPACE_AT_COLON: Code = Code {
    id: "SPEC010",
    title: "there is a space at the colon",
    exit: Exit::Error,
    explanation: "\
Name, colon and count are written together. Spaces are free around commas and at both ends only, so that a roster can be
one word of a command line.
Breaks it: `openai: 2`, `openai :2`.
Mend it: `openai:2`.",
};

/// A third part, if any, is `gpu`, `cpu` or `shared`.
pub const UNKNOWN_BINDING: Code = Code {
    id: "SPEC011",
    title: "the third part is not a binding",
    exit: Exit::Error,
    explanation: "\
The old form of an entry had a third part, one of `gpu`, `cpu` and `shared`. It is still read, to be compared with the
service mapping, which is where a binding comes from today. Any other word was never a binding.
Breaks it: `comfyui:2:GPU`, `comfyui:2:0`.
Mend it: leave the third part out, `comfyui:2`.",
};

/// `mock_gpu` is no binding.
pub const MOCK_GPU: Code = Code {
    id: "SPEC012",
    title: "mock_gpu is a way to run a machine, not a binding",
    exit: Exit::Error,
    explanation: "\
In July 2025 `mock_gpu` stood beside the bindings. It says how a machine is run, not what a worker occupies: a worker
that needs a GPU needs one on a mock machine too.
Breaks it: `comfyui:2:mock_gpu`.
Mend it: write `comfyui:2`, and declare a mock inventory in the profile's hardware or with `--inventory`.",
};

/// An entry has a name and a count.
pub const TOO_MANY_PARTS: Code = Code {
    id: "SPEC013",
    title: "the entry has too many parts",
    exit: Exit::Error,
    explanation: "\
An entry is a name and a count with one colon between them; the old form had a binding as its third part.
Breaks it: `comfyui:2:gpu:0`, `comfyui:2:`.
Mend it: `comfyui:2`. Which GPU an instance gets is decided by the allocator; see `roster plan`.",
};

/// A worker is named once.
pub const DUPLICATE: Code = Code {
    id: "SPEC014",
    title: "a worker is named twice",
    exit: Exit::Error,
    explanation: "\
A worker is named once. Whether a second entry adds to the first or replaces it would be a guess.
Breaks it: `comfyui:2,openai:4,comfyui:1`.
Mend it: one entry with the sum, `comfyui:3,openai:4`, or the one entry that was meant.",
};
