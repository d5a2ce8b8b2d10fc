//! Reads everything again: slow, and the only way to know.

use crate::apply::Installer;
use crate::disk;
use crate::fault::InstallFault;
use crate::fetch;
use crate::git;
use crate::layout::Shelf;
use crate::look;
use crate::manifest::{Source, Unit};
use crate::plan::{self, plan};

impl Installer {
    /// Compares what is there with what was installed; everything that differs. A damaged model is noted as such, so that
    /// the next `apply` brings it again; nothing is removed.
    pub async fn verify(&self) -> Result<Vec<InstallFault>, InstallFault> {
        let (manifest, mut found) = (&self.manifest, Vec::new());
        let lock = look::lock(&self.layout.lock())?;
        let observed = look::observe(manifest, &lock, &self.layout)?;
        for step in plan(manifest, &lock, &observed) {
            let why = "it is not there, or not as it should be".to_owned();
            found.push(InstallFault::Damaged { what: self.words(&step), why });
        }
        let id = manifest.build(&lock);
        let build = self.layout.build(&id);
        let receipts = observed.builds.get(&id).cloned().unwrap_or_default();
        if receipts.contains_key("probe") {
            for unit in manifest.units() {
                let is_git =
                    matches!((&unit, &manifest.source), (Unit::Node(_), _) | (_, Source::Git { .. }));
                let is_there = !matches!(&unit, Unit::Node(name) if plan::is_left_out(&receipts, name));
                let pin = lock.pin(manifest, &unit).filter(|_| is_git && is_there);
                let head = git::head(&build.unit(manifest, &unit)).map(|it| it.to_string());
                if let Some(pin) = pin
                    && head.as_deref() != Some(pin.found.as_str())
                {
                    let why = format!("its commit is {}", head.as_deref().unwrap_or("not to be found"));
                    found.push(InstallFault::Damaged { what: unit.to_string(), why });
                }
            }
            if let Err(fault) = self.probe(&build).await {
                found.push(fault);
            }
        }
        if let Some(folder) = &manifest.models_folder {
            let shelf = Shelf { folder };
            for (model, _) in manifest.models.iter().zip(&observed.models).filter(|(_, it)| it.stored) {
                let whole = shelf.whole(&model.sha256);
                let sum = fetch::sum(&whole).await.map_err(disk::failed("read", &whole))?;
                if sum != model.sha256.as_str() {
                    disk::replace_file(&shelf.damaged(&model.sha256), sum.as_bytes(), 0o644)?;
                    let why = format!("its SHA-256 is {sum}");
                    found.push(InstallFault::Damaged { what: format!("the model {}", model.path()), why });
                }
            }
        }
        Ok(found)
    }
}
