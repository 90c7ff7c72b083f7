//! The tests that speak through the tools: one module per tool or promise.
#![allow(missing_docs, clippy::unwrap_used)]

mod bad_input;
mod floors;
mod init;
mod launchers;
mod malformed;
mod support;
