//! What `/proc` says about processes.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{PidfdFlags, getpid, pidfd_open};
use serde::{Deserialize, Serialize};

/// One line of `/proc/*/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub dead: bool,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// When it was started, in clock ticks since boot: with its number, unique until the next boot.
    pub started: u64,
    /// Its environment's size in bytes; none of what has no memory and of what is in the middle of `execve(2)`, which
    /// sets the start of the code last (`load_elf_binary` in `fs/binfmt_elf.c`).
    pub environment: Option<u64>,
    /// It is ending, or a thread of the kernel: it has no memory, and gets none.
    pub hollow: bool,
}

/// `PF_EXITING | PF_KTHREAD` of `include/linux/sched.h`.
const HOLLOW: u64 = 0x0000_0004 | 0x0020_0000;

impl Stat {
    /// `proc_pid_stat(5)`: `pid (name) state ppid pgrp session …`; the name may hold anything, brackets included.
    fn parse(line: &str) -> Option<Self> {
        // The third field is the first one here.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let id = |field: usize| fields.get(field - 3)?.parse().ok();
        let dead = matches!(*fields.first()?, "Z" | "X");
        let code = number(26).filter(|it| *it > 0);
        let environment = code.and_then(|_| number(51)?.checked_sub(number(50)?));
        let hollow = dead || number(9)? & HOLLOW != 0;
        let (parent, group, session) = (id(4)?, id(5)?, id(6)?);
        Some(Self { dead, parent, group, session, started: number(22)?, environment, hollow })
    }

    /// Of a process, if there is one of that number.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        // The name of a process may be no UTF-8.
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&stat))
    }
}

/// Which process: its number, and when it was started, in clock ticks since boot. Unique until the next boot. In text
/// `number.start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub pid: i32,
    pub started: u64,
}

impl Identity {
    /// Of the process that has the number now, unless it is dead.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Stat::of(pid).filter(|it| !it.dead).map(|it| Self { pid, started: it.started })
    }

    /// Ourselves.
    pub(crate) fn own() -> Self {
        Self::of(own()).unwrap_or(Self { pid: own(), started: 0 })
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.split_once('.')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    pub(crate) fn lives(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// A handle on it, and on no other process that has its number since; `None` when it has ended.
    pub(crate) fn handle(self) -> Option<OwnedFd> {
        let pidfd = pidfd_open(rustix::process::Pid::from_raw(self.pid)?, PidfdFlags::NONBLOCK).ok()?;
        self.lives().then_some(pidfd)
    }
}

impl Display for Identity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pid, self.started)
    }
}

/// Our number.
pub(crate) fn own() -> i32 {
    getpid().as_raw_nonzero().get()
}

/// Every process that can be seen, those that have ended and not been reaped included.
pub(crate) fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|it| it.file_name().to_str()?.parse().ok()).collect()
}

/// The children of a process, those that have ended and not been reaped included.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut children = Vec::new();
    for thread in threads.map(|it| it.path()) {
        match fs::read_to_string(thread.join("children")) {
            Ok(list) => {
                children.extend(list.split_ascii_whitespace().filter_map(|it| it.parse::<i32>().ok()));
            }
            // The thread has ended, or the kernel was built without CONFIG_PROC_CHILDREN.
            Err(_) if thread.exists() => {
                let theirs = |it: &i32| Stat::of(*it).is_some_and(|it| it.parent == pid);
                return all().into_iter().filter(theirs).collect();
            }
            Err(_) => {}
        }
    }
    children
}

/// `heads` and everything below them.
pub(crate) fn trees(heads: impl IntoIterator<Item = i32>) -> BTreeSet<i32> {
    let (mut found, mut next) = (BTreeSet::new(), heads.into_iter().collect::<Vec<_>>());
    while let Some(pid) = next.pop() {
        if found.insert(pid) {
            next.extend(children(pid));
        }
    }
    found
}

/// What the environment says that a process was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Is(String),
    Absent,
    /// The process is just becoming another program: it has an environment again in a moment.
    Unknown,
}

/// A variable in the environment that a process was started with.
pub(crate) fn variable(pid: i32, name: &str) -> Variable {
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return Variable::Absent };
    let mut all = environment.split(|it| *it == 0);
    let value = all.find_map(|it| it.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    if let Some(Ok(value)) = value.map(|it| String::from_utf8(it.to_vec())) {
        return Variable::Is(value);
    }
    // It was no whole one if it has another size afterwards. Not every kernel knows sizes: gVisor has none.
    let whole = |it: Stat| it.hollow || it.environment == u64::try_from(environment.len()).ok();
    let unknown = || Stat::of(own()).is_none_or(|it| it.environment.is_none());
    if Stat::of(pid).is_none_or(whole) || unknown() { Variable::Absent } else { Variable::Unknown }
}

/// The name of a process's program, as the kernel keeps it: at most 15 bytes.
pub(crate) fn name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "42 (a) b (c) S 1 7 5 0 -1 64 1 2 3 4 5 6 7 8 20 0 1 0 99 23 24 25 26 27 28 29 30 31 32 33 34 35 36 \
                        37 38 39 40 41 42 43 44 45 46 47 48 49 1000 1030 52";

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_field() {
        let stat = Stat {
            dead: false,
            parent: 1,
            group: 7,
            session: 5,
            started: 99,
            environment: Some(30),
            hollow: false,
        };
        assert_eq!(Stat::parse(LINE), Some(stat));
        assert_eq!(Stat::parse("42 (a"), None);
        // An old kernel says less.
        let short = &LINE[..LINE.find(" 23").unwrap()];
        assert_eq!(Stat::parse(short), Some(Stat { environment: None, ..stat }));
        let zombie = Stat { dead: true, hollow: true, environment: None, ..stat };
        assert_eq!(Stat::parse(&LINE.replace(" S ", " Z ").replace(" 26 ", " 0 ")), Some(zombie));
        assert_eq!(Stat::parse(&LINE.replace(" 64 ", " 68 ")), Some(Stat { hollow: true, ..stat }));
    }

    /// While a program takes the place of another, its process has no environment: that is no sign that it is a stranger.
    #[test]
    fn a_process_that_becomes_another_program_is_never_without_its_variable() {
        let script = r#"[ "$1" = 0 ] && exec sleep 1000; exec /bin/sh -c "$0" "$0" "$(($1 - 1))""#;
        let mut command = std::process::Command::new("/bin/sh");
        let mut process = command.args(["-c", script, script, "2000"]).env("OURS", "yes").spawn().unwrap();
        let pid = i32::try_from(process.id()).unwrap();
        let mut known = true;
        while known && name(pid).as_deref() != Some("sleep") {
            known = variable(pid, "OURS") != Variable::Absent;
        }
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(known);
    }

    #[test]
    fn a_process_is_below_its_parent() {
        let own = own();
        let parent = Stat::of(own).unwrap().parent;
        assert!(parent == 0 || children(parent).contains(&own));
        assert!(trees([own]).contains(&own));
        assert_eq!(variable(own, "NO_SUCH_VARIABLE_OF_OURS"), Variable::Absent);
    }
}
