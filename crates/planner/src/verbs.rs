//! The planning verbs, one module each.

pub(crate) mod check;
pub(crate) mod compose_profile;
pub(crate) mod diff;
pub(crate) mod env_build;
pub(crate) mod explain;
pub(crate) mod manual;
pub(crate) mod plan;
pub(crate) mod rollback;
