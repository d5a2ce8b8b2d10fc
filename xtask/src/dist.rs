//! `dist`: what a release consists of: one archive with the binary and what goes with it, its SHA-256 and its bill of
//! materials. Two builds of one commit are the same bytes, wherever they are made with the same toolchain.

use std::{path::PathBuf, process::ExitCode};

#[cfg(feature = "e2e")]
mod archive;
#[cfg(feature = "e2e")]
mod materials;
#[cfg(feature = "e2e")]
mod run;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that it is written into; left out, `target/dist`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Build all of it a second time, in another folder, and fail unless it is the same
    #[arg(long)]
    twice: bool,
}

/// Makes a release.
///
/// # Errors
///
/// What cargo or the file system says, or that two builds differ.
#[cfg(feature = "e2e")]
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    run::run(args)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a release, by the xtask that can.
#[cfg(not(feature = "e2e"))]
pub(crate) fn run(_: &Args) -> Result<ExitCode, String> {
    crate::light::again(crate::light::DRIVER)
}
