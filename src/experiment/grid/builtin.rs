//! Models of the toolkit that can be a stage: a name becomes a cell.

use std::sync::Arc;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::cell::Cell;

/// Names that `builtin` of a stage may have.
pub(super) const NAMES: &[&str] = &[];

/// A cell of a model, from its options merged with those of its labels. The caller finishes the section.
pub(super) fn cell(name: &str, options: &Section<'_>) -> Result<Arc<dyn Cell>, Marked> {
    Err(options.wrong("", format!("there is no model `{name}` for a stage"), "any program can be one"))
}
