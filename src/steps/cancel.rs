//! The stop mark: `cancel.toml`. Every step looks for it before it begins anything.

use crate::files::{TomlText, publish_durable};
use crate::steps::{Run, StepError};

/// Set the mark; it may be there already.
///
/// # Errors
/// The disk.
pub fn mark(run: &Run) -> Result<(), StepError> {
    let text = TomlText::comments(
        "ekp cancel: the run is not to go on.\nSubmitting or launching it again removes this file and goes on.",
    )
    .text("schema", "ekp.cancel")
    .number("version", 1)
    .finish();
    Ok(publish_durable(&run.dir.cancel(), text.as_bytes())?)
}
