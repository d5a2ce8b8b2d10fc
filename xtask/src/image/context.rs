//! What is sent to the engine: the Dockerfile and either the binary or the tree that it is compiled from.

use std::{fs, path::Path};

use crate::workspace::{files, read, root};

/// The Dockerfile, in the context.
pub(super) const DOCKERFILE: &str = "docker/Dockerfile";

/// Refuses a target that the Dockerfile does not have, before minutes are spent on the binary.
pub(super) fn known(target: &str) -> Result<(), String> {
    let dockerfile = read(&root().join(DOCKERFILE))?;
    let stages: Vec<_> = stages(&dockerfile).collect();
    if stages.contains(&target) {
        return Ok(());
    }
    Err(format!("{DOCKERFILE} has no target `{target}`; it has {}", stages.join(", ")))
}

/// The names of the stages that are images by themselves, in order.
fn stages(dockerfile: &str) -> impl Iterator<Item = &str> {
    let named = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split_once(" AS "));
    let parts = ["binary", "compiled", "os", "playwright-core", "prebuilt", "uv"];
    named.map(|(_, name)| name).filter(move |name| !name.ends_with("-os") && !parts.contains(name))
}

/// The context of a build that takes a binary of this machine, if any.
pub(super) fn prebuilt(binary: Option<&Path>) -> Result<Vec<u8>, String> {
    let mut tar = tar::Builder::new(Vec::new());
    add(&mut tar, DOCKERFILE, &root().join(DOCKERFILE))?;
    if let Some(binary) = binary {
        add(&mut tar, "prebuilt/roster", binary)?;
    }
    tar.into_inner().map_err(|error| format!("the context: {error}"))
}

/// The context of a build that compiles: every file that git knows, or would add.
pub(super) fn source() -> Result<Vec<u8>, String> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files()? {
        add(&mut tar, &file, &root().join(&file))?;
    }
    tar.into_inner().map_err(|error| format!("the context: {error}"))
}

/// Adds a file with a fixed time and owner: equal files are equal to the engine's cache, whoever has them.
fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, path: &Path) -> Result<(), String> {
    let why = |error| format!("{}: {error}", path.display());
    let content = fs::read(path).map_err(why)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, name, content.as_slice()).map_err(why)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_target_that_the_dockerfile_does_not_have_is_refused_with_those_it_has() {
        assert_eq!(super::known("comfyui"), Ok(()));
        assert_eq!(
            super::known("comfy"),
            Err(
                "docker/Dockerfile has no target `comfy`; it has redis, ollama, a1111, comfyui, playwright, \
                 comfyui-playwright, base"
                    .to_owned()
            )
        );
    }
}
