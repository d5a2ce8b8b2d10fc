//! Finds what the install of a service has wrong beyond the schema.

use spec::model::{Install, InstallSource};

use crate::document::ServiceEntry;
use crate::fault::Flaw;
use crate::found::Found;
use crate::lower::Templates;

/// Checks every text of an install. A secret may be in none of them: they become arguments and addresses, which everybody
/// can read. Tokens are named, and they are secrets.
pub(crate) fn check(
    path: &str,
    install: &Install,
    entry: &ServiceEntry,
    of_instance: &Templates,
    found: &mut Found<'_>,
) {
    let texts = Templates::of_install(entry, &[]);
    let words = Templates::of_install(entry, &["SOURCE", "INSTALL", "PYTHON"]);
    let mut one = |field: &str, text: &str| drop(texts.one(&format!("{path}/{field}"), text, found));
    match &install.source {
        InstallSource::Git { url, branch, commit, .. } => {
            one("source/git/url", url);
            for (field, text) in [("source/git/branch", branch), ("source/git/commit", commit)] {
                if let Some(text) = text {
                    one(field, text);
                }
            }
        }
        InstallSource::Directory { path } => one("source/directory/path", path),
        InstallSource::Tarball { url, sha256, .. } => {
            one("source/tarball/url", url);
            one("source/tarball/sha256", sha256);
        }
        InstallSource::Program { name } => one("source/program/name", name),
    }
    if let Some(nodes) = &install.nodes {
        one("nodes/file", &nodes.file);
        one("nodes/folder", &nodes.folder);
    }
    if let Some(models) = &install.models {
        one("models/file", &models.file);
        drop(texts.list(&format!("{path}/models/kinds"), &models.kinds, found));
        let files = [("folder", Some(&models.folder)), ("paths_file", models.paths_file.as_ref())];
        for (field, text) in files.into_iter().filter_map(|(field, text)| Some((field, text?))) {
            drop(texts.path(&format!("{path}/models/{field}"), text, found));
        }
    }
    if let Some(python) = &install.python {
        drop(texts.list(&format!("{path}/python/requirements"), &python.requirements, found));
        drop(texts.list(&format!("{path}/python/packages"), &python.packages, found));
    }
    for (number, command) in install.commands.iter().enumerate() {
        drop(words.list(&format!("{path}/commands/{number}"), command, found));
    }
    drop(words.list(&format!("{path}/probe"), &install.probe, found));
    for (number, folder) in install.directories.iter().enumerate() {
        drop(of_instance.path(&format!("{path}/directories/{number}"), folder, found));
    }
    for (host, key) in &install.tokens {
        if !entry.secret_env.contains(key) {
            found.at_value(&format!("{path}/tokens/{host}"), Flaw::TokenNotSecret { key: key.clone() });
        }
    }
}
