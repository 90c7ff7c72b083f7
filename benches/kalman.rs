//! The analysis step against its floor, the Gram matrix of the outputs: `cargo bench --bench kalman`.
//!
//! One thread, best of several runs. flop = p J² + 2 d J² + 10 J³, what a step cannot do without (symmetric Gram).

#![allow(clippy::print_stdout)] // a benchmark speaks

use std::hint::black_box;
use std::time::Instant;

use ekp::kalman::evidence::{Keep, Rows, gather};
use ekp::kalman::{eki, etki};
use ekp::numerics::{Mat, Purpose, Streams, columns, linalg, standard_normals};
use ekp::problem::observation::{Covariance, Noise};

/// Best time of `runs` calls, in ns.
fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        black_box(work());
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    best
}

fn normals(member: u32, rows: usize, cols: usize) -> Mat {
    let mut stream = Streams::new(1).at(Purpose::Model, 0, member);
    Mat::from_columns(rows, cols, standard_normals(&mut stream, rows * cols))
}

fn main() {
    println!("{:>22} {:>14} {:>10} {:>9} {:>7}", "(d, p, J)", "what", "ms", "ns/flop", "x Gram");
    for (d, p, members, runs) in [(5, 50, 20, 2000), (50, 1000, 100, 200), (200, 100_000, 100, 15)] {
        let (u, g) = (normals(1, d, members), normals(2, p, members));
        let y = normals(3, p, 1).data().to_vec();
        let rows: Vec<usize> = (0..p).collect();
        let all: Vec<usize> = (0..members).collect();
        let mut noise = Noise::default();
        noise.push(&Covariance::Diagonal(vec![0.5; p]), &rows).expect("a diagonal is a covariance");
        let data = Rows { g: &g, rows: &rows, members: &all, y: &y, noise: &noise };
        let (pf, df, jf) = (p as f64, d as f64, members as f64);
        let flop = pf * jf * jf + 2.0 * df * jf * jf + 10.0 * jf.powi(3);

        let gram = best(runs, || linalg::gram(&g));
        let gathered = best(runs, || gather(&data, Keep::Gram));
        let etki = best(runs, || etki::update(&u, &gather(&data, Keep::Gram).0, 0.1));
        let eki = best(runs, || eki::update(&u, &gather(&data, Keep::Gram).0, 0.1, None));
        let perturbed = best(runs, || {
            let (evidence, _) = gather(&data, Keep::Gram);
            let ekp::kalman::evidence::Evidence::Gram { s, .. } = &evidence else {
                unreachable!("asked for")
            };
            let pull = eki::noise_in_ensemble_space(s, &normals(4, members, members));
            eki::update(&u, &evidence, 0.1, pull.as_ref().ok())
        });
        let finite = best(runs, || (0..members).all(|j| columns::is_finite(g.col(j))));
        for (what, ns, flop) in [
            ("gram", gram, pf * jf * jf),
            ("finite?", finite, pf * jf),
            ("gather", gathered, flop),
            ("etki", etki, flop),
            ("eki", eki, flop),
            ("eki perturbed", perturbed, flop),
        ] {
            let size = format!("({d}, {p}, {members})");
            println!("{size:>22} {what:>14} {:>10.4} {:>9.4} {:>7.2}", ns / 1e6, ns / flop, ns / gram);
        }
    }
}
