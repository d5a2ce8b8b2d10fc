//! What a newcomer types.

use std::{process::Stdio, sync::Arc, time::Duration};

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

use super::hold;
use crate::e2e::{
    Seen,
    machine::{Leftovers, processes_in, signal_to},
    world::World,
};

/// How long the demonstration may take to have done its jobs, and to end.
const PATIENCE: Duration = Duration::from_mins(3);

/// Types `cargo xtask demo --keep`, looks at its page when it has done its jobs, and types Ctrl-C.
pub(super) async fn demo(world: Arc<World>) -> Seen {
    let folder = world.bare_project("demo")?.path("");
    let inside = folder.display().to_string();
    let _leftovers = Leftovers(inside.clone());
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new(program);
    command.args(["demo", "--keep", "--roster"]).arg(&world.roster).env("TMPDIR", &folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut demo = command.spawn().map_err(|error| format!("demo: {error}"))?;
    let mut lines = BufReader::new(demo.stdout.take().expect("it is piped")).lines();
    let (mut told, mut asked) = (Vec::new(), false);
    let talk = async {
        while let Some(line) = lines.next_line().await.map_err(|error| format!("demo: {error}"))? {
            if !asked && line.starts_with("it stays up") {
                look_at(&told).await?;
                signal_to(demo.id().unwrap_or_default().into(), Signal::INT)?;
                asked = true;
            }
            told.push(line);
        }
        demo.wait().await.map_err(|error| format!("demo: {error}"))
    };
    let ended = timeout(PATIENCE, talk).await.map_err(|_| "the demo does not end".to_owned())??;
    hold(ended.success(), || format!("the demo ended with {ended}"))?;
    for wanted in ["90 of 90 jobs succeeded", "was killed and came back", "the machine has stopped by itself"]
    {
        hold(told.iter().any(|it| it.contains(wanted)), || format!("not told: {wanted}; but {told:?}"))?;
    }
    let left = processes_in(&inside);
    hold(left.is_empty(), || format!("left over: {left:?}"))?;
    Ok("90 of 90 jobs, a page, and nothing left after Ctrl-C".to_owned())
}

/// The page whose address was told.
async fn look_at(told: &[String]) -> Result<(), String> {
    let page = told.iter().find_map(|it| it.split_once("its page: ")).ok_or("no page was told")?.1;
    let answer = worker::client(Duration::from_secs(10)).get(page).send().await;
    let text = async { answer?.error_for_status()?.text().await }.await;
    let text = text.map_err(|error| format!("{page}: {error}"))?;
    hold(text.contains("<title>Roster</title>"), || format!("{page} is another page"))
}
