//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs, clippy::unwrap_used)]

mod floors;
mod kills;
mod launchers;
mod slurm;
mod support;
