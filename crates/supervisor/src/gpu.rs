//! A card that somebody still holds: a process on it would be started only to find no memory.

use std::fmt::Debug;

use ecosystem::GpuClaim;

/// Who sees the cards. The real one is the driver's library; tests have one without a card.
pub trait Gpus: Debug + Send + Sync + 'static {
    /// The card that the driver calls `identity`, a UUID or an index in PCI bus order; or why it cannot be seen. May
    /// block for as long as the driver does.
    fn card(&self, identity: &str) -> Result<Card, String>;
}

/// A card, or a slice of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// MiB of its memory that nobody has.
    pub free_mib: u64,
    /// The processes that have memory on it.
    pub holders: Vec<Holder>,
}

/// A process that has memory on a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: i32,
    /// Its program.
    pub name: String,
    /// MiB that it has, where the driver knows.
    pub used_mib: Option<u64>,
}

/// Why a process cannot have its card now; `None`: it can. What the supervisor runs shares a card as the plan says, so
/// only those that are not `ours` are in the way: when they leave too little memory or, for a process that does not
/// say what it needs, when there are any. They are never killed: nobody here knows what they are.
pub(crate) fn held(claim: &GpuClaim, card: &Card, ours: impl Fn(i32) -> bool) -> Option<String> {
    let foreign: Vec<&Holder> = card.holders.iter().filter(|it| !ours(it.pid)).collect();
    let need = claim.vram_mib.map(u64::from);
    if foreign.is_empty() || need.is_some_and(|it| it <= card.free_mib) {
        return None;
    }
    let who = foreign.iter().map(|it| match it.used_mib {
        Some(used) => format!("process {} ({}) holds {used} MiB", it.pid, it.name),
        None => format!("process {} ({}) holds a part", it.pid, it.name),
    });
    let who = who.collect::<Vec<_>>().join(", ");
    let needs = need.map(|it| format!("; it needs {it}")).unwrap_or_default();
    Some(format!("{} of its card {} ({} MiB free{needs}): end that first", who, claim.label, card.free_mib))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_foreign_process_that_leaves_too_little_is_in_the_way() {
        let holder = |pid, used_mib| Holder { pid, name: "python".into(), used_mib };
        let (ours, foreign) = (holder(7, Some(8_000)), holder(9, Some(70_000)));
        let claim = |vram_mib| GpuClaim { label: "gpu0".into(), identity: "GPU-1".into(), vram_mib };
        let say = |need, holders: &[&Holder], free_mib| {
            let card = Card { free_mib, holders: holders.iter().map(|it| (*it).clone()).collect() };
            held(&claim(need), &card, |it| it == 7).unwrap_or_else(|| "go".into())
        };
        let said = [
            say(Some(10_000), &[], 5_000),
            say(Some(10_000), &[&ours], 5_000),
            say(Some(10_000), &[&ours, &foreign], 10_000),
            say(Some(10_000), &[&ours, &foreign], 9_999),
            say(None, &[&ours], 5_000),
            say(None, &[&foreign, &holder(10, None)], 5_000),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        go
        go
        go
        process 9 (python) holds 70000 MiB of its card gpu0 (9999 MiB free; it needs 10000): end that first
        go
        process 9 (python) holds 70000 MiB, process 10 (python) holds a part of its card gpu0 (5000 MiB free): end that first
        ");
    }
}
