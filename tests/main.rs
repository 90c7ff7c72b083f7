//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs, clippy::unwrap_used)]

mod docs;
mod examples;
mod floors;
mod kills;
mod launchers;
mod protocol;
mod slurm;
mod statistics;
mod support;
