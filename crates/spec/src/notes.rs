//! What a crate has to say to people: findings with a code, a place, a cause and a fix.
//!
//! Crates return typed errors; each implements [`Fault`], which gives it a [`Code`] and a fix. [`Finding`] is the
//! erased form that the edge (`planner`, `machine`) prints. Prose about a code is written once, beside the code.

use std::fmt;

use crate::source::Place;

/// The process exit code that a finding leads to. One table for the whole of Roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to change.
    Ok = 0,
    /// An input is wrong, or something could not be done.
    Error = 1,
    /// Changes or drift were found (`diff`, `--check`).
    Changes = 2,
    /// The inputs are right but do not fit this machine.
    DoesNotFit = 3,
    /// A secret or variable is missing.
    MissingValue = 4,
    /// Something that runs is unhealthy.
    Unhealthy = 5,
    /// The command line itself is wrong.
    Usage = 64,
}

impl Exit {
    /// Every exit code with what it means, for `--help` and the docs.
    pub const TABLE: [(Exit, &'static str); 7] = [
        (Exit::Ok, "done, or nothing to change"),
        (Exit::Error, "an input is wrong, or something could not be done"),
        (Exit::Changes, "changes or drift found"),
        (Exit::DoesNotFit, "the roster does not fit this machine"),
        (Exit::MissingValue, "a secret or variable is missing"),
        (Exit::Unhealthy, "something that runs is unhealthy"),
        (Exit::Usage, "the command line is wrong"),
    ];

    /// The number given to the shell.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// A rule that an input can break, or an advice that can be given. Crates list theirs in a `codes` module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// `SPEC003`: the area in capitals and three digits. Never reused for another rule.
    pub id: &'static str,
    /// One line: the rule in the words of a headline.
    pub title: &'static str,
    /// The exit code when this is an error.
    pub exit: Exit,
    /// What `roster explain SPEC003` prints: why the rule is there, an example that breaks it, how to mend it.
    pub explanation: &'static str,
}

/// A typed error or advice that knows its code and what to do about it. Its `Display` is the message: lower case, no
/// full stop, never a secret, never the text of a guarded source.
pub trait Fault: fmt::Display {
    /// The rule.
    fn code(&self) -> Code;
    /// What to do, as an imperative sentence.
    fn fix(&self) -> String;
    /// A few words under the marked span; empty for none.
    fn label(&self) -> String {
        String::new()
    }
}

/// A fault and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Located<F> {
    /// What is wrong.
    pub fault: F,
    /// Where; `None` when it is no one place's fault (the machine has no GPU).
    pub place: Option<Place>,
}

impl<F> Located<F> {
    /// A fault at a place.
    pub fn at(place: Place, fault: F) -> Self {
        Self { fault, place: Some(place) }
    }

    /// A fault of no one place.
    pub fn nowhere(fault: F) -> Self {
        Self { fault, place: None }
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is done until it is mended.
    Error,
    /// The plan holds; people should know. `--strict` makes it an error.
    Advice,
}

/// One thing to tell: the erased form of any [`Located`] fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The rule.
    pub code: Code,
    /// Error or advice.
    pub severity: Severity,
    /// What is wrong, with the names and numbers of this case.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// A few words under the marked span; empty for none.
    pub label: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    /// An error.
    pub fn error<F: Fault>(located: Located<F>) -> Self {
        Self::of(Severity::Error, located)
    }

    /// An advice.
    pub fn advice<F: Fault>(located: Located<F>) -> Self {
        Self::of(Severity::Advice, located)
    }

    fn of<F: Fault>(severity: Severity, Located { fault, place }: Located<F>) -> Self {
        Self {
            code: fault.code(),
            severity,
            message: fault.to_string(),
            place,
            label: fault.label(),
            fix: fault.fix(),
        }
    }
}

/// Erases a list of located faults into errors.
pub fn errors<F: Fault>(faults: impl IntoIterator<Item = Located<F>>) -> Vec<Finding> {
    faults.into_iter().map(Finding::error).collect()
}

/// The candidate that `wrong` most likely meant: Damerau-Levenshtein distance of at most 2 (at most 1 for names of
/// three characters or fewer), or the only candidate that starts with `wrong`.
pub fn did_you_mean<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = if wrong.chars().count() <= 3 { 1 } else { 2 };
    let lowered = wrong.to_lowercase();
    let mut begins = Vec::new();
    let mut nearest: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = strsim::damerau_levenshtein(&lowered, &candidate.to_lowercase());
        if distance <= allowed && nearest.is_none_or(|(best, name)| (distance, candidate) < (best, name)) {
            nearest = Some((distance, candidate));
        }
        if !wrong.is_empty() && candidate.starts_with(&lowered) {
            begins.push(candidate);
        }
    }
    nearest.map(|(_, name)| name).or(if let [only] = begins[..] { Some(only) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_name_that_was_meant() {
        let names = ["comfyui", "comfyui-remote", "openai", "a1111"];
        assert_eq!(did_you_mean("comfyiu", names), Some("comfyui"));
        assert_eq!(did_you_mean("OpenAI", names), Some("openai"));
        assert_eq!(did_you_mean("open", names), Some("openai"));
        assert_eq!(did_you_mean("replicate", names), None);
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 64]);
    }
}
