//! Evaluations of hydrological models per second: `cargo bench --bench hydro`.
//!
//! One evaluation is 2192 days with a score over the last 1735 of them, from named parameters to a KGE, as a search
//! asks for it; parameter sets are spread evenly at random over the usual ranges. The forcing is that of the Bow at Banff
//! where `EKP_TEST_DATA` has it, else a made-up one. Processor time of one thread, best of several.

#![allow(clippy::print_stdout, unsafe_code)]

use std::hint::black_box;
use std::path::PathBuf;

use ekp::models::backend::Backend;
use ekp::models::hydro::basin::{Band, Basin};
use ekp::models::hydro::gr4j::{self, Gr4j};
use ekp::models::hydro::hbv::{self, Hbv, routing::Routing};
use ekp::models::hydro::table::{Calendar, Unit};
use ekp::models::hydro::{Parameter, Runoff, Target};
use ekp::numerics::lanes::Width;

const DAYS: usize = 2192;
const SPIN_UP: usize = 457;

/// Processor time of this process, s.
fn cpu() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is one of POSIX, and `now` is there to be written to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

fn basin() -> (Basin, &'static str) {
    let start = "2002-10-01T00:00:00".parse().expect("a date");
    let calendar = Calendar { start, step_h: 24, steps: DAYS };
    let unit = Unit::of("mm/d", 24, None).expect("a depth needs no area");
    let bands = vec![Band { dz_km: 0.0, share: 1.0 }];
    let of = |[precipitation, temperature, pet, flow]: [Vec<f64>; 4]| Basin {
        calendar,
        precipitation,
        temperature,
        pet,
        flow: Some(flow),
        bands,
        lapse: -6.5,
        gradient: 0.0,
        output: None,
        output_unit: unit,
        inputs: Vec::new(),
    };
    let file = std::env::var_os("EKP_TEST_DATA").map(|f| PathBuf::from(f).join("bow/bow_daily_lumped.csv"));
    if let Some(text) = file.and_then(|file| std::fs::read_to_string(file).ok()) {
        let column = |k: usize| {
            let cell = |line: &str| line.split(',').nth(k).and_then(|x| x.parse().ok()).expect("a number");
            text.lines().skip(1).take(DAYS).map(cell).collect()
        };
        return (of([column(1), column(2), column(3), column(6)]), "the Bow");
    }
    let wave = |i: usize, period: f64| (i as f64 * std::f64::consts::TAU / period).sin();
    let temperature: Vec<f64> =
        (0..DAYS).map(|i| -2.0 - 12.0 * wave(i + 91, 365.25) + 4.0 * wave(i, 9.3)).collect();
    let precipitation: Vec<f64> =
        (0..DAYS).map(|i| (4.0 * wave(i, 7.1) + 3.0 * wave(i, 17.7)).max(0.0)).collect();
    let pet = temperature.iter().map(|t| (0.12 * (t + 5.0)).max(0.0)).collect();
    let flow = (0..DAYS).map(|i| 1.5 + wave(i + 91, 365.25)).collect();
    (of([precipitation, temperature, pet, flow]), "a made-up climate")
}

fn sets(parameters: &[Parameter], n: usize) -> Vec<Vec<f64>> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut value = |p: &Parameter| p.lower + random() * (p.upper - p.lower);
    (0..n).map(|_| parameters.iter().map(&mut value).collect()).collect()
}

/// Evaluations per second in batches of `size`.
fn rate(model: &impl Runoff, basin: &Basin, sets: &[Vec<f64>], size: usize) -> f64 {
    let flow = basin.flow.as_ref().expect("there is one");
    let observed = (0..DAYS).map(|i| if i < SPIN_UP { f64::NAN } else { flow[i] }).collect();
    let target = Target::new(observed, false);
    let measure = ekp::models::Measure::Kge;
    let once = || {
        let start = cpu();
        for some in sets.chunks(size) {
            for sums in model.sums(basin, 0..DAYS, some, &target) {
                black_box(measure.from_moments(&sums.plain));
            }
        }
        cpu() - start
    };
    sets.len() as f64 / (0..9).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let (basin, whose) = basin();
    println!("evaluations per second, {DAYS} days of {whose}");
    println!("{:>24} {:>8} {:>12} {:>12} {:>12} {:>12}", "", "", "alone", "by 8", "by 32", "by 1024");
    let scalar = Hbv::daily(Routing::Integral, false).on(Backend::Scalar);
    line("hbv", "scalar", &scalar, &basin, &sets(&hbv::PARAMETERS, 64));
    for width in Width::all().into_iter().rev() {
        let model = Hbv::daily(Routing::Integral, false).at(width);
        line("hbv", &format!("{width:?}"), &model, &basin, &sets(&hbv::PARAMETERS, 1024));
        let model = Gr4j::new(true).at(width);
        line("gr4j with cemaneige", &format!("{width:?}"), &model, &basin, &sets(&gr4j::PARAMETERS, 1024));
        let model = Hbv::daily(Routing::Integral, true).at(width);
        line("hbv, smooth thresholds", &format!("{width:?}"), &model, &basin, &sets(&hbv::PARAMETERS, 1024));
    }
}

fn line(name: &str, width: &str, model: &impl Runoff, basin: &Basin, sets: &[Vec<f64>]) {
    let few = if width == "Plain" { &sets[..64] } else { sets };
    let alone = rate(model, basin, &few[..64], 1);
    let rates = [8, 32, 1024].map(|size| rate(model, basin, few, size));
    println!("{name:>24} {width:>8} {alone:>12.0} {:>12.0} {:>12.0} {:>12.0}", rates[0], rates[1], rates[2]);
}
