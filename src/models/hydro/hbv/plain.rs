//! HBV in the plainest words, one set and one step after the other: the slow twin of the lanes.

use std::ops::Range;

use crate::models::hydro::basin::Basin;
use crate::models::hydro::hbv::routing::{Routing, weights};

/// What a run leaves behind.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// mm/step
    pub(super) flow: Vec<f64>,
    /// snow, snow_water, sm, suz, slz of each band, mm
    pub(super) states: Vec<[f64; 5]>,
    /// Runoff already on its way to the steps to come, mm
    pub(super) on_the_way: Vec<f64>,
    /// Rain and corrected snowfall, mm over the run
    pub(super) input: f64,
    /// Evaporation, mm over the run
    pub(super) evaporation: f64,
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `sharpness` 0 means hard thresholds. Daily steps.
pub(super) fn run(basin: &Basin, steps: Range<usize>, set: &[f64], routing: Routing, sharpness: f64) -> Run {
    let [tt, cfmax, sfcf, cfr, cwh, fc, lp, beta, k0, k1, k2, uzl, perc, maxbas, ..] = *set else { panic!() };
    let soft = sharpness > 0.0;
    let step = |v: f64| match soft {
        true => 1.0 / (1.0 + (-sharpness * v).exp()),
        false => f64::from(u8::from(v > 0.0)),
    };
    let relu = |v: f64| if soft { softplus(sharpness * v) / sharpness } else { v.max(0.0) };
    let least = |a: f64, b: f64| if soft { a - relu(a - b) } else { a.min(b) };
    let weights = weights(routing, maxbas);
    let mut out = Run { states: vec![[0.0, 0.0, 150.0, 10.0, 10.0]; basin.bands.len()], ..Run::default() };
    let mut buffer = vec![0.0; weights.len()];
    let forcing: Vec<_> = basin.bands.iter().map(|band| basin.in_band(band)).collect();
    for i in steps {
        let pet = basin.pet[i];
        let mut runoff = 0.0;
        for (b, band) in basin.bands.iter().enumerate() {
            let (t, p) = (forcing[b].0[i], forcing[b].1[i]);
            let [mut snow, mut water, mut sm, mut suz, mut slz] = out.states[b];
            let share = step(t - tt);
            let (rain, snowfall) = (p * share, p * sfcf * (1.0 - share));
            snow += snowfall;
            let melt = least(cfmax * relu(t - tt), snow);
            snow -= melt;
            water += melt + rain;
            let refrozen = least(cfr * cfmax * relu(tt - t), water);
            snow += refrozen;
            water -= refrozen;
            let inflow = relu(water - cwh * snow);
            water -= inflow;
            (snow, water) = (snow.max(0.0), water.max(0.0));
            let recharge = inflow * least(sm / fc, 1.0).powf(beta);
            sm += inflow - recharge;
            let evaporation = least(pet * least(sm, lp * fc) / (lp * fc), sm);
            sm = (sm - evaporation).max(0.0);
            suz += recharge;
            let percolation = least(perc, suz);
            suz -= percolation;
            slz += percolation;
            let (q0, q1, q2) = (k0 * relu(suz - uzl), k1 * suz, k2 * slz);
            (suz, slz) = ((suz - q0 - q1).max(0.0), (slz - q2).max(0.0));
            out.states[b] = [snow, water, sm, suz, slz];
            runoff += band.share * (q0 + q1 + q2);
            out.input += band.share * (rain + snowfall);
            out.evaporation += band.share * evaporation;
        }
        buffer.iter_mut().zip(&weights).for_each(|(cell, w)| *cell += runoff * w);
        out.flow.push(buffer[0]);
        buffer.rotate_left(1);
        *buffer.last_mut().unwrap() = 0.0;
    }
    out.on_the_way = buffer;
    out
}

mod tests {
    use super::*;
    use crate::models::hydro::testing::{basin, numbers, reference, series, synthetic};
    use crate::models::score::Measure;

    const NAMES: [&str; 14] =
        ["tt", "cfmax", "sfcf", "cfr", "cwh", "fc", "lp", "beta", "k0", "k1", "k2", "uzl", "perc", "maxbas"];

    fn close(a: f64, b: f64, what: &str) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{what}: {a} {b}");
    }

    #[test]
    fn the_twin_agrees_with_the_second_implementation_on_the_bow() {
        let Some(bow) = basin("bow/bow_daily_lumped.csv") else { return };
        let all = reference("hbv_bow.json");
        for (name, case) in all["cases"].as_object().unwrap() {
            let set: Vec<f64> = NAMES.iter().map(|key| case["parameters"][key].as_f64().unwrap()).collect();
            let integral = case["options"]["kind"].as_str() == Some("integral");
            let routing = if integral { Routing::Integral } else { Routing::Nodal };
            let sharpness = case["options"]["smoothing"].as_f64().unwrap_or(0.0);
            let run = run(&bow, 0..bow.calendar.steps, &set, routing, sharpness);
            for (i, (a, b)) in run.flow.iter().zip(series("hbv_bow_q.csv", name)).enumerate() {
                close(*a, b, &format!("{name} step {i}"));
            }
            let keys = ["snow", "snow_water", "sm", "suz", "slz"];
            for (key, x) in keys.iter().zip(run.states[0]) {
                close(x, case["final_state"][key].as_f64().unwrap(), key);
            }
            let mut on_the_way = run.on_the_way.clone();
            on_the_way.resize(12, 0.0);
            let theirs = numbers(&case["final_state"]["routing_buffer"]);
            on_the_way.iter().zip(&theirs).for_each(|(a, b)| close(*a, *b, name));
            close(run.evaporation, case["total_aet"].as_f64().unwrap(), name);
            close(run.input, case["total_input"].as_f64().unwrap(), name);
            let observed = bow.flow.as_ref().unwrap();
            for (period, days) in [("calibration", 457..1918), ("evaluation", 1918..2556)] {
                for (measure, key) in [
                    (Measure::Kge, "kge"),
                    (Measure::KgePrime, "kge_prime"),
                    (Measure::Nse, "nse"),
                    (Measure::LogNse, "log_nse"),
                    (Measure::Pbias, "pbias"),
                ] {
                    let ours = measure.of(&observed[days.clone()], &run.flow[days.clone()]).unwrap();
                    close(ours.value, case[period][key].as_f64().unwrap(), &format!("{name} {period} {key}"));
                }
            }
        }
    }

    #[test]
    fn twelve_bands_agree_with_the_second_implementation() {
        let Some(mut bow) = basin("bow/bow_daily_lumped.csv") else { return };
        let case = &reference("hbv_bow.json")["bands12"];
        crate::models::hydro::testing::twelve_bands(&mut bow);
        let set: Vec<f64> = NAMES.iter().map(|key| case["parameters"][key].as_f64().unwrap()).collect();
        let run = run(&bow, 0..bow.calendar.steps, &set, Routing::Nodal, 0.0);
        for (a, b) in run.flow.iter().zip(series("hbv_bow_bands12_q.csv", "bands12")) {
            close(*a, b, "flow");
        }
        for (ours, theirs) in run.states.iter().zip(case["final_states"].as_array().unwrap()) {
            close(ours[2], theirs["sm"].as_f64().unwrap(), "sm");
        }
    }

    #[test]
    fn what_falls_leaves_or_stays() {
        let basin = synthetic(3000);
        let set = [0.3, 4.0, 1.1, 0.05, 0.1, 200.0, 0.8, 2.0, 0.4, 0.2, 0.02, 20.0, 3.0, 4.3];
        let run = run(&basin, 0..3000, &set, Routing::Integral, 0.0);
        let kept: f64 = run.states[0].iter().sum::<f64>() - 170.0;
        let out = run.flow.iter().sum::<f64>() + run.evaporation + run.on_the_way.iter().sum::<f64>();
        assert!((run.input - out - kept).abs() < 1e-9, "{}", run.input - out - kept);
    }
}
