//! A build's progress as lines: each step when it starts and when it ends, and what a failed one printed.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex};

/// How much of a step's output is kept for the case that it fails.
const KEPT: usize = 60;
/// The longest line for a step's name.
const WIDTH: usize = 110;

/// What the engine says of one step.
struct News {
    step: String,
    name: String,
    state: State,
}

enum State {
    Known,
    Started,
    Cached,
    /// After so many seconds.
    Done(f64),
    Failed(String),
}

impl From<Vertex> for News {
    fn from(it: Vertex) -> Self {
        let state = match (it.started, it.completed) {
            _ if !it.error.is_empty() => State::Failed(it.error),
            _ if it.cached => State::Cached,
            (Some(from), Some(to)) => {
                #[expect(clippy::cast_precision_loss, reason = "no step takes 2^52 seconds")]
                let seconds = (to.seconds - from.seconds) as f64;
                State::Done(seconds + f64::from(to.nanos - from.nanos) / 1e9)
            }
            (Some(_), None) => State::Started,
            (None, _) => State::Known,
        };
        Self { step: it.digest, name: it.name, state }
    }
}

/// What is known of the steps.
#[derive(Default)]
pub(super) struct Progress {
    verbose: bool,
    steps: BTreeMap<String, Step>,
}

#[derive(Default)]
struct Step {
    name: String,
    started: bool,
    ended: bool,
    output: VecDeque<String>,
    /// The start of a line whose end has not come yet.
    partial: String,
    error: String,
}

impl Progress {
    /// With `verbose`, all output is shown as it comes.
    pub(super) fn new(verbose: bool) -> Self {
        Self { verbose, steps: BTreeMap::new() }
    }

    /// What one message of the engine adds to the screen.
    pub(super) fn hear(&mut self, status: StatusResponse) -> Vec<String> {
        let mut lines = Vec::new();
        for vertex in status.vertexes {
            lines.extend(self.news(News::from(vertex)));
        }
        for log in status.logs {
            let step = self.steps.entry(log.vertex).or_default();
            step.partial += &String::from_utf8_lossy(&log.msg);
            while let Some((line, rest)) = step.partial.split_once('\n') {
                let (line, rest) = (line.trim_end().to_owned(), rest.to_owned());
                step.partial = rest;
                lines.extend(self.verbose.then(|| format!("image:     {line}")));
                step.output.push_back(line);
                if step.output.len() > KEPT {
                    step.output.pop_front();
                }
            }
        }
        lines
    }

    fn news(&mut self, news: News) -> Option<String> {
        // Its own errands: reading the Dockerfile, asking for metadata.
        if news.name.starts_with("[internal]") {
            return None;
        }
        let step = self.steps.entry(news.step).or_default();
        step.name = one_line(&news.name);
        match news.state {
            State::Failed(error) => step.error = error,
            State::Cached if !step.ended => {
                step.ended = true;
                return Some(format!("image: {}: unchanged", step.name));
            }
            State::Done(seconds) if !step.ended => {
                step.ended = true;
                return Some(format!("image: {}: {seconds:.1} s", step.name));
            }
            State::Started if !step.started => {
                step.started = true;
                return Some(format!("image: {} ...", step.name));
            }
            State::Known | State::Started | State::Cached | State::Done(_) => {}
        }
        None
    }

    /// What to say when the engine gave up: the step, what it printed last, and why.
    pub(super) fn failure(&self, engine: &str) -> String {
        let Some(step) = self.steps.values().find(|step| !step.error.is_empty()) else {
            return engine.to_owned();
        };
        let mut text = format!("{}\n", step.name);
        for line in step.output.iter().chain((!step.partial.is_empty()).then_some(&step.partial)) {
            let _ = writeln!(text, "  | {line}");
        }
        text + &format!("  {}", one_line(&step.error))
    }
}

/// A name as one line of bounded length: shell commands come with their line breaks turned into runs of spaces.
fn one_line(name: &str) -> String {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    match name.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use bollard::moby::buildkit::v1::{StatusResponse, VertexLog};

    use super::{News, Progress, State};

    fn heard(progress: &mut Progress, name: &str, state: State) -> Option<String> {
        progress.news(News { step: name.to_owned(), name: name.to_owned(), state })
    }

    #[test]
    fn a_step_is_told_when_it_starts_and_once_when_it_ends() {
        let mut progress = Progress::new(false);
        let run = "[os 1/2] RUN a    && b";
        assert_eq!(heard(&mut progress, run, State::Known), None);
        assert_eq!(heard(&mut progress, run, State::Started).unwrap(), "image: [os 1/2] RUN a && b ...");
        assert_eq!(
            heard(&mut progress, run, State::Done(2.04)).unwrap(),
            "image: [os 1/2] RUN a && b: 2.0 s"
        );
        assert_eq!(heard(&mut progress, run, State::Done(2.04)), None);
        let copy = "[os 2/2] COPY c";
        assert_eq!(heard(&mut progress, copy, State::Cached).unwrap(), "image: [os 2/2] COPY c: unchanged");
        assert_eq!(heard(&mut progress, "[internal] load metadata", State::Started), None);
    }

    #[test]
    fn a_failed_step_is_told_with_what_it_printed() {
        let mut progress = Progress::new(false);
        heard(&mut progress, "RUN apt-get update", State::Started);
        let log = |msg: &str| VertexLog {
            vertex: "RUN apt-get update".to_owned(),
            msg: msg.into(),
            ..VertexLog::default()
        };
        let logs = vec![log("Err:1 no su"), log("ch host\nE: gave up\nand no line end")];
        assert!(progress.hear(StatusResponse { logs, ..StatusResponse::default() }).is_empty());
        heard(&mut progress, "RUN apt-get update", State::Failed("exit code: 100".to_owned()));
        assert_eq!(
            progress.failure("the engine's words"),
            "RUN apt-get update\n  | Err:1 no such host\n  | E: gave up\n  | and no line end\n  exit code: 100"
        );
        assert_eq!(Progress::new(false).failure("the engine's words"), "the engine's words");
    }
}
