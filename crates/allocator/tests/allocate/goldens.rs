//! What runs where, for one roster and one machine each. The small mapping is in `common`.

use crate::common::{gpu, kind, kinds, machine, render, sliced};

const GIB: u32 = 1024;

macro_rules! check {
    ($roster:literal, $machine:expr, @$expected:literal) => {
        check!($roster, $machine, 9190, @$expected)
    };
    ($roster:literal, $machine:expr, $playwright:literal, @$expected:literal) => {
        insta::assert_snapshot!(render($roster, &kinds($playwright), &$machine), @$expected)
    };
}

fn cards(count: usize) -> allocator::Machine {
    machine(&vec![24 * GIB; count])
}

#[test]
fn four_comfyui_workers_alternate_between_two_gpus() {
    check!("comfyui:4", cards(2), @r"
    comfyui-gpu0 on gpu0 port 8188
    comfyui-gpu1 on gpu1 port 8189
    comfyui-worker-0 -> comfyui-gpu0 (gpu0)
    comfyui-worker-1 -> comfyui-gpu1 (gpu1)
    comfyui-worker-2 -> comfyui-gpu0 (gpu0)
    comfyui-worker-3 -> comfyui-gpu1 (gpu1)
    advice[ALLOC010] --spec:1:1: 4 workers share 2 instances of `comfyui`, up to 2 on one
      fix: ask for 2 in all, or keep it if jobs may wait for each other at the service
    ");
}

#[test]
fn the_seeds_mixed_machine_has_the_names_that_the_seed_gives() {
    check!("comfyui:2,openai:6,playwright:1", cards(2), @r"
    comfyui-gpu0 on gpu0 port 8188
    comfyui-gpu1 on gpu1 port 8189
    playwright-service on cpu port 9190
    comfyui-worker-0 -> comfyui-gpu0 (gpu0)
    comfyui-worker-1 -> comfyui-gpu1 (gpu1)
    openai-worker-0 -> openai, elsewhere
    openai-worker-1 -> openai, elsewhere
    openai-worker-2 -> openai, elsewhere
    openai-worker-3 -> openai, elsewhere
    openai-worker-4 -> openai, elsewhere
    openai-worker-5 -> openai, elsewhere
    playwright-worker-0 -> playwright-service (cpu)
    ");
}

#[test]
fn the_seeds_gpu_mixed_profile() {
    check!("comfyui:2,openai:4", cards(2), @r"
    comfyui-gpu0 on gpu0 port 8188
    comfyui-gpu1 on gpu1 port 8189
    comfyui-worker-0 -> comfyui-gpu0 (gpu0)
    comfyui-worker-1 -> comfyui-gpu1 (gpu1)
    openai-worker-0 -> openai, elsewhere
    openai-worker-1 -> openai, elsewhere
    openai-worker-2 -> openai, elsewhere
    openai-worker-3 -> openai, elsewhere
    ");
}

#[test]
fn workers_of_services_elsewhere_need_nothing_here() {
    check!("openai:10,replicate:5", cards(0), @r"
    openai-worker-0 -> openai, elsewhere
    openai-worker-1 -> openai, elsewhere
    openai-worker-2 -> openai, elsewhere
    openai-worker-3 -> openai, elsewhere
    openai-worker-4 -> openai, elsewhere
    openai-worker-5 -> openai, elsewhere
    openai-worker-6 -> openai, elsewhere
    openai-worker-7 -> openai, elsewhere
    openai-worker-8 -> openai, elsewhere
    openai-worker-9 -> openai, elsewhere
    replicate-worker-0 -> replicate, elsewhere
    replicate-worker-1 -> replicate, elsewhere
    replicate-worker-2 -> replicate, elsewhere
    replicate-worker-3 -> replicate, elsewhere
    replicate-worker-4 -> replicate, elsewhere
    ");
}

#[test]
fn mig_slices_are_devices_and_the_card_is_not() {
    check!("comfyui:auto,ollama:2", sliced(cards(2), &[20 * GIB, 10 * GIB, 10 * GIB]), @r"
    comfyui-gpu0-mig0 on gpu0-mig0 port 8188
    comfyui-gpu1 on gpu1 port 8191
    ollama-gpu0-mig1-0 on gpu0-mig1 port 11436
    ollama-gpu0-mig2-0 on gpu0-mig2 port 11438
    comfyui-worker-0 -> comfyui-gpu0-mig0 (gpu0-mig0)
    comfyui-worker-1 -> comfyui-gpu1 (gpu1)
    ollama-worker-0 -> ollama-gpu0-mig1-0 (gpu0-mig1)
    ollama-worker-1 -> ollama-gpu0-mig2-0 (gpu0-mig2)
    ");
}

#[test]
fn of_a_mixed_pair_the_smaller_card_that_fits_is_taken_first() {
    check!("comfyui:1,a1111:1", machine(&[24 * GIB, 16 * GIB]), @r"
    a1111-gpu0 on gpu0 port 7860
    comfyui-gpu1 on gpu1 port 8189
    comfyui-worker-0 -> comfyui-gpu1 (gpu1)
    a1111-worker-0 -> a1111-gpu0 (gpu0)
    ");
}

#[test]
fn what_does_not_fit_the_small_card_leaves_it_to_others() {
    check!("comfyui:2,a1111:2", machine(&[24 * GIB, 12 * GIB]), @r"
    a1111-gpu0 on gpu0 port 7860
    a1111-gpu1 on gpu1 port 7861
    comfyui-gpu0 on gpu0 port 8188
    comfyui-worker-0 -> comfyui-gpu0 (gpu0)
    comfyui-worker-1 -> comfyui-gpu0 (gpu0)
    a1111-worker-0 -> a1111-gpu0 (gpu0)
    a1111-worker-1 -> a1111-gpu1 (gpu1)
    advice[ALLOC010] --spec:1:1: 2 workers share one instance of `comfyui`, up to 2 on one
      fix: ask for 1 in all, or keep it if jobs may wait for each other at the service
    ");
}

#[test]
fn a_second_instance_shares_a_card_only_when_every_card_has_one() {
    check!("ollama:5", cards(3), @r"
    ollama-gpu0-0 on gpu0 port 11434
    ollama-gpu0-1 on gpu0 port 11435
    ollama-gpu1-0 on gpu1 port 11436
    ollama-gpu1-1 on gpu1 port 11437
    ollama-gpu2-0 on gpu2 port 11438
    ollama-worker-0 -> ollama-gpu0-0 (gpu0)
    ollama-worker-1 -> ollama-gpu1-0 (gpu1)
    ollama-worker-2 -> ollama-gpu2-0 (gpu2)
    ollama-worker-3 -> ollama-gpu0-1 (gpu0)
    ollama-worker-4 -> ollama-gpu1-1 (gpu1)
    ");
}

#[test]
fn an_exclusive_service_has_its_card_to_itself() {
    check!("a1111:2,trainer:1", cards(2), @r"
    a1111-gpu1 on gpu1 port 7861
    trainer-gpu0 on gpu0 port 6006
    a1111-worker-0 -> a1111-gpu1 (gpu1)
    a1111-worker-1 -> a1111-gpu1 (gpu1)
    trainer-worker-0 -> trainer-gpu0 (gpu0)
    advice[ALLOC010] --spec:1:1: 2 workers share one instance of `a1111`, up to 2 on one
      fix: ask for 1 in all, or keep it if jobs may wait for each other at the service
    ");
}

#[test]
fn auto_is_a_worker_for_each_instance_and_for_each_core_elsewhere() {
    check!("ollama:auto,simulation:auto,openai:auto", cards(1), @r"
    ollama-gpu0-0 on gpu0 port 11434
    ollama-gpu0-1 on gpu0 port 11435
    simulation-service-0 on cpu port 8299
    simulation-service-1 on cpu port 8300
    simulation-service-2 on cpu port 8301
    ollama-worker-0 -> ollama-gpu0-0 (gpu0)
    ollama-worker-1 -> ollama-gpu0-1 (gpu0)
    simulation-worker-0 -> simulation-service-0 (cpu)
    simulation-worker-1 -> simulation-service-1 (cpu)
    simulation-worker-2 -> simulation-service-2 (cpu)
    openai-worker-0 -> openai, elsewhere
    openai-worker-1 -> openai, elsewhere
    openai-worker-2 -> openai, elsewhere
    openai-worker-3 -> openai, elsewhere
    openai-worker-4 -> openai, elsewhere
    openai-worker-5 -> openai, elsewhere
    openai-worker-6 -> openai, elsewhere
    openai-worker-7 -> openai, elsewhere
    ");
}

#[test]
fn types_of_one_service_share_its_instances_and_auto_takes_what_is_left() {
    check!("comfyui-websocket:auto,comfyui:1", cards(3), @r"
    comfyui-gpu0 on gpu0 port 8188
    comfyui-gpu1 on gpu1 port 8189
    comfyui-gpu2 on gpu2 port 8190
    comfyui-websocket-worker-0 -> comfyui-gpu1 (gpu1)
    comfyui-websocket-worker-1 -> comfyui-gpu2 (gpu2)
    comfyui-worker-0 -> comfyui-gpu0 (gpu0)
    ");
}

#[test]
fn two_auto_types_share_evenly_and_each_has_at_least_one() {
    check!("comfyui-b:auto,comfyui-a:auto", cards(3), @r"
    comfyui-gpu0 on gpu0 port 8188
    comfyui-gpu1 on gpu1 port 8189
    comfyui-gpu2 on gpu2 port 8190
    comfyui-b-worker-0 -> comfyui-gpu2 (gpu2)
    comfyui-a-worker-0 -> comfyui-gpu0 (gpu0)
    comfyui-a-worker-1 -> comfyui-gpu1 (gpu1)
    ");
    check!("comfyui-b:auto,comfyui-a:auto", cards(1), @r"
    comfyui-gpu0 on gpu0 port 8188
    comfyui-b-worker-0 -> comfyui-gpu0 (gpu0)
    comfyui-a-worker-0 -> comfyui-gpu0 (gpu0)
    advice[ALLOC010] --spec:1:1: 2 workers share one instance of `comfyui`, up to 2 on one
      fix: ask for 1 in all, or keep it if jobs may wait for each other at the service
    ");
}

/// Started over with four cards, a second trainer would take gpu1 from two instances of Ollama.
#[test]
fn a_further_card_takes_nothing_away() {
    check!("ollama:auto,trainer:auto", machine(&[12 * GIB, 12 * GIB, 8 * GIB]), @r"
    ollama-gpu0-0 on gpu0 port 11434
    ollama-gpu0-1 on gpu0 port 11435
    ollama-gpu1-0 on gpu1 port 11436
    ollama-gpu1-1 on gpu1 port 11437
    trainer-gpu2 on gpu2 port 6008
    ollama-worker-0 -> ollama-gpu0-0 (gpu0)
    ollama-worker-1 -> ollama-gpu1-0 (gpu1)
    ollama-worker-2 -> ollama-gpu0-1 (gpu0)
    ollama-worker-3 -> ollama-gpu1-1 (gpu1)
    trainer-worker-0 -> trainer-gpu2 (gpu2)
    ");
    check!("ollama:auto,trainer:auto", machine(&[12 * GIB, 12 * GIB, 8 * GIB, 8 * GIB]), @r"
    ollama-gpu0-0 on gpu0 port 11434
    ollama-gpu0-1 on gpu0 port 11435
    ollama-gpu1-0 on gpu1 port 11436
    ollama-gpu1-1 on gpu1 port 11437
    ollama-gpu3-0 on gpu3 port 11440
    trainer-gpu2 on gpu2 port 6008
    ollama-worker-0 -> ollama-gpu0-0 (gpu0)
    ollama-worker-1 -> ollama-gpu1-0 (gpu1)
    ollama-worker-2 -> ollama-gpu3-0 (gpu3)
    ollama-worker-3 -> ollama-gpu0-1 (gpu0)
    ollama-worker-4 -> ollama-gpu1-1 (gpu1)
    trainer-worker-0 -> trainer-gpu2 (gpu2)
    ");
}

/// Largest first and spread out, `embedder` would join `a1111` and leave no room for `ollama`.
#[test]
fn a_card_that_one_service_likes_best_is_left_when_others_need_it() {
    check!("comfyui:1,a1111:1,embedder:1,ollama:1", machine(&[24 * GIB, 16 * GIB]), @r"
    a1111-gpu1 on gpu1 port 7861
    comfyui-gpu0 on gpu0 port 8188
    embedder-gpu0 on gpu0 port 7000
    ollama-gpu1-0 on gpu1 port 11436
    comfyui-worker-0 -> comfyui-gpu0 (gpu0)
    a1111-worker-0 -> a1111-gpu1 (gpu1)
    embedder-worker-0 -> embedder-gpu0 (gpu0)
    ollama-worker-0 -> ollama-gpu1-0 (gpu1)
    ");
}

#[test]
fn main_memory_beyond_the_machines_is_advice() {
    let mut small = cards(0);
    small.inventory.memory_mib = 1024.try_into().unwrap();
    check!("openai:4,playwright:1", small, @r"
    playwright-service on cpu port 9190
    openai-worker-0 -> openai, elsewhere
    openai-worker-1 -> openai, elsewhere
    openai-worker-2 -> openai, elsewhere
    openai-worker-3 -> openai, elsewhere
    playwright-worker-0 -> playwright-service (cpu)
    advice[ALLOC011] services may take 1024 MiB and workers 640 MiB of main memory; the machine has 1024 MiB
      fix: ask for fewer workers, or keep it if they rarely work all at once
    ");
}

#[test]
fn a_gpu_worker_without_gpus_is_refused_and_every_one_is_named() {
    check!("comfyui:2,openai:1,a1111:auto", cards(0), @r"
    error[ALLOC001] --spec:1:1: `comfyui:2` works on `comfyui`, which needs a GPU; the machine has none
      fix: say which GPUs there are, plan for a mock inventory, or take `comfyui:2` out
    error[ALLOC001] --spec:1:20: `a1111:auto` works on `a1111`, which needs a GPU; the machine has none
      fix: say which GPUs there are, plan for a mock inventory, or take `a1111:auto` out
    ");
}

#[test]
fn a_service_larger_than_any_card_is_refused_with_what_is_missing() {
    check!("comfyui:1,ollama:1", machine(&[8 * GIB, 12 * GIB]), @r"
    error[ALLOC002] --spec:1:1: an instance of `comfyui` needs 14336 MiB of device memory; the largest device, gpu1, has 12288 MiB: 2048 MiB too few
      fix: give the machine a device of at least 14336 MiB, or leave out the workers of `comfyui`
    ");
}

#[test]
fn services_that_fit_alone_but_not_together_are_refused() {
    check!("comfyui:1,a1111:1,ollama:1", machine(&[16 * GIB]), @r"
    error[ALLOC003] --spec:1:11: `a1111` (10240 MiB) and `comfyui` (14336 MiB) do not fit together; the machine has 16384 MiB (gpu0)
      fix: leave one of them out, add a GPU or a larger one, or split the roster over two machines
    ");
}

#[test]
fn an_exclusive_service_and_another_on_one_card_are_refused() {
    check!("ollama:1,trainer:1", cards(1), @r"
    error[ALLOC004] --spec:1:1: `ollama` (6144 MiB) and `trainer` (8192 MiB, exclusive) do not fit together, since an exclusive service shares no device; the machine has 24576 MiB (gpu0)
      fix: leave one of them out, add a GPU, or split the roster over two machines
    ");
}

#[test]
fn playwright_moved_to_the_health_port_is_refused_with_both_claimants() {
    check!("playwright:1", cards(0), 9090, @r"
    error[ALLOC007] config/service-mapping.json:1:1: port 9090 is claimed by the health server and by `playwright-service` (base 9090 from config/service-mapping.json:1:1)
      fix: set `PLAYWRIGHT_PORT` to move `playwright-service`, or move the health server
    ");
}

#[test]
fn playwright_moved_onto_a_gpus_port_is_refused_with_both_claimants() {
    check!("comfyui:2,playwright:1", cards(2), 8189, @r"
    error[ALLOC007] config/service-mapping.json:1:1: port 8189 is claimed by `comfyui-gpu1` (base 8188 from config/service-mapping.json:1:1) and by `playwright-service` (base 8189 from config/service-mapping.json:1:1)
      fix: set `PLAYWRIGHT_PORT` to move `playwright-service`, or change the base at config/service-mapping.json:1:1 to move `comfyui-gpu1`
    ");
}

#[test]
fn instances_without_an_increment_collide_with_each_other() {
    check!("stuck:2", cards(0), @r"
    error[ALLOC007] config/service-mapping.json:1:1: port 5000 is claimed by `stuck-service-0` (base 5000 from config/service-mapping.json:1:1) and by `stuck-service-1` (base 5000 from config/service-mapping.json:1:1)
      fix: give the port an increment above 0 in the service mapping
    ");
}

#[test]
fn a_port_beyond_the_last_is_refused_once() {
    check!("far:4", cards(0), @r"
    error[ALLOC006] config/service-mapping.json:1:1: port `http` of `far-service-2` would be 65536; 65535 is the last one
      fix: change the base at config/service-mapping.json:1:1 to a lower port (now 65534, 1 more for each instance)
    ");
}

#[test]
fn every_refusal_is_told_in_one_run() {
    check!("comfyui:1,trainer:1,a1111:1,playwright:1,stuck:2,far:3", machine(&[12 * GIB]), 9090, @r"
    error[ALLOC002] --spec:1:1: an instance of `comfyui` needs 14336 MiB of device memory; the largest device, gpu0, has 12288 MiB: 2048 MiB too few
      fix: give the machine a device of at least 14336 MiB, or leave out the workers of `comfyui`
    error[ALLOC003] --spec:1:21: `a1111` (10240 MiB) and `trainer` (8192 MiB, exclusive) do not fit together; the machine has 12288 MiB (gpu0)
      fix: leave one of them out, add a GPU or a larger one, or split the roster over two machines
    error[ALLOC006] config/service-mapping.json:1:1: port `http` of `far-service-2` would be 65536; 65535 is the last one
      fix: change the base at config/service-mapping.json:1:1 to a lower port (now 65534, 1 more for each instance)
    error[ALLOC007] config/service-mapping.json:1:1: port 9090 is claimed by the health server and by `playwright-service` (base 9090 from config/service-mapping.json:1:1)
      fix: set `PLAYWRIGHT_PORT` to move `playwright-service`, or move the health server
    error[ALLOC007] config/service-mapping.json:1:1: port 5000 is claimed by `stuck-service-0` (base 5000 from config/service-mapping.json:1:1) and by `stuck-service-1` (base 5000 from config/service-mapping.json:1:1)
      fix: give the port an increment above 0 in the service mapping
    ");
}

#[test]
fn a_thirteenth_kind_of_gpu_service_is_refused() {
    let many: Vec<_> = (10..23).map(|it| kind(&format!("s{it}"), gpu(1, 1, false), &[])).collect();
    let roster: Vec<_> = many.iter().map(|it| format!("{}:1", it.name)).collect();
    insta::assert_snapshot!(render(&roster.join(","), &many, &cards(1)), @r"
    error[ALLOC005] the roster needs 13 different GPU services; 12 is the limit for one machine
      fix: split the roster over several machines
    ");
    insta::assert_snapshot!(render(&roster[1..].join(","), &many, &cards(1)).lines().count(), @"24");
}

#[test]
fn an_instance_that_cannot_be_numbered_is_refused() {
    let dense = [kind("dense", gpu(255, 2, false), &[])];
    let sizes = [vec![1; 258], vec![2]].concat();
    insta::assert_snapshot!(render("dense:1", &dense, &machine(&sizes)), @r"
    error[ALLOC008] --spec:1:1: an instance of `dense` would have the number 65790; 65535 is the last one
      fix: lower `instances_per_gpu` in the service mapping
    ");
}
