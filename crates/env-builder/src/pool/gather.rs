//! Which sources set which variable: everything but the process environment, which is asked by name.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use spec::ids::{ComponentName, EnvKey, SectionName};
use spec::notes::{Located, did_you_mean};
use spec::source::{Place, SourceText, Span};
use spec::template::Template;

use super::{Rank, ResolveFault, Selection, Sources};
use crate::component::{Component, Variable};
use crate::interface::Interface;

/// One source's word about one variable.
pub(super) struct Candidate<'a> {
    pub(super) rank: Rank,
    /// What is pointed at for the variable as a whole.
    pub(super) place: Place,
    /// The value as written.
    pub(super) value_place: Place,
    pub(super) body: Body<'a>,
}

pub(super) enum Body<'a> {
    Verbatim(&'a str),
    Template {
        template: Cow<'a, Template>,
        variable: Option<&'a Variable>,
    },
    /// A template that was at fault, which has been told.
    Faulty,
}

impl Candidate<'_> {
    /// Where a span of the template stands.
    pub(super) fn place_of(&self, span: Span) -> Place {
        match self.body {
            Body::Template { variable: Some(variable), .. } => variable.place_of(span),
            _ => self.value_place.clone(),
        }
    }
}

/// The candidates of each variable, the winner first.
#[derive(Default)]
pub(super) struct Candidates<'a> {
    by_key: BTreeMap<EnvKey, Vec<Candidate<'a>>>,
    /// The beginnings of variables that a component or section which is not there may have published.
    blind: BTreeSet<String>,
}

impl<'a> Candidates<'a> {
    pub(super) fn of(&self, key: &EnvKey) -> &[Candidate<'a>] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &EnvKey> {
        self.by_key.keys()
    }

    /// Whether the variable may be missing only because its component or section is, which has been told.
    pub(super) fn is_blind_to(&self, key: &EnvKey) -> bool {
        self.blind.iter().any(|it| key.as_str().starts_with(it))
    }

    fn add(&mut self, key: &EnvKey, candidate: Candidate<'a>) {
        self.by_key.entry(key.clone()).or_default().push(candidate);
    }
}

type Faults = Vec<Located<ResolveFault>>;

pub(super) fn candidates<'a>(selection: &'a Selection, sources: &Sources<'a>) -> (Candidates<'a>, Faults) {
    let (mut found, mut faults) = (Candidates::default(), Vec::new());
    for entry in sources.secrets {
        let body = Body::Verbatim(&entry.value);
        let (place, value_place) = (entry.place.clone(), entry.value_place.clone());
        found.add(&entry.key, Candidate { rank: Rank::Secrets, place, value_place, body });
    }
    for (key, text, place) in &selection.overrides {
        let place = guarded(place);
        let body = match Template::parse(text) {
            Ok(template) => Body::Template { template: Cow::Owned(template), variable: None },
            Err(wrong) => {
                faults.extend(wrong.into_iter().map(|(_, fault)| Located::at(place.clone(), fault.into())));
                Body::Faulty
            }
        };
        found.add(key, Candidate { rank: Rank::Profile, place: place.clone(), value_place: place, body });
    }
    components(selection, sources, &mut found, &mut faults);
    defaults(sources.interfaces, &mut found, &mut faults);
    (found, faults)
}

fn components<'a>(
    selection: &Selection,
    sources: &Sources<'a>,
    found: &mut Candidates<'a>,
    faults: &mut Faults,
) {
    let mut publishers: BTreeMap<&EnvKey, (&ComponentName, &Place)> = BTreeMap::new();
    let mut clashes = BTreeSet::new();
    for (name, sections, place) in &selection.components {
        let Some(component) = component(name, place, sources, found, faults) else { continue };
        // The last section wins, and the first candidate does.
        for (section, place) in sections.iter().rev() {
            let Some(variables) = variables(component, section, place, found, faults) else { continue };
            for variable in variables {
                let (first, first_place) =
                    *publishers.entry(&variable.key).or_insert((name, &variable.place));
                if first != name {
                    if clashes.insert((&variable.key, name)) {
                        let fault = ResolveFault::PublishedTwice {
                            key: variable.key.clone(),
                            first: first.clone(),
                            first_place: first_place.to_string(),
                            second: name.clone(),
                        };
                        faults.push(Located::at(variable.place.clone(), fault));
                    }
                    continue;
                }
                let template = Cow::Borrowed(&variable.value);
                let candidate = Candidate {
                    rank: Rank::Component { name: name.clone(), section: section.clone() },
                    place: variable.place.clone(),
                    value_place: variable.value_place.clone(),
                    body: Body::Template { template, variable: Some(variable) },
                };
                found.add(&variable.key, candidate);
            }
        }
    }
}

fn component<'a>(
    name: &ComponentName,
    place: &Place,
    sources: &Sources<'a>,
    found: &mut Candidates<'a>,
    faults: &mut Faults,
) -> Option<&'a Component> {
    let component = sources.components.iter().find(|it| it.name == *name);
    if component.is_none() {
        found.blind.insert(format!("{}_", name.as_str().to_uppercase().replace('-', "_")));
        if !sources.unreadable.contains(name) {
            let mut exist: Vec<&str> = sources.components.iter().map(|it| it.name.as_str()).collect();
            exist.extend(sources.unreadable.iter().map(ComponentName::as_str));
            exist.sort_unstable();
            let meant = did_you_mean(name.as_str(), exist.iter().copied());
            let namesake = sources.components.iter().find(|it| Some(it.name.as_str()) == meant);
            found.blind.extend(namesake.map(|it| format!("{}_", it.namespace)));
            let fault = ResolveFault::UnknownComponent {
                name: name.clone(),
                meant: meant.map(str::to_owned),
                exist: exist.into_iter().map(str::to_owned).collect(),
            };
            faults.push(Located::at(place.clone(), fault));
        }
    }
    component
}

fn variables<'a>(
    component: &'a Component,
    section: &SectionName,
    place: &Place,
    found: &mut Candidates<'a>,
    faults: &mut Faults,
) -> Option<&'a [Variable]> {
    let variables = component.sections.get(section);
    if variables.is_none() {
        found.blind.insert(format!("{}_", component.namespace));
        let exist: Vec<_> = component.sections.keys().map(ToString::to_string).collect();
        let fault = ResolveFault::UnknownSection {
            component: component.name.clone(),
            section: section.clone(),
            meant: did_you_mean(section.as_str(), exist.iter().map(String::as_str)).map(str::to_owned),
            exist,
        };
        faults.push(Located::at(place.clone(), fault));
    }
    variables.map(Vec::as_slice)
}

fn defaults<'a>(interfaces: &'a [Interface], found: &mut Candidates<'a>, faults: &mut Faults) {
    let mut first: BTreeMap<&EnvKey, (&Interface, &str)> = BTreeMap::new();
    for interface in interfaces {
        for (take, default) in interface.takes.iter().filter_map(|it| Some((it, it.default.as_ref()?))) {
            let (giver, text) = *first.entry(&take.pool).or_insert((interface, &default.text));
            if giver.name == interface.name {
                let rank = Rank::Default { interface: interface.name.clone() };
                let (place, body) = (guarded(&default.place), Body::Verbatim(&default.text));
                found.add(&take.pool, Candidate { rank, place: place.clone(), value_place: place, body });
            } else if text != default.text {
                let fault = ResolveFault::DefaultsDisagree {
                    key: take.pool.clone(),
                    first: giver.name.clone(),
                    second: interface.name.clone(),
                };
                faults.push(Located::at(guarded(&default.place), fault));
            }
        }
    }
}

/// The same place in a source that is never quoted: what stands there may turn out to be a secret.
fn guarded(place: &Place) -> Place {
    SourceText::guarded(place.source.name(), place.source.text()).at(place.span.clone())
}
