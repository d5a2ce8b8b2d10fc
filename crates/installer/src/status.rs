//! What an install says of itself while it goes on and after it has ended: one small file a service, replaced in one
//! step, so that a health server can answer at any instant.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use spec::ids::ServiceName;
use spec::model::InstallOrder;
use spec::notes::Finding;

use crate::disk::{self, DiskError};
use crate::layout::Layout;
use crate::progress::now_ms;

/// The version of the document.
pub const SCHEMA_VERSION: u32 = 1;

/// How far the install of one service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this document.
    pub schema_version: u32,
    /// Whose install it is.
    pub service: ServiceName,
    /// Where it stands.
    pub state: State,
    /// The step that is being done, or was done last: `fetch comfyui`.
    pub step: String,
    /// Of the steps and bytes that there are to do, in hundredths: 100 only when all is done.
    pub percent: u8,
    /// Bytes of models that are there.
    pub bytes: u64,
    /// Bytes of models that there will be.
    pub bytes_of: u64,
    /// Why it is not installed. Of several failures the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Failed>,
    /// Milliseconds since 1970 at which this was written.
    pub at_ms: u64,
}

/// Where an install stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is going on.
    Installing,
    /// It was going on when its process ended without a word; the next one goes on from there.
    Interrupted,
    /// It ended, and something is missing.
    Failed,
    /// All that was asked for is there.
    Installed,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// `requirements of the node upscaler`.
    pub step: String,
    /// The rule: `INSTALL012`.
    pub code: String,
    /// What happened. Holds no secret.
    pub message: String,
    /// The last that its program wrote. Holds no secret; empty where there was no program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// What to do.
    pub fix: String,
}

/// What the install of `service` in this workspace last said of itself; `None` where there has been none.
pub fn read(workspace: &Path, service: &ServiceName) -> Result<Option<Status>, DiskError> {
    let layout = Layout::new(workspace, service);
    let path = layout.status();
    let Some(text) = disk::read(&path)? else { return Ok(None) };
    let mut status: Status =
        serde_json::from_str(&text).map_err(|it| disk::failed("understand", &path)(it.into()))?;
    if status.state == State::Installing && !Busy::is_held(&layout) {
        status.state = State::Interrupted;
    }
    Ok(Some(status))
}

/// Says that an install could not even begin, for the first of these reasons. While another one goes on, nothing is said.
pub fn refuse(order: &InstallOrder, findings: &[Finding]) -> Result<(), DiskError> {
    let (workspace, Some(finding)) = (Path::new(&order.workspace), findings.first()) else { return Ok(()) };
    if !workspace.is_absolute() {
        return Ok(());
    }
    let layout = Layout::new(workspace, &order.service);
    let Some(_busy) = Busy::take(&layout)? else { return Ok(()) };
    let place = finding.place.as_ref().map(|it| format!("{it}: ")).unwrap_or_default();
    let failed = Failed {
        step: "read".to_owned(),
        code: finding.code.id.to_owned(),
        message: format!("{place}{}", finding.message),
        output: String::new(),
        fix: finding.fix.clone(),
    };
    let status = Status {
        schema_version: SCHEMA_VERSION,
        service: order.service.clone(),
        state: State::Failed,
        step: failed.step.clone(),
        percent: 0,
        bytes: 0,
        bytes_of: 0,
        failed: Some(failed),
        at_ms: now_ms(),
    };
    write(&layout, &status)
}

/// Says so.
pub(crate) fn write(layout: &Layout, status: &Status) -> Result<(), DiskError> {
    let text = serde_json::to_string_pretty(status).unwrap_or_default() + "\n";
    disk::put_file(&layout.status(), text.as_bytes(), 0o644)
}

/// That an install of a service goes on: no second one begins. Programs that the install starts hold it too, so that
/// nobody begins while one that outlived its install still writes.
#[derive(Debug)]
pub(crate) struct Busy {
    _file: File,
}

impl Busy {
    /// Takes it; `None` while somebody else has it.
    pub(crate) fn take(layout: &Layout) -> Result<Option<Self>, DiskError> {
        let path = layout.busy();
        let file = Self::open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(disk::failed("lock", &path)(error.into())),
        }
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())
            .map_err(|it| disk::failed("lock", &path)(it.into()))?;
        Ok(Some(Self { _file: file }))
    }

    /// Whether somebody has it.
    fn is_held(layout: &Layout) -> bool {
        let Ok(file) = File::open(layout.busy()) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    }

    fn open(path: &PathBuf) -> Result<File, DiskError> {
        disk::make_folder(disk::folder_of(path))?;
        let options = File::options().write(true).create(true).truncate(false).open(path);
        options.map_err(disk::failed("open", path))
    }
}
