//! The seams through which the world comes in: environment variables, GPUs, the host, the working directory.

use std::path::PathBuf;

use spec::env::{EnvSource, NotUnicode};
use spec::ids::EnvKey;
use spec::notes::Code;

use crate::inventory::{Gpus, Host, Nvml};

/// What a run sees of the world. `World::real` in the binaries; tests put in maps and lists.
pub struct World {
    /// Environment variables, asked for by name only.
    pub environment: Box<dyn EnvSource>,
    /// The cards.
    pub gpus: Box<dyn Gpus>,
    /// Cores and memory.
    pub host: Host,
    /// Where the command was typed.
    pub directory: PathBuf,
    /// How people start us, for the commands in our advice: `cargo xtask` or `roster`.
    pub program: &'static str,
    /// The error codes of its verbs beside the planning ones, which `explain` is to know.
    pub codes: &'static [&'static [Code]],
}

impl World {
    /// The process's own world.
    pub fn real(program: &'static str, codes: &'static [&'static [Code]]) -> Self {
        Self {
            environment: Box::new(ProcessEnvironment),
            gpus: Box::new(Nvml),
            host: Host::look(),
            directory: std::env::current_dir().unwrap_or_default(),
            program,
            codes,
        }
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
struct ProcessEnvironment;

impl EnvSource for ProcessEnvironment {
    fn get(&self, key: &EnvKey) -> Result<Option<String>, NotUnicode> {
        match std::env::var_os(key.as_str()) {
            None => Ok(None),
            Some(value) => value.into_string().map(Some).map_err(|_| NotUnicode { key: key.clone() }),
        }
    }
}
