//! Scores: how well a simulated series follows an observed one, in one number with its parts.
//!
//! Belongs here: the measures as pure functions of two series, which periods count, and what a search asks a model
//! for instead of series. Not here: how a search uses a score.
//!
//! Pairs in which either number is not finite are left out of every measure. Fewer than two pairs, and observations
//! without mean or without variance, leave a measure undefined.
//!
//! # Source
//! Gupta et al. (2009), J. Hydrol. 377, 80–91, doi:10.1016/j.jhydrol.2009.08.003 (KGE);
//! Kling, Fuchs & Paulin (2012), J. Hydrol. 424–425, 264–277, doi:10.1016/j.jhydrol.2012.01.011 (KGE′);
//! Nash & Sutcliffe (1970), J. Hydrol. 10, 282–290, doi:10.1016/0022-1694(70)90255-6 (NSE).

use std::fmt;

use chrono::NaiveDate;

use crate::explain::Marked;
use crate::files::human::Section;

/// A measure of likeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Kling–Gupta efficiency, 1 is perfect: 1 − √((r−1)² + (σs/σo−1)² + (μs/μo−1)²)
    Kge,
    /// The form of 2012: variability is the ratio of the coefficients of variation
    KgePrime,
    /// Nash–Sutcliffe efficiency, 1 is perfect: 1 − Σ(o−s)² / Σ(o−μo)²
    Nse,
    /// NSE of ln(q + ε), ε = μo / 100
    LogNse,
    /// Relative error of the sum in per cent, 0 is perfect: 100 (Σs − Σo) / Σo; above 0 is too much
    Pbias,
}

impl Measure {
    /// Names as they are written in `[score]`.
    pub const NAMES: &'static [&'static str] = &["kge", "kge-prime", "nse", "log-nse", "pbias"];
    const ALL: [Self; 5] = [Self::Kge, Self::KgePrime, Self::Nse, Self::LogNse, Self::Pbias];

    /// As written in `[score]`.
    pub fn word(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// From its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.word() == name)
    }

    /// One of the names at `key`, if it is there.
    ///
    /// # Errors
    /// Another word; the nearest is offered.
    pub fn read(section: &Section<'_>, key: &str) -> Result<Option<Self>, Marked> {
        Ok(section.choice(key, Self::NAMES)?.and_then(Self::parse))
    }

    /// The score of `simulated` against `observed`, series of one length and one unit. `None`: undefined.
    ///
    /// ε of `log-nse` is one hundredth of the mean observation of the pairs.
    pub fn of(self, observed: &[f64], simulated: &[f64]) -> Option<Score> {
        let finite = |(o, s): (&f64, &f64)| (o.is_finite() && s.is_finite()).then_some((*o, *s));
        let pairs: Vec<(f64, f64)> = observed.iter().zip(simulated).filter_map(finite).collect();
        if pairs.len() < 2 {
            return None;
        }
        let n = pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
        let mut moments = Moments::about(mean(|p| p.0));
        pairs.iter().for_each(|&(o, s)| moments.add(o, s));
        if self != Self::LogNse {
            return self.from_moments(&moments);
        }
        let eps = moments.about * LOG_SHARE;
        if eps <= 0.0 || pairs.iter().any(|&(o, s)| o + eps <= 0.0 || s + eps <= 0.0) {
            return None;
        }
        let logs: Vec<(f64, f64)> = pairs.iter().map(|&(o, s)| ((o + eps).ln(), (s + eps).ln())).collect();
        let mut moments = Moments::about(logs.iter().map(|p| p.0).sum::<f64>() / n);
        logs.iter().for_each(|&(o, s)| moments.add(o, s));
        self.from_moments(&moments)
    }

    /// The score from sums over the pairs (of logarithms for `log-nse`). `None`: undefined.
    pub fn from_moments(self, m: &Moments) -> Option<Score> {
        let n = m.pairs;
        if n < 2.0 {
            return None;
        }
        let (mean_o, mean_s) = (m.about + m.o / n, m.about + m.s / n);
        let var_o = (m.oo - m.o * m.o / n) / (n - 1.0);
        let var_s = ((m.ss - m.s * m.s / n) / (n - 1.0)).max(0.0);
        let score = |value: f64, parts: &[(&str, f64)]| {
            let parts = parts.iter().map(|(name, x)| ((*name).to_owned(), *x)).collect();
            value.is_finite().then(|| Score { name: self.word().into(), value, parts, pairs: n as usize })
        };
        match self {
            Self::Kge | Self::KgePrime => {
                if var_o <= 0.0 || var_s <= 0.0 || mean_o == 0.0 {
                    return None;
                }
                let r = (m.os - m.o * m.s / n) / (n - 1.0) / (var_o * var_s).sqrt();
                let (ratio, beta) = ((var_s / var_o).sqrt(), mean_s / mean_o);
                let variability = if self == Self::Kge { ratio } else { ratio / beta };
                let lost = (r - 1.0).powi(2) + (variability - 1.0).powi(2) + (beta - 1.0).powi(2);
                score(1.0 - lost.sqrt(), &[("r", r), ("variability", variability), ("beta", beta)])
            }
            Self::Nse | Self::LogNse => {
                let total = m.oo - m.o * m.o / n;
                if total <= 0.0 {
                    return None;
                }
                score(1.0 - (m.oo - 2.0 * m.os + m.ss) / total, &[])
            }
            Self::Pbias => {
                if mean_o == 0.0 {
                    return None;
                }
                score(
                    100.0 * (m.s - m.o) / (n * mean_o),
                    &[("mean_observed", mean_o), ("mean_simulated", mean_s)],
                )
            }
        }
    }
}

/// ε of `log-nse` as a share of the mean observation.
pub const LOG_SHARE: f64 = 0.01;

/// Sums over pairs (observed, simulated) about a number near their mean, from which every measure follows.
///
/// The sums are about the mean observation, so that what cancels in a variance is small.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// c, taken off before all sums
    pub about: f64,
    /// Number of pairs
    pub pairs: f64,
    /// Σ (o − c)
    pub o: f64,
    /// Σ (s − c)
    pub s: f64,
    /// Σ (o − c)²
    pub oo: f64,
    /// Σ (s − c)²
    pub ss: f64,
    /// Σ (o − c)(s − c)
    pub os: f64,
}

impl Moments {
    /// No pairs yet, sums about `about`.
    pub fn about(about: f64) -> Self {
        Self { about, ..Self::default() }
    }

    /// One pair more.
    pub fn add(&mut self, observed: f64, simulated: f64) {
        let (o, s) = (observed - self.about, simulated - self.about);
        self.pairs += 1.0;
        self.o += o;
        self.s += s;
        self.oo += o * o;
        self.ss += s * s;
        self.os += o * s;
    }
}

/// A score with all that it consists of.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The measure, or what the model calls it
    pub name: String,
    /// As its name says
    pub value: f64,
    /// Named parts: for `kge` r, variability, beta
    pub parts: Vec<(String, f64)>,
    /// Pairs of numbers that it was made from; 0 where a model has a score of its own
    pub pairs: usize,
}

impl Score {
    /// What a search makes as large as it can: the value itself, and −|value| for `pbias`.
    pub fn goal(&self) -> f64 {
        if self.name == Measure::Pbias.word() { -self.value.abs() } else { self.value }
    }
}

/// Days from the first to the last, both counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// First day
    pub first: NaiveDate,
    /// Last day
    pub last: NaiveDate,
}

impl Period {
    /// `["2004-01-01", "2007-12-31"]` at `key`, if it is there.
    ///
    /// # Errors
    /// Something else than two days in order.
    pub fn read(section: &Section<'_>, key: &str) -> Result<Option<Self>, Marked> {
        let Some(days) = section.opt::<Vec<String>>(key)? else { return Ok(None) };
        let wrong = |label: String| section.wrong(key, format!("`{key}` is no period"), label);
        let [first, last] = days.as_slice() else {
            let label = "allowed: first and last day, such as `[\"2004-01-01\", \"2007-12-31\"]`";
            return Err(wrong(label.into()));
        };
        let day = |text: &String| {
            let day = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d");
            day.map_err(|_| {
                wrong(format!("`{text}` is no day; allowed: days of the calendar, such as `2004-02-29`"))
            })
        };
        let (first, last) = (day(first)?, day(last)?);
        if first > last {
            return Err(wrong(format!(
                "{first} is after {last}; allowed: first and last day, in this order"
            )));
        }
        Ok(Some(Self { first, last }))
    }

    /// Number of days.
    pub fn days(&self) -> usize {
        (self.last - self.first).num_days() as usize + 1
    }
}

/// `2004-01-01/2007-12-31`, as ISO 8601 has it.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.last)
    }
}

/// The score that a search asks a model for in place of series: a model that can reduces it where it arises.
#[derive(Debug, Clone, PartialEq)]
pub struct Scoring {
    /// What is measured, several for several objectives. None: the model has scores of its own (`from_model`)
    pub measures: Vec<Measure>,
    /// Days that are run before the scored ones and not scored: a run begins with the first of them. None: with the
    /// first day of the model's data
    pub spin_up: Option<Period>,
    /// Days that are scored; a run ends with the last of them. None: all that were observed
    pub period: Option<Period>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::human::Document;
    use std::path::Path;

    #[test]
    fn scores_have_their_closed_forms() {
        // s = 2 o: r = 1, σ ratio 2, μ ratio 2, the coefficients of variation agree
        let o: Vec<f64> = (0..50).map(|i| 3.0 + (f64::from(i) * 0.7).sin()).collect();
        let s: Vec<f64> = o.iter().map(|x| 2.0 * x).collect();
        let value = |measure: Measure| measure.of(&o, &s).unwrap().value;
        assert!((value(Measure::Kge) - (1.0 - 2f64.sqrt())).abs() < 1e-12);
        assert!(value(Measure::KgePrime).abs() < 1e-12);
        assert!((value(Measure::Pbias) - 100.0).abs() < 1e-12);
        assert_eq!(Measure::Pbias.of(&o, &s).unwrap().goal(), -value(Measure::Pbias));
        for measure in Measure::ALL {
            let perfect = measure.of(&o, &o).unwrap();
            let best = if measure == Measure::Pbias { 0.0 } else { 1.0 };
            assert!((perfect.value - best).abs() < 1e-7, "{perfect:?}"); // √ of round-off
            assert_eq!(perfect.pairs, 50);
            assert_eq!(Measure::parse(measure.word()), Some(measure));
        }
        // The mean as a forecast has NSE 0, and no KGE: it has no variance
        let mean = vec![o.iter().sum::<f64>() / 50.0; 50];
        assert!(Measure::Nse.of(&o, &mean).unwrap().value.abs() < 1e-12);
        assert_eq!(Measure::Kge.of(&o, &mean), None);
    }

    #[test]
    fn missing_pairs_are_left_out_together_and_nothing_is_undefined_in_silence() {
        let (o, s) = ([1.0, f64::NAN, 3.0, 4.0, 7.0], [1.5, 2.0, f64::INFINITY, 3.0, 9.0]);
        for measure in Measure::ALL {
            let masked = measure.of(&o, &s).unwrap();
            assert_eq!(masked, measure.of(&[1.0, 4.0, 7.0], &[1.5, 3.0, 9.0]).unwrap());
            assert_eq!(masked.pairs, 3);
            assert_eq!(measure.of(&[1.0, f64::NAN], &[1.0, 2.0]), None);
            assert_eq!(measure.of(&[0.0; 3], &[1.0; 3]), None);
        }
    }

    #[test]
    fn a_period_is_two_days_in_order() {
        let read = |text: &str| {
            let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
            Period::read(&document.section(), "p")
        };
        let period = read("p = [\"2004-01-01\", \"2004-12-31\"]").unwrap().unwrap();
        assert_eq!((period.days(), period.to_string().as_str()), (366, "2004-01-01/2004-12-31"));
        assert_eq!(read("q = 1").unwrap(), None);
        for (text, says) in [
            ("p = [\"2004-01-02\", \"2004-01-01\"]", "2004-01-02 is after 2004-01-01"),
            ("p = [\"2004-02-30\", \"2005-01-01\"]", "`2004-02-30` is no day"),
            ("p = [\"2004-02-29\", \"tomorrow\"]", "`tomorrow` is no day"),
            ("p = [\"2004-01-01\"]", "first and last day"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.to_string().contains("no period") && fault.picture(false).contains(says), "{text}");
        }
    }
}
