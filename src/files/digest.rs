//! Digests: blake3 for identity, CRC-32 for accidents.

use std::path::Path;

use crate::files::FileError;

/// `blake3:` and the first 32 hexadecimal digits: enough to tell files apart, short enough to read.
pub fn digest(bytes: &[u8]) -> String {
    let hex = blake3::hash(bytes).to_hex();
    format!("blake3:{}", &hex[..32])
}

/// The digest of a file.
///
/// # Errors
/// It cannot be read.
pub fn digest_file(path: &Path) -> Result<String, FileError> {
    Ok(digest(&std::fs::read(path).map_err(FileError::io("read", path))?))
}

/// CRC-32 (IEEE) as eight hexadecimal digits.
pub fn crc32(bytes: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(bytes))
}
