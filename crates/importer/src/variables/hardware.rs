//! What the variables say of the cards.

use std::collections::BTreeSet;

use spec::ids::EnvKey;

use super::Settled;
use crate::codes;
use crate::draft::{Draft, Said};
use crate::names::{self, Fate};
use crate::report::Report;

/// Whether GPUs are pretended.
pub(super) fn mock(draft: &Draft, settled: &mut Settled, report: &mut Report) {
    let switches = draft.said.iter().filter(|(key, _)| is_fate(key, Fate::Mock));
    let on = |key: &EnvKey, it: &Said| {
        let value = it.value.to_lowercase();
        if key.as_str() == "GPU_MODE" {
            value == "mock"
        } else {
            ["true", "1", "yes", "on"].contains(&value.as_str())
        }
    };
    let all: Vec<_> = switches.flat_map(|(key, said)| said.iter().map(move |it| (key, it))).collect();
    settled.mock = all.iter().any(|(key, it)| on(key, it));
    // The word of `GPU_MODE` is the last one there: `actual` beside `MOCK_GPU=true` says two things.
    let actual = all.iter().find(|(key, it)| key.as_str() == "GPU_MODE" && it.value == "actual");
    for (key, it) in &all {
        let what = format!("`{key}`");
        if settled.mock && actual.is_some() {
            let (why, fix) =
                ("one switch pretends the cards, another one says that they are real", "keep one");
            report.decide(codes::TWO_VALUES, what, why, fix, &it.place);
        } else if on(key, it) {
            report.renamed(what, "`hardware.mock`", "", &it.place);
        } else if !it.value.is_empty() {
            report.dropped(
                codes::DECIDED,
                what,
                "the cards are real, unless `hardware.mock` is set",
                &it.place,
            );
        }
    }
}

/// How many GPUs there were.
pub(super) fn gpus(draft: &Draft, settled: &mut Settled, report: &mut Report) {
    let counts = draft.said.iter().filter(|(key, _)| is_fate(key, Fate::Gpus));
    let pretended = |key: &EnvKey| ["MOCK_GPU_NUM", "SIMULATION_NUM_GPUS"].contains(&key.as_str());
    let all: Vec<_> = counts.flat_map(|(key, said)| said.iter().map(move |it| (key, it))).collect();
    let mock = settled.mock;
    let heard = all.iter().filter(|(key, it)| !it.value.is_empty() && (mock || !pretended(key)));
    let numbers: BTreeSet<Option<u16>> = heard.map(|(_, it)| it.value.trim().parse().ok()).collect();
    let sound = numbers.len() <= 1 && !numbers.contains(&None);
    for (key, it) in all.iter().filter(|(_, it)| !it.value.is_empty()) {
        let what = format!("`{key}`");
        if !sound {
            let (why, fix) =
                ("the numbers of GPUs differ, or one is no number", "keep the one that is right");
            report.decide(codes::TWO_VALUES, what, why, fix, &it.place);
        } else if mock {
            report.renamed(what, "`hardware.gpus`", "", &it.place);
        } else {
            let why = "the plan looks at the machine; `--gpus` puts cards into the profile";
            report.dropped(codes::DECIDED, what, why, &it.place);
        }
    }
    if sound && let Some(Some(number)) = numbers.first() {
        settled.gpus = Some(*number);
    }
}

fn is_fate(key: &EnvKey, fate: Fate) -> bool {
    names::find(key.as_str()).is_some_and(|it| it.fate == fate)
}
