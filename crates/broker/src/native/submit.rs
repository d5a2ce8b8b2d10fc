//! Submitting: a few jobs a call, all calls of a submission on their way at once.

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt as _};
use redis::Cmd;

use super::Native;
use super::calls::Calls;
use super::scripts::Call;
use super::wire::{foreign, parsed};
use crate::broker::Submission;
use crate::error::Error;
use crate::job::Job;
use crate::life::ms;

/// Jobs, signatures and bytes of documents in one call, so that it blocks Redis for less than 1 ms. A job with a limit key, which
/// takes more commands, counts as two.
const JOBS: usize = 44;
const SIGNATURES: usize = 16;
const BYTES: usize = 128 * 1024;

/// The bytes in use, the jobs that are in the queue, and which of them were there before: number and id.
type Submitted = (String, usize, Vec<String>);

/// What jobs share: all but id, priority, payload and key.
struct Kind<'j> {
    job: &'j Job,
    signature: usize,
}

/// One call in the making.
#[derive(Default)]
struct Chunk<'j> {
    jobs: usize,
    limited: usize,
    bytes: usize,
    kinds: Vec<Kind<'j>>,
    /// Of the jobs that have a signature first: it is theirs.
    signatures: Vec<&'j Job>,
    rows: Vec<Row<'j>>,
}

struct Row<'j> {
    job: &'j Job,
    kind: usize,
    /// The score less the time, in microseconds.
    score: i64,
    document: String,
}

impl<'j> Chunk<'j> {
    /// The kind of a job; `None` if it would be of one signature too many.
    fn kind(&mut self, job: &'j Job) -> Option<usize> {
        if let Some(at) = self.kinds.iter().rposition(|it| same_kind(it.job, job)) {
            return Some(at);
        }
        let known = self.signatures.iter().rposition(|it| same_signature(it, job));
        if known.is_none() && self.signatures.len() == SIGNATURES {
            return None;
        }
        let signature = known.unwrap_or_else(|| {
            self.signatures.push(job);
            self.signatures.len() - 1
        });
        self.kinds.push(Kind { job, signature });
        Some(self.kinds.len() - 1)
    }

    /// Adds a job, or says that it does not fit.
    fn add(&mut self, job: &'j Job, score: i64, document: String) -> Result<(), String> {
        let limited = usize::from(job.limit_key.is_some());
        let full = self.jobs + self.limited + limited >= JOBS
            || (self.jobs > 0 && self.bytes + document.len() > BYTES);
        let Some(kind) = (!full).then(|| self.kind(job)).flatten() else { return Err(document) };
        self.jobs += 1;
        self.limited += limited;
        self.bytes += document.len();
        self.rows.push(Row { job, kind, score, document });
        Ok(())
    }
}

fn same_signature(one: &Job, other: &Job) -> bool {
    let routed = |it: &'_ Job| it.workflow.as_ref().filter(|it| it.routed).map(|it| it.id.clone());
    one.service_required == other.service_required
        && one.customer == other.customer
        && one.requirements == other.requirements
        && (one.workflow.is_none() && other.workflow.is_none() || routed(one) == routed(other))
}

fn same_kind(one: &Job, other: &Job) -> bool {
    let numbers = |it: &Job| (it.delay, it.max_attempts, it.timeout, it.result_ttl);
    numbers(one) == numbers(other)
        && one.limit_key == other.limit_key
        && one.idempotency_key.is_some() == other.idempotency_key.is_some()
        && same_signature(one, other)
}

impl Native {
    pub(super) async fn submit_all(&self, jobs: &[Job]) -> Result<Vec<Submission>, Error> {
        let mut chunks = vec![Chunk::default()];
        for (index, job) in jobs.iter().enumerate() {
            let refused = |refusals| Error::Refused { id: job.id.clone(), refusals };
            let document = job.document().map_err(refused)?;
            let score = self.settings.score(0, job.priority, index);
            if let Some(Err(document)) = chunks.last_mut().map(|it| it.add(job, score, document)) {
                let mut next = Chunk::default();
                // The first of a chunk always fits.
                _ = next.add(job, score, document);
                chunks.push(next);
            }
        }
        let sent: Vec<_> = chunks.iter().map(|it| it.jobs).collect();
        let mut told = jobs.iter().map(|it| Some(Submission::Accepted(it.id.clone()))).collect::<Vec<_>>();
        let (mut first, mut full, mut no_memory) = (0, None, false);
        for (answer, sent) in self.submit_calls(chunks).await?.into_iter().zip(sent) {
            let Some((used, count, known)) = answer else {
                no_memory = true;
                told[first..first + sent].fill(None);
                first += sent;
                continue;
            };
            // A call that finds no room stops there. Those behind it may have smaller jobs.
            if count < sent {
                full = full.or(Some(parsed(&used, "m")?));
                told[first + count..first + sent].fill(None);
            }
            for pair in known.chunks_exact(2) {
                let number: usize = parsed(&pair[0], "submit")?;
                let job = told.get_mut(first + number - 1).ok_or_else(|| foreign("submit"))?;
                *job = Some(Submission::Known(parsed(&pair[1], "submit")?));
            }
            first += sent;
        }
        let submitted = told.into_iter().flatten().collect();
        match full {
            Some(used) => Err(Error::Full { used, budget: self.settings.byte_budget, submitted }),
            None if no_memory => Err(Error::NoMemory { submitted }),
            None => Ok(submitted),
        }
    }

    /// The answers of all chunks; `None` where Redis had no memory for one, which it says before it has written anything. Each
    /// is on its way while the next is written.
    async fn submit_calls(&self, chunks: Vec<Chunk<'_>>) -> Result<Vec<Option<Submitted>>, Error> {
        let (mut sent, mut answers) = (FuturesOrdered::new(), Vec::with_capacity(chunks.len()));
        let fits = |answer| match answer {
            Err(Error::NoMemory { .. }) => Ok(None),
            answer => answer.map(Some),
        };
        for chunk in chunks {
            let call = self.submit_call(chunk)?;
            let (link, script) = (self.connection.clone(), &self.calls.scripts.submit);
            sent.push_back(async move { Calls::send(link, script, &call).await });
            // A call leaves when it is asked for its answer for the first time.
            if let Some(Some(answer)) = sent.next().now_or_never() {
                answers.push(fits(answer)?);
            }
        }
        while let Some(answer) = sent.next().await {
            answers.push(fits(answer)?);
        }
        Ok(answers)
    }

    fn submit_call(&self, chunk: Chunk<'_>) -> Result<Cmd, Error> {
        let mut call = self.calls.command(&self.calls.scripts.submit, Call::default());
        call.arg(self.settings.byte_budget).arg(ms(self.settings.key_ttl)).arg(chunk.signatures.len());
        let mut ids = Vec::with_capacity(chunk.signatures.len());
        for job in chunk.signatures {
            let signature = job.signature();
            let id = signature.id().to_string();
            let document = serde_json::to_string(&signature).map_err(|_| foreign("a signature"))?;
            call.arg(&id).arg(document);
            ids.push(id);
        }
        call.arg(chunk.kinds.len());
        for Kind { job, signature } in chunk.kinds {
            let key = job.limit_key.as_ref().map_or("", |it| it.as_str());
            let keyed = u8::from(job.idempotency_key.is_some());
            let (timeout, ttl) = (ms(job.timeout), ms(job.result_ttl));
            let gap = if key.is_empty() { "" } else { " " };
            let head = format!("{} {} {timeout} {ttl}{gap}{key}", ids[signature], job.max_attempts);
            call.arg(signature + 1).arg(ms(job.delay)).arg(key).arg(keyed).arg(head);
        }
        for Row { job, kind, score, document } in chunk.rows {
            // Three digits at least: see `submit.lua`.
            call.arg(job.id.as_str()).arg(kind + 1).arg(format!("{score:03}")).arg(document);
            if let Some(key) = &job.idempotency_key {
                call.arg(key.as_str());
            }
        }
        Ok(call)
    }
}
