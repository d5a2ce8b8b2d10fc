//! The variables that the plan decides, and those that decide the plan.

use std::collections::BTreeMap;

use env_builder::pool::{Pool, Resolved};
use env_builder::take::Derived;
use spec::ids::{EnvKey, MachineId};
use spec::model::AllocationPlan;
use spec::notes::{Code, Exit, Fault, Finding, Located};

pub(super) const ROSTER: &str = "WORKER_CONNECTORS";
pub(super) const ROSTER_ALIAS: &str = "WORKERS";
pub(super) const MACHINE_ID: &str = "MACHINE_ID";
pub(super) const WORKSPACE: &str = "MACHINE_WORKSPACE";
pub(super) const HEALTH_PORT: &str = "MACHINE_HEALTH_PORT";
const GPU_COUNT: &str = "MACHINE_GPU_COUNT";
/// Older names of [`GPU_COUNT`]. They may be set, but not to another number.
const GPU_COUNT_ALIASES: [&str; 2] = ["MACHINE_NUM_GPUS", "NUM_GPUS"];
const HAS_GPU: &str = "MACHINE_HAS_GPU";
const RAM_GB: &str = "MACHINE_RAM_GB";
const MOCK: &str = "MACHINE_MOCK_GPU";
const PROFILE: &str = "ROSTER_PROFILE";

/// Where services, logs and outputs are, unless the configuration says otherwise.
pub(super) const DEFAULT_WORKSPACE: &str = "/workspace";

pub(super) fn key(name: &str) -> EnvKey {
    name.parse().expect("the names above are variables")
}

/// Every variable that planning itself asks for.
pub(super) fn asked_for() -> impl Iterator<Item = EnvKey> {
    let decided = [GPU_COUNT, HAS_GPU, RAM_GB, MOCK, PROFILE];
    let asked = [ROSTER, ROSTER_ALIAS, MACHINE_ID, WORKSPACE, HEALTH_PORT];
    decided.into_iter().chain(asked).chain(GPU_COUNT_ALIASES).map(key)
}

/// What the plan decides of the environment.
pub(super) fn of(plan: &AllocationPlan, roster: &str, profile: Option<&str>) -> BTreeMap<EnvKey, Derived> {
    let gpus = plan.inventory().gpus.len();
    let facts = [
        (GPU_COUNT, gpus.to_string()),
        (HAS_GPU, (gpus > 0 && !plan.is_mock()).to_string()),
        (RAM_GB, (plan.inventory().memory_mib.get() / 1024).to_string()),
        (MOCK, plan.is_mock().to_string()),
    ];
    let forms = [
        (ROSTER, roster.to_owned()),
        (MACHINE_ID, plan.machine().to_string()),
        (WORKSPACE, plan.workspace().to_owned()),
        (HEALTH_PORT, plan.health_port().to_string()),
    ];
    let facts = facts.into_iter().map(|(name, value)| (key(name), Derived::Fact(value)));
    let forms = forms.into_iter().map(|(name, value)| (key(name), Derived::Form(value)));
    let profile = profile.map(|it| (key(PROFILE), Derived::Form(it.to_owned())));
    facts.chain(forms).chain(profile).collect()
}

/// The same variables when there is no plan to decide them, so that nobody misses them.
pub(super) fn unplanned() -> BTreeMap<EnvKey, Derived> {
    asked_for().map(|it| (it, Derived::Form(String::new()))).collect()
}

/// What the configuration says of the machine itself.
pub(super) struct Settings {
    pub(super) id: Option<MachineId>,
    pub(super) workspace: String,
    pub(super) health_port: u16,
}

/// A setting of the machine that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SettingFault {
    #[error("`{key}` is {found}")]
    Value { key: EnvKey, found: String, expected: &'static str },
    #[error("`{alias}` and `{canonical}` are both set and differ")]
    Alias { alias: EnvKey, canonical: EnvKey },
}

impl Fault for SettingFault {
    fn code(&self) -> Code {
        match self {
            Self::Value { .. } => SETTING,
            Self::Alias { .. } => ALIAS,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Value { expected, .. } => (*expected).to_owned(),
            Self::Alias { alias, canonical } => {
                format!("keep `{canonical}` and remove `{alias}`, which is its older name")
            }
        }
    }
}

/// Reads them from the pool.
pub(super) fn settings(pool: &Pool, findings: &mut Vec<Finding>) -> Settings {
    let mut read = |name: &str, expected: &'static str, accept: &mut dyn FnMut(&str) -> bool| {
        let (key, value) = (key(name), pool.get(&key(name)));
        let Some(value) = value.filter(|it| !it.value().expose().is_empty()) else { return };
        if !accept(value.value().expose()) {
            let found = shown(value);
            findings.push(Finding::error(located(
                value,
                &key,
                SettingFault::Value { key: key.clone(), found, expected },
            )));
        }
    };
    let mut settings =
        Settings { id: None, workspace: DEFAULT_WORKSPACE.into(), health_port: spec::model::HEALTH_PORT };
    read(MACHINE_ID, "use letters, digits, _ and -, at most 63", &mut |text| {
        settings.id = text.parse().ok();
        settings.id.is_some()
    });
    read(HEALTH_PORT, "set it to a number from 1 to 65535, or unset it for 9090", &mut |text| {
        settings.health_port = text.parse().unwrap_or(0);
        settings.health_port > 0
    });
    read(WORKSPACE, "set it to an absolute path without `:` or `..`", &mut |text| {
        text.trim_end_matches('/').clone_into(&mut settings.workspace);
        text.starts_with('/')
            && text.len() > 1
            && !text.contains([':', '\n', '$'])
            && !text.split('/').any(|it| it == "..")
    });
    settings
}

fn shown(value: &Resolved) -> String {
    value.public().map_or_else(|| "not usable".to_owned(), |it| format!("{it:?}"))
}

pub(super) fn located<F>(value: &Resolved, key: &EnvKey, fault: F) -> Located<F> {
    Located::at(value.reading(key), fault)
}

/// Older names that say something else than the plan.
pub(super) fn aliases(pool: &Pool, plan: &AllocationPlan, findings: &mut Vec<Finding>) {
    let count = plan.inventory().gpus.len().to_string();
    for alias in GPU_COUNT_ALIASES.map(key) {
        if let Some(value) = pool.get(&alias).filter(|it| *it.value().expose() != count) {
            let canonical = key(GPU_COUNT);
            let fault = SettingFault::Alias { alias: alias.clone(), canonical };
            findings.push(Finding::error(located(value, &alias, fault)));
        }
    }
}

/// A setting that cannot be.
pub(super) const SETTING: Code = Code {
    id: "MACH001",
    title: "a setting of the machine cannot be",
    exit: Exit::Error,
    explanation: "`MACHINE_ID` becomes a part of Redis keys and host names, `MACHINE_WORKSPACE` a mount, \
`MACHINE_HEALTH_PORT` a listening port; each has its form.\n\nBreaks it: `MACHINE_ID=gpu:1`.\n\nMend it: the message \
says what can stand there and which file or variable set it.",
};

/// Two names of one thing that differ.
pub(super) const ALIAS: Code = Code {
    id: "MACH002",
    title: "a variable and its older name differ",
    exit: Exit::Error,
    explanation: "`WORKERS` is an older name of `WORKER_CONNECTORS`; `MACHINE_NUM_GPUS` and `NUM_GPUS` of \
`MACHINE_GPU_COUNT`. They are read, but when both names say different things nobody can know which is \
meant.\n\nBreaks it: `WORKERS=comfyui:1` in the process environment while the profile's roster is `comfyui:2`.\n\nMend \
it: keep the newer name.",
};
