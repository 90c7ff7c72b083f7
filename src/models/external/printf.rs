//! Numbers in C's formats, digit for digit: `12.5e`, `08.3f`, `-+10g`, `4d`.
//!
//! # Source
//! ISO C17 7.21.6.1 (fprintf); exact ties are rounded to even, as glibc does.

/// Longest width or precision: a text file has no use for more, and a typing error would fill the disk.
const LONGEST: usize = 1000;

/// One conversion of C's `printf`, without the `%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    conversion: u8,
}

impl Format {
    /// Read `[%][flags][width][.precision]conversion`; the error says what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut format = Self {
            left: false,
            plus: false,
            space: false,
            alternate: false,
            zero: false,
            width: 0,
            precision: None,
            conversion: b'g',
        };
        let bytes = text.strip_prefix('%').unwrap_or(text).as_bytes();
        let mut at = 0;
        while let Some(flag) = bytes.get(at) {
            match flag {
                b'-' => format.left = true,
                b'+' => format.plus = true,
                b' ' => format.space = true,
                b'#' => format.alternate = true,
                b'0' => format.zero = true,
                _ => break,
            }
            at += 1;
        }
        (format.width, at) = digits(bytes, at);
        if bytes.get(at) == Some(&b'.') {
            let (precision, after) = digits(bytes, at + 1);
            (format.precision, at) = (Some(precision), after);
        }
        if format.width > LONGEST || format.precision.is_some_and(|p| p > LONGEST) {
            return Err(format!("width and precision go up to {LONGEST}"));
        }
        match bytes[at..] {
            [conversion @ (b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'd')] => format.conversion = conversion,
            _ => {
                return Err(
                    "allowed: flags `-+ 0#`, a width, `.` with digits, then one of `e E f F g G d`".into()
                );
            }
        }
        Ok(format)
    }

    /// The number as C would print it. `d` prints the nearest integer.
    pub(crate) fn print(self, x: f64) -> String {
        let sign = match (x.is_sign_negative(), self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        let size = x.abs();
        let upper = self.conversion.is_ascii_uppercase();
        if !x.is_finite() {
            let word = if x.is_nan() { "nan" } else { "inf" };
            let word = if upper { word.to_uppercase() } else { word.to_owned() };
            return self.pad(sign, &word, false);
        }
        let body = match self.conversion.to_ascii_lowercase() {
            b'e' => self.exponent(size, self.precision.unwrap_or(6)),
            b'f' => self.fixed(size, self.precision.unwrap_or(6)),
            b'd' => return self.integer(x),
            _ => self.general(size),
        };
        self.pad(sign, &if upper { body.to_uppercase() } else { body }, self.zero)
    }

    fn fixed(self, size: f64, precision: usize) -> String {
        let dot = if self.alternate && precision == 0 { "." } else { "" };
        format!("{size:.precision$}{dot}")
    }

    fn exponent(self, size: f64, precision: usize) -> String {
        let text = format!("{size:.precision$e}"); // 1.50e-7; C wants a sign and two digits at least
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
        let dot = if self.alternate && precision == 0 { "." } else { "" };
        format!("{digits}{dot}e{sign}{power:0>2}")
    }

    fn general(self, size: f64) -> String {
        let digits = self.precision.unwrap_or(6).max(1);
        // The power of ten *after* rounding to that many digits decides the style.
        let rounded = format!("{size:.*e}", digits - 1);
        let power: i32 = rounded.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
        let text = if power < -4 || power >= digits as i32 {
            self.exponent(size, digits - 1)
        } else {
            self.fixed(size, (digits as i32 - 1 - power) as usize)
        };
        if self.alternate {
            return text;
        }
        let (mantissa, tail) = text.split_once('e').map_or((text.as_str(), None), |(m, e)| (m, Some(e)));
        let mantissa = if mantissa.contains('.') {
            mantissa.trim_end_matches('0').trim_end_matches('.')
        } else {
            mantissa
        };
        tail.map_or_else(|| mantissa.to_owned(), |tail| format!("{mantissa}e{tail}"))
    }

    fn integer(self, x: f64) -> String {
        let nearest = x.round_ties_even();
        let digits = if nearest == 0.0 && self.precision == Some(0) {
            String::new() // C prints no digit for zero with precision zero
        } else {
            format!("{:0>1$}", format!("{:.0}", nearest.abs()), self.precision.unwrap_or(1))
        };
        let sign = match (nearest < 0.0, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        };
        self.pad(sign, &digits, self.zero && self.precision.is_none())
    }

    fn pad(self, sign: &str, body: &str, zeros: bool) -> String {
        let missing = self.width.saturating_sub(sign.len() + body.len());
        if self.left {
            format!("{sign}{body}{:missing$}", "")
        } else if zeros {
            format!("{sign}{:0>missing$}{body}", "")
        } else {
            format!("{:missing$}{sign}{body}", "")
        }
    }
}

/// The number whose digits start at `at`, and where they end; it stops growing when too large.
fn digits(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let mut value = 0usize;
    while let Some(digit) = bytes.get(at).filter(|b| b.is_ascii_digit()) {
        value = (value * 10 + usize::from(digit - b'0')).min(LONGEST + 1);
        at += 1;
    }
    (value, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::snprintf::{c_double, c_integer};
    use proptest::prelude::*;

    fn ours(format: &str, x: f64) -> String {
        Format::parse(format).unwrap().print(x)
    }

    #[test]
    fn the_usual_formats_print_as_in_c() {
        for flags in ["", "-", "+", " ", "0", "#", "+0", "-+", "#0", "- ", "+#", "0-"] {
            for size in ["", "1", "12", ".0", ".1", ".3", "8.0", "12.5", "25.17", "."] {
                for conversion in ["e", "E", "f", "F", "g", "G"] {
                    let format = format!("{flags}{size}{conversion}");
                    for x in [
                        0.0,
                        -0.0,
                        1.0,
                        -1.0,
                        0.5,
                        1.5,
                        2.5,
                        0.25,
                        0.125,
                        9.5,
                        99.5,
                        999_999.5,
                        1e5,
                        123_456.0,
                        1_234_567.0,
                        1e-4,
                        1e-5,
                        9.9999e-5,
                        1e15,
                        1e16,
                        1e22,
                        1e100,
                        5e-324,
                        1e-300,
                        f64::MAX,
                        f64::INFINITY,
                        f64::NEG_INFINITY,
                        f64::NAN,
                        1.0 / 3.0,
                    ] {
                        // glibc prints `%#g` of 999999.5 as `1.e+06`, against the standard's `1.00000e+06`
                        let carries = |x: f64| ours("e", x).contains("9.9") || [9.5, 99.5].contains(&x);
                        if flags.contains('#') && "gG".contains(conversion) && carries(x.abs()) {
                            continue;
                        }
                        assert_eq!(ours(&format, x), c_double(&format!("%{format}"), x), "{format} {x:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn integers_print_as_in_c() {
        for format in ["d", "5d", "-5d|", "05d", "+d", " d", ".3d", "8.3d", "08.3d", ".0d"] {
            let format = format.trim_end_matches('|');
            for x in [0i64, 1, -1, 42, -1234, 99_999_999, -(1 << 53)] {
                let c = format!("%{}", format.replace('d', "lld"));
                assert_eq!(ours(format, x as f64), c_integer(&c, x), "{format} {x}");
            }
        }
        assert_eq!(ours("d", 2.6), "3");
        assert_eq!(ours("d", -0.3), "0");
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for text in ["", "5", "x", "5.5", "1e5e", "2000f", ".9999e", "ld", "5.e5"] {
            assert!(Format::parse(text).is_err(), "{text}");
        }
        assert_eq!(ours("%8.3f", 1.0), "   1.000");
    }

    proptest! {
        #[test]
        fn any_double_prints_as_in_c(bits: u64, width in 0usize..30, precision in 0usize..40, which in 0usize..6) {
            let x = f64::from_bits(bits);
            let format = format!("{width}.{precision}{}", ["e", "E", "f", "F", "g", "G"][which]);
            let format = format.trim_start_matches('0');
            prop_assert_eq!(ours(format, x), c_double(&format!("%{format}"), x));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = Format::parse(&text);
        }
    }
}
