//! Every setting of a machine that runs: read once, all faults at once.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use broker::{QueueName, Wire};
use planner::Redactor;
use spec::env::{EnvSource, Secret};
use spec::ids::{EnvKey, MachineId};
use spec::notes::Finding;

use super::fault::ConfigFault;
use super::guard::Guard;
use super::layers::Layers;
use super::place::Origin;
use super::table::{self, Setting};
use crate::run::Policy;

/// Everything that a machine needs to know before it starts.
pub(crate) struct Config {
    /// What is run.
    pub(crate) origin: Origin,
    /// What it is to run, as it is run here.
    pub(crate) ecosystem: ecosystem::Ecosystem,
    /// Where its supervisor listens.
    pub(crate) socket: PathBuf,
    /// Where values come from.
    pub(crate) layers: Layers,
    /// The numbers and names.
    pub(crate) settings: Settings,
    /// Knows the secrets.
    pub(crate) guard: Guard,
}

impl Config {
    /// Whether the cards are pretended: services that want one run on the processor.
    pub(crate) fn is_mock(&self) -> bool {
        let key = table::MOCK.key();
        EnvSource::get(&self.layers, &key).is_ok_and(|it| it.is_some_and(|it| it == "true"))
    }

    /// Whether any process holds a card. Pretended cards are held by nobody.
    pub(crate) fn uses_gpus(&self) -> bool {
        self.ecosystem.apps.iter().any(|it| it.roster.gpu.is_some())
    }
}

/// The numbers and names.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The machine.
    pub(crate) machine: MachineId,
    /// Where the health server listens.
    pub(crate) listen: IpAddr,
    /// Its port.
    pub(crate) port: u16,
    /// What others than this machine's own users have to show.
    pub(crate) token: Option<Secret<String>>,
    /// The broker.
    pub(crate) redis: Secret<String>,
    /// The wire of the queue.
    pub(crate) wire: Wire,
    /// The queue.
    pub(crate) queue: QueueName,
    /// Between two reports to Redis.
    pub(crate) status_every: Duration,
    /// When the machine gives up.
    pub(crate) policy: Policy,
    /// Bytes of memory that have to be free.
    pub(crate) memory_reserve: u64,
    /// Bytes of disk space that have to be free.
    pub(crate) disk_reserve: u64,
    /// Where services, logs and outputs are.
    pub(crate) workspace: PathBuf,
    /// The environment profile, for people.
    pub(crate) profile: Option<String>,
}

/// Reads settings and keeps what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) findings: Vec<Finding>,
}

impl Reader<'_> {
    fn text(&mut self, setting: &Setting) -> Option<(String, String)> {
        let key = setting.key();
        match self.layers.chain(&key) {
            Err(fault) => {
                self.findings.push(fault.nowhere());
                None
            }
            Ok(chain) => {
                // Set to nothing is not set.
                let found = chain.into_iter().find(|it| !it.value.expose().is_empty());
                let default = || setting.default.map(|it| (it.to_owned(), "its default".to_owned()));
                found.map(|it| (it.value.expose().clone(), it.source)).or_else(default)
            }
        }
    }

    fn parsed<T: FromStr<Err: ToString>>(&mut self, setting: &Setting) -> Option<T> {
        let (text, source) = self.text(setting)?;
        text.trim().parse().map_err(|why: T::Err| self.wrong(setting, why.to_string(), source)).ok()
    }

    fn number(&mut self, setting: &Setting, allowed: RangeInclusive<u64>) -> Option<u64> {
        let (text, source) = self.text(setting)?;
        match text.trim().parse() {
            Ok(it) if allowed.contains(&it) => Some(it),
            Ok(_) => {
                self.wrong(setting, "it is beyond its limits".into(), source);
                None
            }
            Err(why) => {
                self.wrong(setting, why.to_string(), source);
                None
            }
        }
    }

    fn seconds(&mut self, setting: &Setting) -> Option<Duration> {
        self.number(setting, 1..=86_400).map(Duration::from_secs)
    }

    fn bytes(&mut self, setting: &Setting) -> Option<u64> {
        self.number(setting, 0..=1 << 30).map(|mib| mib << 20)
    }

    fn wrong(&mut self, setting: &Setting, why: String, stands: String) {
        let fault = ConfigFault::Value { key: setting.key(), expected: setting.form, why, stands };
        self.findings.push(fault.nowhere());
    }

    /// What the plan has decided may be said again, and nothing else.
    fn decided(&mut self, setting: &Setting, planned: &str) {
        let key = setting.key();
        match self.layers.environment(&key) {
            Ok(Some(asked)) if !asked.is_empty() && asked != planned => {
                let planned = planned.to_owned();
                self.findings.push(ConfigFault::Decided { key, asked, planned }.nowhere());
            }
            Ok(_) => {}
            Err(fault) => self.findings.push(ConfigFault::from(fault).nowhere()),
        }
    }

    fn missing(&mut self, setting: &Setting, purpose: &'static str) {
        self.findings.push(ConfigFault::Missing { key: setting.key(), purpose }.nowhere());
    }

    /// Where the health server listens, and its token.
    pub(super) fn server(&mut self) -> (Option<IpAddr>, Option<Secret<String>>) {
        let listen = self.parsed(&table::HEALTH_LISTEN);
        (listen, self.text(&table::HEALTH_TOKEN).map(|(it, _)| Secret::new(it)))
    }

    /// The address of the broker, and its wire.
    fn broker(&mut self) -> (Secret<String>, Wire) {
        let named = self.parsed::<Wire>(&table::BROKER);
        let Some((text, source)) = self.text(&table::REDIS_URL) else {
            self.missing(&table::REDIS_URL, "the address of the broker");
            return (Secret::new(String::new()), Wire::default());
        };
        let (by_address, url) = Wire::of(&text);
        if let Err(why) = url.parse::<broker::Address>() {
            self.wrong(&table::REDIS_URL, why.to_string(), source);
        } else if named == Some(Wire::Native) && by_address == Some(Wire::Legacy) {
            self.wrong(&table::REDIS_URL, "it says `legacy+`, and `BROKER` is `native`".into(), source);
        }
        (Secret::new(url.to_owned()), named.or(by_address).unwrap_or_default())
    }

    /// All settings; `None` when one is missing or wrong.
    pub(super) fn read(&mut self, ecosystem: &ecosystem::Ecosystem) -> Option<Settings> {
        self.decided(&table::MACHINE_ID, ecosystem.machine.as_str());
        self.decided(&table::HEALTH_PORT, &ecosystem.health_port.to_string());
        let (listen, token) = self.server();
        if listen.is_some_and(|it| !it.is_loopback()) && token.is_none() {
            self.missing(&table::HEALTH_TOKEN, "a health server that others can reach needs a token");
        }
        let (redis, wire) = self.broker();
        let settings = Settings {
            machine: ecosystem.machine.clone(),
            port: ecosystem.health_port,
            token,
            redis,
            wire,
            listen: listen.unwrap_or(std::net::Ipv4Addr::LOCALHOST.into()),
            queue: self.parsed(&table::QUEUE)?,
            status_every: self.seconds(&table::STATUS_INTERVAL)?,
            policy: Policy {
                reconnect_within: self.seconds(&table::RECONNECT_WITHIN)?,
                recover_within: self.seconds(&table::RECOVER_WITHIN)?,
                hopeless_for: self.seconds(&table::GIVE_UP_AFTER)?,
            },
            memory_reserve: self.bytes(&table::MEMORY_RESERVE)?,
            disk_reserve: self.bytes(&table::DISK_RESERVE)?,
            workspace: self.text(&table::WORKSPACE).map(|it| it.0.into())?,
            profile: self.text(&table::PROFILE).map(|it| it.0),
        };
        self.findings.is_empty().then_some(settings)
    }
}

/// Whether a value must not be shown: it stands where secrets do, or holds a password.
pub(super) fn is_secret(key: &EnvKey, value: &str, from_secret: bool) -> bool {
    let declared = table::ALL.iter().any(|it| it.secret && it.name == key.as_str());
    declared || from_secret || has_password(value)
}

fn has_password(value: &str) -> bool {
    password(value).is_some()
}

/// The password in `scheme://user:password@host`.
fn password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    authority.rsplit_once('@')?.0.split_once(':').map(|(_, password)| password)
}

/// Tells `redactor` every secret that the machine or one of its processes knows.
pub(super) fn learn(layers: &Layers, ecosystem: &ecosystem::Ecosystem, redactor: &mut Redactor) {
    let apps = ecosystem.setup.iter().chain(&ecosystem.apps);
    let declared = apps.flat_map(|it| it.roster.secrets.iter().chain(&it.roster.environment)).cloned();
    let secret = |key: &EnvKey| ecosystem.apps.iter().any(|it| it.roster.secrets.contains(key));
    for key in declared.chain(table::ALL.map(Setting::key)) {
        for it in layers.chain(&key).unwrap_or_default() {
            if is_secret(&key, it.value.expose(), it.secret || secret(&key)) {
                redactor.learn(it.value.expose());
                redactor.learn(password(it.value.expose()).unwrap_or_default());
            }
        }
    }
}

/// The variables of processes that the process environment says otherwise than the document: it is the stronger. What the
/// plan itself decides for a process is not among them.
pub(super) fn overridden(layers: &Layers, ecosystem: &mut ecosystem::Ecosystem) -> Result<(), ConfigFault> {
    for app in ecosystem.setup.iter_mut().chain(&mut ecosystem.apps) {
        let mut hidden = Vec::new();
        for key in &app.roster.environment {
            let Some(value) = layers.outside(key)? else { continue };
            if has_password(&value) {
                // It goes to the process as secrets do.
                app.env.remove(key);
                hidden.push(key.clone());
            } else {
                app.env.insert(key.clone(), value);
            }
        }
        app.roster.environment.retain(|it| !hidden.contains(it));
        app.roster.secrets.extend(hidden);
    }
    Ok(())
}
