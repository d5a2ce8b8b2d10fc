//! Every rule of an install that can be broken.

use spec::notes::{Code, Exit};

/// All of them, in the order of their numbers.
pub const ALL: &[Code] = &[
    NAME,
    ADDRESS,
    HASH,
    TWICE,
    ORDER,
    VARIABLE,
    LOCK,
    BUSY,
    DISK,
    ROOM,
    FETCH,
    PROGRAM,
    PROBE,
    WITHHELD,
    TRANSFER,
    CONTENT,
    IN_THE_WAY,
    DAMAGED,
    LEFT_OUT,
    NO_PREVIOUS,
    STOPPED,
];

/// Names stay in their folder.
pub const NAME: Code = Code {
    id: "INSTALL001",
    title: "a name that cannot be the name of a folder or file",
    exit: Exit::Error,
    explanation: "\
Names of nodes and models become folders and files, and words of a command line. So they have letters, digits and
`. _ - +`, begin with a letter, a digit or `_`, and have no `..` in them: none can leave its folder, be taken for an
option, or be read as anything else by a program.
`\"name\": \"../main.py\"` and `\"name\": \"a; rm -rf /\"` break the rule.
Give it the name of a folder.",
};

/// Addresses are of hosts that prove who they are.
pub const ADDRESS: Code = Code {
    id: "INSTALL002",
    title: "an address that nothing is fetched from",
    exit: Exit::Error,
    explanation: "\
What is fetched is run. So repositories come over `https`, `ssh` or from this machine (`file`), files over `https`; plain
`http` only from this machine, where nobody is on the way. Git's `ext::` runs programs and is refused, and so is an
address with a password in it, which every log would repeat.
`\"url\": \"http://example.com/a.git\"` and `\"url\": \"ext::sh -c …\"` break the rule.
Write the `https` address; name the variable of a token in the mapping's `tokens`.",
};

/// Hashes are whole.
pub const HASH: Code = Code {
    id: "INSTALL003",
    title: "a commit or sum that is not whole",
    exit: Exit::Error,
    explanation: "\
A commit is pinned by all of its 40 (or 64) hexadecimal digits, a file by the 64 of its SHA-256. The first few of a
commit may be those of another one tomorrow.
`\"commit\": \"1a2b3c4\"` breaks the rule.
`git rev-parse 1a2b3c4` and `sha256sum FILE` tell the whole.",
};

/// Names are of one thing.
pub const TWICE: Code = Code {
    id: "INSTALL004",
    title: "two of one name",
    exit: Exit::Error,
    explanation: "\
Two nodes of one name would be one folder, two models of one name and folder one file: whichever came last would win.
Capitals make no difference, for on some file systems they do not.
`Upscaler` beside `upscaler` breaks the rule.
Remove one, or rename it.",
};

/// An install is of something.
pub const ORDER: Code = Code {
    id: "INSTALL005",
    title: "nothing says what is to be installed",
    exit: Exit::Error,
    explanation: "\
What is installed follows from the mapping, through the plan: `ecosystem.json` holds it for every service that is
installed here, and the process that installs is given its part in the variable `ROSTER_INSTALL`. A service that the
machine does not have, or that its image brings, is not installed.
`roster install apply comfyui` in an empty folder breaks the rule.
Run it where `ecosystem.json` is, or name the file with `--ecosystem`.",
};

/// Variables are declared and set.
pub const VARIABLE: Code = Code {
    id: "INSTALL006",
    title: "a variable that an install cannot use",
    exit: Exit::MissingValue,
    explanation: "\
An install reads the variables that the mapping declares for the service, and no other: a document of nodes, which may be
somebody else's, cannot ask for a key that is not meant for it. A `.env` of a node is read alike by every reader, so a
value that some would read differently is refused.
`\"env\": {\"TOKEN\": \"${AWS_SECRET_ACCESS_KEY}\"}` breaks the rule.
Declare the variable for the service, set it, or give it a default.",
};

/// A lock is ours.
pub const LOCK: Code = Code {
    id: "INSTALL007",
    title: "a lock that cannot be read",
    exit: Exit::Error,
    explanation: "\
`roster.lock.json` says to which commits and wheels everything was resolved. One that cannot be read is not thrown away:
that would be an update that nobody asked for.
A merge conflict in it breaks the rule.
Restore it, or remove it on purpose.",
};

/// One install at a time.
pub const BUSY: Code = Code {
    id: "INSTALL008",
    title: "another install of the service is going on",
    exit: Exit::Error,
    explanation: "\
Two installs of one service would write to the same folders. An install that was killed may have left a program that still
writes; it counts until it has ended.
Two `roster install apply comfyui` at once break the rule.
Wait; `roster install status` says how far it is.",
};

/// The disk has to play along.
pub const DISK: Code = Code {
    id: "INSTALL009",
    title: "the disk refuses",
    exit: Exit::Error,
    explanation: "\
Everything is written beside what is there and takes its place in one step, so a disk that refuses leaves what was there
as it was.
A workspace that is mounted read-only breaks the rule.
Mend what the message names, then run it again: it goes on from where it was.",
};

/// What is begun has room.
pub const ROOM: Code = Code {
    id: "INSTALL010",
    title: "not enough room on the disk",
    exit: Exit::DoesNotFit,
    explanation: "\
The models that are missing are added up before the first byte is asked for, less what has come already, and a reserve is
kept free: a disk that is full stops everything on the machine. Should it fill up all the same, what has come is kept.
40 GiB of models on a disk with 30 GiB free break the rule.
Free some room, or declare fewer models.",
};

/// Sources can be had.
pub const FETCH: Code = Code {
    id: "INSTALL011",
    title: "a source that cannot be fetched",
    exit: Exit::Error,
    explanation: "\
A repository, branch, commit or folder that is not there, or a host that does not answer. The other parts are fetched all
the same, and wait for the next try.
A branch that was renamed breaks the rule.
Mend the address or the revision, or wait for the host; then run it again.",
};

/// Programs succeed.
pub const PROGRAM: Code = Code {
    id: "INSTALL012",
    title: "a program of the install failed",
    exit: Exit::Error,
    explanation: "\
Environments are made by `uv` or `python3 -m venv`, requirements installed by `uv` or `pip`, and scripts and commands run,
each with a time limit. One that fails, fails the install, unless it is a node's and `on_failure` says otherwise; its last
lines are in the status.
A requirement that no index has breaks the rule.
Mend what the last lines speak of, then run it again: what is done is kept.",
};

/// A build works before it is used.
pub const PROBE: Code = Code {
    id: "INSTALL013",
    title: "the install does not work",
    exit: Exit::Error,
    explanation: "\
A build is probed where it was made, before anything is started from it: ComfyUI, say, has to load all of its nodes. One
that fails is not switched to, so an update that does not work changes nothing.
A node that needs another version of a library breaks the rule.
Mend what the last lines speak of.",
};

/// Hosts give what they are asked for.
pub const WITHHELD: Code = Code {
    id: "INSTALL014",
    title: "a host does not give the file",
    exit: Exit::MissingValue,
    explanation: "\
The host answers that the file is not there or not for us, or sends a page for people (a login, the terms of a model)
where a file was asked for. Nothing of that is kept.
A gated model without `HF_TOKEN` breaks the rule.
Set the token, accept the terms on the host's page, or mend the address.",
};

/// Transfers come to an end.
pub const TRANSFER: Code = Code {
    id: "INSTALL015",
    title: "a download that broke off as often as it was tried",
    exit: Exit::Error,
    explanation: "\
A transfer that breaks off or stands still is gone on with from its last byte, a few times, with growing pauses, and then
from the next address. What has come is kept for the next run.
A server that sends nothing for half a minute, every time, breaks the rule.
Run it again, or add another address to `urls`.",
};

/// Files are what was declared.
pub const CONTENT: Code = Code {
    id: "INSTALL016",
    title: "a file that is not what was declared",
    exit: Exit::Error,
    explanation: "\
A model is shown to a service only when its bytes are as many as declared and have the declared SHA-256. A server that
announces another length is not listened to any further.
A file that was replaced on its host breaks the rule.
See whether the new file is the one you want; then declare its `size` and `sha256`.",
};

/// What is not ours stays.
pub const IN_THE_WAY: Code = Code {
    id: "INSTALL017",
    title: "a file that is not ours is in the way",
    exit: Exit::Error,
    explanation: "\
A file that was there before is never overwritten. If it is what was declared, byte for byte, it is taken as it is;
otherwise nobody but you knows what it is.
Another `model.safetensors` of your own in `models/checkpoints` breaks the rule.
Move it away, or declare the model under another name.",
};

/// What was installed stays.
pub const DAMAGED: Code = Code {
    id: "INSTALL018",
    title: "what is there is not what was installed",
    exit: Exit::Changes,
    explanation: "\
`roster install verify` reads everything again: the sums of all models, the commits of all checkouts, the probe.
A model that somebody has edited breaks the rule.
`roster install apply` makes anew what is missing; a damaged model is set aside first, and never removed.",
};

/// A node can be done without.
pub const LEFT_OUT: Code = Code {
    id: "INSTALL019",
    title: "a node failed, and the install went on",
    exit: Exit::Error,
    explanation: "\
`on_failure` says what a node is worth: `fail` (the default) fails the install, `skip` leaves the node out, `warn` keeps it
as far as it got. The last two are told each time, as advice.
A node whose requirements cannot be installed gives the advice.
Mend it or remove it; `roster install update` tries again.",
};

/// Going back needs something behind.
pub const NO_PREVIOUS: Code = Code {
    id: "INSTALL020",
    title: "nothing to go back to",
    exit: Exit::Error,
    explanation: "\
An update keeps the install before it, with its lock, and `roster install update --back` switches to it. Before the first
update there is none.
`--back` right after the first install breaks the rule.
Nothing needs to be done.",
};

/// An end that was asked for.
pub const STOPPED: Code = Code {
    id: "INSTALL021",
    title: "an install that was asked to end",
    exit: Exit::Error,
    explanation: "\
A SIGTERM or SIGINT ends an install and every program that it runs, at once. What is done is kept, and bytes that have
come are gone on with; nothing unfinished is visible.
Control-C during a download breaks the rule.
Run `roster install apply` again.",
};

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_code_has_its_own_number_and_says_something() {
        for (at, it) in (1..).zip(ALL) {
            assert_eq!(it.id, format!("INSTALL{at:03}"));
            assert!(it.explanation.len() > 100 && !it.title.ends_with('.'), "{}", it.id);
        }
    }
}
