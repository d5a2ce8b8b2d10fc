//! `roster status`: how it is with the machine, by its own health server.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use health::documents::{Item, Status};
use health::{Recovery, Stage, State};
use planner::cli::EXIT_CODES;
use planner::{Redactor, Told};
use spec::notes::{Code, Exit, Fault, Finding, Located};

use crate::ask::Server;
use crate::codes;
use crate::config::{self, Which};
use crate::say::Common;

/// Until an answer has to be there: the healthcheck of the compose file gives it 5 s.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two questions of who waits.
const AGAIN: Duration = Duration::from_millis(100);

/// Say how it is with the machine that runs here; exits with 5 unless all is healthy
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verb {
    /// Wait until it is ready; ends at once when it has failed or goes down
    #[arg(long)]
    wait: bool,
    /// Wait as many seconds at most
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
    /// Say nothing: the exit code is the answer
    #[arg(long, short)]
    quiet: bool,
    /// Ask there; left out, where the machine of this folder or container listens
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: Option<SocketAddr>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    common: Common,
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
enum StatusFault {
    #[error("no machine answers at {address}: {why}")]
    Silent { address: SocketAddr, why: String },
    #[error("the health server at {address} does not let us in")]
    Forbidden { address: SocketAddr },
    #[error("the machine was not ready within {} s", within.as_secs())]
    TooLate { within: Duration },
}

impl Fault for StatusFault {
    fn code(&self) -> Code {
        match self {
            Self::Silent { .. } => codes::SILENT,
            Self::Forbidden { .. } => codes::FORBIDDEN,
            Self::TooLate { .. } => codes::TOO_LATE,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Silent { .. } => "start it: `roster run`; or say where it listens with `--address`".into(),
            Self::Forbidden { .. } => "set `MACHINE_HEALTH_TOKEN` to the machine's token".into(),
            Self::TooLate { .. } => "see what is in the way above, or wait longer with `--timeout`".into(),
        }
    }
}

pub(crate) fn run(verb: &Verb) -> ExitCode {
    let (told, redactor) = match server(verb) {
        Ok((server, redactor)) => (ask(verb, &server), redactor),
        Err((findings, redactor)) => (Told::failed(findings, Redactor::default()), redactor),
    };
    let told = Told { redactor, ..told };
    if verb.quiet {
        let exit = told.findings.iter().map(|it| it.code.exit).min().unwrap_or(told.exit);
        return ExitCode::from(exit.code());
    }
    verb.common.say(told)
}

fn server(verb: &Verb) -> Result<(Server, Redactor), (Vec<Finding>, Redactor)> {
    let (mut server, redactor) = config::server(&verb.which, verb.address.is_some())?;
    server.address = verb.address.unwrap_or(server.address);
    Ok((server, redactor))
}

fn ask(verb: &Verb, server: &Server) -> Told<Status> {
    let until = verb.timeout.map(|it| Instant::now() + Duration::from_secs(it));
    let mut has_answered = false;
    loop {
        let left = until.map(|it| it.saturating_duration_since(Instant::now()));
        let answer = look(server, left.unwrap_or(PATIENCE).clamp(AGAIN, PATIENCE));
        let is_over = left.is_some_and(|it| it.is_zero());
        let waits = verb.wait
            && !is_over
            && match &answer {
                Ok(it) => !it.machine.ready && !goes_down(it),
                // It may not have begun to listen; once it has, silence is its end.
                Err(StatusFault::Silent { .. }) => !has_answered,
                Err(_) => false,
            };
        if !waits {
            let late = verb.wait && is_over;
            return match answer {
                Ok(status) => tell(status, verb, late),
                Err(fault) => failed(fault),
            };
        }
        has_answered |= answer.is_ok();
        sleep(AGAIN);
    }
}

fn look(server: &Server, patience: Duration) -> Result<Status, StatusFault> {
    let address = server.address;
    let silent = |why: String| StatusFault::Silent { address, why };
    let (status, body) = server.get("/status", patience).map_err(|it| silent(it.to_string()))?;
    match status {
        401 | 403 => Err(StatusFault::Forbidden { address }),
        _ => serde_json::from_slice(&body)
            .map_err(|_| silent(format!("it answers {status}, and is no machine"))),
    }
}

fn goes_down(status: &Status) -> bool {
    status.machine.recovery == Recovery::Failed
        || matches!(status.machine.stage, Stage::Draining | Stage::Stopping)
}

fn failed(fault: StatusFault) -> Told<Status> {
    Told::failed(vec![Finding::error(Located::nowhere(fault))], Redactor::default())
}

fn tell(status: Status, verb: &Verb, late: bool) -> Told<Status> {
    let well = if verb.wait { status.machine.ready } else { status.machine.state == State::Healthy };
    let mut findings = Vec::new();
    if late && !well {
        let within = Duration::from_secs(verb.timeout.unwrap_or_default());
        findings.push(Finding::error(Located::nowhere(StatusFault::TooLate { within })));
    }
    let out = text(&status);
    let exit = if well { Exit::Ok } else { Exit::Unhealthy };
    let (talk, redactor) = (String::new(), Redactor::default());
    Told { result: Some(status), out, talk, exit, findings, redactor }
}

fn text(status: &Status) -> String {
    let machine = &status.machine;
    let mut out = String::new();
    let recovery = match (machine.recovery, &machine.recovery_cause) {
        (Recovery::Healthy, _) => String::new(),
        (it, None) => format!(", {it}"),
        (it, Some(why)) => format!(", {it}: {why}"),
    };
    let far = machine.percent.filter(|_| machine.stage != Stage::Running);
    let far = far.map(|it| format!(" {it}%")).unwrap_or_default();
    let doing = machine.doing.as_ref().map(|it| format!(" ({it})")).unwrap_or_default();
    let _ = writeln!(out, "{}: {}, {}{far}{doing}{recovery}", machine.id, machine.state, machine.stage);
    let items: Vec<&Item> = status.services.iter().chain(&status.workers).filter(|it| it.enabled).collect();
    let width = items.iter().map(|it| it.name.len()).max().unwrap_or_default();
    for it in items {
        let mut why: String = it.cause.iter().fold(String::new(), |why, cause| why + " ← " + cause);
        if !it.next.is_empty() {
            let _ = write!(why, "  {}", it.next);
        }
        let _ = writeln!(out, "  {:<width$}  {}{why}", it.name, it.state);
    }
    for it in machine.blockers.iter().filter(|it| matches!(it.name.as_str(), "machine" | "redis")) {
        let _ = writeln!(out, "  {}", it.why);
    }
    out
}
