//! A second opinion on every allocation: small cases against brute force over all placements.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::{Kind, cpu, gpu, kind, machine, try_plan};
use allocator::{Machine, codes};
use proptest::prelude::*;
use spec::model::{AllocationPlan, Occupies, Placement};
use spec::notes::Fault;

/// GPU services `a`, `b`…, a processor service `z`, and a roster over them.
#[derive(Clone, Debug)]
struct Case {
    kinds: Vec<Kind>,
    entries: Vec<String>,
    cards: Vec<u32>,
}

impl Case {
    fn roster(&self) -> String {
        self.entries.join(",")
    }

    fn machine(&self) -> Machine {
        machine(&self.cards)
    }
}

fn case(services: usize, cards: usize) -> impl Strategy<Value = Case> {
    let count = || prop_oneof![3 => (1..5_u16).prop_map(|it| it.to_string()), 2 => Just("auto".to_owned())];
    let service =
        (1..3_u8, 1..7_u32, prop::bool::weighted(0.2), count(), prop::option::weighted(0.3, count()));
    let services = prop::collection::vec(service, 1..=services);
    (services, prop::collection::vec(1..10_u32, 1..=cards), count()).prop_map(|(services, cards, last)| {
        let (mut kinds, mut entries) = (Vec::new(), Vec::new());
        for ((per_gpu, vram, exclusive, count, second), letter) in services.into_iter().zip('a'..) {
            kinds.push(kind(&letter.to_string(), gpu(per_gpu, vram, exclusive), &[]));
            entries.push(format!("{letter}:{count}"));
            entries.extend(second.map(|it| format!("{letter}-second:{it}")));
        }
        kinds.push(kind("z", cpu(2), &[("http", 80, 1)]));
        entries.push(format!("z:{last}"));
        Case { kinds, entries, cards }
    })
}

type Gpu = (u8, u32, bool);

fn gpu_kinds(case: &Case) -> Vec<Gpu> {
    let numbers = case.kinds.iter().filter_map(|it| match it.occupies {
        Some(Occupies::Gpu { instances_per_gpu, vram_mib, exclusive }) => {
            Some((instances_per_gpu.get(), vram_mib.get(), exclusive))
        }
        _ => None,
    });
    numbers.collect()
}

/// Whether a card of `vram` can hold so many of each kind.
fn holds(kinds: &[Gpu], vram: u32, held: &[u8]) -> bool {
    let used: u32 = kinds.iter().zip(held).map(|(kind, count)| kind.1 * u32::from(*count)).sum();
    let here = held.iter().filter(|it| **it > 0).count();
    let lonely = kinds.iter().zip(held).any(|(kind, count)| kind.2 && *count > 0);
    used <= vram && (here <= 1 || !lonely) && kinds.iter().zip(held).all(|(kind, count)| *count <= kind.0)
}

/// Everything that a card can hold.
fn contents(kinds: &[Gpu], vram: u32) -> Vec<Vec<u8>> {
    let mut all = vec![vec![]];
    for kind in kinds {
        all = all.iter().flat_map(|it| (0..=kind.0).map(move |n| [&it[..], &[n]].concat())).collect();
    }
    all.retain(|it| holds(kinds, vram, it));
    all
}

/// Whether any placement gives every service an instance: all of them are tried.
fn some_placement(kinds: &[Gpu], cards: &[u32]) -> bool {
    let mut reached = BTreeSet::from([vec![0_u8; kinds.len()]]);
    for vram in cards {
        let contents = contents(kinds, *vram);
        let add =
            |sum: &Vec<u8>, more: &Vec<u8>| sum.iter().zip(more).map(|(a, b)| a + b).collect::<Vec<u8>>();
        reached = reached.iter().flat_map(|sum| contents.iter().map(move |more| add(sum, more))).collect();
    }
    reached.iter().any(|it| it.iter().all(|count| *count > 0))
}

/// The instances of each GPU service on each card.
fn placed(plan: &AllocationPlan, case: &Case) -> Vec<Vec<u8>> {
    let mut held = vec![vec![0; gpu_kinds(case).len()]; case.cards.len()];
    for it in plan.services() {
        if let Placement::Device(ordinal) = it.placement {
            let kind = case.kinds.iter().position(|kind| kind.name == it.service.name.as_str()).unwrap();
            held[usize::from(ordinal)][kind] += 1;
        }
    }
    held
}

fn per_service(plan: &AllocationPlan) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for it in plan.services() {
        *counts.entry(it.service.name.to_string()).or_default() += 1;
    }
    counts
}

fn per_type(plan: &AllocationPlan) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for it in plan.workers() {
        *counts.entry(it.worker.name.to_string()).or_default() += 1;
    }
    counts
}

/// Name, place and target of every process, without order.
fn processes(plan: &AllocationPlan) -> BTreeSet<String> {
    let services = plan.services().iter().map(|it| format!("{} {:?} {:?}", it.name, it.placement, it.ports));
    let workers = plan.workers().iter().map(|it| {
        let on = plan.instance_of(it).map_or("elsewhere".to_owned(), |it| it.name.to_string());
        format!("{} {} {on}", it.name, it.id)
    });
    services.chain(workers).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_refusal_is_true_and_so_is_an_acceptance(case in case(3, 3)) {
        let kinds = gpu_kinds(&case);
        let outcome = try_plan(&case.roster(), &case.kinds, &case.machine());
        prop_assert_eq!(outcome.is_ok(), some_placement(&kinds, &case.cards));
        let Ok(allocation) = outcome else { return Ok(()) };
        for (held, vram) in placed(&allocation.plan, &case).iter().zip(&case.cards) {
            prop_assert!(holds(&kinds, *vram, held));
        }
        prop_assert!(per_service(&allocation.plan).len() == case.kinds.len());
    }

    /// With many services on few cards, where a first fit would often fail although a placement exists.
    #[test]
    fn a_refusal_is_true_in_tight_cases(case in case(6, 3)) {
        let outcome = try_plan(&case.roster(), &case.kinds, &case.machine());
        prop_assert_eq!(outcome.is_ok(), some_placement(&gpu_kinds(&case), &case.cards));
    }

    #[test]
    fn the_services_named_in_a_refusal_are_the_fewest_that_do_not_fit(case in case(4, 2)) {
        use allocator::Refusal::{Exclusive, NotTogether};
        let all = gpu_kinds(&case);
        for refusal in try_plan(&case.roster(), &case.kinds, &case.machine()).err().unwrap_or_default() {
            let (NotTogether { ref needs, .. } | Exclusive { ref needs, .. }) = refusal.fault else { continue };
            let of = |name: &str| all[case.kinds.iter().position(|it| it.name == name).unwrap()];
            let named: Vec<Gpu> = needs.iter().map(|it| of(it.service.as_str())).collect();
            prop_assert!(!some_placement(&named, &case.cards));
            for absent in 0..named.len() {
                let fewer: Vec<Gpu> = named.iter().enumerate().filter(|it| it.0 != absent).map(|it| *it.1).collect();
                prop_assert!(some_placement(&fewer, &case.cards));
            }
            let sociable: Vec<Gpu> = named.iter().map(|(per_gpu, vram, _)| (*per_gpu, *vram, false)).collect();
            let exclusive = refusal.fault.code() == codes::EXCLUSIVE;
            prop_assert_eq!(exclusive, some_placement(&sociable, &case.cards));
        }
    }

    #[test]
    fn nothing_that_is_wanted_still_fits(case in case(3, 3)) {
        let Ok(allocation) = try_plan(&case.roster(), &case.kinds, &case.machine()) else { return Ok(()) };
        let (kinds, workers) = (gpu_kinds(&case), per_type(&allocation.plan));
        let held = placed(&allocation.plan, &case);
        for (index, kind) in case.kinds[..kinds.len()].iter().enumerate() {
            let of_it = |name: &str| name.split('-').next() == Some(&kind.name);
            let auto = case.entries.iter().any(|it| of_it(it.split(':').next().unwrap()) && it.ends_with("auto"));
            let want: usize = workers.iter().filter(|(name, _)| of_it(name)).map(|(_, count)| count).sum();
            let have: usize = held.iter().map(|it| usize::from(it[index])).sum();
            prop_assert!(have <= want);
            if auto || have < want {
                for (held, vram) in held.iter().zip(&case.cards) {
                    let mut more = held.clone();
                    more[index] += 1;
                    prop_assert!(!holds(&kinds, *vram, &more), "one more {} fits", kind.name);
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_roster_changes_neither_names_nor_loads(
        (case, shuffled) in case(3, 3).prop_flat_map(|it| {
            let entries = Just(it.entries.clone()).prop_shuffle();
            (Just(it), entries)
        }),
    ) {
        let machine = case.machine();
        let other = Case { entries: shuffled, ..case.clone() };
        match (try_plan(&case.roster(), &case.kinds, &machine), try_plan(&other.roster(), &other.kinds, &machine)) {
            (Ok(one), Ok(two)) => prop_assert_eq!(processes(&one.plan), processes(&two.plan)),
            (one, two) => prop_assert!(one.is_err() && two.is_err()),
        }
    }

    #[test]
    fn one_more_gpu_takes_nothing_from_any_service(case in case(4, 4), card in 1..10_u32) {
        let Ok(before) = try_plan(&case.roster(), &case.kinds, &case.machine()) else { return Ok(()) };
        let more = Case { cards: [&case.cards[..], &[card]].concat(), ..case };
        let after = try_plan(&more.roster(), &more.kinds, &more.machine());
        let after = after.map_err(|it| TestCaseError::fail(format!("refused: {it:?}")))?;
        for (counts, more) in
            [(per_service(&before.plan), per_service(&after.plan)), (per_type(&before.plan), per_type(&after.plan))]
        {
            prop_assert!(counts.iter().all(|(name, count)| more[name] >= *count), "{counts:?} became {more:?}");
        }
    }

    #[test]
    fn equal_input_gives_an_equal_plan(case in case(3, 3)) {
        let plan = || try_plan(&case.roster(), &case.kinds, &case.machine());
        prop_assert_eq!(plan(), plan());
    }
}
