//! Component files: what one component's settings are in each environment, as INI.
//!
//! ```text
//! NAMESPACE=REDIS
//! [local]
//! URL=redis://redis:6379/0
//! [remote]
//! URL=${HUB_REDIS_URL:?the address of the Redis that all machines share}
//! ```
//!
//! | value | read as |
//! |---|---|
//! | `a # b; c="d"` | the rest of the line as it stands, without the blanks at its ends |
//! | `'a ${B} \n'` | what stands between the quotes; nothing in it has a meaning |
//! | `"a\tb \${C}"` | what stands between the quotes, with the escapes `\n \t \" \\ \$` |
//!
//! All but single quotes may hold references, see [`spec::template`]. Comments have lines of their own, which begin with
//! `#` or `;`. A component file is guarded: no message quotes anything of it but keys and section names.

mod fault;
mod parser;

use std::collections::BTreeMap;
use std::fmt;

pub use fault::ComponentFault;
use spec::ids::{ComponentName, EnvKey, SectionName};
use spec::notes::Located;
use spec::source::{Place, SourceText, Span};
use spec::template::Template;

/// A component file that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// The file's name without `.env`.
    pub name: ComponentName,
    /// What its keys are published under: `REDIS` makes `REDIS_URL` of `URL`.
    pub namespace: EnvKey,
    /// What each section sets, in the order of the file.
    pub sections: BTreeMap<SectionName, Vec<Variable>>,
    /// What people should know about the file; none of it stands in the way.
    pub advice: Vec<Located<ComponentFault>>,
}

/// One `KEY=value` of a component file. `Debug` leaves the value out: it may be a secret.
#[derive(Clone, PartialEq)]
pub struct Variable {
    /// The name under which it is published, namespace included.
    pub key: EnvKey,
    /// What it is set to.
    pub value: Template,
    /// The key as written.
    pub place: Place,
    /// The value as written, without its quotes.
    pub value_place: Place,
    /// Whether `value` was parsed from exactly the text at `value_place`.
    as_written: bool,
}

impl Variable {
    /// Where a span of the value's template stands in the file; the whole value when escapes came between.
    pub(crate) fn place_of(&self, span: Span) -> Place {
        if self.as_written { self.value_place.inner(span) } else { self.value_place.clone() }
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variable({} at {})", self.key, self.place)
    }
}

/// Reads a component file; all that is wrong with it at once. The text is treated as guarded, whatever `source` says.
pub fn parse(name: ComponentName, source: &SourceText) -> Result<Component, Vec<Located<ComponentFault>>> {
    parser::read(name, &SourceText::guarded(source.name(), source.text()))
}

#[cfg(test)]
mod tests;
