//! A control group for each process, where a part of the hierarchy (version 2) is ours to divide: what is in one is
//! seen and killed whole, wherever its members moved to and whatever they made of their environment.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, getxattr, open};
use rustix::process::geteuid;

use crate::proc::Identity;

/// Before the name of a supervisor's own group.
const OURS: &str = "roster-";

/// The group below which every supervisor that runs where we do makes its own.
#[derive(Debug)]
pub(crate) struct Cgroups {
    top: PathBuf,
}

impl Cgroups {
    /// `None` where nothing is delegated to us, or the kernel (before 5.14) cannot kill a group.
    pub(crate) fn find() -> Option<Self> {
        let [mounts, own] = ["mountinfo", "cgroup"].map(|it| fs::read_to_string(format!("/proc/self/{it}")));
        let (top, path) = place(&mounts.ok()?, &own.ok()?)?;
        let found = (delegated(&top, &path) && writable(&top)).then_some(Self { top })?;
        // A supervisor that was killed could not remove its own.
        for it in groups_in(&found.top) {
            let supervisor =
                it.file_name().and_then(|it| it.to_str()?.strip_prefix(OURS)).and_then(Identity::parse);
            if supervisor.is_some_and(|it| !it.lives()) {
                remove(&it);
            }
        }
        Some(found)
    }

    /// The group of the process with this marker: `<supervisor>:<process>`.
    fn of(&self, marker: &str) -> PathBuf {
        let (supervisor, name) = marker.split_once(':').unwrap_or((marker, ""));
        self.top.join(format!("{OURS}{supervisor}")).join(name)
    }

    /// Makes sure that the group is there, and opens it.
    pub(crate) fn enter(&self, marker: &str) -> io::Result<OwnedFd> {
        let path = self.of(marker);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(it) = open(&path, flags, Mode::empty()) {
            return Ok(it);
        }
        fs::create_dir_all(&path)?;
        Ok(open(&path, flags, Mode::empty())?)
    }

    /// The processes in the group and in those that they made below it.
    pub(crate) fn members(&self, marker: &str) -> Vec<i32> {
        let mut members = Vec::new();
        let mut next = vec![self.of(marker)];
        while let Some(path) = next.pop() {
            let list = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            members.extend(list.split_ascii_whitespace().filter_map(|it| it.parse::<i32>().ok()));
            next.extend(groups_in(&path));
        }
        members
    }

    /// Whether nobody is in the group.
    pub(crate) fn is_empty(&self, marker: &str) -> bool {
        let events = fs::read_to_string(self.of(marker).join("cgroup.events"));
        events.map_or(true, |it| !it.contains("populated 1"))
    }

    /// Kills everything in the group, at once.
    pub(crate) fn kill(&self, marker: &str) {
        // Nobody is in a group that is not there.
        let _ = fs::write(self.of(marker).join("cgroup.kill"), "1");
    }

    /// Removes what `supervisor` has made, as far as nobody is in it.
    pub(crate) fn remove(&self, supervisor: Identity) {
        remove(&self.top.join(format!("{OURS}{supervisor}")));
    }
}

fn groups_in(path: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|it| it.file_type().is_ok_and(|it| it.is_dir())).map(|it| it.path())
}

fn remove(path: &Path) {
    groups_in(path).for_each(|it| remove(&it));
    // The kernel refuses while somebody is in it.
    let _ = fs::remove_dir(path);
}

fn writable(top: &Path) -> bool {
    let probe = top.join(format!("{OURS}{}", Identity::own()));
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
}

/// Where our own group is in the file system, and its path within the hierarchy that we see.
fn place(mounts: &str, own: &str) -> Option<(PathBuf, String)> {
    // `0::/path` (`cgroups(7)`).
    let path = own.lines().find_map(|it| it.strip_prefix("0::"))?.to_owned();
    // `proc_pid_mountinfo(5)`: the mount point is field 5, the kind of file system the first after ` - `.
    let mount = mounts.lines().find_map(|it| {
        let (before, after) = it.split_once(" - ")?;
        after.starts_with("cgroup2 ").then(|| before.split(' ').nth(4))?
    })?;
    Some((Path::new(mount).join(path.trim_start_matches('/')), path))
}

/// Whether a group is ours to divide: the first that we can see, as in a container; one that systemd has marked so
/// (`Delegate=`); or one that belongs to us without our being root. The machine's first group, which alone cannot be
/// killed, is nobody's.
fn delegated(group: &Path, path: &str) -> bool {
    if !group.join("cgroup.kill").exists() {
        return false;
    }
    let marked = |name: &str| {
        let mut value = [0; 1];
        getxattr(group, name, &mut value[..]).is_ok_and(|it| it == 1) && value == *b"1"
    };
    let user = geteuid();
    let own = || !user.is_root() && fs::metadata(group).is_ok_and(|it| it.uid() == user.as_raw());
    path == "/" || marked("user.delegate") || marked("trusted.delegate") || own()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_group_is_where_the_kernel_says() {
        let mounts = "\
            30 22 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
            31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:5 - cgroup2 cgroup2 rw\n";
        let own = "8:pids:/\n0::/system.slice/roster.service\n";
        let found = place(mounts, own).unwrap();
        assert_eq!(found.0, Path::new("/sys/fs/cgroup/unified/system.slice/roster.service"));
        assert_eq!(found.1, "/system.slice/roster.service");
        assert_eq!(place(mounts, "8:pids:/\n"), None);
        assert_eq!(place("", own), None);
    }

    #[test]
    fn a_group_has_the_members_of_those_below_and_is_killed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let all = Cgroups { top: folder.path().to_owned() };
        let group = folder.path().join("roster-7.99/comfyui-gpu0");
        all.enter("7.99:comfyui-gpu0").unwrap();
        assert!(all.is_empty("7.99:comfyui-gpu0"));
        fs::create_dir(group.join("below")).unwrap();
        fs::write(group.join("cgroup.procs"), "12\n13\n").unwrap();
        fs::write(group.join("below/cgroup.procs"), "14\n").unwrap();
        fs::write(group.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        assert_eq!(all.members("7.99:comfyui-gpu0"), [12, 13, 14]);
        assert!(!all.is_empty("7.99:comfyui-gpu0"));
        all.kill("7.99:comfyui-gpu0");
        assert_eq!(fs::read_to_string(group.join("cgroup.kill")).unwrap(), "1");
    }

    #[test]
    fn a_group_of_the_machine_that_nobody_gave_us_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!delegated(folder.path(), "/"));
        fs::write(folder.path().join("cgroup.kill"), "").unwrap();
        assert!(delegated(folder.path(), "/"));
        assert_eq!(delegated(folder.path(), "/system.slice"), !geteuid().is_root());
    }
}
