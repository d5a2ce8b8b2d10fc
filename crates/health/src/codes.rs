//! The rules of this crate.

use spec::notes::{Code, Exit};

/// No token where one is needed.
pub const TOKEN: Code = Code {
    id: "HEALTH001",
    title: "a health server that others can reach has no token",
    exit: Exit::MissingValue,
    explanation: "\
Whoever reaches the health server can read logs and restart services. On loopback those are the people of the machine;
on every other address it is the network, so the server answers only those who know a token.

Breaks it: `MACHINE_HEALTH_LISTEN=0.0.0.0` without `MACHINE_HEALTH_TOKEN`.
Mend it: set `MACHINE_HEALTH_TOKEN` to 16 characters or more, or listen on 127.0.0.1.",
};

/// A token that can be guessed.
pub const WEAK_TOKEN: Code = Code {
    id: "HEALTH002",
    title: "the token of the health server is too short",
    exit: Exit::Error,
    explanation: "\
A short token can be guessed: nobody counts how often somebody tries.

Breaks it: `MACHINE_HEALTH_TOKEN=secret`.
Mend it: use 16 characters or more that no person has thought of, such as those of `openssl rand -hex 16`.",
};

/// The address is taken, or not ours.
pub const LISTEN: Code = Code {
    id: "HEALTH003",
    title: "the health server cannot listen",
    exit: Exit::Error,
    explanation: "\
The health server is the first thing that a machine starts: without it nobody could see what goes wrong later. So a
machine whose health server cannot listen does not start.

Breaks it: two machines on one host that both want port 9090; an address that this host does not have.
Mend it: end the other program (`ss -ltnp 'sport = :9090'` shows it), or give this machine another port.",
};

/// All of them.
pub const ALL: &[Code] = &[TOKEN, WEAK_TOKEN, LISTEN];
