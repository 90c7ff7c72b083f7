//! Parquet read: flat tables whose pages are plain and not compressed, ours and those that others write so.
//!
//! Not read, each with a word what to do: compressed columns, dictionaries and the other encodings, pages of the second
//! kind, columns within columns, dates, decimals and 96-bit integers. Nothing in a file is trusted: every length
//! is held against what is there.

use super::thrift::{Source, Value};
use super::{MAGIC, Values};

/// A table as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names and values of its columns
    pub columns: Vec<(String, Values)>,
    /// Rows
    pub rows: usize,
    /// What its metadata says of it: keys and values
    pub notes: Vec<(String, String)>,
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is damaged
    Damaged(String),
    /// It is sound, and beyond what is read here
    Beyond(String),
}

type Outcome<T> = Result<T, Unread>;

fn damaged<T>(why: &str) -> Outcome<T> {
    Err(Unread::Damaged(why.into()))
}

/// A byte holds the levels of eight cells, or eight cells that are yes or no.
const CELLS_OF_A_BYTE: usize = 8;
/// Gaps take no room as runs: so many cells more are read from a file of any size, and not whatever its foot says.
const GAPS: usize = 1 << 24;

/// A column as the foot describes it.
struct Column {
    name: String,
    kind: i64,
    optional: bool,
}

/// Read a whole file.
///
/// # Errors
/// It is damaged, or has what is not read here.
pub fn read(bytes: &[u8]) -> Outcome<Table> {
    let foot = foot(bytes)?;
    let columns = schema(&foot)?;
    let mut table = Table {
        columns: columns.iter().map(|c| Ok((c.name.clone(), empty(c)?))).collect::<Outcome<_>>()?,
        rows: 0,
        notes: foot
            .list(5)
            .iter()
            .filter_map(|note| Some((note.text(1)?.to_owned(), note.text(2).unwrap_or_default().to_owned())))
            .collect(),
    };
    let most = bytes.len().saturating_mul(CELLS_OF_A_BYTE).saturating_add(GAPS);
    for group in foot.list(4) {
        let Some(rows) = group.size(3) else { return damaged("a group of rows does not say how many") };
        let all = table.rows.checked_add(rows).and_then(|rows| rows.checked_mul(columns.len()));
        if all.is_none_or(|cells| cells > most) {
            return Err(Unread::Beyond(format!("it says that it has {rows} rows and more, in few bytes")));
        }
        let chunks = group.list(1);
        if chunks.len() != columns.len() {
            return damaged("a group of rows has not all columns");
        }
        for ((column, chunk), (_, values)) in columns.iter().zip(chunks).zip(&mut table.columns) {
            let before = values.len();
            chunk_of(bytes, column, chunk, rows, values)?;
            if values.len() - before != rows {
                return damaged(&format!("column `{}` ends early", column.name));
            }
        }
        table.rows += rows;
    }
    if foot.size(3) != Some(table.rows) {
        return damaged("it has not as many rows as its foot says");
    }
    Ok(table)
}

/// The metadata at the end.
fn foot(bytes: &[u8]) -> Outcome<Value<'_>> {
    let inner = bytes.strip_prefix(MAGIC).and_then(|rest| rest.strip_suffix(MAGIC));
    let Some((before, length)) = inner.and_then(<[u8]>::split_last_chunk::<4>) else {
        return damaged("it does not end as a Parquet file does (cut short)");
    };
    let length = u32::from_le_bytes(*length) as usize;
    let Some(start) = before.len().checked_sub(length) else {
        return damaged("its foot is longer than the file");
    };
    Source(&before[start..]).structure().map_or_else(|| damaged("its foot cannot be read"), Ok)
}

fn schema(foot: &Value<'_>) -> Outcome<Vec<Column>> {
    let [root, columns @ ..] = foot.list(2) else { return damaged("it has no columns") };
    if root.size(5).unwrap_or(0) != columns.len() {
        return Err(Unread::Beyond("it has columns within columns".into()));
    }
    let mut all = Vec::new();
    for column in columns {
        let (Some(name), Some(kind)) = (column.text(4), column.int(1)) else {
            return Err(Unread::Beyond("it has columns within columns".into()));
        };
        let repetition = column.int(3).unwrap_or(0);
        if repetition > 1 {
            return Err(Unread::Beyond(format!("column `{name}` holds lists")));
        }
        // UTF-8, and signed integers; without the word it is what its physical type says
        let plain =
            |kind: i64| matches!((kind, column.int(6)), (_, None) | (6, Some(0)) | (1 | 2, Some(15..=18)));
        if !plain(kind) {
            return Err(Unread::Beyond(format!("column `{name}` holds dates, decimals or the like")));
        }
        all.push(Column { name: name.to_owned(), kind, optional: repetition == 1 });
    }
    Ok(all)
}

fn empty(column: &Column) -> Outcome<Values> {
    Ok(match column.kind {
        0 => Values::Bool(Vec::new()),
        1 => Values::Int32(Vec::new()),
        2 => Values::Int64(Vec::new()),
        4 | 5 => Values::Double(Vec::new()),
        6 => Values::Text(Vec::new()),
        _ => {
            return Err(Unread::Beyond(format!(
                "column `{}` has values of 96 or of fixed bytes",
                column.name
            )));
        }
    })
}

/// All pages of a column in a group.
fn chunk_of(
    bytes: &[u8],
    column: &Column,
    chunk: &Value<'_>,
    rows: usize,
    values: &mut Values,
) -> Outcome<()> {
    let name = &column.name;
    let Some(meta) = chunk.field(3) else {
        return Err(Unread::Beyond(format!("column `{name}` lies elsewhere")));
    };
    let codec = meta.int(4).unwrap_or(0);
    if codec != 0 {
        const CODECS: [&str; 8] = ["", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4"];
        let codec = usize::try_from(codec).ok().and_then(|k| CODECS.get(k)).copied().unwrap_or("some way");
        return Err(Unread::Beyond(format!("column `{name}` is compressed ({codec})")));
    }
    if meta.int(11).is_some() {
        return Err(Unread::Beyond(format!("column `{name}` has a dictionary")));
    }
    let place = meta.size(9).and_then(|at| Some(at..at.checked_add(meta.size(7)?)?));
    let Some(mut source) = place.and_then(|place| bytes.get(place)).map(Source) else {
        return damaged(&format!("column `{name}` is not where the foot says"));
    };
    let mut left = rows;
    while left > 0 {
        let Some(head) = source.structure() else {
            return damaged(&format!("a page of column `{name}` cannot be read"));
        };
        let content = head.size(3).and_then(|n| source.take(n));
        let (Some(content), kind) = (content, head.int(1)) else {
            return damaged(&format!("a page of column `{name}` is cut short"));
        };
        let Some(data) = head.field(5).filter(|_| kind == Some(0)) else {
            return Err(Unread::Beyond(format!(
                "column `{name}` has a dictionary, or pages of the second kind"
            )));
        };
        if data.int(2) != Some(0) {
            return Err(Unread::Beyond(format!("column `{name}` has an encoding other than plain")));
        }
        let n = data.size(1).filter(|&n| n <= left && n > 0);
        let Some(n) = n.filter(|&n| page(content, column, n, values).is_some()) else {
            return damaged(&format!("a page of column `{name}` does not hold what it says"));
        };
        left -= n;
    }
    Ok(())
}

/// `n` values of a page; none where they are not there.
fn page(content: &[u8], column: &Column, n: usize, values: &mut Values) -> Option<()> {
    let mut source = Source(content);
    let present = if column.optional {
        let size = source.take(4)?.try_into().ok().map(u32::from_le_bytes)?;
        levels(source.take(size as usize)?, n)?
    } else {
        vec![true; n]
    };
    let count = present.iter().filter(|there| **there).count();
    match (values, column.kind) {
        (Values::Bool(all), _) => {
            let bits = source.take(count.div_ceil(8))?;
            let mut found = (0..count).map(|k| bits[k / 8] >> (k % 8) & 1 == 1);
            all.extend(present.into_iter().map(|there| if there { found.next() } else { None }));
        }
        (Values::Int32(all), _) => fixed(&mut source, &present, all, i32::from_le_bytes)?,
        (Values::Int64(all), _) => fixed(&mut source, &present, all, i64::from_le_bytes)?,
        (Values::Double(all), 4) => fixed(&mut source, &present, all, |b| f64::from(f32::from_le_bytes(b)))?,
        (Values::Double(all), _) => fixed(&mut source, &present, all, f64::from_le_bytes)?,
        (Values::Text(all), _) => {
            for there in present {
                let text = |source: &mut Source<'_>| {
                    let n = source.take(4)?.try_into().ok().map(u32::from_le_bytes)?;
                    Some(std::str::from_utf8(source.take(n as usize)?).ok()?.to_owned())
                };
                all.push(if there { Some(text(&mut source)?) } else { None });
            }
        }
    }
    Some(())
}

/// Values of `N` bytes each, gaps where nothing is present.
fn fixed<const N: usize, T>(
    source: &mut Source<'_>,
    present: &[bool],
    all: &mut Vec<Option<T>>,
    from: impl Fn([u8; N]) -> T,
) -> Option<()> {
    for &there in present {
        all.push(if there { Some(from(source.take(N)?.try_into().ok()?)) } else { None });
    }
    Some(())
}

/// Levels of one bit in the hybrid of runs and packed bits: which of `n` values are there.
fn levels(bytes: &[u8], n: usize) -> Option<Vec<bool>> {
    let mut source = Source(bytes);
    let mut present = Vec::new();
    while present.len() < n {
        let left = n - present.len();
        let head = usize::try_from(source.varint()?).ok()?;
        if head & 1 == 1 {
            let packed = source.take(head >> 1)?;
            present.extend(packed.iter().flat_map(|byte| (0..8).map(move |k| byte >> k & 1 == 1)).take(left));
        } else {
            let level = source.take(1)?[0];
            present.extend(std::iter::repeat_n(level == 1, (head >> 1).min(left)));
        }
        if head >> 1 == 0 {
            return None;
        }
    }
    Some(present)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::parquet::{Kind, Writer, table};

    fn columns() -> Vec<(String, Values)> {
        vec![
            ("name".into(), Values::Text(vec![Some("a".into()), None, Some("čc".into())])),
            ("n".into(), Values::Int32(vec![Some(1), Some(-2), None])),
            ("big".into(), Values::Int64(vec![None, None, Some(1 << 40)])),
            ("x".into(), Values::Double(vec![Some(0.1), None, Some(-1e300)])),
            ("ok".into(), Values::Bool(vec![Some(true), Some(false), None])),
        ]
    }

    #[test]
    fn what_is_written_comes_back() {
        let bytes = table(&columns(), &[("schema", "ekp.test 1")]);
        let back = read(&bytes).unwrap();
        assert_eq!((back.columns, back.rows), (columns(), 3));
        assert_eq!(back.notes, [("schema".to_owned(), "ekp.test 1".to_owned())]);
        assert_eq!(read(&table(&[], &[])).unwrap().rows, 0);
    }

    #[test]
    fn groups_of_rows_are_one_table() {
        let numbers = |from: i32, to: i32| {
            Values::Double((from..to).map(|k| (k % 7 != 0).then(|| f64::from(k))).collect())
        };
        let mut writer = Writer::new(Vec::new(), vec![("x".into(), Kind::Double)], &[]).unwrap();
        for (from, to) in [(0, 1000), (1000, 1001), (1001, 5000)] {
            writer.group((to - from) as usize, [numbers(from, to)]).unwrap();
        }
        let back = read(&writer.finish().unwrap()).unwrap();
        assert_eq!((back.rows, &back.columns[0].1), (5000, &numbers(0, 5000)));
    }

    #[test]
    fn a_torn_or_changed_file_is_refused_or_read_but_never_trusted() {
        let bytes = table(&columns(), &[]);
        for n in 0..bytes.len() {
            assert!(read(&bytes[..n]).is_err(), "cut at {n}");
            for flip in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[n] ^= flip;
                let _ = read(&damaged); // no panic, no endless loop, no memory without end
            }
        }
    }

    #[test]
    fn a_small_file_that_tells_of_many_rows_takes_no_memory_for_them() {
        let mut writer = Writer::new(Vec::new(), vec![("x".into(), Kind::Double)], &[]).unwrap();
        writer.group(1, [Values::Double(vec![Some(1.0)])]).unwrap();
        writer.groups[0].rows = 1 << 50;
        let read = read(&writer.finish().unwrap());
        assert!(matches!(&read, Err(Unread::Beyond(why)) if why.contains("in few bytes")), "{read:?}");
    }

    #[test]
    fn levels_are_runs_or_packed_bits() {
        // five times yes as a run, then eight packed
        assert_eq!(
            levels(&[10, 1, 3, 0b0000_0101], 8).unwrap(),
            [true, true, true, true, true, true, false, true]
        );
        assert_eq!(levels(&[10, 1], 6), None);
        assert_eq!(levels(&[0, 1], 1), None, "a run of nothing");
    }
}
