//! What can be written reads back as the same bytes, and every fault points into the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spec::dotenv::{parse, write};
use spec::ids::EnvKey;
use spec::source::SourceText;

fuzz_target!(|text: &str| {
    let key: EnvKey = "KEY".parse().expect("a name");
    if let Ok(file) = write([(&key, text)]) {
        let read = parse(&SourceText::guarded("fuzz", file)).expect("what we write");
        assert_eq!(read[0].value, text);
    }
    match parse(&SourceText::guarded("fuzz", text)) {
        Ok(entries) => assert!(entries.iter().all(|it| text.get(it.value_place.span.clone()).is_some())),
        Err(faults) => {
            assert!(faults.into_iter().all(|it| text.get(it.place.expect("a place").span).is_some()))
        }
    }
});
