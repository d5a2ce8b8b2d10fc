//! Components, profiles, service interfaces and secrets, resolved into the environment of one machine.
//!
//! [`component`] and [`interface`] read what people write; [`pool::resolve`] gives every variable the one value that
//! wins and knows which are secret; [`take::take`] hands a plan what it needs; [`environment::Environment`] is written
//! to `.env` and `.env.secret`. `docs/environment.md` is the user's guide.
//!
//! ```
//! use std::collections::{BTreeMap, BTreeSet};
//!
//! use env_builder::{component, pool, take};
//! use spec::{ids::EnvKey, source::SourceText};
//!
//! let redis = SourceText::guarded("redis.env", "NAMESPACE=REDIS\n[local]\nURL=redis://${REDIS_HOST:-redis}:6379/0\n");
//! let redis = component::parse("redis".parse()?, &redis).unwrap();
//! let profile = SourceText::open("profile.json", r#"{"redis": "local"}"#);
//! let selection = pool::Selection {
//!     components: vec![(redis.name.clone(), vec![("local".parse()?, profile.at(10..17))], profile.at(1..8))],
//!     overrides: vec![],
//! };
//! let process: BTreeMap<EnvKey, String> = BTreeMap::new();
//! let pool = pool::resolve(&selection, &pool::Sources {
//!     components: &[redis],
//!     unreadable: &BTreeSet::new(),
//!     secrets: &[],
//!     secrets_file: "config/environments/secrets/local.env",
//!     process: &process,
//!     interfaces: &[],
//!     declared_secret: &BTreeSet::new(),
//!     wanted: &BTreeSet::new(),
//! }).unwrap();
//!
//! let need = take::Need { key: "REDIS_URL".parse()?, required: true, secret: false, claimant: "machine".into() };
//! let environment = take::take(&pool, &[], &[need], &BTreeMap::new()).unwrap();
//! assert_eq!(environment.public_file(""), "REDIS_URL=redis://redis:6379/0\n");
//! # Ok::<(), spec::ids::NameError>(())
//! ```

pub mod codes;
pub mod component;
pub mod environment;
pub mod interface;
pub mod pool;
pub mod take;

#[cfg(test)]
mod canaries;
#[cfg(test)]
mod testing;
