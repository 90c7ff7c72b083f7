//! Reports: reading runs that are over, under way or half-made, and telling people about them.
//!
//! Belongs here: status, tables of times, exports, printing any record. Not here: writing anything that a
//! step reads, and asking a scheduler (what it says comes in as plain data).

pub mod advise;
pub mod cat;
pub mod climacalibrate;
mod error;
pub mod export;
pub mod runs;
pub mod status;
pub mod table;
pub mod timings;

pub use error::ReportError;
