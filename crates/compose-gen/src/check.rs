//! Finds what a compose file cannot say.

use std::collections::BTreeMap;

use spec::notes::Located;

use crate::service::{TMP, mounts};
use crate::{ComposeFault, Image, MACHINE, Project, REDIS};

/// Everything wrong with a project but for NULs, which are found while its text is made.
pub(crate) fn faults(project: &Project) -> Vec<Located<ComposeFault>> {
    let mut found = Vec::new();
    names(project, &mut found);
    images(project, &mut found);
    ports(project, &mut found);
    paths(project, &mut found);
    found
}

/// The fault of a NUL at the end of `path` in the document; an additional service knows its place.
pub(crate) fn nul(project: &Project, path: &[String]) -> Located<ComposeFault> {
    let service = path.get(1).and_then(|name| project.additional.get(name.as_str()));
    Located { fault: ComposeFault::Nul { key: path.join(".") }, place: service.map(|it| it.place.clone()) }
}

fn names(project: &Project, found: &mut Vec<Located<ComposeFault>>) {
    let profiles = project.profiles.keys().map(|name| (name, None));
    let additional = project.additional.iter().map(|(name, it)| (name, Some(it.place.clone())));
    for (name, place) in profiles.chain(additional) {
        let owner = match name.as_str() {
            MACHINE => "the machine that is always started",
            REDIS => "the Redis of this project",
            _ => continue,
        };
        found.push(Located { fault: ComposeFault::ReservedName { name: name.to_string(), owner }, place });
    }
    for (name, it) in project.additional.iter().filter(|(name, _)| project.profiles.contains_key(*name)) {
        found.push(Located::at(it.place.clone(), ComposeFault::DuplicateName { name: name.to_string() }));
    }
}

fn images(project: &Project, found: &mut Vec<Located<ComposeFault>>) {
    let additional = project.additional.iter().map(|(name, it)| (name.as_str(), &it.image));
    for (service, Image { reference, place }) in
        project.redis_image.iter().map(|it| (REDIS, it)).chain(additional)
    {
        if !is_pinned(reference) {
            let (service, image) = (service.to_owned(), reference.clone());
            found.push(Located::at(place.clone(), ComposeFault::UnpinnedImage { service, image }));
        }
    }
}

/// Whether a text is an image reference with a digest, or with a tag other than `latest`. As in the grammar of
/// `distribution/reference`: `[host[:port]/]path[:tag][@sha256:digest]`.
fn is_pinned(reference: &str) -> bool {
    let (tagged, digest) = match reference.split_once('@') {
        Some((tagged, digest)) => (tagged, Some(digest)),
        None => (reference, None),
    };
    // A colon before a slash belongs to the registry's port.
    let last = tagged.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map(|(_, tag)| tag);
    let path = tag.and_then(|tag| tagged.strip_suffix(tag)?.strip_suffix(':')).unwrap_or(tagged);
    let is_path = |it: &str| {
        let part = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-' | ':');
        it.split('/').all(|it| it.starts_with(|it: char| it.is_ascii_alphanumeric()) && it.chars().all(part))
    };
    let is_tag = |it: &str| {
        it.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_')
            && it.len() <= 128
            && it.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-'))
    };
    let is_digest = |it: &str| {
        let hex = it.strip_prefix("sha256:").unwrap_or_default();
        hex.len() == 64 && hex.chars().all(|it| matches!(it, '0'..='9' | 'a'..='f'))
    };
    is_path(path)
        && tag.is_none_or(is_tag)
        && match digest {
            Some(digest) => is_digest(digest),
            None => tag.is_some_and(|tag| tag != "latest"),
        }
}

fn ports(project: &Project, found: &mut Vec<Located<ComposeFault>>) {
    let mut claims: BTreeMap<u16, (&str, &str)> = BTreeMap::new();
    for (machine, it) in project.machines() {
        for (port, listener) in it.published_ports() {
            let (first, first_for) = *claims.entry(port).or_insert((machine, listener));
            if first != machine {
                found.push(Located::nowhere(ComposeFault::SharedPort {
                    port,
                    first: first.to_owned(),
                    first_for: first_for.to_owned(),
                    second: machine.to_owned(),
                    second_for: listener.to_owned(),
                }));
            }
        }
    }
}

fn paths(project: &Project, found: &mut Vec<Located<ComposeFault>>) {
    for (machine, it) in project.machines() {
        let mut claims = BTreeMap::from([(TMP.to_owned(), "its temporary folder".to_owned())]);
        for mount in mounts(machine, it) {
            let path = mount.path.trim_end_matches('/').to_owned();
            let second = format!("the volume `{}`", mount.volume);
            if let Some(first) = claims.get(&path) {
                let (machine, first) = (machine.to_owned(), first.clone());
                found.push(Located::nowhere(ComposeFault::SharedPath { machine, path, first, second }));
            } else {
                claims.insert(path, second);
            }
        }
    }
}
