//! What everyone who takes part writes down, each into a file of its own: one line of JSON for each thing, before or
//! after it happens, and never lost by a kill.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

/// A line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Milliseconds since the Unix epoch, by the writer's clock.
    pub at: u64,
    /// Which process: the worker's id and its number among all workers of that id, or `controller`.
    pub who: String,
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum What {
    /// A claim came back.
    Claimed { job: String, fence: u64, attempts: u32, crashes: u32 },
    /// The job is done: the effect that a job has on the world.
    Effect { job: String, fence: u64 },
    /// Its end is about to be told.
    Telling { job: String, fence: u64, outcome: char },
    /// Whether the worker was heard.
    Told { job: String, fence: u64, outcome: char, heard: bool },
    /// Nobody knows whether it was.
    Unanswered { job: String, fence: u64, outcome: char },
    /// A lease holds until then, by the queue's clock.
    Renewed { job: String, fence: u64, until: u64 },
    /// A renewal came too late.
    Lost { job: String, fence: u64 },
    /// A job is in the queue, under this id and on these terms.
    Submitted { job: String, is: String, terms: Terms },
    /// The answer to a wish to stop a job.
    Cancelled { job: String, answer: String },
    /// What was done to whom.
    Fault { of: String },
}

/// What a client asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub key: Option<String>,
    pub attempts: u64,
    /// In ms.
    pub timeout: u64,
    /// Not before this may it be claimed, in ms since the Unix epoch: its delay after the first try to submit it.
    pub not_before: u64,
}

/// Milliseconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap()
}

impl What {
    /// The job that it is about.
    pub fn job(&self) -> Option<&str> {
        match self {
            What::Claimed { job, .. }
            | What::Effect { job, .. }
            | What::Telling { job, .. }
            | What::Told { job, .. }
            | What::Unanswered { job, .. }
            | What::Renewed { job, .. }
            | What::Lost { job, .. }
            | What::Submitted { job, .. }
            | What::Cancelled { job, .. } => Some(job),
            What::Fault { .. } => None,
        }
    }
}

/// A file of lines.
pub struct Log {
    file: File,
    who: String,
}

impl Log {
    pub fn open(folder: &Path, who: &str) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(folder.join(format!("{who}.log")));
        Self { file: file.unwrap(), who: who.into() }
    }

    /// Writes a line with one call, so that a kill leaves it whole, or unfinished at the end of the file.
    pub fn write(&self, what: What) {
        let mut line = serde_json::to_string(&Line { at: now(), who: self.who.clone(), what }).unwrap();
        line.push('\n');
        (&self.file).write_all(line.as_bytes()).unwrap();
    }
}

/// All lines of all files of a folder. What was killed while it wrote its last line had not done what follows it.
pub fn read(folder: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "log") {
            let text = std::fs::read_to_string(&path).unwrap();
            let whole = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
            lines.extend(whole.map(|it| serde_json::from_str::<Line>(it).unwrap()));
        }
    }
    lines
}
