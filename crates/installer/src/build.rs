//! The build: its sources, its environment, its probe, and the switch to it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;

use crate::apply::{Goal, Installer, save};
use crate::disk;
use crate::fault::InstallFault;
use crate::layout::Build;
use crate::lock::Wheels;
use crate::look;
use crate::manifest::{BuildId, OnFailure, Unit};
use crate::names::NodeName;
use crate::plan::{Outcome, Step, plan};
use crate::progress::Progress;

impl Installer {
    /// The build, up to its probe.
    pub(crate) async fn build(
        &self,
        steps: &[Step],
        goal: &mut Goal,
        progress: &Progress<'_>,
    ) -> Result<(), InstallFault> {
        let left_out = self.fetch_all(steps, goal, progress).await?;
        let manifest = &self.manifest;
        if manifest.units().iter().any(|unit| {
            let is_left_out = matches!(unit, Unit::Node(name) if left_out.contains_key(name));
            goal.lock.pin(manifest, unit).is_none() && !is_left_out
        }) {
            // A part could not be had; its fault is told. The others wait for the next run.
            return Ok(());
        }
        let build = self.layout.build(&manifest.build(&goal.lock));
        for (name, why) in left_out {
            receipt(&build, &format!("place/{}", Unit::Node(name)), &Outcome::LeftOut(why))?;
        }
        let observed = look::observe(manifest, &goal.lock, &self.layout)?;
        let mut failed: BTreeSet<NodeName> = BTreeSet::new();
        for step in plan(manifest, &goal.lock, &observed) {
            if step.node().is_some_and(|it| failed.contains(it)) {
                continue;
            }
            let words = self.words(&step);
            let work = self.step(&step, &build, goal);
            let Some(work) = work else { continue };
            progress.begin(&words);
            match work.await {
                Ok(()) => {
                    if let Some(name) = step.receipt() {
                        receipt(&build, &name, &Outcome::Done)?;
                    }
                    progress.done(&words);
                }
                Err(fault) => {
                    let Some(node) = step.node().and_then(|it| manifest.node(it)) else {
                        progress.fail(&words, fault);
                        return Ok(());
                    };
                    let why = format!("{words}: {fault}");
                    match node.on_failure {
                        OnFailure::Fail => {
                            progress.fail(&words, fault);
                            failed.insert(node.name.clone());
                        }
                        OnFailure::Skip => {
                            let unit = Unit::Node(node.name.clone());
                            disk::remove(&build.unit(manifest, &unit))?;
                            receipt(&build, &format!("place/{unit}"), &Outcome::LeftOut(why))?;
                            failed.insert(node.name.clone());
                        }
                        OnFailure::Warn => {
                            if let Some(name) = step.receipt() {
                                receipt(&build, &name, &Outcome::Warned(why))?;
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Fetches what is to be fetched, many at a time, and notes in the lock what it was. Gives the nodes that may be left
    /// out, and are.
    async fn fetch_all(
        &self,
        steps: &[Step],
        goal: &mut Goal,
        progress: &Progress<'_>,
    ) -> Result<BTreeMap<NodeName, String>, InstallFault> {
        let units: Vec<&Unit> = (steps.iter())
            .filter_map(|it| match it {
                Step::Fetch(unit) => Some(unit),
                _ => None,
            })
            .collect();
        let mut left_out = BTreeMap::new();
        // What was fetched before a run was cut short is in no lock yet.
        let observed = look::observe(&self.manifest, &goal.lock, &self.layout)?;
        for (unit, pin) in observed.fetched {
            let fits = Some(&pin.wanted) == self.manifest.wanted(&unit).as_ref();
            if fits && goal.lock.pin(&self.manifest, &unit).is_none() {
                goal.lock.set(&unit, pin);
            }
        }
        if !units.is_empty() {
            look::stamp(&self.layout.fetched())?;
        }
        let lock = goal.lock.clone();
        let one = |unit: Unit| {
            let lock = &lock;
            async move {
                progress.begin(&format!("fetch {unit}"));
                let got = self.fetch(&unit, lock).await;
                (unit, got)
            }
        };
        let all: Vec<Unit> = units.into_iter().cloned().collect();
        let mut fetched = futures_util::stream::iter(all).map(one).buffer_unordered(self.limits.sources);
        while let Some((unit, got)) = fetched.next().await {
            let words = format!("fetch {unit}");
            match got {
                Ok(pin) => {
                    progress.done(&words);
                    goal.lock.set(&unit, pin);
                }
                Err(fault) => match &unit {
                    Unit::Node(name)
                        if self.manifest.node(name).is_some_and(|it| it.on_failure != OnFailure::Fail) =>
                    {
                        left_out.insert(name.clone(), fault.to_string());
                    }
                    _ => progress.fail(&words, fault),
                },
            }
        }
        goal.save()?;
        Ok(left_out)
    }

    /// A step of the build as work; `None` for what is done elsewhere.
    fn step<'a>(
        &'a self,
        step: &'a Step,
        build: &'a Build,
        goal: &'a mut Goal,
    ) -> Option<LocalBoxFuture<'a, Result<(), InstallFault>>> {
        Some(match step {
            Step::Place(unit) => Box::pin(async move {
                look::stamp(&build.done())?;
                self.place(build, unit)
            }),
            Step::Environment => Box::pin(async move { self.environment(build).make().await }),
            Step::Requirements(unit) => Box::pin(async move {
                let packages = self.require(build, unit, &goal.lock).await?;
                let of = self.manifest.requirement(&goal.lock, unit);
                goal.lock.wheels.insert(unit.to_string(), Wheels { of, packages });
                goal.save()
            }),
            Step::Script(name) => Box::pin(self.script(build, name)),
            Step::Command(number) => {
                let words = self.manifest.commands.get(*number)?;
                Box::pin(self.command(build, words))
            }
            Step::Variables(name) => {
                let node = self.manifest.node(name)?;
                Box::pin(async move { self.variables(build, node) })
            }
            _ => return None,
        })
    }

    /// Probes, switches, and removes what is neither started nor gone back to.
    pub(crate) async fn finish(&self, goal: &Goal, progress: &Progress<'_>) -> Result<(), InstallFault> {
        let manifest = &self.manifest;
        let id = manifest.build(&goal.lock);
        let build = self.layout.build(&id);
        let observed = look::observe(manifest, &goal.lock, &self.layout)?;
        for step in plan(manifest, &goal.lock, &observed) {
            let words = self.words(&step);
            match &step {
                Step::Probe => {
                    progress.begin(&words);
                    if let Err(fault) = self.probe(&build).await {
                        progress.fail(&words, fault);
                        return Ok(());
                    }
                    // From here on the build is trusted, whatever happens to the power.
                    let folder =
                        std::fs::File::open(&build.folder).map_err(disk::failed("open", &build.folder))?;
                    rustix::fs::syncfs(&folder)
                        .map_err(|it| disk::failed("write", &build.folder)(it.into()))?;
                    let text = serde_json::to_vec(&Outcome::Done).unwrap_or_default();
                    disk::replace_file(&build.receipt("probe"), &text, 0o644)?;
                }
                Step::Switch => {
                    progress.begin(&words);
                    self.switch(goal, &id, observed.current.as_ref())?;
                }
                Step::Remove(other) => disk::remove(&self.layout.build(other).folder)?,
                // Something has changed under our hands; the next run sees to it.
                _ => continue,
            }
            progress.done(&words);
        }
        Ok(disk::remove(&self.layout.fetched())?)
    }

    /// The lock first: cut short here, the next run goes forward.
    fn switch(&self, goal: &Goal, id: &BuildId, current: Option<&BuildId>) -> Result<(), InstallFault> {
        let mut lock = goal.lock.clone();
        lock.keep(&self.manifest);
        if let Some(current) = current {
            if goal.before != lock {
                save(&self.layout.previous_lock(), &goal.before)?;
            }
            disk::switch_link(&self.layout.previous(), current.as_str().as_ref())?;
        }
        save(&self.layout.lock(), &lock)?;
        if goal.file != self.layout.lock() {
            disk::remove(&goal.file)?;
        }
        Ok(disk::switch_link(&self.layout.current(), id.as_str().as_ref())?)
    }
}

/// Notes how a step ended.
fn receipt(build: &Build, name: &str, outcome: &Outcome) -> Result<(), InstallFault> {
    let text = serde_json::to_vec(outcome).unwrap_or_default();
    Ok(disk::put_file(&build.receipt(name), &text, 0o644)?)
}
