//! Reports: reading runs that are over, under way or half-made, and telling people about them.
//!
//! Belongs here: status, tables of times, exports, figures and pages, printing any record. Not here: writing anything that a
//! step reads, and asking a scheduler (what it says comes in as plain data).

pub mod accounting;
pub mod advise;
pub mod batch;
pub mod cat;
pub mod cells;
pub mod climacalibrate;
pub mod draw;
mod error;
pub mod export;
pub mod figures;
pub mod gallery;
pub mod grid;
pub mod html;
pub mod metrics;
pub mod place;
mod posterior;
pub mod runs;
pub mod scaling;
pub mod status;
pub mod story;
pub mod table;
pub mod timings;
pub mod write;

pub use error::ReportError;
