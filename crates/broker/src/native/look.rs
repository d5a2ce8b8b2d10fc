//! Reading without changing: in pages, never in a script.

use std::time::Duration;

use super::scripts::Call;
use super::wire::{self, foreign, parsed};
use super::{CHUNK, Native};
use crate::broker::{Counts, Status};
use crate::capabilities::{Capabilities, ClassId};
use crate::error::Error;
use crate::event::{EventId, Happened};
use crate::ids::JobId;
use crate::life::Death;
use crate::signature::Signature;

/// Bytes and whether paused; delayed, running, and dead by each kind.
type Numbers = ((Option<u64>, Option<u8>), u64, u64, u64, u64, u64);

/// The field of `j`, what `b:<job>` holds, the field again, and the time.
type Answer = (Option<String>, Option<String>, Option<String>, Vec<Option<String>>);

impl Native {
    pub(super) async fn look_at(&self, id: &JobId) -> Result<Option<Status>, Error> {
        let (key, held) = (self.key(format_args!("b:{id}")), self.key("j"));
        let mut pipe = redis::pipe();
        // Others may come between the reads, and a transaction would be more to allow. A job that ends meanwhile still had its
        // record before; one that comes meanwhile, delayed, has it behind.
        pipe.hget(&held, id.as_str()).get(&key).hget(&held, id.as_str()).cmd("TIME");
        let (before, body, behind, now): Answer = pipe.query_async(&mut self.connection.clone()).await?;
        let Some(body) = body else { return Ok(None) };
        wire::status(&key, &body, &before.or(behind).unwrap_or_default(), wire::time(&now)?).map(Some)
    }

    pub(super) async fn happened(
        &self,
        id: &JobId,
        after: Option<&EventId>,
        wait: Duration,
    ) -> Result<Vec<Happened>, Error> {
        let known: u8 = self.run(&self.calls.scripts.watch, Call::default().and(id)).await?;
        if known == 0 {
            return Ok(vec![]);
        }
        let stream = self.key(format_args!("p:{id}"));
        let entries = self.blocking.read(&stream, after.map_or("0", |it| &it.0), wait).await?;
        entries
            .into_iter()
            .map(|(id, news)| {
                let at = parsed(id.split('-').next().unwrap_or_default(), &stream)?;
                Ok(Happened { id: EventId(id), at, news: wire::news(&news)? })
            })
            .collect()
    }

    pub(super) async fn count(&self) -> Result<Counts, Error> {
        let mut pipe = redis::pipe();
        pipe.cmd("HMGET").arg(self.key("m")).arg("bytes").arg("paused");
        pipe.cmd("ZCARD").arg(self.key("d")).cmd("ZCARD").arg(self.key("l"));
        for kind in [Death::Permanent, Death::Attempts, Death::Crashes] {
            pipe.cmd("ZCARD").arg(self.key(format_args!("x:{}", kind.word())));
        }
        let ((bytes, paused), delayed, running, permanent, attempts, crashes): Numbers =
            pipe.query_async(&mut self.connection.clone()).await?;
        let lines = self.lines().await?;
        let held = lines.iter().map(|(_, _, held)| held).sum();
        let waiting = lines.iter().map(|(_, waiting, _)| waiting).sum::<u64>().saturating_sub(held);
        let dead = permanent + attempts + crashes;
        let (bytes, paused) = (bytes.unwrap_or(0), paused == Some(1));
        Ok(Counts { waiting, held, delayed, running, dead, bytes, paused })
    }

    /// The classes that have claimed of late, and what they have.
    pub(super) async fn live_classes(&self) -> Result<Vec<(ClassId, Capabilities)>, Error> {
        let ids: Vec<String> = self.ask(redis::cmd("ZRANGE").arg(self.key("c")).arg((0, -1))).await?;
        let mut classes = Vec::new();
        for ids in ids.chunks(CHUNK) {
            let has: Vec<Option<String>> = self.ask(redis::cmd("HMGET").arg(self.key("k")).arg(ids)).await?;
            // A class without capabilities has not judged anything yet.
            for (id, has) in ids.iter().zip(has).filter_map(|(id, has)| Some((id, has?))) {
                let has = serde_json::from_str(&has).map_err(|_| foreign("k"))?;
                classes.push((ClassId(parsed(id, "c")?), has));
            }
        }
        Ok(classes)
    }

    pub(super) async fn lines_of_nobody(&self) -> Result<Vec<(Signature, u64)>, Error> {
        let (classes, lines) = (self.live_classes().await?, self.lines().await?);
        let mut found = Vec::new();
        for lines in lines.chunks(CHUNK) {
            let ids: Vec<_> = lines.iter().map(|(id, ..)| id.as_str()).collect();
            let documents: Vec<Option<String>> =
                self.ask(redis::cmd("HMGET").arg(self.key("s")).arg(ids)).await?;
            for ((id, waiting, _), document) in lines.iter().zip(documents) {
                let signature = match document.filter(|it| !it.is_empty()) {
                    Some(document) => serde_json::from_str(&document).map_err(|_| foreign("s"))?,
                    None => match self.told_by_a_job(id).await? {
                        Some(job) => job.signature(),
                        None => continue,
                    },
                };
                if !classes.iter().any(|(_, has)| has.satisfy(&signature)) {
                    found.push((signature, *waiting));
                }
            }
        }
        Ok(found)
    }
}
