//! numpy's `.npy`: the one place that knows how it is read.

/// All numbers, in the order of C.
pub(crate) fn numbers(bytes: &[u8]) -> Result<Vec<f64>, String> {
    let no = || "not an npy file".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(no)?;
    let (&major, rest) = rest.split_first().ok_or_else(no)?;
    let wide = if major >= 2 { 4 } else { 2 };
    let size = rest.get(1..1 + wide).ok_or_else(no)?;
    let length = size.iter().rev().fold(0usize, |n, &b| n << 8 | usize::from(b));
    let rest = &rest[1 + wide..];
    let header = rest.get(..length).ok_or("the heading is cut short")?;
    let (header, data) = (String::from_utf8_lossy(header), &rest[length..]);
    let field = |name: &str| Some(header.split_once(name)?.1.trim_start_matches([':', ' ']));
    let shape =
        field("'shape'").and_then(|s| Some(s.split_once('(')?.1.split_once(')')?.0)).ok_or_else(no)?;
    let dims = shape.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse::<usize>().ok());
    let dims: Vec<usize> = dims.collect::<Option<_>>().ok_or_else(no)?;
    let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(no)?;
    if dims.len() > 1 && field("'fortran_order'").is_some_and(|f| f.starts_with("True")) {
        return Err("an array of more than one dimension in Fortran's order; save it as `order=\"C\"`".into());
    }
    let kind = field("'descr'").and_then(|d| d.split('\'').nth(1)).ok_or_else(no)?;
    let width = match kind {
        "<f8" | "<i8" => 8,
        "<f4" | "<i4" => 4,
        _ => return Err(format!("holds `{kind}`, expected `<f8` (also `<f4`, `<i8`, `<i4`)")),
    };
    if Some(data.len()) != count.checked_mul(width) {
        let held = data.len();
        return Err(format!(
            "has {held} bytes of data where {count} numbers take {width} each; was it cut short?"
        ));
    }
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
    let one = |bytes: &[u8]| match kind {
        "<f8" => f64::from_bits(word(bytes)),
        "<f4" => f64::from(f32::from_bits(word(bytes) as u32)),
        "<i8" => word(bytes) as i64 as f64,
        _ => f64::from(word(bytes) as u32 as i32),
    };
    Ok(data.chunks_exact(width).map(one).collect())
}
