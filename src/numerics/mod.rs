//! Arrays and random streams: the only room that names the linear-algebra crate.
//!
//! Belongs here: matrices, factorisations, square roots, addressed random numbers.
//! Not here: words of the domain (member, prior, model), files.

pub mod banded;
pub mod bessel;
pub mod chains;
pub mod columns;
pub mod complex;
#[cfg(test)]
pub(crate) mod fixture;
pub mod gamma;
mod gram;
pub mod lanczos;
pub mod lanes;
pub mod linalg;
mod mat;
mod moments;
mod normals;
mod pages;
pub mod panels;
mod products;
pub mod quantiles;
mod reweight;
pub mod simd;
pub mod special;
mod streams;
mod triangle;
pub mod tridiagonal;

pub use linalg::LinalgError;
pub use mat::Mat;
pub use normals::standard_normals;
pub use products::{CentredProducts, Part, Products};
pub use streams::{Address, Purpose, Stream, Streams};
pub use triangle::{Cholesky, Triangle};
