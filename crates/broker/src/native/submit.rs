//! Submitting, a few jobs a call.

use super::Native;
use super::scripts::Call;
use super::wire::{foreign, parsed};
use crate::broker::Submission;
use crate::error::Error;
use crate::job::Job;
use crate::life::ms;

/// Jobs in one call. Each may have a signature of its own, and still the call blocks Redis for less than 1 ms.
const BATCH: usize = 50;

impl Native {
    pub(super) async fn submit_all(&self, jobs: &[Job]) -> Result<Vec<Submission>, Error> {
        for job in jobs {
            job.check().map_err(|refusals| Error::Refused { id: job.id.clone(), refusals })?;
        }
        let mut told = Vec::with_capacity(jobs.len());
        for (chunk, jobs) in jobs.chunks(BATCH).enumerate() {
            told.extend(self.submit_chunk(jobs, chunk * BATCH).await?);
        }
        Ok(told)
    }

    async fn submit_chunk(&self, jobs: &[Job], first: usize) -> Result<Vec<Submission>, Error> {
        let mut signatures = Vec::new();
        let mut rows = Call::default();
        for (index, job) in jobs.iter().enumerate() {
            let signature = job.signature();
            let at = signatures.iter().position(|it| *it == signature).unwrap_or(signatures.len());
            if at == signatures.len() {
                signatures.push(signature);
            }
            let document = serde_json::to_string(job).map_err(|_| foreign("a job"))?;
            // In ms; the script adds the time. Exact: below 2^53 in units of 1/1024.
            #[expect(clippy::cast_precision_loss, reason = "exact: far below 2^53")]
            let score = self.settings.score(0, job.priority, first + index) as f64 / 1024.0;
            rows = rows.and(&job.id).and(at + 1).and(document).and(score).and(ms(job.delay));
            rows = rows.and(job.max_attempts).and(ms(job.timeout)).and(ms(job.result_ttl));
            rows = rows.and(job.idempotency_key.as_ref().map_or("", |it| it.as_str()));
        }
        let settings = &self.settings;
        let call = Call::default().and(settings.byte_budget).and(ms(settings.key_ttl)).and(signatures.len());
        let mut call = signatures.iter().try_fold(call, |call, it| {
            let document = serde_json::to_string(it).map_err(|_| foreign("a signature"))?;
            Ok::<_, Error>(call.and(it.id()).and(document))
        })?;
        call.0.extend(rows.0);
        let (used, known): (String, Vec<String>) = self.run(&self.scripts.submit, call).await?;
        if known.len() < jobs.len() {
            return Err(Error::Full { used: parsed(&used, "m")?, budget: settings.byte_budget });
        }
        let of = |(job, known): (&Job, &String)| match &**known {
            "" => Ok(Submission::Accepted(job.id.clone())),
            id => Ok(Submission::Known(parsed(id, "submit")?)),
        };
        jobs.iter().zip(&known).map(of).collect()
    }
}
