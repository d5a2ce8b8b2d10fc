//! The xtask that a new user compiles: without the feature `e2e`, which brings an async runtime and clients of all kinds.
//! Verbs that need them are run by the xtask that has them.

use std::{
    env,
    os::unix::process::CommandExt as _,
    process::{ExitCode, Stdio},
};

use crate::workspace::{cargo, typed};

/// A profile of cargo's for verbs that measure.
pub(crate) const RELEASE: &str = "release";
/// A profile of ours for verbs that only drive: quick to compile, and in a folder of its own, so that this xtask and that
/// one do not replace each other.
pub(crate) const DRIVER: &str = "driver";

/// Becomes this command line with the feature `e2e`, built by this profile: whoever ends it ends that.
pub(crate) fn again(profile: &str) -> Result<ExitCode, String> {
    eprintln!("xtask: this verb is compiled on its first use, which takes minutes");
    let run = ["run", "--profile", profile, "--package", "xtask", "--features", "e2e", "--"];
    let mut command = cargo(run);
    let folder = env::current_dir().map_err(|error| format!("the current directory: {error}"))?;
    command.args(env::args_os().skip(1)).current_dir(folder).stdin(Stdio::inherit());
    Err(format!("`{}` did not start: {}", typed(&command), command.exec()))
}
