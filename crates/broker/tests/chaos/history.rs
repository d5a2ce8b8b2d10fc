//! What has happened: what those who took part wrote down, every write that Redis put into its append-only file, and what
//! it holds in the end. Nothing here is of the broker but the names of keys and fields, which `docs/broker.md` lists.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::record::{self, Line};

const QUEUE: &str = "{chaos}:";

/// A write to a job's record, in the order of the file: to its field of `j`, or behind its document.
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
    /// The last line of `b:<job>`, with what belongs to it.
    pub jobs: BTreeMap<String, BTreeMap<String, String>>,
    /// How long `b:<job>` will still be there; negative: for ever, or not at all.
    pub lives: BTreeMap<String, i64>,
    /// The fields of `j`: jobs that have not ended.
    pub held: Vec<String>,
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
                "b" => {
                    let body: String = redis::cmd("GET").arg(key).query(&mut redis)?;
                    end.jobs.insert(rest.into(), ending(&body).unwrap_or_default());
                    end.lives.insert(rest.into(), redis::cmd("PTTL").arg(key).query(&mut redis)?);
                }
                "j" => end.held = redis::cmd("HKEYS").arg(key).query(&mut redis)?,
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

/// What stands behind the document of a job that has ended: `\n<result><message>\n<line>`.
fn ending(text: &str) -> Option<BTreeMap<String, String>> {
    let (before, line) = text.rsplit_once('\n').filter(|(_, line)| line.starts_with(['S', 'C', 'X']))?;
    let lengths = line.rsplitn(3, ' ').take(2).map(|it| it.parse().unwrap_or(0)).collect::<Vec<usize>>();
    let (before, message) = before.split_at(before.len() - lengths[1]);
    Some(parts(line, message, &before[before.len() - lengths[0]..]))
}

/// What the record of a job says, by name: `s` its state, `f` its fence, `u` a date to wait for or the end of a lease, `e` the end of
/// the attempt, `o` its worker, `z` when it ended, `x` and `y` marks, `a` and `c` what it failed and lost, `K` the kind of its death,
/// `E` its message and `R` its result.
fn parts(line: &str, message: &str, result: &str) -> BTreeMap<String, String> {
    let words: Vec<_> = line.split(' ').collect();
    let [state, fence, _, _, marks, failed, lost, at, deadline, who, said, told] = words[..] else {
        panic!("no record: {line}")
    };
    let mut parts = BTreeMap::new();
    let mut say = |name: &str, value: &str, says: bool| {
        if says {
            parts.insert(name.to_owned(), value.to_owned());
        }
    };
    let (runs, ended) = (state == "r", matches!(state, "S" | "C" | "X"));
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
    say("E", message, said != "-");
    say("R", result, told != "-");
    parts
}

/// What a command writes to the records of jobs. `before`: what they said.
fn write(
    command: &[String],
    before: &mut BTreeMap<String, BTreeMap<String, String>>,
    writes: &mut Vec<Write>,
) {
    let [name, key, rest @ ..] = command else { return };
    let (name, held) = (name.to_ascii_uppercase(), format!("{QUEUE}j"));
    let body = |key: &String| key.strip_prefix(QUEUE).and_then(|it| it.strip_prefix("b:")).map(str::to_owned);
    // The jobs, and what is said of each; nothing where its document is gone.
    let said: Vec<(String, Option<BTreeMap<String, String>>)> = match &*name {
        "HSET" | "HSETNX" if *key == held => rest
            .chunks_exact(2)
            .map(|it| {
                let (line, message) = it[1].split_once('\n').unwrap_or((&it[1], ""));
                (it[0].clone(), Some(parts(line, message, "")))
            })
            .collect(),
        // Its end is said behind its document.
        "HDEL" if *key == held => vec![],
        "APPEND" => body(key).map(|job| (job, Some(ending(&rest[0]).unwrap()))).into_iter().collect(),
        "DEL" | "UNLINK" => [key].into_iter().chain(rest).filter_map(|it| Some((body(it)?, None))).collect(),
        // A job comes, is forgotten some day or not; or what it takes up is made smaller.
        "SET" | "MSETNX" | "PEXPIREAT" | "PERSIST" | "COPY" | "RENAME" => vec![],
        _ => {
            let known = *key != held && body(key).is_none();
            assert!(known, "the checker does not know what {name} does to a job");
            vec![]
        }
    };
    for (job, now) in said {
        let deleted = now.is_none();
        let now = now.unwrap_or_default();
        let before = before.entry(job.clone()).or_default();
        let mut fields: BTreeMap<_, _> =
            before.keys().filter(|it| !now.contains_key(*it)).map(|it| (it.clone(), None)).collect();
        let new = now.iter().filter(|(name, value)| before.get(*name) != Some(value));
        fields.extend(new.map(|(name, value)| (name.clone(), Some(value.clone()))));
        // What is gone still says how it was, for those who ask why.
        if !deleted {
            *before = now;
        }
        writes.push(Write { job, fields: if deleted { BTreeMap::new() } else { fields }, deleted });
    }
}
