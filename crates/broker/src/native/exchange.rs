//! An exchange with its waiting: the script is called, and again when there may be something.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::Instant;

use super::Native;
use crate::broker::{Exchange, MAX_BATCH, Outcome, Ticket, Want};
use crate::capabilities::Worker;
use crate::error::Error;

/// Bytes of results and messages in one call.
pub(super) const TEXTS: usize = 128 * 1024;
/// Ends in one call that are not successes: they cost twice as much.
const UNUSUAL: usize = 12;

impl Native {
    /// [`Broker::exchange_until`](crate::Broker::exchange_until).
    pub(super) async fn exchange_and_wait(
        &self,
        worker: &Worker,
        mut done: Vec<(Ticket, Outcome)>,
        want: Want,
        enough: impl Future<Output = ()>,
    ) -> Result<Exchange, Error> {
        for (_, outcome) in &mut done {
            *outcome = std::mem::replace(outcome, Outcome::Stopped).bounded();
        }
        let began = Instant::now();
        let (end, mut enough) = (began + want.wait, pin!(enough));
        let wake = self.key(format_args!("wake:{}", worker.class()));
        let (mut heard, mut woken) = (Vec::new(), false);
        // More than fits one call is finished first.
        while let Some(first) = too_many(&done) {
            let rest = done.split_off(first);
            heard.extend(self.try_exchange(worker, &done, Want::NOTHING, (false, false)).await?.0.done);
            done = rest;
        }
        loop {
            let waited = began.elapsed();
            let waits = waited < want.wait;
            let (told, next) = match self.try_exchange(worker, &done, want, (woken, waits)).await {
                // As below.
                Err(_) if done.is_empty() && !heard.is_empty() => {
                    return Ok(Exchange { done: heard, ..Exchange::default() });
                }
                answer => answer?,
            };
            heard.extend(told.done);
            done.clear();
            let left = end.saturating_duration_since(Instant::now());
            let again = next == Some(Duration::ZERO);
            if want.most == 0 || !told.claims.is_empty() || (left.is_zero() && !again) {
                return Ok(Exchange { done: heard, claims: told.claims, waited });
            }
            if !again {
                let pause = left.min(self.settings.sweep_every).min(next.unwrap_or(Duration::MAX));
                let nothing = |done| Ok(Exchange { done, ..Exchange::default() });
                woken = match select(enough.as_mut(), pin!(self.blocking.wake(&wake, pause))).await {
                    // A marker may be lost with the wait, as with a worker that dies.
                    Either::Left(_) => return nothing(heard),
                    // What was finished is finished, and has to be told; the next call meets the error again.
                    Either::Right((Err(_), _)) if !heard.is_empty() => return nothing(heard),
                    Either::Right((answer, _)) => answer?,
                };
                if !woken && pause == left {
                    // Nothing has come, and the next call looks first.
                    return nothing(heard);
                }
            }
        }
    }
}

/// How many of these outcomes one call takes, if not all: few, and not too large together.
fn too_many(done: &[(Ticket, Outcome)]) -> Option<usize> {
    let (mut bytes, mut unusual) = (0, 0);
    let fits = done.iter().take(MAX_BATCH).take_while(|(_, outcome)| {
        let within = bytes <= TEXTS && unusual < UNUSUAL;
        unusual += usize::from(!matches!(outcome, Outcome::Success(_)));
        bytes += match outcome {
            Outcome::Success(result) => result.to_string().len(),
            Outcome::Failure { message, .. } => message.len(),
            Outcome::HandBack | Outcome::Stopped => 0,
        };
        within
    });
    let fits = fits.count();
    (fits < done.len()).then_some(fits)
}
