//! Arrays of rows too many for memory: appended while their digest is made, read piece by piece.
//!
//! Belongs here: the npy file as a list of rows. Not here: what a row means, which record vouches for it.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::files::{Draft, FileError, Hasher, npy};

/// Bytes that are gathered before they are written, and read at once.
const PIECE: usize = 1 << 18;
/// Bytes of the head.
const HEAD: usize = 128;

/// An array that is being written.
#[derive(Debug)]
pub struct Writer {
    draft: Draft,
    path: PathBuf,
    hasher: Hasher,
    bytes: Vec<u8>,
    columns: usize,
    rows: usize,
    /// Promised at the beginning
    expected: usize,
}

impl Writer {
    /// Begin an array of `shape`, whose last length is that of a row; earlier ones multiply to the number of rows.
    ///
    /// # Errors
    /// The disk.
    pub fn new(path: &Path, shape: &[usize]) -> Result<Self, FileError> {
        let (&columns, outer) = shape.split_last().expect("an array of rows has at least one length");
        let (draft, hasher) = (Draft::new(path)?, Hasher::default());
        let (path, bytes) = (path.to_owned(), npy::begin(shape, HEAD));
        Ok(Self { draft, path, hasher, bytes, columns, rows: 0, expected: outer.iter().product() })
    }

    /// Append whole rows.
    ///
    /// # Errors
    /// The disk.
    pub fn append(&mut self, numbers: &[f64]) -> Result<(), FileError> {
        for some in numbers.chunks(PIECE / 8) {
            npy::append(&mut self.bytes, some);
            if self.bytes.len() >= PIECE {
                self.flush()?;
            }
        }
        self.rows += numbers.len() / self.columns.max(1);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.hasher.bytes(&self.bytes);
        self.draft.file().write_all(&self.bytes).map_err(FileError::io("write", &self.path))?;
        self.bytes.clear();
        Ok(())
    }

    /// Show the array; its digest and number of rows.
    ///
    /// # Errors
    /// The disk.
    pub fn show(mut self, durable: bool) -> Result<(String, usize), FileError> {
        self.flush()?;
        assert_eq!(self.expected, self.rows, "an array fills its shape");
        let digest = self.hasher.digest();
        self.draft.show(durable)?;
        Ok((digest, self.rows))
    }
}

/// An array that is read piece by piece.
#[derive(Debug)]
pub struct Reader {
    file: File,
    path: PathBuf,
    /// Bytes in front of the data
    head: u64,
    /// Rows
    pub rows: usize,
    /// Numbers of each
    pub columns: usize,
}

impl Reader {
    /// Open an array of doubles, row by row.
    ///
    /// # Errors
    /// It cannot be read, is another kind of array, or is cut short.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let io = FileError::io("read", path);
        let invalid = |why: String| FileError::Invalid { path: path.to_owned(), kind: "array of rows", why };
        let mut file = File::open(path).map_err(io)?;
        let head = npy::head(&mut file).map_err(FileError::io("read", path))?;
        let (head, bytes) = head.map_err(|e| invalid(e.to_string()))?;
        let (rows, columns) =
            head.rows().ok_or_else(|| invalid("it holds no rows of little-endian doubles".into()))?;
        let head = bytes.len() as u64;
        let found = file.seek(SeekFrom::End(0)).map_err(FileError::io("read", path))?;
        let expected = (rows as u128 * columns as u128 * 8) + u128::from(head);
        if u128::from(found) != expected {
            return Err(invalid(format!("it has {found} bytes, its shape asks for {expected}")));
        }
        Ok(Self { file, path: path.to_owned(), head, rows, columns })
    }

    /// Some columns of some rows, row by row, in place of what `out` holds.
    ///
    /// # Errors
    /// The disk.
    pub fn read(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        out: &mut Vec<f64>,
    ) -> Result<(), FileError> {
        let width = columns.len();
        // Nothing needs to be cleared that is overwritten.
        out.resize(rows.len() * width, 0.0);
        if out.is_empty() {
            return Ok(());
        }
        let at = |row: usize| self.head + 8 * (row * self.columns + columns.start) as u64;
        let io = || FileError::io("read", &self.path);
        // Many small reads cost more than the bytes between them.
        let whole = width == self.columns || 8 * width < 1024;
        let step = if whole { (PIECE / (8 * self.columns.max(1))).max(1) } else { 1 };
        let span = if whole { self.columns } else { width };
        let mut bytes = vec![0; 8 * span * step.min(rows.len())];
        let mut done = 0;
        while done < rows.len() {
            let some = step.min(rows.len() - done);
            let first = rows.start + done;
            let bytes = &mut bytes[..8 * span * some];
            let from = if whole { at(first) - 8 * columns.start as u64 } else { at(first) };
            self.file.read_exact_at(bytes, from).map_err(io())?;
            let skip = if whole { columns.start } else { 0 };
            let places = out[done * width..(done + some) * width].chunks_exact_mut(width);
            for (place, row) in places.zip(bytes.chunks_exact(8 * span)) {
                npy::doubles(&row[8 * skip..8 * (skip + width)], place);
            }
            done += some;
        }
        Ok(())
    }
}

/// The digest of a file of any size.
///
/// # Errors
/// It cannot be read.
pub fn digest_of(path: &Path) -> Result<String, FileError> {
    let io = || FileError::io("read", path);
    let mut file = BufReader::with_capacity(1 << 12, File::open(path).map_err(io())?);
    let mut hasher = Hasher::default();
    let mut bytes = vec![0; PIECE];
    loop {
        match file.read(&mut bytes).map_err(io())? {
            0 => return Ok(hasher.digest()),
            n => hasher.bytes(&bytes[..n]),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::digest;

    #[test]
    fn rows_come_back_whole_and_in_pieces_and_the_digest_is_that_of_the_file() {
        let dir = std::env::temp_dir().join(format!("ekp-rows-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("a.npy");
        for (rows, columns) in [(1usize, 1usize), (7, 3), (900, 200), (40_000, 5)] {
            let data: Vec<f64> = (0..rows * columns).map(|k| k as f64 * 0.5).collect();
            let mut writer = Writer::new(&path, &[rows, columns]).unwrap();
            let cut = rows / 3 * columns;
            writer.append(&data[..cut]).unwrap();
            writer.append(&data[cut..]).unwrap();
            let (sum, n) = writer.show(false).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!((sum.as_str(), n), (digest(&bytes).as_str(), rows));
            assert_eq!(digest_of(&path).unwrap(), sum);
            assert_eq!(npy::read(&bytes).unwrap().data, data);
            let reader = Reader::open(&path).unwrap();
            let mut out = vec![1.0; 3];
            for (r, c) in [(0..rows, 0..columns), (rows / 2..rows, columns / 2..columns), (0..0, 0..1)] {
                reader.read(r.clone(), c.clone(), &mut out).unwrap();
                let expected: Vec<f64> =
                    r.flat_map(|i| data[i * columns..][c.clone()].iter().copied()).collect();
                assert_eq!(out, expected);
            }
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            assert!(Reader::open(&path).unwrap_err().to_string().contains("bytes"));
        }
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "no draft is left");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
