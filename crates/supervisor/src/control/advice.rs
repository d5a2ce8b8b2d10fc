//! What to do about a process that does not run.

use std::path::Path;

use crate::core::{End, Gate, ProcessState, Trouble};
use crate::launcher::Plan;
use crate::ports;
use ecosystem::App;

/// What to do, if something is wrong. A process that could not be launched is looked after here and now: what stood in
/// its way may be gone meanwhile.
pub(crate) fn fix(app: &App, plan: &Plan, state: &ProcessState, gate: &Gate) -> Option<String> {
    if let Gate::Blocked(chain) = gate {
        let first = &chain.last()?.process;
        return Some(format!("mend `{first}` first; this one is started by itself then"));
    }
    let logs = || format!("`roster logs {}` shows what it said last", app.name);
    let (ProcessState::BackingOff { trouble, .. }
    | ProcessState::Failed { trouble, .. }
    | ProcessState::Exited { end: End::Gone(trouble) }) = state
    else {
        return None;
    };
    // It is being tried again, and may well succeed.
    let again = matches!(state, ProcessState::BackingOff { .. });
    match trouble {
        Trouble::NotLaunched(why) => launch(app, plan, why),
        _ if again => None,
        Trouble::Ended(_) | Trouble::NotHealthyWithin(_) | Trouble::Unhealthy(_) | Trouble::NotLive(_) => {
            Some(logs())
        }
        Trouble::Memory { .. } => {
            Some("give it more memory in the service mapping, make a new plan and reload".into())
        }
    }
}

/// What the launcher itself says ends with what to do; what kept us from asking it does not.
fn launch(app: &App, plan: &Plan, why: &str) -> Option<String> {
    if let Some(file) = [&app.out_file, &app.error_file].into_iter().find(|it| why.contains(*it)) {
        let folder = Path::new(file).ancestors().skip(1).find(|it| it.exists())?.display();
        return Some(format!(
            "let this user write to `{folder}`, or keep the logs elsewhere: `roster up --logs DIR`"
        ));
    }
    let port = ports::in_use(&plan.ports)?.port;
    Some(format!(
        "stop that one, or plan other ports and reload; it is started by itself once port {port} is free"
    ))
}
