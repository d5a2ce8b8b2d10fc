//! What is remembered for the next supervisor: which processes outlive this one if it is killed, and whose the rest are.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use serde::{Deserialize, Serialize};
use spec::ids::ProcessName;

use crate::launcher::Plan;
use crate::linux::MARKER;
use crate::proc::{self, Identity, Variable};

/// A process that outlives its supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Survivor {
    pub process: Identity,
    /// What it and all that it starts have in their environment.
    pub marker: String,
    /// What it was started as: see [`digest`].
    pub plan: u64,
}

impl Survivor {
    /// The pipes that its standard output and error go into, each once, to be read.
    pub(crate) fn output(&self) -> [Option<OwnedFd>; 2] {
        let pipe = |stream: u8| {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fd = open(format!("/proc/{}/fd/{stream}", self.process.pid), flags, Mode::empty()).ok()?;
            let stat = fstat(&fd).ok()?;
            // It may have moved its output somewhere else since.
            (FileType::from_raw_mode(stat.st_mode) == FileType::Fifo).then_some((fd, stat.st_ino))
        };
        let (out, err) = (pipe(1), pipe(2));
        let same = matches!((&out, &err), (Some((_, one)), Some((_, two))) if one == two);
        [out.map(|it| it.0), err.filter(|_| !same).map(|it| it.0)]
    }
}

/// The end of a pipe for a process that outlives us: it can read as well, so that the pipe is never without a reader,
/// and the process does not end by writing while there is no supervisor. It waits once the pipe is full.
pub(crate) fn reopened(output: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(output));
    Ok(open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// What a process is started as. The same text of the same plan on the same build; from another build, it may be that
/// a process is started anew that could have been kept. Secrets count, but cannot be told from the number by anyone
/// who could not read them from the process itself: the file is its owner's alone.
pub(crate) fn digest(plan: &Plan) -> u64 {
    let Plan {
        name,
        script,
        args,
        cwd,
        env,
        user,
        group,
        umask,
        limits,
        oom_score_adj,
        survive: _,
        gpu: _,
        ports: _,
    } = plan;
    let mut hasher = DefaultHasher::new();
    (name.as_str(), script, args, cwd, user, group, umask, limits, oom_score_adj).hash(&mut hasher);
    for (key, value) in env {
        (key.as_str(), value.expose()).hash(&mut hasher);
    }
    hasher.finish()
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The machine's run: numbers of processes mean nothing in the next.
    boot: String,
    supervisor: Identity,
    survivors: BTreeMap<ProcessName, Survivor>,
}

/// The file that is remembered in. Without one, nothing outlives the supervisor.
#[derive(Debug)]
pub(crate) struct Memory {
    path: Option<PathBuf>,
    record: Mutex<Record>,
}

/// What an earlier supervisor has left, which was killed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inherited {
    /// Whose; `None`: nobody's.
    pub supervisor: Option<Identity>,
    /// What it wanted to be adopted, and lives.
    pub survivors: BTreeMap<ProcessName, Survivor>,
}

impl Memory {
    /// Reads what an earlier supervisor has left and writes that `own` is the supervisor now. Fails when the other one
    /// lives: two would start everything twice.
    pub(crate) fn begin(path: Option<PathBuf>, own: Identity) -> io::Result<(Self, Inherited)> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned();
        let old = path.as_deref().map(read).transpose()?.flatten().filter(|it| it.boot == boot);
        let mut inherited = Inherited::default();
        if let Some(mut old) = old {
            if old.supervisor != own && old.supervisor.lives() {
                let pid = old.supervisor.pid;
                return Err(io::Error::other(format!("a supervisor runs here already: process {pid}")));
            }
            old.survivors.retain(|_, it| it.process.lives());
            inherited = Inherited { supervisor: Some(old.supervisor), survivors: old.survivors };
        }
        let record = Record { boot, supervisor: own, survivors: inherited.survivors.clone() };
        let memory = Self { path, record: Mutex::new(record) };
        memory.write(&memory.record())?;
        Ok((memory, inherited))
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `name` is this process now, or none that outlives us.
    pub(crate) fn put(&self, name: &ProcessName, survivor: Option<Survivor>) -> io::Result<()> {
        let mut record = self.record();
        let before = match survivor {
            Some(it) => record.survivors.insert(name.clone(), it.clone()).is_none_or(|before| before != it),
            None => record.survivors.remove(name).is_some(),
        };
        if before { self.write(&record) } else { Ok(()) }
    }

    /// Nothing is left that anybody would have to know of.
    pub(crate) fn end(&self) {
        if let Some(path) = &self.path {
            // If it stays, the next supervisor finds nobody alive in it.
            let _ = fs::remove_file(path);
        }
    }

    /// Whole or not at all: a new file takes the place of the old one.
    fn write(&self, record: &Record) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let new = path.with_extension("new");
        let mut file = fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(record).map_err(io::Error::other)?)?;
        fs::rename(new, path)
    }
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|it| {
            let path = path.display();
            io::Error::other(format!("`{path}` is not what a supervisor has written: {it}; delete it"))
        }),
    }
}

/// The marker of a process in the environment of what it has started.
pub(crate) fn marker(pid: i32) -> Variable {
    proc::variable(pid, MARKER)
}
