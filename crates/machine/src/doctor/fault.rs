//! What a doctor can find.

use std::path::PathBuf;
use std::time::Duration;

use spec::notes::{Code, Fault};

use crate::codes;

/// What is wrong with the surroundings of a machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DoctorFault {
    /// No engine.
    #[error("no Docker engine answers: {why}")]
    NoEngine { why: String },
    /// An engine without cards.
    #[error(
        "the plan uses GPUs, and the Docker engine knows neither NVIDIA's runtime nor a CDI description of its cards"
    )]
    NoNvidia,
    /// Too old.
    #[error("Redis {version} is older than 6.2")]
    OldRedis { version: String },
    /// It does not keep jobs.
    #[error("Redis writes no append-only file{}", if *snapshots { ", only snapshots" } else { "" })]
    Forgets { snapshots: bool },
    /// It throws jobs away.
    #[error("Redis throws keys away when its memory is full: `maxmemory-policy` is `{policy}`")]
    Evicts { policy: String },
    /// Far away.
    #[error("Redis takes {} ms to answer", took.as_millis())]
    SlowRedis { took: Duration },
    /// Somebody listens there.
    #[error("port {port}, which {who} is to have, is in use")]
    PortInUse { port: u16, who: String },
    /// Others may read it.
    #[error("`{}` holds secrets, and others may read it (mode {mode:03o})", path.display())]
    OpenSecret { path: PathBuf, mode: u32 },
    /// Somebody else's.
    #[error("`{}` holds secrets, and belongs to the user {owner}", path.display())]
    ForeignSecret { path: PathBuf, owner: u32 },
    /// No space.
    #[error("`{path}` has {free_mib} MiB free; below {reserve_mib} MiB no jobs are claimed")]
    Full { path: String, free_mib: u64, reserve_mib: u64 },
    /// Another time.
    #[error("the clock differs from that of Redis by {} ms", skew.as_millis())]
    Clock { skew: Duration },
    /// Not there.
    #[error("`{service}` is not installed: {what}")]
    NotInstalled { service: String, what: String, by_itself: bool },
}

impl Fault for DoctorFault {
    fn code(&self) -> Code {
        match self {
            Self::NoEngine { .. } => codes::NO_ENGINE,
            Self::NoNvidia => codes::NO_NVIDIA,
            Self::OldRedis { .. } => codes::OLD_REDIS,
            Self::Forgets { .. } => codes::FORGETS,
            Self::Evicts { .. } => codes::EVICTS,
            Self::SlowRedis { .. } => codes::SLOW_REDIS,
            Self::PortInUse { .. } => codes::PORT_IN_USE,
            Self::OpenSecret { .. } | Self::ForeignSecret { .. } => codes::SECRET_FILE,
            Self::Full { .. } => codes::FULL,
            Self::Clock { .. } => codes::CLOCK,
            Self::NotInstalled { .. } => codes::NOT_INSTALLED,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::NoEngine { .. } => {
                "start it (`systemctl start docker`) or let this user use it; `roster run` needs none".into()
            }
            Self::NoNvidia => {
                "install the NVIDIA Container Toolkit, then `nvidia-ctk runtime configure --runtime=docker` and restart the engine".into()
            }
            Self::OldRedis { .. } => "use Redis 6.2 or later, or Valkey".into(),
            Self::Forgets { .. } => "`redis-cli CONFIG SET appendonly yes`, and `appendonly yes` in its configuration".into(),
            Self::Evicts { .. } => {
                "`redis-cli CONFIG SET maxmemory-policy noeviction`, and the same in its configuration".into()
            }
            Self::SlowRedis { .. } => "use a Redis that is nearer, or see what slows it down: `redis-cli --latency`".into(),
            Self::PortInUse { port, .. } => {
                format!("see who has it (`ss -ltnp 'sport = :{port}'`) and end that, or plan other ports")
            }
            Self::OpenSecret { path, .. } => {
                let mode = if path.is_dir() { "700" } else { "600" };
                format!("chmod {mode} {}", path.display())
            }
            Self::ForeignSecret { path, .. } => format!("chown it to the user that runs the machine: {}", path.display()),
            Self::Full { .. } => "make room, or put the workspace on a larger disk with `MACHINE_WORKSPACE`".into(),
            Self::Clock { .. } => "let both keep time by NTP: `timedatectl set-ntp true`".into(),
            Self::NotInstalled { by_itself: true, .. } => "nothing: `roster run` installs it before it starts it".into(),
            Self::NotInstalled { .. } => "install it, set what it needs, or use an image that has it".into(),
        }
    }
}
