//! GR4J with CemaNeige in the plainest words, one set and one step after the other: the slow twin of the lanes.

use std::ops::Range;

use crate::models::hydro::basin::Basin;
use crate::models::hydro::gr4j::{hydrograph, kernel::START, solid_share};

/// What a run leaves behind.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// mm/step
    pub(super) flow: Vec<f64>,
    /// Production store, routing store, mm
    pub(super) stores: [f64; 2],
    /// Water in the hydrographs, mm
    pub(super) on_the_way: [Vec<f64>; 2],
    /// Snow (mm) and thermal state of each band
    pub(super) snow: Vec<[f64; 2]>,
    /// Sums of the run, mm
    pub(super) precipitation: f64,
    pub(super) evaporation: f64,
    /// From the ground, as it happened
    pub(super) exchange: f64,
}

/// The model over some steps for one set (x1 mm, x2 mm/d, x3 mm, x4 d, snow ctg and kf): the slow twin of the kernel.
pub(super) fn run(basin: &Basin, steps: Range<usize>, set: &[f64], thresholds: Option<&[f64]>) -> Run {
    let [x1, x2, x3, x4, ctg, kf] = *set else { panic!() };
    let (fast, slow) = (hydrograph::first(x4), hydrograph::second(x4));
    let forcing: Vec<_> = basin.bands.iter().map(|band| basin.in_band(band)).collect();
    let mut out = Run {
        stores: [START.0 * x1, START.1 * x3],
        on_the_way: [vec![0.0; fast.len()], vec![0.0; slow.len()]],
        snow: vec![[0.0; 2]; basin.bands.len()],
        ..Run::default()
    };
    for i in steps {
        let mut p = 0.0;
        for (b, band) in basin.bands.iter().enumerate() {
            let (t, falls) = (forcing[b].0[i], forcing[b].1[i]);
            out.precipitation += band.share * falls;
            let Some(thresholds) = thresholds else {
                p += band.share * falls;
                continue;
            };
            let solid = solid_share(t) * falls;
            let [pack, thermal] = &mut out.snow[b];
            *pack += solid;
            *thermal = (ctg * *thermal + (1.0 - ctg) * t).min(0.0);
            let possible = if *thermal == 0.0 && t > 0.0 { (kf * t).min(*pack) } else { 0.0 };
            let covered = if thresholds[b] > 0.0 { (*pack / thresholds[b]).min(1.0) } else { 1.0 };
            let melt = (0.9 * covered + 0.1) * possible;
            *pack -= melt;
            p += band.share * (falls - solid + melt);
        }
        let e = basin.pet[i];
        let [s, r] = &mut out.stores;
        let mut water = 0.0;
        if p <= e {
            let t = ((e - p) / x1).min(13.0).tanh();
            let goes = *s * (2.0 - *s / x1) * t / (1.0 + (1.0 - *s / x1) * t);
            *s -= goes;
            out.evaporation += goes + p;
        } else {
            let t = ((p - e) / x1).min(13.0).tanh();
            let comes = x1 * (1.0 - (*s / x1).powi(2)) * t / (1.0 + *s / x1 * t);
            *s += comes;
            water = p - e - comes;
            out.evaporation += e;
        }
        *s = s.max(0.0);
        let percolation = *s * (1.0 - (1.0 + (4.0 / 9.0 * *s / x1).powi(4)).powf(-0.25));
        *s -= percolation;
        water += percolation;
        for ((buffer, ordinates), share) in out.on_the_way.iter_mut().zip([&fast, &slow]).zip([0.9, 0.1]) {
            for j in 0..ordinates.len() {
                buffer[j] = buffer.get(j + 1).copied().unwrap_or(0.0) + ordinates[j] * share * water;
            }
        }
        let (arrives, direct) = (out.on_the_way[0][0], out.on_the_way[1][0]);
        let exchange = x2 * (*r / x3).powf(3.5);
        let before = *r + arrives;
        *r = (before + exchange).max(0.0);
        out.exchange += *r - before;
        let leaves = *r * (1.0 - (1.0 + (*r / x3).powi(4)).powf(-0.25));
        *r -= leaves;
        let surface = (direct + exchange).max(0.0);
        out.exchange += surface - direct;
        out.flow.push(leaves + surface);
    }
    // What stands first in a hydrograph has left with the last step.
    out
}

mod tests {
    use super::*;
    use crate::models::hydro::gr4j::thresholds;
    use crate::models::hydro::testing::{basin, numbers, reference, series, synthetic, twelve_bands};
    use crate::models::score::Measure;

    fn close(a: f64, b: f64, what: &str) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{what}: {a} {b}");
    }

    fn states(run: &Run, theirs: &serde_json::Value, name: &str) {
        close(run.stores[0], theirs["prod"].as_f64().unwrap(), name);
        close(run.stores[1], theirs["rout"].as_f64().unwrap(), name);
        close(run.evaporation, theirs["aet_total"].as_f64().unwrap(), name);
        for (ours, key) in run.on_the_way.iter().zip(["uh1", "uh2"]) {
            ours.iter().zip(numbers(&theirs[key])).for_each(|(a, b)| close(*a, b, name));
        }
    }

    #[test]
    fn the_twin_agrees_with_the_second_implementation_on_the_piscataquis() {
        let Some(river) = basin("piscataquis/piscataquis_daily.csv") else { return };
        let days =
            river.calendar.steps_of("1990-10-01".parse().unwrap(), "2000-09-30".parse().unwrap()).unwrap();
        let all = reference("gr4j_piscataquis.json");
        for (name, case) in all["cases"].as_object().unwrap() {
            let set = [numbers(&case["x"]), vec![0.0, 0.0]].concat();
            let run = run(&river, days.clone(), &set, None);
            for (a, b) in run.flow.iter().zip(series("gr4j_piscataquis_q.csv", name)) {
                close(*a, b, name);
            }
            states(&run, &case["final_state"], name);
            close(run.flow.iter().sum(), case["total_q"].as_f64().unwrap(), name);
            let observed = &river.flow.as_ref().unwrap()[days.clone()];
            for (measure, key) in
                [(Measure::Kge, "kge"), (Measure::KgePrime, "kge_prime"), (Measure::LogNse, "log_nse")]
            {
                let ours = measure.of(&observed[365..], &run.flow[365..]).unwrap();
                close(ours.value, case["scores"][key].as_f64().unwrap(), key);
            }
        }
    }

    #[test]
    fn snow_and_bands_agree_with_the_second_implementation_on_the_bow() {
        let Some(lumped) = basin("bow/bow_daily_lumped.csv") else { return };
        let all = reference("cemaneige_gr4j_bow.json");
        for (name, case) in all["cases"].as_object().unwrap() {
            let mut bow = lumped.clone();
            if case["banded"].as_bool().unwrap() {
                twelve_bands(&mut bow);
            }
            let thresholds = thresholds(&bow);
            let set =
                [numbers(&case["x"]), vec![case["ctg"].as_f64().unwrap(), case["kf"].as_f64().unwrap()]]
                    .concat();
            let run = run(&bow, 0..bow.calendar.steps, &set, Some(&thresholds));
            for (a, b) in run.flow.iter().zip(series("cemaneige_gr4j_bow_q.csv", name)) {
                close(*a, b, name);
            }
            states(&run, &case["final_state"], name);
            for (b, layer) in case["layers"].as_array().unwrap().iter().enumerate() {
                close(run.snow[b][0], layer["snowpack"].as_f64().unwrap(), name);
                close(run.snow[b][1], layer["thermal"].as_f64().unwrap(), name);
                close(thresholds[b], layer["threshold"].as_f64().unwrap(), name);
            }
        }
    }

    #[test]
    fn what_falls_leaves_stays_or_goes_underground() {
        let basin = synthetic(3000);
        let thresholds = thresholds(&basin);
        for (x2, snow) in [(0.0, true), (-4.0, true), (3.0, false)] {
            let set = [300.0, x2, 80.0, 1.9, 0.3, 4.0];
            let run = run(&basin, 0..3000, &set, snow.then_some(&thresholds[..]));
            let on_the_way: f64 = run.on_the_way.iter().flat_map(|buffer| &buffer[1..]).sum();
            let kept =
                run.stores.iter().sum::<f64>() - 0.3 * 300.0 - 0.5 * 80.0 + on_the_way + run.snow[0][0];
            let left =
                run.precipitation + run.exchange - run.evaporation - run.flow.iter().sum::<f64>() - kept;
            assert!(left.abs() < 1e-9, "{x2}: {left}");
        }
    }
}
