//! State files: one line of text, then bincode.
//!
//! The line says kind, version, length and blake3 of what follows, so that a person sees what it is
//! and a reader sees whether it is whole. Belongs here: the only use of bincode in the house.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files::{FileError, digest};

/// Larger payloads are a corrupt length, not a state.
const LIMIT: usize = 8 << 30;

fn config() -> impl bincode::config::Config {
    bincode::config::legacy().with_limit::<LIMIT>()
}

/// The bytes of a state file.
///
/// # Errors
/// The value cannot be encoded (a map key that is no string, say).
pub fn save_state<T: Serialize>(kind: &str, version: u32, value: &T) -> Result<Vec<u8>, FileError> {
    let body = bincode::serde::encode_to_vec(value, config()).map_err(|e| FileError::Invalid {
        path: kind.into(),
        kind: "state",
        why: e.to_string(),
    })?;
    let mut bytes = format!("{kind} {version} {} {}\n", body.len(), digest(&body)).into_bytes();
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Kind and version of a state file, its payload checked.
///
/// # Errors
/// Not a state file, cut short, changed.
pub fn peek_state<'a>(path: &Path, bytes: &'a [u8]) -> Result<(String, u32, &'a [u8]), FileError> {
    let bad = |why: &str| FileError::Invalid { path: path.to_owned(), kind: "state file", why: why.into() };
    let end = bytes.iter().take(200).position(|&b| b == b'\n').ok_or_else(|| bad("it has no first line"))?;
    let line = std::str::from_utf8(&bytes[..end]).map_err(|_| bad("its first line is not text"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let [kind, version, length, hash] = words[..] else { return Err(bad("its first line has other words")) };
    let body = &bytes[end + 1..];
    if length.parse() != Ok(body.len()) {
        return Err(bad(&format!("it should hold {length} bytes and holds {}", body.len())));
    }
    if digest(body) != hash {
        return Err(bad("its bytes have changed since it was written"));
    }
    let version = version.parse().map_err(|_| bad("its version is no number"))?;
    Ok((kind.to_owned(), version, body))
}

/// Read and check a state file.
///
/// # Errors
/// Missing, of another kind or version, cut short, changed.
pub fn load_state<T: DeserializeOwned>(
    path: &Path,
    kind: &'static str,
    version: u32,
) -> Result<T, FileError> {
    parse_state(path, &std::fs::read(path).map_err(FileError::io("read", path))?, kind, version)
}

/// Check the bytes of a state file; `path` is for what is said of them.
///
/// # Errors
/// Of another kind or version, cut short, changed.
pub fn parse_state<T: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
    kind: &'static str,
    version: u32,
) -> Result<T, FileError> {
    let bad = |why: String| FileError::Invalid { path: path.to_owned(), kind: "state file", why };
    let (found, found_version, body) = peek_state(path, bytes)?;
    if found != kind {
        return Err(bad(format!("it holds `{found}`, not `{kind}`")));
    }
    if found_version != version {
        let (found, known) = (found_version, version);
        return Err(FileError::Version { path: path.to_owned(), schema: kind, found, known });
    }
    let (value, used) = bincode::serde::decode_from_slice(body, config()).map_err(|e| bad(e.to_string()))?;
    if used != body.len() {
        return Err(bad("bytes are left over at its end".into()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_damage_is_noticed() {
        let dir = std::env::temp_dir().join(format!("ekp-envelope-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("state.bin");
        let good = save_state("ekp.test", 1, &vec![1.0f64, 2.0]).unwrap();
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            load_state::<Vec<f64>>(&path, "ekp.test", 1)
        };
        assert_eq!(read(&good).unwrap(), [1.0, 2.0]);
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            assert!(read(&flipped).is_err(), "byte {at}");
            assert!(read(&good[..at]).is_err(), "cut at {at}");
        }
        let mut grown = good.clone();
        grown.push(0);
        assert!(read(&grown).is_err());
        assert!(load_state::<Vec<f64>>(&path, "ekp.other", 1).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
