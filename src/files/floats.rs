//! Floats of TOML, read and written as fast as their digits allow.
//!
//! A member's outcome is almost nothing but `key = [floats]`, and a general parser is then the whole cost of an
//! update. Read here is the plain form alone: decimal numbers and `nan`, commas, spaces, tabs, line feeds. Whatever
//! else TOML allows (signs `+`, `_` between digits, comments, hexadecimal, `inf`) is *odd*: nothing is refused here,
//! the general parser judges it. What is accepted here has there the same value, bit for bit.
//! Belongs here: numbers and arrays of them. Not here: keys, tables, what the numbers mean.

use std::fmt::Write as _;

use crate::files::digits::{self, others};

/// How a run of numbers ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// At the `]`, which was read
    Closed,
    /// All places are taken; a comma was read after the last number
    Full,
    /// The text ends within the next item, which was not read
    Cut,
    /// At something that is not plain
    Odd,
}

/// Read numbers with a `,` or `]` after each into `out`, from `at`, which moves behind the last separator and may
/// move behind blanks after it. Tells how many there were.
pub(crate) fn items(text: &[u8], at: &mut usize, out: &mut [f64]) -> (usize, End) {
    let mut count = 0;
    loop {
        count += lane(text, at, &mut out[count..]);
        let from = blank(text, *at);
        match text.get(from) {
            None => return (count, End::Cut),
            Some(b']') => {
                *at = from + 1;
                return (count, End::Closed);
            }
            Some(_) => {}
        }
        let Some(place) = out.get_mut(count) else { return (count, End::Full) };
        let Some((value, end)) = number(text, from) else { return (count, odd_or_cut(&text[from..])) };
        let end = blank(text, end);
        match text.get(end) {
            None => return (count, End::Cut),
            Some(b',') => *at = end + 1,
            Some(b']') => {
                *place = value;
                *at = end + 1;
                return (count + 1, End::Closed);
            }
            Some(_) => return (count, odd_or_cut(&text[from..])),
        }
        *place = value;
        count += 1;
    }
}

/// As many numbers of the most usual form as follow each other, each with a comma right behind it; `at` moves behind
/// the last comma and the blanks after it.
#[inline(always)]
fn lane(text: &[u8], at: &mut usize, out: &mut [f64]) -> usize {
    digits::quickest!(lane_body(text: &[u8], at: &mut usize, out: &mut [f64]) -> usize)
}

#[inline(always)]
fn lane_body(text: &[u8], at: &mut usize, out: &mut [f64]) -> usize {
    let mut from = blank(text, *at);
    let mut count = 0;
    for place in out {
        let Some((value, end)) = quick(text, from) else { break };
        if text[end] != b',' {
            break;
        }
        *place = value;
        count += 1;
        // Most often one blank stands between two numbers.
        from = end + 1 + usize::from(text[end + 1] == b' ');
        if matches!(text[from], b' ' | b'\n' | b'\t') {
            from = blank(text, from);
        }
        *at = from;
    }
    count
}

/// Letters, signs and digits that reach the end of the text may be the beginning of a number.
fn odd_or_cut(item: &[u8]) -> End {
    let ends = item.iter().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'z' | b'E' | b'-' | b'+' | b'.'));
    if ends { End::Odd } else { End::Cut }
}

/// Read a whole array of exactly `out.len()` numbers; `at` is behind its `[`. None for anything else.
pub(crate) fn array(text: &[u8], at: &mut usize, out: &mut [f64]) -> Option<()> {
    match items(text, at, out) {
        (count, End::Closed) if count == out.len() => Some(()),
        _ => None,
    }
}

/// The first place from `at` on that is no blank.
pub(crate) fn blank(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\t')) {
        at += 1;
    }
    at
}

/// A number and the place behind it; none when it is odd.
#[inline]
pub(crate) fn number(text: &[u8], at: usize) -> Option<(f64, usize)> {
    quick(text, at).or_else(|| every(text, at))
}

/// Bytes before a number and from it on that [`quick`] looks at.
const BEFORE: usize = 16;
const AFTER: usize = 40;

/// Most numbers: at most eight digits, a point, some digits, at most 19 together, and a separator; neither at the begin
/// nor at the end of the text. At least two bytes of the text stand behind it.
///
/// Its end is found first, from one mask of 32 bytes. Then whole digits and places are loaded with their last one in
/// the highest byte, and what stands before them is masked out: no load waits for the value of another.
#[inline(always)]
fn quick(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let window: &[u8; BEFORE + AFTER] =
        text.get(at.checked_sub(BEFORE)?..at.checked_add(AFTER)?)?.first_chunk()?;
    let mut others = others(window[BEFORE..BEFORE + 32].first_chunk()?);
    let negative = window[BEFORE] == b'-';
    // A sign is no digit; another sign than this one leaves no whole digits below.
    others &= !u32::from(negative);
    let first = BEFORE + usize::from(negative);
    let point = BEFORE + others.trailing_zeros() as usize;
    others &= others.wrapping_sub(1);
    if others == 0 {
        return None;
    }
    let end = BEFORE + others.trailing_zeros() as usize;
    let (whole, places) = (point - first, end - point - 1);
    let fits = whole.wrapping_sub(1) < 8 && places.wrapping_sub(1) < 19 && whole + places <= 19;
    let separated = matches!(window[end], b',' | b']' | b' ' | b'\n');
    if !fits || window[point] != b'.' || !separated || (window[first] == b'0' && whole > 1) {
        return None;
    }
    let size = eight(load(window, point) & HIGH[whole]);
    let last = eight(load(window, end) & HIGH[places.min(8)]);
    let mut part = last;
    if places > 8 {
        part += eight(load(window, end - 8) & HIGH[(places - 8).min(8)]) * TEN[8];
        if places > 16 {
            part += eight(load(window, end - 16) & HIGH[places - 16]) * TEN[16];
        }
    }
    let value = decimal(size * TEN[places] + part, places)?;
    Some((f64::from_bits(value.to_bits() | (u64::from(negative) << 63)), at + end - BEFORE))
}

/// Powers of ten up to the number of places.
const TEN: [u64; 20] = {
    let mut table = [1; 20];
    let mut k = 1;
    while k < 20 {
        table[k] = 10 * table[k - 1];
        k += 1;
    }
    table
};

/// The highest bytes alone: none to all eight.
const HIGH: [u64; 9] = {
    let mut table = [u64::MAX; 9];
    let mut k = 0;
    while k < 8 {
        table[k] = !(u64::MAX >> (8 * k));
        k += 1;
    }
    table
};

const ONES: u64 = 0x0101_0101_0101_0101;

/// The eight bytes before `end` as digits, 0 to 9 where they are some.
#[inline(always)]
fn load(window: &[u8; BEFORE + AFTER], end: usize) -> u64 {
    let bytes: [u8; 8] = window[end - 8..end].try_into().expect("eight bytes");
    u64::from_le_bytes(bytes) ^ (0x30 * ONES)
}

/// The value of eight digits, the first in the lowest byte.
#[inline(always)]
fn eight(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}

/// 2ᵏ / 5^q cut to 64 bits with the highest one set, and k − 63, for q from 0 to 27.
const FIFTHS: [(u64, i32); 28] = {
    let mut table = [(0, 0); 28];
    let (mut q, mut five) = (0, 1_u128);
    while q < 28 {
        // Long division in base two: 5^q is below 2^63, so that no remainder overflows.
        let (mut rest, mut quotient, mut k) = (1_u128, 0_u64, 0);
        while quotient >> 63 == 0 {
            quotient = (quotient << 1) | (rest >= five) as u64;
            rest = (if rest >= five { rest - five } else { rest }) << 1;
            k += 1;
        }
        table[q] = (quotient, k - 1 - 63);
        five *= 5;
        q += 1;
    }
    table
};

/// The double next to mantissa · 10^−places; none where 64 bits of 1/5^places do not decide.
///
/// # Source
/// After Lemire (2021), Software: Practice and Experience 51, 1700–1727, doi:10.1002/spe.2984, with one product and
/// a way out in place of the second.
#[inline(always)]
fn decimal(mantissa: u64, places: usize) -> Option<f64> {
    let (fifth, k) = *FIFTHS.get(places)?;
    let shift = mantissa.leading_zeros() & 63;
    // The cut table makes the product too small, by less than 2^64 in 2^128.
    let product = u128::from(mantissa << shift) * u128::from(fifth);
    let top = (product >> 64) as u64;
    let high = (top >> 63) as u32;
    // 54 bits, the last of which decides on rounding; below them stand 9 or 10.
    let below = 9 + high;
    let mask = (1 << below) - 1;
    // All ones or all zeros: what was cut may decide.
    if (top.wrapping_add(1) & mask) < 2 {
        // Where both are doubles, a quotient of doubles is rounded once. Short numbers all go this way.
        return (mantissa < 1 << 53 && places <= 22).then(|| mantissa as f64 / EXACT[places]);
    }
    let bits = top >> below;
    let rounded = (bits >> 1) + (bits & 1);
    // value = mantissa · 2^−places / 5^places, far from the smallest and the largest doubles
    let power = 64 + below as i32 + 1 - shift as i32 - k - 63 - places as i32;
    Some(rounded as i64 as f64 * f64::from_bits(((1023 + power) as u64) << 52))
}

/// 10ᵏ as doubles, exact.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Any plain number.
fn every(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let rest = &text[at..];
    let sign = usize::from(rest.first() == Some(&b'-'));
    let digits = &rest[sign..];
    let first = *digits.first()?;
    if !first.is_ascii_digit() {
        return (sign == 0 && digits.starts_with(b"nan")).then_some((f64::NAN, at + 3));
    }
    let mut whole = 1;
    while digits.get(whole).is_some_and(u8::is_ascii_digit) {
        whole += 1;
    }
    if first == b'0' && whole > 1 {
        return None;
    }
    match digits.get(whole) {
        Some(b'.') if digits.get(whole + 1).is_some_and(u8::is_ascii_digit) => {}
        Some(b'e' | b'E') => {}
        Some(b'.') => return None,
        // An integer: exact in i64, and rounded once to a double, as in the general parser. `-0` is 0.
        _ if whole <= 18 => {
            let size = digits[..whole].iter().fold(0_i64, |n, d| 10 * n + i64::from(d - b'0'));
            let value = if sign == 1 { -size } else { size } as f64;
            return Some((value, at + sign + whole));
        }
        _ => return None,
    }
    let (value, length) = fast_float2::parse_partial::<f64, _>(rest).ok()?;
    // An exponent without digits is left unread, and then stands where a separator should.
    (length > sign + whole && f64::is_finite(value)).then_some((value, at + length))
}

/// Append the shortest text that reads back to the same double, always with a point or an exponent: the form of
/// Rust's `{:?}`, to the byte but for the last digit where two texts are as short and as near.
pub(crate) fn push_float(out: &mut String, value: f64) {
    let size = value.abs();
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        out.push_str(zmij::Buffer::new().format_finite(value));
    } else if value.is_nan() {
        out.push_str("nan");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "inf" } else { "-inf" });
    } else if (1e-5..1e-4).contains(&size) {
        // Here the two libraries part: 0.00001 and 1e-5.
        let _ = write!(out, "{value:?}");
    } else {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        match text.split_once("e+") {
            Some((digits, exponent)) => {
                out.push_str(digits);
                out.push('e');
                out.push_str(exponent);
            }
            None => out.push_str(text),
        }
    }
}

/// Append `[1.0, 2.0]`, eight numbers to a line when there are more.
pub(crate) fn push_array(out: &mut String, values: &[f64]) {
    let broken = values.len() > 8;
    // 17 digits, sign, point, exponent and a separator are 26; most numbers are shorter
    out.reserve(22 * values.len() + 8);
    out.push('[');
    for (k, line) in values.chunks(8).enumerate() {
        if broken {
            out.push_str("\n  ");
        }
        for (i, value) in line.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            push_float(out, *value);
        }
        if broken || (k + 1) * 8 < values.len() {
            out.push(',');
        }
    }
    out.push_str(if broken { "\n]" } else { "]" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn general(text: &str) -> Option<Vec<f64>> {
        let table: toml::Table = toml::from_str(&format!("x = [{text}]")).ok()?;
        let number = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
        table["x"].as_array()?.iter().map(number).collect()
    }

    /// What this file makes of it; none when it is odd.
    fn plain(text: &str) -> Option<Vec<f64>> {
        let (mut out, mut at) = (vec![0.0; text.len() + 1], 0);
        let closed = format!("{text}]");
        let (count, end) = items(closed.as_bytes(), &mut at, &mut out);
        out.truncate(count);
        (end == End::Closed && at == closed.len()).then_some(out)
    }

    fn agree(text: &str) {
        if let Some(found) = plain(text) {
            let expected = general(text).unwrap_or_else(|| panic!("`{text}` is no TOML"));
            let bits = |x: &[f64]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&expected), "{text}");
        }
    }

    /// Of two shortest texts that are equally far from `x` either is right: a number that is half a unit of its last
    /// place, as a third decimal 5, has two. Times 2ᵏ 10^decimals all three are whole.
    fn tie(a: &str, b: &str, x: f64) -> bool {
        let Some((_, decimals)) = a.split_once('.') else { return false };
        let (scale, places) = (10_i128.pow(decimals.len().min(16) as u32), decimals.len());
        let binary = 2_i128.pow(places as u32 + 1);
        let units = |text: &str| match text.split_once('.') {
            Some((whole, part)) if part.len() == places => format!("{whole}{part}").parse::<i128>().ok(),
            _ => None,
        };
        let (Some(s), Some(t)) = (units(a), units(b)) else { return false };
        let exact = binary as f64 * x; // a power of two: nothing is rounded
        let off = |text: i128| (text * binary - exact as i128 * scale).abs();
        a.len() == b.len() && exact.fract() == 0.0 && off(s) == off(t)
    }

    #[test]
    fn of_two_shortest_texts_either_is_right() {
        for (bits, lower, upper) in [
            (14_056_592_864_918_480_093, "-1340506880633143.2", "-1340506880633143.3"),
            (14_041_729_619_994_476_008, "-133018454812663.62", "-133018454812663.63"),
        ] {
            let x = f64::from_bits(bits);
            let mut text = String::new();
            push_float(&mut text, x);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), x.to_bits());
            assert!(text == lower || text == upper, "{text}");
            assert!(tie(lower, upper, x));
            assert!(!tie(lower, &upper.replace("3.", "4."), x), "not as far");
            assert!(!tie(lower, &format!("{upper}0"), x), "not as short");
        }
    }

    #[test]
    fn the_plain_form_is_read_and_every_other_left_to_the_general_parser() {
        for text in
            ["", "1.0", "1.0,", " 1, -0, 0,\n\t-0.0 ,1e5,1E-3", "nan", "123456789012345678, 1e-400, 5e-324"]
        {
            assert!(plain(text).is_some(), "{text}");
            agree(text);
        }
        let odd = [
            "01.0", "1.", ".5", "+1.0", "1_0.0", "inf", "-nan", "0x10", "1e", "1.5e+", "1e400", "1.0 # c",
            "1.0 2.0",
        ];
        for text in odd.into_iter().chain([
            "1,,2",
            ",",
            "1979-05-27",
            "9999999999999999999",
            "\"a\"",
            "[1.0]",
            "1.0\r",
            "-",
            "1.0.0",
        ]) {
            assert!(plain(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_text_cut_anywhere_goes_on_where_it_was_left() {
        let values = [1.5, -2.25e-30, f64::NAN, 7.0, 123456.78901, -0.0, 1e22, 4.0, 5.0];
        let mut text = String::new();
        push_array(&mut text, &values);
        let text = &text.as_bytes()[1..];
        for cut in 0..text.len() {
            let (mut at, mut out) = (0, [0.0; 9]);
            let (some, end) = items(&text[..cut], &mut at, &mut out);
            assert_eq!(end, End::Cut, "{cut}");
            let (rest, end) = items(text, &mut at, &mut out[some..]);
            assert_eq!((some + rest, end, at), (9, End::Closed, text.len()), "{cut}");
            assert!(out.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn any_double_is_printed_as_rust_prints_it_and_read_back(bits: u64, short in -1e6..1e6f64) {
            for x in [f64::from_bits(bits), short, (short * 1000.0).round() / 1000.0, short * 1e-10, short.trunc()] {
                let mut text = String::new();
                push_float(&mut text, x);
                if x.is_nan() {
                    prop_assert_eq!(&text, "nan");
                } else {
                    let rust = format!("{:?}", x);
                    prop_assert!(text == rust || tie(&text, &rust, x), "{text} {rust}");
                    let found = plain(&text);
                    prop_assert_eq!(found.is_some(), x.is_finite());
                    prop_assert!(found.is_none_or(|f| f[0].to_bits() == x.to_bits()));
                }
                agree(&text);
            }
        }

        #[test]
        fn quick_texts_have_the_general_parsers_bits(text in "-?(0|[1-9][0-9]{0,8})\\.[0-9]{1,21}", tail in "[,\n .e_1]") {
            agree(&text);
            let padded = format!("{text}, {}", "1.0, ".repeat(10));
            agree(&padded);
            agree(&format!("{text}{tail}{}", "1.0, ".repeat(10)));
            prop_assert_eq!(number(padded.as_bytes(), 0), every(padded.as_bytes(), 0));
        }

        #[test]
        fn doubles_and_the_halves_between_them_are_rounded_right(x in 1e-9..1e7f64, more: bool) {
            let half = f64::from_bits(x.to_bits() + 1) - x;
            for places in [3, 9, 14, 16, 18] {
                for y in [x, x + half] {
                    let text = format!("{y:.places$}{}, {}", if more { "5" } else { "" }, "1.0, ".repeat(10));
                    prop_assert_eq!(number(text.as_bytes(), 0), every(text.as_bytes(), 0), "{}", text);
                }
            }
            // The exact middle between two doubles below 2^53 with a short decimal
            let odd = (x * 1e3) as u64;
            let text = format!("{}.5, {}", odd + (1 << 52), "1.0, ".repeat(10));
            prop_assert_eq!(number(text.as_bytes(), 0), every(text.as_bytes(), 0), "{}", text);
        }

        #[test]
        fn decimal_texts_have_the_general_parsers_bits(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
            agree(&text);
        }

        #[test]
        fn texts_near_arrays_are_read_alike_or_left(text in "[-+0-9.eE,_ \n\tnaif#x\\]\\[\"]{0,40}") {
            if !text.contains([']', '[', '"', '#']) {
                agree(&text);
            }
            let mut at = 0;
            let _ = items(text.as_bytes(), &mut at, &mut [0.0; 4]);
        }
    }
}
