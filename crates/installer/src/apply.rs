//! Carries a plan out: sources and models at the same time, environments one part after the other, and what is started
//! only when all of it is there and works.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use spec::env::{EnvSource, Secret};
use spec::model::InstallOrder;
use spec::notes::Finding;

use crate::disk;
use crate::fault::InstallFault;
use crate::fetch::{Fetcher, Patience};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::look;
use crate::manifest::{BuildId, Manifest};
use crate::order;
use crate::plan::{Observed, Outcome, Step, plan};
use crate::programs::Programs;
use crate::progress::{Failure, Progress, Witness};
use crate::status::{self, Busy, State};

/// How much at a time, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Repositories that are fetched at a time.
    pub sources: usize,
    /// Models that are downloaded at a time.
    pub downloads: usize,
    /// Bytes of the disk that models leave free.
    pub reserve: u64,
    /// For a script, a command, or the probe.
    pub script: Duration,
    /// For another install of the service, or what it left behind, to end.
    pub wait: Duration,
    /// How patient downloads are.
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sources: 8,
            downloads: 4,
            reserve: 1 << 30,
            script: Duration::from_mins(30),
            wait: Duration::from_secs(15),
            patience: Patience::default(),
        }
    }
}

/// The install of one service.
#[derive(Debug)]
pub struct Installer {
    pub(crate) manifest: Manifest,
    pub(crate) layout: Layout,
    pub(crate) programs: Programs,
    pub(crate) fetcher: Fetcher,
    pub(crate) limits: Limits,
}

/// What an install has come to.
#[derive(Debug)]
pub struct Report {
    /// The build that is started, or would be.
    pub build: BuildId,
    /// How many steps there were to do; 0 when everything was there.
    pub steps: usize,
    /// What failed; empty when all is well.
    pub failures: Vec<Failure>,
    /// The nodes that did not make it, by the policy of each.
    pub advice: Vec<InstallFault>,
}

/// The lock that a run goes by.
pub(crate) struct Goal {
    pub(crate) lock: Lock,
    /// Where it is kept until it counts.
    pub(crate) file: PathBuf,
    /// What counted before.
    pub(crate) before: Lock,
}

impl Installer {
    /// What an order asks for, with the variables of `environment`. `passed` are those that programs are given
    /// ([`crate::programs::is_passed`]).
    pub fn open(
        order: &InstallOrder,
        environment: &dyn EnvSource,
        passed: BTreeMap<String, String>,
        limits: Limits,
    ) -> Result<Self, Vec<Finding>> {
        let programs = Programs::new(passed.clone(), []);
        let order::Read { manifest, tokens } = order::read(order, environment, &programs)?;
        let secrets = tokens.values().filter_map(|(_, token)| token.clone());
        let values =
            manifest.nodes.iter().flat_map(|it| &it.env).map(|(_, value)| Secret::new(value.clone()));
        let programs = Programs::new(passed, secrets.chain(values));
        let layout = Layout::new(&manifest.workspace, &manifest.service);
        let fetcher = Fetcher::new(tokens, limits.patience);
        Ok(Self { manifest, layout, programs, fetcher, limits })
    }

    /// What is in no output.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let tokens = self.manifest.tokens.values().map(|it| it.expose().as_str());
        tokens.chain(self.manifest.nodes.iter().flat_map(|it| &it.env).map(|(_, value)| value.as_str()))
    }

    /// Its places.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What is wanted.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What there is to do.
    pub fn plan(&self) -> Result<Vec<Step>, InstallFault> {
        let lock = look::lock(&self.layout.lock())?;
        Ok(plan(&self.manifest, &lock, &look::observe(&self.manifest, &lock, &self.layout)?))
    }

    /// A step in words of this install.
    pub fn words(&self, step: &Step) -> String {
        match step {
            Step::Download(number) | Step::Show(number) => {
                let verb = if matches!(step, Step::Show(_)) { "show" } else { "download" };
                format!(
                    "{verb} {}",
                    self.manifest.models.get(*number).map(crate::manifest::Model::path).unwrap_or_default()
                )
            }
            other => other.to_string(),
        }
    }

    /// Does what there is to do.
    pub async fn apply(&self, witness: &dyn Witness) -> Result<Report, InstallFault> {
        let _busy = self.busy().await?;
        let lock = look::lock(&self.layout.lock())?;
        let before = lock.clone();
        self.work(Goal { lock, file: self.layout.lock(), before }, witness).await
    }

    pub(crate) async fn busy(&self) -> Result<Busy, InstallFault> {
        let began = tokio::time::Instant::now();
        loop {
            if let Some(busy) = Busy::take(&self.layout)? {
                return Ok(busy);
            }
            if began.elapsed() > self.limits.wait {
                return Err(InstallFault::Busy { service: self.manifest.service.to_string() });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn work(&self, mut goal: Goal, witness: &dyn Witness) -> Result<Report, InstallFault> {
        let manifest = &self.manifest;
        let observed = look::observe(manifest, &goal.lock, &self.layout)?;
        let steps = plan(manifest, &goal.lock, &observed);
        let bytes = manifest.models.iter().zip(&observed.models);
        let bytes = bytes.map(|(model, state)| if state.stored { model.size } else { state.begun }).collect();
        let progress = Progress::new(manifest, &self.layout, witness, steps.len(), bytes);
        if steps.is_empty() {
            // Nothing was done, and nothing is written: unless the last word was of a failure since mended.
            let known = status::read(&manifest.workspace, &manifest.service)?;
            let failures = if known.is_some_and(|it| it.state == State::Installed && it.failed.is_none()) {
                Vec::new()
            } else {
                progress.end(State::Installed)?
            };
            return self.report(&goal.lock, 0, failures);
        }
        if let Err(fault) = self.room(&steps, &observed) {
            progress.begin("room");
            progress.fail("room", fault);
            return self.report(&goal.lock, steps.len(), progress.end(State::Failed)?);
        }
        let built = progress
            .watch(async {
                let (lock, models) = (&mut goal, self.models(&steps, &progress));
                let (built, ()) = tokio::join!(self.build(&steps, lock, &progress), models);
                built?;
                if !progress.has_failed() {
                    self.finish(&goal, &progress).await?;
                }
                Ok::<_, InstallFault>(())
            })
            .await;
        if let Err(fault) = built {
            progress.fail("disk", fault);
        }
        let state = if progress.has_failed() { State::Failed } else { State::Installed };
        self.report(&goal.lock, steps.len(), progress.end(state)?)
    }

    fn report(&self, lock: &Lock, steps: usize, failures: Vec<Failure>) -> Result<Report, InstallFault> {
        let build = self.manifest.build(lock);
        let observed = look::observe(&self.manifest, lock, &self.layout)?;
        let receipts = observed.builds.get(&build).into_iter().flatten();
        let told = receipts.filter_map(|(step, outcome)| {
            let name = step.rsplit('/').next().unwrap_or_default().to_owned();
            match outcome {
                Outcome::Done => None,
                Outcome::LeftOut(why) => {
                    Some(InstallFault::LeftOut { name, what: "is left out", why: why.clone() })
                }
                Outcome::Warned(why) => {
                    Some(InstallFault::LeftOut { name, what: "stays as far as it got", why: why.clone() })
                }
            }
        });
        Ok(Report { build, steps, failures, advice: told.collect() })
    }

    /// Refuses what will not fit, before the first byte.
    fn room(&self, steps: &[Step], observed: &Observed) -> Result<(), InstallFault> {
        let Some(folder) = &self.manifest.models_folder else { return Ok(()) };
        let mut sums = BTreeSet::new();
        let missing = |number: &usize| {
            let (model, state) = (self.manifest.models.get(*number)?, observed.models.get(*number)?);
            sums.insert(&model.sha256).then(|| model.size.saturating_sub(state.begun))
        };
        let numbers = steps.iter().filter_map(|it| match it {
            Step::Download(number) => Some(number),
            _ => None,
        });
        let needed: u64 = numbers.filter_map(missing).sum();
        let there = disk::room(folder)?;
        if needed == 0 || needed.saturating_add(self.limits.reserve) <= there {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let needed = mib(needed.saturating_add(self.limits.reserve));
        Err(InstallFault::NoRoom { path: folder.clone(), needed, there: there >> 20 })
    }
}

impl Goal {
    pub(crate) fn save(&self) -> Result<(), InstallFault> {
        save(&self.file, &self.lock)
    }
}

/// Writes a lock.
pub(crate) fn save(path: &std::path::Path, lock: &Lock) -> Result<(), InstallFault> {
    let text = serde_json::to_string_pretty(lock).unwrap_or_default() + "\n";
    Ok(disk::replace_file(path, text.as_bytes(), 0o644)?)
}
