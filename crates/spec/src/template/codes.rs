//! The rules of templates.

use crate::notes::{Code, Exit};
/// Every rule of this module.
pub const ALL: &[Code] = &[UNTERMINATED, BAD_NAME, UNKNOWN_OPERATOR, TOO_DEEP, MISSING, ASKED];

/// Each `${` has its `}`.
pub const UNTERMINATED: Code = Code {
    id: "TPL001",
    title: "a `${` has no `}`",
    exit: Exit::Error,
    explanation: "\
A reference begins with `${` and ends with the `}` that belongs to it; braces within a default or message come in pairs.
Breaks it: `redis://${HOST`, `${A:-{}`.
Mend it: close the brace. Where `${` itself is meant, as in a password, write `$${`.",
};

/// A reference names an environment variable.
pub const BAD_NAME: Code = Code {
    id: "TPL002",
    title: "a reference does not name a variable",
    exit: Exit::Error,
    explanation: "\
A variable's name is made of letters, digits and _, does not begin with a digit, and has at most 63 characters.
Breaks it: `${}`, `${MY HOST}`, `${1ST}`, `${redis.url}`.
Mend it: write the variable's name, or `$${` where `${` itself is meant.",
};

/// After a name comes `}`, `:-` or `:?`.
pub const UNKNOWN_OPERATOR: Code = Code {
    id: "TPL003",
    title: "an operator that templates do not have",
    exit: Exit::Error,
    explanation: "\
A reference is `${NAME}`, `${NAME:-default}` or `${NAME:?message}`. The shell's other operators are left out on purpose:
`${NAME-default}` differs from `${NAME:-default}` by a hair, and only for a variable that is set to nothing.
Breaks it: `${PORT-8188}`, `${NAME:+x}`, `${PATH%/}`.
Mend it: `${PORT:-8188}`, or `$${` where `${` itself is meant.",
};

/// Defaults are nested at most 16 deep.
pub const TOO_DEEP: Code = Code {
    id: "TPL004",
    title: "defaults are nested too deeply",
    exit: Exit::Error,
    explanation: "\
A default may hold references with defaults of their own, 16 deep at most; a value that needs more is a mistake.
Breaks it: `${A:-${B:-${C:-` and so on.
Mend it: give one of the inner variables a value of its own, and refer to it.",
};

/// A variable that is referred to plainly is set.
pub const MISSING: Code = Code {
    id: "TPL005",
    title: "a variable is not set",
    exit: Exit::MissingValue,
    explanation: "\
`${NAME}` needs the variable to be set, be it to nothing. It never becomes an empty text in silence.
Breaks it: `redis://${REDIS_HOST}` where nothing sets `REDIS_HOST`.
Mend it: set it, or give it a default, `${REDIS_HOST:-localhost}`.",
};

/// A variable referred to with `:?` is set and not empty.
pub const ASKED: Code = Code {
    id: "TPL006",
    title: "a variable that is insisted on is not set",
    exit: Exit::MissingValue,
    explanation: "\
`${NAME:?message}` needs the variable to be set and not empty; the message of whoever wrote it says why.
Breaks it: `${API_KEY:?get one from your account page}` where nothing sets `API_KEY`.
Mend it: as the message says.",
};
