//! The env file: `KEY=value` lines that every consumer of the file reads alike.
//!
//! Env files have no standard. [`write()`] keeps to the forms which Docker Compose (as `env_file` and as the `.env` it
//! interpolates from), POSIX `sh` (`. ./.env`), Node's `dotenv` and [`parse`] give back as the same bytes; a value
//! that no such form can hold is refused before anything is written. Each rule was found by putting every ASCII
//! character through every reader, and `tests/dotenv_readers.rs` holds it against the real programs:
//!
//! | form | for | because |
//! |---|---|---|
//! | `a/b:1` | letters, digits and `%+,-./:=@_` | nobody gives these a meaning |
//! | `'{"a": $1}'` | all but `'`, and `\` at the end | verbatim in all four, line feeds too |
//! | `'C:\\' # …` | an even number of `\` at the end | Node may read on past `\'`; the comment prevents it |
//! | `"it's"` | `'`, but no `"`, `` ` ``, live `$` or live `\` | Node undoes no escape, so nothing may need one |
//!
//! The last row is the limit of the format. Node takes what stands between the outermost quotes as it is, while `sh`
//! drops every bare quote of the kind that is open, so `'` beside `"` has no common form.
//!
//! ```
//! use spec::dotenv::{parse, write};
//! use spec::{ids::EnvKey, source::SourceText};
//!
//! let key: EnvKey = "GREETING".parse().unwrap();
//! let file = write([(&key, "it's #1")]).unwrap();
//! assert_eq!(file, "GREETING=\"it's #1\"\n");
//! assert_eq!(parse(&SourceText::guarded(".env", file)).unwrap()[0].value, "it's #1");
//! ```

pub mod codes;
mod fault;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use fault::{Clash, DotenvFault, Unencodable};
pub use reader::{Entry, parse, read};
pub use writer::{encode, write};
