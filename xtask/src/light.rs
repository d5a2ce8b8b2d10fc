//! The xtask that a new user compiles: without the feature `e2e`, which brings an async runtime and clients of all kinds.
//! Verbs that need them are run by the xtask that has them.

use std::{
    env,
    process::{ExitCode, Stdio},
};

use crate::workspace::{cargo, typed};

/// Runs this command line again with the feature `e2e`, in a release build, and ends as it ends.
pub(crate) fn again() -> Result<ExitCode, String> {
    eprintln!("xtask: this verb is compiled on its first use, which takes a minute or two");
    let run = ["run", "--quiet", "--release", "--package", "xtask", "--features", "e2e", "--"];
    let mut command = cargo(run);
    let folder = env::current_dir().map_err(|error| format!("the current directory: {error}"))?;
    command.args(env::args_os().skip(1)).current_dir(folder).stdin(Stdio::inherit());
    let status = command.status().map_err(|error| format!("`{}` did not start: {error}", typed(&command)))?;
    let code = status.code().and_then(|it| u8::try_from(it).ok());
    code.map(ExitCode::from).ok_or_else(|| format!("`{}` ended by {status}", typed(&command)))
}
