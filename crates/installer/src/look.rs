//! What is there: read from the disk before every plan, cheaply. Sums are looked at by `verify` alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::disk::{self, DiskError};
use crate::fault::InstallFault;
use crate::layout::{Layout, Shelf};
use crate::lock::{Lock, Pin};
use crate::manifest::{BuildId, Manifest, Model, Node};
use crate::plan::{ModelState, Observed, Outcome};

/// The name of the file with the boot that receipts are of. They are not waited for until they reach the disk: those of
/// an unfinished build count for as long as the system has not gone down since.
const BOOT: &str = ".boot";

/// Which boot this is; the same in all containers of a machine.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Notes that what is in a folder was written during this boot.
pub(crate) fn stamp(folder: &Path) -> Result<(), DiskError> {
    disk::put_file(&folder.join(BOOT), boot().as_bytes(), 0o644)
}

fn is_of_this_boot(folder: &Path) -> bool {
    fs::read_to_string(folder.join(BOOT)).is_ok_and(|it| it == boot())
}

/// Reads a lock; one that is not there is empty.
pub(crate) fn lock(path: &Path) -> Result<Lock, InstallFault> {
    let Some(text) = disk::read(path)? else { return Ok(Lock::default()) };
    let read: Lock = serde_json::from_str(&text)
        .map_err(|it| InstallFault::Lock { path: path.to_owned(), why: it.to_string() })?;
    if read.schema_version != crate::lock::SCHEMA_VERSION {
        let why = format!("it is of version {}", read.schema_version);
        return Err(InstallFault::Lock { path: path.to_owned(), why });
    }
    Ok(read)
}

/// Looks at everything that a plan is made from.
pub(crate) fn observe(manifest: &Manifest, lock: &Lock, layout: &Layout) -> Result<Observed, InstallFault> {
    let mut seen = Observed {
        current: linked(&layout.current()),
        previous: linked(&layout.previous()),
        directories: manifest.directories.iter().all(|it| it.is_dir()),
        ..Observed::default()
    };
    if is_of_this_boot(&layout.fetched()) {
        for unit in manifest.units() {
            let folder = layout.fetched_unit(&unit);
            let pin =
                disk::read(&folder.join("pin.json"))?.and_then(|it| serde_json::from_str::<Pin>(&it).ok());
            if let Some(pin) = pin.filter(|_| folder.join("tree").exists()) {
                seen.fetched.insert(unit, pin);
            }
        }
    }
    for entry in fs::read_dir(layout.home()).into_iter().flatten().flatten() {
        if let Some(id) = entry.file_name().to_str().and_then(BuildId::read) {
            let receipts = receipts(layout, &id)?;
            seen.builds.insert(id, receipts);
        }
    }
    let build = layout.build(&manifest.build(lock));
    for node in &manifest.nodes {
        let path = build.source().join(manifest.nodes_folder.as_ref().map_or("", |it| it.as_str()));
        let text = disk::read(&path.join(node.name.as_str()).join(".env"))?;
        seen.variables.insert(node.name.clone(), text == variables(node));
    }
    if let Some((path, text)) = &manifest.paths_file {
        seen.model_paths = disk::read(path)?.as_ref() == Some(text);
    }
    if let Some(folder) = &manifest.models_folder {
        let shelf = Shelf { folder };
        seen.models = manifest.models.iter().map(|it| model(&shelf, it)).collect();
    }
    Ok(seen)
}

/// The `.env` of a node.
pub(crate) fn variables(node: &Node) -> Option<String> {
    spec::dotenv::write(node.env.iter().map(|(key, value)| (key, value.as_str()))).ok()
}

/// The build that a link leads to.
fn linked(link: &Path) -> Option<BuildId> {
    let target = fs::read_link(link).ok()?;
    link.exists().then(|| BuildId::read(target.to_str()?))?
}

fn receipts(layout: &Layout, id: &BuildId) -> Result<BTreeMap<String, Outcome>, InstallFault> {
    let build = layout.build(id);
    let mut receipts = BTreeMap::new();
    for entry in fs::read_dir(build.done()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) =
            name.to_str().filter(|it| !it.starts_with('.')).and_then(|it| it.strip_suffix(".json"))
        else {
            continue;
        };
        // One that cannot be read is none: the step is done again.
        let outcome = disk::read(&entry.path())?.and_then(|it| serde_json::from_str(&it).ok());
        receipts.extend(outcome.map(|it| (name.replace('@', "/"), it)));
    }
    if !receipts.contains_key("probe") && !is_of_this_boot(&build.done()) {
        receipts.clear();
    }
    Ok(receipts)
}

fn model(shelf: &Shelf<'_>, model: &Model) -> ModelState {
    let whole = fs::metadata(shelf.whole(&model.sha256)).ok().filter(|it| it.len() == model.size);
    let whole = whole.filter(|_| !shelf.damaged(&model.sha256).exists());
    let shown = fs::metadata(shelf.shown(model)).ok();
    let same = whole
        .as_ref()
        .zip(shown)
        .is_some_and(|(whole, shown)| (whole.dev(), whole.ino()) == (shown.dev(), shown.ino()));
    let begun = fs::metadata(shelf.part(&model.sha256)).map_or(0, |it| it.len()).min(model.size);
    ModelState { stored: whole.is_some(), shown: same, begun }
}
