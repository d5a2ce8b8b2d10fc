//! The guide for operators, typed as it stands.

use std::{fs, os::unix::fs::symlink, process::Command, sync::Arc};

use super::hold;
use crate::{
    e2e::{
        Seen,
        machine::{Leftovers, processes_in},
        world::{World, until},
    },
    workspace::{output, read, root},
};

/// The page.
const PAGE: &str = "docs/operations.md";
/// How long what a block leaves behind may take to end.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// Types every block `sh` of the page, one after the other, in one folder; each has to succeed.
pub(super) async fn operations(world: Arc<World>) -> Seen {
    let (mut project, _) = world.project("operations-guide").await?;
    let programs = project.path("programs");
    fs::create_dir_all(&programs).map_err(|error| error.to_string())?;
    symlink(&world.roster, programs.join("roster")).map_err(|error| error.to_string())?;
    let path = std::env::var("PATH").unwrap_or_default();
    project.set("PATH", format!("{}:{path}", programs.display()));

    let folder = project.path("").display().to_string();
    // A block that fails is not followed by the one that ends the machine.
    let _leftovers = Leftovers(folder.clone());

    let page = read(&root().join(PAGE))?;
    let blocks = blocks(&page);
    for block in &blocks {
        let mut shell = Command::new("timeout");
        project.prepare(shell.args(["120", "sh", "-euc", block]));
        // What goes on in the background keeps no pipe of ours.
        output(&mut shell).map_err(|error| format!("{PAGE}:\n{block}{error}"))?;
    }
    until("the machine of the guide has ended", PATIENCE, async || {
        Ok(processes_in(&folder).is_empty().then_some(()))
    })
    .await?;
    hold(!blocks.is_empty(), || format!("{PAGE} has no block of commands"))?;
    Ok(format!("{} blocks", blocks.len()))
}

/// The texts of the blocks `sh`.
fn blocks(page: &str) -> Vec<String> {
    let (mut blocks, mut inside) = (Vec::new(), None);
    for line in page.lines() {
        inside = match (inside, line) {
            (None, "```sh") => Some(String::new()),
            (Some(block), "```") => {
                blocks.push(block);
                None
            }
            (Some(block), line) => Some(block + line + "\n"),
            (None, _) => None,
        };
    }
    blocks
}

#[cfg(test)]
mod tests {
    #[test]
    fn blocks_of_commands_are_told_from_others() {
        let page = "a\n```sh\none\ntwo\n```\n```console\n$ no\n```\n```sh\nthree\n```\n";
        assert_eq!(super::blocks(page), ["one\ntwo\n", "three\n"]);
    }
}
