//! What every broker does. Each case is a function over any [`Broker`]; `contract!` makes a test of each of them.
//!
//! Nothing here sleeps: what takes time is waited for with a deadline, in tokio's time or the server's.

use std::time::Duration;

use broker::{Broker, Capabilities, Claim, Job, Outcome, Requirements, Settings, Submission, Want, Worker};
use serde_json::{Value, json};

pub mod finding;
pub mod limiting;
pub mod looking;
pub mod running;
pub mod submitting;

/// Longer than anything takes.
pub const LONG: Duration = Duration::from_secs(20);
/// Shorter than a test, longer than a call.
pub const SHORT: Duration = Duration::from_millis(300);

/// A queue for one test, with waits so short that none is noticed.
pub fn settings(name: &str) -> Settings {
    let mut settings = Settings::new(name.parse().unwrap());
    settings.backoff.base = Duration::from_millis(20);
    settings.sweep_every = Duration::from_millis(50);
    settings.byte_budget = 64 * 1024;
    settings.seed = Some(7);
    settings
}

pub fn job() -> Job {
    Job::new("comfyui".parse().unwrap())
}

pub fn requirements(document: &Value) -> Requirements {
    Requirements::read(document).unwrap()
}

pub fn worker_with(name: &str, capabilities: Value) -> Worker {
    let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap();
    Worker::new(name.parse().unwrap(), capabilities)
}

pub fn worker(name: &str) -> Worker {
    worker_with(name, json!({ "services": ["comfyui"], "hardware": { "gpu_memory_gb": 24 } }))
}

pub async fn submit(broker: &impl Broker, job: Job) -> broker::JobId {
    let told = broker.submit(std::slice::from_ref(&job)).await.unwrap();
    assert_eq!(told, [Submission::Accepted(job.id.clone())]);
    job.id
}

pub async fn claim(broker: &impl Broker, worker: &Worker, want: Want) -> Vec<Claim> {
    broker.exchange(worker, vec![], want).await.unwrap().claims
}

/// The only job there is, waiting for it.
pub async fn claim_one(broker: &impl Broker, worker: &Worker) -> Claim {
    let mut claims = claim(broker, worker, Want::now(1).wait(LONG)).await;
    assert_eq!(claims.len(), 1, "a job could be claimed");
    claims.remove(0)
}

/// Whether the worker was heard.
pub async fn finish(broker: &impl Broker, worker: &Worker, claim: &Claim, outcome: Outcome) -> bool {
    let done = vec![(claim.ticket.clone(), outcome)];
    let told = broker.exchange(worker, done, Want::NOTHING).await.unwrap();
    assert_eq!((told.done.len(), told.claims.len()), (1, 0));
    told.done[0].is_ok()
}

pub fn failure(retryable: bool) -> Outcome {
    Outcome::Failure { retryable, message: "no such sampler".into() }
}

pub async fn state(broker: &impl Broker, id: &broker::JobId) -> broker::life::State {
    broker.status(id).await.unwrap().unwrap().life.state
}

/// One test for each case. `$broker` makes a broker from its settings, and what it stands on.
#[macro_export]
macro_rules! contract {
    ($flavour:meta, $broker:path; $($module:ident: $($case:ident),* $(,)?;)*) => {$($(
        #[$flavour]
        async fn $case() {
            let Some((made, _server)) = $broker($crate::contract::settings(stringify!($case))).await else { return };
            $crate::contract::$module::$case(&made).await;
        }
    )*)*
        /// A case that no test runs would be forgotten.
        #[test]
        fn every_case_is_run() {
            let run = [$($((stringify!($module), stringify!($case))),*),*];
            let sources = [
                ("submitting", include_str!("contract/submitting.rs")),
                ("running", include_str!("contract/running.rs")),
                ("finding", include_str!("contract/finding.rs")),
                ("limiting", include_str!("contract/limiting.rs")),
                ("looking", include_str!("contract/looking.rs")),
            ];
            for (module, source) in sources {
                for case in source.lines().filter_map(|it| it.strip_prefix("pub async fn ")) {
                    let case = case.split('(').next().unwrap();
                    assert!(run.contains(&(module, case)), "`{module}::{case}` is in no test");
                }
            }
        }
    };
    // The whole suite.
    ($flavour:meta, $broker:path) => {
        $crate::contract! { $flavour, $broker;
            submitting:
                a_submitted_job_waits_with_what_it_was_given,
                a_known_id_is_not_doubled,
                a_known_key_is_not_doubled,
                a_batch_is_submitted_and_claimed_in_order,
                a_poisoned_job_is_refused_with_every_reason,
                a_full_queue_refuses_and_takes_again,
                a_delayed_job_waits_for_its_time,
                a_higher_priority_goes_first,
                a_result_is_forgotten_after_its_time;
            running:
                finishing_one_job_claims_the_next,
                workers_that_ask_at_once_have_each_their_own,
                a_failed_job_is_tried_again_until_it_may_not,
                a_permanent_failure_is_not_tried_again,
                a_job_handed_back_costs_nothing,
                a_dead_job_is_replayed,
                replaying_by_kind_leaves_others,
                a_waiting_job_is_cancelled_at_once,
                a_running_job_is_asked_to_stop,
                who_listens_hears_at_once_of_a_wish_to_stop_a_job,
                a_cancelled_job_that_succeeds_has_succeeded,
                a_lost_lease_returns_the_job_and_silences_its_worker,
                a_job_that_loses_all_workers_is_dead,
                an_attempt_that_takes_too_long_is_a_failure,
                a_renewed_lease_holds,
                a_finished_ticket_is_stale,
                a_success_whose_answer_was_lost_can_be_told_again,
                two_outcomes_of_one_claim_are_heard_once,
                a_result_beyond_its_limit_is_a_failure_that_says_so,
                a_lost_job_returns_though_every_worker_is_busy,
                a_paused_queue_still_sweeps;
            limiting:
                no_more_jobs_of_a_key_run_than_its_limit,
                every_end_of_a_job_frees_its_slot,
                jobs_of_a_key_start_no_faster_than_its_rate,
                a_limit_is_changed_and_lifted_while_jobs_wait,
                a_key_that_a_slow_rate_holds_goes_on_at_a_faster_one,
                a_held_job_is_cancelled,
                a_key_with_many_signatures_drains,
                held_jobs_hold_nobody_else,
                the_best_job_of_a_key_goes_first;
            finding:
                a_worker_gets_only_what_it_can_run,
                many_signatures_are_claimed_by_priority_and_age,
                a_worker_learns_of_new_signatures,
                an_idle_worker_is_woken,
                a_waiting_claim_ends_empty,
                a_waiting_claim_is_cut_short_and_loses_nothing,
                a_claim_says_how_long_it_waited_and_when_its_job_came,
                a_paused_queue_gives_nothing,
                an_unmatchable_job_is_told_of,
                a_waiting_job_is_explained,
                progress_is_seen_by_those_who_watch,
                a_watch_goes_on_where_it_was,
                an_unknown_job_is_unknown,
                no_job_is_claimed_twice;
            looking:
                a_list_shows_every_job_once,
                a_page_goes_on_where_the_last_one_ended,
                a_list_is_filtered,
                finished_jobs_are_listed_if_asked_for,
                a_watch_ends_with_its_job,
                a_watch_that_begins_while_a_job_waits_hears_of_its_success,
                a_watch_of_what_is_over_ends_at_once,
                a_watch_goes_on_past_a_replay,
                a_watch_of_nobody_is_an_error;
        }
    };
}
