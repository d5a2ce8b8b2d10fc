//! Lists: pages of sorted sets, read from a place and not from a rank, so that jobs which come and go in front of it
//! neither hide another nor show it twice.

use std::collections::HashMap;

use super::Native;
use super::record::{self, Record};
use super::wire::{self, foreign, parsed};
use crate::error::Error;
use crate::ids::JobId;
use crate::list::{Cursor, Filter, MAX_PAGE, Page, Stage, Summary};
use crate::signature::Signature;

/// Members or lines that one read fetches.
const READ: usize = 100;
/// Reads of one page, so that a filter which finds nothing does not look through everything in one call.
const READS: usize = 20;

/// An order of jobs, by its number in a [`Cursor`].
#[derive(Clone, Copy)]
enum Order {
    /// One sorted set.
    Set(&'static str, Stage),
    /// One sorted set for each signature.
    Lines,
    /// One sorted set for each limit key and signature.
    Groups,
    /// None: all keys.
    Keys,
}

const ORDERS: [Order; 8] = [
    Order::Set("l", Stage::Running),
    Order::Lines,
    Order::Groups,
    Order::Set("d", Stage::Delayed),
    Order::Set("x:permanent", Stage::Dead),
    Order::Set("x:attempts", Stage::Dead),
    Order::Set("x:crashes", Stage::Dead),
    Order::Keys,
];

/// Jobs that one read found, each with the place behind it, and where the next read begins.
type Found = (Vec<(JobId, Cursor)>, Option<Cursor>);

impl Native {
    pub(super) async fn list_page(
        &self,
        filter: &Filter,
        after: Option<&Cursor>,
        most: usize,
    ) -> Result<Page, Error> {
        let most = most.clamp(1, MAX_PAGE);
        let mut page = Page { jobs: vec![], next: Some(after.cloned().unwrap_or_else(Cursor::start)) };
        let mut signatures = HashMap::new();
        for _ in 0..READS {
            let Some(at) = page.next.take() else { break };
            let Some(order) = ORDERS.get(usize::from(at.order)) else { break };
            let (found, next) = match *order {
                Order::Set(set, stage) if filter.wants(stage) => self.members(&self.key(set), &at).await?,
                Order::Lines if filter.wants(Stage::Waiting) => self.line(filter, &at).await?,
                Order::Groups if filter.wants(Stage::Waiting) => self.group(&at).await?,
                Order::Keys if filter.stage.is_some_and(Stage::is_finished) => self.records(&at).await?,
                _ => (vec![], None),
            };
            let rest = usize::from(at.order) + 1 < ORDERS.len();
            page.next = next.or_else(|| rest.then(|| Cursor::of(at.order + 1, 0)));
            let told = self.summaries(&found, &mut signatures).await?;
            for (summary, behind) in told {
                if filter.wants(summary.life.state.stage()) && filter.takes(&summary.signature) {
                    page.jobs.push(summary);
                }
                if page.jobs.len() == most {
                    page.next = Some(behind);
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    /// The members of a sorted set behind a place: of equal scores, those with a later name.
    async fn members(&self, set: &str, at: &Cursor) -> Result<Found, Error> {
        let from = if at.score.is_empty() { "-inf" } else { &at.score };
        for skipped in (0_usize..).step_by(READ) {
            let mut command = redis::cmd("ZRANGEBYSCORE");
            command.arg(set).arg(from).arg("+inf").arg("WITHSCORES").arg("LIMIT").arg(skipped).arg(READ);
            let read: Vec<(String, String)> = self.ask(&command).await?;
            let last = read.len() < READ;
            let mut found = Vec::new();
            // Tokens of groups are no jobs.
            let behind = read.into_iter().filter(|(id, score)| *score != at.score || *id > at.id);
            for (id, score) in behind.filter(|(id, _)| !id.starts_with('@')) {
                let behind = Cursor { score, id, ..at.clone() };
                found.push((parsed(&behind.id, set)?, behind));
            }
            // Where a whole read has nothing, the next one follows at once.
            if last || !found.is_empty() {
                let next = found.last().filter(|_| !last).map(|(_, behind)| behind.clone());
                return Ok((found, next));
            }
        }
        Ok((vec![], None))
    }

    /// The next of the line that a place is in; of the next line that holds some where it is at its end.
    async fn line(&self, filter: &Filter, at: &Cursor) -> Result<Found, Error> {
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(self.key("so")).arg(at.line).arg("+inf").arg("WITHSCORES").arg("LIMIT").arg(0).arg(READ);
        let lines: Vec<(String, u64)> = self.ask(&command).await?;
        let Some((_, end)) = lines.last() else { return Ok((vec![], None)) };
        let behind = |line: u64| Some(Cursor::of(at.order, line + 1));
        let mut pipe = redis::pipe();
        for (signature, _) in &lines {
            pipe.cmd("ZCARD").arg(self.key(format_args!("w:{signature}")));
            pipe.cmd("HGET").arg(self.key("s")).arg(signature);
        }
        let told: Vec<(u64, Option<String>)> = pipe.query_async(&mut self.connection.clone()).await?;
        for ((signature, number), (waiting, document)) in lines.iter().zip(told) {
            // What is not known of a signature, its jobs tell later.
            let known = document.as_deref().and_then(|it| serde_json::from_str(it).ok());
            if waiting == 0 || known.is_some_and(|it| !filter.takes(&it)) {
                continue;
            }
            let from = if *number == at.line { at.clone() } else { Cursor::of(at.order, *number) };
            let line = self.key(format_args!("w:{signature}"));
            let (found, next) = self.members(&line, &from).await?;
            return Ok((found, next.or_else(|| behind(*number))));
        }
        Ok((vec![], behind(*end)))
    }

    /// The next of the group that a place is in; of the next group where it is at its end. A place is a cursor of the scan of
    /// limit keys, and the key and signature of the group by name.
    async fn group(&self, at: &Cursor) -> Result<Found, Error> {
        let mut command = redis::cmd("ZSCAN");
        command.arg(self.key("ks")).arg(at.line).arg("COUNT").arg(READ);
        let (next, members): (u64, Vec<(String, String)>) = self.ask(&command).await?;
        let (key_at, signature_at) = at.part.split_once(' ').unwrap_or_default();
        let mut keys: Vec<_> = members.into_iter().map(|(key, _)| key).collect();
        keys.retain(|it| it.as_str() >= key_at);
        keys.sort();
        keys.dedup();
        for key in keys {
            let all = redis::cmd("ZRANGE").arg(self.key(format_args!("y:{key}"))).arg((0, -1)).clone();
            let mut signatures: Vec<String> = self.ask(&all).await?;
            signatures.retain(|it| key != key_at || it.as_str() >= signature_at);
            signatures.sort();
            for signature in signatures {
                let group = Cursor { part: format!("{key} {signature}"), ..Cursor::of(at.order, at.line) };
                let from = if group.part == at.part { at } else { &group };
                let set = self.key(format_args!("g:{key}:{signature}"));
                let (found, next) = self.members(&set, from).await?;
                if !found.is_empty() {
                    // Behind all that have a finite place.
                    let rest = || Cursor { score: "inf".into(), ..group.clone() };
                    return Ok((found, Some(next.unwrap_or_else(rest))));
                }
            }
        }
        Ok((vec![], (next != 0).then(|| Cursor::of(at.order, next))))
    }

    /// Some jobs, whatever became of them. A place is the cursor of `SCAN` that brought them, and the last one by name.
    async fn records(&self, at: &Cursor) -> Result<Found, Error> {
        let prefix = self.key("b:");
        let (keys, next) = self.scan("b:*", &at.score).await?;
        let ids = keys.iter().filter_map(|key| key.strip_prefix(&prefix)?.parse().ok());
        let mut ids: Vec<JobId> = ids.filter(|it: &JobId| it.as_str() > at.id.as_str()).collect();
        ids.sort();
        ids.dedup();
        let behind = |id: JobId| (id.clone(), Cursor { id: id.to_string(), ..at.clone() });
        let next = next.map(|score| Cursor { score, ..Cursor::of(at.order, 0) });
        Ok((ids.into_iter().map(behind).collect(), next))
    }

    /// Some of the queue's keys that match `pattern`, and where the next begin. Names hold nothing that has a meaning in a
    /// pattern.
    pub(super) async fn scan(&self, pattern: &str, at: &str) -> Result<(Vec<String>, Option<String>), Error> {
        let at = if at.is_empty() { "0" } else { at };
        let mut command = redis::cmd("SCAN");
        command.arg(at).arg("MATCH").arg(self.key(pattern)).arg("COUNT").arg(10 * READ);
        let (next, keys): (String, Vec<String>) = self.ask(&command).await?;
        Ok((keys, (next != "0").then_some(next)))
    }

    /// What is told of these jobs; nothing of those that are gone.
    async fn summaries(
        &self,
        found: &[(JobId, Cursor)],
        known: &mut HashMap<String, Signature>,
    ) -> Result<Vec<(Summary, Cursor)>, Error> {
        if found.is_empty() {
            return Ok(vec![]);
        }
        let mut pipe = redis::pipe();
        pipe.cmd("TIME");
        let held = self.key("j");
        for (id, _) in found {
            let body = self.key(format_args!("b:{id}"));
            // Both times: see `look_at`.
            pipe.hget(&held, id.as_str()).getrange(&body, 0, wire::HEAD).getrange(&body, -record::SHORT, -1);
            pipe.hget(&held, id.as_str());
        }
        let mut told: Vec<redis::Value> = pipe.query_async(&mut self.connection.clone()).await?;
        let jobs = told.split_off(1);
        let now: Vec<Option<String>> = wire::value(told.remove(0), "TIME")?;
        let now = wire::time(&now)?;
        let mut summaries = Vec::new();
        for ((id, behind), answers) in found.iter().zip(jobs.chunks_exact(4)) {
            let key = self.key(format_args!("b:{id}"));
            // They may be cut in the middle of a character.
            let text = |at: usize| {
                let bytes = wire::value::<Option<Vec<u8>>>(answers[at].clone(), &key)?;
                Ok::<_, Error>(bytes.map(|it| String::from_utf8_lossy(&it).into_owned()))
            };
            let (held, head, end) = (
                text(0)?.or(text(3)?).unwrap_or_default(),
                text(1)?.unwrap_or_default(),
                text(2)?.unwrap_or_default(),
            );
            // What is no job is told by an audit; the others are shown.
            let (Ok(head), Ok(record)) = (wire::Head::of(&head, &key), Record::of(&held, &end, &key)) else {
                continue;
            };
            let Ok(life) = record.life(&key) else { continue };
            let Some(signature) = self.signature_of(id, head.signature, known).await? else { continue };
            let summary = Summary {
                id: id.clone(),
                signature,
                life,
                limit_key: head.limit_key.map(|it| parsed(it, &key)).transpose()?,
                max_attempts: head.max_attempts,
                submitted: head.submitted,
                finished: record.ended(),
                error: record.message.map(str::to_owned),
                now,
            };
            summaries.push((summary, behind.clone()));
        }
        Ok(summaries)
    }

    /// The signature of a job. Where nobody has written it down, or it was forgotten, the job itself tells it.
    async fn signature_of(
        &self,
        id: &JobId,
        signature: &str,
        known: &mut HashMap<String, Signature>,
    ) -> Result<Option<Signature>, Error> {
        if let Some(known) = known.get(signature) {
            return Ok(Some(known.clone()));
        }
        let document: Option<String> = self.ask(redis::cmd("HGET").arg(self.key("s")).arg(signature)).await?;
        let found = if let Some(document) = document.filter(|it| !it.is_empty()) {
            serde_json::from_str(&document).map_err(|_| foreign("s"))?
        } else {
            let get = redis::cmd("GET").arg(self.key(format_args!("b:{id}"))).clone();
            let body: Option<String> = self.ask(&get).await?;
            let Some(body) = body else { return Ok(None) };
            wire::job(&body, id.as_str())?.signature()
        };
        known.insert(signature.into(), Signature::clone(&found));
        Ok(Some(found))
    }
}
