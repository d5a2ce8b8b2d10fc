//! What workers say of themselves: which job they have, and what has ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use health::{Counts, Ended, Job, Meters, Millis, Outcome};
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::UnboundedSender;
use worker::{End, Report};

use super::heart::{Mail, now};
use super::scene::Scene;

/// The longest report: five hundred ends and a few jobs have a tenth of it.
const LONGEST: usize = 256 << 10;
/// The version of a report that is understood.
const VERSION: u32 = 1;

/// Hears reports for as long as it is polled. What is no report is not heard.
pub(crate) async fn listen(path: &Path, mail: UnboundedSender<Mail>) -> std::io::Result<()> {
    // Whoever had it is dead, or its supervisor's socket would not be ours.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(path)?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let report = serde_json::from_slice::<Report>(&buffer[..length]);
        if let Ok(report) = report
            && report.version == VERSION
        {
            let _ = mail.send(Mail::Report(Box::new(report)));
        }
    }
}

/// What the workers have said last, by the name of the process's first worker.
#[derive(Debug, Default)]
pub(crate) struct Heard(BTreeMap<String, (Millis, Report)>);

impl Heard {
    /// Takes a report; what has ended is counted.
    pub(crate) fn take(&mut self, report: Report, meters: &Meters) {
        for it in &report.ended {
            meters.job(Ended {
                connector: &report.connector,
                gpu: report.gpu,
                outcome: match it.end {
                    End::Succeeded => Outcome::Succeeded,
                    End::Failed => Outcome::Failed,
                    End::HandedBack => Outcome::HandedBack,
                    End::Stopped => Outcome::Stopped,
                    End::Lost => Outcome::Lost,
                },
                waited: it.waited_ms.map(Duration::from_millis),
                ran: Duration::from_millis(it.ran_ms),
            });
        }
        self.0.insert(report.worker.clone(), (now(), report));
    }

    /// Puts what was said into the facts about workers: of the slots of one process, the first has the tally, and each
    /// job is with one slot.
    pub(crate) fn put(&self, scene: &Scene, workers: &mut [health::Worker]) {
        for (at, report) in self.0.values() {
            let Some(first) = workers.iter().position(|it| it.id.as_str() == report.worker) else { continue };
            let tally = &report.tally;
            workers[first].counts = Counts {
                claimed: tally.claimed,
                succeeded: tally.succeeded,
                failed: tally.failed,
                handed_back: tally.handed_back,
            };
            let process = &scene.processes[first];
            // A process that has ended has no job.
            let slots = workers.iter_mut().zip(&scene.processes);
            let slots = slots.filter(|(it, name)| *name == process && it.process.pid.is_some());
            for ((slot, _), job) in slots.zip(&report.jobs) {
                slot.job = Some(Job {
                    id: job.job.clone(),
                    since: at.saturating_sub(job.ran_ms),
                    percent: job.percent,
                    message: job.message.clone(),
                });
            }
        }
    }
}
