//! Soundings per second: `cargo bench --bench tem1d`.
//!
//! 31 gates of B and 31 of dB/dt, a loop of 10 m radius 1 m above ground, random earths of 1 to 1000 ohm m; from
//! layers to gates, in memory; polarised ones; and with the derivatives of all gates, beside differences of as many
//! earths more. Processor time of one thread, best of eight. The published program of this kind does
//! 199 models/s on one core, 7 121 on 128.

#![allow(clippy::print_stdout, unsafe_code)]

use std::hint::black_box;

use ekp::models::tem1d::{
    Accuracy, ColeCole, Earth, Gate, Geometry, Moment, Per, Quantity, Setup, Shape, System,
};
use ekp::numerics::lanes::Width;

const MODELS: usize = 504;

/// Processor time of this process, s.
fn cpu() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is one of POSIX, and `now` is there to be written to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

fn setup(accuracy: Accuracy) -> Setup {
    let time = |k: u32| 10_f64.powf(-6.0 + 4.0 * f64::from(k) / 30.0);
    let gates: Vec<Gate> = (0..31).map(|k| (time(k), time(k))).collect();
    let moment = |name: &str, quantity| Moment {
        name: name.into(),
        quantity,
        waveform: Vec::new(),
        repetition: None,
        lowpass: Vec::new(),
        gates: gates.clone(),
        scale: 1.0,
        per: Per::default(),
    };
    Setup {
        geometry: Geometry {
            shape: Shape::Circle { radius: 10.0 },
            offset: (0.0, 0.0),
            transmitters: vec![(1.0, 1.0)],
            receivers: vec![(1.0, 1.0)],
        },
        moments: vec![moment("b", Quantity::B), moment("dbdt", Quantity::DbDt)],
        rho: (1.0, 1000.0),
        accuracy,
    }
}

/// Of eight runs the least time, s.
fn best(mut run: impl FnMut()) -> f64 {
    let once = |_| {
        let begun = cpu();
        run();
        cpu() - begun
    };
    (0..8).map(once).fold(f64::INFINITY, f64::min)
}

/// Gates and their differences by ln rho and ln h, of all earths.
fn differences(system: &System, earths: &[Earth], width: Width) -> Vec<Vec<f64>> {
    const STEP: f64 = 1e-5;
    let layers = earths[0].resistivity.len();
    let base = system.responses(earths, width);
    let mut all = base.clone();
    for p in 0..2 * layers - 1 {
        let moved = |earth: &Earth| {
            let mut earth = earth.clone();
            if p < layers {
                earth.resistivity[p] *= STEP.exp();
            } else {
                earth.thickness[p - layers] *= STEP.exp();
            }
            earth
        };
        let moved: Vec<Earth> = earths.iter().map(moved).collect();
        for ((all, base), moved) in all.iter_mut().zip(&base).zip(system.responses(&moved, width)) {
            all.extend(moved.iter().zip(base).map(|(moved, base)| (moved - base) / STEP));
        }
    }
    all
}

fn main() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    for accuracy in [Accuracy::Accurate, Accuracy::Fast] {
        let begun = cpu();
        let system = System::new(setup(accuracy));
        let (s, lambda) = system.size();
        println!(
            "{accuracy:?}: {s} Laplace variables, {lambda} wavenumbers, {} pairs, ready in {:.3} s",
            system.pairs(),
            cpu() - begun
        );
        for layers in [2_usize, 3, 6, 12] {
            let mut earth = || {
                let resistivity = (0..layers).map(|_| 10_f64.powf(3.0 * uniform())).collect();
                let thickness = (1..layers).map(|_| 5.0 + 45.0 * uniform()).collect();
                Earth::new(resistivity, thickness)
            };
            let earths: Vec<Earth> = (0..MODELS).map(|_| earth()).collect();
            for width in Width::all().into_iter().rev().take(2) {
                let each = 1e6 / MODELS as f64;
                let plain = best(|| drop(black_box(system.responses(&earths, width))));
                let slopes = best(|| drop(black_box(system.derivatives(&earths, width))));
                let moved = best(|| drop(black_box(differences(&system, &earths, width))));
                println!(
                    "  {layers:>2} layers {width:?}: {:.0} models/s; {:.1} us, with derivatives {:.1}, by differences {:.1}",
                    MODELS as f64 / plain,
                    plain * each,
                    slopes * each,
                    moved * each
                );
            }
        }
        let mut polarised = || {
            let resistivity = (0..3).map(|_| 10_f64.powf(3.0 * uniform())).collect();
            let thickness = (0..2).map(|_| 5.0 + 45.0 * uniform()).collect();
            let mut earth = Earth::new(resistivity, thickness);
            let layer = |_| ColeCole {
                m: 0.1 + 0.5 * uniform(),
                tau: 10_f64.powf(3.0 * uniform() - 4.0),
                c: 0.3 + 0.4 * uniform(),
            };
            earth.polarisation = (0..3).map(layer).collect();
            earth
        };
        let earths: Vec<Earth> = (0..MODELS).map(|_| polarised()).collect();
        for width in Width::all().into_iter().rev().take(2) {
            for size in [1, 8] {
                let run = || {
                    for some in earths.chunks(size) {
                        black_box(system.responses(some, width));
                    }
                };
                println!(
                    "  3 polarised layers {width:?}, {size} in a call: {:.1} us",
                    best(run) * 1e6 / MODELS as f64
                );
            }
        }
    }
}
