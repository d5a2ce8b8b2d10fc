//! What to do about a process that does not run.

use std::fs;
use std::path::{Path, PathBuf};

use ecosystem::App;
use rustix::fs::{Access, access};

use crate::core::{End, Gate, ProcessState, Trouble};
use crate::launcher::Plan;
use crate::ports;

/// What to do, if something is wrong. A process that could not be launched is looked after here and now: what stood in
/// its way may be gone meanwhile.
pub(crate) fn fix(app: &App, plan: &Plan, state: &ProcessState, gate: &Gate) -> Option<String> {
    if let Gate::Blocked(chain) = gate {
        let first = &chain.last()?.process;
        return Some(format!("mend `{first}` first; this one is started by itself then"));
    }
    let logs = || format!("`roster logs {}` shows what it said last", app.name);
    let trouble = match state {
        ProcessState::BackingOff { trouble: it @ Trouble::NotLaunched(_), .. }
        | ProcessState::Failed { trouble: it, .. }
        | ProcessState::Exited { end: End::Gone(it) } => it,
        // It is being tried again.
        _ => return None,
    };
    match trouble {
        Trouble::NotLaunched(why) => Some(launch(app, plan, why)),
        Trouble::Ended(_) | Trouble::NotHealthyWithin(_) | Trouble::Unhealthy(_) | Trouble::NotLive(_) => {
            Some(logs())
        }
        Trouble::Memory { .. } => {
            Some("give it more memory in the service mapping, make a new plan and reload".into())
        }
    }
}

fn launch(app: &App, plan: &Plan, why: &str) -> String {
    let cannot = |path: &Path, how| access(path, how).is_err();
    for file in [&app.out_file, &app.error_file] {
        let path = Path::new(file);
        let folder = nearest(path.parent().unwrap_or(path));
        if why.contains(file) || cannot(if path.exists() { path } else { &folder }, Access::WRITE_OK) {
            return format!(
                "let this user write to `{}`, or keep the logs elsewhere: `roster up --logs DIR`",
                folder.display()
            );
        }
    }
    if ports::in_use(&plan.ports).is_some() {
        return "stop that one, or plan other ports and reload; it is started by itself once the port is free".into();
    }
    let cwd = Path::new(&plan.cwd);
    if !cwd.is_dir() {
        return format!(
            "make the folder `{}`, or plan the machine with another `MACHINE_WORKSPACE`",
            plan.cwd
        );
    }
    if cannot(cwd, Access::EXEC_OK) {
        return format!("let this user enter `{}`", plan.cwd);
    }
    let Some(program) = program(plan) else {
        let script = &plan.script;
        return if script.contains('/') {
            format!("install `{script}`, or correct the command in the service mapping and reload")
        } else {
            format!("install `{script}`, or put its folder into the `PATH` of the supervisor")
        };
    };
    if cannot(&program, Access::EXEC_OK) {
        return format!("make it a program: `chmod +x {}`", program.display());
    }
    format!("see whether `{}` runs by hand: its interpreter or a library may be missing", program.display())
}

/// The folder itself, or the nearest one above it that exists.
fn nearest(folder: &Path) -> PathBuf {
    folder.ancestors().find(|it| it.exists()).unwrap_or(folder).to_owned()
}

/// The file that a plan names, wherever it is.
fn program(plan: &Plan) -> Option<PathBuf> {
    let is_file = |it: &PathBuf| fs::metadata(it).is_ok_and(|it| it.is_file());
    if plan.script.contains('/') {
        return Some(Path::new(&plan.cwd).join(&plan.script)).filter(is_file);
    }
    let path = plan.env.iter().find(|(key, _)| key.as_str() == "PATH")?.1.expose().to_str()?;
    path.split(':').map(|it| Path::new(it).join(&plan.script)).find(is_file)
}
