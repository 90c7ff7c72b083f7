//! FUSE, and models in units, bands and cells: `cargo bench --bench domains`.
//!
//! Processor time of the calling thread, best of several runs. The lumped models run seven years of made-up days for
//! parameter sets side by side; the domains of 1, 12, 385 and 2331 units run one set, and sixteen.

#![allow(clippy::print_stdout)] // a benchmark speaks

use std::hint::black_box;

use ekp::models::hydro::Runoff;
use ekp::models::hydro::domain::synthetic::{LEVELS, basin, domain};
use ekp::models::hydro::domain::{Domain, Spread};
use ekp::models::hydro::fuse::Fuse;
use ekp::models::hydro::fuse::decisions::{Decisions, PARENTS};
use ekp::models::hydro::hbv::Hbv;
use ekp::models::hydro::hbv::routing::Routing;

const DAYS: usize = 2556;

fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = ekp::machine::thread_cpu_s();
        black_box(work());
        best = best.min(ekp::machine::thread_cpu_s() - start);
    }
    best
}

/// Sets around the defaults, within 20 %.
fn sets(model: &impl Runoff, count: usize) -> Vec<Vec<f64>> {
    let near = |k: usize| {
        let shift = |(i, p): (usize, &_)| {
            let p: &ekp::models::hydro::Parameter = p;
            let wave = (k as f64 * 0.7 + i as f64 * 1.3).sin();
            (p.default * (1.0 + 0.2 * wave)).clamp(p.lower, p.upper)
        };
        model.parameters().iter().enumerate().map(shift).collect()
    };
    (0..count).map(near).collect()
}

fn main() {
    let whole = basin(DAYS, 1);
    println!("FUSE, lumped, {DAYS} days, one core\n");
    println!("{:12} {:>14} {:>14}", "structure", "1 set, 1/s", "64 sets, 1/s");
    for name in PARENTS {
        let fuse = Fuse::new(Decisions::parent(name).expect("a parent"), false);
        let many = sets(&fuse, 64);
        let one = best(9, || fuse.flows(&whole, 0..DAYS, &many[..1]));
        let all = best(5, || fuse.flows(&whole, 0..DAYS, &many));
        println!("{name:12} {:>14.0} {:>14.0}", 1.0 / one, 64.0 / all);
    }
    println!("\nDomains, {DAYS} days, one core, s per run\n");
    println!(
        "{:8} {:>6} {:>6} {:>10} {:>12} {:>10} {:>12}",
        "level", "units", "basins", "hbv", "hbv of 16", "fuse", "fuse of 16"
    );
    for (level, units, basins) in LEVELS {
        let made = || domain(&whole, units, basins, 1);
        let hbv = times(&whole, Hbv::daily(Routing::Integral, false), made(), units);
        let fuse = Fuse::new(Decisions::parent("arno_vic").expect("a parent"), false);
        let fuse = times(&whole, fuse, made(), units);
        println!(
            "{level:8} {units:>6} {basins:>6} {:>10.5} {:>12.5} {:>10.5} {:>12.5}",
            hbv.0, hbv.1, fuse.0, fuse.1
        );
    }
}

/// One set, and one of sixteen that run together.
fn times<M: Runoff>(
    whole: &ekp::models::hydro::basin::Basin,
    model: M,
    domain: Domain,
    units: usize,
) -> (f64, f64) {
    let spread = Spread::new(model, domain);
    let many = sets(&spread, 16);
    let runs = if units > 100 { 2 } else { 7 };
    let one = best(runs, || spread.flows(whole, 0..DAYS, &many[..1]));
    (one, best(runs.div_ceil(2), || spread.flows(whole, 0..DAYS, &many)) / 16.0)
}
