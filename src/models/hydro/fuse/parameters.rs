//! The parameters of FUSE: names, units, bounds, and which of them a structure uses.
//!
//! Belongs here: one table, and a set of values checked against it. Not here: formulas.

use crate::models::hydro::Parameter;
use crate::models::hydro::fuse::decisions::{
    Decisions, Delay, Evaporation, Interflow, Lower, Percolation, RainError, Snow, Surface, Upper,
};

macro_rules! parameters {
    ($($field:ident $name:literal $unit:literal $lower:literal $upper:literal $default:literal;)+) => {
        /// All parameters, in the order of [`Values`].
        pub const PARAMETERS: &[Parameter] = &[
            $(Parameter { name: $name, unit: $unit, lower: $lower, upper: $upper, default: $default }),+
        ];

        /// One value for each parameter.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct Values {
            $(#[doc = concat!($name, ", ", $unit)] pub $field: f64),+
        }

        impl Default for Values {
            fn default() -> Self {
                Self { $($field: $default),+ }
            }
        }

        impl Values {
            /// The place of a parameter, by name.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut f64> {
                match name {
                    $($name => Some(&mut self.$field),)+
                    _ => None,
                }
            }

            /// The value of a parameter, by name.
            pub fn get(&self, name: &str) -> Option<f64> {
                match name {
                    $($name => Some(self.$field),)+
                    _ => None,
                }
            }
        }
    };
}

parameters! {
    rferr_add "RFERR_ADD" "mm/d" -1.0 1.0 0.0;
    rferr_mlt "RFERR_MLT" "-" 0.5 2.0 1.0;
    maxwatr_1 "MAXWATR_1" "mm" 25.0 500.0 100.0;
    maxwatr_2 "MAXWATR_2" "mm" 50.0 5000.0 1000.0;
    fracten "FRACTEN" "-" 0.05 0.95 0.5;
    frchzne "FRCHZNE" "-" 0.05 0.95 0.5;
    fprimqb "FPRIMQB" "-" 0.05 0.95 0.5;
    rtfrac1 "RTFRAC1" "-" 0.05 0.95 0.75;
    percrte "PERCRTE" "mm/d" 0.1 1000.0 100.0;
    percexp "PERCEXP" "-" 1.0 20.0 5.0;
    sacpmlt "SACPMLT" "-" 1.0 250.0 10.0;
    sacpexp "SACPEXP" "-" 1.0 5.0 5.0;
    percfrac "PERCFRAC" "-" 0.05 0.95 0.5;
    iflwrte "IFLWRTE" "mm/d" 0.01 1000.0 500.0;
    baserte "BASERTE" "mm/d" 0.001 1000.0 50.0;
    qb_powr "QB_POWR" "-" 1.0 10.0 5.0;
    qb_prms "QB_PRMS" "1/d" 0.001 0.25 0.01;
    qbrate_2a "QBRATE_2A" "1/d" 0.001 0.25 0.025;
    qbrate_2b "QBRATE_2B" "1/d" 0.001 0.25 0.01;
    sareamax "SAREAMAX" "-" 0.001 1.0 0.25;
    axv_bexp "AXV_BEXP" "-" 0.001 3.0 0.3;
    loglamb "LOGLAMB" "-" 5.0 10.0 7.5;
    tishape "TISHAPE" "-" 2.0 5.0 3.0;
    timedelay "TIMEDELAY" "d" 0.01 5.0 0.9;
    mbase "MBASE" "C" 0.0 3.0 1.0;
    mfmax "MFMAX" "mm/C/d" 2.0 8.0 4.2;
    mfmin "MFMIN" "mm/C/d" 0.4 6.0 2.4;
    pxtemp "PXTEMP" "C" -1.0 5.0 1.0;
    opg "OPG" "1/km" 0.0 2.5 0.5;
    lapse "LAPSE" "K/km" -7.0 -4.0 -5.0;
}

/// Does this structure feel that parameter? `banded`: snow is kept in bands off the mean elevation.
pub fn used(d: &Decisions, banded: bool, name: &str) -> bool {
    let snow = d.snow == Snow::TemperatureIndex;
    match name {
        "RFERR_ADD" => d.rain_error == RainError::Additive,
        "RFERR_MLT" => d.rain_error == RainError::Multiplicative,
        "MAXWATR_1" | "MAXWATR_2" | "FRACTEN" => true,
        "FRCHZNE" => d.upper == Upper::TwoZones,
        "FPRIMQB" | "PERCFRAC" | "QBRATE_2A" | "QBRATE_2B" => d.lower == Lower::Parallel,
        "RTFRAC1" => d.evaporation == Evaporation::Roots,
        "PERCRTE" | "PERCEXP" => d.percolation != Percolation::Demand,
        "SACPMLT" | "SACPEXP" => d.percolation == Percolation::Demand,
        "IFLWRTE" => d.interflow == Interflow::Some,
        "BASERTE" | "QB_POWR" => matches!(d.lower, Lower::Fixed | Lower::Power),
        "QB_PRMS" => d.lower == Lower::Linear,
        "SAREAMAX" => d.surface == Surface::Prms,
        "AXV_BEXP" => d.surface == Surface::Arno,
        "LOGLAMB" | "TISHAPE" => d.lower == Lower::Power,
        "TIMEDELAY" => d.delay == Delay::Gamma,
        "MBASE" | "MFMAX" | "MFMIN" | "PXTEMP" => snow,
        "OPG" | "LAPSE" => snow && banded,
        _ => false,
    }
}

impl Values {
    /// The first value with which the formulas make no sense: its name, and what is allowed.
    pub fn fault(&self) -> Option<(&'static str, f64, &'static str)> {
        let all = PARAMETERS.iter().map(|p| (p.name, self.get(p.name).expect("of the table")));
        for (name, value) in all {
            let allowed = match name {
                "RFERR_ADD" | "MBASE" | "MFMAX" | "MFMIN" | "PXTEMP" | "LAPSE" => {
                    (value.is_finite(), "a number")
                }
                "FRACTEN" | "FRCHZNE" | "FPRIMQB" | "PERCFRAC" | "RTFRAC1" => {
                    (value > 0.0 && value < 1.0, "between 0 and 1")
                }
                "SAREAMAX" => ((0.0..=1.0).contains(&value), "from 0 to 1"),
                "PERCEXP" | "SACPEXP" | "QB_POWR" => ((1.0..=100.0).contains(&value), "from 1 to 100"),
                "LOGLAMB" => (value > 3.0 && value < 50.0, "above 3, below 50"),
                "TISHAPE" => ((0.1..=100.0).contains(&value), "from 0.1 to 100"),
                "TIMEDELAY" => (value > 0.0 && value <= 100.0, "above 0, at most 100"),
                "MAXWATR_1" | "MAXWATR_2" => (value > 0.0 && value <= 1e6, "above 0, at most 1e6"),
                _ => ((0.0..=1e6).contains(&value), "from 0 to 1e6"),
            };
            if !allowed.0 {
                return Some((name, value, allowed.1));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_places_agree_and_the_defaults_make_sense() {
        let mut values = Values::default();
        assert_eq!(values.fault(), None);
        for p in PARAMETERS {
            assert_eq!(values.get(p.name), Some(p.default));
            assert!(p.lower <= p.default && p.default <= p.upper, "{}", p.name);
            *values.get_mut(p.name).unwrap() = 0.25;
            assert_eq!(values.get(p.name), Some(0.25));
        }
        assert_eq!(values.get("TT"), None);
        *values.get_mut("FRACTEN").unwrap() = 1.0;
        values.maxwatr_1 = 100.0;
        assert!(values.fault().is_some());
    }

    #[test]
    fn a_structure_uses_8_to_14_parameters_and_6_of_snow_beside_the_rain_factor() {
        let counts: Vec<usize> = Decisions::every()
            .iter()
            .map(|d| PARAMETERS.iter().filter(|p| used(d, true, p.name)).count() - 1)
            .collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!((*least, *most) == (8 + 6, 14 + 6), "{least} {most}");
        assert!(
            PARAMETERS
                .iter()
                .all(|p| Decisions::every().iter().any(|d| used(d, true, p.name)) || p.name == "RFERR_ADD")
        );
    }
}
