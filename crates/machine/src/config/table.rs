//! Every setting of a machine that runs, once: the reader, `roster config` and the documentation know it from here.

use spec::ids::EnvKey;

/// One setting.
pub(crate) struct Setting {
    /// The variable.
    pub(crate) name: &'static str,
    /// What it is where nobody says.
    pub(crate) default: Option<&'static str>,
    /// What it takes, with its article.
    pub(crate) form: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// Whether its value is shown to nobody.
    pub(crate) secret: bool,
    /// Whether the plan decides it: then it can be said again, and not changed.
    pub(crate) decided: bool,
}

impl Setting {
    /// The variable.
    pub(crate) fn key(&self) -> EnvKey {
        self.name.parse().expect("the names of this table are names of variables")
    }
}

const OPEN: Setting = Setting { name: "", default: None, form: "", about: "", secret: false, decided: false };
const SECONDS: &str = "a whole number of seconds from 1 to 86400";
const MEBIBYTES: &str = "a whole number of MiB; 0 for none";

pub(crate) const MACHINE_ID: Setting = Setting {
    name: "MACHINE_ID",
    form: "the name of the machine",
    about: "whose plan this is",
    decided: true,
    ..OPEN
};
pub(crate) const HEALTH_PORT: Setting = Setting {
    name: "MACHINE_HEALTH_PORT",
    form: "a port",
    about: "the health server's port",
    decided: true,
    ..OPEN
};
pub(crate) const HEALTH_LISTEN: Setting = Setting {
    name: "MACHINE_HEALTH_LISTEN",
    default: Some("127.0.0.1"),
    form: "an IP address",
    about: "where the health server listens; another address than the loopback needs a token",
    ..OPEN
};
pub(crate) const HEALTH_TOKEN: Setting = Setting {
    name: "MACHINE_HEALTH_TOKEN",
    form: "a text",
    about: "what who asks the health server from elsewhere has to show, as `Authorization: Bearer`",
    secret: true,
    ..OPEN
};
pub(crate) const REDIS_URL: Setting = Setting {
    name: "REDIS_URL",
    form: "the address of a Redis, as in `redis://127.0.0.1:6379/0`",
    about: "the broker, and where the machine makes itself known",
    ..OPEN
};
pub(crate) const BROKER: Setting = Setting {
    name: "BROKER",
    form: "`native` or `legacy`",
    about: "the wire of the queue; `legacy` is that of the TypeScript system. Left out, what the address says",
    ..OPEN
};
pub(crate) const QUEUE: Setting = Setting {
    name: "JOB_QUEUE",
    default: Some("jobs"),
    form: "the name of a queue",
    about: "the queue that its workers claim from",
    ..OPEN
};
pub(crate) const STATUS_INTERVAL: Setting = Setting {
    name: "MACHINE_STATUS_INTERVAL_S",
    default: Some("15"),
    form: SECONDS,
    about: "between two reports to Redis; what changes is reported at once",
    ..OPEN
};
pub(crate) const RECONNECT_WITHIN: Setting = Setting {
    name: "MACHINE_RECONNECT_WITHIN_S",
    default: Some("900"),
    form: SECONDS,
    about: "without Redis for as long, the machine fails",
    ..OPEN
};
pub(crate) const RECOVER_WITHIN: Setting = Setting {
    name: "MACHINE_RECOVER_WITHIN_S",
    default: Some("600"),
    form: SECONDS,
    about: "without enough memory or disk space for as long, the machine fails",
    ..OPEN
};
pub(crate) const GIVE_UP_AFTER: Setting = Setting {
    name: "MACHINE_GIVE_UP_AFTER_S",
    default: Some("60"),
    form: SECONDS,
    about: "without a worker that can work for as long, the machine fails",
    ..OPEN
};
pub(crate) const MEMORY_RESERVE: Setting = Setting {
    name: "MACHINE_MEMORY_RESERVE_MIB",
    default: Some("128"),
    form: MEBIBYTES,
    about: "with less memory left, no jobs are claimed",
    ..OPEN
};
pub(crate) const DISK_RESERVE: Setting = Setting {
    name: "MACHINE_DISK_RESERVE_MIB",
    default: Some("512"),
    form: MEBIBYTES,
    about: "with less space left in the workspace, no jobs are claimed",
    ..OPEN
};
pub(crate) const WORKSPACE: Setting = Setting {
    name: "MACHINE_WORKSPACE",
    default: Some("/workspace"),
    form: "an absolute path",
    about: "where services, logs and outputs are",
    ..OPEN
};
pub(crate) const PROFILE: Setting = Setting {
    name: "ROSTER_PROFILE",
    form: "the name of a profile",
    about: "what the generation was made from",
    ..OPEN
};
pub(crate) const MOCK: Setting = Setting {
    name: "MACHINE_MOCK_GPU",
    default: Some("false"),
    form: "`true` or `false`",
    about: "whether the cards of the plan are pretended",
    ..OPEN
};

/// All of them.
pub(crate) const ALL: [&Setting; 16] = [
    &MACHINE_ID,
    &HEALTH_PORT,
    &HEALTH_LISTEN,
    &HEALTH_TOKEN,
    &REDIS_URL,
    &BROKER,
    &QUEUE,
    &STATUS_INTERVAL,
    &RECONNECT_WITHIN,
    &RECOVER_WITHIN,
    &GIVE_UP_AFTER,
    &MEMORY_RESERVE,
    &DISK_RESERVE,
    &WORKSPACE,
    &PROFILE,
    &MOCK,
];
