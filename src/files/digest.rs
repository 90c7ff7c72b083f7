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

/// A digest of what comes piece by piece.
#[derive(Debug, Default)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Numbers, as they stand in a file.
    pub fn numbers(&mut self, numbers: &[f64]) {
        for some in numbers.chunks(4096) {
            let bytes: Vec<u8> = some.iter().flat_map(|x| x.to_le_bytes()).collect();
            self.bytes(&bytes);
        }
    }

    /// As [`digest`] writes it.
    pub fn digest(&self) -> String {
        format!("blake3:{}", &self.0.finalize().to_hex()[..32])
    }
}

/// CRC-32 (IEEE) as eight hexadecimal digits.
pub fn crc32(bytes: &[u8]) -> String {
    let sum = if bytes.len() < SHORT { short(bytes) } else { crc32fast::hash(bytes) };
    format!("{sum:08x}")
}

/// Below this the crate's question what the processor can do costs more than the sum: a tenth of a
/// millisecond in a virtual machine, which a process of one member would pay for a hundred bytes.
const SHORT: usize = 4096;

/// The sum, eight bytes at a time; the reversed polynomial of IEEE 802.3.
fn short(bytes: &[u8]) -> u32 {
    // TABLES[k][b]: what a byte b adds that k more bytes follow
    static TABLES: [[u32; 256]; 8] = {
        let mut tables = [[0; 256]; 8];
        let mut n = 0;
        while n < 256 {
            let (mut sum, mut bit) = (n as u32, 0);
            while bit < 8 {
                sum = (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
                bit += 1;
            }
            tables[0][n] = sum;
            n += 1;
        }
        let mut k = 1;
        while k < 8 {
            let mut n = 0;
            while n < 256 {
                let before = tables[k - 1][n];
                tables[k][n] = tables[0][(before & 255) as usize] ^ (before >> 8);
                n += 1;
            }
            k += 1;
        }
        tables
    };
    let (eights, rest) = bytes.as_chunks::<8>();
    let sum = eights.iter().fold(!0, |sum: u32, eight| {
        let word = u64::from_le_bytes(*eight) ^ u64::from(sum);
        (0..8).fold(0, |sum, k| sum ^ TABLES[7 - k][(word >> (8 * k)) as usize & 255])
    });
    !rest.iter().fold(sum, |sum, byte| TABLES[0][((sum ^ u32::from(*byte)) & 255) as usize] ^ (sum >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_sums_are_those_of_the_crate() {
        assert_eq!(crc32(b"123456789"), "cbf43926"); // the check value of the standard
        let bytes: Vec<u8> = (0..SHORT as u32).map(|k| ((k * k) >> 3) as u8).collect();
        for n in [0, 1, 2, 100, 4095, 4096] {
            assert_eq!(short(&bytes[..n]), crc32fast::hash(&bytes[..n]));
        }
    }
}
