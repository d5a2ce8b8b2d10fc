//! What is to be installed: what the process was given, or what the ecosystem says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ecosystem::Ecosystem;
use installer::InstallFault;
use installer::programs::is_passed;
use spec::env::{EnvSource, NotUnicode};
use spec::ids::{EnvKey, ServiceName};
use spec::model::InstallOrder;
use spec::notes::{Finding, Located};
use spec::source::SourceText;

use crate::{config, say};

/// An ecosystem of a name of its own.
const ECOSYSTEM: &str = "ROSTER_ECOSYSTEM";

/// An order, with the variables of its process.
pub(super) struct Order {
    pub(super) what: InstallOrder,
    own: BTreeMap<EnvKey, String>,
    world: Rc<dyn EnvSource>,
}

impl EnvSource for Order {
    fn get(&self, key: &EnvKey) -> Result<Option<String>, NotUnicode> {
        match self.own.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None => self.world.get(key),
        }
    }
}

/// The variables of ours that programs of an install are given.
pub(super) fn passed() -> BTreeMap<String, String> {
    let all = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(key, _)| is_passed(key)).collect()
}

/// The orders for these services, or for all.
pub(super) fn find(ecosystem: Option<&Path>, services: &[ServiceName]) -> Result<Vec<Order>, Vec<Finding>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    let all = match (ecosystem, variable(InstallOrder::VARIABLE)) {
        (None, Some(text)) => vec![read(&text, BTreeMap::new(), say::world().environment.into())?],
        (given, _) => match given.map(Path::to_owned).or_else(|| variable(ECOSYSTEM).map(PathBuf::from)) {
            Some(path) => of_ecosystem(document(&path)?, &say::world().environment.into())?,
            // As `roster run` has it: with its secrets, and its workspace where that is outside of containers.
            None => match config::here()? {
                Some((ecosystem, layers)) => {
                    of_ecosystem(ecosystem, &(Rc::new(layers) as Rc<dyn EnvSource>))?
                }
                None => of_ecosystem(document("ecosystem.json".as_ref())?, &say::world().environment.into())?,
            },
        },
    };
    for service in services {
        if !all.iter().any(|it| it.what.service == *service) {
            let known: Vec<_> = all.iter().map(|it| it.what.service.as_str()).collect();
            let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
            return Err(none(format!("`{service}` is not installed on this machine; it installs {known}")));
        }
    }
    let wanted = |it: &Order| services.is_empty() || services.contains(&it.what.service);
    Ok(all.into_iter().filter(wanted).collect())
}

fn none(why: String) -> Vec<Finding> {
    vec![Finding::error(Located::nowhere(InstallFault::NoOrder { why }))]
}

fn read(text: &str, own: BTreeMap<EnvKey, String>, world: Rc<dyn EnvSource>) -> Result<Order, Vec<Finding>> {
    let order: InstallOrder = serde_json::from_str(text)
        .map_err(|it| none(format!("`{}` is not an order: {it}", InstallOrder::VARIABLE)))?;
    Ok(Order { what: order, own, world })
}

fn document(path: &Path) -> Result<Ecosystem, Vec<Finding>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|it| none(format!("`{name}`: {it}")))?;
    Ecosystem::read(&SourceText::open(&name, text))
}

fn of_ecosystem(ecosystem: Ecosystem, world: &Rc<dyn EnvSource>) -> Result<Vec<Order>, Vec<Finding>> {
    let mut orders = Vec::new();
    for app in ecosystem.setup {
        if let Some(text) = app.env.get(InstallOrder::VARIABLE).cloned() {
            orders.push(read(&text, app.env, world.clone())?);
        }
    }
    Ok(orders)
}
