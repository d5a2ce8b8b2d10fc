//! The mapping's templates and probes, filled in for one process.

use std::collections::BTreeMap;
use std::convert::Infallible;

use spec::ids::{EnvKey, PortName, ProcessName};
use spec::model::{AllocationPlan, LocalService, Probe as AnyProbe, ServiceInstance, ServiceType};
use spec::template::{ExpandError, Template};

use crate::document::{Probe, Probes};
use crate::fault::EcosystemFault;

/// Fills in the templates of one service instance.
pub(crate) struct Words<'a> {
    pub(crate) name: &'a ProcessName,
    pub(crate) values: &'a BTreeMap<String, String>,
    pub(crate) faults: &'a mut Vec<EcosystemFault>,
}

impl Words<'_> {
    pub(crate) fn one(&mut self, template: &Template) -> String {
        let mut lookup = |key: &EnvKey| Ok::<_, Infallible>(self.values.get(key.as_str()).cloned());
        template.expand(&mut lookup).unwrap_or_else(|unknown| {
            for error in unknown {
                let (ExpandError::Missing { name, .. } | ExpandError::Asked { name, .. }) = error;
                self.faults.push(EcosystemFault::Placeholder { process: self.name.clone(), name });
            }
            String::new()
        })
    }

    pub(crate) fn all(&mut self, templates: &[Template]) -> Vec<String> {
        templates.iter().map(|it| self.one(it)).collect()
    }

    /// Texts that the mapping has checked to be templates.
    pub(crate) fn texts(&mut self, texts: &[String]) -> Vec<String> {
        texts.iter().filter_map(|it| Template::parse(it).ok()).map(|it| self.one(&it)).collect()
    }

    pub(crate) fn probes(&mut self, service: &ServiceType, ports: &BTreeMap<PortName, u16>) -> Probes {
        let all = &service.probes;
        let mut probe = |it: &AnyProbe| match it {
            AnyProbe::Process => Probe::Process,
            AnyProbe::File { path } => Probe::File { path: self.one(path) },
            AnyProbe::Exec { command } => Probe::Exec { command: self.all(command) },
            AnyProbe::Tcp { port } => Probe::Tcp { port: self.port(port, ports) },
            AnyProbe::Http { port, path } => {
                Probe::Http { url: format!("http://127.0.0.1:{}{path}", self.port(port, ports)) }
            }
            AnyProbe::Variables { set } => Probe::Variables { set: set.iter().cloned().collect() },
            AnyProbe::Url { variable, path } => Probe::Url { variable: variable.clone(), path: path.clone() },
        };
        Probes {
            install: probe(&all.install),
            startup: None,
            ready: probe(&all.run),
            health: probe(&all.health),
            live: None,
        }
    }

    fn port(&mut self, port: &PortName, ports: &BTreeMap<PortName, u16>) -> u16 {
        ports.get(port).copied().unwrap_or_else(|| {
            self.faults.push(EcosystemFault::NoPort { process: self.name.clone(), port: port.clone() });
            0
        })
    }
}

/// The values of the placeholders, as [`spec::model::Start`] lists them.
pub(crate) fn placeholders(
    plan: &AllocationPlan,
    instance: &ServiceInstance,
    local: &LocalService,
    workspace: &str,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from([
        ("INSTANCE".to_owned(), instance.instance.to_string()),
        ("NAME".to_owned(), instance.name.to_string()),
        ("LISTEN".to_owned(), plan.listen_address().to_owned()),
        ("WORKSPACE".to_owned(), workspace.to_owned()),
    ]);
    for rule in local.ports.iter().rev() {
        let Some(port) = instance.ports.get(&rule.name) else { continue };
        values.insert("PORT".to_owned(), port.to_string());
        values.insert(
            format!("PORT_{}", rule.name.as_str().to_uppercase().replace('-', "_")),
            port.to_string(),
        );
    }
    values
}
