//! `roster logs`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use spec::ids::ProcessName;
use supervisor::control::protocol::{Answer, Request, Which};

use super::{Asking, ask};

/// What processes have written.
#[derive(Clone, Debug, Args)]
pub(crate) struct Logs {
    /// The processes; left out, all
    names: Vec<ProcessName>,
    /// Go on with what is written from now on
    #[arg(long, short)]
    follow: bool,
    /// How many of the last lines of each file
    #[arg(long, short = 'n', default_value_t = 100, value_name = "N")]
    lines: u32,
    #[command(flatten)]
    asking: Asking,
}

pub(super) fn run(logs: Logs) -> ExitCode {
    let Logs { names, follow, lines, asking: Asking { socket, common } } = logs;
    // Whose line it is has to be said only where that can be a question.
    let named = names.len() != 1;
    let of = if names.is_empty() { Which::All } else { Which::Names(names) };
    let mut answers = match ask::ask(socket, Request::Logs { of, lines, follow }) {
        Ok(it) => it,
        Err(findings) => return ask::failed(&common, findings),
    };
    let mut out = std::io::stdout().lock();
    while let Some(answer) = ask::next(&mut answers) {
        let line = match answer {
            Err(findings) => return ask::failed(&common, findings),
            Ok(Answer::Log(line)) => line,
            Ok(_) => continue,
        };
        let bytes = if common.json {
            serde_json::to_vec(&line).unwrap_or_default()
        } else {
            let name = if named { format!("{} | ", line.process) } else { String::new() };
            [name.as_bytes(), line.line.as_ref()].concat()
        };
        // A reader that went away is no fault.
        if out.write_all(&bytes).and_then(|()| out.write_all(b"\n")).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}
