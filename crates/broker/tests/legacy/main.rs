//! Whether the legacy broker speaks the wire of the TypeScript job queue: its documented keys, fields, types, times, channels and
//! messages, on a real Redis; its traps; and a queue that its workers share with ours.
//!
//! Every expectation is a check with the section of the protocol that it is from. The last line counts them.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

mod claiming;
mod differential;
mod doctor;
mod ending;
mod fleet;
mod joining;
mod machine;
mod returning;
mod server;
mod sheet;
mod submitting;
mod traps;

use sheet::Sheet;

fn main() -> ExitCode {
    if let Some(orders) = std::env::var_os(fleet::ORDERS) {
        return fleet::work(&orders);
    }
    let sheet = Sheet::default();
    let mut trials = Vec::new();
    macro_rules! trials {
        ($($module:ident: $($case:ident),* $(,)?;)*) => {$($({
            let sheet = sheet.page();
            let name = format!("{}::{}", stringify!($module), stringify!($case));
            trials.push(Trial::test(name, move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                sheet.hold(runtime.unwrap().block_on($module::$case(&sheet)))
            }));
        })*)*};
    }
    trials! {
        submitting:
            a_job_is_written_as_the_api_writes_it,
            a_step_of_a_workflow_is_announced,
            what_the_wire_cannot_say_is_refused;
        joining:
            a_worker_registers_and_its_heart_beats,
            a_worker_that_leaves_leaves_nothing,
            a_worker_that_comes_back_returns_what_it_had;
        claiming:
            a_claim_by_our_script_writes_what_the_function_writes,
            a_claim_by_the_function_is_the_same,
            progress_is_told_and_kept,
            the_best_job_is_claimed_first;
        ending:
            a_job_is_completed,
            a_step_leaves_attestations_of_its_workflow,
            a_failure_is_retried_and_then_permanent;
        returning:
            a_job_that_waits_is_cancelled,
            a_job_that_runs_is_cancelled_and_not_overwritten,
            a_job_handed_back_costs_nothing,
            a_late_worker_is_not_heard,
            a_dead_job_is_replayed,
            the_reaper_returns_the_jobs_of_the_dead_and_of_nobody_else;
        machine:
            a_machine_tells_of_its_start_its_life_and_its_stop;
        traps:
            documented_fields_make_jobs_unmatchable,
            negative_requirements_alone_never_match,
            poison_jobs_stop_nobody_and_are_told_once,
            no_null_is_in_what_a_worker_says,
            jobs_for_others_hide_nothing,
            ghosts_are_passed_by,
            a_job_that_ended_in_the_line_does_not_run_again,
            a_key_of_another_type_loses_no_job,
            ids_that_are_not_ours_are_left_to_others,
            a_function_that_goes_missing_is_done_without;
        differential:
            our_rules_are_those_of_the_function;
        doctor:
            everything_that_is_wrong_is_named_with_its_cure,
            a_sound_queue_has_no_issues;
        fleet:
            workers_of_two_houses_share_a_queue,
            with_the_reaper_nothing_is_lost_at_all;
    }
    let done = libtest_mimic::run(&Arguments::from_args(), trials);
    println!("conformance: {}", sheet.count());
    done.exit_code()
}
