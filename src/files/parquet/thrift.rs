//! Thrift's compact protocol, as far as the metadata of Parquet needs it: written field by field, read into a tree.

use std::collections::BTreeMap;

/// Kind of a field in the compact protocol: a 32-bit integer
pub(super) const INT: u8 = 5;
const LONG: u8 = 6;
/// Text or bytes
pub(super) const BINARY: u8 = 8;
const LIST: u8 = 9;
/// A struct
pub(super) const STRUCT: u8 = 12;

/// A struct in Thrift's compact protocol, field by field in ascending order.
#[derive(Debug, Default)]
pub(super) struct Thrift {
    bytes: Vec<u8>,
    last: u8,
}

impl Thrift {
    fn head(&mut self, field: u8, kind: u8) {
        self.bytes.push(((field - self.last) << 4) | kind);
        self.last = field;
    }

    /// A 32-bit integer as a field.
    pub(super) fn int(&mut self, field: u8, value: i64) -> &mut Self {
        self.head(field, INT);
        self.raw_int(value)
    }

    /// A 64-bit integer as a field.
    pub(super) fn long(&mut self, field: u8, value: i64) -> &mut Self {
        self.head(field, LONG);
        self.raw_int(value)
    }

    /// Text as a field.
    pub(super) fn text(&mut self, field: u8, value: &str) -> &mut Self {
        self.head(field, BINARY);
        self.raw_text(value)
    }

    /// A struct as a field.
    pub(super) fn inner(&mut self, field: u8, value: Self) -> &mut Self {
        self.head(field, STRUCT);
        self.item(value);
        self
    }

    /// The head of a list; its elements follow.
    pub(super) fn list(&mut self, field: u8, kind: u8, length: usize) {
        self.head(field, LIST);
        match u8::try_from(length) {
            Ok(short @ 0..15) => self.bytes.push((short << 4) | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                self.bytes.extend(varint(length as u64));
            }
        }
    }

    /// A struct as an element of a list.
    pub(super) fn item(&mut self, value: Self) {
        self.bytes.extend(value.end());
    }

    /// Zigzag: small numbers of both signs are short.
    pub(super) fn raw_int(&mut self, value: i64) -> &mut Self {
        self.bytes.extend(varint(((value << 1) ^ (value >> 63)) as u64));
        self
    }

    /// Text as an element of a list: its length, then its bytes.
    pub(super) fn raw_text(&mut self, value: &str) -> &mut Self {
        self.bytes.extend(varint(value.len() as u64));
        self.bytes.extend(value.as_bytes());
        self
    }

    /// The bytes, closed by the mark of the end.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

/// Seven bits to a byte, lowest first; all bytes but the last have their highest bit set.
pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Structs within structs that are followed: our metadata has four levels.
const DEEP: usize = 12;

/// A value that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    /// Integers of any width, and yes or no
    Int(i64),
    /// Bytes
    Bytes(&'a [u8]),
    /// A list or a set
    List(Vec<Value<'a>>),
    /// A struct, its fields by number
    Struct(BTreeMap<i64, Value<'a>>),
    /// What nothing here asks for: floats, maps
    Other,
}

impl<'a> Value<'a> {
    /// A field of a struct.
    pub(super) fn field(&self, number: i64) -> Option<&Value<'a>> {
        match self {
            Self::Struct(fields) => fields.get(&number),
            _ => None,
        }
    }

    /// An integer field.
    pub(super) fn int(&self, number: i64) -> Option<i64> {
        match self.field(number)? {
            Self::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// A length or an offset: an integer field that is not negative.
    pub(super) fn size(&self, number: i64) -> Option<usize> {
        usize::try_from(self.int(number)?).ok()
    }

    /// A field of text.
    pub(super) fn text(&self, number: i64) -> Option<&'a str> {
        match self.field(number)? {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The elements of a list field; none where there is no such field.
    pub(super) fn list(&self, number: i64) -> &[Value<'a>] {
        match self.field(number) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }
}

/// Reads from the front of some bytes.
#[derive(Debug)]
pub(super) struct Source<'a>(pub(super) &'a [u8]);

impl<'a> Source<'a> {
    /// The struct that begins here; none where the bytes are no struct.
    pub(super) fn structure(&mut self) -> Option<Value<'a>> {
        self.fields(DEEP)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// So many bytes.
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(front)
    }

    /// Seven bits in a byte, the lowest first.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn int(&mut self) -> Option<i64> {
        let n = self.varint()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn length(&mut self) -> Option<usize> {
        // No element is shorter than a byte: a length beyond the end is damage, not memory to be had.
        usize::try_from(self.varint()?).ok().filter(|&n| n <= self.0.len())
    }

    fn fields(&mut self, deep: usize) -> Option<Value<'a>> {
        let mut fields = BTreeMap::new();
        let mut last = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(Value::Struct(fields));
            }
            last = match head >> 4 {
                0 => self.int()?,
                more => last.checked_add(i64::from(more))?,
            };
            let value = match head & 15 {
                1 => Value::Int(1),
                2 => Value::Int(0),
                kind => self.value(kind, deep.checked_sub(1)?)?,
            };
            fields.insert(last, value);
        }
    }

    fn value(&mut self, kind: u8, deep: usize) -> Option<Value<'a>> {
        Some(match kind {
            // In a list yes and no are bytes of their own.
            1 | 2 => Value::Int(i64::from(self.byte()? == 1)),
            3 => Value::Int(i64::from(self.byte()? as i8)),
            4..=LONG => Value::Int(self.int()?),
            7 => {
                self.take(8)?;
                Value::Other
            }
            BINARY => {
                let n = self.length()?;
                Value::Bytes(self.take(n)?)
            }
            LIST | 10 => {
                let head = self.byte()?;
                let n = match head >> 4 {
                    15 => self.length()?,
                    n => usize::from(n),
                };
                let deep = deep.checked_sub(1)?;
                Value::List((0..n).map(|_| self.value(head & 15, deep)).collect::<Option<_>>()?)
            }
            11 => {
                let n = self.length()?;
                let kinds = if n > 0 { self.byte()? } else { 0 };
                let deep = deep.checked_sub(1)?;
                for _ in 0..n {
                    self.value(kinds >> 4, deep)?;
                    self.value(kinds & 15, deep)?;
                }
                Value::Other
            }
            STRUCT => self.fields(deep)?,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut inner = Thrift::default();
        inner.long(3, -(1 << 40)).text(4, "čc");
        let mut outer = Thrift::default();
        outer.int(1, 7).inner(2, inner);
        outer.list(5, INT, 20);
        (0..20).for_each(|k| {
            outer.raw_int(k);
        });
        let bytes = outer.end();
        let read = Source(&bytes).structure().unwrap();
        assert_eq!(read.int(1), Some(7));
        let inner = read.field(2).unwrap();
        assert_eq!((inner.int(3), inner.text(4)), (Some(-(1 << 40)), Some("čc")));
        assert_eq!((read.list(5).len(), &read.list(5)[19]), (20, &Value::Int(19)));
        assert_eq!((read.int(4), read.size(3), read.text(1)), (None, None, None));
        // A torn struct, or one deeper than any, is none
        (0..bytes.len()).for_each(|n| assert_eq!(Source(&bytes[..n]).structure(), None));
        assert_eq!(Source(&[0x1c; 1000]).structure(), None);
        // So is one whose fields count beyond all numbers
        let mut beyond = vec![0x06];
        beyond.extend(varint(u64::MAX - 1)); // zigzag of i64::MAX
        beyond.extend([0, 0x16, 0, 0]);
        assert_eq!(Source(&beyond).structure(), None);
    }
}
