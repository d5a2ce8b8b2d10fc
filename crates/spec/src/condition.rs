//! The condition: when a profile's service is wanted, said in a closed language that is never evaluated as code.
//!
//! ```text
//! components.redis == 'local' && !(components.worker includes 'gpu' || components.api != 'production')
//! ```
//!
//! It asks which sections a profile selects of each component. `==` means exactly this one section, `includes` that it
//! is among them. Every condition ends, has no effect, and has a value or says what is wrong with it.

pub mod codes;
mod fault;
mod lexer;
mod parser;

use std::collections::BTreeMap;

pub use fault::ConditionFault;

use crate::ids::{ComponentName, SectionName};
use crate::notes::{Located, did_you_mean};
use crate::source::{Place, SourceText};

/// How deep parentheses and `!` may be nested.
pub const MAX_DEPTH: usize = 64;

/// A condition that is well-formed. Whether its components exist is known when it is evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    root: Node,
}

/// A condition's tree. Rows of `&&` and of `||` are flat, so that only [`MAX_DEPTH`] bounds its depth.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Constant(bool),
    Compare { component: ComponentName, place: Place, operator: Operator, section: SectionName },
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Is,
    IsNot,
    Includes,
}

impl Condition {
    /// Reads a source that is a condition and nothing else; all faults at once.
    pub fn parse(source: &SourceText) -> Result<Self, Vec<Located<ConditionFault>>> {
        Self::parse_at(&source.at(0..source.text().len()))
    }

    /// Reads the condition that `place` spans: a string within a profile, say.
    pub fn parse_at(place: &Place) -> Result<Self, Vec<Located<ConditionFault>>> {
        parser::parse(place).map(|root| Self { root })
    }

    /// Its value for a profile that selects these sections of these components. Both sides of `&&` and `||` are always
    /// looked at, so that an unknown component is told whatever the other side says.
    pub fn evaluate(
        &self,
        components: &BTreeMap<ComponentName, Vec<SectionName>>,
    ) -> Result<bool, Vec<Located<ConditionFault>>> {
        let mut faults = Vec::new();
        let value = self.root.evaluate(components, &mut faults);
        if faults.is_empty() { Ok(value) } else { Err(faults) }
    }
}

impl Node {
    fn evaluate(
        &self,
        components: &BTreeMap<ComponentName, Vec<SectionName>>,
        faults: &mut Vec<Located<ConditionFault>>,
    ) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Not(inner) => !inner.evaluate(components, faults),
            // Counted and not `all` or `any`, which stop early: the other side may have faults to tell.
            Self::All(nodes) => {
                nodes.iter().filter(|it| it.evaluate(components, faults)).count() == nodes.len()
            }
            Self::Any(nodes) => nodes.iter().filter(|it| it.evaluate(components, faults)).count() > 0,
            Self::Compare { component, place, operator, section } => {
                let Some(sections) = components.get(component) else {
                    let known = components.keys().map(ComponentName::as_str);
                    let fault = ConditionFault::UnknownComponent {
                        found: place.source.quote(component.as_str()),
                        meant: did_you_mean(component.as_str(), known.clone()).map(str::to_owned),
                        known: known.collect::<Vec<_>>().join(", "),
                    };
                    faults.push(Located::at(place.clone(), fault));
                    return false;
                };
                match operator {
                    Operator::Is => sections[..] == [section.clone()],
                    Operator::IsNot => sections[..] != [section.clone()],
                    Operator::Includes => sections.contains(section),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
