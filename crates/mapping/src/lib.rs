//! The service mapping: the one document that says what each worker and service needs. [`load`] checks it and lowers
//! it into a [`Catalog`], once; [`resolve`] looks a roster's entries up in that, and chooses the build stage.
//!
//! Pure: the document comes in as text, variables through a function.
//!
//! ```
//! use spec::{grammar, source::SourceText};
//!
//! let mapping = SourceText::open("service-mapping.json", include_str!("../../../config/service-mapping.json"));
//! let catalog = mapping::load(&mapping).unwrap();
//! let roster = grammar::parse(&SourceText::open("--spec", "comfyui:2,openai:4")).unwrap();
//! let resolved = mapping::resolve(roster.entries(), &catalog, &|_| None, None).unwrap();
//! assert_eq!(resolved.workload.stage.name.as_str(), "comfyui");
//! ```

mod check;
pub mod codes;
mod document;
mod environment;
mod fault;
mod found;
mod install;
mod lower;
mod ports;
mod resolve;
mod stage;
mod volumes;

pub use fault::{Flaw, MappingFault};
pub use resolve::{ResolveAdvice, ResolveFault, Resolved, Unresolved, Want, resolve};
pub use stage::stage_reasons;

use spec::model::Catalog;
use spec::notes::{Finding, errors};
use spec::source::SourceText;

use document::MappingDocument;
use found::Found;

/// Reads, checks and lowers the mapping. All findings at once: those of its form first, and when it has none, those of
/// its content, each in the order of the text.
pub fn load(source: &SourceText) -> Result<Catalog, Vec<Finding>> {
    let document = spec::document::read::<MappingDocument>(source).map_err(errors)?;
    let mut found = Found::new(source, &document.index);
    let catalog = lower::catalog(&document.value, &mut found);
    check::document(&document.value, &mut found);
    match (catalog, found.into_faults()) {
        (Some(catalog), faults) if faults.is_empty() => Ok(catalog),
        (_, faults) => Err(errors(faults)),
    }
}

/// The JSON Schema of the mapping, for editors and for the repository.
pub fn schema() -> serde_json::Value {
    spec::document::schema::<MappingDocument>("Roster service mapping")
}

#[cfg(test)]
mod tests;
