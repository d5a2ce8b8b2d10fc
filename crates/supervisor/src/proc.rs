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
}

impl Stat {
    /// `proc_pid_stat(5)`: `pid (name) state ppid pgrp session …`; the name may hold anything, brackets included.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X");
        let mut number = || fields.next()?.parse().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        let started = fields.nth(15)?.parse().ok()?;
        Some(Self { dead, parent, group, session, started })
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

/// The value of a variable in the environment that a process was started with.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environment
        .split(|it| *it == 0)
        .find_map(|it| it.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// The name of a process's program, as the kernel keeps it: at most 15 bytes.
pub(crate) fn name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_field() {
        let stat = Stat { dead: true, parent: 1, group: 7, session: 5, started: 99 };
        let line = "42 (a) b (c) Z 1 7 5 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 99 1000";
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse("42 (a"), None);
    }

    #[test]
    fn a_process_is_below_its_parent() {
        let own = own();
        let parent = Stat::of(own).unwrap().parent;
        assert!(parent == 0 || children(parent).contains(&own));
        assert!(trees([own]).contains(&own));
        assert_eq!(variable(own, "NO_SUCH_VARIABLE_OF_OURS"), None);
    }
}
