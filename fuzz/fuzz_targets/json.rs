//! The index accepts what `serde_json` accepts, but for duplicate keys, and finds what `serde_json` reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use spec::json::{JsonFault, index};
use spec::source::SourceText;

fuzz_target!(|text: &str| {
    let read = serde_json::from_str::<Value>(text);
    match index(&SourceText::open("fuzz", text)) {
        Ok(index) => match read {
            Ok(value) => {
                let place = index.value("").expect("the document");
                assert_eq!(serde_json::from_str::<Value>(place.text()).expect("the document"), value);
            }
            // The one thing that JSON allows and `serde_json` does not hold: 1e999.
            Err(error) => assert!(error.to_string().contains("number out of range"), "{error}"),
        },
        Err(faults) => {
            let syntax = faults.iter().any(|it| !matches!(it.fault, JsonFault::DuplicateKey { .. }));
            assert!(!syntax || read.is_err());
        }
    }
});
