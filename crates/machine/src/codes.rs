//! Every rule of the runtime verbs that an input can break. `xtask` reads this file too, for `docs/errors.md`.

use spec::notes::{Code, Exit};

/// All of them, in the order of their numbers.
pub const ALL: &[Code] = &[
    NO_ADDRESS,
    INPUT,
    UNSUCCESSFUL,
    NOT_DEAD,
    NOTHING,
    FILES,
    VALUE,
    MISSING,
    DECIDED,
    DOES_NOT_FIT,
    DIFFERENT,
    SILENT,
    FORBIDDEN,
    TOO_LATE,
    NO_ENGINE,
    NO_NVIDIA,
    OLD_REDIS,
    FORGETS,
    EVICTS,
    SLOW_REDIS,
    PORT_IN_USE,
    SECRET_FILE,
    FULL,
    CLOCK,
    NOT_INSTALLED,
];

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
A file that is empty or not UTF-8 breaks the rule, and so do a job document together with `--service`, `--id` or `--key`,
which name one job, together with several, and two jobs with one `id` or `idempotency_key` that are not the same job: the
queue would take the second for the first.
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

/// Neither a generation nor a document.
pub const NOTHING: Code = Code {
    id: "RUN001",
    title: "there is nothing to run",
    exit: Exit::Error,
    explanation: "\
A machine runs what was planned for it: the generation in force in this folder (`.roster/current`), or the document that
`--ecosystem` or `ROSTER_ECOSYSTEM` names, as in a container. It plans nothing by itself.
`roster run` in an empty folder breaks the rule.
Make a generation: `roster env-build --profile simulation`.",
};

/// A file or folder that cannot be used.
pub const FILES: Code = Code {
    id: "RUN002",
    title: "a file or folder of the machine cannot be used",
    exit: Exit::Error,
    explanation: "\
The files of the generation have to be readable, and the workspace has to be a folder that this user may write to.
A `.env` that belongs to root breaks the rule.
Mend the owner or the mode; where the workspace cannot be, name another one with `MACHINE_WORKSPACE`.",
};

/// A setting of a wrong form.
pub const VALUE: Code = Code {
    id: "RUN003",
    title: "a setting of the machine has a value that it cannot have",
    exit: Exit::Error,
    explanation: "\
Settings are read once, before anything is started, and nothing is repaired: an interval of `ten` is not taken for the
default. All that is wrong is told at once.
`MACHINE_STATUS_INTERVAL_S=ten` breaks the rule.
Write the value in the form that the message names; `roster config` lists all settings with their forms.",
};

/// A setting that is not there.
pub const MISSING: Code = Code {
    id: "RUN004",
    title: "a setting that the machine needs is missing",
    exit: Exit::MissingValue,
    explanation: "\
A machine without the address of its broker could do no work, and a health server that others can reach without a token
would let anybody restart its processes. Both are said before anything is started.
`MACHINE_HEALTH_LISTEN=0.0.0.0` without `MACHINE_HEALTH_TOKEN` breaks the rule.
Set the variable, or `NAME_FILE` to a file that holds it.",
};

/// A setting that the plan has decided otherwise.
pub const DECIDED: Code = Code {
    id: "RUN005",
    title: "the plan has decided otherwise",
    exit: Exit::Error,
    explanation: "\
What a plan has decided (the machine's name, its ports, its workers) is in every generated file, and a machine that
changed its mind when it starts would contradict all of them. So such a variable may be set only to what the plan says.
`MACHINE_ID=other roster run` in the folder of a generation for `simulation` breaks the rule.
Unset it, or make a generation with it: `MACHINE_ID=other roster env-build`.",
};

/// Cards that are not here.
pub const DOES_NOT_FIT: Code = Code {
    id: "RUN010",
    title: "the plan does not fit this machine",
    exit: Exit::DoesNotFit,
    explanation: "\
A plan puts each service on a card that it names, and counts its memory. A machine without that card, or with a smaller
one, could only run something else than was planned, so nothing is started.
A generation for two cards on a machine with one breaks the rule, and so does a container that was not given its card.
Plan for this machine (`roster env-build --detect`), or give the container its cards.",
};

/// Hardware that is not quite the planned one.
pub const DIFFERENT: Code = Code {
    id: "RUN011",
    title: "the machine is not quite the one that was planned for",
    exit: Exit::Error,
    explanation: "\
Everything that the plan uses is here, but the machine has more or fewer cards, or less memory or cores, than the plan
was made for. It runs as planned; what it has beyond that stays unused, and what it lacks may make it slow.
Plan again to use the machine as it is: `roster env-build --detect`.",
};

/// Nobody answers.
pub const SILENT: Code = Code {
    id: "RUN020",
    title: "no machine answers",
    exit: Exit::Unhealthy,
    explanation: "\
`roster status` asks the health server of the machine, which answers from the first moment of `roster run` to the last.
No answer means that no machine runs there, or that it is so ill that it cannot answer: both are unhealthy.
`roster status` before `roster run` breaks the rule.
Start the machine, or name the address where it listens with `--address`.",
};

/// A token is wanted.
pub const FORBIDDEN: Code = Code {
    id: "RUN021",
    title: "the health server wants a token",
    exit: Exit::Error,
    explanation: "\
A health server that others than this machine's users can reach answers only who shows its token.
Asking without `MACHINE_HEALTH_TOKEN`, or with another one, breaks the rule.
Set the variable, or `MACHINE_HEALTH_TOKEN_FILE`, where you ask.",
};

/// The time is over.
pub const TOO_LATE: Code = Code {
    id: "RUN022",
    title: "the machine is not ready in time",
    exit: Exit::Unhealthy,
    explanation: "\
`roster status --wait --timeout N` ends with 0 only when every service that is enabled is healthy, and says what is not
when the time is over.
A first start that still loads models after a `--timeout 10` breaks the rule.
Wait longer, or see what is in the way: each blocker is told with its cause.",
};

/// No engine.
pub const NO_ENGINE: Code = Code {
    id: "DOCTOR001",
    title: "no Docker engine answers",
    exit: Exit::Error,
    explanation: "\
`docker compose up` needs an engine that this user may use. A machine that is run as a plain process (`roster run`) needs
none.
An engine that is not started, or a user outside the group `docker`, breaks the rule.
Start the engine, or let the user use it.",
};

/// An engine without cards.
pub const NO_NVIDIA: Code = Code {
    id: "DOCTOR002",
    title: "the Docker engine cannot give GPUs to containers",
    exit: Exit::DoesNotFit,
    explanation: "\
A container is given cards by NVIDIA's runtime, or by a CDI description of them. With neither, `docker compose up` of a
plan with GPU services is refused by the engine.
A fresh Docker on a machine with cards breaks the rule.
Install the NVIDIA Container Toolkit and let it configure the engine.",
};

/// A server that is too old.
pub const OLD_REDIS: Code = Code {
    id: "DOCTOR010",
    title: "Redis is too old",
    exit: Exit::Error,
    explanation: "\
The broker uses commands that came with Redis 6.2; on an older server its scripts fail.
Redis 6.0 breaks the rule.
Use Redis 6.2 or later, or Valkey.",
};

/// A server that keeps nothing.
pub const FORGETS: Code = Code {
    id: "DOCTOR011",
    title: "Redis may forget jobs",
    exit: Exit::Error,
    explanation: "\
Without an append-only file, whatever was submitted since the last snapshot is gone when the server ends. docs/broker.md
tells what then happens to jobs.
A Redis that was started without `appendonly yes` breaks the rule.
Switch it on; `appendfsync everysec` loses a second at most.",
};

/// A server that throws keys away.
pub const EVICTS: Code = Code {
    id: "DOCTOR012",
    title: "Redis throws jobs away when it is full",
    exit: Exit::Error,
    explanation: "\
With any policy but `noeviction`, a server whose memory is full deletes keys, and a queue's keys are jobs. With
`noeviction` it refuses new ones instead, which their submitters are told.
`maxmemory-policy allkeys-lru` breaks the rule.
Set `noeviction`.",
};

/// A server that is far away.
pub const SLOW_REDIS: Code = Code {
    id: "DOCTOR013",
    title: "Redis is slow to answer",
    exit: Exit::Error,
    explanation: "\
Every job takes one round trip to Redis. At 50 ms and more, short jobs wait for it longer than they work.
A server on another continent breaks the rule.
Use one that is nearer, or find out what slows it down.",
};

/// A port that somebody has.
pub const PORT_IN_USE: Code = Code {
    id: "DOCTOR020",
    title: "a port of the plan is in use",
    exit: Exit::Error,
    explanation: "\
The plan has given each service its ports, and workers, probes and the compose file know them from it. A service whose
port somebody else has cannot start.
A ComfyUI that was started by hand on port 8188 breaks the rule.
End what listens there, or plan other ports: the mapping names a variable for each base port.",
};

/// Secrets that others can read.
pub const SECRET_FILE: Code = Code {
    id: "DOCTOR030",
    title: "a file of secrets is open to others",
    exit: Exit::Error,
    explanation: "\
Secrets are for the user that runs the machine. A file that its group or everybody may read gives them to every program
on the machine.
`config/environments/secrets/local.env` with mode 644 breaks the rule.
`chmod 600` the file, `chmod 700` a folder of them.",
};

/// A disk without space.
pub const FULL: Code = Code {
    id: "DOCTOR040",
    title: "the disk is nearly full",
    exit: Exit::Error,
    explanation: "\
Outputs, models and logs are written to the workspace. When it is full, jobs fail half-way; so below a reserve
(`MACHINE_DISK_RESERVE_MIB`) no jobs are claimed.
A workspace on a small root disk breaks the rule.
Make room, or put the workspace on a larger disk.",
};

/// A clock that is wrong.
pub const CLOCK: Code = Code {
    id: "DOCTOR050",
    title: "the clock is wrong",
    exit: Exit::Error,
    explanation: "\
The queue goes by the clock of Redis alone, so jobs are safe; but times in logs and reports are those of the machine, and
above a minute certificates are refused.
A virtual machine that was paused, and keeps no time by NTP, breaks the rule.
Let both keep time by NTP.",
};

/// A service that is not there.
pub const NOT_INSTALLED: Code = Code {
    id: "DOCTOR060",
    title: "a service of the plan is not installed",
    exit: Exit::Error,
    explanation: "\
A service that is not there cannot be started; its workers wait for it. A service that has an installer in the plan is
installed by `roster run` before it is started, and takes as long as its download.
Playwright on a machine without Chromium breaks the rule.
Install it, set what it needs, or use an image that has it.",
};
