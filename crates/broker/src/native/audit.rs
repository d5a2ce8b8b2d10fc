//! The audit: reads every job and every set, page by page, and never changes anything. The queue goes on meanwhile, so
//! whatever looks wrong is read again before it is told.

use redis::Value;

use super::Native;
use super::record::{self, Record};
use super::wire::{self, Head, value};
use crate::audit::{Audit, Damage};
use crate::error::Error;
use crate::list::Stage;

mod bytes;

/// Jobs or entries that one read fetches.
const READ: usize = 100;
/// The sets that every job is looked for in. Those of one line, group or limit key come to them.
const SETS: [&str; 5] = ["l", "d", "x:permanent", "x:attempts", "x:crashes"];
/// How often a job that looks wrong is looked at. One that is never the same twice is alive.
const LOOKS: usize = 10;

/// One job as the keys show it.
#[derive(PartialEq)]
struct Seen {
    id: String,
    /// Its field of `j`; empty if it has none.
    held: String,
    /// The beginning of what `b:<job>` holds; empty if there is no such key.
    body: String,
    /// The end of it.
    end: String,
    /// Whether that is forgotten some day: 0; -1 if not, -2 if it is not there.
    ttl: i64,
    /// The sets that it is in, with its score there.
    found: Vec<(String, String)>,
}

impl Native {
    /// Checks that each job is in exactly one state, as its record says, and that the bytes of all unfinished jobs are what
    /// is written down. `told` is called with what was found so far, page by page. Only reads: safe at any time, on
    /// any queue, as slow as it has keys.
    ///
    /// The bytes of a busy queue are compared as far as they can be: see `count_bytes`.
    pub async fn audit(&self, mut told: impl FnMut(&Audit)) -> Result<Audit, Error> {
        let mut audit = Audit::default();
        let mut sets: Vec<String> = SETS.map(str::to_owned).into();
        let mut at = Some(String::new());
        while let Some(cursor) = at {
            let (keys, next) = self.scan("*", &cursor).await?;
            let named = |kind: &str| -> Vec<String> {
                let prefix = self.key(kind);
                keys.iter().filter_map(|key| Some(key.strip_prefix(&prefix)?.to_owned())).collect()
            };
            for ids in named("b:").chunks(READ) {
                audit.jobs += ids.len() as u64;
                self.examine(ids, None, &mut audit).await?;
            }
            for kind in ["w:", "g:", "r:"] {
                sets.extend(named(kind).into_iter().map(|it| format!("{kind}{it}")));
            }
            told(&audit);
            at = next;
        }
        self.orphans(&mut audit).await?;
        for set in sets {
            self.entries(&set, &mut audit, &mut told).await?;
        }
        self.bytes(&mut audit).await?;
        told(&audit);
        Ok(audit)
    }

    /// Looks at jobs, and at those that look wrong until two looks agree. `also` is a set to look for them in beside those
    /// that they may be in.
    async fn examine(&self, ids: &[String], also: Option<&str>, audit: &mut Audit) -> Result<(), Error> {
        let bodies = self.bodies(ids).await?;
        let jobs: Vec<_> = ids.iter().zip(&bodies).map(|(id, body)| (id, sets_of(body, also))).collect();
        for (first, job) in self.see(&jobs).await?.into_iter().zip(&jobs) {
            let mut before = first;
            for _ in 0..LOOKS {
                if judge(&before).is_empty() {
                    break;
                }
                let Some(now) = self.see(std::slice::from_ref(job)).await?.pop() else { break };
                // Nothing of a job comes back to what it was, for every claim has a fence of its own: what two looks have
                // found was all there at once, between them.
                if now == before {
                    for damage in judge(&now) {
                        audit.found(damage);
                    }
                    break;
                }
                before = now;
            }
        }
        Ok(())
    }

    /// The beginnings of what is in `b:<job>`, which never change while the job is there.
    async fn bodies(&self, ids: &[String]) -> Result<Vec<String>, Error> {
        let mut pipe = redis::pipe();
        for id in ids {
            pipe.cmd("GETRANGE").arg(self.key(format_args!("b:{id}"))).arg(0).arg(wire::HEAD);
        }
        let bodies: Vec<Vec<u8>> = pipe.query_async(&mut self.connection.clone()).await?;
        Ok(bodies.iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect())
    }

    /// The keys of jobs, each looked for in its sets.
    async fn see(&self, jobs: &[(&String, Vec<String>)]) -> Result<Vec<Seen>, Error> {
        let (mut pipe, jobs_key) = (redis::pipe(), self.key("j"));
        for (id, sets) in jobs {
            let body = self.key(format_args!("b:{id}"));
            pipe.hget(&jobs_key, id.as_str()).getrange(&body, 0, wire::HEAD);
            pipe.getrange(&body, -record::SHORT, -1).pttl(&body);
            for set in sets {
                pipe.cmd(if set.starts_with("r:") { "SISMEMBER" } else { "ZSCORE" })
                    .arg(self.key(set))
                    .arg(id);
            }
        }
        let answers: Vec<Value> = pipe.query_async(&mut self.connection.clone()).await?;
        let mut answers = answers.into_iter();
        let mut seen = Vec::new();
        for (id, sets) in jobs {
            let mut next = || answers.next().unwrap_or(Value::Nil);
            let held = value::<Option<Vec<u8>>>(next(), id)?.unwrap_or_default();
            let held = String::from_utf8_lossy(&held).into_owned();
            let (body, end) = (text(next(), id)?, text(next(), id)?);
            // How long is of no interest, and different each time.
            let ttl = value::<i64>(next(), id)?.min(0);
            let mut found = Vec::new();
            for set in sets {
                // A set without scores answers 1 or 0.
                let score: Option<String> = value(next(), set)?;
                let score = score.filter(|it| !set.starts_with("r:") || it == "1");
                found.extend(score.map(|it| (set.clone(), it)));
            }
            seen.push(Seen { id: (*id).clone(), held, body, end, ttl, found });
        }
        Ok(seen)
    }

    /// Records whose job is gone.
    async fn orphans(&self, audit: &mut Audit) -> Result<(), Error> {
        let (held, mut at) = (self.key("j"), "0".to_owned());
        loop {
            let page = redis::cmd("HSCAN").arg(&held).arg(&at).arg("COUNT").arg(READ).clone();
            let (next, fields): (String, Vec<Vec<u8>>) = self.ask(&page).await?;
            let ids: Vec<_> = fields.iter().step_by(2).map(|it| String::from_utf8_lossy(it)).collect();
            for ids in ids.chunks(READ) {
                let mut pipe = redis::pipe();
                for id in ids {
                    // Before and after: a job can begin or end between.
                    let body = self.key(format_args!("b:{id}"));
                    pipe.hexists(&held, &**id).exists(body).hexists(&held, &**id);
                }
                let told: Vec<u8> = pipe.query_async(&mut self.connection.clone()).await?;
                for (id, _) in ids.iter().zip(told.chunks_exact(3)).filter(|(_, told)| *told == [1, 0, 1]) {
                    audit.found(Damage::Orphan { id: id.to_string() });
                }
            }
            if next == "0" {
                return Ok(());
            }
            at = next;
        }
    }

    /// The entries of one set: each is a job that says that it belongs there.
    async fn entries(
        &self,
        set: &str,
        audit: &mut Audit,
        told: &mut impl FnMut(&Audit),
    ) -> Result<(), Error> {
        let mut at = "0".to_owned();
        loop {
            let scores = !set.starts_with("r:");
            let mut command = redis::cmd(if scores { "ZSCAN" } else { "SSCAN" });
            command.arg(self.key(set)).arg(&at).arg("COUNT").arg(READ);
            let (next, members): (String, Vec<String>) = self.ask(&command).await?;
            // Tokens of groups are no jobs.
            let members = members.into_iter().step_by(if scores { 2 } else { 1 });
            let ids: Vec<_> = members.filter(|it| !it.starts_with('@')).collect();
            audit.entries += ids.len() as u64;
            for ids in ids.chunks(READ) {
                let bodies = self.bodies(ids).await?;
                let records: Vec<Option<Vec<u8>>> =
                    self.ask(redis::cmd("HMGET").arg(self.key("j")).arg(ids)).await?;
                let mut pipe = redis::pipe();
                for id in ids {
                    pipe.getrange(self.key(format_args!("b:{id}")), -record::SHORT, -1);
                }
                let ends: Vec<Vec<u8>> = pipe.query_async(&mut self.connection.clone()).await?;
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let records = records.into_iter().map(|it| text(it.unwrap_or_default()));
                let records: Vec<_> = records.zip(ends.into_iter().map(text)).collect();
                let wrong = |((held, end), body): (&(String, String), &String)| {
                    let place = place(held, end, body);
                    place.is_none_or(|(_, belongs)| belongs.iter().all(|it| it != set))
                };
                let wrong = ids.iter().zip(records.iter().zip(&bodies)).filter(|(_, it)| wrong(*it));
                let wrong: Vec<_> = wrong.map(|(id, _)| id.clone()).collect();
                if !wrong.is_empty() {
                    self.examine(&wrong, Some(set), audit).await?;
                }
            }
            told(audit);
            if next == "0" {
                return Ok(());
            }
            at = next;
        }
    }
}

/// The sets to look for a job in, and one more.
fn sets_of(body: &str, also: Option<&str>) -> Vec<String> {
    let mut sets: Vec<String> = SETS.map(str::to_owned).into();
    if let Ok(head) = Head::of(body, "") {
        sets.push(format!("w:{}", head.signature));
        sets.extend(head.limit_key.map(|key| format!("g:{key}:{}", head.signature)));
        sets.extend(head.limit_key.map(|key| format!("r:{key}")));
    }
    if let Some(also) = also.filter(|it| sets.iter().all(|set| set != it)) {
        sets.push(also.to_owned());
    }
    sets
}

/// Text that may be cut in the middle of a character.
fn text(bytes: Value, key: &str) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&value::<Vec<u8>>(bytes, key)?).into_owned())
}

/// The state of a job and the sets that it belongs to; `None` if it says none that we know.
fn place(held: &str, end: &str, body: &str) -> Option<(Stage, Vec<String>)> {
    let (record, head) = (Record::of(held, end, "").ok()?, Head::of(body, "").ok()?);
    Some(match record.state {
        'd' => (Stage::Delayed, vec!["d".into()]),
        'r' => {
            let running = head.limit_key.map(|key| format!("r:{key}"));
            (Stage::Running, [String::from("l")].into_iter().chain(running).collect())
        }
        'w' => match head.limit_key {
            Some(key) => (Stage::Waiting, vec![format!("g:{key}:{}", head.signature)]),
            None => (Stage::Waiting, vec![format!("w:{}", head.signature)]),
        },
        'X' => (Stage::Dead, vec![format!("x:{}", record.who)]),
        'S' => (Stage::Succeeded, vec![]),
        'C' => (Stage::Cancelled, vec![]),
        _ => return None,
    })
}

/// What is wrong with one job.
fn judge(seen: &Seen) -> Vec<Damage> {
    let id = || seen.id.clone();
    let found: Vec<_> = seen.found.iter().map(|(set, _)| set.clone()).collect();
    if seen.body.is_empty() {
        // The entry of a dead job outlives it until the next sweep.
        let stays = found.iter().all(|set| set.starts_with("x:"));
        return if stays { vec![] } else { vec![Damage::Ghost { id: id(), found }] };
    }
    let told = (
        Record::of(&seen.held, &seen.end, ""),
        Head::of(&seen.body, ""),
        place(&seen.held, &seen.end, &seen.body),
    );
    let (Ok(record), Ok(head), Some((stage, belongs))) = told else {
        return vec![Damage::Unreadable { id: id() }];
    };
    let mut damage = Vec::new();
    let placed = found.len() == belongs.len() && found.iter().all(|it| belongs.contains(it));
    if !placed {
        damage.push(Damage::Place { id: id(), stage, belongs, found });
    } else if let Some((set, score)) = seen.found.first() {
        let said = match stage {
            Stage::Waiting => Some(head.score.to_string()),
            Stage::Running | Stage::Delayed => Some(record.at.to_string()),
            Stage::Dead | Stage::Succeeded | Stage::Cancelled => None,
        };
        let differs = |said: &String| said.parse::<f64>().ok() != score.parse().ok();
        if let Some(said) = said.filter(differs) {
            damage.push(Damage::Score { id: id(), set: set.clone(), placed: score.clone(), said });
        }
    }
    let ended = stage.is_finished() || stage == Stage::Dead;
    if ended == (seen.ttl == -1) {
        damage.push(if ended {
            Damage::Endless { id: id(), stage }
        } else {
            Damage::Fleeting { id: id(), stage }
        });
    }
    damage
}
