//! Which build stage a set of services needs.

use std::collections::{BTreeMap, BTreeSet};

use spec::ids::{ServiceName, StageName};
use spec::model::{BuildStage, Cause, Workload};

/// The smallest stage that provides all of `wanted`: the one with the fewest services, then with the fewest stages
/// below it, then the first by name. `None` when no stage provides them all.
pub(crate) fn smallest<'a>(
    stages: &'a BTreeMap<StageName, BuildStage>,
    wanted: &BTreeSet<ServiceName>,
) -> Option<&'a BuildStage> {
    (stages.values())
        .filter(|it| wanted.is_subset(&it.provides))
        .min_by_key(|it| (it.provides.len(), below(stages, &it.name).len(), &it.name))
}

/// The stages that a stage starts from, nearest first; ends where a stage comes again or is not there.
pub(crate) fn below<'a>(
    stages: &'a BTreeMap<StageName, BuildStage>,
    name: &StageName,
) -> Vec<&'a BuildStage> {
    let mut chain: Vec<&BuildStage> = Vec::new();
    let mut next = stages.get(name).and_then(|it| it.from.as_ref());
    while let Some(stage) = next.and_then(|it| stages.get(it)) {
        if stage.name == *name || chain.iter().any(|it| it.name == stage.name) {
            break;
        }
        chain.push(stage);
        next = stage.from.as_ref();
    }
    chain
}

/// Why the workload has its stage: each local service, and the entries that need it. Empty when the stage is the base
/// of all, which nothing forced.
pub fn stage_reasons(workload: &Workload) -> BTreeMap<&ServiceName, Vec<&Cause>> {
    let mut reasons: BTreeMap<&ServiceName, Vec<&Cause>> = BTreeMap::new();
    for demand in workload.demands.iter().filter(|it| it.service.local().is_some()) {
        reasons.entry(&demand.service.name).or_default().push(&demand.cause);
    }
    reasons
}
