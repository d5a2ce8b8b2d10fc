//! Expands every variable once, through whatever it refers to.

use std::collections::{BTreeMap, BTreeSet};

use spec::env::Secret;
use spec::ids::EnvKey;
use spec::notes::{Located, did_you_mean};
use spec::source::Place;
use spec::template::{ExpandError, Template};

use super::fault::{MAX_BYTES, MAX_CHAIN};
use super::gather::{Body, Candidate, Candidates};
use super::{Known, Layer, Outcome, Rank, ResolveFault, Resolved, Sources};

type Faults = Vec<Located<ResolveFault>>;

pub(super) fn run(
    sources: &Sources<'_>,
    candidates: &Candidates<'_>,
    faults: &mut Faults,
) -> (BTreeMap<EnvKey, Known>, Faults) {
    let of_interfaces = || sources.interfaces.iter().flat_map(|it| &it.takes);
    let mut resolver = Resolver {
        sources,
        candidates,
        declared: of_interfaces().filter(|it| it.secret).flat_map(|it| [&it.app, &it.pool]).collect(),
        outcomes: BTreeMap::new(),
        stack: Vec::new(),
        faults,
    };
    resolver.declared.extend(sources.declared_secret);
    let published =
        candidates.keys().filter(|key| candidates.of(key).iter().any(|it| it.rank != Rank::Secrets));
    for key in published.chain(sources.wanted).chain(of_interfaces().map(|it| &it.pool)) {
        resolver.outcome(key);
    }
    let advice = resolver.advice();
    let layers: Vec<_> = resolver.outcomes.keys().map(|key| resolver.layers(key)).collect();
    let known = resolver.outcomes.into_iter().zip(layers);
    (known.map(|((key, outcome), layers)| (key, Known { outcome, layers })).collect(), advice)
}

struct Resolver<'a, 'f> {
    sources: &'a Sources<'a>,
    candidates: &'a Candidates<'a>,
    declared: BTreeSet<&'a EnvKey>,
    outcomes: BTreeMap<EnvKey, Outcome>,
    /// The variables that are being expanded, each because of the one before it.
    stack: Vec<EnvKey>,
    faults: &'f mut Faults,
}

/// A variable that has no value because of a fault that has been told.
struct Told;

impl Resolver<'_, '_> {
    fn outcome(&mut self, key: &EnvKey) -> &Outcome {
        if !self.outcomes.contains_key(key) {
            self.stack.push(key.clone());
            let outcome = self.resolve(key);
            self.stack.pop();
            self.outcomes.insert(key.clone(), outcome);
        }
        &self.outcomes[key]
    }

    fn resolve(&mut self, key: &EnvKey) -> Outcome {
        let candidate = self.candidates.of(key).first();
        let (text, tainted) = match (self.sources.process.get(key), candidate.map(|it| (it, &it.body))) {
            (Err(not_unicode), _) => {
                self.faults.push(Located::nowhere(not_unicode.into()));
                return Outcome::Failed;
            }
            (Ok(Some(text)), _) => return self.value(key, text, false, None),
            (Ok(None), Some((it, Body::Verbatim(text)))) => ((*text).to_owned(), it.rank == Rank::Secrets),
            (Ok(None), Some((it, Body::Template { template, .. }))) => match self.expand(key, it, template) {
                Ok(expanded) => expanded,
                Err(Told) => return Outcome::Failed,
            },
            (Ok(None), Some((_, Body::Faulty))) => return Outcome::Failed,
            (Ok(None), None) if self.candidates.is_blind_to(key) => return Outcome::Failed,
            (Ok(None), None) => return Outcome::Absent,
        };
        self.value(key, text, tainted, candidate)
    }

    fn value(&mut self, key: &EnvKey, text: String, tainted: bool, from: Option<&Candidate<'_>>) -> Outcome {
        let bytes = key.as_str().len() + 1 + text.len();
        if bytes > MAX_BYTES {
            let fault = ResolveFault::TooLong { key: key.clone(), bytes };
            self.faults.push(Located { fault, place: from.map(|it| it.place.clone()) });
            return Outcome::Failed;
        }
        Outcome::Value(Resolved {
            secret: tainted || self.declared.contains(key) || has_password(&text),
            value: Secret::new(text),
            rank: from.map_or(Rank::Process, |it| it.rank.clone()),
            place: from.map(|it| it.value_place.clone()),
        })
    }

    /// The template's text, and whether anything secret went into it.
    fn expand(
        &mut self,
        key: &EnvKey,
        candidate: &Candidate<'_>,
        template: &Template,
    ) -> Result<(String, bool), Told> {
        let mut tainted = false;
        let expanded = template.expand(&mut |name| {
            if name == key {
                // Had a higher source set it, this one would not be looked at.
                return Ok(None);
            }
            self.check_chain(name)?;
            tainted |= self.declared.contains(name);
            match self.outcome(name) {
                Outcome::Failed => Err(Told),
                Outcome::Absent => Ok(None),
                Outcome::Value(resolved) => {
                    tainted |= resolved.secret;
                    Ok(Some(resolved.value.expose().clone()))
                }
            }
        });
        let errors = match expanded {
            Ok(text) => return Ok((text, tainted)),
            Err(errors) => errors,
        };
        let may_quote = !tainted && !self.declared.contains(key);
        for error in errors {
            let (key, rank) = (key.clone(), candidate.rank.clone());
            let secrets_file = self.sources.secrets_file.to_owned();
            let (span, fault) = match error {
                ExpandError::Lookup(Told) => continue,
                ExpandError::Missing { name, span } if name == key => {
                    (span, ResolveFault::FromOutside { key, rank, message: None, secrets_file })
                }
                ExpandError::Missing { name, span } => {
                    let others = self.candidates.keys().filter(|it| **it != key).map(EnvKey::as_str);
                    let meant = did_you_mean(name.as_str(), others).and_then(|it| it.parse().ok());
                    (span, ResolveFault::NotSet { key, rank, name, meant, secrets_file })
                }
                ExpandError::Asked { name, message, span } => {
                    let message = may_quote.then_some(message);
                    if name == key {
                        (span, ResolveFault::FromOutside { key, rank, message, secrets_file })
                    } else {
                        (span, ResolveFault::InsistedOn { key, rank, name, message, secrets_file })
                    }
                }
            };
            self.faults.push(Located::at(candidate.place_of(span), fault));
        }
        Err(Told)
    }

    /// Whether the chain of references may go on to `name`.
    fn check_chain(&mut self, name: &EnvKey) -> Result<(), Told> {
        let fault = if let Some(first) = self.stack.iter().position(|it| it == name) {
            let places = self.stack[first..].iter().map(|key| (key.clone(), self.place(key).to_string()));
            ResolveFault::Cycle { members: places.collect() }
        } else if self.stack.len() >= MAX_CHAIN && !self.outcomes.contains_key(name) {
            ResolveFault::TooDeep { key: self.stack[0].clone() }
        } else {
            return Ok(());
        };
        let begins = if matches!(fault, ResolveFault::Cycle { .. }) { name } else { &self.stack[0] };
        let located = Located::at(self.place(begins), fault);
        if !self.faults.contains(&located) {
            self.faults.push(located);
        }
        Err(Told)
    }

    /// The place that sets a variable which is being expanded.
    fn place(&self, key: &EnvKey) -> Place {
        self.candidates.of(key)[0].place.clone()
    }

    /// Secrets that are written out where they do not belong.
    fn advice(&self) -> Faults {
        let mut advice = Vec::new();
        for key in self.candidates.keys().filter(|it| self.declared.contains(it)) {
            for candidate in self.candidates.of(key) {
                let written_out = match &candidate.body {
                    Body::Verbatim(text) => candidate.rank != Rank::Secrets && !text.is_empty(),
                    Body::Template { template, .. } => {
                        template.is_literal() && !template.segments().is_empty()
                    }
                    Body::Faulty => false,
                };
                if written_out {
                    let fault = ResolveFault::SecretInOpenFile {
                        key: key.clone(),
                        rank: candidate.rank.clone(),
                        secrets_file: self.sources.secrets_file.to_owned(),
                    };
                    advice.push(Located::at(candidate.place.clone(), fault));
                }
            }
        }
        advice
    }

    /// Everything that sets a variable, as it may be shown.
    fn layers(&self, key: &EnvKey) -> Vec<Layer> {
        let resolved = match &self.outcomes[key] {
            Outcome::Value(resolved) => Some(resolved),
            Outcome::Absent | Outcome::Failed => None,
        };
        let of_process = resolved.filter(|it| it.rank == Rank::Process);
        let redacted = || "[redacted]".to_owned();
        let process = of_process.map(|it| Layer {
            rank: Rank::Process,
            place: None,
            value: it.public().map_or_else(redacted, str::to_owned),
            wins: true,
        });
        let files = self.candidates.of(key).iter().enumerate().map(|(index, candidate)| {
            let wins = index == 0 && of_process.is_none() && resolved.is_some();
            let secret = self.declared.contains(key) || resolved.is_some_and(Resolved::is_secret);
            let shown = match (&candidate.body, resolved) {
                (_, Some(resolved)) if wins => resolved.public().map(str::to_owned),
                _ if secret || candidate.rank == Rank::Secrets => None,
                (Body::Verbatim(text), _) => Some((*text).to_owned()),
                (Body::Template { template, .. }, _)
                    if template.references().all(|it| self.is_public(it, &mut BTreeSet::new())) =>
                {
                    Some(candidate.value_place.text().to_owned())
                }
                _ => None,
            };
            let value = shown.filter(|it| !has_password(it)).unwrap_or_else(redacted);
            Layer { rank: candidate.rank.clone(), place: Some(candidate.place.clone()), value, wins }
        });
        process.into_iter().chain(files).collect()
    }

    /// Whether nothing that sets a variable, or that it may be made of, is secret: what a text says instead of it, should
    /// it not be set, may then be shown.
    fn is_public(&self, key: &EnvKey, seen: &mut BTreeSet<EnvKey>) -> bool {
        if !seen.insert(key.clone()) {
            return true;
        }
        let is_secret = self.declared.contains(key)
            || matches!(self.outcomes.get(key), Some(Outcome::Value(resolved)) if resolved.secret);
        !is_secret
            && self.candidates.of(key).iter().all(|it| match &it.body {
                Body::Verbatim(_) => it.rank != Rank::Secrets,
                Body::Template { template, .. } => template.references().all(|it| self.is_public(it, seen)),
                Body::Faulty => false,
            })
    }
}

/// Whether the text holds a URL with a password: `scheme://user:password@host`. Such a value is a secret, whoever forgot
/// to say so: the address of a Redis is the secret that most often ends up in a public file.
pub fn has_password(text: &str) -> bool {
    text.match_indices("://").any(|(at, mark)| {
        // Further than a URL's authority goes: a password may hold a `/` that should have been written `%2F`.
        let rest =
            text[at + mark.len()..].split(|it: char| it.is_whitespace() || "\"'<>".contains(it)).next();
        let credentials = rest.and_then(|it| it.rsplit_once('@')).map(|(before, _)| before);
        credentials.and_then(|it| it.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
    })
}
