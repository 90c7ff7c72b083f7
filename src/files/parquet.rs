//! Tables as Parquet: one row group, a plain page for each column, no compression.
//!
//! Result tables have hundreds of rows, so what a library would add (encodings, compression, statistics, fifty
//! packages) buys nothing. Every column may have gaps; a gap is a null, never a NaN or an empty text. Belongs
//! here: columns to bytes. Not here: what a table is about.
//!
//! The format: Apache Parquet 2.x (`parquet.thrift`), metadata in Thrift's compact protocol; levels in the hybrid
//! of runs and packed bits, here packed bits alone.

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

    /// The physical type's number in the format.
    fn kind(&self) -> i64 {
        match self {
            Self::Bool(_) => 0,
            Self::Int32(_) => 1,
            Self::Int64(_) => 2,
            Self::Double(_) => 5,
            Self::Text(_) => 6,
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
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    let mut file = b"PAR1".to_vec();
    let mut chunks = Vec::new();
    for (name, values) in columns {
        let at = file.len();
        file.extend(page(values));
        chunks.push((name.as_str(), values.kind(), at, file.len() - at));
    }
    let size: usize = chunks.iter().map(|(.., size)| size).sum();
    let mut meta = Thrift::default();
    meta.int(1, 1); // version
    meta.list(2, STRUCT, columns.len() + 1);
    let mut root = Thrift::default();
    root.text(4, "schema").int(5, count(columns.len()));
    meta.item(root);
    for (name, values) in columns {
        let mut element = Thrift::default();
        element.int(1, values.kind()).int(3, 1).text(4, name); // repetition: optional
        if matches!(values, Values::Text(_)) {
            element.int(6, 0); // converted type: UTF-8
        }
        meta.item(element);
    }
    meta.long(3, count(rows));
    meta.list(4, STRUCT, 1);
    let mut group = Thrift::default();
    group.list(1, STRUCT, chunks.len());
    for (name, kind, at, size) in &chunks {
        let mut column = Thrift::default();
        column.int(1, *kind);
        column.list(2, INT, 2); // encodings: plain, and the hybrid of levels
        column.raw_int(0).raw_int(3);
        column.list(3, BINARY, 1);
        column.raw_text(name);
        column.int(4, 0).long(5, count(rows)); // codec: none
        column.long(6, count(*size)).long(7, count(*size)).long(9, count(*at));
        let mut chunk = Thrift::default();
        chunk.long(2, count(*at)).inner(3, column);
        group.item(chunk);
    }
    group.long(2, count(size)).long(3, count(rows));
    meta.item(group);
    if !notes.is_empty() {
        meta.list(5, STRUCT, notes.len());
        for (key, value) in notes {
            let mut note = Thrift::default();
            note.text(1, key).text(2, value);
            meta.item(note);
        }
    }
    meta.text(6, "ekp");
    let meta = meta.end();
    file.extend(&meta);
    file.extend(length(meta.len()));
    file.extend(b"PAR1");
    file
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

const INT: u8 = 5;
const LONG: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A struct in Thrift's compact protocol, field by field in ascending order.
#[derive(Debug, Default)]
struct Thrift {
    bytes: Vec<u8>,
    last: u8,
}

impl Thrift {
    fn head(&mut self, field: u8, kind: u8) {
        self.bytes.push(((field - self.last) << 4) | kind);
        self.last = field;
    }

    fn int(&mut self, field: u8, value: i64) -> &mut Self {
        self.head(field, INT);
        self.raw_int(value)
    }

    fn long(&mut self, field: u8, value: i64) -> &mut Self {
        self.head(field, LONG);
        self.raw_int(value)
    }

    fn text(&mut self, field: u8, value: &str) -> &mut Self {
        self.head(field, BINARY);
        self.raw_text(value)
    }

    fn inner(&mut self, field: u8, value: Self) -> &mut Self {
        self.head(field, STRUCT);
        self.item(value);
        self
    }

    /// The head of a list; its elements follow.
    fn list(&mut self, field: u8, kind: u8, length: usize) {
        self.head(field, LIST);
        match u8::try_from(length) {
            Ok(short @ 0..15) => self.bytes.push((short << 4) | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                self.bytes.extend(varint(length as u64));
            }
        }
    }

    fn item(&mut self, value: Self) {
        self.bytes.extend(value.end());
    }

    /// Zigzag: small numbers of both signs are short.
    fn raw_int(&mut self, value: i64) -> &mut Self {
        self.bytes.extend(varint(((value << 1) ^ (value >> 63)) as u64));
        self
    }

    fn raw_text(&mut self, value: &str) -> &mut Self {
        self.bytes.extend(varint(value.len() as u64));
        self.bytes.extend(value.as_bytes());
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
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
