//! The rules of asking a supervisor.

use spec::notes::{Code, Exit};

/// Names are those of the document.
pub const NO_SUCH_PROCESS: Code = Code {
    id: "SUP001",
    title: "no such process",
    exit: Exit::Error,
    explanation: "\
Processes are called by the names that the ecosystem gives them. A name that is not there would silently do nothing,
so nothing at all is done, for the other names of the command neither.
`roster restart comfyui` breaks the rule where the processes are `comfyui-gpu0` and `comfyui-worker-0`.
`roster ps` lists the names.",
};

/// Scaling invents nothing.
pub const TOO_MANY: Code = Code {
    id: "SUP002",
    title: "more processes than the ecosystem has",
    exit: Exit::Error,
    explanation: "\
`roster scale` starts and stops processes that the ecosystem has. It makes none up: which device and which port a
further one gets is what a plan decides, with everything else that the machine runs in view.
`roster scale simulation-worker 6` breaks the rule where there are four.
Make a plan with more of them (`roster env-build --spec simulation:6`), then `roster reload`: what is there stays as it is.",
};

/// Signals go to what lives.
pub const NOT_RUNNING: Code = Code {
    id: "SUP003",
    title: "a signal to a process that does not run",
    exit: Exit::Error,
    explanation: "\
A signal is sent to a process that lives and to no other: the number of a dead one may be somebody else's by now.
`roster signal comfyui-gpu0 HUP` breaks the rule while `comfyui-gpu0` waits to be started again.
`roster ps` shows what runs; start the process first.",
};

/// A supervisor runs one machine.
pub const OTHER_MACHINE: Code = Code {
    id: "SUP004",
    title: "a document of another machine",
    exit: Exit::Error,
    explanation: "\
A reload replaces the document of the machine that runs. A document of another machine has other names for the same
work, so that everything would be stopped and everything started: nearly always the wrong file.
`roster reload --ecosystem other/ecosystem.json` breaks the rule.
Reload the machine's own document, or start a supervisor of its own for the other one.",
};

/// A document has to be right before anything is done.
pub const DOCUMENT: Code = Code {
    id: "SUP005",
    title: "an ecosystem that cannot be taken",
    exit: Exit::Error,
    explanation: "\
A document is read and judged as a whole before anything is started or stopped. One that cannot be read, that is wrong
in any place, or that passes on a variable which is no text changes nothing: what runs goes on.
Mend what the message names, then `roster reload`.",
};

/// What goes down takes no orders.
pub const STOPPING: Code = Code {
    id: "SUP006",
    title: "the supervisor is stopping",
    exit: Exit::Error,
    explanation: "\
A supervisor that was asked to stop stops everything and ends. An order that came after that would be lost.
`roster start` breaks the rule while `roster up` is on its way down.
Wait until it has ended, and start it again.",
};

/// Requests are of this protocol.
pub const NOT_UNDERSTOOD: Code = Code {
    id: "SUP007",
    title: "a request that the supervisor does not understand",
    exit: Exit::Error,
    explanation: "\
A request is one line of JSON: `{\"version\":1,\"request\":{\"ps\":{\"follow\":false}}}`. Anything else, an unknown field
included, is refused, so that nobody believes that it was obeyed.
A `roster` of another version than the supervisor's can break the rule.
Ask with the program that the supervisor runs from, or restart the supervisor with the new one.",
};

/// A supervisor obeys its user.
pub const OTHER_USER: Code = Code {
    id: "SUP008",
    title: "a supervisor of another user",
    exit: Exit::Error,
    explanation: "\
Whoever can ask a supervisor can start and stop its processes and read their logs. So its socket is open to its own
user and to root, by the mode of the file and once more by what the kernel says about the asker.
Asking as `nobody` breaks the rule.
Ask as the user of the supervisor: `docker compose exec` does so by itself.",
};

/// One supervisor a machine.
pub const ALREADY_RUNNING: Code = Code {
    id: "SUP009",
    title: "the machine is running already",
    exit: Exit::Error,
    explanation: "\
Two supervisors of one machine would start everything twice: two servers for one port, two processes for one device.
The socket belongs to one of them, for as long as that lives; one that was left by a dead supervisor is replaced.
A second `roster up` breaks the rule.
Use the one that runs (`roster ps`, `roster reload`), or stop it first.",
};

/// Somebody has to listen.
pub const NOBODY: Code = Code {
    id: "SUP010",
    title: "no supervisor is listening, or none was chosen",
    exit: Exit::Error,
    explanation: "\
`roster ps` and its like ask the supervisor that runs the machine, over a socket in the run directory of its user.
Nobody listens there when no machine runs, when it runs in a container or as another user, or when it was given a
socket of its own. Where several listen, the one to be asked has to be named.
Start it with `roster run` or `roster up`, ask in its container (`docker compose exec machine roster ps`), or name its socket with `--socket`.",
};

/// A socket has to be possible.
pub const SOCKET: Code = Code {
    id: "SUP011",
    title: "the socket cannot be made or used",
    exit: Exit::Error,
    explanation: "\
The socket is a file: its folder has to be one that the user can write to, its path has at most 107 bytes (`unix(7)`),
and something that is no socket is never replaced by one.
`--socket /etc/passwd` breaks the rule.
Choose another path with `--socket` or `ROSTER_SOCKET`, for the supervisor and for those who ask it.",
};

/// The system gives what a supervisor needs.
pub const SYSTEM: Code = Code {
    id: "SUP012",
    title: "the system refuses what a supervisor needs",
    exit: Exit::Error,
    explanation: "\
A supervisor starts a thread, opens a few files and hears signals. A system that refuses that would refuse the
processes as well, so nothing is started.
A limit of 3 open files (`ulimit -n 3`) breaks the rule.
Raise the limit that the message speaks of.",
};

/// Every code of this crate.
pub const ALL: &[Code] = &[
    NO_SUCH_PROCESS,
    TOO_MANY,
    NOT_RUNNING,
    OTHER_MACHINE,
    DOCUMENT,
    STOPPING,
    NOT_UNDERSTOOD,
    OTHER_USER,
    ALREADY_RUNNING,
    NOBODY,
    SOCKET,
    SYSTEM,
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_code_has_its_own_number_and_says_something() {
        for (at, it) in (1..).zip(ALL) {
            assert_eq!(it.id, format!("SUP{at:03}"));
            assert!(it.explanation.len() > 100 && !it.title.ends_with('.'), "{}", it.id);
        }
    }
}
