//! What an import proposes: a profile, and the secrets that go beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use serde::Serialize;
use serde_json::Value;
use spec::dotenv;
use spec::env::Secret;
use spec::ids::{EnvKey, ProfileName, WorkerName};
use spec::model::Binding;
use spec::notes::Finding;

use crate::Wishes;
use crate::draft::Draft;
use crate::offer::Offer;
use crate::report::Report;
use crate::roster::{self, Wanted};
use crate::variables::{self, Settled};

/// What a pretended card has, in MiB: that of a common one.
const PRETENDED_MIB: u32 = 24 * 1024;

/// The proposal for one machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The profile's name.
    pub profile: ProfileName,
    /// Its roster: `comfyui:2,openai:4`.
    pub roster: String,
    /// How many GPUs the old machine had, when its files say so.
    pub gpus: Option<u16>,
    /// Whether a worker needs a GPU that is neither declared nor pretended, so that the plan has to look at the machine.
    pub looks: bool,
    /// Variables that must be said, and that no file has said.
    pub missing: BTreeSet<EnvKey>,
    /// The files, by path below the project.
    pub files: Vec<File>,
    /// The values of the secrets file.
    pub secrets: Vec<Secret<String>>,
}

/// A file of a proposal.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path below the project.
    pub path: String,
    /// Its text.
    pub text: Secret<String>,
    /// Its text as it may be shown: that of a secrets file has no values.
    pub shown: String,
    /// Nobody but its owner may read it: mode 0600.
    pub private: bool,
}

/// A profile, in the order in which people read one.
#[derive(Serialize)]
struct ProfileText<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    description: String,
    components: BTreeMap<&'static str, &'static str>,
    workers: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<EnvKey, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware: Option<Hardware>,
    #[serde(skip_serializing_if = "Docker::is_usual")]
    docker: Docker,
}

#[derive(Serialize)]
struct Hardware {
    #[serde(skip_serializing_if = "is_false")]
    mock: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gpus: Vec<Gpu>,
}

#[derive(Serialize)]
struct Gpu {
    vram_mib: u32,
}

#[derive(Serialize)]
struct Docker {
    #[serde(skip_serializing_if = "is_false")]
    publish: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    additional_services: BTreeMap<String, Value>,
}

impl Docker {
    fn is_usual(&self) -> bool {
        !self.publish && self.additional_services.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it may skip so")]
fn is_false(it: &bool) -> bool {
    !it
}

/// The proposal for a machine; `None` when it has no roster, which is a finding then.
pub(crate) fn machine(
    draft: &Draft,
    profile: ProfileName,
    wishes: &Wishes,
    offer: &Offer,
    report: &mut Report,
    findings: &mut Vec<Finding>,
) -> Option<Machine> {
    let wanted = roster::settle(draft, profile.as_str(), wishes.roster.as_ref(), offer, report, findings);
    let names: Vec<WorkerName> = wanted.iter().map(|it| it.0.clone()).collect();
    let settled = variables::settle(draft, &names, offer, report);
    if wanted.is_empty() {
        return None;
    }
    let roster = roster::text(&wanted);
    let hardware = hardware(&settled, wishes);
    let told = told(&settled);
    let looks = hardware.is_none() && on_gpu(&wanted, offer);
    let Settled { public, secret, redis, gpus, .. } = settled;
    let mut files = Vec::new();
    let secrets_path = format!("config/environments/secrets/{profile}.env");
    if !secret.is_empty() {
        files.push(secrets_file(secrets_path, &profile, &secret));
    }
    let document = ProfileText {
        schema: "../../../docs/schemas/profile.schema.json",
        description: format!("Imported from {}", draft.place.source.name()),
        components: redis.map(|it| ("redis", it)).into_iter().collect(),
        workers: &roster,
        secrets: Some(profile.as_str()),
        environment: public,
        hardware,
        docker: Docker { publish: draft.publish, additional_services: draft.additional.clone() },
    };
    // Texts, numbers, and lists of them cannot fail to be written.
    let text = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
    let path = format!("config/environments/profiles/{profile}.json");
    files.insert(0, File { path, shown: text.clone(), text: Secret::new(text), private: false });
    Some(Machine {
        missing: offer.missing(&told, &names),
        secrets: secret.into_values().map(Secret::new).collect(),
        profile,
        roster,
        gpus,
        looks,
        files,
    })
}

fn told(settled: &Settled) -> BTreeSet<EnvKey> {
    let redis = settled.redis.and_then(|_| "REDIS_URL".parse().ok());
    settled.public.keys().chain(settled.secret.keys()).cloned().chain(redis).collect()
}

fn on_gpu(wanted: &[Wanted], offer: &Offer) -> bool {
    wanted.iter().any(|(name, _)| offer.workers.get(name).is_some_and(|it| it.binding == Binding::Gpu))
}

fn hardware(settled: &Settled, wishes: &Wishes) -> Option<Hardware> {
    let card = |mib: NonZeroU32| Gpu { vram_mib: mib.get() };
    match &wishes.gpus {
        Some(gpus) => Some(Hardware { mock: settled.mock, gpus: gpus.iter().copied().map(card).collect() }),
        None if settled.mock => {
            let pretended = (0..settled.gpus.unwrap_or(0)).map(|_| Gpu { vram_mib: PRETENDED_MIB });
            Some(Hardware { mock: true, gpus: pretended.collect() })
        }
        None => None,
    }
}

fn secrets_file(path: String, profile: &ProfileName, secrets: &BTreeMap<EnvKey, String>) -> File {
    let head = format!("# Secrets of the profile {profile}. Git ignores this file.\n");
    let line = |(key, value): (&EnvKey, &String)| {
        let value = dotenv::encode(value).unwrap_or_else(|_| escaped(value).into());
        format!("{key}={value}\n")
    };
    let text: String = secrets.iter().map(line).collect();
    let mut shown = head.clone();
    shown.extend(secrets.keys().flat_map(|it| [it.as_str(), "=[redacted]\n"]));
    File { path, shown, text: Secret::new(head + &text), private: true }
}

/// A value in double quotes, as Roster's reader of env files undoes them; other readers might not.
fn escaped(value: &str) -> String {
    let mut text = String::from('"');
    for it in value.chars() {
        match it {
            '\n' => text += "\\n",
            '\r' => text += "\\r",
            '"' | '\\' | '$' => text.extend(['\\', it]),
            _ => text.push(it),
        }
    }
    text + "\""
}
