//! The rules of JSON documents.

use crate::notes::{Code, Exit};
/// Every rule of this module.
pub const ALL: &[Code] = &[SYNTAX, DUPLICATE_KEY, TOO_DEEP];

/// The document is JSON (RFC 8259).
pub const SYNTAX: Code = Code {
    id: "JSON001",
    title: "not JSON",
    exit: Exit::Error,
    explanation: "\
The document is JSON as RFC 8259 has it: no comments, no comma after the last item, names and texts in double quotes.
Only the first such fault of a document is reported, for what follows it cannot be understood.
Breaks it: `{\"a\": 1,}`, `{'a': 1}`, `{\"a\": 01}`.
Mend it: as the message says.",
};

/// An object has each key once.
pub const DUPLICATE_KEY: Code = Code {
    id: "JSON002",
    title: "an object has a key twice",
    exit: Exit::Error,
    explanation: "\
An object has each key once. JSON readers disagree about which of two wins, and most drop one in silence.
Breaks it: `{\"count\": 1, \"count\": 2}`.
Mend it: keep one of them. `\"\\u0061\"` and `\"a\"` are the same key.",
};

/// Arrays and objects are nested at most 127 deep.
pub const TOO_DEEP: Code = Code {
    id: "JSON003",
    title: "the document is nested too deeply",
    exit: Exit::Error,
    explanation: "\
Arrays and objects may be nested 127 deep, the limit of `serde_json`; more is a mistake or an attack.
Breaks it: a document that begins with 128 opening brackets.
Mend it: flatten the document.",
};
