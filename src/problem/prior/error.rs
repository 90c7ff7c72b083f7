//! What can be wrong with parameters once their prior was read.

use crate::explain::{Exit, Explain};

/// Why numbers and a prior do not go together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PriorError {
    /// A physical value with no unconstrained counterpart
    #[error("`{parameter}` is {value:?}, which is not between {lower:?} and {upper:?}")]
    Outside {
        /// Row name
        parameter: String,
        /// Physical value found
        value: f64,
        /// Lower bound, itself not allowed
        lower: f64,
        /// Upper bound, itself not allowed
        upper: f64,
    },
    /// A law without mean or covariance
    #[error("the prior of `{parameter}`, {distribution}, has no finite mean and covariance")]
    NoCovariance {
        /// Row name
        parameter: String,
        /// The law
        distribution: String,
    },
    /// A physical value that no model can use
    #[error("`{parameter}` is {value:?}")]
    NotFinite {
        /// Row name
        parameter: String,
        /// Physical value found
        value: f64,
    },
    /// Another number of values than rows
    #[error("{found} parameter values where the prior has {expected}")]
    Length {
        /// Found
        found: usize,
        /// Expected
        expected: usize,
    },
    /// A member's file that is no TOML
    #[error("the parameters cannot be read: {reason}")]
    Unreadable {
        /// The parser's words, with the line
        reason: String,
    },
    /// A member's file without a parameter
    #[error("the parameters lack `value` in `[{parameter}]`")]
    Absent {
        /// Calibrated name
        parameter: String,
    },
    /// A member's file with a value of another kind or length
    #[error("`value` in `[{parameter}]` is {found}, needed is {expected}")]
    Value {
        /// Calibrated name
        parameter: String,
        /// Found, in words
        found: String,
        /// Expected, in words
        expected: String,
    },
}

impl Explain for PriorError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Outside { .. } => "a value on a bound has no unconstrained counterpart: move it inside".into(),
            Self::NoCovariance { .. } => {
                "this method starts from mean and covariance: choose a prior with lighter tails, or a method that starts from draws alone".into()
            }
            Self::NotFinite { .. } => "the ensemble has left the range of doubles: try a narrower prior or a bound".into(),
            Self::Length { .. } => "were they made with another prior, or other `names`?".into(),
            Self::Unreadable { .. } | Self::Absent { .. } | Self::Value { .. } => {
                "each calibrated parameter has a table with `value`, a number or an array of numbers".into()
            }
        })
    }
    fn exit(&self) -> Exit {
        match self {
            Self::NoCovariance { .. } => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}
