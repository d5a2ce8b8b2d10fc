//! `roster events`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use supervisor::control::protocol::{Answer, Request, Transition};

use super::{Asking, ask, table};

/// What happened.
#[derive(Clone, Debug, Args)]
pub(crate) struct Events {
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    asking: Asking,
}

/// An event on a line.
pub(crate) fn line(it: &Transition, width: usize, json: bool, colour: bool) -> String {
    if json {
        return serde_json::to_string(it).unwrap_or_default();
    }
    let pid = it.pid.map(|it| format!("  pid {it}")).unwrap_or_default();
    let why = it.why.as_ref().map(|it| format!("  {it}")).unwrap_or_default();
    let fix = it.fix.as_ref().map(|it| format!("; {it}")).unwrap_or_default();
    let state = table::painted(&it.state, 0, colour);
    format!("{}  {:<width$}  {state}{pid}{why}{fix}", table::clock(it.at_ms), it.process.as_str())
}

pub(super) fn run(events: &Events) -> ExitCode {
    let common = &events.asking.common;
    let mut answers = match ask::ask(events.asking.socket.clone(), Request::Events { follow: events.follow })
    {
        Ok(it) => it,
        Err(findings) => return ask::failed(common, findings),
    };
    let mut out = std::io::stdout().lock();
    let mut width = 0;
    while let Some(answer) = ask::next(&mut answers) {
        let text = match answer {
            Err(findings) => return ask::failed(common, findings),
            Ok(Answer::Event(it)) => {
                width = width.max(it.process.as_str().len());
                line(&it, width, common.json, common.colours())
            }
            Ok(Answer::Lost(events)) if common.json => format!("{{\"lost\":{events}}}"),
            Ok(Answer::Lost(events)) => {
                format!("({events} events were not shown: this terminal is too slow)")
            }
            Ok(_) => continue,
        };
        // A reader that went away is no fault.
        if writeln!(out, "{text}").is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}
