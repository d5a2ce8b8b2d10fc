//! A child process that leads a group of its own, and the end of everything that it started.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::{Instant, sleep};

/// What processes have to end by themselves once they are asked.
const GRACE: Duration = Duration::from_secs(2);
/// What the system has to end them once they are killed.
const KILLED: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A child, the group that it leads, and whoever left the group but has its mark in the environment.
pub(super) struct Group {
    pub(super) child: Child,
    leader: Option<Pid>,
    /// `NAME=value`, in no other process's environment.
    mark: String,
    ended: bool,
}

impl Group {
    /// Of a child that was started with `process_group(0)` and this mark.
    pub(super) fn new(child: Child, mark: String) -> Self {
        let leader = child.id().and_then(|it| Pid::from_raw(it.cast_signed()));
        Self { child, leader, mark, ended: false }
    }

    /// Asks all of them to end, kills those that do not, and says whether none is left.
    pub(super) async fn end(&mut self) -> bool {
        let asked = Instant::now();
        let (mut told, mut looks): (Vec<Pid>, u8) = (Vec::new(), 0);
        loop {
            let left = self.left();
            // Reaped, or it would stay.
            let waited = self.child.try_wait();
            // Twice: while a process becomes another program it has no mark.
            looks = if left.is_empty() && matches!(waited, Ok(Some(_))) { looks + 1 } else { 0 };
            if looks == 2 {
                self.ended = true;
                return true;
            }
            let late = asked.elapsed();
            if late > GRACE + KILLED {
                return false;
            }
            for pid in left {
                if late > GRACE {
                    _ = kill_process(pid, Signal::KILL);
                } else if !told.contains(&pid) {
                    _ = kill_process(pid, Signal::TERM);
                    told.push(pid);
                }
            }
            sleep(LOOK).await;
        }
    }

    /// Those that run.
    fn left(&self) -> Vec<Pid> {
        let Ok(folder) = fs::read_dir("/proc") else { return vec![] };
        let pids =
            folder.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
        pids.filter(|it| self.is_ours(*it)).collect()
    }

    fn is_ours(&self, pid: Pid) -> bool {
        let pid = pid.as_raw_nonzero();
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        // `pid (name) state parent group …`; there may be anything in the name (proc_pid_stat(5)).
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let (state, group) = (fields.next(), fields.nth(1));
        if matches!(state, Some("Z" | "X")) {
            return false;
        }
        let leader = self.leader.map(|it| it.as_raw_nonzero().to_string());
        let marked = |it: Vec<u8>| it.split(|it| *it == 0).any(|it| it == self.mark.as_bytes());
        (leader.is_some() && group == leader.as_deref())
            || fs::read(format!("/proc/{pid}/environ")).is_ok_and(marked)
    }
}

/// Whoever is dropped without an end was cut off: nothing can be waited for.
impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            for pid in self.left() {
                _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
