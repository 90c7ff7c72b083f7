//! Arrays in numpy's `.npy` format: doubles, floats and integers, at most two dimensions.
//!
//! Format: NumPy Enhancement Proposal 1 (versions 1.0 to 3.0 of the file). Nothing is allocated that the bytes
//! at hand do not fill, so a hostile header cannot exhaust memory.
//! Belongs here: bytes to array and back. Not here: what the array means, where it lies.

use std::io::{self, Read};

/// A table of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// One or two lengths
    pub shape: Vec<usize>,
    /// All entries, row by row, whatever the order in the file; integers above 2⁵³ are rounded
    pub data: Vec<f64>,
}

/// Why bytes are no array of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NpyError {
    /// No magic bytes
    #[error("not an npy file: it does not begin with \\x93NUMPY")]
    Magic,
    /// A version of the future
    #[error("npy version {0} is not known, only 1 to 3")]
    Version(u8),
    /// The file ends within its header
    #[error("the npy file ends within its header")]
    Torn,
    /// A header that is no dictionary with the three keys
    #[error("the npy header cannot be read near byte {at}: expected {expected}")]
    Header {
        /// Bytes into the header
        at: usize,
        /// What should stand there
        expected: &'static str,
    },
    /// Another type of entry
    #[error("entries of type `{0}` are not read, only f8, f4, i8 and i4")]
    Type(String),
    /// Scalars and cubes
    #[error("{0} dimensions, 1 or 2 are read")]
    Dimensions(usize),
    /// Shape and size disagree
    #[error("{found} bytes of data, the shape asks for {expected}")]
    Length {
        /// Bytes after the header
        found: usize,
        /// Product of shape and entry size
        expected: u128,
    },
}

/// Read an array.
///
/// # Errors
/// Anything that is not whole, or not of the types and dimensions named above.
pub fn read(bytes: &[u8]) -> Result<Array, NpyError> {
    let (header, data) = split(bytes)?;
    let header = Header::read(header)?;
    let entry = Entry::named(&header.descr)?;
    if !(1..=2).contains(&header.shape.len()) {
        return Err(NpyError::Dimensions(header.shape.len()));
    }
    let expected: u128 =
        header.shape.iter().fold(entry.size as u128, |n, &length| n.saturating_mul(length as u128));
    if expected != data.len() as u128 {
        return Err(NpyError::Length { found: data.len(), expected });
    }
    let mut numbers: Vec<f64> = data.chunks_exact(entry.size).map(|chunk| entry.number(chunk)).collect();
    if let (true, &[rows, cols]) = (header.fortran, header.shape.as_slice()) {
        let columns = numbers;
        numbers = (0..rows * cols).map(|k| columns[(k % cols) * rows + k / cols]).collect();
    }
    Ok(Array { shape: header.shape, data: numbers })
}

/// The dictionary in front, and the data.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), NpyError> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or(NpyError::Magic)?;
    let (&[major, _minor], rest) = rest.split_first_chunk().ok_or(NpyError::Torn)?;
    let (length, rest) = match major {
        1 => {
            let (length, rest) = rest.split_first_chunk().ok_or(NpyError::Torn)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_first_chunk().ok_or(NpyError::Torn)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        other => return Err(NpyError::Version(other)),
    };
    rest.split_at_checked(length).ok_or(NpyError::Torn)
}

/// What stands in front of an array's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Head {
    /// One row of `n` little-endian doubles: what can be read piece by piece.
    pub fn is_doubles(&self, n: usize) -> bool {
        self.descr == "<f8" && self.shape == [n]
    }

    /// Rows and columns of little-endian doubles, row by row.
    pub fn rows(&self) -> Option<(usize, usize)> {
        match self.shape.as_slice() {
            &[rows, columns] if self.descr == "<f8" && !self.fortran => Some((rows, columns)),
            _ => None,
        }
    }
}

/// The head of an array that is read piece by piece (version 1.0 alone), and its bytes: the data follow.
///
/// # Errors
/// The disk; inside, bytes that are no head.
pub fn head(from: &mut impl Read) -> io::Result<Result<(Head, Vec<u8>), NpyError>> {
    let mut bytes = vec![0; 10];
    match from.read_exact(&mut bytes) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(Err(NpyError::Torn)),
        other => other?,
    }
    if !bytes.starts_with(b"\x93NUMPY") {
        return Ok(Err(NpyError::Magic));
    }
    if bytes[6] != 1 {
        return Ok(Err(NpyError::Version(bytes[6])));
    }
    let length = u64::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    from.by_ref().take(length).read_to_end(&mut bytes)?;
    Ok(split(&bytes).and_then(|(header, _)| Header::read(header)).map(|head| {
        let Header { descr, fortran, shape } = head;
        (Head { descr, fortran, shape }, bytes)
    }))
}

/// Little-endian doubles out of their bytes, eight each.
pub fn doubles(bytes: &[u8], out: &mut [f64]) {
    assert_eq!(bytes.len(), 8 * out.len(), "a double has eight bytes");
    for (place, bytes) in out.iter_mut().zip(bytes.chunks_exact(8)) {
        *place = f64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
    }
}

/// An array of doubles as bytes: version 1.0, little endian, row by row, data at a multiple of 64 bytes.
pub fn write(shape: &[usize], data: &[f64]) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), data.len(), "an array fills its shape");
    let mut bytes = begin(shape, 0);
    append(&mut bytes, data);
    bytes
}

/// What stands in front of the data of [`write`]; at least so many bytes long.
pub fn begin(shape: &[usize], room: usize) -> Vec<u8> {
    let lengths: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let lengths = if shape.len() == 1 { lengths.trim_end() } else { lengths.trim_end_matches(", ") };
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({lengths}), }}");
    while (10 + header.len() + 1) % 64 != 0 || 10 + header.len() + 1 < room {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((u16::try_from(header.len()).expect("the header of a few lengths is short")).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes
}

/// Doubles at the end of `bytes`, as they stand in a file.
pub fn append(bytes: &mut Vec<u8>, data: &[f64]) {
    let from = bytes.len();
    bytes.resize(from + 8 * data.len(), 0);
    for (place, x) in bytes[from..].chunks_exact_mut(8).zip(data) {
        place.copy_from_slice(&x.to_le_bytes());
    }
}

/// How one number lies in the file.
struct Entry {
    big_endian: bool,
    kind: u8,
    size: usize,
}

impl Entry {
    fn named(descr: &str) -> Result<Self, NpyError> {
        let no = || NpyError::Type(descr.chars().take(32).collect());
        let &[order, kind, size] = descr.as_bytes() else { return Err(no()) };
        let fits = matches!(order, b'<' | b'>' | b'=') && matches!((kind, size), (b'f' | b'i', b'4' | b'8'));
        if !fits {
            return Err(no());
        }
        Ok(Self { big_endian: order == b'>', kind, size: usize::from(size - b'0') })
    }

    fn number(&self, bytes: &[u8]) -> f64 {
        let mut all = [0u8; 8];
        all[..self.size].copy_from_slice(bytes);
        if self.big_endian {
            all[..self.size].reverse();
        }
        let [a, b, c, d, ..] = all;
        match (self.kind, self.size) {
            (b'f', 8) => f64::from_le_bytes(all),
            (b'f', _) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (_, 8) => i64::from_le_bytes(all) as f64,
            _ => f64::from(i32::from_le_bytes([a, b, c, d])),
        }
    }
}

/// The dictionary in front of the data: a Python literal with three keys.
#[derive(Default)]
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, NpyError> {
        let mut text = Cursor { bytes, at: 0 };
        let mut header = Self::default();
        let mut seen = [false; 3];
        text.expect(b'{', "`{`")?;
        while !text.take(b'}') {
            let key = text.string()?;
            text.expect(b':', "`:`")?;
            let which = match key.as_str() {
                "descr" => {
                    header.descr = text.string()?;
                    0
                }
                "fortran_order" => {
                    header.fortran = text.boolean()?;
                    1
                }
                "shape" => {
                    header.shape = text.lengths()?;
                    2
                }
                _ => return Err(text.wrong("`descr`, `fortran_order` or `shape`")),
            };
            seen[which] = true;
            if !text.take(b',') {
                text.expect(b'}', "`,` or `}`")?;
                break;
            }
        }
        if seen == [true; 3] { Ok(header) } else { Err(text.wrong("`descr`, `fortran_order` and `shape`")) }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn wrong(&self, expected: &'static str) -> NpyError {
        NpyError::Header { at: self.at, expected }
    }

    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), NpyError> {
        if self.take(byte) { Ok(()) } else { Err(self.wrong(expected)) }
    }

    /// The run of bytes for which `fits` holds.
    fn run(&mut self, fits: impl Fn(u8) -> bool) -> String {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().position(|&b| !fits(b)).unwrap_or(rest.len());
        self.at += n;
        String::from_utf8_lossy(&rest[..n]).into_owned()
    }

    fn string(&mut self) -> Result<String, NpyError> {
        let quote = self.peek().filter(|b| matches!(b, b'\'' | b'"')).ok_or(self.wrong("a string"))?;
        self.at += 1;
        let text = self.run(|b| b != quote);
        self.expect(quote, "the end of a string")?;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        self.peek();
        match self.run(|b| b.is_ascii_alphabetic()).as_str() {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => Err(self.wrong("`True` or `False`")),
        }
    }

    fn lengths(&mut self) -> Result<Vec<usize>, NpyError> {
        let mut lengths = Vec::new();
        self.expect(b'(', "`(`")?;
        while !self.take(b')') {
            self.peek();
            let digits = self.run(|b| b.is_ascii_digit());
            lengths.push(digits.parse().map_err(|_| self.wrong("a length"))?);
            if !self.take(b',') {
                self.expect(b')', "`,` or `)`")?;
                break;
            }
        }
        Ok(lengths)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file as numpy writes it.
    fn numpy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn types_and_orders_of_numpy_are_read() {
        let header = |descr: &str, fortran: &str, shape: &str| -> String {
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n")
        };
        let f4: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(read(&numpy(&header("<f4", "False", "(2,)"), &f4)).unwrap().data, [1.5, -2.0]);
        let i4: Vec<u8> = [7i32, -8].iter().flat_map(|x| x.to_be_bytes()).collect();
        assert_eq!(read(&numpy(&header(">i4", "False", "(2,)"), &i4)).unwrap().data, [7.0, -8.0]);
        // [[1, 2, 3], [4, 5, 6]], columns first
        let i8: Vec<u8> = [1i64, 4, 2, 5, 3, 6].iter().flat_map(|x| x.to_le_bytes()).collect();
        let array = read(&numpy(&header("<i8", "True", "(2, 3)"), &i8)).unwrap();
        assert_eq!(array, Array { shape: vec![2, 3], data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] });
    }

    #[test]
    fn a_header_that_promises_too_much_is_refused_without_allocating() {
        let huge =
            "{'descr': '<f8', 'fortran_order': True, 'shape': (18446744073709551615, 18446744073709551615)}";
        assert!(matches!(read(&numpy(huge, &[0; 16])), Err(NpyError::Length { found: 16, .. })));
        let empty = "{'descr': '<f8', 'fortran_order': True, 'shape': (0, 18446744073709551615)}";
        assert!(read(&numpy(empty, &[])).unwrap().data.is_empty());
        assert_eq!(read(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"), Err(NpyError::Torn));
        let objects = "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}";
        assert_eq!(read(&numpy(objects, &[0; 8])), Err(NpyError::Type("|O".into())));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rows in 0usize..5, cols in 0usize..5, seed in any::<u64>()) {
            let n = rows * cols;
            let data: Vec<f64> = (0..n as u64).map(|k| f64::from_bits(seed.wrapping_mul(2 * k + 1) >> 2)).collect();
            let bytes = write(&[rows, cols], &data);
            prop_assert_eq!((bytes.len() - 8 * n) % 64, 0);
            prop_assert_eq!(read(&bytes).unwrap(), Array { shape: vec![rows, cols], data: data.clone() });
            prop_assert_eq!(read(&write(&[n], &data)).unwrap().shape, vec![n]);
        }

        #[test]
        fn no_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..130) {
            let mut bytes = b"\x93NUMPY".to_vec();
            bytes.extend(&tail);
            let _ = read(&bytes);
            // A good file, cut and with a byte changed
            let mut good = write(&[2, 1], &[1.0, 2.0]);
            good.truncate(cut);
            if let (Some(byte), Some(&new)) = (good.get_mut(tail.len()), tail.first()) {
                *byte = new;
            }
            let _ = read(&good);
        }
    }
}
