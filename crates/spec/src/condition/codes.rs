//! The rules of conditions.

use crate::notes::{Code, Exit};
/// Every rule of this module.
pub const ALL: &[Code] = &[STRAY, OPEN_STRING, SYNTAX, BAD_NAME, TOO_DEEP, UNKNOWN_COMPONENT];

/// A condition is made of its own few signs.
pub const STRAY: Code = Code {
    id: "COND001",
    title: "a character that conditions do not have",
    exit: Exit::Error,
    explanation: "\
A condition is a closed language and never code: `components.NAME`, `==` (also `===`), `!=` (also `!==`), `includes`,
`&&`, `||`, `!`, parentheses, `true`, `false` and texts in quotes.
Breaks it: `components.redis = 'local'`, `components.redis == 'local' & true`.
Mend it: `components.redis == 'local' && true`.",
};

/// A text in quotes ends with the quote it began with.
pub const OPEN_STRING: Code = Code {
    id: "COND002",
    title: "a text has no closing quote",
    exit: Exit::Error,
    explanation: "\
A text ends with the quote that it began with, single or double. There are no escapes: a section's name needs none.
Breaks it: `components.redis == 'local`.
Mend it: `components.redis == 'local'`.",
};

/// A condition compares components and joins comparisons.
pub const SYNTAX: Code = Code {
    id: "COND003",
    title: "not a condition",
    exit: Exit::Error,
    explanation: "\
A comparison is `components.NAME == 'section'`, `!=` or `includes`, in this order; `&&`, `||`, `!` and parentheses join
comparisons. `!` binds tighter than `&&`, and `&&` tighter than `||`.
Breaks it: `components.redis`, `'local' == components.redis`, `true true`, `()`.
Mend it: `components.redis == 'local'`.",
};

/// Components and sections have names.
pub const BAD_NAME: Code = Code {
    id: "COND004",
    title: "a name that no component or section can have",
    exit: Exit::Error,
    explanation: "\
A component is named like its file without `.env`: a-z, 0-9 and -. A section is named with letters, digits, _ and -.
A comparison with any other text could never be true, so it is a mistake.
Breaks it: `components.Redis == 'local'`, `components.redis == ''`.
Mend it: write the names as the component files have them.",
};

/// Parentheses and `!` are nested at most 64 deep.
pub const TOO_DEEP: Code = Code {
    id: "COND005",
    title: "the condition is nested too deeply",
    exit: Exit::Error,
    explanation: "\
Parentheses and `!` may be nested 64 deep; more is a mistake or an attack.
Breaks it: a condition that begins with 65 opening parentheses.
Mend it: remove the parentheses that change nothing.",
};

/// A condition asks about components of the profile.
pub const UNKNOWN_COMPONENT: Code = Code {
    id: "COND006",
    title: "the profile has no such component",
    exit: Exit::Error,
    explanation: "\
A condition asks about components that the profile names. A component that is not there is no `false`: a slip in its
name would then switch a service off in silence.
Breaks it: `components.reddis == 'local'` in a profile with `redis`.
Mend it: write the component's name as the profile has it, or add the component to the profile.",
};
