//! Models, and what else is beside the build: the files that are never removed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;

use crate::apply::Installer;
use crate::disk;
use crate::fault::InstallFault;
use crate::fetch::{self, Wanted};
use crate::layout::Shelf;
use crate::manifest::Model;
use crate::plan::Step;
use crate::progress::Progress;

impl Installer {
    /// The folders and files beside the build, and the models.
    pub(crate) async fn models(&self, steps: &[Step], progress: &Progress<'_>) {
        for step in steps {
            let done = match step {
                Step::Directories => {
                    self.manifest.directories.iter().try_for_each(|it| disk::make_folder(it))
                }
                Step::ModelPaths => match &self.manifest.paths_file {
                    Some((path, text)) => disk::replace_file(path, text.as_bytes(), 0o644),
                    None => Ok(()),
                },
                _ => continue,
            };
            self.tell(step, progress, done.map_err(InstallFault::from));
        }
        // Two names of the same bytes: the second waits for the first, and finds them there.
        let mut bytes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for step in steps {
            if let Step::Show(number) = step
                && let Some(model) = self.manifest.models.get(*number)
            {
                bytes.entry(model.sha256.as_str()).or_default().push(*number);
            }
        }
        let one = |numbers: Vec<usize>| async move {
            for number in numbers {
                let Some(model) = self.manifest.models.get(number) else { continue };
                let come = progress.bytes(number);
                if steps.contains(&Step::Download(number)) {
                    let step = Step::Download(number);
                    progress.begin(&self.words(&step));
                    let got = self.download(model, &come).await;
                    let well = got.is_ok();
                    self.tell(&step, progress, got);
                    if !well {
                        continue;
                    }
                    come.store(model.size, Ordering::Relaxed);
                }
                let step = Step::Show(number);
                self.tell(&step, progress, self.show(model).await);
            }
        };
        futures_util::stream::iter(bytes.into_values())
            .map(one)
            .buffer_unordered(self.limits.downloads)
            .collect::<Vec<()>>()
            .await;
    }

    fn tell(&self, step: &Step, progress: &Progress<'_>, result: Result<(), InstallFault>) {
        let words = self.words(step);
        match result {
            Ok(()) => progress.done(&words),
            Err(fault) => progress.fail(&words, fault),
        }
    }

    /// Brings a model into the store.
    pub(crate) async fn download(&self, model: &Model, come: &Arc<AtomicU64>) -> Result<(), InstallFault> {
        let Some(folder) = &self.manifest.models_folder else { return Ok(()) };
        let shelf = Shelf { folder };
        let (whole, damaged) = (shelf.whole(&model.sha256), shelf.damaged(&model.sha256));
        let is_sound = |it: std::fs::Metadata| it.len() == model.size && !damaged.exists();
        if std::fs::metadata(&whole).is_ok_and(|it| !is_sound(it)) {
            // Nobody but its owner knows whether it can be thrown away.
            let aside = damaged.with_extension(crate::progress::now_ms().to_string());
            disk::make_folder(disk::folder_of(&aside))?;
            std::fs::rename(&whole, &aside).map_err(disk::failed("set aside", &whole))?;
        }
        disk::remove(&damaged)?;
        if self.is_the_model(&shelf.shown(model), model).await {
            // It was here before us: it is taken as it is.
            disk::hard_link(&shelf.shown(model), &whole)?;
            come.store(model.size, Ordering::Relaxed);
            return Ok(());
        }
        let wanted = Wanted {
            file: model.path(),
            urls: &model.urls,
            sha256: &model.sha256,
            size: Some(model.size),
            whole,
            part: shelf.part(&model.sha256),
        };
        self.fetcher.get(&wanted, come).await
    }

    async fn is_the_model(&self, path: &Path, model: &Model) -> bool {
        let same_size =
            std::fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() == model.size);
        same_size && fetch::sum(path).await.is_ok_and(|it| it == model.sha256.as_str())
    }

    /// Shows a model to the service under its name. A file of somebody else's is not replaced, whatever it is.
    pub(crate) async fn show(&self, model: &Model) -> Result<(), InstallFault> {
        let Some(folder) = &self.manifest.models_folder else { return Ok(()) };
        let shelf = Shelf { folder };
        let (whole, shown) = (shelf.whole(&model.sha256), shelf.shown(model));
        if std::fs::symlink_metadata(&shown).is_ok()
            && !self.is_the_model(&shown, model).await
            && !is_of_the_store(&shelf, &shown)
        {
            return Err(InstallFault::InTheWay { path: shown });
        }
        Ok(disk::hard_link(&whole, &shown)?)
    }
}

/// Whether a file is one that we have shown: another name of it is in the store, so that replacing this one loses nothing.
fn is_of_the_store(shelf: &Shelf<'_>, path: &Path) -> bool {
    let Ok(seen) = std::fs::symlink_metadata(path) else { return false };
    let store = shelf.folder.join(".store");
    let folders = ["sha256", "damaged"].map(|it| store.join(it));
    seen.nlink() > 1 && folders.iter().any(|it| holds(it, (seen.dev(), seen.ino()), 2))
}

fn holds(folder: &Path, file: (u64, u64), depth: u8) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let Ok(seen) = entry.metadata() else { return false };
        (seen.dev(), seen.ino()) == file
            || (depth > 0 && seen.is_dir() && holds(&entry.path(), file, depth - 1))
    })
}
