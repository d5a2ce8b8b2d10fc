//! What is left of memory and disk space, and what passes over the network. Cheap enough to be asked every second.

use std::fs;
use std::path::Path;

use health::{Disk, Interface};

use super::recovery::{News, Resource};
use crate::config::Settings;

/// What is back has to be this much above the reserve before it counts: a quarter of it.
const MARGIN: u64 = 4;

/// What has to be free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserve {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Bytes of disk space.
    pub(crate) disk: u64,
}

/// What is free, as far as it can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Free {
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
    /// The file system of the workspace.
    pub(crate) disk: Option<Disk>,
}

/// Looks.
pub(crate) fn free(workspace: &Path) -> Free {
    let memory = available().into_iter().chain(left_in_group()).min();
    let disk = rustix::fs::statvfs(workspace).ok().map(|it| Disk {
        path: workspace.display().to_string(),
        total: it.f_blocks * it.f_frsize,
        free: it.f_bavail * it.f_frsize,
    });
    Free { memory, disk }
}

/// What that means: too little, or enough again. Between the two nothing is said.
pub(crate) fn judge(free: &Free, reserve: Reserve) -> Vec<News> {
    let seen = [
        (Resource::Memory, free.memory, reserve.memory),
        (Resource::Disk, free.disk.as_ref().map(|it| it.free), reserve.disk),
    ];
    let judged = seen.into_iter().filter_map(|(resource, free, reserve)| match free? {
        it if it < reserve => Some(News::Short(resource)),
        it if it >= enough(reserve) => Some(News::Enough(resource)),
        _ => None,
    });
    judged.collect()
}

/// How much has to be free again, once less than the reserve was.
fn enough(reserve: u64) -> u64 {
    reserve + reserve / MARGIN
}

/// What is short, and how much of it there has to be.
pub(crate) fn shortage(resource: Resource, settings: &Settings) -> String {
    let (reserve, place) = match resource {
        Resource::Memory => (settings.memory_reserve, String::new()),
        Resource::Disk => (settings.disk_reserve, format!(" at `{}`", settings.workspace.display())),
    };
    format!("{resource} is short: {} MiB have to be free{place}", enough(reserve) >> 20)
}

/// What the kernel could give without swapping.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|it| it.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|it| it << 10)
}

/// What the limit of our control group leaves, its file cache counted as free. In a container the group is at the root.
fn left_in_group() -> Option<u64> {
    let read = |name: &str| fs::read_to_string(Path::new("/sys/fs/cgroup").join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (most, used) = (number("memory.max")?, number("memory.current")?);
    let stat = read("memory.stat")?;
    let cache = stat.lines().find_map(|it| it.strip_prefix("inactive_file "))?.parse::<u64>().ok()?;
    Some(most.saturating_sub(used.saturating_sub(cache)))
}

/// The network interfaces, without loopback.
pub(crate) fn interfaces() -> Vec<Interface> {
    fs::read_to_string("/proc/net/dev").map(|it| parsed(&it)).unwrap_or_default()
}

/// `proc(5)`: two lines of heads, then a name and sixteen numbers; the first is received, the ninth sent.
fn parsed(text: &str) -> Vec<Interface> {
    let one = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let mut numbers = numbers.split_whitespace().map(str::parse::<u64>);
        let received = numbers.next()?.ok()?;
        let sent = numbers.nth(7)?.ok()?;
        Some(Interface { name: name.trim().to_owned(), received, sent })
    };
    text.lines().skip(2).filter_map(one).filter(|it| it.name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_enough_again_only_with_a_margin() {
        let reserve = Reserve { memory: 1000, disk: 1000 };
        let with = |memory, free| {
            let disk = Some(Disk { path: "/workspace".into(), total: 9000, free });
            judge(&Free { memory: Some(memory), disk }, reserve)
        };
        assert_eq!(with(999, 1249), [News::Short(Resource::Memory)]);
        assert_eq!(with(1250, 999), [News::Enough(Resource::Memory), News::Short(Resource::Disk)]);
        assert_eq!(judge(&Free::default(), reserve), []);
    }

    #[test]
    fn interfaces_are_read_from_the_kernels_table() {
        let text = "Inter-| Receive | Transmit\n face |bytes packets|bytes\n\
                    \x20   lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                    \x20 eth0:77 2 3 4 5 6 7 8 99 10 11 12 13 14 15 16\n";
        assert_eq!(parsed(text), [Interface { name: "eth0".into(), received: 77, sent: 99 }]);
    }

    #[test]
    fn this_machine_has_memory_and_a_disk() {
        let free = free(Path::new("/"));
        assert!(free.memory.is_some() && free.disk.is_some_and(|it| it.total >= it.free));
    }
}
