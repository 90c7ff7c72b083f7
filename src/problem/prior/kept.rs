//! The random fields of a prior in a record: their functions are worked out once per run.
//!
//! The functions belong to the meaning of a run's ensembles (another library may turn a sign), so that the record is
//! kept with the run and found again by what each field asks for. Belongs here: making and opening that record.
//! Not here: where it lies.

use std::path::Path;
use std::sync::Arc;

use super::field::Field;
use super::{Prior, Spread};
use crate::explain::Marked;
use crate::files::human::{Document, Names};
use crate::files::{FileError, load_state, save_state};

/// Kind and version of the record.
const KIND: (&str, u32) = ("ekp.fields", 1);

impl Prior {
    /// Its random fields as bytes; none where it has none.
    ///
    /// # Errors
    /// They cannot be encoded.
    pub fn fields(&self) -> Result<Option<Vec<u8>>, FileError> {
        let fields: Vec<&Field> = self
            .blocks
            .iter()
            .filter_map(|block| match &block.spread {
                Spread::Field(field) => Some(field.as_ref()),
                _ => None,
            })
            .collect();
        if fields.is_empty() { Ok(None) } else { save_state(KIND.0, KIND.1, &fields).map(Some) }
    }

    /// As [`Prior::read`], with the functions of fields out of the record at `path` where it has them.
    ///
    /// # Errors
    /// The place in the file, down to the number in an expression.
    pub fn read_with(document: &Document, names: Option<&Names>, path: &Path) -> Result<Self, Marked> {
        let kept: Vec<Field> = load_state(path, KIND.0, KIND.1).unwrap_or_default();
        Self::read_kept(document, names, kept.into_iter().map(Arc::new).collect())
    }
}
