//! Updates: what is newer is built beside what runs, and takes its place only when it works.

use futures_util::StreamExt as _;

use crate::apply::{Goal, Installer, Report, save};
use crate::disk;
use crate::fault::InstallFault;
use crate::lock::{Lock, Pin};
use crate::look;
use crate::manifest::{OnFailure, Source, Unit};
use crate::plan::Outcome;
use crate::progress::{Failure, Witness, failed};
use crate::sources;
use crate::status::{self, State};

/// What an update has come to.
#[derive(Debug)]
pub struct Updated {
    /// What changes, a line each; empty when everything is the newest there is.
    pub changes: Vec<String>,
    /// How it went; none where there was nothing to do, or nothing was to be done.
    pub report: Option<Report>,
    /// Whether what was there before is still what is started.
    pub rolled_back: bool,
}

impl Installer {
    /// Looks for newer commits, and with `wheels` for newer packages; builds what they make beside what runs and switches
    /// to it if it works. With `look` nothing is built.
    pub async fn update(
        &self,
        wheels: bool,
        look: bool,
        witness: &dyn Witness,
    ) -> Result<Updated, InstallFault> {
        let _busy = self.busy().await?;
        let before = look::lock(&self.layout.lock())?;
        let next = self.resolve(&before, wheels).await?;
        let changes = before.diff(&next);
        if look || next == before {
            return Ok(Updated { changes, report: None, rolled_back: false });
        }
        let file = self.layout.next_lock();
        // An update to the same that was cut short is gone on with: its wheels are known.
        let begun = look::lock(&file).unwrap_or_default();
        let same = |a: &Lock, b: &Lock| (a.revision, &a.core, &a.nodes) == (b.revision, &b.core, &b.nodes);
        let lock = if same(&begun, &next) { begun } else { next };
        save(&file, &lock)?;
        let had = look::observe(&self.manifest, &before, &self.layout)?.current;
        let wanted = self.manifest.build(&lock);
        let report = self.work(Goal { lock, file: file.clone(), before }, witness).await?;
        let rolled_back = had.is_some() && !report.failures.is_empty();
        if rolled_back {
            disk::remove(&file)?;
            if had.as_ref() != Some(&report.build) {
                disk::remove(&self.layout.build(&report.build).folder)?;
            }
            if had.as_ref() != Some(&wanted) {
                disk::remove(&self.layout.build(&wanted).folder)?;
            }
            self.say_rolled_back(report.failures.first())?;
        }
        Ok(Updated { changes, report: Some(report), rolled_back })
    }

    /// Goes back to what was started before the last update.
    pub async fn back(&self, witness: &dyn Witness) -> Result<Updated, InstallFault> {
        let _busy = self.busy().await?;
        let (file, previous) = (self.layout.lock(), self.layout.previous_lock());
        if !previous.exists() {
            return Err(InstallFault::NoPrevious { service: self.manifest.service.to_string() });
        }
        let (before, lock) = (look::lock(&file)?, look::lock(&previous)?);
        let changes = before.diff(&lock);
        let goal = Goal { lock, file: self.layout.next_lock(), before };
        let report = self.work(goal, witness).await?;
        let rolled_back = !report.failures.is_empty();
        Ok(Updated { changes, report: Some(report), rolled_back })
    }

    /// What runs is as well as before; what failed is told beside it.
    fn say_rolled_back(&self, failure: Option<&Failure>) -> Result<(), InstallFault> {
        let manifest = &self.manifest;
        let Some(mut status) = status::read(&manifest.workspace, &manifest.service)? else { return Ok(()) };
        (status.state, status.percent, status.failed) = (State::Installed, 100, failure.map(failed));
        Ok(status::write(&self.layout, &status)?)
    }

    /// The lock as it would be if everything were resolved now.
    async fn resolve(&self, before: &Lock, wheels: bool) -> Result<Lock, InstallFault> {
        let units = self.manifest.units();
        let one = |unit: Unit| async move { (self.newest(&unit).await, unit) };
        let found: Vec<_> =
            futures_util::stream::iter(units).map(one).buffer_unordered(self.limits.sources).collect().await;
        let mut next = before.clone();
        for (found, unit) in found {
            let wanted = self.manifest.wanted(&unit).unwrap_or_default();
            let found = match (found, before.pin(&self.manifest, &unit)) {
                (Ok(found), _) => found,
                // What may be left out does not keep the others from being updated.
                (Err(_), Some(pin)) if self.may_be_left_out(&unit) => pin.found.clone(),
                (Err(_), None) if self.may_be_left_out(&unit) => continue,
                (Err(fault), _) => return Err(fault),
            };
            next.set(&unit, Pin { wanted, found });
        }
        next.keep(&self.manifest);
        let receipts = look::observe(&self.manifest, before, &self.layout)?;
        let receipts = receipts.builds.get(&self.manifest.build(before)).cloned().unwrap_or_default();
        // A node that did not make it gets another chance.
        let again = receipts.values().any(|it| *it != Outcome::Done);
        if wheels || again || (&next.core, &next.nodes) != (&before.core, &before.nodes) {
            next.revision = before.revision + 1;
            next.wheels.clear();
        }
        Ok(next)
    }

    fn may_be_left_out(&self, unit: &Unit) -> bool {
        let Unit::Node(name) = unit else { return false };
        self.manifest.node(name).is_some_and(|it| it.on_failure != OnFailure::Fail)
    }

    async fn newest(&self, unit: &Unit) -> Result<String, InstallFault> {
        let told = |fault| match fault {
            InstallFault::Program { how, output, .. } => {
                let why = output.lines().rev().find(|it| !it.trim().is_empty()).unwrap_or(&how).to_owned();
                InstallFault::Fetch { what: unit.to_string(), why }
            }
            other => other,
        };
        let (url, revision) = match (unit, &self.manifest.source) {
            (Unit::Node(name), _) => match self.manifest.node(name) {
                Some(node) => (&node.url, &node.revision),
                None => return Ok(String::new()),
            },
            (Unit::Core, Source::Git { url, revision, .. }) => (url, revision),
            (Unit::Core, Source::Directory(path)) => return sources::folder_sum(path.clone()).await,
            (Unit::Core, Source::Tarball { sha256, .. }) => return Ok(sha256.to_string()),
            (Unit::Core, Source::Program { at, .. }) => {
                return Ok(at.as_ref().map(|it| it.display().to_string()).unwrap_or_default());
            }
        };
        self.git(url).resolve(revision).await.map(|it| it.to_string()).map_err(told)
    }
}
