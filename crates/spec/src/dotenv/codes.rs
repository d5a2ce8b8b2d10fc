//! The rules of env files.

use crate::notes::{Code, Exit};

/// Every rule of this module.
pub const ALL: &[Code] =
    &[NUL, CARRIAGE_RETURN, NO_COMMON_QUOTING, NO_EQUALS, BAD_KEY, UNTERMINATED, AFTER_QUOTE, DUPLICATE_KEY];

/// A value has no NUL character.
pub const NUL: Code = Code {
    id: "DOTENV001",
    title: "a value holds a NUL character",
    exit: Exit::Error,
    explanation: "\
The operating system hands variables to a process as texts that end at the first NUL character, so no variable can hold
one, whatever file it comes from.
Breaks it: a binary key, or `\\u0000` in a profile.
Mend it: remove the character, encode the value (base64), or declare it as a secret and read its file.",
};

/// A value has no carriage return.
pub const CARRIAGE_RETURN: Code = Code {
    id: "DOTENV002",
    title: "a value holds a carriage return",
    exit: Exit::Error,
    explanation: "\
Node's dotenv turns each carriage return of the file into a line feed, and `sh` has no escape that makes one, so no env
file gives it back to all readers.
Breaks it: a certificate of several lines, pasted from a file with Windows line ends.
Mend it: save the file it comes from with LF line ends, or declare the value as a secret, which travels as a file, byte
for byte.",
};

/// A value can be quoted so that all readers agree.
pub const NO_COMMON_QUOTING: Code = Code {
    id: "DOTENV003",
    title: "no quoting of a value means the same to every reader",
    exit: Exit::Error,
    explanation: "\
Docker Compose, `sh` and Node's dotenv must read the same bytes. Single quotes hold all but an apostrophe and an odd
number of backslashes at the end. A value with an apostrophe needs double quotes, where Node undoes no escape: it may
hold no double quote, no backquote, no `$` that expands (`$A`, `${`, `$1`) and no backslash that escapes (`\\n`, `\\\\`).
Breaks it: `{\"say\": \"it's\"}`, `it's $HOME`, `C:\\temp\\`.
Mend it: in a value that itself is JSON, write the apostrophe as `\\u0027`; end a path without the backslash; or declare
the value as a secret, which travels as a file, byte for byte.",
};

/// A line is an entry or a comment.
pub const NO_EQUALS: Code = Code {
    id: "DOTENV004",
    title: "a line is neither an entry nor a comment",
    exit: Exit::Error,
    explanation: "\
A line of an env file is blank, begins with `#`, or is `KEY=value`. Anything else is most often the second line of a
value without quotes, so it is not skipped in silence. The line is not quoted, for it may be a piece of a secret.
Breaks it: `REDIS_URL` alone, `REDIS_URL: redis://hub`, a pasted key of several lines without quotes.
Mend it: write the `=`, or put a value of several lines in single quotes.",
};

/// A key is the name of a variable.
pub const BAD_KEY: Code = Code {
    id: "DOTENV005",
    title: "a key is not the name of a variable",
    exit: Exit::Error,
    explanation: "\
A key is made of letters, digits and _, does not begin with a digit and has at most 63 characters, so that every shell
and every reader of env files takes it. It is not quoted, for it may be a piece of a value that lost its quotes.
Breaks it: `redis.url=x`, `MY KEY=x`, `1ST=x`, `=x`.
Mend it: rename it, `REDIS_URL=x`.",
};

/// A quote is closed.
pub const UNTERMINATED: Code = Code {
    id: "DOTENV006",
    title: "a quote is never closed",
    exit: Exit::Error,
    explanation: "\
A value that begins with a quote ends with the same quote, on the same line or a later one. In double quotes, `\\\"` does
not close it.
Breaks it: `PASSWORD='abc`, `PASSWORD=\"abc\\\"`.
Mend it: close the quote. A value that itself begins with a quote goes into quotes of the other kind: `'\"abc'`.",
};

/// Nothing but a comment follows a closing quote.
pub const AFTER_QUOTE: Code = Code {
    id: "DOTENV007",
    title: "text follows a closing quote",
    exit: Exit::Error,
    explanation: "\
After the closing quote come the line end, or a space and a `#` comment. Shells join further text to the value, Compose
takes it for the next key, and Node keeps the quotes, so it is refused.
Breaks it: `NAME='it's'`, `NAME=\"a\"b`, `NAME='a'#b`.
Mend it: put the whole value in one pair of quotes: `NAME=\"it's\"`.",
};

/// A file sets each key once.
pub const DUPLICATE_KEY: Code = Code {
    id: "DOTENV008",
    title: "a key is set twice",
    exit: Exit::Error,
    explanation: "\
A file sets each key once. Readers would let the last one win in silence, and a person who mends the first would wonder
why nothing changes.
Breaks it: `PORT=8188` and, further down, `PORT=8189`.
Mend it: remove one of them.",
};
