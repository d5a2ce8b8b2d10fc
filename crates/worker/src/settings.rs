//! What one worker process is: read from its environment, and complete before the first claim.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker::{Capabilities, QueueName, Wire, legacy};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use reqwest::Url;
use rustls::crypto::{CryptoProvider, ring};
use spec::env::{EnvSource, Secret};
use spec::ids::{JobType, ProcessName, WorkerId};
use spec::notes::Finding;

use crate::connector::Connector;
use crate::connectors;
use crate::egress::{Egress, Inside, Rules};
use crate::outputs::{FOLDER_PART, Store};
use crate::pace::Pace;
use crate::redact::Redactor;
use crate::vars::Vars;
use crate::watched::Watched;

mod old;

/// The largest outputs of one job together, unless `OUTPUT_LIMIT_MIB` says otherwise.
const OUTPUT_LIMIT_MIB: u64 = 4096;
/// Where outputs go, unless `OUTPUT_URL` says otherwise: below the process's directory, which is the machine's workspace.
const OUTPUT_FOLDER: &str = "outputs/jobs";

/// What one worker process is.
pub struct Settings {
    /// The address of the broker.
    pub redis: Secret<String>,
    /// The queue.
    pub queue: QueueName,
    /// What takes its place on the wire of the TypeScript system, if that was chosen.
    pub legacy: Option<legacy::Settings>,
    /// Who it is. Several share a process where a mapping entry says so.
    pub ids: Vec<WorkerId>,
    /// What it has.
    pub capabilities: Capabilities,
    /// One for each service instance, with the jobs that it gets at once.
    pub connectors: Vec<(Arc<dyn Connector>, usize)>,
    /// What the connectors are called.
    pub connector: String,
    /// The process of its service, by the name that the machine gives it; none if there are several, or none here.
    pub instance: Option<ProcessName>,
    /// Where the machine's supervisor listens, to be asked for a restart of that process.
    pub supervisor: Option<PathBuf>,
    /// The socket to which it reports what it does.
    pub report: Option<PathBuf>,
    /// The GPU of its service.
    pub gpu: Option<u32>,
    /// Where large results go.
    pub store: Store,
    /// The numbers of the loop.
    pub pace: Pace,
    /// What must not be in any message.
    pub redactor: Redactor,
}

impl Settings {
    /// Reads everything, or says all that is missing or wrong.
    pub fn read(source: &dyn EnvSource) -> Result<Self, Vec<Finding>> {
        let old = old::Old(source);
        let mut vars = Vars::new(source);
        let named = vars.parsed("BROKER", "`native` or `legacy`");
        if named == Some(Wire::Legacy) {
            vars.turn_to(&old);
        }
        let address = vars.required_secret("REDIS_URL", "the broker's address");
        let (by_address, url) = Wire::of(address.expose());
        let (redis, wire) = (Secret::new(url.to_owned()), named.or(by_address).unwrap_or_default());
        if by_address.is_some_and(|it| it != wire) {
            vars.together("BROKER", "REDIS_URL", "the address says `legacy+`");
        }
        if wire == Wire::Legacy {
            vars.turn_to(&old);
        }
        let legacy = (wire == Wire::Legacy).then(|| legacy(&mut vars)).flatten();
        let queue = vars.parsed("JOB_QUEUE", "the name of a queue").unwrap_or_else(default_queue);
        let ids = ids(&mut vars);
        let capabilities = capabilities(&mut vars);
        let connectors = connectors(&mut vars, ids.len());
        let connector = vars.text("CONNECTOR").unwrap_or_default();
        let instance = vars.parsed("SERVICE_INSTANCE", "the name of a process");
        let supervisor = path(&mut vars, "ROSTER_SOCKET");
        let report = path(&mut vars, "WORKER_REPORT");
        let gpu = vars.parsed("WORKER_GPU_ID", "the index of a GPU");
        let pace = pace(&mut vars);
        let store = store(&mut vars);
        let secrets = vars.finish()?;
        // Whatever was missing has ended this above.
        let (Some(connectors), Some(store)) = (connectors, store) else { return Err(vec![]) };
        Ok(Self {
            redis,
            queue,
            legacy,
            ids,
            capabilities,
            connectors,
            connector,
            instance,
            supervisor,
            report,
            gpu,
            store,
            pace,
            redactor: Redactor::new(secrets),
        })
    }
}

/// A file or socket that a variable names.
fn path(vars: &mut Vars<'_>, name: &str) -> Option<PathBuf> {
    vars.text(name).map(PathBuf::from)
}

/// What a worker on the wire of the TypeScript system says of itself. Its numbers have the names that they have there.
fn legacy(vars: &mut Vars<'_>) -> Option<legacy::Settings> {
    let text = vars.required("MACHINE_ID", "the machine that this worker is of");
    let machine = text.parse().map_err(|why: spec::ids::NameError| {
        if !text.is_empty() {
            vars.wrong("MACHINE_ID", "the name of a machine", why.to_string());
        }
    });
    let timeout = vars.parsed::<NonZeroU32>("JOB_TIMEOUT_MINUTES", "a number of minutes above 0");
    let poll = vars.parsed::<NonZeroU32>("WORKER_POLL_INTERVAL_MS", "a number of milliseconds above 0");
    let reap_after = vars.seconds("LEGACY_REAP_AFTER_S");
    let default = legacy::Settings::new(machine.ok()?);
    Some(legacy::Settings {
        timeout: timeout.map_or(default.timeout, |it| Duration::from_mins(it.get().into())),
        poll_every: poll.map_or(default.poll_every, |it| Duration::from_millis(it.get().into())),
        reap_after,
        troubles: Arc::new(|trouble| tracing::warn!("{trouble}")),
        ..default
    })
}

/// The queue of a machine that names none.
fn default_queue() -> QueueName {
    "jobs".parse().expect("`jobs` is the name of a queue")
}

fn ids(vars: &mut Vars<'_>) -> Vec<WorkerId> {
    let (one, many) = (vars.text("WORKER_ID"), vars.text("WORKER_IDS"));
    let (name, text) = match (one, many) {
        (Some(_), Some(_)) => {
            vars.together("WORKER_ID", "WORKER_IDS", "a process is one worker or several");
            return vec![];
        }
        (None, Some(many)) => ("WORKER_IDS", many),
        (Some(one), None) => ("WORKER_ID", one),
        (None, None) => ("WORKER_ID", vars.required("WORKER_ID", "the name of this worker")),
    };
    let mut ids = Vec::new();
    for id in text.split(',').filter(|it| !it.is_empty()) {
        match id.trim().parse() {
            Ok(id) => ids.push(id),
            Err(why) => vars.wrong(name, "the id of a worker", format!("{why}")),
        }
    }
    ids
}

/// `ACCEPTS` says which jobs it takes, `WORKER_CAPABILITIES` what else it has.
fn capabilities(vars: &mut Vars<'_>) -> Capabilities {
    const EXPECTED: &str = "a JSON document as in `{\"hardware\": {\"gpu_memory_gb\": 24}, \"models\": {\"comfyui\": [\"sdxl\"]}}`";
    let mut capabilities = Capabilities::default();
    if let Some(text) = vars.text("WORKER_CAPABILITIES") {
        match serde_json::from_str(&text) {
            Ok(read) => capabilities = read,
            Err(why) => vars.wrong("WORKER_CAPABILITIES", EXPECTED, why.to_string()),
        }
    }
    let accepts = vars.required("ACCEPTS", "the kinds of jobs that this worker takes");
    for kind in accepts.split(',').filter(|it| !it.is_empty()) {
        match kind.trim().parse::<JobType>() {
            Ok(kind) => _ = capabilities.services.insert(kind),
            Err(why) => vars.wrong("ACCEPTS", "a list of kinds of jobs", why.to_string()),
        }
    }
    capabilities
}

/// One for each address; without addresses one, for a service that is elsewhere. The workers of this process are spread
/// over them.
fn connectors(vars: &mut Vars<'_>, workers: usize) -> Option<Vec<(Arc<dyn Connector>, usize)>> {
    let (urls, egress) = (urls(vars, workers), Egress::new(rules(vars)));
    let concurrency =
        vars.parsed("WORKER_CONCURRENCY", "a number of jobs above 0").map_or(1, NonZeroUsize::get);
    let kind = vars.required("CONNECTOR", "the protocol of its service");
    let health = vars.url("SERVICE_HEALTH_URL");
    let watched = |connector: Arc<dyn Connector>| match &health {
        Some(url) => Arc::new(Watched::new(connector, url.clone())),
        None => connector,
    };
    if urls.is_empty() {
        let connector = watched(connectors::build(&kind, None, &egress, vars)?);
        return Some(vec![(connector, workers * concurrency)]);
    }
    let mut built: Vec<(Url, Arc<dyn Connector>, usize)> = Vec::new();
    for url in urls {
        if let Some((_, _, slots)) = built.iter_mut().find(|it| it.0 == url) {
            *slots += concurrency;
        } else {
            let connector = connectors::build(&kind, Some(url.clone()), &egress, vars)?;
            built.push((url, watched(connector), concurrency));
        }
    }
    if health.is_some() && built.len() > 1 {
        // One answer cannot speak for several.
        vars.together(
            "SERVICE_URLS",
            "SERVICE_HEALTH_URL",
            "there are several services, and the health of one",
        );
    }
    Some(built.into_iter().map(|(_, connector, slots)| (connector, slots)).collect())
}

/// What may be fetched of what jobs and services name. `EGRESS_INSIDE` lists hosts and networks that are not public.
fn rules(vars: &mut Vars<'_>) -> Rules {
    let list = |text: Option<String>| -> Vec<String> {
        let text = text.unwrap_or_default();
        text.split(',').map(|it| it.trim().to_ascii_lowercase()).filter(|it| !it.is_empty()).collect()
    };
    let inside =
        list(vars.text("EGRESS_INSIDE")).into_iter().map(|it| match (it.parse(), it.parse::<IpAddr>()) {
            (Ok(net), _) => Inside::Net(net),
            (_, Ok(address)) => Inside::Net(address.into()),
            _ => Inside::Host(it),
        });
    let inside = inside.collect();
    let http = vars.parsed("EGRESS_HTTP", "`true` or `false`").unwrap_or(false);
    let bytes = vars
        .parsed("EGRESS_LIMIT_MIB", "a number of MiB")
        .map_or(Rules::default().bytes, |it: u32| u64::from(it) << 20);
    Rules { http, hosts: list(vars.text("EGRESS_HOSTS")), inside, bytes, ..Rules::default() }
}

/// The address of each worker's service instance.
fn urls(vars: &mut Vars<'_>, workers: usize) -> Vec<Url> {
    if let Some(url) = vars.url("SERVICE_URL") {
        return vec![url];
    }
    let Some(text) = vars.text("SERVICE_URLS") else { return vec![] };
    let urls: Vec<Url> = text.split(',').filter_map(|it| vars.address("SERVICE_URLS", it)).collect();
    if urls.len() != workers {
        vars.together("WORKER_IDS", "SERVICE_URLS", "there is one address for each worker");
    }
    urls
}

/// `OUTPUT_URL`: a folder, `file:///workspace/outputs`, or a bucket, `s3://bucket/prefix`, whose keys and endpoint come
/// from the variables that AWS's own programs read. The folder is made if nothing is wrong so far, so this is read last.
fn store(vars: &mut Vars<'_>) -> Option<Store> {
    const EXPECTED: &str = "`file:///folder` or `s3://bucket/prefix`";
    let limit: u64 = vars.parsed("OUTPUT_LIMIT_MIB", "a number of MiB").unwrap_or(OUTPUT_LIMIT_MIB);
    let public = vars.text("OUTPUT_PUBLIC_URL");
    let text = vars.text("OUTPUT_URL");
    let url = match text.as_deref().map(Url::parse) {
        None => None,
        Some(Ok(url)) if matches!(url.scheme(), "file" | "s3") => Some(url),
        Some(Ok(_)) => {
            vars.wrong("OUTPUT_URL", EXPECTED, "its scheme is neither".into());
            return None;
        }
        Some(Err(why)) => {
            vars.wrong("OUTPUT_URL", EXPECTED, why.to_string());
            return None;
        }
    };
    let bucket_url = url.as_ref().filter(|it| it.scheme() == "s3");
    let made = match bucket_url {
        Some(url) => bucket(vars, url),
        None => match folder_path(url.as_ref()) {
            Ok(_) if vars.has_faults() => return None,
            path => path.and_then(|it| folder(&it)),
        },
    };
    match made {
        Ok((objects, address)) => {
            let public = public.unwrap_or_else(|| format!("{address}/{{path}}"));
            let store = Store::new(objects, public, limit << 20);
            Some(if bucket_url.is_some() { store } else { store.parts_of(FOLDER_PART) })
        }
        Err(why) => {
            vars.wrong("OUTPUT_URL", "a place that can be written to", why);
            None
        }
    }
}

type Made = Result<(Arc<dyn ObjectStore>, String), String>;

fn folder_path(url: Option<&Url>) -> Result<PathBuf, String> {
    match url {
        Some(url) => url.to_file_path().map_err(|()| "it is no path".to_owned()),
        None => Ok(OUTPUT_FOLDER.into()),
    }
}

fn folder(path: &Path) -> Made {
    std::fs::create_dir_all(path).map_err(|it| it.to_string())?;
    let path = path.canonicalize().map_err(|it| it.to_string())?;
    let address = Url::from_file_path(&path).map_err(|()| "it is no path".to_owned())?;
    let objects = LocalFileSystem::new_with_prefix(&path).map_err(|it| it.to_string())?;
    Ok((Arc::new(objects), address.to_string().trim_end_matches('/').to_owned()))
}

fn bucket(vars: &mut Vars<'_>, url: &Url) -> Made {
    // The store's own client takes what the process has chosen; nothing else of ours does.
    if CryptoProvider::get_default().is_none() {
        _ = ring::default_provider().install_default();
    }
    let name = url.host_str().unwrap_or_default();
    let mut builder =
        AmazonS3Builder::new().with_bucket_name(name).with_conditional_put(S3ConditionalPut::Disabled);
    if let Some(endpoint) = vars.url("AWS_ENDPOINT_URL") {
        builder = builder
            .with_allow_http(endpoint.scheme() == "http")
            .with_endpoint(endpoint.as_str().trim_end_matches('/'));
    }
    builder = builder.with_region(vars.text("AWS_REGION").unwrap_or_else(|| "us-east-1".into()));
    builder = builder
        .with_access_key_id(vars.required_secret("AWS_ACCESS_KEY_ID", "the bucket of `OUTPUT_URL`").expose());
    builder = builder.with_secret_access_key(
        vars.required_secret("AWS_SECRET_ACCESS_KEY", "the bucket of `OUTPUT_URL`").expose(),
    );
    if let Some(token) = vars.secret("AWS_SESSION_TOKEN") {
        builder = builder.with_token(token.expose());
    }
    let objects = builder.build().map_err(|it| it.to_string())?;
    let prefix = url.path().trim_matches('/');
    let address = url.as_str().trim_end_matches('/').to_owned();
    Ok((Arc::new(PrefixStore::new(objects, prefix)), address))
}

fn pace(vars: &mut Vars<'_>) -> Pace {
    let mut pace = Pace::default();
    let mut set = |name, field: &mut Duration| {
        if let Some(time) = vars.seconds(name) {
            *field = time;
        }
    };
    set("WORKER_LEASE_S", &mut pace.lease);
    set("WORKER_GRACE_S", &mut pace.grace);
    set("WORKER_STOP_PATIENCE_S", &mut pace.patience);
    set("SERVICE_LOOK_EVERY_S", &mut pace.look_every);
    pace
}

#[cfg(test)]
mod tests;
