//! Finds volumes that one container cannot have together.

use std::collections::BTreeMap;

use spec::ids::{PortName, ServiceName};

use crate::document::{ServiceEntry, VolumeEntry};
use crate::fault::Flaw;
use crate::found::{Found, readable};

pub(crate) fn check(services: &BTreeMap<ServiceName, ServiceEntry>, found: &mut Found<'_>) {
    let mut names: BTreeMap<&PortName, (String, &VolumeEntry)> = BTreeMap::new();
    let mut paths: BTreeMap<&str, (String, &PortName)> = BTreeMap::new();
    for (service, entry) in services {
        for (index, volume) in entry.volumes.iter().enumerate() {
            let path = format!("/services/{service}/volumes/{index}");
            if !is_absolute(volume.path.strip_prefix("${WORKSPACE}").unwrap_or(&volume.path)) {
                found.at_value(&format!("{path}/path"), Flaw::PathNotAbsolute);
            }
            let (other, first) = names.entry(&volume.name).or_insert_with(|| (path.clone(), volume));
            let same =
                [("path", first.path == volume.path), ("read_only", first.read_only == volume.read_only)];
            for (field, _) in same.into_iter().filter(|(_, same)| !same) {
                let flaw = Flaw::VolumeDiffers { volume: volume.name.clone(), field, other: readable(other) };
                found.at_value(&format!("{path}/{field}"), flaw);
            }
            let (other, name) = paths.entry(&volume.path).or_insert_with(|| (path.clone(), &volume.name));
            if *name != &volume.name {
                found.at_value(&format!("{path}/path"), Flaw::VolumePathTwice { other: readable(other) });
            }
        }
    }
}

/// Whether a path begins at the root, is not the root, and says the same however it is read.
fn is_absolute(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
}
