//! Whether the sum of the bytes of all unfinished jobs is what is written down, on a queue that goes on meanwhile.
//!
//! Every job says when it began and when it ended, so those that were unfinished at one instant can be told apart
//! while others come and go. Three things cannot be seen: the order about that instant, whether a job was put back from the
//! dead since, and a job whose result is kept so briefly that it is forgotten before it is looked at. So the sum is a range,
//! and a difference is told only if no sum in the range explains it, time after time. Where nothing has happened
//! meanwhile, the range is one number.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;

use super::{Native, READ, SETS, text};
use crate::audit::{Audit, Damage};
use crate::error::Error;
use crate::life::Millis;
use crate::native::record::{self, Record};
use crate::native::wire::{self, Head, value};

/// How often a difference has to show.
const COUNTS: usize = 3;

/// What `m` says and what was counted.
struct Sum {
    said: i64,
    counted: RangeInclusive<i64>,
    /// Jobs may have vanished while they were counted.
    blurred: bool,
}

/// The beginning or end of a count.
struct Start {
    /// Between these.
    time: RangeInclusive<Millis>,
    said: i64,
    /// What changes when jobs do.
    marks: Vec<redis::Value>,
}

impl Native {
    /// Compares the sum of the bytes with what is written down.
    pub(super) async fn bytes(&self, audit: &mut Audit) -> Result<(), Error> {
        let mut missing: Option<RangeInclusive<i64>> = None;
        let mut last = None;
        for _ in 0..COUNTS {
            let sum = self.count_bytes().await?;
            let less = sum.said - sum.counted.end()..=sum.said - sum.counted.start();
            let both = match missing {
                Some(it) => *it.start().max(less.start())..=*it.end().min(less.end()),
                None => less.clone(),
            };
            if less.contains(&0) || both.is_empty() || (sum.blurred && *less.start() > 0) {
                return Ok(());
            }
            missing = Some(both);
            last = Some(sum);
        }
        if let Some(Sum { said, counted, .. }) = last {
            audit.found(Damage::Bytes { counted: counted.end().unsigned_abs(), said });
        }
        Ok(())
    }

    async fn look(&self) -> Result<Start, Error> {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME").cmd("HMGET").arg(self.key("m")).arg(&["bytes", "news", "signatures"]).cmd("TIME");
        for set in SETS {
            pipe.cmd("ZCARD").arg(self.key(set));
        }
        let mut told: Vec<redis::Value> = pipe.query_async(&mut self.connection.clone()).await?;
        let [before, after] = [told.remove(0), told.remove(1)].map(|it| value::<Vec<_>>(it, "TIME"));
        let time = wire::time(&before?)?..=wire::time(&after?)?;
        let said: Vec<Option<i64>> = value(told[0].clone(), "m")?;
        Ok(Start { time, said: said[0].unwrap_or_default(), marks: told })
    }

    async fn count_bytes(&self) -> Result<Sum, Error> {
        let start = self.look().await?;
        let then = &start.time;
        // A scan may bring a key twice; hashes of names are small.
        let (names, mut seen) = (RandomState::new(), HashSet::new());
        let (prefix, held) = (self.key("b:"), self.key("j"));
        // Bytes of jobs that certainly were unfinished then; of those that began or ended about then; of those
        // that may have been dead then.
        let (mut sure, mut close, mut revived) = (0, 0, 0);
        let (mut briefest, mut at) = (Millis::MAX, Some(String::new()));
        while let Some(cursor) = at {
            let (keys, next) = self.scan("b:*", &cursor).await?;
            let keys: Vec<_> = keys.iter().filter(|it| seen.insert(names.hash_one(it))).collect();
            for keys in keys.chunks(READ) {
                let mut pipe = redis::pipe();
                for body in keys {
                    let id = body.get(prefix.len()..).unwrap_or_default();
                    pipe.strlen(body).hget(&held, id).getrange(body, 0, wire::HEAD);
                    pipe.getrange(body, -record::SHORT, -1).strlen(body);
                }
                let told: Vec<redis::Value> = pipe.query_async(&mut self.connection.clone()).await?;
                for job in told.chunks_exact(5) {
                    let held = value::<Option<Vec<u8>>>(job[1].clone(), "j")?.unwrap_or_default();
                    let [length, after] = [0, 4].map(|it| value::<usize>(job[it].clone(), "b"));
                    let [body, end] = [2, 3].map(|it| text(job[it].clone(), "b"));
                    let (length, after, body, end) = (length?, after?, body?, end?);
                    let said = Record::of(str::from_utf8(&held).unwrap_or_default(), &end, "b");
                    let (Ok(head), Ok(said)) = (Head::of(&body, "b"), said) else { continue };
                    let bytes = length.max(after).saturating_sub(said.beside.unwrap_or(head.length));
                    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                    let ended = said.ended();
                    briefest = briefest.min(head.ttl);
                    if head.submitted > *then.end() || ended.is_some_and(|it| it < *then.start()) {
                        continue;
                    }
                    // What it had may also be less, if it has ended between the reads.
                    let about = head.submitted >= *then.start() || ended.is_some_and(|it| it <= *then.end());
                    if about || length != after {
                        close += bytes;
                    } else if said.message.is_some() {
                        // It has failed before, so it may have been dead and put back.
                        revived += bytes;
                    } else {
                        sure += bytes;
                    }
                }
            }
            at = next;
        }
        let end = self.look().await?;
        if end.marks == start.marks {
            sure += revived;
            revived = 0;
        }
        let blurred = end.marks != start.marks && briefest <= end.time.end() - then.start();
        Ok(Sum { said: start.said, counted: sure..=sure + close + revived, blurred })
    }
}
