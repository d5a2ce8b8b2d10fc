//! `roster ps`: once, until all is well, or as a live table.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Args;
use clap::error::ErrorKind;
use rustix::termios::tcgetwinsize;
use spec::notes::{Exit, Finding};
use supervisor::control::Answers;
use supervisor::control::protocol::{Answer, Fleet, Request, Seen};

use super::{Asking, ask, table};

/// Nobody looks at a process without probes: for so long it may be about to crash.
const SIGN_OF_LIFE_MS: u64 = 1000;

/// What every process does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ps {
    /// Draw the table anew every second and whenever something happens; with --json, one document a line
    #[arg(long, short)]
    watch: bool,
    /// Wait until every process that is to run is healthy (0), or one has failed (5)
    #[arg(long, conflicts_with = "watch")]
    wait: bool,
    #[command(flatten)]
    asking: Asking,
}

pub(super) fn run(ps: &Ps) -> ExitCode {
    let common = &ps.asking.common;
    if ps.watch && !common.json && !std::io::stdout().is_terminal() {
        let why = "`ps --watch` draws on a terminal, and this is none; use `--json`, or `roster events -f`\n";
        return planner::refuse(&clap::Error::raw(ErrorKind::InvalidValue, why));
    }
    let follow = ps.watch || ps.wait;
    let answer = ask::ask(ps.asking.socket.clone(), Request::Ps { follow }).and_then(|mut answers| {
        if ps.watch {
            watch(&mut answers, common.json, common.colours()).map(|()| None)
        } else {
            settled(&mut answers, ps.wait).map(Some)
        }
    });
    match answer {
        Err(findings) => ask::failed(common, findings),
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(fleet)) => {
            let exit = if ps.wait && !fleet.processes.iter().all(is_settled_well) {
                Exit::Unhealthy
            } else {
                Exit::Ok
            };
            let out = table::lines(&fleet, common.colours()).join("\n") + "\n";
            ask::told(common, fleet, out, exit)
        }
    }
}

/// Whether there is nothing to wait for: it is well and has shown a sign of life, or somebody stopped it.
fn is_settled_well(it: &Seen) -> bool {
    let lived = it.uptime_ms.is_none_or(|it| it >= SIGN_OF_LIFE_MS);
    (it.is_well() && lived) || it.state == "stopped"
}

/// The first answer; or, to be waited for, the first one in which nothing is on its way any more or something failed.
fn settled(answers: &mut Answers, wait: bool) -> Result<Fleet, Vec<Finding>> {
    let mut last = None;
    while let Some(answer) = ask::next(answers) {
        if let Answer::Fleet(fleet) = answer? {
            let failed = |state: &str| matches!(state, "failed" | "gone" | "blocked");
            let over = fleet.processes.iter().all(is_settled_well)
                || fleet.processes.iter().any(|it| failed(&it.state));
            if over || !wait {
                return Ok(fleet);
            }
            last = Some(fleet);
        }
    }
    // It ended while we waited.
    last.ok_or_else(ask::cut)
}

/// Draws until the supervisor ends or nobody looks any more.
fn watch(answers: &mut Answers, json: bool, colour: bool) -> Result<(), Vec<Finding>> {
    let (mut out, mut drawn) = (std::io::stdout().lock(), 0);
    while let Some(answer) = ask::next(answers) {
        let Answer::Fleet(fleet) = answer? else { continue };
        let text = if json {
            serde_json::to_string(&fleet).unwrap_or_default() + "\n"
        } else {
            let (text, lines) = frame(&fleet, drawn, colour);
            drawn = lines;
            text
        };
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(())
}

/// The table over the one that was `drawn` with so many lines, and how many it has itself.
fn frame(fleet: &Fleet, drawn: usize, colour: bool) -> (String, usize) {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok().filter(|it| it.ws_col > 0 && it.ws_row > 2);
    let (width, height) = size.map_or((80, 24), |it| (it.ws_col.into(), usize::from(it.ws_row)));
    let mut lines = table::lines(fleet, colour);
    let hidden = (lines.len() + 1).saturating_sub(height - 1);
    lines.truncate(lines.len() - hidden);
    let more = if hidden > 0 { format!("  … {hidden} more") } else { String::new() };
    lines.push(table::summary(fleet) + &more);
    let back = if drawn > 0 { format!("\x1b[{drawn}A\r") } else { String::new() };
    let body: Vec<String> = lines.iter().map(|it| cut(it, width) + "\x1b[0m\x1b[K\n").collect();
    (format!("{back}{}\x1b[J", body.concat()), lines.len())
}

/// A line without what does not fit; colours have no width.
fn cut(line: &str, width: usize) -> String {
    let (mut shown, mut used, mut escape) = (String::new(), 0, false);
    for it in line.chars() {
        escape |= it == '\x1b';
        if escape {
            escape = it != 'm';
            shown.push(it);
        } else if used < width {
            used += 1;
            shown.push(it);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_line_is_cut_between_its_colours() {
        assert_eq!(cut("ab\x1b[31mcd\x1b[0mef", 3), "ab\x1b[31mc\x1b[0m");
        assert_eq!(cut("ab", 3), "ab");
    }
}
