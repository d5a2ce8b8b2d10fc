use std::time::Duration;

use super::{Ended, Meters, Outcome, text};
use crate::board::Board;
use crate::testing::{machine, process, service};

fn lines(meters: &Meters, begin: &str) -> String {
    let board = Board::new(machine());
    let text = text(&board.latest(), meters);
    let lines: Vec<_> = text.lines().filter(|it| it.starts_with(begin)).collect();
    lines.join("\n")
}

#[test]
fn a_histogram_counts_everything_below_each_bound() {
    let meters = Meters::default();
    for (millis, outcome) in
        [(5, Outcome::Succeeded), (300, Outcome::Succeeded), (9_000_000, Outcome::Failed)]
    {
        let ran = Duration::from_millis(millis);
        meters.job(Ended { connector: "a", gpu: Some(1), outcome, waited: None, ran });
    }
    let found = lines(&meters, "roster_job_run_seconds");
    assert!(found.contains("_bucket{connector=\"a\",gpu=\"1\",le=\"0.01\"} 1\n"), "{found}");
    assert!(found.contains("le=\"0.25\"} 1\n") && found.contains("le=\"0.5\"} 2\n"), "{found}");
    assert!(found.contains("le=\"3600\"} 2\n") && found.contains("le=\"+Inf\"} 3\n"), "{found}");
    assert!(found.contains("_sum{connector=\"a\",gpu=\"1\"} 9000.305\n"), "{found}");
    let jobs = lines(&meters, "roster_jobs_total");
    assert!(jobs.contains("outcome=\"succeeded\"} 2") && jobs.contains("outcome=\"failed\"} 1"), "{jobs}");
}

#[test]
fn a_label_cannot_end_its_line() {
    let mut facts = machine();
    facts.disks = vec![crate::facts::Disk { path: "a\"b\\c\nd".into(), total: 2, free: 1 }];
    facts.services = vec![service("s", &[])];
    facts.services[0].process = Some(process(crate::facts::Phase::Healthy));
    let text = text(&Board::new(facts).latest(), &Meters::default());
    assert!(text.contains("roster_disk_free_bytes{path=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
}
