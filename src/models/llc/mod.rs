//! Local learning coefficients: targets (networks trained to a minimum, closed forms) and samplers around them.
//!
//! `llc-target` draws data, trains a student and leaves w*, data and L_n(w*); `llc-sample` draws from
//! exp(−nβ L_n(w) − γ/2‖w − w*‖²) and gives λ̂ = nβ (mean of L_n(w) − L_n(w*)). Both are cells of a grid (`cell`): a
//! sampler stands after its target. Ids are made from content (`ids`), random numbers have addresses, and a run that
//! is stopped goes on from its state to the same bytes.
//!
//! | file | what |
//! |---|---|
//! | `options`, `target`, `data`, `network`, `train` | a target, from its options to its files |
//! | `loss`, `gradient`, `objective`, `density` | L_n, its gradient by hand, the posterior |
//! | `hmc` and `warmup`, `mclmc`, `sgld` and `mala`, `vi` | samplers, each a `method` |
//! | `driver`, `sample`, `log` | chains with threads, stops and resumes; a whole run; what it says |
//! | `analysis`, `columns` | diagnostics; the row of a cell |
//! | `forecast` | what a cell will cost |
//! | `known` | coefficients in closed form |
//!
//! # Source
//! Watanabe (2013), JMLR 14, 867–897; Lau et al. (2023), arXiv 2308.12108; Hitchcock & Hoogland (2025), arXiv 2507.21449.
// Loops by index over several slices of one length are what the compiler turns into lanes.
#![allow(clippy::needless_range_loop)]

pub mod analysis;
pub mod cell;
pub mod columns;
pub mod data;
pub mod density;
pub mod driver;
mod forecast;
pub mod gradient;
pub mod hmc;
pub mod ids;
pub mod known;
pub mod log;
pub mod loss;
mod mala;
pub mod mclmc;
pub mod method;
pub mod network;
pub mod objective;
pub mod options;
pub mod sample;
pub mod sgld;
pub mod target;
#[cfg(test)]
mod tests;
pub mod train;
pub mod vi;
pub mod warmup;
