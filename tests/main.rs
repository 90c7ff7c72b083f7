//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs, clippy::unwrap_used)]

mod damage;
mod docs;
mod examples;
mod failures;
mod floors;
mod kills;
mod launchers;
mod limits;
mod metadata;
mod packs;
mod protocol;
mod races;
mod signals;
mod slurm;
mod statistics;
mod storm;
mod support;
