//! What is run once before a service is started for the first time.

use std::collections::BTreeSet;

use spec::ids::{ProcessName, ServiceName};
use spec::model::{Install, InstallOrder};
use spec::template::escape;

use super::{Lowering, ROSTER, role};
use crate::document::{App, Kind, Role};
use crate::words::{Words, placeholders};

/// Seconds that an installer may take to end when it is asked to stop.
const GRACE_S: u16 = 10;

/// What the installer of a service is called.
pub(super) fn name(service: &ServiceName) -> ProcessName {
    ProcessName::of_parts(format_args!("{service}-install"))
}

impl Lowering<'_> {
    /// One process for each local service that is installed.
    pub(super) fn installers(&mut self) -> Vec<App> {
        let mut apps: Vec<App> = Vec::new();
        for service in self.plan.local_services() {
            let Some((local, install)) = service.local().and_then(|it| Some((it, it.install.as_ref()?)))
            else {
                continue;
            };
            let instances: Vec<_> = self
                .plan
                .services()
                .iter()
                .zip(0..)
                .filter(|(it, _)| it.service.name == service.name)
                .collect();
            let mut install = Install::clone(install);
            // Folders are each instance's own; everything else is the service's.
            let folders = std::mem::take(&mut install.directories);
            for (instance, _) in &instances {
                let values = placeholders(self.plan, instance, local, self.workspace);
                let mut words = Words { name: &instance.name, values: &values, faults: &mut self.faults };
                install.directories.extend(words.texts(&folders).iter().map(|it| escape(it)));
            }
            let mut seen = BTreeSet::new();
            install.directories.retain(|it| seen.insert(it.clone()));
            let mut declared = self.declared(&service.env);
            let (environment, secrets) = declared.names();
            let order = InstallOrder {
                service: service.name.clone(),
                workspace: self.workspace.to_owned(),
                install,
                variables: environment.iter().chain(&secrets).cloned().collect(),
            };
            declared.set(InstallOrder::VARIABLE, &serde_json::to_string(&order).unwrap_or_default());
            let mut cause: Vec<String> = Vec::new();
            for entry in instances.iter().filter_map(|(_, place)| self.causes.get(place)).flatten() {
                if !cause.contains(entry) {
                    cause.push(entry.clone());
                }
            }
            let role = Role { environment, secrets, cause, ..role(Kind::Installer, &service.name) };
            apps.push(App {
                args: vec!["install".into(), "apply".into(), service.name.to_string()],
                env: declared.env,
                autorestart: false,
                ..self.app(name(&service.name), ROSTER.into(), GRACE_S, role)
            });
        }
        apps
    }
}
