//! The bill of materials: every crate that is in the binary, in `CycloneDX` 1.6.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::workspace::{cargo, output, read, root};

/// The package whose binary is released.
const PACKAGE: &str = "roster-machine";

/// The bill, for a binary of this target.
pub(super) fn bill(target: &str, made: &str) -> Result<Value, String> {
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", target];
    let metadata: Value =
        serde_json::from_str(&output(&mut cargo(arguments))?).map_err(|error| error.to_string())?;
    let lock = read(&root().join("Cargo.lock"))?;
    of(&metadata, &checksums(&lock), made).ok_or_else(|| "cargo metadata has another form".to_owned())
}

/// The SHA-256 of each package of a registry, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, key: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|it| it.trim_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    let known =
        packages.filter_map(|it| Some(((value(it, "name")?, value(it, "version")?), value(it, "checksum")?)));
    known.collect()
}

fn of(metadata: &Value, checksums: &BTreeMap<(String, String), String>, made: &str) -> Option<Value> {
    let packages = metadata["packages"].as_array()?;
    let by_id: BTreeMap<&str, &Value> =
        packages.iter().filter_map(|it| Some((it["id"].as_str()?, it))).collect();
    let root = packages.iter().find(|it| it["name"] == PACKAGE)?;
    let mut needs = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array()? {
        // What only tests or build scripts need is not in the binary.
        let normal = |it: &&Value| {
            it["dep_kinds"].as_array().is_some_and(|all| all.iter().any(|it| it["kind"].is_null()))
        };
        let deps = node["deps"].as_array()?.iter().filter(normal).filter_map(|it| it["pkg"].as_str());
        needs.insert(node["id"].as_str()?, deps.collect::<BTreeSet<_>>());
    }
    let (mut inside, mut next) = (BTreeSet::new(), vec![root["id"].as_str()?]);
    while let Some(id) = next.pop() {
        if inside.insert(id) {
            next.extend(needs.get(id)?);
        }
    }
    let mut components: Vec<Value> = Vec::new();
    let mut dependencies: Vec<Value> = Vec::new();
    for id in &inside {
        let package = by_id.get(id)?;
        if package["id"] != root["id"] {
            components.push(component(package, checksums)?);
        }
        let mut needed: Vec<_> = needs.get(id)?.iter().filter_map(|it| name(by_id.get(it)?)).collect();
        needed.sort();
        dependencies.push(json!({ "ref": name(package)?, "dependsOn": needed }));
    }
    components.sort_by_key(|it| it["bom-ref"].to_string());
    dependencies.sort_by_key(|it| it["ref"].to_string());
    let mut released = component(root, checksums)?;
    released["type"] = json!("application");
    Some(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "timestamp": made, "component": released },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Option<Value> {
    let (title, version) = (package["name"].as_str()?, package["version"].as_str()?);
    let reference = name(package)?;
    let mut component = json!({
        "type": "library", "bom-ref": reference, "name": title, "version": version, "purl": reference, "scope": "required",
    });
    if let Some(licence) = package["license"].as_str() {
        // An old form of the same.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some(content) = checksums.get(&(title.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": content }]);
    }
    Some(component)
}

/// A package's URL, by which the bill names it.
fn name(package: &Value) -> Option<String> {
    Some(format!("pkg:cargo/{}@{}", package["name"].as_str()?, package["version"].as_str()?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{checksums, of};

    #[test]
    fn the_bill_has_what_is_in_the_binary_with_its_licence_and_hash_and_nothing_that_only_builds_or_tests_it()
    {
        let package = |name: &str, licence: Value| json!({ "id": name, "name": name, "version": "1.0.0", "license": licence });
        let need = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("roster-machine", json!("MIT OR Apache-2.0")),
                package("inside", json!("MIT/Apache-2.0")),
                package("builds", json!("MIT")),
                package("tests", json!("MIT")),
                package("deep", Value::Null),
            ],
            "resolve": { "nodes": [
                { "id": "roster-machine", "deps": [need("inside", Value::Null), need("tests", json!("dev")), need("builds", json!("build"))] },
                { "id": "inside", "deps": [need("deep", Value::Null)] },
                { "id": "deep", "deps": [] },
                { "id": "builds", "deps": [] },
                { "id": "tests", "deps": [] },
            ] },
        });
        let lock =
            "version = 4\n\n[[package]]\nname = \"inside\"\nversion = \"1.0.0\"\nchecksum = \"ab12\"\n";
        let bill = of(&metadata, &checksums(lock), "2026-01-01T00:00:00Z").expect("a bill");
        assert_eq!(
            bill["components"],
            json!([
                {
                    "type": "library", "bom-ref": "pkg:cargo/deep@1.0.0", "name": "deep", "version": "1.0.0",
                    "purl": "pkg:cargo/deep@1.0.0", "scope": "required",
                },
                {
                    "type": "library", "bom-ref": "pkg:cargo/inside@1.0.0", "name": "inside", "version": "1.0.0",
                    "purl": "pkg:cargo/inside@1.0.0", "scope": "required",
                    "licenses": [{ "expression": "MIT OR Apache-2.0" }],
                    "hashes": [{ "alg": "SHA-256", "content": "ab12" }],
                },
            ])
        );
        assert_eq!(
            bill["dependencies"][2],
            json!({ "ref": "pkg:cargo/roster-machine@1.0.0", "dependsOn": ["pkg:cargo/inside@1.0.0"] })
        );
    }
}
