//! What the runtime verbs share: their flags, and the way from what they found out to an exit code. The planning verbs
//! answer in the same form, so `--json` and errors look alike everywhere.

use std::process::ExitCode;

use clap::Args;
use planner::cli::Color;
use planner::{Look, Told, World};
use serde::Serialize;
use spec::notes::Code;

/// The error codes of the runtime verbs.
pub(crate) const CODES: &[&[Code]] = &[
    broker::codes::ALL,
    crate::codes::ALL,
    health::codes::ALL,
    importer::codes::ALL,
    installer::codes::ALL,
    supervisor::codes::ALL,
    worker::codes::ALL,
];

/// The world of this process.
pub(crate) fn world() -> World {
    World::real("roster", CODES)
}

/// What every runtime verb takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// Answer as JSON on standard output: one document, or one a line where the answer has no end
    #[arg(long)]
    pub(crate) json: bool,
    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
}

impl Common {
    /// Whether what is printed on standard output is to have colours.
    pub(crate) fn colours(&self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never,
        }
    }

    /// Prints what was found out, and gives its exit code.
    pub(crate) fn say<T: Serialize>(&self, told: Told<T>) -> ExitCode {
        let look = Look { json: self.json, plain: self.color == Color::Never, strict: false };
        planner::print(&told.answer(look), self.color)
    }
}
