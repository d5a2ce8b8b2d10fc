//! Looks a roster's entries up in the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spec::grammar::Entry;
use spec::ids::{EnvKey, ServiceName, StageName, WorkerName};
use spec::model::{Binding, BuildStage, Catalog, Cause, Demand, Hosting, ServiceType, Workload};
use spec::notes::{Code, Fault, Located, did_you_mean};
use spec::source::Place;

use crate::codes;
use crate::fault::join;
use crate::stage::smallest;

/// A workload, and what people should know about how its roster is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What is wanted of the machine.
    pub workload: Workload,
    /// The plan holds whatever these say.
    pub advice: Vec<Located<ResolveAdvice>>,
}

/// Why a roster that reads well is not a workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveFault {
    /// A name that the mapping does not have.
    #[error("no worker is named `{name}`")]
    UnknownWorker {
        /// The name.
        name: WorkerName,
        /// The worker that was probably meant.
        meant: Option<WorkerName>,
        /// Every worker.
        known: Vec<WorkerName>,
    },
    /// A third part that says otherwise than the mapping.
    #[error("`{name}` is bound to `{bound}` in the service mapping, not to `{said}`")]
    BindingContradicted {
        /// The worker.
        name: WorkerName,
        /// What the roster says.
        said: Binding,
        /// What the mapping says.
        bound: Binding,
        /// The entry as it should be.
        rewrite: String,
    },
    /// A value that cannot be the base of a port.
    #[error("`{key}` is {found}, which is not a port")]
    NotAPort {
        /// The variable.
        key: EnvKey,
        /// What it is: ready to show.
        found: String,
        /// The port that it would replace.
        base: u16,
    },
    /// A build stage that the mapping does not have.
    #[error("no build stage is named `{name}`")]
    UnknownStage {
        /// The name.
        name: StageName,
        /// Every stage.
        known: Vec<StageName>,
    },
    /// A build stage that is asked for and lacks a service of the roster.
    #[error("the build stage `{name}` does not provide {}", join(lacks, ", "))]
    StageLacks {
        /// The stage.
        name: StageName,
        /// The services that it lacks.
        lacks: Vec<ServiceName>,
    },
    /// Services that no one image has.
    #[error("no build stage has all the services of the roster: {}", told(.0))]
    Incompatible(
        /// The parts of the roster that do go together: at least two.
        Vec<Want>,
    ),
}

/// Entries that go together, and the stage that they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The smallest stage that provides their services.
    pub stage: StageName,
    /// Its entries whose service runs on the machine, and those services.
    pub needs: Vec<(String, ServiceName)>,
    /// A roster of their own.
    pub roster: String,
}

fn told(wants: &[Want]) -> String {
    let told = wants.iter().map(|Want { stage, needs, .. }| {
        let entries: Vec<_> =
            needs.iter().map(|(entry, service)| format!("`{entry}` (service `{service}`)")).collect();
        let verb = if needs.len() == 1 { "needs" } else { "need" };
        format!("{} {verb} the stage `{stage}`", entries.join(" and "))
    });
    told.collect::<Vec<_>>().join("; ")
}

impl Fault for ResolveFault {
    fn code(&self) -> Code {
        match self {
            Self::UnknownWorker { .. } => codes::UNKNOWN_WORKER,
            Self::BindingContradicted { .. } => codes::BINDING_CONTRADICTED,
            Self::NotAPort { .. } => codes::NOT_A_PORT,
            Self::UnknownStage { .. } | Self::StageLacks { .. } => codes::TARGET,
            Self::Incompatible(_) => codes::INCOMPATIBLE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::UnknownWorker { meant, known, .. } => {
                let question = meant.as_ref().map(|it| format!("did you mean `{it}`? ")).unwrap_or_default();
                format!("{question}the service mapping has: {}", join(known, ", "))
            }
            Self::BindingContradicted { rewrite, .. } => {
                format!("write `{rewrite}`; the service mapping knows the binding")
            }
            Self::NotAPort { base, .. } => {
                format!("set it to a number from 1 to 65535, or unset it for {base}")
            }
            Self::UnknownStage { name, known } => {
                match did_you_mean(name.as_str(), known.iter().map(StageName::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the service mapping has: {}", join(known, ", ")),
                }
            }
            Self::StageLacks { .. } => {
                "remove `build_target`: the smallest stage that provides all is found".into()
            }
            Self::Incompatible(wants) => {
                let rosters: Vec<_> = wants.iter().map(|it| &it.roster).collect();
                format!("split the roster over {} machines: {}", wants.len(), join(&rosters, " and "))
            }
        }
    }

    fn label(&self) -> String {
        match self {
            Self::UnknownWorker { .. } | Self::UnknownStage { .. } => "not in the service mapping",
            Self::BindingContradicted { .. } => "contradicts the service mapping",
            Self::NotAPort { .. } => "not a port",
            Self::StageLacks { .. } => "lacks a service of the roster",
            Self::Incompatible(_) => "does not go with the entries before it",
        }
        .to_owned()
    }
}

/// What a roster could say better.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveAdvice {
    /// The old form.
    #[error("the third part `{binding}` says nothing new")]
    ThirdPart {
        /// What it says, as the mapping does.
        binding: Binding,
        /// The entry without it.
        rewrite: String,
    },
}

impl Fault for ResolveAdvice {
    fn code(&self) -> Code {
        match self {
            Self::ThirdPart { .. } => codes::THIRD_PART,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::ThirdPart { rewrite, .. } => format!("write `{rewrite}`"),
        }
    }

    fn label(&self) -> String {
        match self {
            Self::ThirdPart { .. } => "the old form".to_owned(),
        }
    }
}

/// Why a roster is not a workload, and what of it was understood nevertheless, so that later steps can report their
/// faults in the same run.
#[derive(Clone, Debug, PartialEq)]
pub struct Unresolved {
    /// Every fault, in the order of the roster; that of the stage last.
    pub faults: Vec<Located<ResolveFault>>,
    /// The entries without a fault of their own; `None` when there are none, or no stage provides them.
    pub understood: Option<Workload>,
    /// What the roster could say better.
    pub advice: Vec<Located<ResolveAdvice>>,
}

/// Finds what each entry means, with the port bases that `variable` moves, and the build stage for them all: `target`
/// if it is given, else the smallest. `variable` gives a variable's value and who set it.
pub fn resolve(
    entries: &[Entry],
    catalog: &Catalog,
    variable: &dyn Fn(&EnvKey) -> Option<(String, Place)>,
    target: Option<&(StageName, Place)>,
) -> Result<Resolved, Box<Unresolved>> {
    let (mut faults, mut advice, mut demands) = (Vec::new(), Vec::new(), Vec::new());
    let mut services: BTreeMap<&ServiceName, Arc<ServiceType>> = BTreeMap::new();
    for entry in entries {
        let Some(worker) = catalog.workers.get(&entry.name) else {
            let known: Vec<WorkerName> = catalog.workers.keys().cloned().collect();
            let meant = did_you_mean(entry.name.as_str(), known.iter().map(WorkerName::as_str));
            let meant = known.iter().find(|it| Some(it.as_str()) == meant).cloned();
            let fault = ResolveFault::UnknownWorker { name: entry.name.clone(), meant, known };
            faults.push(Located::at(entry.name_place.clone(), fault));
            continue;
        };
        let service = services
            .entry(&worker.service)
            .or_insert_with(|| with_bases(&catalog.services[&worker.service], variable, &mut faults));
        if let Some((said, place)) = &entry.legacy_binding {
            let (said, bound, rewrite) = (*said, service.binding(), entry.to_string());
            if said == bound {
                advice.push(Located::at(place.clone(), ResolveAdvice::ThirdPart { binding: bound, rewrite }));
            } else {
                let name = entry.name.clone();
                let fault = ResolveFault::BindingContradicted { name, said, bound, rewrite };
                faults.push(Located::at(place.clone(), fault));
            }
        }
        demands.push(Demand {
            worker: worker.clone(),
            service: service.clone(),
            count: entry.count,
            cause: Arc::new(Cause { entry: entry.to_string(), place: entry.place.clone() }),
        });
    }
    let stage = match target {
        Some((name, place)) => target_of(&demands, catalog, name, place),
        None => stage_of(&demands, catalog),
    };
    let stage = stage.map_err(|fault| faults.push(fault)).ok().cloned();
    let understood = stage.filter(|_| !demands.is_empty()).map(|stage| Workload { demands, stage });
    match understood {
        Some(workload) if faults.is_empty() => Ok(Resolved { workload, advice }),
        understood => Err(Box::new(Unresolved { faults, understood, advice })),
    }
}

/// The stage that is asked for, if it provides the services of all demands.
fn target_of<'a>(
    demands: &[Demand],
    catalog: &'a Catalog,
    name: &StageName,
    place: &Place,
) -> Result<&'a BuildStage, Located<ResolveFault>> {
    let Some(stage) = catalog.stages.get(name) else {
        let known = catalog.stages.keys().cloned().collect();
        return Err(Located::at(place.clone(), ResolveFault::UnknownStage { name: name.clone(), known }));
    };
    let local = demands.iter().filter(|it| it.service.local().is_some()).map(|it| &it.service.name);
    let lacks: BTreeSet<ServiceName> = local.filter(|it| !stage.provides.contains(*it)).cloned().collect();
    if lacks.is_empty() {
        return Ok(stage);
    }
    let fault = ResolveFault::StageLacks { name: name.clone(), lacks: lacks.into_iter().collect() };
    Err(Located::at(place.clone(), fault))
}

/// The service with the bases that its variables say.
fn with_bases(
    service: &ServiceType,
    variable: &dyn Fn(&EnvKey) -> Option<(String, Place)>,
    faults: &mut Vec<Located<ResolveFault>>,
) -> Arc<ServiceType> {
    let mut service = service.clone();
    if let Hosting::Local(local) = &mut service.hosting {
        for rule in &mut local.ports {
            let Some(key) = &rule.variable else { continue };
            let Some((value, place)) = variable(key) else { continue };
            // `parse` alone would take `+8188`.
            let digits = Some(&value).filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
            if let Some(base) = digits.and_then(|it| it.parse().ok()).filter(|it| *it > 0) {
                rule.base = base;
                rule.base_from = place;
            } else {
                let found = if value.is_empty() { "empty".to_owned() } else { place.source.quote(&value) };
                let fault = ResolveFault::NotAPort { key: key.clone(), found, base: rule.base };
                faults.push(Located::at(place, fault));
            }
        }
    }
    Arc::new(service)
}

/// The smallest stage for all demands, or the groups of demands that do have one, at the first that left its group.
fn stage_of<'a>(demands: &[Demand], catalog: &'a Catalog) -> Result<&'a BuildStage, Located<ResolveFault>> {
    let local = |demand: &Demand| demand.service.local().is_some().then(|| demand.service.name.clone());
    let wanted = demands.iter().filter_map(local).collect();
    if let Some(stage) = smallest(&catalog.stages, &wanted) {
        return Ok(stage);
    }
    // First fit in the order of the roster. Few stages and services, so that no better packing is missed in practice;
    // whatever the groups, each of them does have a stage.
    let mut groups: Vec<(BTreeSet<ServiceName>, Vec<&Demand>)> = Vec::new();
    let mut place = None;
    for demand in demands {
        let service = local(demand);
        let fits = groups.iter_mut().find(|(services, _)| {
            let together: BTreeSet<ServiceName> = services.iter().chain(&service).cloned().collect();
            smallest(&catalog.stages, &together).is_some()
        });
        if let Some((services, members)) = fits {
            services.extend(service);
            members.push(demand);
        } else {
            if !groups.is_empty() {
                place.get_or_insert_with(|| demand.cause.place.clone());
            }
            groups.push((service.into_iter().collect(), vec![demand]));
        }
    }
    let want = |(services, members): (BTreeSet<ServiceName>, Vec<&Demand>)| {
        let needs = members.iter().filter_map(|it| Some((it.cause.entry.clone(), local(it)?))).collect();
        let entries: Vec<&str> = members.iter().map(|it| it.cause.entry.as_str()).collect();
        Some(Want {
            stage: smallest(&catalog.stages, &services)?.name.clone(),
            needs,
            roster: entries.join(","),
        })
    };
    let wants = groups.into_iter().filter_map(want).collect();
    Err(Located { fault: ResolveFault::Incompatible(wants), place })
}
