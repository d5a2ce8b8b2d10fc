//! Rosters and machines by chance, and what a planner has to say of them: derived from the mapping's text alone.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::project::{fields, texts};

/// A roster, a machine for it, and how to look at both.
#[derive(Clone, Debug)]
pub struct Wish {
    /// `comfyui:2,openai:auto`.
    pub roster: String,
    /// The workers in it.
    pub workers: Vec<String>,
    /// An inventory document.
    pub inventory: Value,
}

/// What has to become of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is planned.
    Planned,
    /// No build stage has all its services.
    Incompatible,
    /// A service of it needs a GPU, and there is none.
    NoGpu,
    /// A service of it needs a GPU, and none has the memory.
    TooSmall,
}

/// Inventories by name: those that every profile is tried on.
pub fn inventories() -> [(&'static str, Value); 6] {
    let card = |number: u32, vram_mib: u32| json!({ "uuid": format!("GPU-{number}"), "vram_mib": vram_mib });
    let slice = |number: u32| json!({ "uuid": format!("MIG-{number}"), "vram_mib": 20_096 });
    [
        ("0 GPUs", json!({})),
        ("1 GPU", json!({ "gpus": [{ "vram_mib": 24_576 }] })),
        ("2 GPUs", json!({ "gpus": [card(0, 24_576), card(1, 24_576)] })),
        ("8 GPUs", json!({ "gpus": (0..8).map(|it| card(it, 81_559)).collect::<Vec<_>>(), "cpu_cores": 64 })),
        (
            "a MIG card",
            json!({ "gpus": [{ "vram_mib": 81_920, "mig": [slice(0), slice(1)] }], "memory_mib": 131_072 }),
        ),
        ("a mixed-size pair", json!({ "gpus": [card(0, 24_576), { "vram_mib": 12_288 }] })),
    ]
}

/// Any machine: one of those, one too small for every service, or a pretended one.
fn inventory() -> impl Strategy<Value = Value> {
    let small = json!({ "gpus": [{ "vram_mib": 2048 }] });
    let mock = json!({ "mock": true });
    let all = inventories().map(|it| it.1).into_iter().chain([small, mock]).collect::<Vec<_>>();
    prop::sample::select(all)
}

/// Up to four of the mapping's workers in any order, 1 to 8 or `auto` of each, on any machine.
pub fn wish(mapping: &Value) -> impl Strategy<Value = Wish> + use<> {
    let names: Vec<String> = fields(&mapping["workers"]).map(|it| it.0.clone()).collect();
    let workers = prop::sample::subsequence(names, 1..=4).prop_shuffle();
    let counted = workers.prop_flat_map(|workers| {
        let count = prop_oneof![8 => (1..=8_u8).prop_map(|it| it.to_string()), 1 => Just("auto".to_owned())];
        (prop::collection::vec(count, workers.len()), Just(workers))
    });
    (counted, inventory()).prop_map(|((counts, workers), inventory)| {
        let entries: Vec<String> =
            workers.iter().zip(counts).map(|(it, count)| format!("{it}:{count}")).collect();
        Wish { roster: entries.join(","), workers, inventory }
    })
}

impl Wish {
    /// What has to become of it. The shipped stages hold one GPU service each, so that one instance on the largest
    /// device is all that has to fit.
    pub fn fate(&self, mapping: &Value) -> Fate {
        let services = self.workers.iter().map(|it| mapping["workers"][it]["service"].as_str().unwrap());
        let local: BTreeSet<&str> =
            services.filter(|it| mapping["services"][it]["binding"] != "shared").collect();
        let stages = fields(&mapping["stages"]).map(|it| provided(mapping, it.0));
        if !stages.into_iter().any(|it| local.iter().all(|service| it.contains(*service))) {
            return Fate::Incompatible;
        }
        let needed = local.iter().filter_map(|it| mapping["services"][it]["vram_mib"].as_u64()).max();
        match (needed, self.devices().into_iter().max()) {
            (Some(_), None) => Fate::NoGpu,
            (Some(needed), Some(largest)) if largest < needed => Fate::TooSmall,
            _ => Fate::Planned,
        }
    }

    /// The memory of each device, in MiB; a pretended machine has a card of 24 GiB.
    fn devices(&self) -> Vec<u64> {
        if self.inventory["mock"] == true {
            return vec![24_576];
        }
        let of = |it: &Value| it["vram_mib"].as_u64().unwrap();
        let gpus = self.inventory["gpus"].as_array().into_iter().flatten();
        gpus.flat_map(|it| {
            it["mig"].as_array().map_or_else(|| vec![of(it)], |it| it.iter().map(of).collect())
        })
        .collect()
    }
}

/// The services of a stage and of those below it.
fn provided(mapping: &Value, stage: &str) -> BTreeSet<String> {
    let entry = &mapping["stages"][stage];
    let mut all: BTreeSet<String> = texts(&entry["provides"]).collect();
    if let Some(from) = entry["from"].as_str() {
        all.extend(provided(mapping, from));
    }
    all
}
