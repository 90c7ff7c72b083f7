//! FUSE against the second implementation: single points of all structures, whole runs, water in and out.

use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use crate::files::human::Document;
use crate::models::hydro::Runoff;
use crate::models::hydro::basin::Basin;
use crate::models::hydro::fuse::Fuse;
use crate::models::hydro::fuse::column::{Column, Ended, Scheme, Weather};
use crate::models::hydro::fuse::decisions::{Decisions, Delay, Interflow, PARENTS, RainError, STORES, Snow};
use crate::models::hydro::fuse::fluxes::{Point, evaluate};
use crate::models::hydro::fuse::mean_power_index;
use crate::models::hydro::fuse::parameters::{PARAMETERS, Values};
use crate::models::hydro::fuse::routing::{ordinates, route};
use crate::models::hydro::fuse::sizes::Sizes;
use crate::models::hydro::fuse::snow::season;
use crate::models::hydro::testing::{basin, numbers, reference, series, synthetic};
use crate::models::score::Measure;
use crate::numerics::simd::{Kernel, widest};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn values(named: &Value) -> Values {
    let mut values = Values::default();
    for (name, value) in named.as_object().unwrap() {
        *values.get_mut(name).unwrap() = number(value);
    }
    values
}

fn decisions(named: &Value) -> Decisions {
    let word = |key: &str| named[key].as_str().unwrap();
    let soil: Vec<&str> = ["ARCH1", "ARCH2", "QSURF", "QPERC", "ESOIL", "QINTF"].map(word).into();
    Decisions {
        rain_error: RainError::from_word(word("RFERR")).unwrap(),
        delay: Delay::from_word(word("Q_TDH")).unwrap(),
        snow: Snow::from_word(word("SNOWM")).unwrap(),
        ..Decisions::from_words(&soil.join(" ")).unwrap()
    }
}

/// |got − want| ≤ rtol |want| + atol
fn near(got: f64, want: f64, rtol: f64, atol: f64) -> bool {
    (got - want).abs() <= rtol * want.abs() + atol
}

/// A point of the fixture.
struct Given {
    d: Decisions,
    set: Values,
    state: Vec<f64>,
    rain: f64,
    pet: f64,
    rate: Vec<f64>,
    flux: Vec<f64>,
}

fn points() -> Vec<Given> {
    let file = reference("fuse_points.json");
    let point = |row: &Value| Given {
        d: Decisions::from_words(row[0].as_str().unwrap()).unwrap(),
        set: values(&file["parameter_sets"][row[1].as_str().unwrap()]),
        rain: number(&row[2]),
        pet: number(&row[3]),
        state: numbers(&row[4]),
        rate: numbers(&row[5]),
        flux: numbers(&row[6]),
    };
    file["points"].as_array().unwrap().iter().map(point).collect()
}

fn at<const L: usize>(state: &[f64]) -> [[f64; L]; STORES] {
    std::array::from_fn(|i| [state.get(i).copied().unwrap_or(0.0); L])
}

#[test]
fn fluxes_and_rates_of_all_236_structures_agree_with_the_second_implementation() {
    let points = points();
    assert_eq!(points.len(), 2 * 236);
    for Given { d, set, state, rain, pet, rate, flux } in &points {
        let mut point = Point::ZERO;
        evaluate(d, &Sizes::new(d, &[*set]), &at::<1>(state), &[*rain], &[*pet], &mut point);
        // Terms of a rate are tens of mm/d; what is left of their sum has their rounding
        let largest = flux.iter().fold(*rain, |most, f| most.max(f.abs()));
        for (got, want) in point.flux.all().into_iter().zip(flux) {
            assert!(near(got[0], *want, 1e-11, 1e-15 * largest), "{d}: {} {want}", got[0]);
        }
        for (got, want) in point.rate.iter().zip(rate) {
            assert!(near(got[0], *want, 1e-11, 1e-14 * largest), "{d}: {} {want}", got[0]);
        }
    }
}

#[test]
fn the_slopes_are_the_difference_quotients_of_the_rates() {
    for Given { d, set, state, rain, pet, .. } in &points() {
        let k = Sizes::new(d, &[*set]);
        let rates = |x: &[f64]| {
            let mut point = Point::ZERO;
            evaluate(d, &k, &at::<1>(x), &[*rain], &[*pet], &mut point);
            point
        };
        let here = rates(state);
        for j in 0..d.stores() {
            let h = 1e-6 * k.full[j][0];
            let mut moved = state.clone();
            moved[j] += h;
            let up = rates(&moved);
            moved[j] -= 2.0 * h;
            let down = rates(&moved);
            for i in 0..d.stores() {
                let quotient = (up.rate[i][0] - down.rate[i][0]) / (2.0 * h);
                let slope = here.slope[i][j][0];
                // Cancellation: 1e-16 of some hundred mm/d over h; curvature of a brim: (h/width)²/6 = 2e-9
                let most = 1e-6 * (1.0 + slope.abs()) + 1e-13 * 400.0 / h;
                assert!((quotient - slope).abs() < most, "{d} [{i}][{j}]: {slope} {quotient}");
            }
        }
    }
}

#[test]
fn what_leaves_a_store_arrives_in_another_or_leaves_the_column() {
    for Given { d, set, state, rain, pet, .. } in &points() {
        let mut point = Point::ZERO;
        evaluate(d, &Sizes::new(d, &[*set]), &at::<1>(state), &[*rain], &[*pet], &mut point);
        let sum: f64 = point.rate[..d.stores()].iter().map(|r| r[0]).sum();
        let f = point.flux;
        let out = f.qsx[0] + f.intf[0] + f.oflow_1[0] + f.oflow_2[0] + f.base[0] + f.evap_1[0] + f.evap_2[0];
        assert!((sum - (rain - out)).abs() < 1e-13 * out.max(*rain), "{d}");
    }
}

#[test]
fn the_small_pieces_agree_with_the_second_implementation() {
    let file = reference("fuse_points.json");
    for row in file["mean_power_index"].as_array().unwrap() {
        let row = numbers(row);
        let got = mean_power_index(row[0], row[1], row[2]);
        // The last classes of a heavy tail are differences of numbers near 1
        assert!(near(got, row[3], 1e-9, 0.0), "{row:?} {got}");
    }
    for row in file["gamma_ordinates"].as_array().unwrap() {
        let (got, want) = (ordinates(number(&row[0]), 1.0), numbers(&row[1]));
        assert!(got.len().abs_diff(want.len()) <= 1, "{} {}", got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            assert!(near(*got, *want, 0.0, 1e-14), "{got} {want}");
        }
    }
    for row in file["melt_factor"].as_array().unwrap() {
        let got = 1.0 + 4.0 * season(number(&row[0]) as u32, row[1].as_bool().unwrap());
        assert!(near(got, number(&row[2]), 1e-14, 0.0));
    }
}

/// What drives the cases of one file: precipitation, temperature, PET and seasons of its days.
struct Days {
    file: &'static str,
    precipitation: Vec<f64>,
    temperature: Vec<f64>,
    pet: Vec<f64>,
    flow: Vec<f64>,
    seasons: Vec<f64>,
}

impl Days {
    fn read(file: &'static str, csv: &str, first: usize, count: usize) -> Option<Self> {
        let all = basin(csv)?;
        Some(Self::of(&all, file, first..first + count))
    }

    fn of(all: &Basin, file: &'static str, days: Range<usize>) -> Self {
        let season = |i: usize| {
            let (day, leap) = all.day_of_year(i);
            season(day, leap)
        };
        Self {
            file,
            precipitation: all.precipitation[days.clone()].to_vec(),
            temperature: all.temperature[days.clone()].to_vec(),
            pet: all.pet[days.clone()].to_vec(),
            flow: all.flow.as_ref().map_or(Vec::new(), |flow| flow[days.clone()].to_vec()),
            seasons: days.map(season).collect(),
        }
    }

    /// A made-up climate.
    fn synthetic(count: usize) -> Self {
        Self::of(&synthetic(count), "", 0..count)
    }

    /// The Bow, and the Piscataquis from 1990-10-01 on; none where the data are not at hand.
    fn all() -> Option<[Self; 2]> {
        let bow = Self::read("fuse_bow", "bow/bow_daily_lumped.csv", 0, 2556)?;
        let piscataquis = Self::read("fuse_piscataquis", "piscataquis/piscataquis_daily.csv", 3652, 3653)?;
        Some([bow, piscataquis])
    }

    fn weather(&self) -> Weather<'_> {
        Weather { precipitation: &self.precipitation, temperature: &self.temperature, pet: &self.pet }
    }

    fn column<'a, const L: usize>(
        &'a self,
        decisions: &'a Decisions,
        sets: &'a [Values; L],
        bands: &'a [(f64, f64)],
    ) -> Column<'a, L> {
        let (weather, seasons, scheme) = ([self.weather(); L], &self.seasons, Scheme::default());
        Column { decisions, sets, weather, seasons, bands, step_days: 1.0, scheme }
    }

    fn run<const L: usize>(&self, d: &Decisions, sets: &[Values; L], bands: &[(f64, f64)]) -> Ended<L> {
        widest(self.column(d, sets, bands))
    }
}

#[test]
fn the_26_runs_agree_with_the_second_implementation() {
    let Some(catchments) = Days::all() else { return };
    let mut cases = 0;
    for days in &catchments {
        let file = reference(&format!("{}.json", days.file));
        let steps = series(&format!("{}_q.csv", days.file), "step");
        for (name, case) in file["cases"].as_object().unwrap() {
            cases += 1;
            let d = decisions(&case["decisions"]);
            let set = values(&case["parameters"]);
            let bands: Vec<(f64, f64)> = case["bands"]
                .as_array()
                .unwrap()
                .iter()
                .map(|band| (number(&band[0]) / 1000.0, number(&band[1])))
                .collect();
            let ended = days.run(&d, &[set], &bands);
            let mut flow: Vec<f64> = ended.runoff.iter().map(|q| q[0]).collect();
            let shares = if d.delay == Delay::Gamma { ordinates(set.timedelay, 1.0) } else { vec![1.0] };
            let left = route(&shares, &mut flow);

            // The file has 12 digits; 1e-11 mm/d where flow is all but nothing
            let want = series(&format!("{}_q.csv", days.file), name);
            for (step, want) in steps.iter().zip(&want) {
                let got = flow[*step as usize];
                assert!(near(got, *want, 1e-9, 1e-11), "{name}, step {step}: {got} {want}");
            }
            assert!(near(flow.iter().sum(), number(&case["total_q"]), 1e-10, 0.0), "{name}");
            let last = &case["final_state"];
            for (store, got) in d.store_names().iter().zip(&ended.stores) {
                let want = number(&last[*store]);
                assert!(near(got[0], want, 1e-8, 1e-11), "{name}, {store}: {} {want}", got[0]);
            }
            for (got, want) in ended.swe.iter().zip(numbers(&last["swe"])) {
                assert!(near(got[0], want, 1e-9, 1e-10), "{name}, snow: {} {want}", got[0]);
            }
            for (got, want) in left.iter().zip(numbers(&last["routing_buffer"])) {
                assert!(near(*got, want, 1e-9, 1e-11), "{name}, on its way: {got} {want}");
            }
            let names = ["qsx", "evap_1", "evap_2", "intf", "perc", "oflow_1", "oflow_2", "base"];
            for (flux, got) in names.iter().zip(&ended.totals) {
                let want = number(&case["totals"][*flux]);
                assert!(near(got[0], want, 1e-9, 1e-9), "{name}, {flux}: {} {want}", got[0]);
            }
            let window =
                if days.file == "fuse_bow" { ("calibration", 457..1918) } else { ("scored", 365..3653) };
            for (measure, key) in [(Measure::Kge, "kge"), (Measure::Nse, "nse"), (Measure::LogNse, "log_nse")]
            {
                let ours = measure.of(&days.flow[window.1.clone()], &flow[window.1.clone()]).unwrap().value;
                let want = number(&case[window.0][key]);
                assert!(near(ours, want, 1e-9, 1e-9), "{name}, {key}: {ours} {want}");
            }
            let out: f64 = ended.totals[1][0] + ended.totals[2][0] + flow.iter().sum::<f64>();
            let stored: f64 =
                ended.stores.iter().map(|s| s[0]).sum::<f64>() + ended.snow[0] + left.iter().sum::<f64>();
            let residual = ended.start[0] + ended.input[0] - out - stored;
            assert!(residual.abs() < 1e-9, "{name}: {residual} mm of water are missing");
            // Newton needs few evaluations a step
            assert!(ended.evaluations < 6 * flow.len(), "{name}: {}", ended.evaluations);
        }
    }
    assert_eq!(cases, 26);
}

/// Values between the usual bounds, from a small generator of its own.
fn some_set(state: &mut u64) -> Values {
    let mut uniform = || {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut values = Values::default();
    for p in PARAMETERS {
        let u = uniform();
        // Rates over decades, the rest evenly
        let x = if p.lower > 0.0 && p.upper > 50.0 * p.lower {
            p.lower * (p.upper / p.lower).powf(u)
        } else {
            p.lower + (p.upper - p.lower) * u
        };
        *values.get_mut(p.name).unwrap() = x;
    }
    values
}

#[test]
fn every_structure_runs_through_a_wet_and_a_dry_year_with_any_parameters_and_loses_no_water() {
    let days = Days::synthetic(800);
    let mut state = 1;
    for d in Decisions::every() {
        let sets: [Values; 8] = std::array::from_fn(|_| some_set(&mut state));
        let ended = days.run(&d, &sets, &[(-0.4, 0.5), (0.6, 0.5)]);
        for l in 0..8 {
            assert!(ended.residual[l] < 1e-10, "{d}: {} {:?}", ended.residual[l], sets[l]);
            let [qsx, e1, e2, intf, _, o1, o2, base] = ended.totals.map(|total| total[l]);
            let runoff: f64 = ended.runoff.iter().map(|q| q[l]).sum();
            assert!(near(runoff, qsx + intf + o1 + o2 + base, 1e-12, 0.0), "{d}");
            let stored: f64 = ended.stores.iter().map(|s| s[l]).sum::<f64>() + ended.snow[l];
            let residual = ended.start[l] + ended.input[l] - e1 - e2 - runoff - stored;
            assert!(residual.abs() < 1e-9, "{d}: {residual} mm");
            // Stores are not clipped: rounding is all that takes them below zero
            assert!(ended.stores.iter().all(|s| s[l] > -1e-9), "{d}");
        }
    }
}

#[test]
fn an_area_that_all_but_jumps_is_solved_too() {
    // A full basin with AXV_BEXP near 0: one rounding of the storage is worth a third of the area
    let d =
        Decisions::from_words("tension1_1 unlimpow_2 arno_x_vic perc_lower rootweight intflwnone").unwrap();
    let set = Values {
        axv_bexp: 0.002,
        maxwatr_1: 30.0,
        fracten: 0.3,
        sacpmlt: 1.0,
        baserte: 0.01,
        mbase: 0.0,
        ..Values::default()
    };
    let mut days = Days::synthetic(400);
    days.precipitation.iter_mut().for_each(|p| *p = *p * 3.0 + 4.0);
    let ended = days.run(&d, &[set], &[(0.0, 1.0)]);
    assert!(ended.residual[0] < 1e-10, "{}", ended.residual[0]);
    // It took more than Newton, day after day
    assert!(ended.evaluations > 50 * days.seasons.len());
}

#[test]
fn neighbours_and_vector_widths_do_not_change_a_bit() {
    let days = Days::synthetic(400);
    let mut state = 7;
    for name in PARENTS {
        let d = Decisions::parent(name).unwrap();
        let sets: [Values; 16] = std::array::from_fn(|_| some_set(&mut state));
        let together = days.run(&d, &sets, &[(0.0, 1.0)]);
        for l in [0, 7, 15] {
            let alone = days.run(&d, &[sets[l]], &[(0.0, 1.0)]);
            let narrow = days.column(&d, &[sets[l]], &[(0.0, 1.0)]).run();
            for ((t, a), n) in together.runoff.iter().zip(&alone.runoff).zip(&narrow.runoff) {
                assert_eq!((t[l].to_bits(), t[l].to_bits()), (a[0].to_bits(), n[0].to_bits()), "{name}");
            }
        }
    }
}

#[test]
fn smaller_steps_bring_both_schemes_together() {
    let days = Days::synthetic(300);
    let d = Decisions::parent("arno_vic").unwrap();
    let set = Values { percexp: 3.0, percrte: 50.0, ..Values::default() };
    let total = |implicit: bool, parts: u32| {
        let sets = [set];
        let mut column = days.column(&d, &sets, &[(0.0, 1.0)]);
        column.scheme = Scheme { implicit, parts };
        column.run().runoff
    };
    let exact = total(true, 640);
    let off = |scheme: &[[f64; 1]]| {
        scheme.iter().zip(&exact).map(|(a, b)| (a[0] - b[0]).abs()).sum::<f64>()
            / exact.iter().map(|q| q[0]).sum::<f64>()
    };
    let (daily, fine, explicit) = (off(&total(true, 1)), off(&total(true, 16)), off(&total(false, 64)));
    // Both are of first order
    assert!(fine < daily / 8.0 && explicit < daily / 16.0, "{daily} {fine} {explicit}");
    // An explicit step that empties a store past its bottom ends the run, and does not make water
    let sacramento = Decisions::parent("sacramento").unwrap();
    let sets = [Values { iflwrte: 1000.0, ..Values::default() }];
    let mut column = days.column(&sacramento, &sets, &[(0.0, 1.0)]);
    column.scheme = Scheme { implicit: false, parts: 1 };
    let ended = column.run();
    assert!(ended.residual[0].is_nan() && ended.runoff.last().unwrap()[0].is_nan());
}

#[test]
fn options_make_a_structure_and_only_its_parameters_are_known() {
    let read = |text: &str| {
        let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
        let section = document.section();
        Fuse::read(&section, &synthetic(10)).and_then(|fuse| section.finish().map(|()| fuse))
    };
    let fuse = read("structure = \"prms\"\nQINTF = \"intflwnone\"\nsubsteps = 4\n").unwrap();
    assert_eq!(
        fuse.decisions,
        Decisions { interflow: Interflow::None, ..Decisions::parent("prms").unwrap() }
    );
    assert_eq!(fuse.scheme, Scheme { implicit: true, parts: 4 });
    let names: Vec<&str> = fuse.parameters().iter().map(|p| p.name).collect();
    assert!(names.contains(&"FRCHZNE") && !names.contains(&"IFLWRTE") && !names.contains(&"LAPSE"));
    assert_eq!(read("").unwrap().decisions, Decisions::default());
    for (text, words) in [
        ("structure = \"topmodell\"", "no such choice"),
        ("structure = \"prms\"\nARCH2 = \"tens2pll_2\"", "do not go together"),
        ("QSURF = \"tmdl_param\"", "do not go together"),
        ("substeps = 0", "out of range"),
        ("arch1 = \"onestate_1\"", "unknown key"),
    ] {
        assert!(read(text).unwrap_err().to_string().contains(words), "{text}");
    }
    let mut set: Vec<f64> = fuse.parameters().iter().map(|p| p.default).collect();
    assert_eq!(fuse.check(&set), Ok(()));
    let at = names.iter().position(|name| *name == "FRACTEN").unwrap();
    set[at] = 1.5;
    assert!(fuse.check(&set).unwrap_err().contains("`FRACTEN` is 1.5"));
}
