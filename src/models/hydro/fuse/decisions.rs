//! The structural decisions of FUSE: their options, which of them go together, and the four parents.
//!
//! Belongs here: names and what excludes what. Not here: the formulas behind an option (`fluxes`), or which
//! parameters it asks for (`parameters`).
//!
//! # Source
//! Clark et al. (2008), Water Resour. Res. 44, W00B02, doi:10.1029/2007WR006735; snow: Henn et al. (2015),
//! doi:10.1002/2014WR016736. The parents are models 60, 230, 342 and 426 of the list of M. Clark (2011), as
//! published with the R package `fuse` (Vitolo et al. 2016).

use std::fmt;

/// An option of a decision, with its published name.
macro_rules! decision {
    ($(#[$doc:meta])* $name:ident, $key:literal: $($(#[$what:meta])* $option:ident = $word:literal),+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$what])* $option),+ }

        impl $name {
            /// Its name in files
            pub const KEY: &'static str = $key;
            /// All options
            pub const ALL: &'static [Self] = &[$(Self::$option),+];
            /// Their names
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// As published.
            pub fn word(self) -> &'static str {
                match self { $(Self::$option => $word),+ }
            }

            /// The option of that name.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|option| option.word() == word)
            }
        }
    };
}

decision! {
    /// What is done to rain and snow before anything else
    RainError, "RFERR":
    /// `max(0, P + RFERR_ADD)`
    Additive = "additive_e",
    /// `P · RFERR_MLT`
    Multiplicative = "multiplc_e"
}
decision! {
    /// Stores of the upper layer
    Upper, "ARCH1":
    /// W1
    OneState = "onestate_1",
    /// Tension T1, free F1
    Tension = "tension1_1",
    /// Tension in two zones T1a and T1b, free F1
    TwoZones = "tension2_1"
}
decision! {
    /// Stores of the lower layer
    Lower, "ARCH2":
    /// W2 with a capacity, evaporates
    Fixed = "fixedsiz_2",
    /// W2 without bounds, linear outflow
    Linear = "unlimfrc_2",
    /// W2 without bounds, power law
    Power = "unlimpow_2",
    /// Tension T2 and two linear stores in parallel F2a, F2b
    Parallel = "tens2pll_2"
}
decision! {
    /// Area that sheds rain at once
    Surface, "QSURF":
    /// Share of a distribution of capacities (VIC)
    Arno = "arno_x_vic",
    /// Grows with the tension storage
    Prms = "prms_varnt",
    /// From the topographic index
    Topographic = "tmdl_param"
}
decision! {
    /// From the upper to the lower layer
    Percolation, "QPERC":
    /// Free storage
    Free = "perc_f2sat",
    /// All storage
    Whole = "perc_w2sat",
    /// Demand of the lower layer
    Demand = "perc_lower"
}
decision! {
    /// How evaporation is shared between the layers
    Evaporation, "ESOIL":
    /// The lower layer gets what the upper leaves
    Sequential = "sequential",
    /// By root fractions
    Roots = "rootweight"
}
decision! {
    /// Interflow
    Interflow, "QINTF":
    /// Linear in free storage
    Some = "intflwsome",
    /// None
    None = "intflwnone"
}
decision! {
    /// Delay of runoff on its way to the gauge
    Delay, "Q_TDH":
    /// A gamma distribution
    Gamma = "rout_gamma",
    /// None
    None = "no_routing"
}
decision! {
    /// Snow
    Snow, "SNOWM":
    /// Degree days, in elevation bands
    TemperatureIndex = "temp_index",
    /// None: all precipitation is rain
    None = "no_snowmod"
}

/// All decisions of one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decisions {
    /// RFERR
    pub rain_error: RainError,
    /// ARCH1
    pub upper: Upper,
    /// ARCH2
    pub lower: Lower,
    /// QSURF
    pub surface: Surface,
    /// QPERC
    pub percolation: Percolation,
    /// ESOIL
    pub evaporation: Evaporation,
    /// QINTF
    pub interflow: Interflow,
    /// Q_TDH
    pub delay: Delay,
    /// SNOWM
    pub snow: Snow,
}

/// The four models that FUSE was cut from, by name.
pub const PARENTS: &[&str] = &["topmodel", "arno_vic", "prms", "sacramento"];

impl Default for Decisions {
    /// The usual set of its peers; none of the parents.
    fn default() -> Self {
        Self {
            rain_error: RainError::Multiplicative,
            upper: Upper::Tension,
            lower: Lower::Fixed,
            surface: Surface::Arno,
            percolation: Percolation::Demand,
            evaporation: Evaporation::Roots,
            interflow: Interflow::None,
            delay: Delay::Gamma,
            snow: Snow::TemperatureIndex,
        }
    }
}

impl Decisions {
    /// A parent by its name in [`PARENTS`].
    pub fn parent(name: &str) -> Option<Self> {
        let words = match name {
            "topmodel" => "onestate_1 unlimpow_2 tmdl_param perc_f2sat sequential intflwnone",
            "arno_vic" => "onestate_1 fixedsiz_2 arno_x_vic perc_w2sat rootweight intflwnone",
            "prms" => "tension2_1 unlimfrc_2 prms_varnt perc_f2sat sequential intflwsome",
            "sacramento" => "tension1_1 tens2pll_2 prms_varnt perc_lower sequential intflwsome",
            _ => return None,
        };
        Self::from_words(words)
    }

    /// ARCH1 ARCH2 QSURF QPERC ESOIL QINTF by their words, the rest as by default.
    pub fn from_words(words: &str) -> Option<Self> {
        let mut words = words.split_whitespace();
        let decisions = Self {
            upper: Upper::from_word(words.next()?)?,
            lower: Lower::from_word(words.next()?)?,
            surface: Surface::from_word(words.next()?)?,
            percolation: Percolation::from_word(words.next()?)?,
            evaporation: Evaporation::from_word(words.next()?)?,
            interflow: Interflow::from_word(words.next()?)?,
            ..Self::default()
        };
        words.next().is_none().then_some(decisions)
    }

    /// Why these do not go together: the key at fault, and what it asks for.
    pub fn conflict(&self) -> Option<(&'static str, &'static str)> {
        if self.surface == Surface::Topographic && self.lower != Lower::Power {
            return Some(("QSURF", "`tmdl_param` needs `ARCH2 = \"unlimpow_2\"`"));
        }
        if self.percolation == Percolation::Whole && self.upper != Upper::OneState {
            return Some(("QPERC", "`perc_w2sat` needs `ARCH1 = \"onestate_1\"`"));
        }
        if self.upper == Upper::TwoZones && self.lower == Lower::Parallel {
            return Some(("ARCH2", "`tens2pll_2` and `ARCH1 = \"tension2_1\"` exclude each other"));
        }
        None
    }

    /// Every combination of the six decisions on soil that exists: 236.
    pub fn every() -> Vec<Self> {
        let mut all = Vec::new();
        for &upper in Upper::ALL {
            for &lower in Lower::ALL {
                for &surface in Surface::ALL {
                    for &percolation in Percolation::ALL {
                        for &evaporation in Evaporation::ALL {
                            for &interflow in Interflow::ALL {
                                let rest = Self::default();
                                let one = Self {
                                    upper,
                                    lower,
                                    surface,
                                    percolation,
                                    evaporation,
                                    interflow,
                                    ..rest
                                };
                                all.extend(one.conflict().is_none().then_some(one));
                            }
                        }
                    }
                }
            }
        }
        all
    }

    /// Stores of the upper layer.
    pub fn uppers(&self) -> usize {
        match self.upper {
            Upper::OneState => 1,
            Upper::Tension => 2,
            Upper::TwoZones => 3,
        }
    }

    /// Stores of both layers: at most [`STORES`].
    pub fn stores(&self) -> usize {
        self.uppers() + if self.lower == Lower::Parallel { 3 } else { 1 }
    }

    /// Their names, upper layer first.
    pub fn store_names(&self) -> Vec<&'static str> {
        let mut names = match self.upper {
            Upper::OneState => vec!["W1"],
            Upper::Tension => vec!["T1", "F1"],
            Upper::TwoZones => vec!["T1a", "T1b", "F1"],
        };
        match self.lower {
            Lower::Parallel => names.extend(["T2", "F2a", "F2b"]),
            _ => names.push("W2"),
        }
        names
    }

    /// Does the lower layer evaporate?
    pub fn lower_evaporates(&self) -> bool {
        self.upper != Upper::TwoZones && matches!(self.lower, Lower::Parallel | Lower::Fixed)
    }
}

/// Most stores that a structure has.
pub const STORES: usize = 5;

impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.upper.word(),
            self.lower.word(),
            self.surface.word(),
            self.percolation.word(),
            self.evaporation.word(),
            self.interflow.word(),
            self.rain_error.word(),
            self.delay.word(),
            self.snow.word(),
        ];
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_236_structures_and_the_parents_are_four_of_them() {
        let every = Decisions::every();
        assert_eq!(every.len(), 236);
        for name in PARENTS {
            let parent = Decisions::parent(name).unwrap();
            assert!(every.contains(&parent), "{name}");
        }
        assert!(every.contains(&Decisions::default()));
        assert!(every.iter().all(|d| d.stores() <= STORES && d.stores() == d.store_names().len()));
        assert_eq!(Decisions::parent("hymod"), None);
    }

    #[test]
    fn words_go_there_and_back() {
        for d in Decisions::every() {
            let text = d.to_string();
            let six: Vec<&str> = text.split(' ').take(6).collect();
            assert_eq!(Decisions::from_words(&six.join(" ")), Some(d));
        }
    }

    #[test]
    fn what_excludes_each_other_is_told() {
        let d = |words| Decisions::from_words(words).unwrap().conflict().map(|(key, _)| key);
        assert_eq!(d("tension1_1 fixedsiz_2 tmdl_param perc_f2sat sequential intflwnone"), Some("QSURF"));
        assert_eq!(d("tension1_1 fixedsiz_2 arno_x_vic perc_w2sat sequential intflwnone"), Some("QPERC"));
        assert_eq!(d("tension2_1 tens2pll_2 arno_x_vic perc_f2sat sequential intflwnone"), Some("ARCH2"));
        assert_eq!(d("onestate_1 fixedsiz_2 arno_x_vic perc_w2sat sequential intflwnone"), None);
    }
}
