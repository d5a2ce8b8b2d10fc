//! Limits of keys, and the groups of jobs that have one.

use std::collections::BTreeMap;

use redis::AsyncCommands;

use super::scripts::Call;
use super::wire::{self, foreign, parsed, value};
use super::{CHUNK, Native};
use crate::error::Error;
use crate::ids::LimitKey;
use crate::job::Job;
use crate::life::{Millis, ms};
use crate::limit::{Held, Limit, Rate};

/// The limit of a key as it is written, how many run, and the time that its starts have taken up.
type Use = (Option<String>, u64, Option<f64>);

/// The jobs of one limit key and signature that wait.
pub(super) struct Group {
    pub signature: String,
    pub jobs: u64,
    /// Whether its token stands in the line.
    pub token: bool,
    /// Whether its key lets none go on.
    pub held: bool,
}

/// `<concurrency> <jobs> <per, ms>`; what is not limited is empty.
fn write(limit: &Limit) -> String {
    let most = limit.concurrency.map(|it| it.to_string()).unwrap_or_default();
    let rate = limit.rate.map(|it| format!("{} {}", it.jobs, ms(it.per)));
    format!("{most} {}", rate.unwrap_or_else(|| " ".into()))
}

fn read(text: &str) -> Option<Limit> {
    let mut parts = text.split(' ').map(|it| (!it.is_empty()).then_some(it));
    let (most, jobs, per) = (parts.next()?, parts.next()?, parts.next()?);
    let concurrency = most.map(str::parse).transpose().ok()?;
    let rate = match (jobs, per) {
        (None, None) => None,
        (Some(jobs), Some(per)) => {
            let per = std::time::Duration::from_millis(per.parse().ok()?);
            Some(Rate { jobs: jobs.parse().ok()?, per })
        }
        _ => return None,
    };
    Some(Limit { concurrency, rate })
}

fn limit_of(text: &str) -> Result<Limit, Error> {
    read(text).ok_or_else(|| foreign("n"))
}

impl Native {
    pub(super) async fn set_limit(&self, key: &LimitKey, limit: Option<Limit>) -> Result<(), Error> {
        let limit = limit.filter(|it| *it != Limit::default());
        let call = Call::default().and(key).and(limit.as_ref().map(write).unwrap_or_default());
        self.run::<redis::Value>(&self.calls.scripts.limit, call).await.map(drop)
    }

    pub(super) async fn all_limits(&self) -> Result<Vec<(LimitKey, Limit)>, Error> {
        let (mut limits, mut cursor) = (Vec::<(LimitKey, Limit)>::new(), "0".to_owned());
        loop {
            let mut page = redis::cmd("HSCAN");
            page.arg(self.key("n")).arg(&cursor).arg("COUNT").arg(CHUNK);
            let (next, found): (String, Vec<(String, String)>) = self.ask(&page).await?;
            for (key, limit) in found {
                limits.push((parsed(&key, "n")?, limit_of(&limit)?));
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        // A scan may tell a member twice.
        limits.sort_by(|one, other| one.0.cmp(&other.0));
        limits.dedup_by(|one, other| one.0 == other.0);
        Ok(limits)
    }

    /// What holds jobs of these keys now.
    async fn held(&self, keys: &[LimitKey]) -> Result<Vec<Option<Held>>, Error> {
        let mut pipe = redis::pipe();
        pipe.cmd("TIME");
        for key in keys {
            pipe.cmd("HGET").arg(self.key("n")).arg(key.as_str());
            pipe.cmd("SCARD").arg(self.key(format_args!("r:{key}")));
            pipe.cmd("HGET").arg(self.key("a")).arg(key.as_str());
        }
        let mut told: Vec<redis::Value> = pipe.query_async(&mut self.connection.clone()).await?;
        let uses = told.split_off(1);
        let now: (u64, u64) = value(told.remove(0), "TIME")?;
        let now: Millis = now.0 * 1000 + now.1 / 1000;
        let of = |(key, it): (&LimitKey, &[redis::Value])| {
            let (limit, running, taken): Use =
                (value(it[0].clone(), "n")?, value(it[1].clone(), "r")?, value(it[2].clone(), "a")?);
            let Some(limit) = limit else { return Ok(None) };
            Ok(limit_of(&limit)?.held(key, running, taken.unwrap_or_default(), now))
        };
        keys.iter().zip(uses.chunks_exact(3)).map(of).collect()
    }

    /// What holds a job that waits.
    pub(super) async fn holds(&self, job: &Job) -> Result<Option<Held>, Error> {
        match &job.limit_key {
            Some(key) => Ok(self.held(std::slice::from_ref(key)).await?.remove(0)),
            None => Ok(None),
        }
    }

    /// All groups.
    pub(super) async fn groups(&self) -> Result<Vec<Group>, Error> {
        let mut groups = Vec::new();
        for first in (0_usize..).step_by(CHUNK) {
            let page = (first, first + CHUNK - 1);
            let names: Vec<String> = self.ask(redis::cmd("ZRANGE").arg(self.key("ks")).arg(page)).await?;
            if names.is_empty() {
                break;
            }
            let keys = names.iter().map(|it| parsed(it, "ks")).collect::<Result<Vec<LimitKey>, _>>()?;
            for (key, held) in keys.iter().zip(self.held(&keys).await?) {
                let sigs = redis::cmd("ZRANGE").arg(self.key(format_args!("y:{key}"))).arg((0, -1)).clone();
                let sigs: Vec<String> = self.ask(&sigs).await?;
                for sigs in sigs.chunks(CHUNK) {
                    let mut pipe = redis::pipe();
                    for sig in sigs {
                        pipe.cmd("ZCARD").arg(self.key(format_args!("g:{key}:{sig}")));
                        pipe.cmd("ZSCORE").arg(self.key(format_args!("w:{sig}"))).arg(format!("@{key}"));
                    }
                    let told: Vec<Option<f64>> = pipe.query_async(&mut self.connection.clone()).await?;
                    groups.extend(sigs.iter().zip(told.chunks_exact(2)).map(|(sig, told)| Group {
                        signature: sig.clone(),
                        #[expect(
                            clippy::cast_possible_truncation,
                            clippy::cast_sign_loss,
                            reason = "a count"
                        )]
                        jobs: told[0].unwrap_or_default() as u64,
                        token: told[1].is_some(),
                        held: held.is_some(),
                    }));
                }
            }
        }
        Ok(groups)
    }

    /// Every line that is not empty: the id of its signature, how many wait, and how many of them are held.
    pub(super) async fn lines(&self) -> Result<Vec<(String, u64, u64)>, Error> {
        let mut lines = BTreeMap::<String, (u64, u64)>::new();
        for first in (0_usize..).step_by(CHUNK) {
            let page = (first, first + CHUNK - 1);
            let ids: Vec<String> = self.ask(redis::cmd("ZRANGE").arg(self.key("so")).arg(page)).await?;
            if ids.is_empty() {
                break;
            }
            let mut pipe = redis::pipe();
            for id in &ids {
                pipe.cmd("ZCARD").arg(self.key(format_args!("w:{id}")));
            }
            let waiting: Vec<u64> = pipe.query_async(&mut self.connection.clone()).await?;
            lines.extend(ids.into_iter().zip(waiting.into_iter().map(|it| (it, 0))));
        }
        for Group { signature, jobs, token, held } in self.groups().await? {
            let line = lines.entry(signature).or_default();
            line.0 = (line.0 + jobs).saturating_sub(u64::from(token));
            line.1 += if held { jobs } else { 0 };
        }
        lines.retain(|_, (waiting, _)| *waiting > 0);
        Ok(lines.into_iter().map(|(id, (waiting, held))| (id, waiting, held)).collect())
    }

    /// The document of a signature that was forgotten and has a job again: the job tells it.
    pub(super) async fn told_by_a_job(&self, signature: &str) -> Result<Option<Job>, Error> {
        let line = self.key(format_args!("w:{signature}"));
        let mut first: Vec<String> = self.connection.clone().zrange(&line, 0, 0).await?;
        if let Some(key) = first.first().and_then(|it| it.strip_prefix('@')) {
            let group = self.key(format_args!("g:{key}:{signature}"));
            first = self.connection.clone().zrange(&group, 0, 0).await?;
        }
        let Some(id) = first.pop() else { return Ok(None) };
        let body = self.key(format_args!("b:{id}"));
        let body: Option<String> = self.connection.clone().get(body).await?;
        Ok(body.and_then(|it| wire::job(&it, &id).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_reads_as_it_is_written() {
        let (some, rate) =
            (std::num::NonZeroU32::new(3), |jobs| Rate { jobs, per: std::time::Duration::from_secs(1) });
        for (limit, text) in [
            (Limit { concurrency: some, rate: None }, "3  "),
            (Limit { concurrency: None, rate: some.map(rate) }, " 3 1000"),
            (Limit { concurrency: some, rate: some.map(rate) }, "3 3 1000"),
        ] {
            assert_eq!((write(&limit), read(text)), (text.to_owned(), Some(limit)));
        }
        assert_eq!([read("3"), read("0  "), read(" 3 ")], [None, None, None]);
    }
}
