//! This machine: starting programs, and what the machine is and allows.
//!
//! Belongs here: a program with its group, limits and end; cores, memory, signals, disks, scheduler.
//! Not here: what is started, and why.

pub mod cores;
pub mod disk;
pub mod folder;
pub mod gpu;
pub mod host;
pub mod limits;
pub mod locks;
pub mod memory;
pub mod platform;
pub mod probe;
pub mod process;
pub mod signals;
#[cfg(test)]
pub(crate) mod snprintf;
pub mod tree;
pub mod usage;

pub use cores::Cores;
pub use host::host;
pub use memory::Memory;
pub use usage::{own_peak_rss_mb, thread_cpu_s};
