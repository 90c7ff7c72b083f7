//! Axes: from numbers to places, and the ticks a person would choose.

/// How numbers are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    /// Equal ratios are equally far; the number is the base that ticks are powers of
    Log(u8),
}

/// An axis: its numbers, its label, and the names that stand in place of numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it says
    pub label: String,
    kind: Kind,
    lo: f64,
    hi: f64,
    names: Option<Vec<(f64, String)>>,
    quiet: bool,
    down: bool,
}

/// Smallest and largest of the finite numbers, with a margin of `share` of their distance on both sides; around a
/// single number a tenth of it, or 1.
pub fn padded(numbers: impl Iterator<Item = f64>, share: f64) -> (f64, f64) {
    let (lo, hi) = numbers
        .filter(|x| x.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), x| (lo.min(x), hi.max(x)));
    if lo > hi {
        return (0.0, 1.0);
    }
    let wide = hi - lo;
    if wide <= 1e-12 * lo.abs().max(hi.abs()) {
        let half = if lo == 0.0 { 1.0 } else { 0.1 * lo.abs() };
        return (lo - half, hi + half);
    }
    (lo - share * wide, hi + share * wide)
}

impl Axis {
    /// From `lo` to `hi`, equal differences equally far.
    pub fn linear(label: &str, (lo, hi): (f64, f64)) -> Self {
        let hi = if hi > lo { hi } else { lo + 1.0 };
        Self { label: label.into(), kind: Kind::Linear, lo, hi, names: None, quiet: false, down: false }
    }

    /// From `lo` to `hi`, both above zero, equal ratios equally far; ticks at powers of `base`.
    pub fn log(label: &str, base: u8, (lo, hi): (f64, f64)) -> Self {
        let lo = if lo > 0.0 { lo } else { f64::MIN_POSITIVE };
        let hi = if hi > lo { hi } else { lo * 10.0 };
        Self { label: label.into(), kind: Kind::Log(base), lo, hi, names: None, quiet: false, down: false }
    }

    /// Logarithmic where all numbers are above zero and span more than a factor of `ratio`, else linear from zero on.
    pub fn by_range(label: &str, numbers: impl Iterator<Item = f64> + Clone, ratio: f64) -> Self {
        let finite = numbers.filter(|x| x.is_finite());
        let (lo, hi) = finite.fold((f64::INFINITY, 0.0_f64), |(lo, hi), x| (lo.min(x), hi.max(x)));
        if lo > 0.0 && hi > lo * ratio {
            return Self::log(label, 10, (lo / 1.4, hi * 1.4));
        }
        let hi = if hi > 0.0 && lo.is_finite() { hi * 1.08 } else { 1.0 };
        Self::linear(label, (lo.min(0.0) * 1.08, hi))
    }

    /// Names in place of numbers.
    pub fn named(mut self, names: Vec<(f64, String)>) -> Self {
        self.names = Some(names);
        self
    }

    /// Its first end is where the last one was: an upright axis counts from the top.
    pub fn from_top(mut self) -> Self {
        self.down = true;
        self
    }

    /// No numbers at its ticks.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Whether its ticks have numbers.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The ends.
    pub fn ends(&self) -> (f64, f64) {
        (self.lo, self.hi)
    }

    /// Where a number lies: 0 at one end, 1 at the other; NaN for what has no place.
    pub(super) fn place(&self, x: f64) -> f64 {
        let share = match self.kind {
            Kind::Linear => (x - self.lo) / (self.hi - self.lo),
            Kind::Log(_) if x > 0.0 => (x / self.lo).ln() / (self.hi / self.lo).ln(),
            Kind::Log(_) => f64::NAN,
        };
        if self.down { 1.0 - share } else { share }
    }

    /// Ticks with what stands at them, about `wanted` of them.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<(f64, String)> {
        match (&self.names, self.kind) {
            (Some(names), _) => names.clone(),
            (None, Kind::Linear) => linear(self.lo, self.hi, wanted),
            (None, Kind::Log(base)) => powers(self.lo, self.hi, f64::from(base), wanted),
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear(lo: f64, hi: f64, wanted: usize) -> Vec<(f64, String)> {
    let rough = (hi - lo) / wanted.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let (first, last) = ((lo / step - 1e-9).ceil() as i64, (hi / step + 1e-9).floor() as i64);
    let large = lo.abs().max(hi.abs());
    (first..=last)
        .map(|k| {
            let x = k as f64 * step;
            let text = if (1e-3..1e6).contains(&large) { format!("{x:.decimals$}") } else { scientific(x) };
            (x, text.replace('-', "\u{2212}"))
        })
        .collect()
}

/// `2e−5`; zero is `0`.
fn scientific(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    let text = format!("{x:.2e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.'))
}

/// Powers of a base; where there are fewer than three, simple multiples of powers of ten, too.
fn powers(lo: f64, hi: f64, base: f64, wanted: usize) -> Vec<(f64, String)> {
    let exponent = |x: f64| x.ln() / base.ln();
    let (first, last) = ((exponent(lo) - 1e-9).ceil() as i32, (exponent(hi) + 1e-9).floor() as i32);
    let count = (last - first + 1).max(0);
    if base != 10.0 || count >= 3 {
        let every = (count / i32::try_from(wanted.max(1)).unwrap_or(1)).max(1);
        return (first..=last)
            .filter(|e| (e - first) % every == 0)
            .map(|e| (base.powi(e), plain(base.powi(e), e, base)))
            .collect();
    }
    let low = lo.log10().floor() as i32;
    let high = hi.log10().ceil() as i32;
    (low..=high)
        .flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10_f64.powi(e)))
        .filter(|x| (lo * 0.999_999..=hi * 1.000_001).contains(x))
        .map(|x| (x, plain(x, x.log10().floor() as i32, 1.0)))
        .collect()
}

/// A number of few digits; far from 1 a power of ten as print has it.
fn plain(x: f64, exponent: i32, base: f64) -> String {
    if (1e-3..1e5).contains(&x) {
        let text = format!("{x:.4}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    if base != 10.0 {
        return scientific(x).replace('-', "\u{2212}");
    }
    let digits: String = exponent
        .to_string()
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            digit => char::from_u32('⁰' as u32 + digit as u32 - '0' as u32).unwrap_or(digit),
        })
        .collect();
    format!("10{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> String {
        axis.ticks(5).into_iter().map(|(_, t)| t).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_the_numbers_a_person_would_choose() {
        assert_eq!(texts(&Axis::linear("", (0.0, 1.0))), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(texts(&Axis::linear("", (-3.0, 12.0))), "0 5 10");
        assert_eq!(
            texts(&Axis::linear("", (0.0, 2e-5))),
            "0 5e\u{2212}6 1e\u{2212}5 1.5e\u{2212}5 2e\u{2212}5"
        );
        assert_eq!(texts(&Axis::log("", 10, (0.5, 2000.0))), "1 10 100 1000");
        assert_eq!(texts(&Axis::log("", 10, (1e-9, 1e-5))), "10⁻⁹ 10⁻⁸ 10⁻⁷ 10⁻⁶ 10⁻⁵");
        assert_eq!(texts(&Axis::log("", 10, (0.4, 6.0))), "0.5 1 2 5");
        assert_eq!(texts(&Axis::log("", 2, (1.0, 16.0))), "1 2 4 8 16");
    }

    #[test]
    fn a_range_of_one_number_or_none_is_still_a_range() {
        assert_eq!(padded([2.0, f64::NAN].into_iter(), 0.1), (1.8, 2.2));
        assert_eq!(padded([0.0].into_iter(), 0.1), (-1.0, 1.0));
        assert_eq!(padded(std::iter::empty(), 0.1), (0.0, 1.0));
        assert_eq!(padded([0.0, 10.0].into_iter(), 0.1), (-1.0, 11.0));
    }

    #[test]
    fn a_number_without_a_place_on_a_logarithmic_axis_has_none() {
        let axis = Axis::log("", 10, (1.0, 100.0));
        assert!(axis.place(0.0).is_nan() && axis.place(-1.0).is_nan());
        assert!((axis.place(10.0) - 0.5).abs() < 1e-15, "round-off of one logarithm");
    }
}
