//! What passes over the socket: one request a connection, a line of JSON; then answers, each a line of JSON, the last of
//! them `"end"`. A connection that closes without it was cut.

use serde::{Deserialize, Serialize};
use spec::ids::ProcessName;

pub use super::seen::{Fleet, Seen, Use};

/// The version of this protocol. A request of another one is refused.
pub const VERSION: u32 = 1;

/// Bytes that a request may have: an ecosystem of ten thousand processes.
pub(crate) const REQUEST_BYTES: u64 = 16 << 20;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked.
    pub request: Request,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What every process does: [`Answer::Fleet`], followed every second and at every change.
    Ps {
        /// Go on until the asker closes.
        follow: bool,
    },
    /// The last lines of the logs, [`Answer::Log`], oldest first for each process.
    Logs {
        /// Whose.
        of: Which,
        /// How many lines of each file.
        lines: u32,
        /// Go on with what is written from now on.
        follow: bool,
    },
    /// Start what is down, and what it needs.
    Start {
        /// Whom.
        which: Which,
        /// Answer when each is healthy or has failed; else at once.
        wait: bool,
    },
    /// Stop what is up, and who needs it.
    Stop {
        /// Whom.
        which: Which,
        /// Answer when all are down; else at once.
        wait: bool,
    },
    /// Stop and start anew. Who needs it is left alone.
    Restart {
        /// Whom.
        which: Which,
        /// Answer when each is healthy or has failed; else at once.
        wait: bool,
    },
    /// Send a signal to the process itself, not to its children.
    Signal {
        /// Whom.
        name: ProcessName,
        /// Which.
        signal: Signal,
    },
    /// Run the first `count` of the processes `group-0`, `group-1`, …, and stop the others.
    Scale {
        /// Their name without the number: `simulation-worker`.
        group: String,
        /// How many.
        count: u32,
        /// Answer when it is done; else at once.
        wait: bool,
    },
    /// Take a new document: with the fewest restarts, or none at all when anything is wrong with it.
    Reload {
        /// The document; left out, the file that the supervisor was started with is read again.
        document: Option<Document>,
        /// Answer when it is done; else at once.
        wait: bool,
    },
    /// What happened of late, [`Answer::Event`], oldest first.
    Events {
        /// Go on with what happens from now on.
        follow: bool,
    },
    /// Stop everything and end.
    Shutdown {
        /// Kill, do not ask.
        force: bool,
    },
}

/// Some processes, or all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// All.
    All,
    /// These.
    Names(Vec<ProcessName>),
}

/// A document that is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What to call it in messages: its path.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A signal that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "each is the signal of its name")]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Kill,
    Usr1,
    Usr2,
    Term,
    Cont,
    Stop,
    Winch,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Hup,
        Self::Int,
        Self::Quit,
        Self::Kill,
        Self::Usr1,
        Self::Usr2,
        Self::Term,
        Self::Cont,
        Self::Stop,
        Self::Winch,
    ];

    /// `HUP`.
    pub fn name(self) -> String {
        format!("{self:?}").to_uppercase()
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// What every process does.
    Fleet(Fleet),
    /// A piece of a log.
    Log(LogLine),
    /// What came of an order.
    Report(Report),
    /// Something happened.
    Event(Transition),
    /// So many events were not told because the asker read too slowly.
    Lost(u64),
    /// Nothing was done.
    Refused(Vec<Refused>),
    /// Nothing follows.
    End,
}

/// A piece of a log: a line without its newline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogLine {
    /// Whose.
    pub process: ProcessName,
    /// What was written.
    pub line: Bytes,
}

/// Bytes: a text where they are UTF-8, else a list of numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bytes {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Raw(Vec<u8>),
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|it| Self::Raw(it.into_bytes()), Self::Text)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Text(it) => it.as_bytes(),
            Self::Raw(it) => it,
        }
    }
}

/// A process came from one state to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// When: milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// Which process.
    pub process: ProcessName,
    /// What it does now, in one word.
    pub state: String,
    /// Why, when that is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Its number, while it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// What came of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What was done to each process that the order is about, by name.
    pub processes: Vec<Outcome>,
    /// Of a reload: the processes that are as they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<usize>,
}

/// What came of an order for one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Which.
    pub process: ProcessName,
    /// What was done to it.
    pub deed: Deed,
    /// Whether it was named, or only concerned by what was.
    pub named: bool,
    /// How it ended.
    pub end: Ended,
    /// What it does now, in one word.
    pub state: String,
    /// Why, when that is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is done to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// It was started.
    Started,
    /// It was stopped.
    Stopped,
    /// It was stopped and started anew.
    Restarted,
    /// It was given other numbers and probes while it ran.
    Amended,
    /// It was given a new description, and is still down because somebody stopped it.
    Described,
    /// It was sent a signal.
    Signalled,
    /// There was nothing to do.
    Nothing,
}

/// How what was done to a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// As asked.
    Well,
    /// It did not come up.
    Failed,
    /// Somebody asked for something else meanwhile.
    Superseded,
    /// Nobody waited for it.
    Unknown,
}

impl Report {
    /// Whether everything that was waited for ended as asked.
    pub fn is_well(&self) -> bool {
        self.processes.iter().all(|it| matches!(it.end, Ended::Well | Ended::Unknown))
    }
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The rule: `SUP001`.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// Where: `ecosystem.json:12:5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}
