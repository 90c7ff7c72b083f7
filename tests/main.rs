//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs, clippy::unwrap_used)]

mod bad_input;
mod cancel;
mod cat;
mod damage;
mod docs;
mod examples;
mod export;
mod failures;
mod floors;
mod init;
mod kills;
mod launchers;
mod limits;
mod malformed;
mod metadata;
mod packs;
mod protocol;
mod races;
mod signals;
mod slurm;
mod statistics;
mod status;
mod storm;
mod support;
mod timings;
