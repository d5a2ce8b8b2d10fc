//! What a machine has beside its processes.

use std::time::Duration;

use super::Millis;

/// One GPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gpu {
    /// Its index.
    pub index: u32,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its name.
    pub name: String,
    /// Bytes of its memory.
    pub memory_total: u64,
    /// What it does; nothing where it cannot be asked: a declared or mock inventory.
    pub reading: Option<Reading>,
    /// Why it could not be asked: `GPU is lost`.
    pub fault: Option<String>,
}

/// What a GPU does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Bytes of its memory in use.
    pub memory_used: u64,
    /// Of the last sample period, the part in which a kernel ran; percent.
    pub utilisation: u8,
    /// Degrees Celsius.
    pub temperature: u32,
    /// Watts; some cards do not tell.
    pub power: Option<f64>,
    /// XID errors since the machine was started.
    pub xid_errors: u64,
    /// The last of them.
    pub last_xid: Option<u64>,
}

/// The way to Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisLink {
    /// None was configured.
    Unneeded,
    /// Nobody has asked yet.
    Pending,
    /// It answers.
    Connected {
        /// How long its last answer took.
        latency: Duration,
    },
    /// It does not.
    Lost {
        /// Since when.
        since: Millis,
        /// Why, without a password.
        why: String,
    },
}

/// One file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Where it is seen.
    pub path: String,
    /// Bytes of it.
    pub total: u64,
    /// Bytes that may still be written.
    pub free: u64,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}
