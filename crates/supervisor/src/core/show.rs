//! States in words, for people.

use std::fmt::{Display, Formatter, Result};

use super::state::{End, Exit, Level, Pid, ProcessState, Purpose, Trouble};

impl Display for Pid {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.0.fmt(f)
    }
}

impl Display for ProcessState {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Waiting => f.write_str("waiting"),
            Self::Launching { abort: false } => f.write_str("launching"),
            Self::Launching { abort: true } => f.write_str("launching, to be stopped"),
            Self::Running { level, .. } => level.fmt(f),
            Self::Stopping { purpose, .. } => write!(f, "stopping{purpose}"),
            Self::Killing { purpose, .. } => write!(f, "killing{purpose}"),
            Self::Sweeping { purpose } => write!(f, "sweeping{purpose}"),
            Self::BackingOff { trouble, .. } => write!(f, "backing off: {trouble}"),
            Self::Failed { trouble, .. } => write!(f, "failed: {trouble}"),
            Self::Exited { end: End::Completed } => f.write_str("completed"),
            Self::Exited { end: End::Stopped } => f.write_str("stopped"),
            Self::Exited { end: End::Gone(trouble) } => write!(f, "gone: {trouble}"),
        }
    }
}

impl Display for Level {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Started { .. } => "started",
            Self::Ready { .. } => "ready",
            Self::Healthy { .. } => "healthy",
            Self::Unhealthy { .. } => "unhealthy",
        })
    }
}

impl Display for Purpose {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Stop => Ok(()),
            Self::Restart => f.write_str(" to restart"),
            Self::Replace { trouble, .. } => write!(f, ": {trouble}"),
        }
    }
}

impl Display for Trouble {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Ended(exit) => exit.fmt(f),
            Self::NotLaunched(why) => write!(f, "could not be started: {why}"),
            Self::NotHealthyWithin(time) => write!(f, "not healthy within {} s", time.as_secs()),
            Self::Unhealthy(looks) => write!(f, "unhealthy in {looks} looks in a row"),
            Self::NotLive(looks) => write!(f, "not live in {looks} looks in a row"),
            Self::Memory { bytes, limit } => {
                write!(f, "{} MiB of memory, above its limit of {} MiB", bytes >> 20, limit >> 20)
            }
        }
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Code(code) => write!(f, "ended with {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::Unknown => f.write_str("ended, adopted and so without a word"),
        }
    }
}

impl ProcessState {
    /// What it does, in one word or two.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Launching { .. } => "launching",
            Self::Running { level: Level::Started { .. }, .. } => "started",
            Self::Running { level: Level::Ready { .. }, .. } => "ready",
            Self::Running { level: Level::Healthy { .. }, .. } => "healthy",
            Self::Running { level: Level::Unhealthy { .. }, .. } => "unhealthy",
            Self::Stopping { .. } => "stopping",
            Self::Killing { .. } => "killing",
            Self::Sweeping { .. } => "sweeping",
            Self::BackingOff { .. } => "backing off",
            Self::Failed { .. } => "failed",
            Self::Exited { end: End::Completed } => "completed",
            Self::Exited { end: End::Stopped } => "stopped",
            Self::Exited { end: End::Gone(_) } => "gone",
        }
    }

    /// What was wrong, if anything was.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Stopping { purpose: Purpose::Replace { trouble, .. }, .. }
            | Self::Killing { purpose: Purpose::Replace { trouble, .. }, .. }
            | Self::Sweeping { purpose: Purpose::Replace { trouble, .. } }
            | Self::BackingOff { trouble, .. }
            | Self::Failed { trouble, .. }
            | Self::Exited { end: End::Gone(trouble) } => Some(trouble),
            Self::Waiting
            | Self::Launching { .. }
            | Self::Running { .. }
            | Self::Stopping { .. }
            | Self::Killing { .. }
            | Self::Sweeping { .. }
            | Self::Exited { .. } => None,
        }
    }
}
