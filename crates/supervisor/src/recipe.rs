//! From a plan to what the kernel is told, and from what the kernel says back to words.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ecosystem::Limit;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use crate::launcher::Plan;
use crate::spawn::Recipe;
use crate::users::Users;

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Session,
    Cgroup,
    Limits,
    OomScore,
    Identity,
    Directory,
    Output,
    Parent,
    Program,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Session,
        Self::Cgroup,
        Self::Limits,
        Self::OomScore,
        Self::Identity,
        Self::Directory,
        Self::Output,
        Self::Parent,
        Self::Program,
    ];
}

/// Why a child could not become its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub stage: Stage,
    pub errno: Errno,
}

impl Failure {
    /// What the child writes.
    pub(crate) fn to_bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.errno.raw_os_error().to_le_bytes();
        [self.stage as u8, a, b, c, d]
    }

    /// What the child wrote; `None` when that is nothing.
    pub(crate) fn read(report: &[u8]) -> Option<Self> {
        let (stage, errno) = report.split_first()?;
        let errno = i32::from_le_bytes(errno.try_into().ok()?);
        Some(Self { stage: *Stage::ALL.get(usize::from(*stage))?, errno: Errno::from_raw_os_error(errno) })
    }
}

/// Everything that a child needs, allocated; or what is wrong with the plan, in words. `marker` is one more variable,
/// `files` how many it may open if the plan says nothing else.
pub(crate) fn recipe(plan: &Plan, marker: (&str, &str), files: Rlimit) -> Result<Recipe, String> {
    let text = |what: &str, bytes: Vec<u8>| {
        CString::new(bytes).map_err(|_| format!("{what} holds a zero byte, which no process can be given"))
    };
    let programs = programs(plan)?;
    let programs =
        programs.into_iter().map(|it| text("the path of its program", it.into_os_string().into_vec()));
    let arguments = [&plan.script].into_iter().chain(&plan.args);
    let arguments = arguments.map(|it| text("an argument of it", it.clone().into()));
    let variable = |name: &str, value: &OsStr| {
        text(&format!("its variable {name}"), [name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    let environment = plan.env.iter().map(|(key, value)| variable(key.as_str(), value.expose()));
    let identity = match (&plan.user, &plan.group) {
        (None, None) => None,
        (user, group) => Users::read().identity(user.as_deref(), group.as_deref())?,
    };
    let limits = plan.limits.iter().map(|(limit, most)| (resource(*limit), rlimit(*most)));
    Ok(Recipe {
        programs: programs.collect::<Result<_, _>>()?,
        arguments: arguments.collect::<Result<_, _>>()?,
        environment: environment
            .chain([variable(marker.0, OsStr::new(marker.1))])
            .collect::<Result<_, _>>()?,
        cwd: text("its working directory", plan.cwd.clone().into())?,
        identity,
        umask: plan.umask.map(Mode::from_raw_mode),
        limits: [(Resource::Nofile, files)].into_iter().chain(limits).collect(),
        oom_score_adj: plan.oom_score_adj.map(|it| it.to_string()),
        survive: plan.survive,
    })
}

/// The files that the program can be: the one that is named, or those of that name in the directories of `PATH`.
fn programs(plan: &Plan) -> Result<Vec<PathBuf>, String> {
    let script = Path::new(&plan.script);
    if plan.script.contains('/') {
        return Ok(vec![script.to_owned()]);
    }
    let path: OsString = plan.env.get("PATH").map(|it| it.expose().clone()).unwrap_or_default();
    let folders = path.as_bytes().split(|it| *it == b':').filter(|it| !it.is_empty());
    let files = folders.map(|it| Path::new(&plan.cwd).join(OsStr::from_bytes(it)).join(script));
    let found: Vec<_> = files.filter(|it| it.is_file()).collect();
    if found.is_empty() {
        let path = path.display();
        return Err(format!("its program `{}` was not found in PATH ({path})", script.display()));
    }
    Ok(found)
}

fn resource(limit: Limit) -> Resource {
    match limit {
        Limit::As => Resource::As,
        Limit::Core => Resource::Core,
        Limit::Cpu => Resource::Cpu,
        Limit::Fsize => Resource::Fsize,
        Limit::Memlock => Resource::Memlock,
        Limit::Nofile => Resource::Nofile,
        Limit::Nproc => Resource::Nproc,
        Limit::Stack => Resource::Stack,
    }
}

fn rlimit(most: Option<u64>) -> Rlimit {
    Rlimit { current: most, maximum: most }
}

/// Why a child did not become its program, and what to do about it.
pub(crate) fn why(plan: &Plan, failure: Failure) -> String {
    let Failure { stage, errno } = failure;
    match (stage, errno) {
        (Stage::Program, errno) => program(plan, errno),
        (Stage::Directory, Errno::NOENT) => {
            format!("its working directory `{}` does not exist: create it, or correct `cwd`", plan.cwd)
        }
        (Stage::Directory, Errno::ACCESS) => {
            format!("its working directory `{}` may not be entered: no permission", plan.cwd)
        }
        (Stage::Directory, errno) => {
            format!("its working directory `{}` cannot be entered: {errno}", plan.cwd)
        }
        (Stage::Identity, Errno::PERM) => {
            let who = [("user", &plan.user), ("group", &plan.group)];
            let who = who.iter().filter_map(|(what, it)| Some(format!("its {what} `{}`", it.as_ref()?)));
            let who = who.collect::<Vec<_>>().join(" and ");
            format!("{who} cannot be set: only a supervisor that runs as root can do that")
        }
        (Stage::Limits, Errno::PERM) => {
            "its `limits` cannot be set: only root can raise one above the supervisor's own".into()
        }
        (Stage::OomScore, Errno::ACCESS) => {
            "its `oom_score_adj` cannot be set: only root can go below the supervisor's own".into()
        }
        (Stage::Parent, Errno::SRCH) => "the supervisor ended".into(),
        (Stage::Session, errno) => format!("it cannot have a session of its own: {errno}"),
        (Stage::Cgroup, errno) => format!("it cannot enter its control group: {errno}"),
        (Stage::Limits, errno) => format!("its `limits` cannot be set: {errno}"),
        (Stage::OomScore, errno) => format!("its `oom_score_adj` cannot be set: {errno}"),
        (Stage::Identity, errno) => format!("its user or group cannot be set: {errno}"),
        (Stage::Output, errno) => format!("its input and output cannot be set: {errno}"),
        (Stage::Parent, errno) => format!("it cannot be made to end with the supervisor: {errno}"),
    }
}

fn program(plan: &Plan, errno: Errno) -> String {
    let script = &plan.script;
    let exists =
        || programs(plan).is_ok_and(|all| all.iter().any(|it| Path::new(&plan.cwd).join(it).exists()));
    match errno {
        Errno::NOENT if exists() => {
            format!("its program `{script}` needs an interpreter or a loader that does not exist")
        }
        Errno::NOENT => format!("its program `{script}` does not exist: install it, or correct `script`"),
        Errno::ACCESS | Errno::PERM => {
            format!("its program `{script}` may not be run: no permission (is it an executable file?)")
        }
        Errno::NOEXEC => {
            format!("its program `{script}` is none: a script begins with a line such as `#!/bin/sh`")
        }
        errno => format!("its program `{script}` cannot be run: {errno}"),
    }
}
