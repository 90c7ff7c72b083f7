//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs)]

mod docs;
mod floors;
mod launchers;
mod protocol;
mod slurm;
mod support;
