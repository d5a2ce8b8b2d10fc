//! Hearing of wishes to stop a job, sooner than the next renewal would tell.
//!
//! What is heard is a reason to renew at once: the answer says whether the job is to stop. It is listened from the first
//! job on, so that a worker which has none keeps no connection for it.

use std::pin::pin;

use broker::{Broker, Heard, JobId};
use futures_util::StreamExt as _;
use tokio::task::AbortHandle;

use super::{News, Run};

/// Jobs that were heard of while a claim is under way, and may be in its answer.
const EARLY: usize = 1000;

/// Hears until it is dropped.
#[derive(Default)]
pub(super) struct Ear {
    task: Option<AbortHandle>,
    deaf: bool,
    early: Vec<JobId>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Ear {
    /// Whether somebody wanted to stop this job before it was known that it is ours.
    pub fn has_heard_of(&self, job: &JobId) -> bool {
        self.early.contains(job)
    }

    /// The claim that was under way has been answered.
    pub fn forget(&mut self) {
        self.early.clear();
    }
}

impl<B: Broker + 'static> Run<B> {
    /// Begins to listen, if that was not done before.
    pub(super) fn listen(&mut self) {
        if self.ear.task.is_some() {
            return;
        }
        let (broker, told) = (self.it.broker.clone(), self.told.clone());
        let hears = tokio::spawn(async move {
            let mut cancels = pin!(broker.cancels());
            while let Some(heard) = cancels.next().await {
                // Nobody listens once the loop has ended.
                if told.send(News::Heard(heard)).is_err() {
                    break;
                }
            }
        });
        self.ear.task = Some(hears.abort_handle());
    }

    pub(super) fn heard(&mut self, heard: Result<Heard, broker::Error>) {
        match heard {
            // What came before was missed.
            Ok(Heard::Listening) => {
                self.ear.deaf = false;
                if !self.active.is_empty() {
                    self.renew_by(self.now());
                }
            }
            Ok(Heard::Cancel(job)) => {
                if self.active.values().any(|it| it.ticket.id == job) {
                    self.renew_by(self.now());
                } else if self.claiming.is_some() && self.ear.early.len() < EARLY {
                    self.ear.early.push(job);
                }
            }
            Err(error) if !self.ear.deaf => {
                self.ear.deaf = true;
                tracing::warn!(%error, "wishes to stop a job are heard only when its lease is renewed");
            }
            Err(_) => {}
        }
    }
}
