//! `roster install`: what the services of this machine need before their first start.

mod orders;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use installer::status::{self, Failed, State, Status};
use installer::{InstallFault, Installer, Limits, Report, Updated};
use planner::cli::EXIT_CODES;
use planner::{Redactor, Told};
use serde::Serialize;
use spec::ids::ServiceName;
use spec::notes::{Exit, Fault as _, Finding, Located};
use tokio::signal::unix::{SignalKind, signal};

use crate::say::Common;
use orders::Order;
use watch::Watch;

/// The verbs about installs.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what would be done, and do nothing
    #[command(after_help = EXIT_CODES)]
    Plan(Of),
    /// Install what is missing; what is there stays, and what was begun is gone on with
    #[command(after_help = EXIT_CODES)]
    Apply(Of),
    /// Show how far the installs are
    #[command(after_help = EXIT_CODES)]
    Status(Of),
    /// Build what is newer beside what runs, and switch to it if it works
    #[command(after_help = EXIT_CODES)]
    Update {
        /// Only show what would change
        #[arg(long, conflicts_with = "back")]
        check: bool,
        /// Newer Python packages too, even where the sources are the same
        #[arg(long, conflicts_with = "back")]
        wheels: bool,
        /// Go back to what was there before the last update
        #[arg(long)]
        back: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Read everything again and compare it with what was installed
    #[command(after_help = EXIT_CODES)]
    Verify(Of),
}

/// Which installs.
#[derive(Clone, Debug, Args)]
pub(crate) struct Of {
    /// The services; left out, all that are installed on this machine
    services: Vec<ServiceName>,
    /// The ecosystem; left out, `ROSTER_INSTALL`, `ROSTER_ECOSYSTEM`, the generation in force in this folder or above it, or
    /// `ecosystem.json` in this folder
    #[arg(long, value_name = "FILE")]
    ecosystem: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// What one service's install has to say.
#[derive(Debug, Serialize)]
struct Said {
    service: ServiceName,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<String>,
    /// What there is to do, or was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<String>>,
    /// What changes with an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failed>,
}

impl Said {
    fn of(service: &ServiceName) -> Self {
        Self {
            service: service.clone(),
            build: None,
            steps: None,
            changes: None,
            rolled_back: None,
            status: None,
            failed: Vec::new(),
        }
    }
}

/// What all of them have to say.
struct Answers {
    said: Vec<Said>,
    out: String,
    talk: String,
    exit: Exit,
    findings: Vec<Finding>,
    redactor: Redactor,
}

#[derive(Serialize)]
struct Result<'a> {
    services: &'a [Said],
}

/// Does what was typed.
pub(crate) fn run(verb: &Verb) -> ExitCode {
    let (Verb::Plan(of) | Verb::Apply(of) | Verb::Status(of) | Verb::Update { of, .. } | Verb::Verify(of)) =
        verb;
    let mut answers = Answers {
        said: Vec::new(),
        out: String::new(),
        talk: String::new(),
        exit: Exit::Ok,
        findings: Vec::new(),
        redactor: Redactor::default(),
    };
    match orders::find(of.ecosystem.as_deref(), &of.services) {
        Ok(orders) => answers.all(verb, of, orders),
        Err(findings) => answers.findings = findings,
    }
    let Answers { said, out, talk, exit, findings, redactor } = answers;
    let result = Some(Result { services: &said });
    of.common.say(Told { result, out, talk, exit, findings, redactor })
}

impl Answers {
    fn all(&mut self, verb: &Verb, of: &Of, orders: Vec<Order>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime of one thread can be made");
        for order in orders {
            if let Verb::Status(_) = verb {
                self.status(&order);
                continue;
            }
            match Installer::open(&order.what, &order, orders::passed(), Limits::default()) {
                Ok(installer) => {
                    installer.secrets().for_each(|it| self.redactor.learn(it));
                    runtime.block_on(self.one(verb, of, &order.what.service, &installer));
                }
                Err(mut findings) => {
                    self.put(&format!("{}: not looked at\n", order.what.service));
                    if let Verb::Apply(_) = verb
                        && let Err(error) = status::refuse(&order.what, &findings)
                    {
                        findings.push(Finding::error(Located::nowhere(InstallFault::from(error))));
                    }
                    self.findings.extend(findings);
                }
            }
        }
    }

    async fn one(&mut self, verb: &Verb, of: &Of, service: &ServiceName, installer: &Installer) {
        let watch = Watch::new(service, of.common.json);
        let fault = match verb {
            Verb::Plan(_) | Verb::Status(_) => installer.plan().map(|steps| {
                let steps: Vec<String> = steps.iter().map(|it| installer.words(it)).collect();
                self.planned(service, steps);
            }),
            Verb::Apply(_) => obeying(installer.apply(&watch)).await.map(|it| self.applied(service, it)),
            Verb::Update { back: true, .. } => {
                obeying(installer.back(&watch)).await.map(|it| self.updated(service, it, false))
            }
            Verb::Update { check, wheels, .. } => obeying(installer.update(*wheels, *check, &watch))
                .await
                .map(|it| self.updated(service, it, *check)),
            Verb::Verify(_) => obeying(installer.verify()).await.map(|faults| self.verified(service, faults)),
        };
        if let Err(fault) = fault {
            self.put(&format!(
                "{service}: {}\n",
                if matches!(verb, Verb::Plan(_)) { "no plan" } else { "failed" }
            ));
            self.fault(fault);
        }
    }

    /// Adds to the answer.
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Adds to the talk beside it.
    fn tell(&mut self, text: &str) {
        self.talk.push_str(text);
    }

    fn fault(&mut self, fault: InstallFault) {
        if !fault.output().is_empty() {
            self.tell(&format!("The last lines of the program:\n{}\n", fault.output()));
        }
        self.findings.push(Finding::error(Located::nowhere(fault)));
    }

    fn planned(&mut self, service: &ServiceName, steps: Vec<String>) {
        if steps.is_empty() {
            self.put(&format!("{service}: nothing to do\n"));
        } else {
            self.put(&format!("{service}: {} steps\n", steps.len()));
            self.out.extend(steps.iter().map(|it| format!("  {it}\n")));
        }
        self.said.push(Said { steps: Some(steps), ..Said::of(service) });
    }

    fn applied(&mut self, service: &ServiceName, report: Report) {
        let said = self.reported(service, report);
        self.said.push(said);
    }

    fn reported(&mut self, service: &ServiceName, report: Report) -> Said {
        let Report { build, steps, failures, advice } = report;
        self.put(&match (steps, failures.len()) {
            (0, 0) => format!("{service}: nothing to do\n"),
            (_, 0) => format!("{service}: installed ({steps} steps)\n"),
            (_, failed) => format!("{service}: not installed; {failed} of {steps} steps failed\n"),
        });
        self.findings.extend(advice.into_iter().map(|it| Finding::advice(Located::nowhere(it))));
        let mut said = Said { build: Some(build.to_string()), ..Said::of(service) };
        for failure in failures {
            said.failed.push(Failed {
                step: failure.step.clone(),
                code: failure.fault.code().id.to_owned(),
                message: failure.fault.to_string(),
                output: failure.fault.output().to_owned(),
                fix: failure.fault.fix(),
            });
            self.tell(&format!("{service}: `{}` failed\n", failure.step));
            self.fault(failure.fault);
        }
        said
    }

    fn updated(&mut self, service: &ServiceName, updated: Updated, check: bool) {
        let Updated { changes, report, rolled_back } = updated;
        if changes.is_empty() && report.is_none() {
            self.put(&format!("{service}: everything is the newest there is\n"));
        } else {
            self.put(&format!("{service}: {} changes\n", changes.len()));
            self.out.extend(changes.iter().map(|it| format!("  {it}\n")));
        }
        if check && !changes.is_empty() {
            self.exit = Exit::Changes;
        }
        let mut said = match report {
            Some(report) => self.reported(service, report),
            None => Said::of(service),
        };
        if rolled_back {
            self.put(&format!("{service}: what was there before is still what is started\n"));
        }
        (said.changes, said.rolled_back) = (Some(changes), Some(rolled_back));
        self.said.push(said);
    }

    fn verified(&mut self, service: &ServiceName, faults: Vec<InstallFault>) {
        self.put(&match faults.len() {
            0 => format!("{service}: as it was installed\n"),
            faults => format!("{service}: {faults} things are not as they were installed\n"),
        });
        for it in faults {
            self.fault(it);
        }
        self.said.push(Said::of(service));
    }

    fn status(&mut self, order: &Order) {
        let service = &order.what.service;
        match status::read(order.what.workspace.as_ref(), service) {
            Ok(None) => {
                self.put(&format!("{service}: not installed\n"));
                self.exit = Exit::Unhealthy;
                self.said.push(Said::of(service));
            }
            Ok(Some(status)) => {
                let Status { state, step, percent, failed, .. } = &status;
                self.put(&match state {
                    State::Installed => format!("{service}: installed\n"),
                    State::Installing => format!("{service}: installing, {percent} %: {step}\n"),
                    State::Interrupted => format!("{service}: interrupted at {percent} %: {step}\n"),
                    State::Failed => format!("{service}: failed at {percent} %\n"),
                });
                if let Some(it) = failed {
                    self.put(&format!("  {}: {} ({})\n  {}\n", it.step, it.message, it.code, it.fix));
                    self.out.extend(it.output.lines().map(|it| format!("  | {it}\n")));
                }
                if *state != State::Installed {
                    self.exit = Exit::Unhealthy;
                }
                self.said.push(Said { status: Some(status), ..Said::of(service) });
            }
            Err(error) => self.fault(error.into()),
        }
    }
}

/// Ends the work, and the programs that it runs, at the first SIGTERM or SIGINT.
async fn obeying<T>(
    work: impl Future<Output = std::result::Result<T, InstallFault>>,
) -> std::result::Result<T, InstallFault> {
    let listen = |kind| signal(kind).expect("signals can be listened to");
    let (mut term, mut int) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    tokio::select! {
        it = work => it,
        _ = term.recv() => Err(InstallFault::Stopped),
        _ = int.recv() => Err(InstallFault::Stopped),
    }
}
