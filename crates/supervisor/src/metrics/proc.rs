//! All processes at one moment, by what `/proc` says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::getpid;

use crate::adopt;
use crate::proc::Variable;

/// The part of `/proc/*/stat` that is about what a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub dead: bool,
    parent: i32,
    group: i32,
    session: i32,
    /// Clock ticks of processor time.
    pub spent: u64,
    /// The same of the children that it has waited for.
    pub spent_by_children: u64,
    pub threads: u64,
    /// When it was started, in clock ticks since boot: with its number, unique until the next boot.
    pub started: u64,
    pages: u64,
}

impl Stat {
    /// `proc_pid_stat(5)`: `pid (name) state ppid pgrp session …`; the name may hold anything, brackets included.
    fn parse(line: &[u8]) -> Option<Self> {
        let end = line.iter().rposition(|it| *it == b')')?;
        let mut fields = str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X");
        let mut id = || fields.next()?.parse().ok();
        let (parent, group, session) = (id()?, id()?, id()?);
        // From here on, each field by how many stand before it.
        let mut number = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
        let spent = number(7)? + number(0)?;
        let spent_by_children = number(0)? + number(0)?;
        let (threads, started, pages) = (number(2)?, number(1)?, number(1)?);
        Some(Self { dead, parent, group, session, spent, spent_by_children, threads, started, pages })
    }

    /// Bytes in memory. The kernel counts them in parts, so that they lag by a few pages a core.
    pub(super) fn resident(&self) -> u64 {
        self.pages * page_size() as u64
    }
}

/// The marks of our children, by pid and start: which process of ours each comes from, however it became our child.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<BTreeMap<(i32, u64), Mark>>);

type Mark = Box<str>;

/// Every process that can be seen.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    processes: BTreeMap<i32, Stat>,
    children: BTreeMap<i32, Vec<i32>>,
    own: i32,
    marks: BTreeMap<i32, Mark>,
    /// Clock ticks since boot.
    now: u64,
    /// How long the look took.
    pub took: Duration,
}

impl Snapshot {
    pub(super) fn take(known: &Marks) -> Self {
        let began = Instant::now();
        let mut it = Self { own: getpid().as_raw_nonzero().get(), now: now(), ..Self::default() };
        let mut line = [0; 1024];
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|it| it.parse().ok()) else { continue };
            // It may have ended meanwhile.
            let Ok(length) = File::open(format!("/proc/{pid}/stat")).and_then(|mut it| it.read(&mut line))
            else {
                continue;
            };
            if let Some(stat) = Stat::parse(&line[..length]) {
                it.children.entry(stat.parent).or_default().push(pid);
                it.processes.insert(pid, stat);
            }
        }
        it.read_marks(known);
        it.took = began.elapsed();
        it
    }

    fn read_marks(&mut self, known: &Marks) {
        let mut known = known.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for pid in self.children.get(&self.own).into_iter().flatten() {
            let Some(stat) = self.processes.get(pid) else { continue };
            let key = (*pid, stat.started);
            if let Some(mark) = known.remove(&key).or_else(|| mark(*pid)) {
                now.insert(key, mark.clone());
                self.marks.insert(*pid, mark);
            }
        }
        *known = now;
    }

    pub(super) fn get(&self, pid: i32) -> Option<&Stat> {
        self.processes.get(&pid)
    }

    /// How long a process has been there, in seconds.
    pub(super) fn uptime(&self, stat: &Stat) -> f64 {
        seconds(self.now.saturating_sub(stat.started))
    }

    /// A child of ours and whatever comes from it and lives: what is below it, and what was orphaned to us.
    pub(super) fn tree(&self, root: i32) -> BTreeMap<i32, &Stat> {
        let mark = self.marks.get(&root);
        let theirs = |pid: &i32, it: &Stat| {
            it.session == root
                || it.group == root
                || mark.is_some_and(|mark| self.marks.get(pid) == Some(mark))
        };
        let ours = self.children.get(&self.own).into_iter().flatten().copied();
        let orphans = ours.filter(|pid| self.processes.get(pid).is_some_and(|it| theirs(pid, it)));
        let (mut next, mut seen): (Vec<i32>, BTreeSet<i32>) =
            (orphans.chain([root]).collect(), BTreeSet::new());
        while let Some(pid) = next.pop() {
            if seen.insert(pid) {
                next.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        seen.into_iter()
            .filter_map(|pid| Some((pid, self.processes.get(&pid).filter(|it| !it.dead)?)))
            .collect()
    }
}

/// Clock ticks as seconds.
#[expect(clippy::cast_precision_loss, reason = "after a hundred million years")]
pub(super) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

/// Bytes in memory, what is shared in parts; `None` where that may not be read.
pub(super) fn pss(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kilobytes = text.lines().find_map(|it| it.strip_prefix("Pss:")?.trim().strip_suffix(" kB"))?;
    Some(kilobytes.parse::<u64>().ok()? << 10)
}

/// How many files a process has open; 0 where that may not be seen.
pub(super) fn open_fds(pid: i32) -> u64 {
    let folder = format!("/proc/{pid}/fd");
    // Since Linux 6.2 the size of the folder is their number.
    match fs::metadata(&folder) {
        Ok(it) if it.len() > 0 => it.len(),
        _ => fs::read_dir(folder).map_or(0, |it| it.count() as u64),
    }
}

/// Clock ticks since boot.
fn now() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let hundredths = text.split(' ').next().and_then(|it| it.replace('.', "").parse::<u64>().ok());
    hundredths.unwrap_or_default() * clock_ticks_per_second() / 100
}

/// Of one that is just becoming another program there is none yet: the next look finds it.
fn mark(pid: i32) -> Option<Mark> {
    match adopt::marker(pid) {
        Variable::Is(mark) => Some(mark.into()),
        Variable::Absent | Variable::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_name_is() {
        let line = b"42 (a) b \xFF(c) S 1 7 5 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 9 0 777 1000000 250 18446744073709551615 1";
        let stat = Stat {
            dead: false,
            parent: 1,
            group: 7,
            session: 5,
            spent: 33,
            spent_by_children: 77,
            threads: 9,
            started: 777,
            pages: 250,
        };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(Stat::parse(b"42 (a"), None);
    }

    #[test]
    fn a_tree_holds_what_was_orphaned_to_us_and_nothing_of_others() {
        let stat = |parent, session, dead| Stat {
            dead,
            parent,
            group: session,
            session,
            spent: 0,
            spent_by_children: 0,
            threads: 1,
            started: 0,
            pages: 0,
        };
        let processes = BTreeMap::from([
            (2, stat(1, 2, false)),
            (3, stat(2, 2, true)),
            (4, stat(3, 4, false)),
            (5, stat(1, 5, false)),
            (6, stat(5, 5, false)),
            (7, stat(1, 2, false)),
            (8, stat(1, 8, false)),
            (9, stat(8, 9, false)),
        ]);
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for (pid, it) in &processes {
            children.entry(it.parent).or_default().push(*pid);
        }
        let marks = [(2, "a"), (5, "b"), (8, "a")].map(|(pid, it)| (pid, it.into()));
        let all = Snapshot { processes, children, own: 1, marks: marks.into(), ..Snapshot::default() };
        assert_eq!(all.tree(2).into_keys().collect::<Vec<_>>(), [2, 4, 7, 8, 9]);
        assert_eq!(all.tree(5).into_keys().collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn our_own_process_is_seen() {
        let all = Snapshot::take(&Marks::default());
        let stat = all.get(all.own).unwrap();
        assert!(stat.resident() > 0 && all.uptime(stat) < 1e6);
        let pss = pss(all.own).unwrap();
        assert!(pss > 0 && pss < 1 << 40);
        assert!(open_fds(all.own) >= 3);
    }
}
