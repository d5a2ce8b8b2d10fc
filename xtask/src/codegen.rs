//! `codegen`: files that are written from code and checked in, so that they can be read and diffed without building.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    codes,
    workspace::{root, write},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; exit with 2 when a file is not what the code says
    #[arg(long)]
    check: bool,
}

/// Says which files a part of the house generates: each with its path in the repository and its whole text.
type Generator = fn() -> Vec<(&'static str, String)>;

/// Everyone who generates files.
const GENERATORS: &[Generator] = &[|| planner::generated::files(codes::RUNTIME)];

pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let stale = stale();
    for (path, text) in &stale {
        if args.check {
            eprintln!("codegen: {} is out of date", path.display());
        } else {
            write(&root().join(path), text)?;
            eprintln!("codegen: wrote {}", path.display());
        }
    }
    match (stale.is_empty(), args.check) {
        (true, _) => eprintln!("codegen: no change"),
        (false, true) => {
            eprintln!("codegen: type `cargo xtask codegen`");
            return Ok(ExitCode::from(2));
        }
        (false, false) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The generated files whose text on disk differs, or which are absent.
pub(crate) fn stale() -> Vec<(PathBuf, String)> {
    let generated =
        GENERATORS.iter().flat_map(|generate| generate()).map(|(path, text)| (PathBuf::from(path), text));
    let current = |path: &Path, text: &str| fs::read_to_string(root().join(path)).is_ok_and(|it| it == text);
    generated.filter(|(path, text)| !current(path, text)).collect()
}
