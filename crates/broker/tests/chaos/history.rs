//! What has happened: what those who took part wrote down, every write that Redis put into its append-only file, and what
//! it holds in the end. Nothing here is of the broker but the names of keys and fields, which `docs/broker.md` lists.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::record::{self, Line};

const QUEUE: &str = "{chaos}:";

/// A write to a job's record, in the order of the file.
#[derive(Clone, Debug)]
pub struct Write {
    pub job: String,
    /// What is other than before; `None` where something is no longer said.
    pub fields: BTreeMap<String, Option<String>>,
    /// The record is gone.
    pub deleted: bool,
}

/// What Redis holds in the end.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// `j:<job>`
    pub jobs: BTreeMap<String, BTreeMap<String, String>>,
    /// `b:<job>`, and how long the document and the record will still be there; negative: for ever, or not at all.
    pub lives: BTreeMap<String, (i64, i64)>,
    /// The members of `d`, `l`, every `w:` and every `x:`.
    pub members: BTreeMap<String, Vec<String>>,
    /// `i:<key>`
    pub keys: BTreeMap<String, String>,
    /// `bytes` of `m`.
    pub bytes: i64,
}

#[derive(Clone)]
pub struct History {
    pub lines: Vec<Line>,
    pub writes: Vec<Write>,
    pub end: End,
}

impl History {
    /// Reads what Redis holds, lets it be stopped, and reads the files.
    pub fn read(folder: &Path, redis: redis::Connection, stop: impl FnOnce()) -> Self {
        let end = End::read(redis).unwrap();
        stop();
        let mut lines = record::read(folder);
        lines.sort_by_key(|it| it.at);
        Self { lines, writes: writes(folder), end }
    }

    /// All that is known of a job: the writes in their order, and who said what when.
    pub fn of(&self, job: &str) -> String {
        let mut told = String::from("  writes, by Redis's file\n");
        for write in self.writes.iter().filter(|it| it.job == job) {
            let write = if write.deleted { "deleted".into() } else { fields(&write.fields) };
            _ = writeln!(told, "    {write}");
        }
        told += "  lines, by the writers' clocks\n";
        for line in self.lines.iter().filter(|it| it.what.job() == Some(job)) {
            _ = writeln!(told, "    {} {}: {:?}", line.at, line.who, line.what);
        }
        told + &format!("  in the end\n    {:?}\n", self.end.jobs.get(job))
    }
}

fn fields(fields: &BTreeMap<String, Option<String>>) -> String {
    let one =
        |(name, value): (&String, &Option<String>)| format!("{name}={}", value.as_deref().unwrap_or("-"));
    fields.iter().map(one).collect::<Vec<_>>().join(" ")
}

impl End {
    fn read(mut redis: redis::Connection) -> redis::RedisResult<Self> {
        let mut end = Self::default();
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut redis)?;
        for key in &keys {
            let name = key.strip_prefix(QUEUE).unwrap_or_else(|| panic!("`{key}` is not of the queue"));
            let (kind, rest) = name.split_once(':').unwrap_or((name, ""));
            match kind {
                "j" => {
                    let record: String = redis::cmd("GET").arg(key).query(&mut redis)?;
                    end.jobs.insert(rest.into(), parts(&record));
                    let mut lives = redis::pipe();
                    lives.cmd("PTTL").arg(format!("{QUEUE}b:{rest}")).cmd("PTTL").arg(key);
                    end.lives.insert(rest.into(), lives.query(&mut redis)?);
                }
                "i" => {
                    end.keys.insert(rest.into(), redis::cmd("GET").arg(key).query(&mut redis)?);
                }
                "d" | "l" | "w" | "x" => {
                    let members = redis::cmd("ZRANGE").arg(key).arg((0, -1)).query(&mut redis)?;
                    end.members.insert(name.into(), members);
                }
                _ => {}
            }
        }
        let bytes = redis::cmd("HGET").arg(format!("{QUEUE}m")).arg("bytes").query(&mut redis);
        end.bytes = bytes?;
        Ok(end)
    }
}

/// Every write to a job in the append-only file, which was never rewritten.
fn writes(folder: &Path) -> Vec<Write> {
    let folder = folder.join("appendonlydir");
    let manifest = std::fs::read_to_string(folder.join("appendonly.aof.manifest")).unwrap();
    let parts: Vec<_> = manifest.lines().filter(|it| it.ends_with("type i")).collect();
    let (mut writes, mut before) = (Vec::new(), BTreeMap::new());
    for part in parts {
        let name = part.split(' ').nth(1).unwrap();
        let bytes = std::fs::read(folder.join(name)).unwrap();
        commands(&bytes, |command| write(command, &mut before, &mut writes));
    }
    writes
}

/// Reads commands: `*<count>\r\n`, then for each argument `$<length>\r\n<argument>\r\n`.
fn commands(bytes: &[u8], mut each: impl FnMut(&[String])) {
    let mut at = 0;
    let line = |at: &mut usize| {
        let length = bytes[*at..].windows(2).position(|it| it == b"\r\n").unwrap();
        let text = str::from_utf8(&bytes[*at..*at + length]).unwrap();
        *at += length + 2;
        text
    };
    while at < bytes.len() {
        let head = line(&mut at);
        let Some(count) = head.strip_prefix('*') else { continue };
        let mut argument = || {
            let length: usize = line(&mut at)[1..].parse().unwrap();
            let text = String::from_utf8_lossy(&bytes[at..at + length]).into_owned();
            at += length + 2;
            text
        };
        let command: Vec<String> = (0..count.parse().unwrap()).map(|_| argument()).collect();
        each(&command);
    }
}

/// What the record of a job says, by name: `s` its state, `f` its fence, `u` a date to wait for or the end of a lease, `e` the end of
/// the attempt, `o` its worker, `z` when it ended, `x` and `y` marks, `a` and `c` what it failed and lost, `K` the kind of its death,
/// `E` its message and `R` its result.
fn parts(record: &str) -> BTreeMap<String, String> {
    let (line, rest) = record.split_once('\n').unwrap_or((record, ""));
    let words: Vec<_> = line.split(' ').collect();
    let [state, fence, _, _, marks, failed, lost, at, deadline, who, length] = words[..] else {
        panic!("no record: {record}")
    };
    let mut parts = BTreeMap::new();
    let mut say = |name: &str, value: &str, says: bool| {
        if says {
            parts.insert(name.to_owned(), value.to_owned());
        }
    };
    let (runs, ended) = (state == "r", matches!(state, "S" | "C" | "X"));
    let (message, result) = rest.split_at(length.parse().unwrap_or(0));
    say("s", state, true);
    say("f", fence, fence != "0");
    say("u", at, runs || state == "d");
    say("e", deadline, runs);
    say("o", who, runs);
    say("z", at, ended);
    say("x", "1", marks.contains('x'));
    say("y", "1", marks.contains('y'));
    say("a", failed, failed != "0");
    say("c", lost, lost != "0");
    say("K", who, state == "X");
    say("E", message, length != "-");
    say("R", result, !result.is_empty());
    parts
}

/// What a command writes to the records of jobs. `before`: what they said.
fn write(
    command: &[String],
    before: &mut BTreeMap<String, BTreeMap<String, String>>,
    writes: &mut Vec<Write>,
) {
    let [name, rest @ ..] = command else { return };
    let name = name.to_ascii_uppercase();
    let pairs: Vec<(&String, Option<&String>)> = match &*name {
        "SET" => vec![(&rest[0], Some(&rest[1]))],
        "MSETNX" => rest.chunks_exact(2).map(|it| (&it[0], Some(&it[1]))).collect(),
        "PEXPIREAT" | "PERSIST" => return,
        // Whatever else changes a record takes it away, or is unknown.
        _ => rest.iter().map(|it| (it, None)).collect(),
    };
    for (key, record) in pairs {
        let Some(job) = key.strip_prefix(QUEUE).and_then(|it| it.strip_prefix("j:")) else { continue };
        let deleted = matches!(&*name, "DEL" | "UNLINK");
        assert!(deleted || record.is_some(), "the checker does not know what {name} does to a job");
        let now = record.map(|it| parts(it)).unwrap_or_default();
        let before = before.entry(job.to_owned()).or_default();
        let mut fields: BTreeMap<_, _> =
            before.keys().filter(|it| !now.contains_key(*it)).map(|it| (it.clone(), None)).collect();
        let new = now.iter().filter(|(name, value)| before.get(*name) != Some(value));
        fields.extend(new.map(|(name, value)| (name.clone(), Some(value.clone()))));
        // What is gone still says how it was, for those who ask why.
        if !deleted {
            *before = now;
        }
        writes.push(Write {
            job: job.to_owned(),
            fields: if deleted { BTreeMap::new() } else { fields },
            deleted,
        });
    }
}
