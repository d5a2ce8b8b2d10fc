//! The processes that live, and who waits for their end.
//!
//! Reaping and signalling hold the table's lock, so that a signal never reaches a process that has the number of a dead
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{
    Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, kill_process_group,
    pidfd_send_signal, wait, waitid,
};
use tokio::sync::{Notify, oneshot};

use crate::control::protocol;
use crate::core::{Exit, Pid};
use crate::proc;

#[derive(Debug, Default)]
pub(crate) struct Table {
    live: Mutex<Live>,
    /// Something has been reaped.
    pub reaped: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Our children.
    children: BTreeMap<i32, oneshot::Sender<Exit>>,
    /// What an earlier supervisor started and we cannot reap.
    adopted: BTreeMap<i32, OwnedFd>,
    /// Those that are being started, and are not in the table yet.
    starting: usize,
    /// How strangers have ended since: one of them may have been just started.
    early: BTreeMap<i32, Exit>,
    /// Whether nothing had been orphaned to us when somebody last looked; unknown since something was reaped.
    nothing_orphaned: Option<bool>,
}

/// A place in the table for a child that is being started.
pub(crate) struct Place<'a>(&'a Table);

impl Place<'_> {
    /// The child is there. Returns how it ends, once it has.
    pub(crate) fn take(self, pid: rustix::process::Pid) -> oneshot::Receiver<Exit> {
        let (dead, exit) = oneshot::channel();
        let mut live = self.0.live();
        let raw = pid.as_raw_nonzero().get();
        // Who had its number before it may have ended since; then it has not been reaped itself.
        let reaped = || {
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG)
        };
        match live.early.remove(&raw) {
            Some(exit) if matches!(reaped(), Err(Errno::CHILD)) => _ = dead.send(exit),
            _ => _ = live.children.insert(raw, dead),
        }
        exit
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut live = self.0.live();
        live.starting -= 1;
        if live.starting == 0 {
            live.early.clear();
        }
    }
}

impl Table {
    /// Before a child is started: whatever becomes of it meanwhile is remembered.
    pub(crate) fn expect(&self) -> Place<'_> {
        self.live().starting += 1;
        Place(self)
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn adopt(&self, pid: Pid, pidfd: OwnedFd) {
        self.live().adopted.insert(raw(pid), pidfd);
    }

    /// An adopted process has ended.
    pub(crate) fn lose(&self, pid: Pid) {
        self.live().adopted.remove(&raw(pid));
        self.reaped.notify_waiters();
    }

    /// Sends a signal to a process and its group, unless it has ended. What others in the group of an adopted process
    /// do not hear is ended by the sweep.
    pub(crate) fn signal(&self, pid: Pid, signal: Signal) {
        let live = self.live();
        let raw = raw(pid);
        if let Some(pidfd) = live.adopted.get(&raw) {
            let _ = pidfd_send_signal(pidfd, signal);
        }
        if let Some(group) = rustix::process::Pid::from_raw(raw).filter(|_| live.children.contains_key(&raw))
        {
            // It has not been reaped, so its number is its own; it may be dead, which is no error.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Sends a signal to a process alone; whether it was there to have it.
    pub(crate) fn signal_alone(&self, pid: Pid, signal: protocol::Signal) -> bool {
        let signal = match signal {
            protocol::Signal::Hup => Signal::HUP,
            protocol::Signal::Int => Signal::INT,
            protocol::Signal::Quit => Signal::QUIT,
            protocol::Signal::Kill => Signal::KILL,
            protocol::Signal::Usr1 => Signal::USR1,
            protocol::Signal::Usr2 => Signal::USR2,
            protocol::Signal::Term => Signal::TERM,
            protocol::Signal::Cont => Signal::CONT,
            protocol::Signal::Stop => Signal::STOP,
            protocol::Signal::Winch => Signal::WINCH,
        };
        let live = self.live();
        let raw = raw(pid);
        if let Some(pidfd) = live.adopted.get(&raw) {
            return pidfd_send_signal(pidfd, signal).is_ok();
        }
        let process = rustix::process::Pid::from_raw(raw).filter(|_| live.children.contains_key(&raw));
        process.is_some_and(|it| kill_process(it, signal).is_ok())
    }

    pub(crate) fn reap(&self) {
        let mut live = self.live();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            live.nothing_orphaned = None;
            let raw = pid.as_raw_nonzero().get();
            // What is not in the table was orphaned, and we are its parent now; or it has just been started.
            if let Some(waiting) = live.children.remove(&raw) {
                let _ = waiting.send(exit(status));
            } else if live.starting > 0 {
                live.early.insert(raw, exit(status));
            }
        }
        drop(live);
        self.reaped.notify_waiters();
    }

    /// Whether none of the children that have been reaped has left anything: whatever they had started would be our
    /// child now, or below one. One look serves all that have ended before it.
    pub(crate) fn nothing_orphaned(&self) -> bool {
        let mut live = self.live();
        if live.nothing_orphaned.is_none() {
            live.nothing_orphaned = Some(orphans(&live).is_empty());
        }
        live.nothing_orphaned.unwrap_or_default()
    }

    /// Our children that we have not started. Nothing is reaped while we look.
    pub(crate) fn orphans(&self) -> BTreeSet<i32> {
        orphans(&self.live())
    }
}

fn orphans(live: &Live) -> BTreeSet<i32> {
    proc::children(proc::own()).into_iter().filter(|it| !live.children.contains_key(it)).collect()
}

/// A process's number as the kernel's calls take it.
pub(crate) fn raw(pid: Pid) -> i32 {
    i32::try_from(pid.0.get()).unwrap_or_default()
}

fn exit(status: WaitStatus) -> Exit {
    match status.exit_status() {
        Some(code) => Exit::Code(code),
        None => Exit::Signal(status.terminating_signal().unwrap_or_default()),
    }
}
