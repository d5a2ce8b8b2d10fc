//! Where services listen, and where workers were told to look for them.

use std::collections::BTreeMap;

use spec::ids::ServiceName;
use spec::source::Place;

use super::app::App;
use crate::codes::PORTS;
use crate::draft::Draft;
use crate::offer::Offer;
use crate::report::Report;
use crate::roster::translated;

/// A port and whose it is.
struct Seen {
    app: String,
    instance: u16,
    port: u16,
    place: Place,
}

/// The ports of each service: where its instances listen, and what workers were told.
#[derive(Default)]
pub(super) struct Ports(BTreeMap<ServiceName, (Vec<Seen>, Vec<Seen>)>);

impl Ports {
    /// Notes where an instance of a service listens.
    pub(super) fn listens(&mut self, app: &App<'_>, service: &ServiceName) {
        let own = app.roster("ports").and_then(|it| it.members().first()?.value.scalar());
        let said = || app.argument("--port").map(str::to_owned).or_else(|| app.variable("PORT"));
        if let Some(seen) = seen(app, if app.own { own } else { said() }) {
            self.0.entry(service.clone()).or_default().0.push(seen);
        }
    }

    /// Notes where a worker was told that its service is.
    pub(super) fn told(&mut self, app: &App<'_>, kind: &str, offer: &Offer) {
        let Some((_, worker)) = offer.workers.iter().find(|(name, _)| name.as_str() == translated(kind))
        else {
            return;
        };
        let variable = format!("{}_PORT", worker.service.as_str().to_uppercase().replace('-', "_"));
        let said = app.argument("--service-port").map(str::to_owned).or_else(|| app.variable(&variable));
        if let Some(seen) = seen(app, said.filter(|_| !app.own)) {
            self.0.entry(worker.service.clone()).or_default().1.push(seen);
        }
    }

    /// The base port of each service whose ports a base and an increment make; the others are told.
    pub(super) fn settle(self, draft: &mut Draft, offer: &Offer, report: &mut Report) {
        for (service, (listens, told)) in self.0 {
            let Some(rule) = offer.services.get(&service).and_then(|it| it.port.as_ref()) else { continue };
            let Some(variable) = rule.variable.clone() else { continue };
            // Of a service that the file does not start, what workers were told is all there is.
            let all = if listens.is_empty() { &told } else { &listens };
            let base = |it: &Seen| it.port.checked_sub(rule.increment.checked_mul(it.instance)?);
            let Some(first) = all.first() else { continue };
            let form = format!("{} + {} × instance", base(first).unwrap_or(first.port), rule.increment);
            let off = |it: &&Seen| base(it).is_none() || base(it) != base(first);
            let stray: Vec<_> = all.iter().filter(off).collect();
            for it in &stray {
                let why = format!("port {} is not {form}", it.port);
                let fix = format!("say `{variable}`, or another `increment` in the mapping");
                report.decide(PORTS, format!("port of app `{}`", it.app), why, fix, &it.place);
            }
            for it in told.iter().filter(|it| all.iter().all(|other| other.port != it.port)) {
                let why = format!("it was told port {}, where no instance of `{service}` listens", it.port);
                let fix =
                    "workers are told the port of their service; nothing is to be kept, if that one is right";
                report.decide(PORTS, format!("port of app `{}`", it.app), why, fix, &it.place);
            }
            if let Some(port) = base(first).filter(|_| stray.is_empty()) {
                draft.ports.insert(variable, (port, first.place.clone()));
            }
        }
    }
}

fn seen(app: &App<'_>, port: Option<String>) -> Option<Seen> {
    let port = port?.trim().parse().ok()?;
    Some(Seen { app: app.name.clone(), instance: app.instance, port, place: app.place.clone() })
}
