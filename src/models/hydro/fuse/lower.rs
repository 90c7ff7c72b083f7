//! The lower layer of FUSE: one store, or a tension store and two linear ones in parallel.

use crate::models::hydro::fuse::decisions::{Decisions, Evaporation, Lower, STORES};
use crate::models::hydro::fuse::fluxes::{Drain, Parts, Point, brim, power};
use crate::models::hydro::fuse::sizes::{Lane, Sizes};

/// The lower layer: rates, slopes, evaporation, spill, baseflow. `evap_by`: derivative of the evaporation of the upper
/// layer by its tension store.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the parts of one long formula")]
pub(super) fn lower<const L: usize>(
    d: &Decisions,
    k: &Sizes<L>,
    x: &[Lane<L>; STORES],
    p: &Parts<L>,
    drain: &Drain<L>,
    evap_by: &Lane<L>,
    pet: &Lane<L>,
    out: &mut Point<L>,
) {
    let below = d.uppers();
    let (rate, slope) = (&mut out.rate, &mut out.slope);

    // Evaporation of the lower layer, with its derivatives by the upper tension store and by its own
    let (mut e2_by_1, mut e2_by_2) = ([0.0; L], [0.0; L]);
    out.flux.evap_2 = [0.0; L];
    if d.lower_evaporates() {
        for l in 0..L {
            let full = p.t2[l] / k.t2[l];
            let wet = full.min(1.0);
            let (left, by) = match d.evaporation {
                Evaporation::Roots => (pet[l] * (1.0 - k.rtfrac1[l]), 0.0),
                Evaporation::Sequential => (pet[l] - out.flux.evap_1[l], -evap_by[l]),
            };
            out.flux.evap_2[l] = left * wet;
            e2_by_1[l] = by * wet;
            e2_by_2[l] = if full < 1.0 { left / k.t2[l] } else { 0.0 };
        }
    }

    out.flux.perc = drain.perc;
    out.flux.intf = drain.intf;
    let free = below - 1;
    if d.lower == Lower::Parallel {
        let (gt, dgt) = brim(&x[below], &k.brim[below]);
        let (ga, dga) = brim(&x[below + 1], &k.brim[below + 1]);
        let (gb, dgb) = brim(&x[below + 2], &k.brim[below + 2]);
        for l in 0..L {
            let (kappa, q) = (k.percfrac[l], drain.perc[l]);
            let spill = q * (1.0 - kappa) * gt[l];
            let half = 0.5 * (kappa * q + spill);
            let (qa, qb) = (k.qbrate_2a[l] * x[below + 1][l], k.qbrate_2b[l] * x[below + 2][l]);
            let (oa, ob) = (half * ga[l], half * gb[l]);
            rate[below][l] = (1.0 - kappa) * q - out.flux.evap_2[l] - spill;
            rate[below + 1][l] = half - qa - oa;
            rate[below + 2][l] = half - qb - ob;
            out.flux.base[l] = qa + qb;
            out.flux.oflow_2[l] = oa + ob;
            // By the percolation
            let to_t = (1.0 - kappa) * (1.0 - gt[l]);
            let to_half = 0.5 * (kappa + (1.0 - kappa) * gt[l]);
            let half_by_t = 0.5 * q * (1.0 - kappa) * dgt[l];
            let (to_a, to_b) = (1.0 - ga[l], 1.0 - gb[l]);
            for j in 0..below {
                let (by, e) =
                    (if j == free { drain.by_f[l] } else { 0.0 }, if j == 0 { e2_by_1[l] } else { 0.0 });
                slope[below][j][l] = to_t * by - e;
                slope[below + 1][j][l] = to_half * to_a * by;
                slope[below + 2][j][l] = to_half * to_b * by;
            }
            for j in below..below + 3 {
                let own = if j == below { half_by_t } else { 0.0 };
                slope[below][j][l] = to_t * drain.by_2[l];
                slope[below + 1][j][l] = (to_half * drain.by_2[l] + own) * to_a;
                slope[below + 2][j][l] = (to_half * drain.by_2[l] + own) * to_b;
            }
            slope[below][below][l] -= e2_by_2[l] + q * (1.0 - kappa) * dgt[l];
            slope[below + 1][below + 1][l] -= k.qbrate_2a[l] + half * dga[l];
            slope[below + 2][below + 2][l] -= k.qbrate_2b[l] + half * dgb[l];
        }
        return;
    }
    let (mut spill, mut spill_by, mut base_by) = ([0.0; L], [0.0; L], [0.0; L]);
    match d.lower {
        Lower::Fixed => {
            (spill, spill_by) = brim(&x[below], &k.brim[below]);
            for l in 0..L {
                let (share, by) = power(x[below][l] / k.s2[l], k.qb_powr[l]);
                out.flux.base[l] = k.baserte[l] * share;
                base_by[l] = k.baserte[l] * by / k.s2[l];
            }
        }
        Lower::Power => {
            for l in 0..L {
                let (share, by) = power(x[below][l] / k.s2[l], k.qb_powr[l]);
                out.flux.base[l] = k.q0[l] * share;
                base_by[l] = k.q0[l] * by / k.s2[l];
            }
        }
        Lower::Linear | Lower::Parallel => {
            for l in 0..L {
                out.flux.base[l] = k.qb_prms[l] * x[below][l];
                base_by[l] = k.qb_prms[l];
            }
        }
    }
    for l in 0..L {
        let kept = 1.0 - spill[l];
        out.flux.oflow_2[l] = drain.perc[l] * spill[l];
        rate[below][l] = drain.perc[l] - out.flux.evap_2[l] - out.flux.base[l] - out.flux.oflow_2[l];
        for j in 0..below {
            let by = if j == free { drain.by_f[l] * kept } else { 0.0 };
            let e = if j == 0 { e2_by_1[l] } else { 0.0 };
            slope[below][j][l] = by - e;
        }
        slope[below][below][l] = drain.by_2[l] * kept - drain.perc[l] * spill_by[l] - e2_by_2[l] - base_by[l];
    }
}
