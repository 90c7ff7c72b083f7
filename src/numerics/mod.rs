//! Arrays and random streams: the only room that names the linear-algebra crate.
//!
//! Belongs here: matrices, factorisations, square roots, addressed random numbers.
//! Not here: words of the domain (member, prior, model), files.

mod mat;
mod streams;

pub use mat::Mat;
pub use streams::{Purpose, Stream, Streams};
