//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs)]

mod cancel;
mod cat;
mod export;
mod floors;
mod launchers;
mod slurm;
mod status;
mod support;
mod timings;
