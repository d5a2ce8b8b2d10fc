//! What is escaped expands to itself, and every fault points into the text.
#![no_main]

use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use spec::template::{Template, escape};

fuzz_target!(|text: &str| {
    let literal = Template::parse(&escape(text)).expect("escaped");
    assert_eq!(literal.expand(&mut |_| Ok::<_, Infallible>(None)).expect("literal"), text);
    match Template::parse(text) {
        Ok(template) => drop(template.expand(&mut |_| Ok::<_, Infallible>(None))),
        Err(faults) => assert!(faults.into_iter().all(|(span, _)| text.get(span).is_some())),
    }
});
