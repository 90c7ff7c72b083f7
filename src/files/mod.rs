//! Files as the protocol: publish, load, records, digests, leases, and every file name.
//!
//! Belongs here: how bytes get on a shared disk whole or not at all, and how they are checked when read.
//! Not here: what the numbers mean.

pub mod human;
pub mod npy;
