//! What `/proc` says about processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use rustix::process::Pid;

/// One line of `/proc/*/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub dead: bool,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
}

impl Stat {
    /// `proc_pid_stat(5)`: `pid (name) state ppid pgrp session …`; the name may hold anything, brackets included.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X");
        let mut number = || fields.next()?.parse().ok();
        Some(Self { dead, parent: number()?, group: number()?, session: number()? })
    }
}

/// Every process that can be seen, those that have ended and not been reaped included.
pub(crate) fn all() -> BTreeMap<i32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|it| it.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        // The name of a process may be no UTF-8.
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, Stat::parse(&String::from_utf8_lossy(&stat))?))
    })
    .collect()
}

/// When a process was started, in clock ticks since boot: with its number, unique until the next boot.
pub(crate) fn started(pid: i32) -> u64 {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19));
    field.and_then(|it| it.parse().ok()).unwrap_or_default()
}

/// Whether the environment that a process was started with has `variable`, given as `NAME=value`.
pub(crate) fn has_variable(pid: i32, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|it| *it == 0).any(|it| it == variable.as_bytes())
}

/// Those of `all` that live and descend from `root`, without the trees of `others`.
pub(crate) fn descendants(all: &BTreeMap<i32, Stat>, root: i32, others: &BTreeSet<i32>) -> Vec<i32> {
    let (mut found, mut parents) = (Vec::new(), vec![root]);
    while let Some(parent) = parents.pop() {
        let children = all.iter().filter(|(pid, it)| it.parent == parent && !others.contains(pid));
        for (&pid, stat) in children {
            parents.push(pid);
            if !stat.dead {
                found.push(pid);
            }
        }
    }
    found
}

/// A number of the kernel as a process, unless it is none.
pub(crate) fn pid(raw: i32) -> Option<Pid> {
    Pid::from_raw(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_field() {
        let stat = Stat { dead: true, parent: 1, group: 7, session: 5 };
        assert_eq!(Stat::parse("42 (a) b (c) Z 1 7 5 0 -1"), Some(stat));
        assert_eq!(Stat::parse("42 (a"), None);
    }

    #[test]
    fn a_tree_is_followed_through_the_dead_and_not_into_others() {
        let stat = |parent, dead| Stat { dead, parent, group: 0, session: 0 };
        let all = BTreeMap::from([
            (2, stat(1, false)),
            (3, stat(2, true)),
            (4, stat(3, false)),
            (5, stat(1, false)),
            (6, stat(5, false)),
            (7, stat(9, false)),
        ]);
        assert_eq!(descendants(&all, 1, &BTreeSet::from([5])), [2, 4]);
    }
}
