//! A member's outputs, a few rows at a time, from an outcome that was checked before.
//!
//! For ensembles whose outputs are larger than memory: each member keeps a small piece of its file, and its place in
//! it. No file stays open between pieces, so the number of members is not limited by that of open files. What was
//! checked is looked for again each time by length, time and inode: a file that changed meanwhile is refused.
//! Belongs here: rows out of files, in ascending order. Not here: checking an outcome, what the numbers mean.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::files::floats::{self, End};
use crate::files::{ARRAY, FileError, Stored, npy};

/// Reads one member's outputs from the first row to the last.
#[derive(Debug)]
pub struct Column {
    path: PathBuf,
    /// Length, time and inode of the file when it was checked
    stamp: (u64, i64, i64, u64),
    /// First row of each block and, behind the last, the number of rows
    starts: Vec<usize>,
    /// Where each block begins in the TOML; none: an array of doubles from this byte on
    form: Form,
    /// The next row
    row: usize,
    /// The block that is being read, from 1
    block: usize,
    /// The next byte of the file
    offset: u64,
    piece: Vec<u8>,
    /// The first byte of the piece that was not used
    at: usize,
    /// Most bytes of a piece
    size: usize,
}

#[derive(Debug)]
enum Form {
    Toml(Vec<u64>),
    Array(u64),
}

fn stamp(meta: &Metadata) -> (u64, i64, i64, u64) {
    (meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino())
}

impl Column {
    /// The outputs in a member's `folder`, whose outcome has the form `stored` and blocks of these `lengths`; pieces
    /// are of `size` bytes, 64 at least. None for an outcome that is not in the plain form.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(
        folder: &Path,
        stored: &Stored,
        lengths: &[usize],
        size: usize,
    ) -> Result<Option<Self>, FileError> {
        let (name, form) = match stored {
            Stored::Plain(places) => ("data.toml", Form::Toml(places.clone())),
            Stored::Array(data) => (ARRAY, Form::Array(*data)),
            Stored::Other => return Ok(None),
        };
        let path = folder.join(name);
        let meta = std::fs::metadata(&path).map_err(FileError::io("read", &path))?;
        let mut starts = vec![0];
        lengths.iter().for_each(|n| starts.push(starts[starts.len() - 1] + n));
        let mut column = Self {
            path,
            stamp: stamp(&meta),
            starts,
            form,
            row: 0,
            block: 0,
            offset: 0,
            piece: Vec::new(),
            at: 0,
            size: size.max(64),
        };
        column.rewind();
        Ok(Some(column))
    }

    /// Begin again at the first row.
    pub fn rewind(&mut self) {
        self.row = 0;
        self.block = 0;
        self.jump();
    }

    /// To the place in the file where `self.row`, the first of a block, begins.
    fn jump(&mut self) {
        self.offset = match &self.form {
            Form::Array(data) => data + 8 * self.row as u64,
            Form::Toml(places) => match self.starts.iter().position(|s| *s == self.row) {
                Some(block) if block < places.len() => places[block],
                _ => 0,
            },
        };
        self.piece.clear();
        self.at = 0;
    }

    /// The numbers of `rows`, which come after those read before.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it was.
    pub fn read(&mut self, rows: &Range<usize>, out: &mut [f64]) -> Result<(), FileError> {
        assert!(rows.start >= self.row && rows.len() == out.len(), "rows are read in ascending order");
        while self.row < rows.start {
            let mut skipped = [0.0; 64];
            let n = (rows.start - self.row).min(64);
            self.some(&mut skipped[..n])?;
        }
        self.some(out)
    }

    fn some(&mut self, mut out: &mut [f64]) -> Result<(), FileError> {
        while !out.is_empty() {
            let taken = match self.form {
                Form::Array(_) => self.doubles(out)?,
                Form::Toml(_) => self.digits(out)?,
            };
            self.row += taken;
            out = &mut out[taken..];
        }
        Ok(())
    }

    /// Doubles of the piece at hand, at least one.
    fn doubles(&mut self, out: &mut [f64]) -> Result<usize, FileError> {
        if self.piece.len() - self.at < 8 {
            self.refill()?;
        }
        let have = ((self.piece.len() - self.at) / 8).min(out.len());
        npy::doubles(&self.piece[self.at..self.at + 8 * have], &mut out[..have]);
        self.at += 8 * have;
        Ok(have)
    }

    /// Numbers of the piece at hand, up to the end of the block.
    fn digits(&mut self, out: &mut [f64]) -> Result<usize, FileError> {
        let next = self.starts.iter().position(|start| *start > self.row);
        let next = next.ok_or_else(|| self.changed())?;
        let left = self.starts[next] - self.row;
        if self.block != next {
            self.block = next;
            self.jump();
        }
        let wanted = left.min(out.len());
        let (count, end) = floats::items(&self.piece, &mut self.at, &mut out[..wanted]);
        match end {
            End::Cut => self.refill()?,
            End::Full => {}
            End::Closed if count == left => {}
            End::Closed | End::Odd => return Err(self.changed()),
        }
        Ok(count)
    }

    /// The next piece of the file behind what is left of this one.
    fn refill(&mut self) -> Result<(), FileError> {
        self.piece.drain(..self.at);
        self.at = 0;
        let kept = self.piece.len();
        self.piece.resize(kept + self.size, 0);
        let read = File::open(&self.path).and_then(|file| {
            if stamp(&file.metadata()?) != self.stamp {
                return Ok(0);
            }
            loop {
                match file.read_at(&mut self.piece[kept..], self.offset) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            }
        });
        let some = read.map_err(FileError::io("read", &self.path))?;
        self.piece.truncate(kept + some);
        self.offset += some as u64;
        if some == 0 { Err(self.changed()) } else { Ok(()) }
    }

    fn changed(&self) -> FileError {
        FileError::Invalid {
            path: self.path.clone(),
            kind: "outcome",
            why: "it has changed while it was read".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::{data_beside, data_text, parse_data, read_data};

    #[test]
    fn rows_come_piece_by_piece_as_they_come_at_once_and_a_changed_file_is_refused() {
        let folder = std::env::temp_dir().join(format!("ekp-column-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let all: Vec<f64> = (0..700)
            .map(|i| if i % 50 == 7 { f64::NAN } else { (f64::from(i) * 0.37).sin() / 3.0 })
            .collect();
        let (names, lengths) = (["a".to_owned(), "b".to_owned(), "c".to_owned()], [300, 1, 399]);
        let blocks = [("a", &all[..300]), ("b", &all[300..301]), ("c", &all[301..])];
        let text = data_text("", "blake3:0", &blocks);
        let (record, array) = data_beside("", "blake3:0", &blocks);
        fs::write(folder.join("data.toml"), &text).unwrap();
        fs::write(folder.join(ARRAY), &array).unwrap();
        let plain = parse_data(text.as_bytes(), "blake3:0", &names, &lengths).unwrap().0.form;
        let mut out = vec![0.0; 700];
        let beside =
            read_data(record.as_bytes(), Some(&folder), "blake3:0", &names, &lengths, &mut out).unwrap().form;
        for form in [plain, beside] {
            for size in [64, 100, 4096, 1 << 20] {
                let mut column = Column::new(&folder, &form, &lengths, size).unwrap().unwrap();
                for _ in 0..2 {
                    column.rewind();
                    for range in [0..1, 1..130, 140..299, 299..302, 302..700] {
                        let mut out = vec![0.0; range.len()];
                        column.read(&range, &mut out).unwrap();
                        let same = out.iter().zip(&all[range]).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(same, "{form:?} {size}");
                    }
                }
            }
        }
        let mut column = Column::new(&folder, &Stored::Array(128), &lengths, 64).unwrap().unwrap();
        column.read(&(0..8), &mut [0.0; 8]).unwrap();
        fs::write(folder.join(ARRAY), &array[..array.len() - 8]).unwrap();
        assert!(column.read(&(8..80), &mut [0.0; 72]).unwrap_err().to_string().contains("changed"));
        fs::remove_dir_all(folder).unwrap();
    }
}
