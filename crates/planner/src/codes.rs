//! Every error code, for `explain` and `docs/errors.md`: those of the planning verbs, and those that a program adds.

use spec::notes::Code;

use crate::{generations, layout, pipeline, run, set, verbs};

/// All codes, by id, with the lists of the crates that this one may not import. A code that a crate adds to its own list
/// is here by itself.
pub fn all(more: &[&[Code]]) -> Vec<Code> {
    let lists: [&[Code]; 14] = [
        spec::grammar::codes::ALL,
        spec::template::codes::ALL,
        spec::condition::codes::ALL,
        spec::json::codes::ALL,
        spec::dotenv::codes::ALL,
        spec::document::ALL,
        mapping::codes::ALL,
        allocator::codes::ALL,
        env_builder::codes::ALL,
        compose_gen::codes::ALL,
        ecosystem::codes::ALL,
        generations::CODES,
        layout::ALL,
        pipeline::CODES,
    ];
    let verbs = [
        run::NOTHING_CHOSEN,
        verbs::explain::UNKNOWN,
        set::DISAGREEMENT,
        verbs::compose_profile::NAMED,
        verbs::env_build::OTHER_COMPOSE,
    ];
    let mut all: Vec<Code> = lists.iter().chain(more).copied().flatten().copied().chain(verbs).collect();
    all.sort_by_key(|it| it.id);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_id_and_says_something() {
        let all = all(&[]);
        for pair in all.windows(2) {
            assert_ne!(pair[0].id, pair[1].id);
        }
        for it in all {
            let (letters, digits) = it.id.split_at(it.id.len() - 3);
            assert!(
                letters.bytes().all(|it| it.is_ascii_uppercase()) && digits.parse::<u16>().is_ok(),
                "{}",
                it.id
            );
            assert!(it.explanation.len() > 100, "{} is explained in too few words", it.id);
            assert!(!it.title.ends_with('.'), "{}", it.id);
        }
    }
}
