//! Models of the toolkit that can be a stage: a name becomes a cell.

use std::sync::Arc;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::cell::Cell;
#[cfg(not(test))]
use crate::models::llc::cell as llc;
use crate::models::llc::cell::{SampleCell, TargetCell};
use crate::models::llc::options::TargetOptions;

/// Names that `builtin` of a stage may have.
#[cfg(not(test))]
pub(super) const NAMES: &[&str] = &llc::NAMES;
/// The same, and one that tests alone have.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &["llc-target", "llc-sample", "echo"];

/// A cell of a model, from its options merged with those of its labels. The caller finishes the section.
pub(super) fn cell(name: &str, options: &Section<'_>) -> Result<Arc<dyn Cell>, Marked> {
    match name {
        "llc-target" => Ok(Arc::new(TargetCell { options: TargetOptions::read(options)? })),
        "llc-sample" => Ok(Arc::new(SampleCell::read(options)?)),
        #[cfg(test)]
        "echo" => echo::cell(options),
        _ => Err(options.wrong(
            "",
            format!("there is no model `{name}` for a stage"),
            "any program can be one",
        )),
    }
}

/// A model for tests: it tells its options.
#[cfg(test)]
mod echo {
    use super::*;
    use crate::files::digest;
    use crate::models::cell::{CellPlace, Row, Scalar, TableShape};
    use crate::models::{Cause, ModelError};

    struct Echo(Vec<(String, i64)>);

    pub(super) fn cell(options: &Section<'_>) -> Result<Arc<dyn Cell>, Marked> {
        let keys: Vec<String> = options.keys().map(str::to_owned).collect();
        let values = keys.into_iter().map(|key| Ok((key.clone(), options.need::<i64>(&key)?)));
        Ok(Arc::new(Echo(values.collect::<Result<_, Marked>>()?)))
    }

    impl Cell for Echo {
        fn id(&self, stage: &str, upstream: &[String]) -> Result<String, ModelError> {
            Ok(format!("{stage}_{}", &digest(format!("{:?} {upstream:?}", self.0).as_bytes())[7..19]))
        }
        fn run(&self, _: &CellPlace) -> Result<Row, ModelError> {
            let of = |name: &str| self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
            if of("fails_at").is_some_and(|at| of("seed") == Some(at)) {
                return Err(ModelError::new(Cause::Exit, "told to fail"));
            }
            let facts = self.0.iter().map(|(key, value)| (key.clone(), Scalar::Integer(*value)));
            Ok(Row { facts: facts.collect(), usage: None })
        }
        fn table(&self) -> Option<&'static TableShape> {
            Some(&crate::models::llc_runs::TABLE)
        }
    }
}
