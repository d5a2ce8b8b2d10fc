//! Gathers what is wrong with the mapping.

use std::fmt::Write as _;

use spec::json::JsonIndex;
use spec::notes::Located;
use spec::source::{Place, SourceText};

use crate::fault::{Flaw, MappingFault};

/// The flaws found so far, and the index that knows where each JSON path stands.
pub(crate) struct Found<'a> {
    source: &'a SourceText,
    index: &'a JsonIndex,
    faults: Vec<Located<MappingFault>>,
}

impl<'a> Found<'a> {
    pub(crate) fn new(source: &'a SourceText, index: &'a JsonIndex) -> Self {
        Self { source, index, faults: Vec::new() }
    }

    /// The place of a value, given by its JSON pointer.
    pub(crate) fn place(&self, pointer: &str) -> Place {
        self.index.value(pointer).unwrap_or_else(|| self.source.whole())
    }

    /// A flaw of the value at a JSON pointer.
    pub(crate) fn at_value(&mut self, pointer: &str, flaw: Flaw) {
        let place = self.place(pointer);
        self.add(pointer, place, flaw);
    }

    /// A flaw of an entry as a whole, shown at its key.
    pub(crate) fn at_key(&mut self, pointer: &str, flaw: Flaw) {
        let place = self.index.key(pointer).unwrap_or_else(|| self.place(pointer));
        self.add(pointer, place, flaw);
    }

    fn add(&mut self, pointer: &str, place: Place, flaw: Flaw) {
        self.faults.push(Located::at(place, MappingFault { path: readable(pointer), flaw }));
    }

    /// Everything found, in the order of the text.
    pub(crate) fn into_faults(mut self) -> Vec<Located<MappingFault>> {
        self.faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
        self.faults
    }
}

/// `/services/comfyui/ports/0` as people write it: `services.comfyui.ports[0]`. No name in a mapping holds what a JSON
/// pointer escapes.
pub(crate) fn readable(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let _ = match part.parse::<usize>() {
            Ok(index) => write!(path, "[{index}]"),
            Err(_) if path.is_empty() => write!(path, "{part}"),
            Err(_) => write!(path, ".{part}"),
        };
    }
    path
}
