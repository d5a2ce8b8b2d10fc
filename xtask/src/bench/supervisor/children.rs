//! How fast children are started, replaced and ended.

use std::thread::sleep;
use std::time::Duration;

use super::Scale;
use super::place::{Place, Stamp};
use super::system::{System, kill};
use crate::bench::report::{Limit, Row, Unit, median};

const CHILDREN: usize = 200;
/// Of these some are killed.
const KILLED_AMONG: usize = 50;
/// So old is a child before it is killed: it has run well by every system's measure.
const OLD: Duration = Duration::from_secs(4);

/// Without any death for so long, our supervisor has given memory back that it needs for the next one.
const AT_REST: Duration = Duration::from_secs(3);

/// One number for each pair, of the floor and of the system after it.
#[derive(Default)]
struct Pairs {
    floor: Vec<f64>,
    system: Vec<f64>,
}

impl Pairs {
    fn row(&self, name: String) -> Row {
        Row::paired(name, Unit::Millis, &self.system, "floor", &self.floor)
    }
}

pub(super) fn start_and_stop(place: &Place, scale: &Scale) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let ours = [(System::Ours, scale.rounds)];
    for (system, rounds) in
        ours.into_iter().chain(System::beside(place).into_iter().map(|it| (it, scale.beside)))
    {
        let (mut starts, mut stops) = (Pairs::default(), Pairs::default());
        for _ in 0..rounds {
            for (system, start, stop) in [
                (System::Floor, &mut starts.floor, &mut stops.floor),
                (system, &mut starts.system, &mut stops.system),
            ] {
                let running = system.start(place, CHILDREN)?;
                let mut children = running.files.wait_for(CHILDREN)?;
                let last = children.iter().map(|it| it.at).fold(0.0, f64::max);
                start.push(last - running.began);
                // What a start leaves to be done is done.
                sleep(Duration::from_millis(500));
                children.truncate(CHILDREN);
                stop.push(running.stop(&children)?);
            }
        }
        let name = system.name();
        let [mut start, mut stop] = [
            starts.row(format!("start {CHILDREN} children, {name}")),
            stops.row(format!("stop {CHILDREN} children, {name}")),
        ];
        if system == System::Ours {
            (start, stop) = (start.limit(Limit::RatioAtMost(1.5)), stop.limit(Limit::RatioAtMost(1.7)));
        }
        rows.extend([start, stop]);
    }
    Ok(rows)
}

pub(super) fn replace(place: &Place, scale: &Scale) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let busy = (scale.kills, Duration::ZERO);
    let all = [(System::Ours, busy), (System::Ours, (scale.kills / 3, AT_REST))];
    for (system, (kills, pause)) in
        all.into_iter().chain(System::beside(place).into_iter().map(|it| (it, busy)))
    {
        let [floor, took] = [System::Floor, system].map(|it| replacements(it, place, kills, pause));
        // One system after the other, so that the medians are compared and not pairs.
        let rested = if pause.is_zero() { "" } else { ", at rest" };
        let name = format!("SIGKILL until the replacement runs{rested}, {}", system.name());
        let row = Row::new(name, median(&took?), Unit::Millis).beside(median(&floor?), "floor");
        rows.push(if system == System::Ours { row.limit(Limit::RatioAtMost(3.0)) } else { row });
    }
    Ok(rows)
}

fn replacements(system: System, place: &Place, kills: usize, pause: Duration) -> Result<Vec<f64>, String> {
    let running = system.start(place, KILLED_AMONG)?;
    let children = running.files.wait_for(KILLED_AMONG)?;
    sleep(OLD);
    let victims: Vec<Stamp> = children.into_iter().take(kills).collect();
    let killed = |it| {
        sleep(pause);
        kill(&running, it)
    };
    victims.into_iter().map(killed).collect()
}
