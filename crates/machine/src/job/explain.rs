//! `roster job explain`: why a job is where it is.

use std::process::ExitCode;

use broker::document::ExplanationDocument;
use broker::life::State;
use broker::{Broker as _, Explanation, Held, JobId};

use super::queue::{At, unknown};
use super::status::wanted;
use super::text::{clean, count, date, death, span, when};

/// Classes that are told one by one.
const CLASSES: usize = 10;

/// Which job.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Its id
    #[arg(value_name = "ID")]
    id: JobId,
    #[command(flatten)]
    at: At,
}

pub(super) fn run(args: &Args) -> ExitCode {
    args.at.ask(async |queue| {
        let explained = queue.broker.explain(&args.id).await.map_err(|it| queue.findings(it))?;
        let Some(it) = explained else { return Err(vec![unknown(&args.id)]) };
        let out = lines(&it).into_iter().fold(String::new(), |out, line| out + &line + "\n");
        Ok(queue.answer(ExplanationDocument::from(&it), out, String::new()))
    })
}

/// The reasons, the one that decides first.
fn lines(it: &Explanation) -> Vec<String> {
    let status = &it.status;
    let (id, now) = (&status.job.id, status.now);
    let failed = status.error.as_deref().map(|error| format!("Its last failure: {}", clean(error, 500)));
    let head = |text: String| format!("Job {id} {text}");
    match &status.life.state {
        State::Waiting => {
            let mut lines = vec![head(format!("waits for a worker, {}.", wanted(&it.signature)))];
            if it.paused {
                lines.push("The queue is paused: nothing is claimed until `roster job resume`.".into());
            }
            lines.extend(it.held.as_ref().map(|held| limit(held, now)));
            lines.extend(classes(it));
            lines.extend(failed);
            lines
        }
        State::Delayed { due } => {
            let date = format!("{} ({})", date(*due), when(*due, now));
            let why = if status.life.attempts > 0 {
                "it failed and is tried again then"
            } else {
                "it was submitted for then"
            };
            let late = "Its time has come: the next sweep of a worker puts it into its line. Is none live?";
            let late = (*due + 5_000 < now).then(|| late.to_owned());
            [head(format!("is delayed until {date}: {why}."))].into_iter().chain(late).chain(failed).collect()
        }
        State::Running { worker, until, deadline, cancel } => {
            let mut lines = vec![head(format!("runs with `{worker}`."))];
            if *until > now {
                lines.push(format!(
                    "Its lease holds for another {}, and is renewed while the worker lives.",
                    span(until - now)
                ));
            } else {
                lines.push(format!(
                    "Its lease ran out {}: the worker is lost or stands still, and the next sweep of a live one returns the job.",
                    when(*until, now)
                ));
            }
            lines.push(format!("The attempt may take until {} ({}).", date(*deadline), when(*deadline, now)));
            if *cancel {
                lines.push("Its worker is asked to stop it.".into());
            }
            lines.into_iter().chain(failed).collect()
        }
        State::Dead(reason) => vec![
            head(format!("died{}.", status.finished.map(|at| since(at, now)).unwrap_or_default())),
            format!("Why: {}: {}", death(reason.kind), clean(&reason.message, 500)),
            format!(
                "{} of {} attempts failed, {} lost. `roster job replay {id}` puts it back.",
                status.life.attempts,
                status.job.max_attempts,
                count(status.life.crashes as usize, "worker")
            ),
        ],
        State::Succeeded | State::Cancelled => {
            let at = status.finished.map(|at| since(at, now)).unwrap_or_default();
            let was = if status.life.state == State::Cancelled { "was" } else { "has" };
            vec![head(format!("{was} {}{at}.", status.life.state.stage()))]
        }
    }
}

/// When a job ended.
fn since(at: u64, now: u64) -> String {
    format!(" {}, {}", when(at, now), date(at))
}

fn limit(held: &Held, now: u64) -> String {
    let key = &held.key;
    match (held.until, held.limit.concurrency) {
        (Some(at), _) => format!("The rate of its limit key `{key}` lets the next start {}.", when(at, now)),
        (None, Some(most)) => format!("Its limit key `{key}` holds it: {} of {most} run.", held.running),
        (None, None) => format!("Its limit key `{key}` holds it."),
    }
}

/// Who is live, and what each lacks.
fn classes(it: &Explanation) -> Vec<String> {
    let live = it.classes.len();
    let able = it.classes.iter().filter(|(_, unmet)| unmet.is_empty()).count();
    if live == 0 {
        return vec!["No worker is live: none has claimed from this queue of late.".into()];
    }
    let kinds = format!("{live} live worker class{}", if live == 1 { "" } else { "es" });
    if able > 0 {
        return vec![format!(
            "{able} of {kinds} can run it; it is claimed when one of their workers is free."
        )];
    }
    let mut lines = vec![format!("None of {kinds} can run it:")];
    for (has, unmet) in it.classes.iter().take(CLASSES) {
        let unmet: Vec<String> = unmet.iter().map(ToString::to_string).collect();
        lines.push(format!("  {}", clean(&has.to_string(), 200)));
        lines.extend(unmet.iter().map(|it| format!("    {it}")));
    }
    if live > CLASSES {
        lines.push(format!("  and {} more; `--json` has all", live - CLASSES));
    }
    lines
}
