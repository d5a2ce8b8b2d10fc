//! Processes as people see them.

use supervisor::control::protocol::{Fleet, Seen};

/// A time in its largest unit.
pub(super) fn span(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The time of day in UTC.
pub(super) fn clock(at_ms: u64) -> String {
    let (seconds, rest) = (at_ms / 1000, at_ms % 1000);
    format!("{:02}:{:02}:{:02}.{rest:03}Z", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

/// How a state is coloured: what is well, what is wrong, what is on its way, what is down.
pub(super) fn painted(state: &str, width: usize, colour: bool) -> String {
    let paint = match state {
        "healthy" | "completed" => "32",
        "failed" | "gone" | "blocked" | "unhealthy" | "backing off" => "31",
        "stopped" | "removed" => "2",
        _ => "33",
    };
    if colour { format!("\x1b[{paint}m{state:<width$}\x1b[0m") } else { format!("{state:<width$}") }
}

const HEAD: [&str; 8] = ["NAME", "STATE", "PID", "FOR", "RESTARTS", "CPU", "MEMORY", "WHY"];

/// One line a process, below a head.
pub(super) fn lines(fleet: &Fleet, colour: bool) -> Vec<String> {
    let rows: Vec<[String; 8]> = fleet.processes.iter().map(cells).collect();
    let width = |at: usize| {
        rows.iter().map(|it| it[at].chars().count()).chain([HEAD[at].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |cells: [&str; 8], colour: bool| {
        let state = painted(cells[1], widths[1], colour);
        let name = widths[0];
        let numbers = cells[2..7].iter().zip(&widths[2..]).map(|(cell, width)| format!("{cell:>width$}"));
        let numbers: Vec<String> = numbers.collect();
        let line = format!("{:<name$}  {state}  {}  {}", cells[0], numbers.join("  "), cells[7]);
        line.trim_end().to_owned()
    };
    let head = line(HEAD, false);
    let body = rows.iter().map(|it| line(it.each_ref().map(String::as_str), colour));
    [head].into_iter().chain(body).collect()
}

fn cells(it: &Seen) -> [String; 8] {
    let again = it.again_in_ms.map(|it| format!("; again in {}", span(it)));
    let fix = it.fix.as_ref().map(|it| format!("; {it}"));
    let left =
        if it.left > 0 { format!("; {} of its children could not be ended", it.left) } else { String::new() };
    let why = [it.why.clone(), again, fix].into_iter().flatten().collect::<String>() + &left;
    [
        it.name.to_string(),
        it.state.clone(),
        it.pid.map_or("-".into(), |it| it.to_string()),
        span(it.uptime_ms.unwrap_or(it.state_ms)),
        it.restarts.to_string(),
        it.usage.map_or("-".into(), |it| format!("{:.0}%", it.cpu_percent)),
        it.usage.map_or("-".into(), |it| format!("{}M", it.memory_bytes >> 20)),
        why.trim_start_matches("; ").to_owned(),
    ]
}

/// Which machine, and how it is with it.
pub(super) fn summary(fleet: &Fleet) -> String {
    let well = fleet.processes.iter().filter(|it| it.is_well()).count();
    let trouble = fleet.processes.iter().filter(|it| it.is_in_trouble()).count();
    let trouble = if trouble > 0 { format!(", {trouble} in trouble") } else { String::new() };
    let stopping = if fleet.stopping { ", going down" } else { "" };
    format!(
        "{}: {well} of {} well{trouble}{stopping}  (supervisor {})",
        fleet.machine,
        fleet.processes.len(),
        fleet.supervisor
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_its_largest_unit() {
        let spans = [0, 59_999, 60_000, 7_199_000, 86_400_000].map(span);
        assert_eq!(spans, ["0s", "59s", "1m", "1h", "1d"]);
        assert_eq!(clock(1_000_000_123_456), "01:48:43.456Z");
    }
}
