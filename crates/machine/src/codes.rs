//! Every rule of the runtime verbs that an input can break. `xtask` reads this file too, for `docs/errors.md`.

use spec::notes::{Code, Exit};

/// All of them, in the order of their numbers.
pub const ALL: &[Code] = &[NO_ADDRESS, INPUT, UNSUCCESSFUL, NOT_DEAD];

/// Nothing says where the queue is.
pub const NO_ADDRESS: Code = Code {
    id: "JOB001",
    title: "nothing says where the queue's Redis is",
    exit: Exit::MissingValue,
    explanation: "\
The verbs of `roster job` ask the Redis of `--redis URL`, else of `REDIS_URL`, which is what a machine's own environment has,
else of `HUB_REDIS_URL`. Instead of a variable there may be a file that `REDIS_URL_FILE` or `HUB_REDIS_URL_FILE` names.
There is no default: a command that asks another queue than you think would be worse than none.
`roster job list` in a shell without any of them breaks the rule.
Set `REDIS_URL`. An address with a password belongs into the variable or the file: every user of the machine can read
the arguments of a command.",
};

/// An input that is no job.
pub const INPUT: Code = Code {
    id: "JOB002",
    title: "an input that cannot be read as jobs",
    exit: Exit::Error,
    explanation: "\
`roster job submit` takes one JSON document, an array of them, or one a line. Without `--service` each is a whole job
document, which has `service_required`; with it each is a payload and nothing else. What it is, is never guessed.
A file that is empty or not UTF-8 breaks the rule, and so do a job document together with `--service`, and `--id` or
`--key`, which name one job, together with several.
Correct the input, or leave the flag out.",
};

/// A job that ended badly.
pub const UNSUCCESSFUL: Code = Code {
    id: "JOB003",
    title: "a job that was followed did not succeed",
    exit: Exit::Error,
    explanation: "\
`roster job watch` and `roster job submit --watch` end with 0 if every job succeeded, so that a script can rely on it.
A job that failed as often as it may, whose workers were lost, or that somebody cancelled breaks the rule.
The message has the reason. `roster job status ID` shows the job, `roster job replay ID` puts a dead one back.",
};

/// Nothing to put back.
pub const NOT_DEAD: Code = Code {
    id: "JOB004",
    title: "a job that is not dead cannot be replayed",
    exit: Exit::Error,
    explanation: "\
Replaying puts a dead job back into its line, with its failures forgotten. A job that waits or runs needs no help, and one
that succeeded or was cancelled is over: doing it again is another job.
`roster job replay ID` of a job that succeeded breaks the rule.
Look at it with `roster job status ID`; submit it anew if it is to be done again.",
};
