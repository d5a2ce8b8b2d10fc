//! Ecosystems: what `pm2 start` is given, what `pm2 jlist` prints, what `pm2 save` keeps, and Roster's own.

mod app;
mod fields;
mod ports;

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use spec::grammar::{Count, MAX_COUNT};
use spec::notes::{Finding, Located, errors};
use spec::source::{Place, SourceText};

use self::app::{App, Role};
use self::ports::Ports;
use crate::codes;
use crate::draft::{Draft, Form, Said, Worker};
use crate::fault::ImportFault;
use crate::json;
use crate::offer::Offer;
use crate::report::Report;
use crate::tree::{Node, Value};
use crate::yaml;

/// Reads an ecosystem into a draft; `None` when it is none.
pub(crate) fn read(
    source: &SourceText,
    offer: &Offer,
    report: &mut Report,
    findings: &mut Vec<Finding>,
) -> Option<Draft> {
    let yaml = [".yml", ".yaml"].iter().any(|it| source.name().ends_with(it));
    let root = if yaml { yaml::read(source).map_err(errors) } else { json::read(source).map_err(errors) };
    let root = root.map_err(|faults| findings.extend(faults)).ok()?;
    let form = |place: &Place, what: &str, expected| {
        let fault = ImportFault::Form { what: what.to_owned(), expected };
        Finding::error(Located::at(place.clone(), fault))
    };
    let nodes = match (&root.value, root.get("apps")) {
        (Value::List(items), _) | (_, Some(Node { value: Value::List(items), .. })) => items.as_slice(),
        (Value::Map(_), Some(one)) if matches!(one.value, Value::Map(_)) => std::slice::from_ref(one),
        (Value::Map(_), None) if root.get("script").is_some() => std::slice::from_ref(&root),
        _ => {
            findings.push(form(&root.place, "the document", "`{\"apps\": […]}`, or a list of apps"));
            return None;
        }
    };
    let before = findings.len();
    let mut apps: Vec<App<'_>> = Vec::new();
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    for node in nodes {
        match App::read(node, offer) {
            Ok(app) => {
                // Of what runs, each instance is listed under the name of all.
                if !app.running
                    && let Some(first) = names.insert(app.name.clone(), app.place.clone())
                {
                    let first_line = first.line_column().0;
                    let fault = ImportFault::Twice { key: app.name.clone(), first_line };
                    findings.push(Finding::error(Located::at(app.place.clone(), fault)));
                }
                apps.push(app);
            }
            Err(wrong) => {
                findings.extend(wrong.iter().map(|(place, what, expected)| form(place, what, expected)));
            }
        }
    }
    if findings.len() > before {
        return None;
    }
    if !matches!(root.value, Value::List(_)) && root.get("apps").is_some() {
        fields::of_document(&root, report);
    }
    Some(draft(source, &apps, offer, report))
}

fn draft(source: &SourceText, apps: &[App<'_>], offer: &Offer, report: &mut Report) -> Draft {
    let mut draft = Draft::new(source.whole());
    let mut ports = Ports::default();
    for app in apps {
        let name = format!("app `{}`", app.name);
        match &app.role {
            Role::Health => {
                report.dropped(
                    codes::UNNEEDED,
                    name,
                    "`roster run` answers on the health port itself",
                    &app.place,
                );
                continue;
            }
            Role::Foreign => {
                let why = "the mapping knows no worker or service of that name";
                let fix = "add a service to the mapping, or run it beside the machine";
                report.decide(codes::FOREIGN, name, why, fix, &app.place);
                continue;
            }
            Role::Worker { kind, each } => {
                let count = count(app, *each, report);
                let to = format!("worker of `{kind}`");
                report.renamed(name, to, "", &app.place);
                push(&mut draft.workers, kind, count, &app.place);
                ports.told(app, kind, offer);
            }
            Role::Service { service } => {
                if app.instances.as_ref().is_some_and(|(it, _)| !matches!(it.as_str(), "1" | "")) {
                    let why = "a service has one process on a GPU, or as many as the mapping says";
                    report.decide(
                        codes::SETTING,
                        format!("`instances` of {name}"),
                        why,
                        "see `instances_per_gpu`",
                        &app.place,
                    );
                }
                report.renamed(name, format!("service `{service}`"), "", &app.place);
                ports.listens(app, service);
            }
        }
        if let Some(gpu) = app.gpu {
            draft.on_gpu(gpu);
        }
        fields::of_app(app, report);
        for (key, value, place) in app.variables(report) {
            let form = if app.own { Form::Literal } else { Form::Written };
            draft.say(key, Said { value, place, secret: false, form });
        }
    }
    idle(apps, offer, report);
    ports.settle(&mut draft, offer, report);
    draft
}

/// Services that no worker of the file works on.
fn idle(apps: &[App<'_>], offer: &Offer, report: &mut Report) {
    let worked = |service: &str| {
        apps.iter().any(|it| match &it.role {
            Role::Worker { kind, .. } => {
                let kind = crate::roster::translated(kind);
                offer.workers.iter().any(|(name, it)| name.as_str() == kind && it.service.as_str() == service)
            }
            _ => false,
        })
    };
    for app in apps {
        if let Role::Service { service } = &app.role
            && !worked(service.as_str())
        {
            let why = "no worker of the file works on it, and a service is started for its workers";
            let fix = "add a worker of it to the roster with `--spec`, or leave it away";
            report.decide(codes::SETTING, format!("service `{service}`"), why, fix, &app.place);
        }
    }
}

/// How many workers an app is.
fn count(app: &App<'_>, each: u16, report: &mut Report) -> Count {
    let some = |number: u16| NonZeroU16::new(number.min(MAX_COUNT)).map_or(Count::Auto, Count::Exactly);
    let Some((instances, place)) = &app.instances else { return some(each) };
    if let Ok(number @ 1..) = instances.parse::<i64>() {
        return some(u16::try_from(number).unwrap_or(MAX_COUNT).saturating_mul(each));
    }
    let what = format!("`instances` of app `{}`", app.name);
    let why = format!("PM2 takes `{instances}` for a number of processor cores; `auto` is as many as fit");
    let fix = "keep `auto`, or write the number that is meant";
    report.decide_about(codes::SETTING, what, "`auto`", (why, fix), place);
    Count::Auto
}

/// Adds workers; those of one kind are counted together.
fn push(workers: &mut Vec<Worker>, kind: &str, count: Count, place: &Place) {
    let Some(had) = workers.iter_mut().find(|it| it.name == kind) else {
        return workers.push(Worker { name: kind.to_owned(), count, place: place.clone() });
    };
    had.count = match (had.count, count) {
        (Count::Exactly(one), Count::Exactly(more)) => {
            Count::Exactly(one.saturating_add(more.get()).min(NonZeroU16::new(MAX_COUNT).unwrap_or(one)))
        }
        _ => Count::Auto,
    };
}
