//! Looks at the services that run elsewhere: nobody here starts them, and the workers need them.

use std::collections::BTreeMap;
use std::time::Duration;

use ecosystem::{Ecosystem, External, Probe as Look};
use health::Probe;
use reqwest::Client;
use spec::env::EnvSource as _;
use spec::ids::{EnvKey, ProcessName};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::scene::named;
use crate::config::Layers;

/// Between two looks at a service. It is somebody else's machine.
const PERIOD: Duration = Duration::from_secs(15);
/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the probes say, by the names that services elsewhere are shown by.
pub(crate) type Seen = BTreeMap<ProcessName, Probe>;

/// One service and the variables that its probe reads.
#[derive(Clone)]
pub(crate) struct Watched {
    /// What to look at.
    external: External,
    /// The addresses in variables.
    variables: BTreeMap<EnvKey, String>,
}

/// The services elsewhere, with the addresses that their workers are given.
pub(crate) fn watched(ecosystem: &Ecosystem, layers: &Layers) -> Vec<Watched> {
    let one = |external: &External| {
        let given = ecosystem.apps.iter().filter(|it| it.roster.service == external.service);
        let given: Vec<_> = given.map(|it| &it.env).collect();
        let value = |key: &EnvKey| {
            let given = given.iter().find_map(|it| it.get(key)).cloned();
            given.or_else(|| layers.get(key).ok().flatten())
        };
        let variables = variables(external).into_iter().filter_map(|it| Some((it.clone(), value(&it)?)));
        Watched { external: external.clone(), variables: variables.collect() }
    };
    ecosystem.external.iter().map(one).collect()
}

/// The variables that the probes of a service read.
fn variables(external: &External) -> Vec<EnvKey> {
    let probes = &external.probes;
    let all = [&probes.ready, &probes.health, &probes.install];
    all.into_iter().flat_map(read_by).cloned().collect()
}

fn read_by(probe: &Look) -> Vec<&EnvKey> {
    match probe {
        Look::Url { variable, .. } => vec![variable],
        Look::Variables { set } => set.iter().collect(),
        Look::Process
        | Look::File { .. }
        | Look::Exec { .. }
        | Look::Log { .. }
        | Look::Tcp { .. }
        | Look::Http { .. } => {
            vec![]
        }
    }
}

/// Looks at those that `all` names by then, for as long as it is polled.
pub(crate) async fn watch(mut all: watch::Receiver<Vec<Watched>>, seen: watch::Sender<Seen>) {
    let mut client = None;
    loop {
        let watched = all.borrow_and_update().clone();
        let is_watched = |it: &ProcessName| watched.iter().any(|one| named(&one.external.service) == *it);
        seen.send_if_modified(|seen| {
            let before = seen.len();
            seen.retain(|it, _| is_watched(it));
            seen.len() < before
        });
        if client.is_none() && !watched.is_empty() {
            // It reads all the roots of the system, which takes a while.
            client = spawn_blocking(|| worker::client(PATIENCE)).await.ok();
        }
        let mut looks = JoinSet::new();
        for (it, client) in watched.into_iter().zip(client.iter().cycle()) {
            looks.spawn(look_again(client.clone(), it, seen.clone()));
        }
        if all.changed().await.is_err() {
            return;
        }
    }
}

/// Looks at one again and again.
async fn look_again(client: Client, it: Watched, seen: watch::Sender<Seen>) {
    let name = named(&it.external.service);
    loop {
        let probe = look(&client, &it).await;
        seen.send_if_modified(|all| {
            // How long it took changes with every look: alone that is no news.
            let word = |it: &Probe| std::mem::discriminant(it);
            let before = all.insert(name.clone(), probe.clone());
            before.is_none_or(|it| word(&it) != word(&probe))
        });
        sleep(PERIOD).await;
    }
}

async fn look(client: &Client, it: &Watched) -> Probe {
    let began = Instant::now();
    let probes = &it.external.probes;
    for probe in [&probes.ready, &probes.health] {
        if let Err(why) = one(client, probe, &it.variables).await {
            return Probe::Failing { why };
        }
    }
    Probe::Passing { took: began.elapsed() }
}

async fn one(client: &Client, probe: &Look, variables: &BTreeMap<EnvKey, String>) -> Result<(), String> {
    let value = |key: &EnvKey| {
        variables.get(key).filter(|it| !it.is_empty()).ok_or_else(|| format!("`{key}` is not set"))
    };
    match probe {
        Look::Variables { set } => set.iter().try_for_each(|it| value(it).map(|_| ())),
        // The host may live and refuse us for want of a key: that is for the workers to say.
        Look::Url { variable, path } => get(client, &format!("{}{path}", value(variable)?), 500).await,
        Look::Http { url } => get(client, url, 400).await,
        Look::Process | Look::File { .. } | Look::Exec { .. } | Look::Log { .. } | Look::Tcp { .. } => Ok(()),
    }
}

async fn get(client: &Client, url: &str, below: u16) -> Result<(), String> {
    match timeout(PATIENCE, client.get(url).send()).await {
        Ok(Ok(it)) if it.status().as_u16() < below => Ok(()),
        Ok(Ok(it)) => Err(format!("it answers {}", it.status().as_u16())),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        // Without the address, which may hold a key.
        Ok(Err(it)) => Err(reason(&it.without_url())),
    }
}

/// The last of the causes: the others say that there is one.
fn reason(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(it) = last.source() {
        last = it;
    }
    last.to_string()
}
