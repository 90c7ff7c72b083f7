//! Amounts that schedulers write in their own way: wall time, memory, numbers of workers.
//!
//! Belongs here: parsing what a person wrote, and one canonical way to write it back.
//! Not here: which job asks for how much (`launch::site`).

use std::fmt;

/// A wall time, in whole seconds; none means without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walltime(pub Option<u64>);

impl Walltime {
    /// What may be written.
    pub const ALLOWED: &'static str =
        "minutes (`30`), `MM:SS`, `HH:MM:SS`, `D-HH`, `D-HH:MM`, `D-HH:MM:SS` or `UNLIMITED`";

    /// A wall time of so many seconds.
    pub fn seconds(seconds: u64) -> Self {
        Self(Some(seconds))
    }

    /// Read any of Slurm's forms. Zero is refused: to Slurm it means "no limit".
    pub fn parse(text: &str) -> Option<Self> {
        if matches!(text.to_ascii_uppercase().as_str(), "UNLIMITED" | "INFINITE") {
            return Some(Self(None));
        }
        let (days, clock) = match text.split_once('-') {
            Some((days, clock)) => (Some(number(days)?), clock),
            None => (None, text),
        };
        let parts = clock.split(':').map(number).collect::<Option<Vec<u64>>>()?;
        // After days the first part is hours; without them it depends on how many parts there are.
        let (hours, minutes, seconds) = match (days, parts.as_slice()) {
            (None, &[minutes]) => (0, minutes, 0),
            (None, &[minutes, seconds]) => (0, minutes, seconds),
            (_, &[hours, minutes, seconds]) => (hours, minutes, seconds),
            (Some(_), &[hours]) => (hours, 0, 0),
            (Some(_), &[hours, minutes]) => (hours, minutes, 0),
            _ => return None,
        };
        let total = days.unwrap_or(0) * 86_400 + hours * 3600 + minutes * 60 + seconds;
        (total > 0).then_some(Self(Some(total)))
    }

    /// The same, longer by `factor`, in whole minutes as Slurm counts them.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self(self.0.map(|seconds| (seconds as f64 * factor / 60.0).ceil() as u64 * 60))
    }
}

impl fmt::Display for Walltime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(total) = self.0 else { return f.write_str("UNLIMITED") };
        let (days, rest) = (total / 86_400, total % 86_400);
        if days > 0 {
            write!(f, "{days}-")?;
        }
        write!(f, "{:02}:{:02}:{:02}", rest / 3600, rest % 3600 / 60, rest % 60)
    }
}

/// Memory, in MiB as Slurm counts it; 0 is all of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory(pub u64);

impl Memory {
    /// What may be written.
    pub const ALLOWED: &'static str =
        "a number with K, M, G or T (`4G`), without unit MiB, `0` for the whole node";

    /// Read `4G`, `500M`, `2048`; a trailing `B` does no harm.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_suffix('B').unwrap_or(&upper);
        let (digits, unit) = match bare.char_indices().next_back()? {
            (_, c) if c.is_ascii_digit() => (bare, 'M'),
            (at, unit) => (&bare[..at], unit),
        };
        if upper.ends_with('B') && unit == 'M' && !bare.ends_with('M') {
            return None; // `4B`: bytes are nobody's unit here
        }
        let amount = number(digits)?;
        Some(Self(match unit {
            'K' => amount.div_ceil(1024),
            'M' => amount,
            'G' => amount * 1024,
            'T' => amount * 1024 * 1024,
            _ => return None,
        }))
    }

    /// The same, more by `factor`.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self((self.0 as f64 * factor).ceil() as u64)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            mb if mb % (1024 * 1024) == 0 => write!(f, "{}T", mb / 1024 / 1024),
            mb if mb % 1024 == 0 => write!(f, "{}G", mb / 1024),
            mb => write!(f, "{mb}M"),
        }
    }
}

/// Nine digits at most: enough for any amount, and no product overflows.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// How many worker processes run on one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Workers {
    /// One per physical core that this process may use
    #[default]
    Physical,
    /// One per hardware thread that this process may use
    Logical,
    /// So many
    Count(u32),
    /// All physical cores but so many
    AllBut(u32),
}

impl Workers {
    /// What may be written.
    pub const ALLOWED: &'static str =
        "`physical`, `logical`, a number from 1 on, or a negative number (all physical cores but so many)";

    /// Read `physical`, `logical`, `8`, `-2`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "physical" => Some(Self::Physical),
            "logical" => Some(Self::Logical),
            number => Self::from_integer(number.parse().ok()?),
        }
    }

    /// From a number; zero is none.
    pub fn from_integer(number: i64) -> Option<Self> {
        let amount = u32::try_from(number.unsigned_abs()).ok().filter(|&n| n > 0)?;
        Some(if number > 0 { Self::Count(amount) } else { Self::AllBut(amount) })
    }

    /// How many that is where so many cores may be used; at least one.
    pub fn count(self, physical: usize, logical: usize) -> usize {
        match self {
            Self::Physical => physical,
            Self::Logical => logical,
            Self::Count(n) => n as usize,
            Self::AllBut(n) => physical.saturating_sub(n as usize),
        }
        .max(1)
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Physical => f.write_str("physical"),
            Self::Logical => f.write_str("logical"),
            Self::Count(n) => write!(f, "{n}"),
            Self::AllBut(n) => write!(f, "-{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_wall_time_is_read_as_slurm_reads_it() {
        let seconds = |text: &str| Walltime::parse(text).and_then(|w| w.0);
        assert_eq!(seconds("30"), Some(1800));
        assert_eq!(seconds("2:30"), Some(150));
        assert_eq!(seconds("01:00:00"), Some(3600));
        assert_eq!(seconds("2-12"), Some(2 * 86_400 + 12 * 3600));
        assert_eq!(seconds("2-12:30"), Some(2 * 86_400 + 12 * 3600 + 1800));
        assert_eq!(seconds("1-00:00:01"), Some(86_401));
        assert_eq!(Walltime::parse("unlimited"), Some(Walltime(None)));
        for wrong in ["", "0", "1h", "-5", "1:2:3:4", "1-", "1--2", "1 2", "99999999999"] {
            assert_eq!(Walltime::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wall_time_written_back_is_the_same_time() {
        for text in ["00:30:00", "1-00:00:00", "12-03:04:05", "UNLIMITED"] {
            assert_eq!(Walltime::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Walltime::seconds(61).times(2.0).to_string(), "00:03:00");
    }

    #[test]
    fn memory_is_counted_in_mebibytes() {
        let read = |text: &str| Memory::parse(text).map(|m| m.to_string());
        assert_eq!(read("4G").as_deref(), Some("4G"));
        assert_eq!(read("4096").as_deref(), Some("4G"));
        assert_eq!(read("1500m").as_deref(), Some("1500M"));
        assert_eq!(read("4GB").as_deref(), Some("4G"));
        assert_eq!(read("100K").as_deref(), Some("1M"));
        assert_eq!(read("2T").as_deref(), Some("2T"));
        assert_eq!(read("0").as_deref(), Some("0"));
        for wrong in ["", "G", "4 G", "-4G", "4P", "4B", "4.5G"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(Memory(1000).times(1.5), Memory(1500));
    }

    #[test]
    fn workers_are_words_or_numbers_and_never_none() {
        assert_eq!(Workers::parse("physical"), Some(Workers::Physical));
        assert_eq!(Workers::parse("-2"), Some(Workers::AllBut(2)));
        assert_eq!(Workers::parse("0"), None);
        assert_eq!(Workers::AllBut(8).count(4, 8), 1);
        assert_eq!(Workers::Logical.count(4, 8), 8);
    }
}
