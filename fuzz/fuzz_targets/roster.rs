//! A roster that is understood displays as itself, and every fault points into the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::grammar::parse;
use spec::source::SourceText;

fuzz_target!(|text: &str| {
    match parse(&SourceText::open("fuzz", text)) {
        Ok(roster) => {
            let canonical = roster.to_string();
            let again = parse(&SourceText::open("fuzz", canonical.as_str())).expect("canonical");
            assert_eq!(again.to_string(), canonical);
        }
        Err(errors) => {
            assert!(!errors.faults.is_empty());
            for it in errors.faults {
                assert!(text.get(it.place.expect("a place").span).is_some());
            }
        }
    }
});
