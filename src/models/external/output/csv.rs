//! One column, or one per block, of a table.

use crate::explain::count;
use crate::models::external::output::{Found, not_a_number, number};

/// Which columns of a table are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Csv {
    /// The block (none: all blocks, one after the other) and its column; empty: the only column
    pub(crate) columns: Vec<(Option<String>, Column)>,
    pub(crate) separator: u8,
    /// Lines before the table
    pub(crate) skip: usize,
    /// The first line holds names
    pub(crate) header: bool,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column {
    Name(String),
    /// From 1
    Number(usize),
}

impl Csv {
    /// An empty cell and `NA` are NaN. Lines that start with `#` are passed over.
    pub(crate) fn numbers(&self, text: &str) -> Result<Found, String> {
        let table = text.split_inclusive('\n').skip(self.skip).map(str::len).sum::<usize>();
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(self.separator)
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(&text.as_bytes()[text.len() - table..]);
        let mut record = csv::StringRecord::new();
        let mut next = |record: &mut csv::StringRecord| {
            let more = reader.read_record(record).map_err(|e| format!("not a table: {e}"))?;
            let line = record.position().map_or(0, csv::Position::line) + self.skip as u64;
            Ok::<_, String>(more.then_some(line))
        };
        let mut line = next(&mut record)?.ok_or("the table is empty")?;
        let width = record.len();
        let at = self.places(&record, width)?;
        if self.header {
            line = match next(&mut record)? {
                Some(line) => line,
                None => return Err("the table has a heading and no rows".into()),
            };
        }
        let mut columns = vec![Vec::new(); at.len()];
        loop {
            if record.len() != width {
                let found = count(record.len(), "field");
                let first = if self.header { "the heading" } else { "the first line" };
                return Err(format!("line {line} has {found}, {first} has {width}; was the file cut short?"));
            }
            for (column, &at) in columns.iter_mut().zip(&at) {
                let cell = &record[at];
                let x = if cell.is_empty() { Some(f64::NAN) } else { number(cell) };
                column.push(x.ok_or_else(|| format!("line {line}: {}", not_a_number(cell)))?);
            }
            match next(&mut record)? {
                Some(more) => line = more,
                None => break,
            }
        }
        if let [(Some(_), _), ..] = self.columns.as_slice() {
            let names = self.columns.iter().map(|(block, _)| block.clone().unwrap_or_default());
            return Ok(Found::Blocks(names.zip(columns).collect()));
        }
        Ok(Found::Whole(columns.pop().unwrap_or_default()))
    }

    /// Where the columns stand, from 0.
    fn places(&self, first: &csv::StringRecord, width: usize) -> Result<Vec<usize>, String> {
        let names = || first.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        if self.columns.is_empty() {
            let what = if self.header { names() } else { format!("{width} columns") };
            let fault = || format!("which column is meant? Say it with `column`; there are {what}");
            return if width == 1 { Ok(vec![0]) } else { Err(fault()) };
        }
        let place = |(_, column): &(_, Column)| match column {
            Column::Number(k) if (1..=width).contains(k) => Ok(k - 1),
            Column::Number(k) => Err(format!("has no column {k}, only {width}")),
            Column::Name(name) => first
                .iter()
                .position(|known| known == name)
                .ok_or_else(|| format!("has no column `{name}`, only {}", names())),
        };
        self.columns.iter().map(place).collect()
    }
}
