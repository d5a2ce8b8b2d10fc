//! The rules of environments.

use spec::notes::{Code, Exit};

/// Every rule of this crate.
pub const ALL: &[Code] = &[
    NO_NAMESPACE,
    OUTSIDE_SECTION,
    NOT_A_LINE,
    BAD_KEY,
    BAD_SECTION,
    REPEATED,
    QUOTES,
    LOOKS_LIKE_COMMENT,
    UNKNOWN_COMPONENT,
    UNKNOWN_SECTION,
    PUBLISHED_TWICE,
    DEFAULTS_DISAGREE,
    NOT_SET,
    INSISTED_ON,
    FROM_OUTSIDE,
    CYCLE,
    TOO_DEEP,
    TOO_LONG,
    NOT_UNICODE,
    SECRET_IN_OPEN_FILE,
    INTERFACE,
    MISSING_SECRET,
    MISSING_VARIABLE,
    EMPTY,
    TWO_ORIGINS,
    CONTRADICTS_PLAN,
    ONLY_AS_FILE,
];

/// A component file begins with its namespace.
pub const NO_NAMESPACE: Code = Code {
    id: "ENV001",
    title: "a component has no namespace",
    exit: Exit::Error,
    explanation: "\
`URL` in `[local]` of a component with `NAMESPACE=REDIS` is published as `REDIS_URL`. The namespace stands before the
first section, and need not equal the file's name.
Breaks it: a component file that begins with `[local]`.
Mend it: write `NAMESPACE=REDIS` above the first section.",
};

/// Only the namespace stands before the first section.
pub const OUTSIDE_SECTION: Code = Code {
    id: "ENV002",
    title: "a key stands outside every section",
    exit: Exit::Error,
    explanation: "\
A profile selects sections, so a key outside every section would never be read by anyone. There is no section that is
taken without being named; what holds everywhere goes into `[default]`, and profiles list it: `[\"default\", \"local\"]`.
Breaks it: `NAMESPACE=REDIS`, then `DB=0`, then `[local]`.
Mend it: move `DB=0` below `[default]`.",
};

/// A line is blank, a comment, a section or an entry.
pub const NOT_A_LINE: Code = Code {
    id: "ENV003",
    title: "a line of a component file is none",
    exit: Exit::Error,
    explanation: "\
A line is blank, a comment (`#` or `;` first), a `[section]` or `KEY=value`. The line is not quoted in the message, for
it may be a piece of a secret that was pasted over several lines.
Breaks it: `URL: redis://redis:6379`, `DEBUG`, the second line of a certificate.
Mend it: write the `=`. A value has one line; in double quotes `\\n` stands for a line feed.",
};

/// Keys are upper case, and short enough for a variable.
pub const BAD_KEY: Code = Code {
    id: "ENV004",
    title: "a key of a component file is none",
    exit: Exit::Error,
    explanation: "\
A key, and a namespace, is made of A-Z, 0-9 and _ and does not begin with a digit; namespace, `_` and key together have
at most 63 characters. What stands there is not quoted, for it may be a piece of a secret.
Breaks it: `url=x`, `MY KEY=x`, `export URL=x`, `=x`.
Mend it: `URL=x`.",
};

/// A section is a name in brackets, alone on its line.
pub const BAD_SECTION: Code = Code {
    id: "ENV005",
    title: "a section of a component file is none",
    exit: Exit::Error,
    explanation: "\
A section's name is made of letters, digits, _ and -, and begins with a letter or digit, so that profiles and conditions
can name it. Nothing follows the bracket: comments have lines of their own.
Breaks it: `[local.dev]`, `[local] # here`, `[]`.
Mend it: `[local-dev]`.",
};

/// Sections and their keys are given once.
pub const REPEATED: Code = Code {
    id: "ENV006",
    title: "a section or key is given twice",
    exit: Exit::Error,
    explanation: "\
A component file has each section once, and a section each key once. If the last one won in silence, whoever mends the
first would wonder why nothing changes.
Breaks it: `[local]` above and below, `URL=a` and `URL=b` in one section.
Mend it: join the sections, keep one of the keys.",
};

/// Quotes are closed, and hold the whole value.
pub const QUOTES: Code = Code {
    id: "ENV007",
    title: "a quoted value is malformed",
    exit: Exit::Error,
    explanation: "\
A value that begins with a quote ends with the same quote, on the same line, and nothing follows it. In single quotes
everything is literal; in double quotes `\\n`, `\\t`, `\\\"`, `\\\\` and `\\$` are escapes, and no other is known. Without
quotes, quotes further on in the value are a part of it.
Breaks it: `NAME='it's'`, `NAME=\"abc`, `NAME=\"C:\\data\"`, `NAME='a' # comment`.
Mend it: `NAME=it's`, `NAME=\"it's\"`, `NAME='C:\\data'`.",
};

/// Comments have lines of their own.
pub const LOOKS_LIKE_COMMENT: Code = Code {
    id: "ENV008",
    title: "a value ends in what looks like a comment",
    exit: Exit::Error,
    explanation: "\
Passwords and URLs hold `#` and `;`, so an unquoted value goes to the end of its line, and neither ends it. A blank
before one of them may still mean that a comment was intended: this is advice, and an error with `--strict`.
Advised: `LEVEL=info # or debug`.
Mend it: give the comment its own line, or put the value into quotes if it is meant.",
};

/// A profile names components that exist.
pub const UNKNOWN_COMPONENT: Code = Code {
    id: "ENV010",
    title: "a profile names a component that does not exist",
    exit: Exit::Error,
    explanation: "\
A component is a file `config/environments/components/<name>.env`, and a profile names it by the file's name.
Breaks it: `\"components\": {\"reddis\": \"local\"}`.
Mend it: the message lists the components that there are.",
};

/// A profile names sections that exist.
pub const UNKNOWN_SECTION: Code = Code {
    id: "ENV011",
    title: "a profile names a section that does not exist",
    exit: Exit::Error,
    explanation: "\
A section is read because a profile names it; one that is not there would leave variables unset in silence. All missing
sections are told at once.
Breaks it: `\"components\": {\"redis\": \"production\"}` where `redis.env` has `[prod]`.
Mend it: the message lists the sections that there are.",
};

/// A variable has one component.
pub const PUBLISHED_TWICE: Code = Code {
    id: "ENV012",
    title: "two components publish one variable",
    exit: Exit::Error,
    explanation: "\
Sections of one component override each other in the order of the profile's list. Components have no order, so two that
publish the same variable would leave it to chance which one wins.
Breaks it: `TOKENS_KEY` in the namespace `API`, and `KEY` in the namespace `API_TOKENS`.
Mend it: rename a key or a namespace.",
};

/// A variable has one default.
pub const DEFAULTS_DISAGREE: Code = Code {
    id: "ENV013",
    title: "two service interfaces give one variable different defaults",
    exit: Exit::Error,
    explanation: "\
A default is the lowest source of a variable of the pool, and the services of a machine share one environment.
Breaks it: `LOG_LEVEL` with the default `info` in one interface and `debug` in another.
Mend it: say it once.",
};

/// What is referred to is set.
pub const NOT_SET: Code = Code {
    id: "ENV020",
    title: "a reference to a variable that nothing sets",
    exit: Exit::MissingValue,
    explanation: "\
`${NAME}` is looked for in the process environment, the secrets file, the profile, the selected sections and the
defaults, in this order. It is never left standing in a value, and never becomes an empty text in silence.
Breaks it: `URL=redis://${REDIS_HOST}` where nothing sets `REDIS_HOST`.
Mend it: set it, or write a default: `${REDIS_HOST:-localhost}`.",
};

/// What is insisted on is set and not empty.
pub const INSISTED_ON: Code = Code {
    id: "ENV021",
    title: "a variable that a reference insists on is not set",
    exit: Exit::MissingValue,
    explanation: "\
`${NAME:?message}` needs the variable to be set and not empty, and the message says why. It is left out when the
variable is a secret.
Breaks it: `URL=${HUB_REDIS_URL:?the address of the shared Redis}` where nothing sets `HUB_REDIS_URL`.
Mend it: set it, as the message says.",
};

/// A variable that refers to itself comes from outside.
pub const FROM_OUTSIDE: Code = Code {
    id: "ENV022",
    title: "a variable that must come from outside is not set",
    exit: Exit::MissingValue,
    explanation: "\
A variable whose own value refers to it says: the process environment or the secrets file must set this. If they do,
they win and the line is not looked at.
Breaks it: `API_KEY=${OPENAI_API_KEY}` in the namespace `OPENAI`, where nothing sets `OPENAI_API_KEY`.
Mend it: set it there. With `${OPENAI_API_KEY:-default}` it may be left out.",
};

/// References do not run in circles.
pub const CYCLE: Code = Code {
    id: "ENV023",
    title: "variables refer to each other in a circle",
    exit: Exit::Error,
    explanation: "\
A variable whose value is needed for its own value has none. The message names every variable of the circle and the line
that sets it. A member that the process environment or the secrets file sets breaks the circle.
Breaks it: `HOST=${REDIS_URL}` and `URL=redis://${REDIS_HOST}` in the namespace `REDIS`.
Mend it: give one of them a value of its own.",
};

/// Chains of references are short.
pub const TOO_DEEP: Code = Code {
    id: "ENV024",
    title: "a chain of references is too long",
    exit: Exit::Error,
    explanation: "\
At most 64 variables may refer to one another in a row; nobody can follow more.
Breaks it: `A1=${X_A2}`, `A2=${X_A3}` and so on, 65 times.
Mend it: refer to the end of the chain.",
};

/// A value fits into a process environment.
pub const TOO_LONG: Code = Code {
    id: "ENV025",
    title: "a value is too long for a process environment",
    exit: Exit::Error,
    explanation: "\
Linux starts no process with a variable of 128 KiB or more, name and `=` included (`MAX_ARG_STRLEN`), so no worker could
be started with it.
Breaks it: a model list of a megabyte in a variable.
Mend it: put it into a file, and the file's path into the variable.",
};

/// The process environment is UTF-8.
pub const NOT_UNICODE: Code = Code {
    id: "ENV026",
    title: "a process variable is not UTF-8",
    exit: Exit::Error,
    explanation: "\
Env files, compose files and JSON are UTF-8, so other bytes would be changed on their way.
Breaks it: `OPENAI_BASE_URL=$(printf '\\377')` in the shell that calls us.
Mend it: set it to text, or unset it.",
};

/// Secrets are in the secrets file.
pub const SECRET_IN_OPEN_FILE: Code = Code {
    id: "ENV027",
    title: "a secret is written out in a file that is not for secrets",
    exit: Exit::Error,
    explanation: "\
Component files and profiles are committed, and whoever can read the repository can read them. The value is treated as a
secret all the same; this is advice, and an error with `--strict`.
Advised: `API_KEY=sk-…` in `components/openai.env`.
Mend it: move it to `config/environments/secrets/<name>.env`, which git ignores, and change the key, as it was exposed.",
};

/// A service interface does not contradict itself.
pub const INTERFACE: Code = Code {
    id: "ENV030",
    title: "a service interface contradicts itself",
    exit: Exit::Error,
    explanation: "\
A variable is in one of `required`, `secret`, `optional` and `optional_secret`. Only an optional one can have a default:
a required one would never be missing, and a secret has no place in a file that is committed.
Breaks it: `LOG_LEVEL` in `required` and in `defaults`.
Mend it: decide which it is.",
};

/// Required secrets are set.
pub const MISSING_SECRET: Code = Code {
    id: "ENV040",
    title: "a secret is not set",
    exit: Exit::MissingValue,
    explanation: "\
A worker, service or service interface of this plan requires the secret, and no source sets it. Nothing is written: a
machine that starts without it would fail later, and further away.
Breaks it: `openai:1` without `OPENAI_API_KEY`.
Mend it: copy `config/environments/secrets/example.env` to the secrets file that the profile names, and set it there.",
};

/// Required variables are set.
pub const MISSING_VARIABLE: Code = Code {
    id: "ENV041",
    title: "a variable is not set",
    exit: Exit::MissingValue,
    explanation: "\
A worker, service or service interface of this plan requires the variable, and no source sets it. The message names
everyone who does.
Breaks it: `comfyui-remote:1` without `COMFYUI_REMOTE_URL`.
Mend it: select a component's section that sets it, or set it in the profile's `environment` or the process environment.",
};

/// Required variables are not empty.
pub const EMPTY: Code = Code {
    id: "ENV042",
    title: "a required variable is empty",
    exit: Exit::MissingValue,
    explanation: "\
Set to nothing is not the same as not set: an empty value wins over the sources below it, and the message names the
source that sets it. A required variable needs a value.
Breaks it: `OPENAI_API_KEY=` in the secrets file, or `OPENAI_API_KEY= cargo xtask env-build …` in the shell.
Mend it: give it a value there, or remove it there.",
};

/// A service's variable has one origin.
pub const TWO_ORIGINS: Code = Code {
    id: "ENV043",
    title: "one variable is taken from two",
    exit: Exit::Error,
    explanation: "\
All services of a machine share one environment, so a name in it has one value.
Breaks it: `REDIS_URL` from `REDIS_URL` in one service interface and from `HUB_REDIS_URL` in another.
Mend it: let both take it from the same variable.",
};

/// No source contradicts the plan.
pub const CONTRADICTS_PLAN: Code = Code {
    id: "ENV044",
    title: "a variable contradicts the plan",
    exit: Exit::Error,
    explanation: "\
Some variables say what the plan has decided. A source that says something else was written for another machine, and
silently overruling either side would hide that.
Breaks it: `GPU_COUNT=3` in `machine.env`, while the inventory has 2 GPUs.
Mend it: remove it from the source, or change the inventory that the plan is made from.",
};

/// Every secret has a form that env files can hold.
pub const ONLY_AS_FILE: Code = Code {
    id: "ENV045",
    title: "a secret is not in `.env.secret`",
    exit: Exit::Error,
    explanation: "\
No quoting of the value means the same to every reader of env files (see `DOTENV003`). In containers it travels as a
file, byte for byte; `.env.secret` names it in a comment. This is advice, and an error with `--strict`.
Advised: a secret with an apostrophe and a double quote, or with carriage returns.
Mend it: read it from `/run/secrets/NAME`, or encode it (base64).",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_explained_in_a_few_lines() {
        let source = include_str!("codes.rs");
        assert_eq!(
            source.matches("pub const").count() - 2,
            ALL.len(),
            "two are not codes: `ALL` and this line"
        );
        assert!(ALL.windows(2).all(|it| it[0].id < it[1].id));
        assert!(ALL.iter().all(|it| (3..=8).contains(&it.explanation.lines().count())));
    }
}
