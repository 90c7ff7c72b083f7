//! netCDF files: variables of numbers, classic (CDF-1, CDF-2) and netCDF-4 (HDF5).
//!
//! Belongs here: bytes to numbers, packed ones unpacked, missing ones NaN; the only room that names the two crates.
//! Not here: which variable is what (`models::hydro`). No C library: deflated and shuffled data are read, other filters
//! are not.

use std::collections::BTreeMap;
use std::path::Path;

use hdf5_pure::{AttrValue, DType};
use netcdf3::{DataVector, FileReader};

/// Larger than any number that is meant: what the netCDF library writes where nothing was written.
const UNWRITTEN: f64 = 9.0e36;

/// A variable with numbers.
#[derive(Debug, Clone, Default)]
pub struct Variable {
    /// Length along each of its dimensions
    pub shape: Vec<usize>,
    /// Row by row, unpacked; NaN where it is missing
    pub numbers: Vec<f64>,
    /// Stored as whole numbers without a scale: perhaps names of something
    pub whole: bool,
    /// Attributes that are text: `units`, `calendar`
    pub texts: BTreeMap<String, String>,
}

/// All variables of numbers in a file, by name.
///
/// # Errors
/// In words: it is cut short, or written in a way that is not read.
pub fn read(path: &Path, bytes: Vec<u8>) -> Result<BTreeMap<String, Variable>, String> {
    if bytes.starts_with(b"CDF") { classic(path, bytes) } else { hdf5(bytes) }
}

/// What packs the numbers of a variable, and marks those that are missing.
#[derive(Default)]
struct Packing {
    scale: Option<f64>,
    offset: Option<f64>,
    missing: Vec<f64>,
}

impl Packing {
    fn note(&mut self, name: &str, numbers: &[f64]) {
        match (name, numbers.first()) {
            ("scale_factor", Some(x)) => self.scale = Some(*x),
            ("add_offset", Some(x)) => self.offset = Some(*x),
            ("_FillValue" | "missing_value", Some(_)) => self.missing.extend_from_slice(numbers),
            _ => {}
        }
    }

    /// Numbers as they are meant.
    fn unpack(&self, mut numbers: Vec<f64>) -> Vec<f64> {
        let (scale, offset) = (self.scale.unwrap_or(1.0), self.offset.unwrap_or(0.0));
        for x in &mut numbers {
            let missing = self.missing.contains(x) || x.abs() > UNWRITTEN;
            *x = if missing { f64::NAN } else { *x * scale + offset };
        }
        numbers
    }

    fn packs(&self) -> bool {
        self.scale.is_some() || self.offset.is_some()
    }
}

fn widened(data: DataVector) -> Vec<f64> {
    match data {
        DataVector::I8(x) => x.into_iter().map(f64::from).collect(),
        DataVector::U8(x) => x.into_iter().map(f64::from).collect(),
        DataVector::I16(x) => x.into_iter().map(f64::from).collect(),
        DataVector::I32(x) => x.into_iter().map(f64::from).collect(),
        DataVector::F32(x) => x.into_iter().map(f64::from).collect(),
        DataVector::F64(x) => x,
    }
}

fn classic(path: &Path, bytes: Vec<u8>) -> Result<BTreeMap<String, Variable>, String> {
    if bytes.get(3).is_some_and(|version| *version > 2) {
        return Err("it is of the form CDF-5: `nccopy -k nc4` makes one that is read".into());
    }
    let name = path.display().to_string();
    let cut = |error: &dyn std::fmt::Debug| format!("it is damaged or was cut short ({error:?})");
    let mut file =
        FileReader::open_seek_read(&name, Box::new(std::io::Cursor::new(bytes))).map_err(|e| cut(&e))?;
    let mut found = BTreeMap::new();
    let mut packings = Vec::new();
    for variable in file.data_set().get_vars() {
        let (mut packing, mut kept) = (Packing::default(), Variable::default());
        for attribute in variable.get_attrs() {
            let numbers: Vec<f64> = [
                attribute.get_i16().map(|x| x.iter().map(|x| f64::from(*x)).collect()),
                attribute.get_i32().map(|x| x.iter().map(|x| f64::from(*x)).collect()),
                attribute.get_f32().map(|x| x.iter().map(|x| f64::from(*x)).collect()),
                attribute.get_f64().map(<[f64]>::to_vec),
            ]
            .into_iter()
            .flatten()
            .next()
            .unwrap_or_default();
            packing.note(attribute.name(), &numbers);
            if let Some(text) = attribute.get_as_string().filter(|_| numbers.is_empty()) {
                kept.texts.insert(attribute.name().to_owned(), tidy(&text));
            }
        }
        kept.shape = variable.get_dims().iter().map(|dim| dim.size()).collect();
        packings.push((variable.name().to_owned(), packing, kept));
    }
    for (name, packing, mut kept) in packings {
        let data = file.read_var(&name).map_err(|e| cut(&e))?;
        if matches!(data, DataVector::U8(_)) {
            continue; // text
        }
        kept.whole = !matches!(data, DataVector::F32(_) | DataVector::F64(_)) && !packing.packs();
        kept.numbers = packing.unpack(widened(data));
        found.insert(name, kept);
    }
    Ok(found)
}

/// Text as it is meant, without the zeros behind it.
fn tidy(text: &str) -> String {
    text.trim_end_matches('\0').trim().to_owned()
}

fn hdf5(bytes: Vec<u8>) -> Result<BTreeMap<String, Variable>, String> {
    let cut = |error: hdf5_pure::Error| {
        format!("it is damaged, was cut short, or is packed in a way that is not read ({error})")
    };
    let file = hdf5_pure::File::from_bytes(bytes).map_err(cut)?;
    let root = file.root();
    let mut found = BTreeMap::new();
    for name in root.datasets().map_err(cut)? {
        let data = root.dataset(&name).map_err(cut)?;
        let kind = data.dtype().map_err(cut)?;
        let float = matches!(kind, DType::F32 | DType::F64);
        let whole = matches!(
            kind,
            DType::I8
                | DType::I16
                | DType::I32
                | DType::I64
                | DType::U8
                | DType::U16
                | DType::U32
                | DType::U64
        );
        if !float && !whole {
            continue; // text, or tables
        }
        let (mut packing, mut kept) = (Packing::default(), Variable::default());
        for (name, value) in data.attrs().map_err(cut)? {
            match words(&value) {
                Some(text) => drop(kept.texts.insert(name, tidy(&text))),
                None => packing.note(&name, &numbers(&value)),
            }
        }
        let shape = data.shape().map_err(cut)?;
        kept.shape = shape.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
        kept.whole = whole && !packing.packs();
        kept.numbers = packing.unpack(data.read_f64().map_err(cut)?);
        found.insert(name, kept);
    }
    Ok(found)
}

fn words(value: &AttrValue) -> Option<String> {
    match value {
        AttrValue::String(text) | AttrValue::AsciiString(text) => Some(text.clone()),
        AttrValue::StringSized { value, .. } | AttrValue::AsciiStringSized { value, .. } => {
            Some(value.clone())
        }
        AttrValue::StringArray(texts)
        | AttrValue::AsciiStringArray(texts)
        | AttrValue::VarLenAsciiCharArray(texts)
        | AttrValue::StringArraySized { values: texts, .. }
        | AttrValue::AsciiStringArraySized { values: texts, .. } => texts.first().cloned(),
        _ => None,
    }
}

fn numbers(value: &AttrValue) -> Vec<f64> {
    let all = |x: &[i64]| x.iter().map(|x| *x as f64).collect();
    match value {
        AttrValue::F32(x) => vec![f64::from(*x)],
        AttrValue::F32Array(x) => x.iter().map(|x| f64::from(*x)).collect(),
        AttrValue::F64(x) => vec![*x],
        AttrValue::F64Array(x) => x.clone(),
        AttrValue::I8(x) => vec![f64::from(*x)],
        AttrValue::I8Array(x) => x.iter().map(|x| f64::from(*x)).collect(),
        AttrValue::I16(x) => vec![f64::from(*x)],
        AttrValue::I16Array(x) => x.iter().map(|x| f64::from(*x)).collect(),
        AttrValue::I32(x) => vec![f64::from(*x)],
        AttrValue::I32Array(x) => x.iter().map(|x| f64::from(*x)).collect(),
        AttrValue::I64(x) => vec![*x as f64],
        AttrValue::I64Array(x) => all(x),
        AttrValue::U8(x) => vec![f64::from(*x)],
        AttrValue::U8Array(x) => x.iter().map(|x| f64::from(*x)).collect(),
        _ => Vec::new(),
    }
}
