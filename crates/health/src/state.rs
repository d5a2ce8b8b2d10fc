//! The six states, and why. Pure: facts in, verdicts out.

use std::collections::BTreeMap;

use spec::ids::ProcessName;

use crate::facts::{
    Facts, Install, Millis, Phase, Planned, Probe, Process, Recovery, RedisLink, Service, Stage, Worker,
};
use crate::words::words;

words! {
    /// What a service, a worker or the machine is, from the best to the worst.
    State {
        /// It works, and so does all that it needs.
        Healthy = "healthy",
        /// It is on its way.
        Starting = "starting",
        /// It is installed and does not run.
        Stopped = "stopped",
        /// It is to run, and is not there.
        NotInstalled = "not_installed",
        /// It runs, or should, and does not do what it is for.
        Unhealthy = "unhealthy",
        /// Nobody wants it here. No reason for the machine to be worse than healthy.
        NotConfigured = "not_configured",
    }
}

/// What one service or worker is, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is.
    pub state: State,
    /// Since when it has been that.
    pub since: Millis,
    /// Why it is not healthy: each is the cause of the one before. Empty if it is healthy.
    pub cause: Vec<String>,
    /// What to do, as an imperative sentence. Empty if nothing is to be done.
    pub next: String,
}

/// What the machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineVerdict {
    /// Never better than the worst of its enabled services.
    pub state: State,
    /// Since when it has been that.
    pub since: Millis,
    /// What keeps it from being ready. Empty if and only if it is ready.
    pub blockers: Vec<Blocker>,
}

impl MachineVerdict {
    /// Whether jobs can be done: the start-up is complete, Redis answers, and everything that is enabled is healthy. What
    /// somebody stopped is not enabled any more, as long as something is left that does jobs.
    pub fn ready(&self) -> bool {
        self.blockers.is_empty()
    }
}

/// One reason for which a machine is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// What is in the way: a process, `redis`, `gpu0`, `machine`.
    pub name: String,
    /// What that is.
    pub state: State,
    /// The whole story: `openai-worker-3 not ready ← comfyui-gpu0 unhealthy ← exited 137`.
    pub why: String,
}

/// What everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// The machine.
    pub machine: MachineVerdict,
    /// Its services, in the order of the facts.
    pub services: Vec<Verdict>,
    /// Its workers, in the order of the facts.
    pub workers: Vec<Verdict>,
}

/// Judges. `before` is what was judged last: a state that has not changed keeps its `since`.
///
/// The plan is asked first, then the install probe, then the supervisor, then the probe, and the first that says
/// anything but *well* decides. What is well by itself and needs something that is not, is no better than `starting`
/// if that is starting, and `unhealthy` else.
pub fn judge(facts: &Facts, before: Option<&Verdicts>) -> Verdicts {
    let services = facts.services.iter().map(|it| Node::of_service(facts, it));
    let workers = facts.workers.iter().map(|it| Node::of_worker(facts, it));
    let nodes: Vec<Node<'_>> = services.chain(workers).collect();
    let mut found = Search::new(&nodes).all();
    let mut workers = found.split_off(facts.services.len());
    let mut services = found;
    if let Some(before) = before {
        // Names stay in their places from one snapshot to the next; where they do not, `since` begins anew.
        keep_since(&mut services, &before.services);
        keep_since(&mut workers, &before.workers);
    }
    let machine = machine(facts, &services, &workers, before.map(|it| &it.machine));
    Verdicts { machine, services, workers }
}

fn keep_since(now: &mut [Verdict], before: &[Verdict]) {
    if now.len() == before.len() {
        for (now, before) in now.iter_mut().zip(before).filter(|(now, before)| now.state == before.state) {
            now.since = before.since;
        }
    }
}

/// One service or worker, judged by itself.
struct Node<'a> {
    name: &'a ProcessName,
    needs: &'a [ProcessName],
    own: Verdict,
    /// It has not been started because of what it needs.
    waits: bool,
}

impl<'a> Node<'a> {
    fn of_service(facts: &Facts, service: &'a Service) -> Self {
        let Service { name, plan, install, process, probe, needs, .. } = service;
        let verdict = |state, cause: String, next: String| {
            let cause = if state == State::Healthy { vec![] } else { vec![cause] };
            Verdict { state, since: facts.at, cause, next }
        };
        let own = match (plan, install) {
            (Planned::Absent, _) => verdict(
                State::NotConfigured,
                "nothing in the roster needs it".into(),
                "Add a worker that needs it to the roster, if it is wanted.".into(),
            ),
            (Planned::Disabled, _) => verdict(
                State::NotConfigured,
                "it is switched off".into(),
                "Enable it in the profile, if it is wanted.".into(),
            ),
            (Planned::Enabled, Install::Missing { what }) => verdict(
                State::NotInstalled,
                format!("{what} is not there"),
                "Run its set-up again, or use an image that has it.".into(),
            ),
            (Planned::Enabled, Install::Underway { step, percent }) => {
                let far = percent.map(|it| format!(" {it}%")).unwrap_or_default();
                verdict(State::NotInstalled, format!("{step}{far}"), "Wait: it is being installed.".into())
            }
            (Planned::Enabled, Install::Failed { step, why, output, fix }) => {
                let words = if output.is_empty() { "" } else { "; its last words: " };
                let cause = format!("its install failed at `{step}`: {why}{words}{output}");
                verdict(State::NotInstalled, cause, fix.clone())
            }
            (Planned::Enabled, Install::Unknown) => verdict(
                State::Starting,
                "nobody has looked yet whether it is installed".into(),
                "Wait.".into(),
            ),
            (Planned::Enabled, Install::Present) => {
                let running = process.as_ref().map(|it| of_process(facts.at, name, it));
                match (running, probe) {
                    (Some(it), _) if it.state != State::Healthy => it,
                    (_, Probe::Failing { why }) => {
                        verdict(State::Unhealthy, why.clone(), look_at(name, process.is_some()))
                    }
                    (_, Probe::Pending) => {
                        verdict(State::Starting, "its probe has not answered yet".into(), "Wait.".into())
                    }
                    (_, Probe::Passing { .. } | Probe::Unneeded) => {
                        verdict(State::Healthy, String::new(), String::new())
                    }
                }
            }
        };
        let waits = own.state == State::Starting
            && *install == Install::Present
            && process.as_ref().is_some_and(|it| it.phase == Phase::Waiting);
        // What nobody wants needs nothing.
        Self { name, needs: if *plan == Planned::Enabled { needs } else { &[] }, own, waits }
    }

    fn of_worker(facts: &Facts, worker: &'a Worker) -> Self {
        let mut own = of_process(facts.at, &worker.name, &worker.process);
        if let Some(why) = worker.held.as_ref().filter(|_| own.state == State::Stopped) {
            own.cause = vec![format!("the machine holds it back ({why})")];
            own.next = "Make room: it is started again by itself.".into();
        }
        let waits = worker.process.phase == Phase::Waiting;
        Self { name: &worker.name, needs: &worker.needs, own, waits }
    }
}

/// What to do about something that runs and is not well.
fn look_at(name: &ProcessName, here: bool) -> String {
    if here {
        format!("Read its log (`roster logs {name}`); `roster restart {name}` if it does not recover.")
    } else {
        "Check its address, its key and its own status page.".into()
    }
}

/// What a process is, by what its supervisor says alone.
fn of_process(at: Millis, name: &ProcessName, process: &Process) -> Verdict {
    let trouble = || process.trouble.as_ref().map(ToString::to_string);
    let again = || trouble().map(|it| format!("started again after it {}", past(&it)));
    let (state, cause, next) = match process.phase {
        Phase::Healthy | Phase::Completed => (State::Healthy, None, String::new()),
        Phase::Waiting => (State::Starting, Some("it waits for its turn".into()), "Wait.".into()),
        Phase::Launching => {
            (State::Starting, Some(again().unwrap_or("it is being started".into())), "Wait.".into())
        }
        Phase::Started => {
            let cause = again().unwrap_or("it is not ready yet".into());
            (State::Starting, Some(cause), "Wait.".into())
        }
        Phase::Ready => {
            let cause = "it is ready, and its health probe has not succeeded yet";
            (State::Starting, Some(cause.into()), "Wait.".into())
        }
        Phase::Restarting => {
            let state = if process.trouble.is_some() { State::Unhealthy } else { State::Starting };
            (state, Some(trouble().unwrap_or("it is being restarted".into())), "Wait.".into())
        }
        Phase::Unhealthy => {
            let cause = trouble().unwrap_or("its health probe fails".into());
            (State::Unhealthy, Some(cause), look_at(name, true))
        }
        Phase::BackingOff { .. } => (
            State::Unhealthy,
            Some(trouble().unwrap_or("it ended".into())),
            format!("Wait: it is started again by itself. `roster logs {name}` says more."),
        ),
        Phase::Failed { .. } => (
            State::Unhealthy,
            Some(trouble().unwrap_or("it was started too often in vain".into())),
            format!(
                "Read its log (`roster logs {name}`), mend the cause, then start it: `roster restart {name}`."
            ),
        ),
        Phase::Gone => (
            State::Unhealthy,
            Some(trouble().unwrap_or("it ended".into())),
            format!("Read its log (`roster logs {name}`), then start it: `roster start {name}`."),
        ),
        Phase::Stopping => {
            (State::Stopped, Some("it is being stopped".into()), format!("Start it: `roster start {name}`."))
        }
        Phase::Stopped => {
            (State::Stopped, Some("somebody stopped it".into()), format!("Start it: `roster start {name}`."))
        }
    };
    Verdict { state, since: at, cause: cause.into_iter().collect(), next }
}

/// `exited 1` as it is; a state becomes a sentence: `was not healthy within 30 s`.
fn past(trouble: &str) -> String {
    if trouble.starts_with("exited") || trouble.starts_with("ended") || trouble.starts_with("could") {
        trouble.into()
    } else {
        format!("had {trouble}")
    }
}

/// Finds what each node is, what it needs first.
struct Search<'a> {
    nodes: &'a [Node<'a>],
    index: BTreeMap<&'a str, usize>,
    found: Vec<Option<Verdict>>,
    /// On the way from the first question: a need that leads back here is no cause.
    open: Vec<bool>,
}

impl<'a> Search<'a> {
    fn new(nodes: &'a [Node<'a>]) -> Self {
        let index = nodes.iter().enumerate().map(|(at, it)| (it.name.as_str(), at)).collect();
        Self { nodes, index, found: vec![None; nodes.len()], open: vec![false; nodes.len()] }
    }

    fn all(mut self) -> Vec<Verdict> {
        (0..self.nodes.len()).map(|at| self.find(at)).collect()
    }

    fn find(&mut self, at: usize) -> Verdict {
        if let Some(known) = &self.found[at] {
            return known.clone();
        }
        self.open[at] = true;
        let verdict = self.judge(at);
        self.open[at] = false;
        self.found[at] = Some(verdict.clone());
        verdict
    }

    fn judge(&mut self, at: usize) -> Verdict {
        let Node { needs, own, waits, .. } = &self.nodes[at];
        if own.state != State::Healthy && !waits {
            return own.clone();
        }
        // The worst of what it needs, if any of it is not healthy; of equals, the first.
        let mut worst: Option<(State, Vec<String>, String)> = None;
        for need in *needs {
            let (state, cause, next) = match self.index.get(need.as_str()).copied() {
                Some(it) if self.open[it] => continue,
                Some(it) => {
                    let Verdict { state, mut cause, .. } = self.find(it);
                    cause.insert(0, format!("{need} {state}"));
                    (state, cause, format!("See to {need} first."))
                }
                None => {
                    let next = format!("Plan the machine anew: it has no {need}.");
                    (State::NotConfigured, vec![format!("{need} is not on this machine")], next)
                }
            };
            if state != State::Healthy && worst.as_ref().is_none_or(|(worst, ..)| *worst < state) {
                worst = Some((state, cause, next));
            }
        }
        let Some((state, cause, next)) = worst else { return own.clone() };
        let state = match (state, waits) {
            (State::Starting, _) => State::Starting,
            (_, true) => State::Stopped,
            (_, false) => State::Unhealthy,
        };
        let next = if state == State::Starting { "Wait.".into() } else { next };
        Verdict { state, since: own.since, cause, next }
    }
}

/// `comfyui-worker-0 not ready ← comfyui-gpu0 unhealthy ← exited 1`.
pub fn story(name: &str, verdict: &Verdict) -> String {
    let word = if verdict.state == State::Healthy { "ready" } else { "not ready" };
    let mut story = format!("{name} {word}");
    for cause in &verdict.cause {
        story.push_str(" ← ");
        story.push_str(cause);
    }
    story
}

fn machine(
    facts: &Facts,
    services: &[Verdict],
    workers: &[Verdict],
    before: Option<&MachineVerdict>,
) -> MachineVerdict {
    let mut blockers = Vec::new();
    let mut block = |name: &str, state, why| blockers.push(Blocker { name: name.into(), state, why });
    let it = &facts.machine;
    let doing = it.doing.as_ref().map(|it| format!(" ← {it}")).unwrap_or_default();
    match it.stage {
        Stage::Running => {}
        Stage::Draining => block("machine", State::Healthy, "the machine is draining".into()),
        Stage::Stopping => block("machine", State::Stopped, "the machine is stopping".into()),
        stage => {
            let far = it.percent.map(|it| format!(" {it}%")).unwrap_or_default();
            block("machine", State::Starting, format!("the machine is starting ← {stage}{far}{doing}"));
        }
    }
    if it.recovery == Recovery::Failed {
        let cause = it.recovery_cause.as_ref().map(|it| format!(" ← {it}")).unwrap_or_default();
        block("machine", State::Unhealthy, format!("the machine has failed{cause}"));
    }
    match &facts.redis {
        RedisLink::Unneeded | RedisLink::Connected { .. } => {}
        RedisLink::Pending => block("redis", State::Starting, "redis has not answered yet".into()),
        RedisLink::Lost { why, .. } => {
            block("redis", State::Unhealthy, format!("redis does not answer ← {why}"));
        }
    }
    for gpu in &facts.gpus {
        if let Some(fault) = &gpu.fault {
            let name = format!("gpu{}", gpu.index);
            block(&name, State::Unhealthy, format!("{name} unhealthy ← {fault}"));
        }
    }
    let idle = is_idle(facts);
    let services = facts.services.iter().map(|it| (&it.name, it.is_unwanted())).zip(services);
    let workers = facts.workers.iter().map(|it| (&it.name, it.is_unwanted())).zip(workers);
    for ((name, unwanted), verdict) in services.chain(workers) {
        let unwanted = unwanted && verdict.state == State::Stopped;
        if !matches!(verdict.state, State::Healthy | State::NotConfigured) && (idle || !unwanted) {
            block(name.as_str(), verdict.state, story(name.as_str(), verdict));
        }
    }
    let state = blockers.iter().map(|it| it.state).max().unwrap_or(State::Healthy);
    let since = before.filter(|it| it.state == state).map_or(facts.at, |it| it.since);
    MachineVerdict { state, since, blockers }
}

/// Whether somebody stopped all that does jobs: every worker, or every service of a machine that has no workers.
fn is_idle(facts: &Facts) -> bool {
    match &facts.workers[..] {
        [] => facts.services.iter().all(|it| it.plan != Planned::Enabled || it.is_unwanted()),
        workers => workers.iter().all(Worker::is_unwanted),
    }
}

#[cfg(test)]
mod tests;
