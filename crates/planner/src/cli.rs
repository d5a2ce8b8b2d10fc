//! The planning verbs as `clap` reads them. `roster` and `cargo xtask` flatten [`Verb`] into their own commands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use spec::ids::{ProfileName, ServiceName};

use crate::generations::GenerationId;
use crate::inventory::GpuFlag;

/// What the exit codes mean, for `--help`.
pub const EXIT_CODES: &str = "Exit codes:
  0   done, or nothing to change
  1   an input is wrong, or something could not be done
  2   changes or drift found
  3   the roster does not fit this machine
  4   a secret or variable is missing
  5   something that runs is unhealthy
  64  the command line is wrong";

/// The planning verbs.
#[derive(Clone, Debug, Subcommand)]
#[allow(
    missing_docs,
    reason = "a flattened group is documented at its type; a comment here would replace its help"
)]
pub enum Verb {
    /// Show the plan of a profile or roster; writes nothing
    #[command(after_help = EXIT_CODES)]
    Plan {
        #[command(flatten)]
        choice: Choice,
        #[command(flatten)]
        common: Common,
    },
    /// Say why a process, port, variable, profile or error code is what it is; writes nothing
    #[command(after_help = EXIT_CODES)]
    Explain {
        /// A process (`openai-worker-3`), a port (`8188`), a variable (`REDIS_URL`), a profile, `image`, or an error
        /// code (`SPEC003`)
        what: String,
        #[command(flatten)]
        choice: Flags,
        #[command(flatten)]
        common: Common,
    },
    /// Compare the plan with the generation in force, or two profiles with each other; writes nothing
    #[command(after_help = EXIT_CODES)]
    Diff {
        #[command(flatten)]
        choice: Choice,
        /// Compare with this profile instead of the generation in force
        #[arg(long, value_name = "PROFILE")]
        against: Option<ProfileName>,
        #[command(flatten)]
        common: Common,
    },
    /// Write `.env`, `.env.secret`, `docker-compose.yaml` and `ecosystem.json` as one generation
    #[command(after_help = EXIT_CODES)]
    EnvBuild {
        #[command(flatten)]
        choice: Choice,
        /// Keep files of others under another name, and discard edits of generated ones
        #[arg(long)]
        force: bool,
        /// Write nothing; exit with 2 when the generation in force is not what would be written
        #[arg(long, conflicts_with = "force")]
        check: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Add, replace, remove or list the named machines beside the default one
    #[command(after_help = EXIT_CODES)]
    ComposeProfile {
        /// The roster of the machine: `comfyui:2,openai:4`
        #[arg(required_unless_present_any = ["list", "remove"])]
        roster: Option<String>,
        /// Its name; left out, the roster with hyphens: `comfyui-2-openai-4`
        #[arg(long)]
        name: Option<ServiceName>,
        /// The profile that its environment is taken of; left out, the one it has, else the default machine's
        #[arg(long, value_name = "PROFILE")]
        env: Option<ProfileName>,
        /// Remove the machine of this name
        #[arg(long, value_name = "NAME", conflicts_with_all = ["roster", "list", "name", "env"])]
        remove: Option<ServiceName>,
        /// List the machines
        #[arg(long, conflicts_with_all = ["roster", "name", "env"])]
        list: bool,
        #[command(flatten)]
        hardware: Hardware,
        /// Keep files of others under another name, and discard edits of generated ones
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Print the process ecosystem; writes nothing
    #[command(after_help = EXIT_CODES)]
    Ecosystem {
        #[command(flatten)]
        choice: Choice,
        #[command(flatten)]
        common: Common,
    },
    /// Check the mapping, a profile or all of them, and the generation in force; writes nothing
    #[command(after_help = EXIT_CODES)]
    Check {
        #[command(flatten)]
        choice: Choice,
        #[command(flatten)]
        common: Common,
    },
    /// Put the previous generation back in force
    #[command(after_help = EXIT_CODES)]
    Rollback {
        /// The generation to put in force instead of the previous one
        #[arg(long, value_name = "GENERATION", value_parser = generation)]
        to: Option<GenerationId>,
        #[command(flatten)]
        common: Common,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
        #[command(flatten)]
        common: Common,
    },
    /// Print the manual page, or write one page a command into a folder
    Man {
        /// The folder; left out, the main page goes to standard output
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
}

/// What to plan: a profile or a bare roster, on which hardware.
#[derive(Clone, Debug, Default, Args)]
#[allow(missing_docs, reason = "a comment on a flattened group would replace its help")]
pub struct Choice {
    /// The environment profile, the same as `--profile`
    #[arg(value_name = "PROFILE", conflicts_with = "profile")]
    pub positional: Option<ProfileName>,
    #[command(flatten)]
    pub flags: Flags,
}

/// [`Choice`] without its positional form.
#[derive(Clone, Debug, Default, Args)]
#[allow(missing_docs, reason = "a comment on a flattened group would replace its help")]
pub struct Flags {
    /// The environment profile: `config/environments/profiles/<PROFILE>.json`
    #[arg(long)]
    pub profile: Option<ProfileName>,
    /// A roster, `comfyui:2,openai:auto`; replaces the profile's
    #[arg(long, value_name = "ROSTER")]
    pub spec: Option<String>,
    #[command(flatten)]
    pub hardware: Hardware,
    /// Advice is an error
    #[arg(long)]
    pub strict: bool,
}

/// On which hardware; left out: the profile's block, else a look at this machine.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub struct Hardware {
    /// Declare N equal GPUs: `2` or `2x48GiB`
    #[arg(long, value_name = "N")]
    pub gpus: Option<GpuFlag>,
    /// Read the inventory from a file
    #[arg(long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// Look at this machine, whatever the profile says
    #[arg(long)]
    pub detect: bool,
}

/// What every verb takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// The project; left out, the nearest folder at or above this one with `config/service-mapping.json`
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Where generations are written; left out, the project
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Answer as one JSON document on standard output
    #[arg(long)]
    pub json: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

fn generation(text: &str) -> Result<GenerationId, String> {
    GenerationId::parse(text)
        .ok_or_else(|| "a generation is 16 hexadecimal digits; `.roster/history` lists them".into())
}

impl Choice {
    /// The profile, said either way.
    pub fn profile(&self) -> Option<&ProfileName> {
        self.positional.as_ref().or(self.flags.profile.as_ref())
    }

    /// The same, said by flags only.
    #[must_use]
    pub fn into_flags(self) -> Flags {
        let profile = self.positional.or(self.flags.profile);
        Flags { profile, ..self.flags }
    }
}

impl Verb {
    /// What every verb takes.
    pub fn common(&self) -> &Common {
        match self {
            Self::Plan { common, .. }
            | Self::Explain { common, .. }
            | Self::Diff { common, .. }
            | Self::EnvBuild { common, .. }
            | Self::ComposeProfile { common, .. }
            | Self::Ecosystem { common, .. }
            | Self::Check { common, .. }
            | Self::Rollback { common, .. }
            | Self::Completions { common, .. }
            | Self::Man { common, .. } => common,
        }
    }
}
