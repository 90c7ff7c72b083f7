//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs, clippy::unwrap_used)]

mod cancel;
mod cat;
mod docs;
mod examples;
mod export;
mod floors;
mod kills;
mod launchers;
mod protocol;
mod slurm;
mod statistics;
mod status;
mod support;
mod timings;
