//! How the analysis step grows with p, d and J: `cargo bench --bench curves`.
//!
//! One thread, processor time, best of several. Slopes are those of least squares in the logarithms over the last two
//! decades of p and d, and the last of J; a step that is linear in p and d has slope 1 there, and none is above 3 in J.

#![allow(clippy::print_stdout)] // a benchmark speaks
#![allow(unsafe_code)] // the processor's clock

use std::hint::black_box;

use ekp::kalman::evidence::{Evidence, Keep, Rows, gather};
use ekp::kalman::{eki, etki};
use ekp::numerics::{LinalgError, Mat, Purpose, Streams, standard_normals};
use ekp::problem::observation::{Covariance, Noise};

/// Processor time of this process, s.
fn cpu() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is one of POSIX, and `now` is there to be written to.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// Best time of one call, s: at least three calls, and more for as long as half a second.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    let (mut best, mut spent, mut calls) = (f64::INFINITY, 0.0, 0);
    while calls < 3 || (spent < 0.5 && calls < 1000) {
        let start = cpu();
        black_box(work());
        let took = cpu() - start;
        (best, spent, calls) = (best.min(took), spent + took, calls + 1);
        if took > 10.0 {
            break;
        }
    }
    best
}

/// Standard normals; a few thousand of them again and again, which is enough for a clock.
fn rough(member: u32, rows: usize, cols: usize) -> Mat {
    let mut stream = Streams::new(1).at(Purpose::Model, 0, member);
    let few = standard_normals(&mut stream, (rows * cols).min(99_991)); // a prime: columns differ
    Mat::from_columns(rows, cols, few.iter().copied().cycle().take(rows * cols).collect())
}

/// Times of one ETKI, one EKI and one perturbed EKI update, the pass over the outputs included, s.
fn updates(d: usize, p: usize, members: usize) -> [f64; 3] {
    let (mut u, g) = (rough(1, d, members), rough(2, p, members));
    let y = rough(3, p, 1).data().to_vec();
    let rows: Vec<usize> = (0..p).collect();
    let all: Vec<usize> = (0..members).collect();
    let mut noise = Noise::default();
    noise.push(&Covariance::Diagonal(vec![0.5; p]), &rows).expect("a diagonal is a covariance");
    let data = Rows { g: &g, rows: &rows, members: &all, y: &y, noise: &noise };
    let seen = || gather(&data, Keep::Gram).0;
    // Each step starts where the last one ended, in its place.
    let mut step = |update: &dyn Fn(Mat, &Evidence) -> Result<Mat, LinalgError>| {
        u = update(std::mem::take(&mut u), &seen()).expect("numbers");
    };
    [
        best(|| step(&|u, evidence| etki::update(u, evidence, 0.01))),
        best(|| step(&|u, evidence| eki::update(u, evidence, 0.01, None))),
        best(|| {
            step(&|u, evidence| {
                let Evidence::Gram { s, .. } = evidence else { unreachable!("asked for") };
                let pull = eki::noise_in_ensemble_space(s, &rough(4, members, members))?;
                eki::update(u, evidence, 0.01, Some(&pull))
            });
        }),
    ]
}

/// Slope of ln time over ln size, from the size `from` on.
fn slope(points: &[(f64, f64)], from: f64) -> f64 {
    let used: Vec<(f64, f64)> =
        points.iter().filter(|(n, _)| *n >= from).map(|(n, t)| (n.ln(), t.ln())).collect();
    let count = used.len() as f64;
    let (x, y) = used.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / count, b + y / count));
    let (above, below) =
        used.iter().fold((0.0, 0.0), |(a, b), (n, t)| (a + (n - x) * (t - y), b + (n - x) * (n - x)));
    above / below
}

/// Title, sizes, the updates of one size, and the factor between the largest size and the first that counts.
type Curve<'a> = (&'a str, &'a [usize], fn(usize) -> [f64; 3], f64);

fn main() {
    let p: &[usize] = &[10, 100, 1000, 10_000, 100_000, 1_000_000];
    let d: &[usize] = &[10, 100, 1000, 10_000, 100_000];
    let members: &[usize] = &[10, 30, 100, 300, 1000, 3000];
    let curves: [Curve; 3] = [
        ("p, d = 20, J = 50", p, |n| updates(20, n, 50), 100.0),
        ("d, p = 1000, J = 50", d, |n| updates(n, 1000, 50), 100.0),
        ("J, d = 20, p = 3000", members, |n| updates(20, 3000, n), 10.0),
    ];
    for (title, sizes, one, decades) in curves {
        println!("{title:>20} {:>12} {:>12} {:>14}", "ETKI ms", "EKI ms", "perturbed ms");
        let mut times: Vec<(f64, [f64; 3])> = Vec::new();
        for &size in sizes {
            let took = one(size);
            println!("{size:>20} {:>12.4} {:>12.4} {:>14.4}", took[0] * 1e3, took[1] * 1e3, took[2] * 1e3);
            times.push((size as f64, took));
        }
        let most = times[times.len() - 1].0;
        let of = |k: usize| slope(&times.iter().map(|(n, t)| (*n, t[k])).collect::<Vec<_>>(), most / decades);
        println!("{:>20} {:>12.2} {:>12.2} {:>14.2}\n", "slope", of(0), of(1), of(2));
    }
}
