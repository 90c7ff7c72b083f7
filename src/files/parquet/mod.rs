//! Tables as Parquet: groups of rows, a plain page for each column of a group, no compression; and their way back.
//!
//! Result tables have hundreds of rows, so what a library would add (encodings, compression, statistics, fifty
//! packages) buys nothing. Every column may have gaps; a gap is a null, never a NaN or an empty text. Belongs
//! here: columns to bytes and back. Not here: what a table is about.
//!
//! The format: Apache Parquet 2.x (`parquet.thrift`), metadata in Thrift's compact protocol; levels in the hybrid
//! of runs and packed bits, here packed bits alone.

mod read;
mod thrift;

use std::borrow::Borrow;
use std::io::{self, Write};

use thrift::{BINARY, INT, STRUCT, Thrift, varint};

pub use read::{Table, Unread, read};

/// First and last bytes of a file.
pub const MAGIC: &[u8] = b"PAR1";

/// What the values of a column are: the numbers of the format's physical types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no
    Bool = 0,
    /// 32-bit integers
    Int32 = 1,
    /// 64-bit integers
    Int64 = 2,
    /// Doubles
    Double = 5,
    /// UTF-8
    Text = 6,
}

/// A column: a value or a gap for each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// UTF-8
    Text(Vec<Option<String>>),
    /// 32-bit integers
    Int32(Vec<Option<i32>>),
    /// 64-bit integers
    Int64(Vec<Option<i64>>),
    /// Doubles
    Double(Vec<Option<f64>>),
    /// Yes or no
    Bool(Vec<Option<bool>>),
}

impl Values {
    /// How many rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Int64(v) => v.len(),
            Self::Double(v) => v.len(),
            Self::Bool(v) => v.len(),
        }
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they are.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Int32(_) => Kind::Int32,
            Self::Int64(_) => Kind::Int64,
            Self::Double(_) => Kind::Double,
            Self::Text(_) => Kind::Text,
        }
    }

    fn present(&self) -> Vec<bool> {
        match self {
            Self::Text(v) => v.iter().map(Option::is_some).collect(),
            Self::Int32(v) => v.iter().map(Option::is_some).collect(),
            Self::Int64(v) => v.iter().map(Option::is_some).collect(),
            Self::Double(v) => v.iter().map(Option::is_some).collect(),
            Self::Bool(v) => v.iter().map(Option::is_some).collect(),
        }
    }

    /// The values that are there, in the plain encoding.
    fn plain(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Text(v) => v.iter().flatten().for_each(|text| {
                bytes.extend(length(text.len()));
                bytes.extend(text.as_bytes());
            }),
            Self::Int32(v) => v.iter().flatten().for_each(|x| bytes.extend(x.to_le_bytes())),
            Self::Int64(v) => v.iter().flatten().for_each(|x| bytes.extend(x.to_le_bytes())),
            Self::Double(v) => v.iter().flatten().for_each(|x| bytes.extend(x.to_le_bytes())),
            Self::Bool(v) => bytes = bits(&v.iter().flatten().copied().collect::<Vec<_>>()),
        }
        bytes
    }
}

fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

/// Eight to a byte, the first in the lowest bit.
fn bits(values: &[bool]) -> Vec<u8> {
    let byte = |eight: &[bool]| eight.iter().enumerate().map(|(k, b)| u8::from(*b) << k).sum();
    values.chunks(8).map(byte).collect()
}

/// The bytes of a file with these columns, all of one length; `notes` stand in its metadata.
pub fn table(columns: &[(String, Values)], notes: &[(&str, &str)]) -> Vec<u8> {
    let heads = columns.iter().map(|(name, values)| (name.clone(), values.kind())).collect();
    let mut writer = Writer::new(Vec::new(), heads, notes).expect("memory takes all that is written");
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    writer.group(rows, columns.iter().map(|(_, values)| values)).expect("memory takes all that is written");
    writer.finish().expect("memory takes all that is written")
}

/// A group of rows that is on its way to the disk: where the page of each column is, and its bytes.
#[derive(Debug)]
struct Group {
    rows: usize,
    chunks: Vec<(usize, usize)>,
}

/// A table that is written group by group: only one column of one group is in memory at a time, and 16 bytes for
/// each page.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    at: usize,
    columns: Vec<(String, Kind)>,
    notes: Vec<(String, String)>,
    groups: Vec<Group>,
}

impl<W: Write> Writer<W> {
    /// Begin a table with these columns.
    ///
    /// # Errors
    /// The disk.
    pub fn new(mut out: W, columns: Vec<(String, Kind)>, notes: &[(&str, &str)]) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        let notes = notes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Ok(Self { out, at: MAGIC.len(), columns, notes, groups: Vec::new() })
    }

    /// Append a group of rows: a value for each row in each column, in the order of the columns.
    ///
    /// # Errors
    /// The disk.
    pub fn group<V: Borrow<Values>>(
        &mut self,
        rows: usize,
        values: impl IntoIterator<Item = V>,
    ) -> io::Result<()> {
        let mut chunks = Vec::with_capacity(self.columns.len());
        for values in values {
            debug_assert_eq!(values.borrow().len(), rows, "a value for each row");
            let page = page(values.borrow());
            self.out.write_all(&page)?;
            chunks.push((self.at, page.len()));
            self.at += page.len();
        }
        debug_assert_eq!(chunks.len(), self.columns.len(), "all columns");
        self.groups.push(Group { rows, chunks });
        Ok(())
    }

    /// End the table: without its foot no program reads it.
    ///
    /// # Errors
    /// The disk.
    pub fn finish(mut self) -> io::Result<W> {
        let meta = self.meta();
        self.out.write_all(&meta)?;
        self.out.write_all(&length(meta.len()))?;
        self.out.write_all(MAGIC)?;
        Ok(self.out)
    }

    /// What stands at the foot.
    fn meta(&self) -> Vec<u8> {
        let mut meta = Thrift::default();
        meta.int(1, 1); // version
        meta.list(2, STRUCT, self.columns.len() + 1);
        let mut root = Thrift::default();
        root.text(4, "schema").int(5, count(self.columns.len()));
        meta.item(root);
        for (name, kind) in &self.columns {
            let mut element = Thrift::default();
            element.int(1, *kind as i64).int(3, 1).text(4, name); // repetition: optional
            if *kind == Kind::Text {
                element.int(6, 0); // converted type: UTF-8
            }
            meta.item(element);
        }
        meta.long(3, count(self.groups.iter().map(|group| group.rows).sum()));
        meta.list(4, STRUCT, self.groups.len());
        for group in &self.groups {
            meta.item(self.group_meta(group));
        }
        if !self.notes.is_empty() {
            meta.list(5, STRUCT, self.notes.len());
            for (key, value) in &self.notes {
                let mut note = Thrift::default();
                note.text(1, key).text(2, value);
                meta.item(note);
            }
        }
        meta.text(6, "ekp");
        meta.end()
    }

    fn group_meta(&self, of: &Group) -> Thrift {
        let mut group = Thrift::default();
        group.list(1, STRUCT, of.chunks.len());
        for ((name, kind), (at, size)) in self.columns.iter().zip(&of.chunks) {
            let mut column = Thrift::default();
            column.int(1, *kind as i64);
            column.list(2, INT, 2); // encodings: plain, and the hybrid of levels
            column.raw_int(0).raw_int(3);
            column.list(3, BINARY, 1);
            column.raw_text(name);
            column.int(4, 0).long(5, count(of.rows)); // codec: none
            column.long(6, count(*size)).long(7, count(*size)).long(9, count(*at));
            let mut chunk = Thrift::default();
            chunk.long(2, count(*at)).inner(3, column);
            group.item(chunk);
        }
        let size = of.chunks.iter().map(|(_, size)| size).sum();
        group.long(2, count(size)).long(3, count(of.rows));
        group
    }
}

/// Header and content of the only page of a column.
fn page(values: &Values) -> Vec<u8> {
    let present = values.present();
    // One run of packed bits: its header is the number of groups of eight, and a one.
    let mut levels = varint(((present.len().div_ceil(8) as u64) << 1) | 1);
    levels.extend(bits(&present));
    let mut content = length(levels.len()).to_vec();
    content.extend(levels);
    content.extend(values.plain());
    let mut data = Thrift::default();
    data.int(1, count(present.len())).int(2, 0).int(3, 3).int(4, 3); // plain; levels in the hybrid
    let mut header = Thrift::default();
    let size = count(content.len());
    header.int(1, 0).int(2, size).int(3, size).inner(5, data); // a data page
    let mut bytes = header.end();
    bytes.extend(content);
    bytes
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_that_another_reader_read() {
        let columns = [
            ("name".to_owned(), Values::Text(vec![Some("a".into()), None, Some("čc".into())])),
            ("n".to_owned(), Values::Int32(vec![Some(1), Some(-2), None])),
            ("big".to_owned(), Values::Int64(vec![None, None, Some(1 << 40)])),
            ("x".to_owned(), Values::Double(vec![Some(0.1), None, Some(-1e300)])),
            ("ok".to_owned(), Values::Bool(vec![Some(true), Some(false), None])),
        ];
        let bytes = table(&columns, &[("schema", "ekp.test 1")]);
        if let Ok(path) = std::env::var("EKP_PARQUET_OUT") {
            std::fs::write(path, &bytes).unwrap();
        }
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
        // Read by pyarrow 26.0.1: name = ["a", null, "čc"], n = [1, -2, null], big = [null, null, 2⁴⁰],
        // x = [0.1, null, -1e300], ok = [true, false, null], metadata schema = "ekp.test 1"
        assert_eq!(crate::files::digest(&bytes), "blake3:40cc84395ad1d0d101ac6f3ee950712e");
    }

    #[test]
    fn an_empty_table_and_one_of_many_columns_have_their_lists() {
        assert!(table(&[], &[]).len() > 12);
        let many: Vec<(String, Values)> =
            (0..40).map(|k| (format!("c{k}"), Values::Double(vec![Some(f64::from(k)); 9]))).collect();
        assert!(table(&many, &[]).len() > 40 * 72);
    }
}
