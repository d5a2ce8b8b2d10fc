//! Where things are, and how other programs are started.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The root of the repository. `cargo run` says it at run time; the compiled-in path serves a binary started by hand.
pub(crate) fn root() -> PathBuf {
    let xtask = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().expect("xtask is a folder of the workspace").to_owned()
}

/// Where `setup` installs: `ROSTER_TOOLS` when set, else `.tools`; a relative path starts at the root.
pub(crate) fn tools() -> PathBuf {
    let chosen = env::var_os("ROSTER_TOOLS").filter(|it| !it.is_empty());
    root().join(chosen.unwrap_or_else(|| ".tools".into()))
}

/// The cargo that started us, so that a nested call uses the same toolchain.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// A program started in the root, without standard input: nothing here may wait for a person.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// Every file that git knows, or would add, by its path from the root. One that was removed and not yet committed is not told.
pub(crate) fn files() -> Result<Vec<String>, String> {
    let listed =
        output(command("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    Ok(listed.split_terminator('\0').filter(|it| root().join(it).is_file()).map(str::to_owned).collect())
}

/// Runs `command` with our own stdout and stderr; a failure names the command as one would type it.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{}` failed ({status})", typed(command))),
        Err(error) => Err(format!("`{}` did not start: {error}", typed(command))),
    }
}

/// Runs `command` quietly and returns its stdout; a failure carries its stderr.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } =
        command.output().map_err(|error| format!("`{}` did not start: {error}", typed(command)))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(format!("`{}` failed ({status})\n{}", typed(command), String::from_utf8_lossy(&stderr).trim_end()))
}

/// The command line as a person would type it: programs by their name, not their path.
pub(crate) fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Reads a text file; a failure names it.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file and the folders above it; a failure names it.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text)).map_err(|error| format!("{}: {error}", path.display()))
}

/// Removes a folder with all in it, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<(), String> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Where cargo builds, which `CARGO_TARGET_DIR` and configuration files may move.
pub(crate) fn target() -> Result<PathBuf, String> {
    let metadata = output(&mut cargo(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    Ok(target.into())
}
