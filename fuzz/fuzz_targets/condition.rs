//! A condition ends with a value or with faults, and every fault points into the text.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use spec::condition::Condition;
use spec::source::SourceText;

fuzz_target!(|text: &str| {
    let condition = Condition::parse(&SourceText::open("fuzz", text));
    if let Err(faults) = condition.and_then(|it| it.evaluate(&BTreeMap::new())) {
        assert!(!faults.is_empty());
        for it in faults {
            assert!(text.get(it.place.expect("a place").span).is_some());
        }
    }
});
