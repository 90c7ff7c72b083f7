//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs)]

mod examples;
mod floors;
mod launchers;
mod slurm;
mod statistics;
mod support;
