//! Taking: what the services and workers of a plan get out of the pool, and what of it is secret.

use std::collections::{BTreeMap, BTreeSet};

use spec::dotenv::{self, Unencodable};
use spec::ids::EnvKey;
use spec::notes::{Code, Fault, Finding, Located, errors};
use spec::source::Place;

use crate::codes;
use crate::environment::{Environment, Provenance};
use crate::interface::Interface;
use crate::pool::{Pool, Resolved};

/// A variable that a worker or service of the plan reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Its name.
    pub key: EnvKey,
    /// Absent or empty is an error.
    pub required: bool,
    /// It travels as a secret. Such a key is in [`Sources::declared_secret`](crate::pool::Sources::declared_secret) too.
    pub secret: bool,
    /// Who reads it, as people call it: ``worker `openai` ``.
    pub claimant: String,
}

/// A variable that the plan decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Derived {
    /// A fact of the plan. A source that says otherwise is wrong.
    Fact(String),
    /// The plan's form of what it read from the pool, or of what came in its place; the source's text does not matter.
    Form(String),
}

/// One reason why an environment cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeFault {
    /// A required variable that nothing sets.
    #[error("the {} `{key}` is not set, and is needed by {}", kind(*secret), claimants.join(", "))]
    Missing {
        /// Its name in the pool.
        key: EnvKey,
        /// Whether it is a secret.
        secret: bool,
        /// Everyone who requires it.
        claimants: Vec<String>,
        /// Where secrets are written.
        secrets_file: String,
    },
    /// A required variable that is set to nothing.
    #[error("the {} `{key}` is empty in the {origin}, and is needed by {}", kind(*secret), claimants.join(", "))]
    Empty {
        /// Its name in the pool.
        key: EnvKey,
        /// Whether it is a secret.
        secret: bool,
        /// The source that sets it.
        origin: String,
        /// Everyone who requires it.
        claimants: Vec<String>,
    },
    /// One variable for two of the pool.
    #[error("`{app}` is taken from `{first}` by {first_claimant} and from `{second}` by {second_claimant}")]
    TwoOrigins {
        /// Its name in the services.
        app: EnvKey,
        /// One name in the pool.
        first: EnvKey,
        /// Who says so.
        first_claimant: String,
        /// The other.
        second: EnvKey,
        /// Who says so.
        second_claimant: String,
    },
    /// A source against the plan.
    #[error("`{key}` is set by the {origin} to something else than the plan's `{planned}`")]
    Contradicts {
        /// The variable.
        key: EnvKey,
        /// The source that sets it.
        origin: String,
        /// What the plan says.
        planned: String,
    },
    /// A value that a public env file cannot hold.
    #[error("`{key}`: {cause}")]
    Unencodable {
        /// The variable.
        key: EnvKey,
        /// Why.
        cause: Unencodable,
    },
    /// Advice: a secret that `.env.secret` cannot hold. It still travels as a file of its own.
    #[error("the secret `{key}` is not in `.env.secret`: {cause}")]
    OnlyAsFile {
        /// The variable.
        key: EnvKey,
        /// Why.
        cause: Unencodable,
    },
}

fn kind(secret: bool) -> &'static str {
    if secret { "secret" } else { "variable" }
}

impl Fault for TakeFault {
    fn code(&self) -> Code {
        match self {
            Self::Missing { secret: true, .. } => codes::MISSING_SECRET,
            Self::Missing { secret: false, .. } => codes::MISSING_VARIABLE,
            Self::Empty { .. } => codes::EMPTY,
            Self::TwoOrigins { .. } => codes::TWO_ORIGINS,
            Self::Contradicts { .. } => codes::CONTRADICTS_PLAN,
            Self::Unencodable { cause, .. } => cause.code(),
            Self::OnlyAsFile { .. } => codes::ONLY_AS_FILE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Missing { key, secret: true, secrets_file, .. } => {
                format!("set `{key}` in {secrets_file} or in the process environment")
            }
            Self::Missing { key, .. } => {
                format!(
                    "set `{key}` in a component's section, in the profile's `environment` or in the process environment"
                )
            }
            Self::Empty { key, .. } => {
                format!("give `{key}` a value there, or remove it there so that another source is asked")
            }
            Self::TwoOrigins { .. } => "let both take it from the same variable".into(),
            Self::Contradicts { key, planned, .. } => {
                format!("remove `{key}` there, set it to `{planned}`, or change what the plan is made from")
            }
            Self::Unencodable { cause, .. } => cause.fix(),
            Self::OnlyAsFile { key, .. } => {
                format!("read it from `/run/secrets/{key}`, or encode the value (base64)")
            }
        }
    }
}

/// One variable of the environment and everyone who takes it.
struct Claim<'a> {
    pool: &'a EnvKey,
    secret: bool,
    claimants: Vec<String>,
    requirers: Vec<String>,
}

/// Makes the environment of a plan; all faults at once. `derived` wins over everything.
pub fn take(
    pool: &Pool,
    interfaces: &[Interface],
    needs: &[Need],
    derived: &BTreeMap<EnvKey, Derived>,
) -> Result<Environment, Vec<Finding>> {
    let mut faults = Vec::new();
    let claims = claims(interfaces, needs, &mut faults);
    let secret_pools: BTreeSet<&EnvKey> = claims.values().filter(|it| it.secret).map(|it| it.pool).collect();
    let mut missing: BTreeMap<&EnvKey, Vec<String>> = BTreeMap::new();
    let mut environment = Environment::new(pool);
    for (app, claim) in &claims {
        if derived.contains_key(*app) || pool.has_failed(claim.pool) {
            continue;
        }
        let found = pool.get(claim.pool);
        if found.is_none_or(|it| it.value().expose().is_empty()) && !claim.requirers.is_empty() {
            missing.entry(claim.pool).or_default().extend(claim.requirers.iter().cloned());
        }
        let Some(found) = found else { continue };
        let provenance = Provenance::Pool { key: claim.pool.clone(), claimants: claim.claimants.clone() };
        if found.is_secret() || secret_pools.contains(claim.pool) {
            environment.add_secret(app, found.value().clone(), provenance);
        } else {
            environment.add_public(app, found.value().expose().clone(), provenance);
            encodable(app, found, &mut faults);
        }
    }
    for (key, mut claimants) in missing {
        claimants.sort();
        claimants.dedup();
        let secret = secret_pools.contains(key);
        let (key, found) = (key.clone(), pool.get(key));
        let place = found.map_or_else(|| place_of(&key, interfaces), |it| it.place().cloned());
        let fault = if let Some(found) = found {
            TakeFault::Empty { key, secret, origin: found.rank().to_string(), claimants }
        } else {
            TakeFault::Missing { key, secret, claimants, secrets_file: pool.secrets_file().to_owned() }
        };
        faults.push(Located { fault, place });
    }
    for (key, decided) in derived {
        let (Derived::Fact(value) | Derived::Form(value)) = decided;
        let claim = claims.get(key);
        let source = claim.map_or(key, |it| it.pool);
        let found =
            pool.get(source).filter(|it| matches!(decided, Derived::Fact(_)) && it.value().expose() != value);
        if let Some(found) = found {
            let fault = TakeFault::Contradicts {
                key: source.clone(),
                origin: found.rank().to_string(),
                planned: value.clone(),
            };
            faults.push(Located { fault, place: found.place().map(|_| found.reading(source)) });
        }
        environment.add_public(key, value.clone(), Provenance::Plan);
    }
    if !faults.is_empty() {
        return Err(errors(faults));
    }
    let only_as_file = environment.secrets().filter_map(|(key, secret)| {
        let cause = dotenv::encode(secret.expose()).err()?;
        Some(Located { fault: TakeFault::OnlyAsFile { key: key.clone(), cause }, place: None })
    });
    let advice = only_as_file.map(Finding::advice).collect();
    environment.advise(advice);
    Ok(environment)
}

fn claims<'a>(
    interfaces: &'a [Interface],
    needs: &'a [Need],
    faults: &mut Vec<Located<TakeFault>>,
) -> BTreeMap<&'a EnvKey, Claim<'a>> {
    let mut claims: BTreeMap<&EnvKey, Claim<'_>> = BTreeMap::new();
    let mut claim = |app, pool, secret, required, claimant: String| {
        let claim =
            claims.entry(app).or_insert(Claim { pool, secret, claimants: Vec::new(), requirers: Vec::new() });
        claim.secret |= secret;
        if !claim.claimants.contains(&claimant) {
            claim.claimants.push(claimant.clone());
        }
        if required && !claim.requirers.contains(&claimant) {
            claim.requirers.push(claimant);
        }
        (claim.pool, claim.claimants[0].clone())
    };
    for interface in interfaces {
        for take in &interface.takes {
            let claimant = format!("service interface `{}`", interface.name);
            let (first, first_claimant) =
                claim(&take.app, &take.pool, take.secret, take.required, claimant.clone());
            if *first != take.pool {
                let fault = TakeFault::TwoOrigins {
                    app: take.app.clone(),
                    first: first.clone(),
                    first_claimant,
                    second: take.pool.clone(),
                    second_claimant: claimant,
                };
                faults.push(Located::at(take.place.clone(), fault));
            }
        }
    }
    for need in needs {
        // Where it comes from is an interface's to say; without one it has the same name in the pool.
        claim(&need.key, &need.key, need.secret, need.required, need.claimant.clone());
    }
    claims
}

fn encodable(key: &EnvKey, found: &Resolved, faults: &mut Vec<Located<TakeFault>>) {
    if let Err(cause) = dotenv::encode(found.value().expose()) {
        let fault = TakeFault::Unencodable { key: key.clone(), cause };
        faults.push(Located { fault, place: found.place().cloned() });
    }
}

fn place_of(key: &EnvKey, interfaces: &[Interface]) -> Option<Place> {
    let mut takes = interfaces.iter().flat_map(|it| &it.takes);
    takes.find(|it| it.pool == *key && it.required).map(|it| it.place.clone())
}

#[cfg(test)]
mod tests;
