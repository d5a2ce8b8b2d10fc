//! Every rule of the broker that an input can break.

use spec::notes::{Code, Exit};

/// All of them, in the order of their numbers.
pub const ALL: &[Code] = &[
    SHAPE,
    UNKNOWN_FIELD,
    NAME,
    LIMIT,
    FULL,
    UNREACHABLE,
    FOREIGN,
    ADDRESS,
    NOT_ALLOWED,
    UNKNOWN_JOB,
    DAMAGE,
    WIRE,
    POISON,
    LEGACY_QUEUE,
];

/// A document of another form.
pub const SHAPE: Code = Code {
    id: "BROKER001",
    title: "a job document of another form",
    exit: Exit::Error,
    explanation: "\
A job is judged where it is submitted, because behind the door it would be judged by every worker again and again.
`\"requirements\": null`, `\"gpu_memory_gb\": \"16\"` and a list for an object break the rule: each would be a job that
waits for ever, or one that stops its workers.
Write each member as the kind of value that it is, and leave out what is not wanted: absent is not `null`.",
};

/// A member that means nothing.
pub const UNKNOWN_FIELD: Code = Code {
    id: "BROKER002",
    title: "a field that means nothing",
    exit: Exit::Error,
    explanation: "\
A field that is not known would be ignored, and the job would run where it must not; or it would be taken for a
capability that no worker has, and the job would never run.
`\"requirements\": {\"timeout_minutes\": 30}` breaks the rule.
Correct the name. A capability of your own goes into `has`: `{\"has\": {\"region\": \"eu\"}}`.",
};

/// A text that is no name.
pub const NAME: Code = Code {
    id: "BROKER003",
    title: "a name with a character that it cannot hold",
    exit: Exit::Error,
    explanation: "\
Names become parts of Redis keys, which `:`, `{` and `}` divide. They have 1 to 128 of the characters that the
message lists and begin with a letter or digit.
The job id `user:7` breaks the rule.
Use `-`, `_` or `.` where you would have used `:`.",
};

/// Too much, too long, too deep, or nothing.
pub const LIMIT: Code = Code {
    id: "BROKER004",
    title: "a value beyond its limit",
    exit: Exit::Error,
    explanation: "\
Everything in a job has a limit, so that no job can fill the memory of all others or slow down their matching: a
payload of 256 KiB, lists of 64, texts of 256 bytes, requirements 4 levels deep. An empty list asks for nothing and is
usually a mistake. Numbers have 64 bits, also in a payload: what is larger would arrive as another number.
A payload with a picture of 10 MB in it breaks the rule, and so does `{\"seed\": 12345678901234567890123}`.
Store large data elsewhere and send its address; leave out what is empty; write a large number as a text.",
};

/// No room.
pub const FULL: Code = Code {
    id: "BROKER005",
    title: "the queue is full",
    exit: Exit::Error,
    explanation: "\
A queue has a byte budget for jobs that are not finished, so that a flood of jobs does not fill Redis. Redis itself can be
full all the same: results are kept for a day, others use it too, or its `maxmemory` is smaller than the budget. Then no
job is taken and none begins; those that run can still end, be renewed and be cancelled.
A million waiting jobs of 1 KiB in a queue with a budget of 1 GB break the rule.
Submit later, start more workers, keep results for a shorter time, or give Redis more memory and submit with a larger
budget (`--byte-budget`).",
};

/// Redis cannot be asked.
pub const UNREACHABLE: Code = Code {
    id: "BROKER006",
    title: "Redis does not answer",
    exit: Exit::Error,
    explanation: "\
The queue lives in Redis or Valkey. The connection is opened again by itself, with growing pauses, and a call that may be
carried out twice is sent again, for twice the `timeout` of the address. This error comes after that.
A wrong address, password or certificate breaks the rule, and so does a server that is down.
Check the URL, and try `redis-cli -u URL ping`. Submitting a job again under the same id never doubles it.",
};

/// Something in the keys that this version did not write.
pub const FOREIGN: Code = Code {
    id: "BROKER007",
    title: "something in Redis that is not ours",
    exit: Exit::Error,
    explanation: "\
All keys of a queue begin with its name in braces. Another program wrote to one of them, or a later version of this one
did.
`SET {jobs}:m 1` by hand breaks the rule.
Give the other program another name, or the queue; let all programs of one queue have one version.",
};

/// An address that cannot be read, or whose files cannot.
pub const ADDRESS: Code = Code {
    id: "BROKER008",
    title: "an address of Redis that cannot be used",
    exit: Exit::Error,
    explanation: "\
An address is read whole before anything connects, so that no part of it is ignored: a client that drops an option it does
not know would connect without the certificate that it was given.
`redis://anna:pa/ss@host` breaks the rule, and so do `rediss://host/#insecure` and two hosts behind `redis://`.
Percent-encode what is in a password (`/` is `%2F`, `@` is `%40`), and look at Addresses in docs/broker.md. Passwords are
never shown, so the message may say less than you wish.",
};

/// The ACL of Redis says no.
pub const NOT_ALLOWED: Code = Code {
    id: "BROKER009",
    title: "a Redis user that may not do this",
    exit: Exit::Error,
    explanation: "\
Each role of a queue, producer, worker, operator and observer, has a Redis user that may do what the role does and nothing
else. Every script is behind a door, a key of its own that the user's rules have to name, so that a call is refused whole.
A producer that claims jobs breaks the rule.
Use the address of the right user, or give this one the rules of its role: docs/broker.md has them as `ACL SETUSER` lines.",
};

/// No such job.
pub const UNKNOWN_JOB: Code = Code {
    id: "BROKER020",
    title: "a job that nobody knows",
    exit: Exit::Error,
    explanation: "\
A job is known from the moment it is submitted until it is forgotten: a succeeded or cancelled one after its
`result_ttl_ms` (a day by default), a dead one after a week.
An id with a typing error breaks the rule, and so does the id of another queue or of a job of last month.
Look the id up with `roster job list`, and check which queue and which Redis were asked.",
};

/// The keys contradict each other.
pub const DAMAGE: Code = Code {
    id: "BROKER021",
    title: "a job that is not in exactly one state",
    exit: Exit::Changes,
    explanation: "\
Every job that is not finished is in exactly one place: its line, the leases, the delayed jobs or one set of dead jobs, as
its record says; and the bytes of all unfinished jobs are what `m` says. The scripts change all of it at once, so only
something else can break this: a key that was deleted or evicted (`maxmemory-policy` has to be `noeviction`), a restore
of some keys, another program.
`ZREM {jobs}:l ID` by hand breaks the rule: nobody returns that job when its worker is lost.
Find out who wrote to the keys. A job that is nowhere can be submitted again from its document, `{jobs}:b:ID`.",
};

/// What another system's wire has no words for.
pub const WIRE: Code = Code {
    id: "BROKER030",
    title: "something that the legacy wire cannot say",
    exit: Exit::Error,
    explanation: "\
The queue of the TypeScript system has jobs with fewer features: no delays, no limits, no idempotency keys, no times of one
job's own, no `any` among the requirements, and no pause. What is silently left out would be a job that runs where or when
it must not.
`\"delay_ms\": 1000` in a job for a legacy queue breaks the rule.
Leave it out, or give the job to a native queue. docs/legacy.md lists what each wire promises.",
};

/// A job that stops workers.
pub const POISON: Code = Code {
    id: "BROKER031",
    title: "a job that stops every worker of its service",
    exit: Exit::Changes,
    explanation: "\
The Redis Function of the TypeScript system reads a job's requirements again at every claim, and raises an error where they are
not what it expects. As long as such a job waits, each of that system's workers for its service gets the error and no job, also
none of the good ones behind it. Roster's workers pass it by and name it once.
`\"requirements\": null` breaks the rule, and so does `{\"hardware\": {\"gpu_memory_gb\": \"16\"}}`.
Cancel it, `roster job cancel ID --broker legacy`, mend its requirements and submit it again.",
};

/// Something is wrong with the queue.
pub const LEGACY_QUEUE: Code = Code {
    id: "BROKER032",
    title: "a legacy queue that does not do what it should",
    exit: Exit::Changes,
    explanation: "\
The TypeScript system changes a job with several commands, keeps no leases and installs its Redis Function by hand. So a queue
can hold ids without jobs, jobs that are nowhere, jobs of workers that are gone, and no function.
A worker that is killed breaks the rule: its job stays `in_progress` for ever.
`roster doctor --legacy` names each case and what to do about it.",
};
