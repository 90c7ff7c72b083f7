//! The outcome of a member, `data.toml`: its text, and the numbers out of it.
//!
//! ```text
//!   [model_output]          one array for each block of the observation
//! or
//!   [array]                 the same numbers, block after block, in `data.npy` beside it
//! ```
//! Three readers: the checksum and a scan for the plain form that the toolkit writes; the general TOML parser for
//! all that is not plain, which alone refuses; and the array beside. Belongs here: bytes to numbers, checked.
//! Not here: which file counts, what a missing one means.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::files::outcome::Defect;
use crate::files::{TomlText, crc32, digest, floats, npy, raw};

/// The last line of an outcome begins so.
const MARK: &str = "# crc32 ";
/// The array beside an outcome.
pub const ARRAY: &str = "data.npy";
/// Bytes read at a time: they stay in the second-level cache from the disk to the sum.
const PIECE: usize = 1 << 18;

/// An outcome that was read and checked; its numbers went where the caller wanted them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Digest of the whole `data.toml`
    pub digest: String,
    /// Where its numbers lie on disk
    pub form: Stored,
}

/// How an outcome holds its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// In the plain form: for each block of the observation the place behind its `[` in `data.toml`
    Plain(Vec<u64>),
    /// In TOML that only the general parser reads
    Other,
    /// In `data.npy`, doubles from this byte on
    Array(u64),
}

#[derive(Deserialize)]
struct Raw {
    schema: String,
    version: u32,
    parameters: String,
    model_output: Option<toml::Table>,
    array: Option<Beside>,
}

/// `[array]`
#[derive(Deserialize)]
struct Beside {
    file: String,
    dtype: String,
    shape: Vec<usize>,
    crc32: String,
    blocks: Vec<String>,
}

/// The text of a `data.toml`: comment lines, digest of the parameters, one array per block, checksum.
pub fn data_text(comments: &str, parameters: &str, blocks: &[(&str, &[f64])]) -> String {
    let mut text = head(comments, parameters);
    text.table("model_output");
    for (name, values) in blocks {
        text.floats(name, values);
    }
    summed(text)
}

/// The same for numbers that stand in an array beside it: the text, and the bytes of `data.npy`.
pub fn data_beside(comments: &str, parameters: &str, blocks: &[(&str, &[f64])]) -> (String, Vec<u8>) {
    let all: Vec<f64> = blocks.iter().flat_map(|(_, values)| values.iter().copied()).collect();
    let bytes = npy::write(&[all.len()], &all);
    let names: Vec<&str> = blocks.iter().map(|(name, _)| *name).collect();
    let lengths: Vec<u32> =
        blocks.iter().map(|(_, values)| u32::try_from(values.len()).unwrap_or(u32::MAX)).collect();
    let mut text = head(comments, parameters);
    text.table("array")
        .text("file", ARRAY)
        .text("dtype", "<f8")
        .raw(&format!("shape = [{}]", all.len()))
        .text("crc32", &crc32(&bytes))
        .texts("blocks", &names)
        .numbers("lengths", &lengths);
    (summed(text), bytes)
}

fn head(comments: &str, parameters: &str) -> TomlText {
    let mut text = TomlText::comments(comments);
    text.text("schema", "ekp.data").number("version", 1).text("parameters", parameters);
    text
}

fn summed(mut text: TomlText) -> String {
    let mut text = text.finish();
    let crc = crc32(text.as_bytes());
    text.push_str(&format!("{MARK}{crc}\n"));
    text
}

/// Read and check a `data.toml` that needs no array beside it, for a member whose parameters have the digest
/// `parameters`: the outcome, and the numbers of all blocks one after the other.
///
/// # Errors
/// Every way in which it is not that member's outcome.
pub fn parse_data(
    bytes: &[u8],
    parameters: &str,
    names: &[String],
    lengths: &[usize],
) -> Result<(Data, Vec<f64>), Defect> {
    let mut out = vec![0.0; lengths.iter().sum()];
    let data = read_data(bytes, None, parameters, names, lengths, &mut out)?;
    Ok((data, out))
}

/// As [`parse_data`], with the folder in which the array may lie, and a place for the numbers: `out` has as many
/// as all blocks together, and holds rubbish after an error.
///
/// # Errors
/// Every way in which it is not that member's outcome.
pub fn read_data(
    bytes: &[u8],
    folder: Option<&Path>,
    parameters: &str,
    names: &[String],
    lengths: &[usize],
    out: &mut [f64],
) -> Result<Data, Defect> {
    if let Some(places) = plain(bytes, parameters, names, lengths, out) {
        return Ok(Data { digest: digest(bytes), form: Stored::Plain(places) });
    }
    let raw = general(bytes, parameters)?;
    let blocks = |found: Vec<String>| Defect::Blocks { found, expected: names.to_vec() };
    let (form, infinite) = match (&raw.model_output, &raw.array, folder) {
        (Some(output), None, _) => {
            let found: Vec<String> = output.keys().cloned().collect();
            if found.len() != names.len() || names.iter().any(|n| !output.contains_key(n)) {
                return Err(blocks(found));
            }
            let mut rest = &mut out[..];
            for (name, &expected) in names.iter().zip(lengths) {
                let values = numbers(&output[name])
                    .ok_or_else(|| Defect::Unreadable(format!("block `{name}` is no array of numbers")))?;
                if values.len() != expected {
                    return Err(Defect::Length { block: name.clone(), found: values.len(), expected });
                }
                let place;
                (place, rest) = rest.split_at_mut(expected);
                place.copy_from_slice(&values);
            }
            (Stored::Other, out.iter().any(|x| x.is_infinite()))
        }
        (None, Some(array), Some(folder)) => {
            if array.blocks != names {
                return Err(blocks(array.blocks.clone()));
            }
            let (begin, infinite) = array.read(folder, out)?;
            (Stored::Array(begin), infinite)
        }
        _ => return Err(Defect::Unreadable("it has no `[model_output]`, or an `[array]` beside it".into())),
    };
    let mut from = 0;
    for (name, &length) in names.iter().zip(lengths).filter(|_| infinite) {
        if let Some(at) = out[from..from + length].iter().position(|x| x.is_infinite()) {
            return Err(Defect::Infinite { block: name.clone(), at: at + 1 });
        }
        from += length;
    }
    Ok(Data { digest: digest(bytes), form })
}

/// The general reader: checksum, schema, parameters.
fn general(bytes: &[u8], parameters: &str) -> Result<Raw, Defect> {
    if bytes.is_empty() {
        return Err(Defect::Empty);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| Defect::Unreadable(e.to_string()))?;
    let body_end = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
    let sum =
        text[body_end..].strip_prefix(MARK).and_then(|s| s.strip_suffix('\n')).ok_or(Defect::NoChecksum)?;
    if sum != crc32(&bytes[..body_end]) {
        return Err(Defect::Checksum);
    }
    let raw: Raw = toml::from_str(text).map_err(|e| Defect::Unreadable(e.message().to_owned()))?;
    if raw.schema != "ekp.data" || raw.version != 1 {
        return Err(Defect::Unreadable(format!("it is `{}` version {}", raw.schema, raw.version)));
    }
    if raw.parameters != parameters {
        return Err(Defect::Foreign { found: raw.parameters, expected: parameters.to_owned() });
    }
    Ok(raw)
}

fn numbers(value: &toml::Value) -> Option<Vec<f64>> {
    let number = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    value.as_array()?.iter().map(number).collect()
}

impl Beside {
    /// Read the array; tells at which byte its numbers begin, and whether one of them is infinite.
    fn read(&self, folder: &Path, out: &mut [f64]) -> Result<(u64, bool), Defect> {
        let wrong = |why: String| Defect::Array { file: self.file.chars().take(60).collect(), why };
        // A name, not a path: an outcome reads nothing but its own folder.
        if self.file != ARRAY {
            return Err(wrong(format!("the array of an outcome is called `{ARRAY}`")));
        }
        if self.dtype != "<f8" || self.shape != [out.len()] {
            let (dtype, shape) = (&self.dtype, &self.shape);
            return Err(wrong(format!(
                "it is announced as {dtype} {shape:?}, the observation has <f8 [{}]",
                out.len()
            )));
        }
        let unread = |e: io::Error| wrong(crate::explain::reason(&e));
        let mut file = File::open(folder.join(ARRAY)).map_err(unread)?;
        let (head, bytes) = npy::head(&mut file).map_err(unread)?.map_err(|e| wrong(e.to_string()))?;
        if !head.is_doubles(out.len()) {
            return Err(wrong(format!("it is no array of {} doubles", out.len())));
        }
        let mut sum = crc32fast::Hasher::new();
        sum.update(&bytes);
        let mut infinite = false;
        for places in out.chunks_mut(PIECE / 8) {
            let filled = raw::fill(places, |piece| {
                file.read_exact(piece)?;
                sum.update(piece);
                Ok(())
            });
            filled.map_err(|e: io::Error| match e.kind() {
                io::ErrorKind::UnexpectedEof => wrong("it is cut short".into()),
                _ => unread(e),
            })?;
            infinite = places.iter().fold(infinite, |some, x| some | x.is_infinite());
        }
        let more = file.read(&mut [0]).map_err(unread)? > 0;
        if more || format!("{:08x}", sum.finalize()) != self.crc32 {
            return Err(wrong("its checksum does not fit its content (cut short, or changed)".into()));
        }
        Ok((bytes.len() as u64, infinite))
    }
}

/// Scan the form that the toolkit writes: whole lines `key = value`, blank lines, comments; a checksum that fits;
/// finite numbers or NaN. The places behind the `[` of each block, in the order of `names`; none for all else.
fn plain(
    bytes: &[u8],
    parameters: &str,
    names: &[String],
    lengths: &[usize],
    out: &mut [f64],
) -> Option<Vec<u64>> {
    let body = bytes.strip_suffix(b"\n")?;
    let end = body.iter().rposition(|b| *b == b'\n')? + 1;
    let sum = body[end..].strip_prefix(MARK.as_bytes())?;
    let body = &bytes[..end];
    if sum != crc32(body).as_bytes() {
        return None;
    }
    let mut starts = Vec::with_capacity(names.len());
    let mut from = 0;
    for length in lengths {
        starts.push(from);
        from += length;
    }
    let mut places = vec![None; names.len()];
    let mut seen = [false; 3];
    let (mut at, mut output) = (0, false);
    while at < body.len() {
        let line = &body[at..];
        let length = line.iter().position(|b| *b == b'\n')?;
        let (line, after) = (&line[..length], at + length + 1);
        if line.is_empty() || (line[0] == b'#' && line.iter().all(|b| (b' '..=b'~').contains(b))) {
            at = after;
        } else if output {
            let (key, open) = key(line)?;
            let block = names.iter().position(|name| name.as_bytes() == key)?;
            if places[block].is_some() {
                return None;
            }
            let mut inside = at + open;
            places[block] = Some(inside as u64);
            let values = &mut out[starts[block]..starts[block] + lengths[block]];
            floats::array(body, &mut inside, values)?;
            at = inside + 1;
            if body.get(inside) != Some(&b'\n') {
                return None;
            }
        } else {
            let mut once = |k: usize| (!std::mem::replace(&mut seen[k], true)).then_some(());
            match line {
                b"schema = \"ekp.data\"" => once(0)?,
                b"version = 1" => once(1)?,
                b"[model_output]" => output = true,
                _ => {
                    let found = line.strip_prefix(b"parameters = \"")?.strip_suffix(b"\"")?;
                    let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b':';
                    if found != parameters.as_bytes() || !found.iter().all(plain) {
                        return None;
                    }
                    once(2)?;
                }
            }
            at = after;
        }
    }
    if seen != [true; 3] { None } else { places.into_iter().collect() }
}

/// `key = [` at the begin of a line: the key, and the place behind the bracket.
fn key(line: &[u8]) -> Option<(&[u8], usize)> {
    let bare = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    // A quoted key without escapes says what it is.
    let inside = |b: &u8| (b' '..=b'~').contains(b) && !matches!(b, b'"' | b'\\');
    let (key, behind) = match line.strip_prefix(b"\"") {
        Some(quoted) => {
            let end = quoted.iter().position(|b| !inside(b)).filter(|end| quoted[*end] == b'"')?;
            (&quoted[..end], end + 2)
        }
        None => {
            let end = line.iter().position(|b| !bare(b)).filter(|end| *end > 0)?;
            (&line[..end], end)
        }
    };
    line[behind..].starts_with(b" = [").then_some((key, behind + 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> (Vec<String>, Vec<usize>) {
        (vec!["range".into(), "the mean".into()], vec![1, 3])
    }

    fn good() -> String {
        data_text("a comment", "blake3:00", &[("range", &[2.5]), ("the mean", &[1.0, f64::NAN, -1e-300])])
    }

    fn with_sum(body: &str) -> String {
        format!("{body}# crc32 {}\n", crc32(body.as_bytes()))
    }

    /// The general reader alone, for the same bytes.
    fn by_general(bytes: &[u8]) -> Result<Vec<u64>, String> {
        let (names, lengths) = names();
        let raw = general(bytes, "blake3:00").map_err(|e| e.to_string())?;
        let output = raw.model_output.ok_or("no output")?;
        let mut all = Vec::new();
        if output.len() != names.len() {
            return Err("blocks".into());
        }
        for (name, length) in names.iter().zip(lengths) {
            let values = output.get(name).and_then(numbers).ok_or("a block")?;
            if values.len() != length {
                return Err("a length".into());
            }
            all.extend(values.iter().map(|x| x.to_bits()));
        }
        Ok(all)
    }

    #[test]
    fn data_reads_back_with_the_same_bits_by_the_scan() {
        let (names, lengths) = names();
        let (data, values) = parse_data(good().as_bytes(), "blake3:00", &names, &lengths).unwrap();
        assert!(matches!(&data.form, Stored::Plain(places) if places.len() == 2));
        assert_eq!(values[0], 2.5);
        assert!(values[2].is_nan());
        assert_eq!(values[3].to_bits(), (-1e-300f64).to_bits());
    }

    #[test]
    fn no_cut_and_no_flipped_bit_passes() {
        let (names, lengths) = names();
        let good = good().into_bytes();
        for at in 0..good.len() {
            assert!(parse_data(&good[..at], "blake3:00", &names, &lengths).is_err(), "cut at {at}");
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            assert!(parse_data(&flipped, "blake3:00", &names, &lengths).is_err(), "byte {at}");
        }
    }

    #[test]
    fn toml_that_is_not_plain_is_read_all_the_same() {
        let (names, lengths) = names();
        let head = "version = 1\nschema = 'ekp.data'\nparameters = \"blake3:00\"\n";
        for body in [
            "[model_output]\n'the mean' = [1, 2.0, +3.0] # c\nrange = [\n1_0.0, ]\n",
            "model_output.range = [10.0]\nmodel_output.\"the mean\" = [1.0, 2.0, 3.0]\n",
            "model_output = { range = [1e1], \"the mean\" = [1.0, 2.0, 3.0] }\n",
        ] {
            let text = with_sum(&format!("{head}{body}"));
            let (data, values) = parse_data(text.as_bytes(), "blake3:00", &names, &lengths).unwrap();
            assert_eq!((data.form, values), (Stored::Other, vec![10.0, 1.0, 2.0, 3.0]));
        }
    }

    #[test]
    fn foreign_wrong_length_and_infinite_are_told_apart() {
        let (names, lengths) = names();
        let of = |blocks: &[(&str, &[f64])]| {
            parse_data(data_text("", "blake3:00", blocks).as_bytes(), "blake3:00", &names, &lengths)
        };
        assert!(matches!(
            parse_data(good().as_bytes(), "blake3:11", &names, &lengths),
            Err(Defect::Foreign { .. })
        ));
        assert!(matches!(of(&[("range", &[1.0])]), Err(Defect::Blocks { .. })));
        assert!(matches!(
            of(&[("range", &[1.0]), ("the mean", &[1.0])]),
            Err(Defect::Length { found: 1, expected: 3, .. })
        ));
        let infinite = of(&[("range", &[f64::INFINITY]), ("the mean", &[1.0; 3])]);
        assert_eq!(infinite, Err(Defect::Infinite { block: "range".into(), at: 1 }));
    }

    #[test]
    fn an_array_beside_is_read_and_every_damage_to_it_noticed() {
        let (names, lengths) = names();
        let folder = std::env::temp_dir().join(format!("ekp-data-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let values = [2.5, 1.0, f64::NAN, -1e-300];
        let (text, array) =
            data_beside("", "blake3:00", &[("range", &values[..1]), ("the mean", &values[1..])]);
        let read = |text: &str, array: &[u8]| {
            std::fs::write(folder.join(ARRAY), array).unwrap();
            let mut out = vec![0.0; 4];
            read_data(text.as_bytes(), Some(&folder), "blake3:00", &names, &lengths, &mut out)
                .map(|data| (data.form, out))
        };
        let (form, out) = read(&text, &array).unwrap();
        assert_eq!(form, Stored::Array(array.len() as u64 - 32));
        assert!(out.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()));
        for at in 0..array.len() {
            let mut flipped = array.clone();
            flipped[at] ^= 1;
            assert!(read(&text, &flipped).is_err(), "byte {at}");
            assert!(read(&text, &array[..at]).is_err(), "cut at {at}");
        }
        assert!(read(&text, &[&array[..], &[0]].concat()).is_err());
        let body = text.rsplit_once("# crc32").unwrap().0;
        for (from, to) in [("data.npy", "../x.npy"), ("<f8", "<f4"), ("[4]", "[5]"), ("range", "orange")] {
            assert!(read(&with_sum(&body.replace(from, to)), &array).is_err(), "{from}");
        }
        assert!(parse_data(text.as_bytes(), "blake3:00", &names, &lengths).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let (names, lengths) = names();
            let _ = parse_data(&bytes, "blake3:00", &names, &lengths);
            let mut summed = bytes;
            summed.push(b'\n');
            let line = format!("# crc32 {}\n", crc32(&summed));
            summed.extend_from_slice(line.as_bytes());
            let _ = parse_data(&summed, "blake3:00", &names, &lengths);
        }

        #[test]
        fn what_the_scan_takes_the_general_reader_takes_too(
            at in 0..200_usize, put in "[ -~\n\t]{0,4}", gone in 0..6_usize, comment in "[ -~\u{7f}\t]{0,9}",
        ) {
            let (names, lengths) = names();
            let good = data_text(&comment, "blake3:00", &[("range", &[2.5]), ("the mean", &[1.0, 2.0, -1e-300])]);
            let body = good.rsplit_once("# crc32").unwrap().0;
            let at = at.min(body.len());
            let text = with_sum(&format!("{}{put}{}\n", &body[..at], &body[(at + gone).min(body.len())..]));
            let mut out = [0.0; 4];
            if plain(text.as_bytes(), "blake3:00", &names, &lengths, &mut out).is_some() {
                let bits: Vec<u64> = out.iter().map(|x| x.to_bits()).collect();
                prop_assert_eq!(by_general(text.as_bytes()), Ok(bits), "{}", text);
            }
        }
    }
}
