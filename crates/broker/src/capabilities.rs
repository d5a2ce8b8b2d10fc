//! What a worker has, and whether that is what a job requires.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use spec::ids::{JobType, WorkerId};

use crate::ids::{CustomerId, WorkflowId};
use crate::requirements::{HARDWARE, Hardware, Requirements, Test};
use crate::signature::{Digest, Signature, digest};
use crate::value::{Capability, Number};

/// How many of a kind are named where capabilities are told in a line.
const NAMED: usize = 3;

/// The models that a worker has for one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Models {
    /// These.
    These(BTreeSet<String>),
    /// `"any"`: whatever the job asks for, as a remote service takes it.
    Any(AnyModel),
}

/// The word `any`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnyModel {
    /// `"any"`
    Any,
}

/// What a worker has. Equal capabilities make one worker class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// The values of `service_required` that it takes.
    pub services: BTreeSet<JobType>,
    /// How much it has. What is not said, it has not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hardware: BTreeMap<Hardware, Number>,
    /// Its models, by service.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<JobType, Models>,
    /// Its components: custom nodes, plug-ins.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub components: BTreeSet<String>,
    /// Jobs of different customers never share it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub isolated: bool,
    /// Takes jobs of these customers only, and none without a customer. `None`: of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_customers: Option<BTreeSet<CustomerId>>,
    /// Takes no jobs of these.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub denied_customers: BTreeSet<CustomerId>,
    /// Takes only jobs of this workflow that are routed by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowId>,
    /// Anything else, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub has: BTreeMap<String, Capability>,
}

/// One thing that a job requires and a worker has not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// Another service.
    #[error("it does not take `{0}`")]
    Service(JobType),
    /// A worker for other customers.
    #[error("it does not take jobs of {}", .0.as_ref().map_or("no customer".into(), |it| format!("customer `{it}`")))]
    Customer(Option<CustomerId>),
    /// A worker for one workflow.
    #[error("it takes only jobs routed to workflow `{0}`")]
    Workflow(WorkflowId),
    /// A part of the requirements, as the document that asks for it alone.
    #[error("it does not satisfy {0}")]
    Part(Requirements),
}

impl Capabilities {
    /// The class of all workers with these capabilities.
    pub fn class(&self) -> ClassId {
        ClassId(digest(self))
    }

    /// Whether a worker with these capabilities may run jobs of this signature.
    pub fn satisfy(&self, signature: &Signature) -> bool {
        self.service(signature)
            && self.customer(signature)
            && self.workflow(signature)
            && self.hold(&signature.service, &signature.requirements)
    }

    /// Everything because of which it may not; empty if it may.
    pub fn unmet(&self, signature: &Signature) -> Vec<Unmet> {
        let mut unmet = Vec::new();
        if !self.service(signature) {
            unmet.push(Unmet::Service(signature.service.clone()));
        }
        if !self.customer(signature) {
            unmet.push(Unmet::Customer(signature.customer.clone()));
        }
        if let Some(workflow) = self.workflow.as_ref().filter(|_| !self.workflow(signature)) {
            unmet.push(Unmet::Workflow(workflow.clone()));
        }
        let parts = signature.requirements.parts().into_iter();
        unmet.extend(parts.filter(|it| !self.hold(&signature.service, it)).map(Unmet::Part));
        unmet
    }

    fn service(&self, signature: &Signature) -> bool {
        self.services.contains(&signature.service)
    }

    fn customer(&self, signature: &Signature) -> bool {
        let customer = signature.customer.as_ref();
        let allowed = |them: &BTreeSet<_>| customer.is_some_and(|it| them.contains(it));
        self.allowed_customers.as_ref().is_none_or(allowed)
            && customer.is_none_or(|it| !self.denied_customers.contains(it))
    }

    fn workflow(&self, signature: &Signature) -> bool {
        self.workflow.is_none() || self.workflow == signature.workflow
    }

    fn hold(&self, service: &JobType, wanted: &Requirements) -> bool {
        let has_model = |model: &String| match self.models.get(service) {
            Some(Models::Any(_)) => true,
            Some(Models::These(them)) => them.contains(model),
            None => false,
        };
        wanted.hardware.iter().all(|(part, least)| self.hardware.get(part).is_some_and(|it| it >= least))
            && wanted.models.iter().all(has_model)
            && wanted.components.is_subset(&self.components)
            && (!wanted.isolated || self.isolated)
            && wanted.has.iter().all(|(name, test)| self.has.get(name).is_some_and(|it| passes(it, test)))
            && wanted.all.iter().all(|it| self.hold(service, it))
            && (wanted.any.is_empty() || wanted.any.iter().any(|it| self.hold(service, it)))
            && !wanted.not.iter().any(|it| self.hold(service, it))
    }
}

fn passes(has: &Capability, test: &Test) -> bool {
    match test {
        Test::Is(wanted) => has.holds(wanted),
        Test::AtLeast(least) => has.at_least(*least),
        Test::All(them) => them.iter().all(|it| has.holds(it)),
        Test::Any(them) => them.iter().any(|it| has.holds(it)),
    }
}

/// Some of them by name, if there are any.
fn named(kind: &str, them: impl IntoIterator<Item: fmt::Display>) -> Option<String> {
    let them: Vec<_> = them.into_iter().map(|it| it.to_string()).collect();
    let more = them.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let some = them[..them.len().min(NAMED)].join(", ");
    (!some.is_empty()).then(|| format!("{kind}{some}{more}"))
}

impl fmt::Display for Capabilities {
    /// What it can do, in a line: `comfyui; gpu_memory_gb 24; models flux, sdxl`. Of many of a kind the first are named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![named("", &self.services).unwrap_or_else(|| "no service".into())];
        let measured = HARDWARE.iter().filter_map(|(name, it)| Some((name, self.hardware.get(it)?)));
        parts.extend(measured.map(|(name, number)| format!("{name} {number}")));
        let models = |them: &Models| match them {
            Models::Any(_) => Some("any model".to_owned()),
            Models::These(them) => named("models ", them),
        };
        let of = |(service, them): (_, &Models)| {
            let whose = if self.models.len() > 1 { format!(" of {service}") } else { String::new() };
            Some(models(them)? + &whose)
        };
        parts.extend(self.models.iter().filter_map(of));
        parts.extend(named("components ", &self.components));
        parts.extend(self.isolated.then(|| "isolated".to_owned()));
        parts.extend(self.allowed_customers.as_ref().and_then(|it| named("only for ", it)));
        parts.extend(named("not for ", &self.denied_customers));
        parts.extend(self.workflow.as_ref().map(|it| format!("only of workflow {it}")));
        parts.extend(named("", self.has.keys()));
        f.write_str(&parts.join("; "))
    }
}

impl Requirements {
    /// The parts that each have to hold, in the order of the fields: the whole holds exactly if all of them do.
    pub(crate) fn parts(&self) -> Vec<Requirements> {
        let none = Requirements::none;
        let mut parts = Vec::new();
        let own = |it: &_| [it].into_iter().cloned().collect();
        parts.extend(self.hardware.iter().map(|(k, v)| Self { hardware: [(*k, *v)].into(), ..none() }));
        parts.extend(self.models.iter().map(|it| Self { models: [it.clone()].into(), ..none() }));
        parts.extend(self.components.iter().map(|it| Self { components: [it.clone()].into(), ..none() }));
        parts.extend(self.isolated.then(|| Self { isolated: true, ..none() }));
        parts.extend(self.has.iter().map(|(k, v)| Self { has: [(k.clone(), v.clone())].into(), ..none() }));
        parts.extend(self.all.iter().flat_map(Self::parts));
        parts.extend((!self.any.is_empty()).then(|| Self { any: self.any.clone(), ..none() }));
        parts.extend(self.not.iter().map(|it| Self { not: own(it), ..none() }));
        parts
    }
}

/// A worker class: the hash of its capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClassId(pub(crate) Digest);

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A worker as the broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its id, unique among those that run.
    pub id: WorkerId,
    capabilities: Capabilities,
    class: ClassId,
}

impl Worker {
    /// A worker with these capabilities.
    pub fn new(id: WorkerId, capabilities: Capabilities) -> Self {
        let class = capabilities.class();
        Self { id, capabilities, class }
    }

    /// What it has.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Its class.
    pub fn class(&self) -> ClassId {
        self.class
    }
}
