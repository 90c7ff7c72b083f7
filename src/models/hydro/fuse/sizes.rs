//! What the equations of FUSE need of a parameter set: capacities of the stores, rates, limits. Side by side for
//! some sets, one in each lane.

use crate::models::hydro::fuse::decisions::{Decisions, Lower, STORES, Upper};
use crate::models::hydro::fuse::parameters::Values;
use crate::models::hydro::fuse::topography::{mean_power_index, scale};
use crate::numerics::gamma::ln_gamma;

/// One number per parameter set.
pub type Lane<const L: usize> = [f64; L];

/// Width of the switch at a full store, as a share of the store.
pub(super) const EDGE: f64 = 0.01;

/// A store that spills: its switch is `1 / (1 + exp((start − S) / width))`.
#[derive(Debug, Clone, Copy)]
pub struct Brim<const L: usize> {
    /// Where half of the inflow spills, mm
    pub half: Lane<L>,
    /// 1 / width, 1/mm
    pub sharpness: Lane<L>,
}

macro_rules! sizes {
    ($($(#[$doc:meta])* $field:ident),+) => {
        /// Derived numbers of L parameter sets; names follow the specification (mm, mm/d, 1/d).
        #[derive(Debug, Clone, Copy)]
        #[expect(missing_docs, reason = "the names of the parameters, see `parameters`")]
        pub struct Sizes<const L: usize> {
            $($(#[$doc])* pub $field: Lane<L>,)+
            /// Brims of the stores, in the order of the states; of a store without capacity at MAXWATR_2
            pub brim: [Brim<L>; STORES],
            /// Capacity of each store; MAXWATR_2 for one without
            pub full: [Lane<L>; STORES],
        }

        impl<const L: usize> Sizes<L> {
            /// One lane alone.
            pub(super) fn lane(&self, l: usize) -> Sizes<1> {
                let brim = |b: &Brim<L>| Brim { half: [b.half[l]], sharpness: [b.sharpness[l]] };
                Sizes {
                    $($field: [self.$field[l]],)+
                    brim: std::array::from_fn(|i| brim(&self.brim[i])),
                    full: std::array::from_fn(|i| [self.full[i][l]]),
                }
            }
        }
    };
}

sizes! {
    s1,
    s2,
    /// Capacity of the parts of the upper layer
    t1,
    f1,
    t1a,
    t1b,
    /// Capacity of the tension store of the lower layer
    t2,
    rtfrac1,
    percrte,
    percexp,
    sacpmlt,
    sacpexp,
    percfrac,
    iflwrte,
    baserte,
    qb_powr,
    qb_prms,
    qbrate_2a,
    qbrate_2b,
    sareamax,
    axv_bexp,
    tishape,
    /// ln Γ(TISHAPE)
    log_gamma,
    /// χ of the topographic index
    chi,
    /// λ of the topographic index
    lambda,
    /// Baseflow at saturation
    q0,
    /// Largest residual of a solved step, mm
    tolerance
}

impl<const L: usize> Sizes<L> {
    /// Of L parameter sets.
    pub fn new(d: &Decisions, sets: &[Values; L]) -> Self {
        let mut z = [0.0; L];
        let each = |of: &dyn Fn(&Values) -> f64| std::array::from_fn(|l| of(&sets[l]));
        let lambda: Lane<L> = match d.lower {
            Lower::Power => each(&|g| mean_power_index(g.loglamb, g.tishape, g.qb_powr)),
            _ => [1.0; L],
        };
        let (s1, s2) = (each(&|g| g.maxwatr_1), each(&|g| g.maxwatr_2));
        let t1 = each(&|g| g.fracten * g.maxwatr_1);
        let f1 = each(&|g| (1.0 - g.fracten) * g.maxwatr_1);
        let t1a = each(&|g| g.frchzne * (g.fracten * g.maxwatr_1));
        let t1b = each(&|g| (1.0 - g.frchzne) * (g.fracten * g.maxwatr_1));
        let t2 = each(&|g| g.fracten * g.maxwatr_2);
        let f2a = each(&|g| g.fprimqb * ((1.0 - g.fracten) * g.maxwatr_2));
        let f2b = each(&|g| (1.0 - g.fprimqb) * ((1.0 - g.fracten) * g.maxwatr_2));
        for l in 0..L {
            let g = &sets[l];
            z[l] = match d.lower {
                Lower::Power => g.baserte * (s2[l] / 1000.0 / g.qb_powr) / (g.qb_powr * lambda[l].ln()).exp(),
                Lower::Linear => g.qb_prms * s2[l],
                Lower::Parallel => g.qbrate_2a * f2a[l] + g.qbrate_2b * f2b[l],
                Lower::Fixed => g.baserte,
            };
        }
        let mut full = [s2; STORES];
        match d.upper {
            Upper::OneState => full[0] = s1,
            Upper::Tension => (full[0], full[1]) = (t1, f1),
            Upper::TwoZones => (full[0], full[1], full[2]) = (t1a, t1b, f1),
        }
        let below = d.uppers();
        if d.lower == Lower::Parallel {
            (full[below], full[below + 1], full[below + 2]) = (t2, f2a, f2b);
        }
        let brim = full.map(|cap| {
            let width: Lane<L> = std::array::from_fn(|l| EDGE * cap[l]);
            Brim {
                half: std::array::from_fn(|l| cap[l] - 5.0 * width[l]),
                sharpness: std::array::from_fn(|l| 1.0 / width[l]),
            }
        });
        let largest = |l: usize| full[..d.stores()].iter().fold(0.0_f64, |most, cap| most.max(cap[l]));
        Self {
            s1,
            s2,
            t1,
            f1,
            t1a,
            t1b,
            t2,
            rtfrac1: each(&|g| g.rtfrac1),
            percrte: each(&|g| g.percrte),
            percexp: each(&|g| g.percexp),
            sacpmlt: each(&|g| g.sacpmlt),
            sacpexp: each(&|g| g.sacpexp),
            percfrac: each(&|g| g.percfrac),
            iflwrte: each(&|g| g.iflwrte),
            baserte: each(&|g| g.baserte),
            qb_powr: each(&|g| g.qb_powr),
            qb_prms: each(&|g| g.qb_prms),
            qbrate_2a: each(&|g| g.qbrate_2a),
            qbrate_2b: each(&|g| g.qbrate_2b),
            sareamax: each(&|g| g.sareamax),
            axv_bexp: each(&|g| g.axv_bexp),
            tishape: each(&|g| g.tishape),
            log_gamma: each(&|g| ln_gamma(g.tishape)),
            chi: each(&|g| scale(g.loglamb, g.tishape)),
            lambda,
            q0: z,
            brim,
            full,
            // Rounding of a sum of stores and fluxes, a few times over
            tolerance: std::array::from_fn(|l| 1e-14 * largest(l) + 1e-13),
        }
    }
}
