//! An environment profile: which section of which component, which roster, which hardware, which docker options.

use std::collections::BTreeMap;

use env_builder::pool::Chosen;
use schemars::JsonSchema;
use serde::Deserialize;
use spec::document::{Document, DocumentFault};
use spec::ids::{ComponentName, EnvKey, ProfileName, SectionName, ServiceName, StageName};
use spec::notes::Located;
use spec::source::{Place, SourceText};

use crate::inventory::HardwareDocument;

/// A profile as people write it: `config/environments/profiles/<name>.json`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileDocument {
    /// The schema of this document, for editors.
    #[serde(rename = "$schema", default)]
    #[expect(dead_code, reason = "accepted for editors, read by nobody")]
    schema: Option<String>,
    /// One line for people.
    pub description: String,
    /// The sections to take of each component; of a list, later ones win.
    pub components: BTreeMap<ComponentName, Sections>,
    /// The service interfaces whose variables are published.
    #[serde(default = "machine_only")]
    pub services: Vec<ServiceName>,
    /// The secrets file, `config/environments/secrets/<name>.env`.
    #[serde(default)]
    pub secrets: Option<SectionName>,
    /// Variables of this profile; they win over components. `${NAME}` is expanded.
    #[serde(default)]
    pub environment: BTreeMap<EnvKey, String>,
    /// The roster, unless `components.worker` says it: `comfyui:2,openai:4`.
    #[serde(default)]
    pub workers: Option<String>,
    /// What the machine has; left out, the machine is looked at.
    #[serde(default)]
    pub hardware: Option<HardwareDocument>,
    /// How it is put into containers.
    #[serde(default)]
    pub docker: DockerDocument,
}

/// One section, or several of which later ones win.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Sections {
    /// `"local"`.
    One(SectionName),
    /// `["default", "local"]`.
    Many(#[schemars(length(min = 1))] Vec<SectionName>),
}

/// How a machine is put into containers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerDocument {
    /// Whether `docker-compose.yaml` is generated.
    #[serde(default = "yes")]
    pub auto_generate: bool,
    /// The build stage; left out, the smallest that provides every service of the roster.
    #[serde(default)]
    pub build_target: Option<StageName>,
    /// Publish the machine's ports on the host's loopback, for debugging.
    #[serde(default)]
    pub publish: bool,
    /// Further services beside the machine.
    #[serde(default)]
    pub additional_services: BTreeMap<ServiceName, AdditionalService>,
}

impl Default for DockerDocument {
    fn default() -> Self {
        Self { auto_generate: true, build_target: None, publish: false, additional_services: BTreeMap::new() }
    }
}

/// A service beside the machine. It gets the same hardening.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdditionalService {
    /// Its image, with a tag or digest.
    pub image: String,
    /// Its command; left out, the image's.
    #[serde(default)]
    pub command: Vec<String>,
    /// Its variables; never a secret.
    #[serde(default)]
    pub environment: BTreeMap<EnvKey, String>,
    /// A condition over the profile's components: `components.redis == 'local'`.
    #[serde(default)]
    pub condition: Option<String>,
}

fn machine_only() -> Vec<ServiceName> {
    vec!["machine".parse().expect("a valid name")]
}

fn yes() -> bool {
    true
}

/// A profile and where its parts stand.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its file's name without `.json`.
    pub name: ProfileName,
    /// Its text.
    pub source: SourceText,
    document: Document<ProfileDocument>,
}

impl Profile {
    /// Reads a profile.
    pub fn read(name: ProfileName, source: SourceText) -> Result<Self, Vec<Located<DocumentFault>>> {
        let document = spec::document::read(&source)?;
        Ok(Self { name, source, document })
    }

    /// What it says.
    pub fn document(&self) -> &ProfileDocument {
        &self.document.value
    }

    /// The sections of each component, with their places.
    pub fn components(&self) -> Vec<Chosen> {
        let told = |(component, sections): (&ComponentName, &Sections)| {
            let pointer = format!("/components/{component}");
            let place = self.document.index.key(&pointer).unwrap_or_else(|| self.source.whole());
            let sections = match sections {
                Sections::One(section) => vec![(section.clone(), self.place(&pointer))],
                Sections::Many(many) => {
                    let at = |(index, it): (usize, &SectionName)| {
                        (it.clone(), self.place(&format!("{pointer}/{index}")))
                    };
                    many.iter().enumerate().map(at).collect()
                }
            };
            (component.clone(), sections, place)
        };
        self.document().components.iter().map(told).collect()
    }

    /// The variables of `environment`, with the places of their values.
    pub fn overrides(&self) -> Vec<(EnvKey, String, Place)> {
        let told = |(key, value): (&EnvKey, &String)| {
            (key.clone(), value.clone(), self.place(&format!("/environment/{key}")))
        };
        self.document().environment.iter().map(told).collect()
    }

    /// The sections by component, as conditions see them.
    pub fn sections(&self) -> BTreeMap<ComponentName, Vec<SectionName>> {
        let told = |(name, sections): (&ComponentName, &Sections)| {
            let sections = match sections {
                Sections::One(section) => vec![section.clone()],
                Sections::Many(many) => many.clone(),
            };
            (name.clone(), sections)
        };
        self.document().components.iter().map(told).collect()
    }

    /// Whether Redis is ours to run: it takes the section `local` of the component `redis`.
    pub fn has_local_redis(&self) -> bool {
        let sections = self.sections();
        sections.get("redis").is_some_and(|it| it.iter().any(|section| section.as_str() == "local"))
    }

    /// The place of a value; of the whole profile when it is not there.
    pub fn place(&self, pointer: &str) -> Place {
        self.document.index.value(pointer).unwrap_or_else(|| self.source.whole())
    }

    /// The place of a text between its quotes, so that spans inside it point into the file. `None` when it holds
    /// escapes.
    pub fn text_place(&self, pointer: &str) -> Option<Place> {
        self.document.index.string_place(pointer)
    }
}
