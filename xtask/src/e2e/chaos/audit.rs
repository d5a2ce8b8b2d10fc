//! What became of jobs, read from the file into which Redis has written every change, in the order of changes. The only
//! knowledge is that of `docs/broker.md`: a field of `j` begins with the state of a job that has not ended and the fence of its last
//! claim, and so does the last line that is appended to the document of one that ends.

use std::{collections::BTreeMap, fs, path::Path};

use broker::JobId;

/// The hash with the states of jobs that have not ended, and the prefix of the keys with their documents.
const STATES: &str = "{jobs}:j";
const DOCUMENT: &str = "{jobs}:b:";

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

fn judge<'a>(states: &BTreeMap<String, Vec<State>>, ids: impl Iterator<Item = &'a str>) -> Found {
    let mut found = Found::default();
    for id in ids {
        let states = states.get(id).map(Vec::as_slice).unwrap_or_default();
        let came_to = |letter: char| states.iter().filter(|it| it.letter == letter).count();
        found.claims += came_to('r');
        if states.last().is_none_or(|it| it.letter != 'S') {
            found.lost.push(id.to_owned());
        }
        if came_to('S') > 1 {
            found.doubled.push(id.to_owned());
        }
    }
    found
}

/// A state that a job came to, and by which claim: renewing a lease, for one, is no new state.
#[derive(PartialEq)]
struct State {
    letter: char,
    fence: String,
}

impl State {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let letter = words.next()?.chars().next()?;
        Some(Self { letter, fence: words.next().unwrap_or_default().to_owned() })
    }
}

/// Adds the states that commands give to jobs; `None` if they are not commands. What was cut short at the end does not
/// count: Redis has not acknowledged it.
fn collect(mut bytes: &[u8], states: &mut BTreeMap<String, Vec<State>>) -> Option<()> {
    while let Some(first) = bytes.first() {
        match first {
            // A remark, such as the time.
            b'#' => drop(line(&mut bytes)),
            b'*' => {
                let Some(words) = words(&mut bytes) else { return Some(()) };
                for (job, state) in written(&words) {
                    let states = states.entry(job.to_owned()).or_default();
                    let state = State::read(state)?;
                    if states.last() != Some(&state) {
                        states.push(state);
                    }
                }
            }
            _ => return None,
        }
    }
    Some(())
}

/// The states that a command writes, with their jobs.
fn written(words: &[String]) -> Vec<(&str, &str)> {
    let [name, key, rest @ ..] = words else { return Vec::new() };
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match (key.strip_prefix(DOCUMENT), rest) {
        (Some(job), [end]) if is("append") => vec![(job, end.rsplit('\n').next().unwrap_or(end))],
        (_, fields) if key == STATES && (is("hset") || is("hsetnx")) => {
            fields.chunks_exact(2).map(|field| (&*field[0], &*field[1])).collect()
        }
        _ => Vec::new(),
    }
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
    fn file(commands: &[&[&str]]) -> Vec<u8> {
        let mut file = b"#TS:1763730000\r\n".to_vec();
        for words in commands {
            file.extend(format!("*{}\r\n", words.len()).bytes());
            for word in *words {
                file.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
            }
        }
        file
    }

    #[test]
    fn a_job_that_never_ended_well_is_lost_and_one_that_did_twice_is_doubled() {
        let (states, body) = ("{jobs}:j", |id: &str| format!("{{jobs}}:b:{id}"));
        let (good, twice, dead) = (&*body("good"), &*body("twice"), &*body("dead"));
        let mut file = file(&[
            &["SELECT", "0"],
            &["MSETNX", good, "1 0 f 3 9 9\n{}", twice, "1 0 f 3 9 9\n{}"],
            &["HSET", states, "good", "r 1 5", "twice", "r 1 5"],
            // Renewed, and done.
            &["HSET", states, "good", "r 1 9"],
            &["APPEND", good, "\nS is not the line\nS 1 9"],
            &["HDEL", states, "good"],
            &["APPEND", twice, "\n{}\nS 1 5"],
            &["HSET", states, "twice", "r 3 5"],
            &["APPEND", twice, "\n{}\nS 3 5"],
            &["HSETNX", states, "dead", "r 4 5"],
            &["APPEND", dead, "\nof an illness\nX 4 5"],
            &["ZADD", "{jobs}:l", "5", "other"],
        ]);
        file.extend(b"*3\r\n$6\r\nAPPEND\r\n$13\r\n{jobs}:b:de");
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
