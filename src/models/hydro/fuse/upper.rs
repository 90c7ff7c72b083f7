//! The upper layer of FUSE: one store, tension and free, or tension in two zones and free.

use crate::models::hydro::fuse::decisions::{Decisions, Evaporation, STORES, Upper};
use crate::models::hydro::fuse::fluxes::{Drain, Input, Parts, Point, brim};
use crate::models::hydro::fuse::sizes::{Lane, Sizes};

/// The upper layer: rates, slopes, evaporation, spill. Returns the derivative of its evaporation by its tension store.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the parts of one long formula")]
pub(super) fn upper<const L: usize>(
    d: &Decisions,
    k: &Sizes<L>,
    x: &[Lane<L>; STORES],
    p: &Parts<L>,
    soil: Option<&Input<L>>,
    drain: &Drain<L>,
    pet: &Lane<L>,
    out: &mut Point<L>,
) -> Lane<L> {
    let nothing = Input { inp: [0.0; L], by_t: [0.0; L], by_f: [0.0; L], by_2: [0.0; L] };
    let wet = soil.is_some();
    let soil = soil.unwrap_or(&nothing);
    let switch = |i: usize| if wet { brim(&x[i], &k.brim[i]) } else { ([0.0; L], [0.0; L]) };
    let roots = d.evaporation == Evaporation::Roots;
    let below = d.uppers();
    let lowers = below..d.stores();
    let (rate, slope, flux) = (&mut out.rate, &mut out.slope, &mut out.flux);
    let mut e_by = [0.0; L];
    if d.upper != Upper::TwoZones {
        for l in 0..L {
            let full = p.t1[l] / k.t1[l];
            let most = if roots { pet[l] * k.rtfrac1[l] } else { pet[l] };
            flux.evap_1[l] = most * full.min(1.0);
            e_by[l] = if full < 1.0 { most / k.t1[l] * p.tense[l] } else { 0.0 };
        }
    }
    match d.upper {
        Upper::OneState => {
            let (g, dg) = switch(0);
            for l in 0..L {
                let spill = soil.inp[l] * g[l];
                flux.oflow_1[l] = spill;
                rate[0][l] = soil.inp[l] - flux.evap_1[l] - drain.perc[l] - drain.intf[l] - spill;
                slope[0][0][l] = soil.by_t[l] * (1.0 - g[l])
                    - soil.inp[l] * dg[l]
                    - e_by[l]
                    - drain.by_f[l]
                    - drain.intf_by[l];
                for j in lowers.clone() {
                    slope[0][j][l] = soil.by_2[l] * (1.0 - g[l]) - drain.by_2[l];
                }
            }
        }
        Upper::Tension => {
            let ((gt, dgt), (gf, dgf)) = (switch(0), switch(1));
            for l in 0..L {
                let to_free = soil.inp[l] * gt[l];
                let spill = to_free * gf[l];
                flux.oflow_1[l] = spill;
                rate[0][l] = soil.inp[l] - flux.evap_1[l] - to_free;
                rate[1][l] = to_free - drain.perc[l] - drain.intf[l] - spill;
                let (stays, down) = (1.0 - gt[l], gt[l] * (1.0 - gf[l]));
                slope[0][0][l] = soil.by_t[l] * stays - soil.inp[l] * dgt[l] - e_by[l];
                slope[0][1][l] = soil.by_f[l] * stays;
                slope[1][0][l] = soil.by_t[l] * down + soil.inp[l] * dgt[l] * (1.0 - gf[l]);
                slope[1][1][l] = soil.by_f[l] * down - to_free * dgf[l] - drain.by_f[l] - drain.intf_by[l];
                for j in lowers.clone() {
                    slope[0][j][l] = soil.by_2[l] * stays;
                    slope[1][j][l] = soil.by_2[l] * down - drain.by_2[l];
                }
            }
        }
        Upper::TwoZones => {
            let ((ga, dga), (gb, dgb), (gf, dgf)) = (switch(0), switch(1), switch(2));
            for l in 0..L {
                let (full_a, full_b) = (x[0][l] / k.t1a[l], x[1][l] / k.t1b[l]);
                let most_a = if roots { pet[l] * k.rtfrac1[l] } else { pet[l] };
                let ea = most_a * full_a.min(1.0);
                let ea_by = if full_a < 1.0 { most_a / k.t1a[l] } else { 0.0 };
                let most_b = if roots { pet[l] * (1.0 - k.rtfrac1[l]) } else { pet[l] - ea };
                let wet_b = full_b.min(1.0);
                let eb = most_b * wet_b;
                let eb_by_a = if roots { 0.0 } else { -ea_by * wet_b };
                let eb_by_b = if full_b < 1.0 { most_b / k.t1b[l] } else { 0.0 };
                flux.evap_1[l] = ea + eb;

                let to_b = soil.inp[l] * ga[l];
                let to_f = to_b * gb[l];
                let spill = to_f * gf[l];
                flux.oflow_1[l] = spill;
                rate[0][l] = soil.inp[l] - ea - to_b;
                rate[1][l] = to_b - eb - to_f;
                rate[2][l] = to_f - drain.perc[l] - drain.intf[l] - spill;
                // Shares of the input that stay in a, in b, in the free store
                let (in_a, in_b) = (1.0 - ga[l], ga[l] * (1.0 - gb[l]));
                let in_f = ga[l] * gb[l] * (1.0 - gf[l]);
                let (by_a, by_b) = (soil.inp[l] * dga[l], to_b * dgb[l]);
                slope[0][0][l] = soil.by_t[l] * in_a - by_a - ea_by;
                slope[0][1][l] = soil.by_t[l] * in_a;
                slope[0][2][l] = soil.by_f[l] * in_a;
                slope[1][0][l] = soil.by_t[l] * in_b + by_a * (1.0 - gb[l]) - eb_by_a;
                slope[1][1][l] = soil.by_t[l] * in_b - by_b - eb_by_b;
                slope[1][2][l] = soil.by_f[l] * in_b;
                slope[2][0][l] = soil.by_t[l] * in_f + by_a * gb[l] * (1.0 - gf[l]);
                slope[2][1][l] = soil.by_t[l] * in_f + by_b * (1.0 - gf[l]);
                slope[2][2][l] = soil.by_f[l] * in_f - to_f * dgf[l] - drain.by_f[l] - drain.intf_by[l];
                for j in lowers.clone() {
                    slope[0][j][l] = soil.by_2[l] * in_a;
                    slope[1][j][l] = soil.by_2[l] * in_b;
                    slope[2][j][l] = soil.by_2[l] * in_f - drain.by_2[l];
                }
            }
        }
    }
    e_by
}
