//! `explain`: why a process, port, variable, profile or image is what it is, and what an error code means.

use std::fmt::Write as _;

use env_builder::environment::Provenance;
use env_builder::pool::Pool;
use schemars::JsonSchema;
use serde::Serialize;
use spec::ids::EnvKey;
use spec::model::{Binding, ServiceInstance, WorkerInstance};
use spec::notes::{Code, Exit, Fault, Finding, Located, did_you_mean};

use crate::answer::Told;
use crate::cli::Flags;
use crate::pipeline::{self, Identity, Outcome, Planned};
use crate::redact::Redactor;
use crate::request::Request;
use crate::run::Run;

/// An explanation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explanation {
    /// `code`, `service`, `worker`, `port`, `variable`, `profile` or `image`.
    pub kind: &'static str,
    /// What was asked about.
    pub name: String,
    /// The reasons, one a line.
    pub lines: Vec<String>,
}

/// What an error code means; `None` when the text is no code.
pub(crate) fn code(what: &str, codes: &[&[Code]]) -> Option<Told<Explanation>> {
    let code = crate::codes::all(codes).into_iter().find(|it| it.id.eq_ignore_ascii_case(what))?;
    let Code { id, title, exit, explanation } = code;
    let mut lines = vec![format!("{id}: {title}"), String::new()];
    lines.extend(explanation.lines().map(ToOwned::to_owned));
    lines.extend([String::new(), format!("Exit code {} when it is an error.", exit.code())]);
    Some(told("code", id, lines, vec![], Redactor::default()))
}

pub(crate) fn explain(run: &Run<'_>, what: &str, flags: &Flags) -> Told<Explanation> {
    let failed = |findings| Told::failed(findings, Redactor::default());
    let setup = match run.setup() {
        Ok(setup) => setup,
        Err(findings) => return failed(findings),
    };
    // A profile can be explained without being chosen as well.
    let as_profile = run.layout.profiles().into_iter().find(|it| it.as_str() == what);
    let request = match &as_profile {
        Some(profile) => Request::of(flags, &run.world.directory)
            .map(|it| Request { profile: Some(profile.clone()), ..it }),
        None => run.request(flags),
    };
    let request = match request {
        Ok(request) => request,
        Err(findings) => return failed(findings),
    };
    let outcome = pipeline::plan(&setup, &request, &Identity::Default, true);
    let Outcome { planned, pool, findings, redactor } = outcome;
    let key = what.parse::<EnvKey>().ok();
    // A variable is explained even when there is no plan: that may be the very reason to ask.
    if let (Some(key), Some(pool)) = (&key, &pool) {
        let lines = variable(key, pool, planned.as_ref());
        if !lines.is_empty() {
            return told("variable", what, lines, vec![], redactor);
        }
        // Nothing sets it: then what is missing because of that explains it.
        let named = format!("`{key}`");
        let about: Vec<_> = findings.iter().filter(|it| it.message.contains(&named)).cloned().collect();
        if !about.is_empty() {
            return Told::failed(about, redactor);
        }
    }
    let Some(planned) = planned else { return Told::failed(findings, redactor) };
    let plan = &planned.plan;
    if as_profile.is_some() {
        return told("profile", what, profile(&planned), vec![], redactor);
    }
    if what == "image" {
        return told("image", what, image(&planned), vec![], redactor);
    }
    if let Some(it) = plan.services().iter().find(|it| it.name.as_str() == what) {
        return told("service", what, service(&planned, it), vec![], redactor);
    }
    if let Some(it) = plan.workers().iter().find(|it| it.name.as_str() == what || it.id.as_str() == what) {
        return told("worker", what, worker(&planned, it), vec![], redactor);
    }
    if let Ok(number) = what.parse::<u16>() {
        return told("port", what, port(&planned, number), vec![], redactor);
    }
    let processes = plan.services().iter().map(|it| it.name.as_str());
    let mut names: Vec<&str> = processes.chain(plan.workers().iter().map(|it| it.name.as_str())).collect();
    let variables: Vec<&str> = planned.document.environment.public.iter().map(String::as_str).collect();
    names.extend(variables);
    let fault = Unknown { what: what.to_owned(), meant: did_you_mean(what, names).map(ToOwned::to_owned) };
    Told::failed(vec![Finding::error(Located::nowhere(fault))], redactor)
}

fn told(
    kind: &'static str,
    name: &str,
    lines: Vec<String>,
    findings: Vec<Finding>,
    redactor: Redactor,
) -> Told<Explanation> {
    let out = lines.iter().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "{line}");
        out
    });
    let result = Some(Explanation { kind, name: name.to_owned(), lines });
    Told { result, out, talk: String::new(), exit: Exit::Ok, findings, redactor }
}

fn service(planned: &Planned, it: &ServiceInstance) -> Vec<String> {
    let plan = &planned.plan;
    let mut lines =
        vec![format!("{} runs the service `{}`: {}", it.name, it.service.name, it.service.description)];
    match plan.device_of(it) {
        Some(device) => {
            let part = planned.document.inventory.devices.iter().find(|part| part.name == device.label);
            let used = part.map_or(0, |it| it.vram_used_mib);
            lines.push(format!(
                "on {} ({}) because the mapping binds it to `gpu`; the plan gives out {used} of {} MiB there",
                device.label, device.identity, device.vram_mib
            ));
        }
        None => lines.push("on the processor because the mapping binds it to `cpu`".into()),
    }
    if let Some(local) = it.service.local() {
        for rule in &local.ports {
            let port = it.ports.get(&rule.name).copied().unwrap_or_default();
            lines.push(format!(
                "port {port} ({}) = {} + {} x instance {} ({})",
                rule.name, rule.base, rule.increment, it.instance, rule.base_from
            ));
        }
    }
    let part = planned.document.services.iter().find(|part| part.name == it.name.as_str());
    for because in part.iter().flat_map(|it| &it.because) {
        lines.push(format!(
            "there because of {} ({}:{}:{})",
            because.entry, because.file, because.line, because.column
        ));
    }
    if let Some(part) = part {
        lines.push(format!("worked on by {}", part.workers.join(", ")));
    }
    lines
}

fn worker(planned: &Planned, it: &WorkerInstance) -> Vec<String> {
    let plan = &planned.plan;
    let service = plan.service_of(it);
    let accepts: Vec<&str> = it.worker.accepts.iter().map(spec::ids::JobType::as_str).collect();
    let mut lines = vec![
        format!(
            "{} ({}) is worker {} of type `{}`: {}",
            it.name, it.id, it.index, it.worker.name, it.worker.description
        ),
        format!("there because of {} ({})", it.cause.entry, it.cause.place),
        format!(
            "claims jobs that require {} and speaks through the connector `{}`",
            accepts.join(", "),
            it.worker.connector
        ),
    ];
    lines.push(match (plan.instance_of(it), service.binding()) {
        (Some(instance), _) => match plan.device_of(instance) {
            Some(device) => format!(
                "works on {}, which is on {}; workers go round the instances of their service",
                instance.name, device.label
            ),
            None => format!("works on {}, which is on the processor", instance.name),
        },
        (None, Binding::Gpu | Binding::Cpu | Binding::Shared) => {
            format!(
                "works on the service `{}`: {}; it is elsewhere, so there is no GPU: the mapping binds it to `{}`",
                service.name,
                service.description,
                service.binding()
            )
        }
    });
    for need in it.worker.env.iter().chain(&service.env) {
        let kind = if need.secret { "secret" } else { "variable" };
        let must = if need.required { "requires" } else { "may use" };
        let line = format!("{must} the {kind} {}", need.key);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn port(planned: &Planned, number: u16) -> Vec<String> {
    let plan = &planned.plan;
    if number == plan.health_port() {
        return vec![format!("{number} is the port of the health server of machine {}", plan.machine())];
    }
    let holder = plan.services().iter().find(|it| it.ports.values().any(|port| *port == number));
    match holder {
        Some(it) => service(planned, it),
        None => vec![format!("nothing of this plan listens on {number}")],
    }
}

fn image(planned: &Planned) -> Vec<String> {
    let stage = planned.plan.stage();
    let mut lines = vec![format!("the image is built from the stage `{}` of docker/Dockerfile", stage.name)];
    for service in planned.plan.local_services() {
        let entries = planned.document.services.iter().filter(|it| it.service == service.name.as_str());
        let entries: Vec<&str> = entries.flat_map(|it| &it.because).map(|it| it.entry.as_str()).collect();
        lines.push(format!(
            "it must hold the service `{}` because of {}",
            service.name,
            entries.first().unwrap_or(&"")
        ));
    }
    if planned.plan.local_services().is_empty() {
        lines.push("no service of the roster runs on the machine, so the smallest stage will do".into());
    }
    lines
}

fn profile(planned: &Planned) -> Vec<String> {
    let Some(profile) = &planned.profile else { return Vec::new() };
    let mut lines =
        vec![format!("{}: {}", profile.name, profile.document().description), "environment axis:".into()];
    for (component, sections, place) in profile.components() {
        let sections: Vec<&str> = sections.iter().map(|(name, _)| name.as_str()).collect();
        lines.push(format!("  {component} = {} ({place})", sections.join(", ")));
    }
    lines.push("worker axis:".into());
    let mut seen = Vec::new();
    for it in &planned.document.workers {
        if !seen.contains(&&it.because) {
            seen.push(&it.because);
            lines.push(format!(
                "  {} ({}:{}:{})",
                it.because.entry, it.because.file, it.because.line, it.because.column
            ));
        }
    }
    lines
}

/// The whole chain of a variable; nothing when nobody knows it.
fn variable(key: &EnvKey, pool: &Pool, planned: Option<&Planned>) -> Vec<String> {
    let environment = planned.and_then(|it| it.environment.as_ref());
    let mut lines = Vec::new();
    let provenance = environment.and_then(|it| it.provenance(key));
    let source = match provenance {
        Some(Provenance::Plan) => {
            let value = environment.and_then(|it| it.public().get(key)).cloned().unwrap_or_default();
            lines.push(format!("{key} = {value}, decided by the plan"));
            key
        }
        Some(Provenance::Pool { key: source, claimants }) => {
            lines.push(format!("{key} is taken by {}", claimants.join(", ")));
            if source != key {
                lines.push(format!("from the variable {source}"));
            }
            source
        }
        None => key,
    };
    let chain = pool.chain(source);
    if !chain.is_empty() {
        lines.push("every source that sets it, the one that wins first:".into());
    }
    for layer in chain {
        let place = layer.place.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
        let mark = if layer.wins { "=>" } else { "  " };
        lines.push(format!("  {mark} {}{place}: {}", layer.rank, layer.value));
    }
    lines
}

/// Nothing of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing in this plan is named `{what}`")]
struct Unknown {
    what: String,
    meant: Option<String>,
}

impl Fault for Unknown {
    fn code(&self) -> Code {
        UNKNOWN
    }
    fn fix(&self) -> String {
        match &self.meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                "ask about a process, port, variable, profile, `image` or error code; `plan` shows the names"
                    .into()
            }
        }
    }
}

/// Nothing of that name.
pub(crate) const UNKNOWN: Code = Code {
    id: "CLI002",
    title: "nothing of that name to explain",
    exit: Exit::Error,
    explanation: "`explain` knows the processes and ports of the chosen plan, every variable that a document or the \
plan sets, the profiles, `image`, and the error codes.\n\nBreaks it: `explain openai-worker-9` when the roster says \
`openai:4`.\n\nMend it: `plan` shows the names.",
};
