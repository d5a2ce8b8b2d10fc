//! What became of jobs, read from the file into which Redis has written every change, in the order of changes. The only
//! knowledge is that of `docs/broker.md`: the field `s` of the hash `j:<job>` is the job's state.

use std::{collections::BTreeMap, fs, path::Path};

use broker::JobId;

/// The prefix of the hashes of jobs.
const HASH: &str = "{jobs}:j:";

/// What the file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// How often a worker got a job.
    pub(super) claims: usize,
    /// Jobs whose last state is not success.
    pub(super) lost: Vec<String>,
    /// Jobs that came to success more than once.
    pub(super) doubled: Vec<String>,
}

/// Reads the append-only file in this folder, which was never written anew.
pub(super) fn audit(folder: &Path, ids: &[JobId]) -> Result<Found, String> {
    let folder = folder.join("appendonlydir");
    let read = |name: &str| fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
    let manifest = String::from_utf8_lossy(&read("appendonly.aof.manifest")?).into_owned();
    let mut states = BTreeMap::new();
    for line in manifest.lines().filter(|line| line.ends_with("type i")) {
        let name = line.split(' ').nth(1).ok_or("the manifest of the append-only file has another form")?;
        collect(&read(name)?, &mut states).ok_or_else(|| format!("{name} has another form"))?;
    }
    Ok(judge(&states, ids.iter().map(JobId::as_str)))
}

fn judge<'a>(states: &BTreeMap<String, Vec<String>>, ids: impl Iterator<Item = &'a str>) -> Found {
    let mut found = Found::default();
    for id in ids {
        let states = states.get(id).map(Vec::as_slice).unwrap_or_default();
        let times = |wanted: &str| states.iter().filter(|it| *it == wanted).count();
        found.claims += times("r");
        if states.last().is_none_or(|it| it != "S") {
            found.lost.push(id.to_owned());
        }
        if times("S") > 1 {
            found.doubled.push(id.to_owned());
        }
    }
    found
}

/// Adds the states that commands give to jobs; `None` if they are not commands. What was cut short at the end does not
/// count: Redis has not acknowledged it.
fn collect(mut bytes: &[u8], states: &mut BTreeMap<String, Vec<String>>) -> Option<()> {
    while let Some(first) = bytes.first() {
        match first {
            // A remark, such as the time.
            b'#' => drop(line(&mut bytes)),
            b'*' => {
                let Some(words) = words(&mut bytes) else { return Some(()) };
                let [name, key, fields @ ..] = words.as_slice() else { continue };
                let job = key.strip_prefix(HASH).filter(|_| name.eq_ignore_ascii_case("hset"));
                for pair in fields.chunks_exact(2).filter(|pair| pair[0] == "s") {
                    if let Some(job) = job {
                        states.entry(job.to_owned()).or_default().push(pair[1].clone());
                    }
                }
            }
            _ => return None,
        }
    }
    Some(())
}

/// One command, `*<count>` and for each word `$<length>` and the word, each with `\r\n` behind it; `None` if it is cut short.
fn words(bytes: &mut &[u8]) -> Option<Vec<String>> {
    let count: usize = line(bytes)?.strip_prefix('*')?.parse().ok()?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length: usize = line(bytes)?.strip_prefix('$')?.parse().ok()?;
        let word = bytes.get(..length)?;
        words.push(String::from_utf8_lossy(word).into_owned());
        *bytes = bytes.get(length + 2..)?;
    }
    Some(words)
}

fn line<'a>(bytes: &mut &'a [u8]) -> Option<std::borrow::Cow<'a, str>> {
    let end = bytes.windows(2).position(|it| it == b"\r\n")?;
    let line = String::from_utf8_lossy(&bytes[..end]);
    *bytes = &bytes[end + 2..];
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::{Found, collect, judge};

    /// Commands as Redis writes them.
    fn file(commands: &[&str]) -> Vec<u8> {
        let mut file = b"#TS:1763730000\r\n".to_vec();
        for command in commands {
            let words: Vec<_> = command.split(' ').collect();
            file.extend(format!("*{}\r\n", words.len()).bytes());
            for word in words {
                file.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
            }
        }
        file
    }

    #[test]
    fn a_job_that_never_ended_well_is_lost_and_one_that_did_twice_is_doubled() {
        let mut file = file(&[
            "SELECT 0",
            "HSET {jobs}:j:good s r f 1",
            "HSET {jobs}:j:good s S",
            "HSET {jobs}:j:twice s r",
            "HSET {jobs}:j:twice s S z 5",
            "HSET {jobs}:j:twice s r",
            "HSET {jobs}:j:twice s S z 9",
            "HSET {jobs}:j:dead s r",
            "HSET {jobs}:j:dead a 1 s X",
            "ZADD {jobs}:l 5 other",
        ]);
        file.extend(b"*3\r\n$4\r\nHSET\r\n$13\r\n{jobs}:j:de");
        let mut states = std::collections::BTreeMap::new();
        assert_eq!(collect(&file, &mut states), Some(()));
        let (lost, doubled) = (vec!["dead".to_owned(), "never".to_owned()], vec!["twice".to_owned()]);
        let found = judge(&states, ["good", "twice", "dead", "never"].into_iter());
        assert_eq!(found, Found { claims: 4, lost, doubled });
    }

    #[test]
    fn what_is_no_file_of_commands_is_refused() {
        assert_eq!(collect(b"REDIS0011", &mut std::collections::BTreeMap::new()), None);
    }
}
