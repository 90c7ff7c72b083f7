//! Files as the protocol: publish, load, records, digests, leases, and every file name.
//!
//! Belongs here: how bytes get on a shared disk whole or not at all, and how they are checked when read.
//! Not here: what the numbers mean.

pub mod human;
pub mod json;
#[cfg(feature = "netcdf")]
pub mod netcdf;
pub mod npy;
pub mod parquet;

mod batch;
mod chunk;
mod column;
mod data;
mod digest;
pub(crate) mod digits;
mod envelope;
mod error;
pub(crate) mod floats;
mod layout;
mod lease;
mod members;
mod outcome;
mod publish;
mod raw;
mod record;
pub mod rows;

pub use batch::{Asked, BatchRecord};
pub use chunk::{Check, Chunk};
pub use column::Column;
pub use data::{ARRAY, Data, Stored, data_beside, data_text, parse_data, read_data};
pub use digest::{Hasher, crc32, digest, digest_file};
pub use envelope::{load_state, parse_state, peek_state, save_state};
pub use error::FileError;
pub use layout::{Identity, Iteration, Member, RunDir, run_id};
pub use lease::{CLAIM, Claim, Lease, claim, next_try, server_now, write_claim};
pub use members::{Members, MembersError};
pub use outcome::{Defect, Failed, Found};
pub use publish::{
    Draft, fresh_folder, publish, publish_durable, publish_new, publish_new_durable, sync_folder,
    whole_folder,
};
pub use record::{Record, TomlText, key, load_record, parse_record, quoted};
