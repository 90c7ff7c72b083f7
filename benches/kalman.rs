//! The analysis step against its floor: `cargo bench --bench kalman`.
//!
//! Processor time of the calling thread, best of several runs (wall time where two threads work). The floor of a
//! step is what cannot be done without: max(flops / peak of fused multiply-adds, bytes / read bandwidth), both
//! measured here first; flops = p J² (symmetric Gram) + 2 d J² + 10 J³, with a dense Γ p³/3 + p² J more.

#![allow(clippy::print_stdout)] // a benchmark speaks

use std::hint::black_box;
use std::time::Instant;

use ekp::files::human::Document;
use ekp::kalman::evidence::{Evidence, Keep, Rows, gather, gather_on};
use ekp::kalman::{Group, Kalman, Process, eki, etki};
use ekp::numerics::{LinalgError, Mat, Purpose, Streams, linalg, standard_normals};
use ekp::problem::observation::{Block, Covariance, Noise};
use ekp::problem::{Algorithm, Evaluated, Observation, Prior, Problem};

/// Best processor time of `runs` calls, ms.
fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = ekp::machine::thread_cpu_s();
        black_box(work());
        best = best.min(ekp::machine::thread_cpu_s() - start);
    }
    best * 1e3
}

/// Best wall time, ms.
fn wall<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        black_box(work());
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e3
}

fn normals(member: u32, rows: usize, cols: usize) -> Mat {
    let mut stream = Streams::new(1).at(Purpose::Model, 0, member);
    Mat::from_columns(rows, cols, standard_normals(&mut stream, rows * cols))
}

/// Flops per ms of fused multiply-adds on numbers that stay in registers.
fn peak() -> f64 {
    const ROUNDS: usize = 200_000;
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn wide(sums: &mut [f64; 96]) {
            for _ in 0..ROUNDS {
                for x in sums.iter_mut() {
                    *x = x.mul_add(0.999_999, 1e-9);
                }
            }
        }
        #[target_feature(enable = "avx2,fma")]
        fn narrow(sums: &mut [f64; 96]) {
            for _ in 0..ROUNDS {
                for x in sums.iter_mut() {
                    *x = x.mul_add(0.999_999, 1e-9);
                }
            }
        }
        let flops = (ROUNDS * 96 * 2) as f64;
        let mut sums = [1.0; 96];
        // SAFETY: each is called only where the processor has the features, which is asked in front of it.
        #[allow(unsafe_code)]
        unsafe {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return flops / best(20, || wide(black_box(&mut sums)));
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                return flops / best(20, || narrow(black_box(&mut sums)));
            }
        }
    }
    f64::NAN
}

/// Bytes per ms read from memory by one thread.
fn bandwidth() -> f64 {
    let numbers = vec![1.0f64; 16 << 20];
    let sum = || {
        numbers.chunks_exact(8).fold([0.0f64; 8], |mut s, x| {
            s.iter_mut().zip(x).for_each(|(s, x)| *s += x);
            s
        })
    };
    (numbers.len() * 8) as f64 / best(5, sum)
}

struct Row<'a> {
    size: String,
    what: &'a str,
    ms: f64,
    floor: f64,
}

fn print(row: &Row<'_>) {
    println!(
        "{:>22} {:>28} {:>10.4} {:>9.4} {:>8.2}",
        row.size,
        row.what,
        row.ms,
        row.floor,
        row.ms / row.floor
    );
}

fn main() {
    let (peak, bandwidth) = (peak(), bandwidth());
    println!(
        "one thread: {:.0} GFLOP/s of fused multiply-adds, {:.1} GB/s read",
        peak / 1e6,
        bandwidth / 1e6
    );
    println!("{:>22} {:>28} {:>10} {:>9} {:>8}", "(d, p, J)", "what", "ms", "floor", "x floor");
    for (d, p, members, runs) in [
        (5, 50, 20, 2000),
        (50, 1000, 100, 200),
        (200, 100_000, 100, 15),
        (10_000, 10_000, 200, 15),
        (100_000, 100_000, 100, 10),
    ] {
        let (mut u, g) = (normals(1, d, members), normals(2, p, members));
        let y = normals(3, p, 1).data().to_vec();
        let rows: Vec<usize> = (0..p).collect();
        let all: Vec<usize> = (0..members).collect();
        let mut noise = Noise::default();
        noise.push(&Covariance::Diagonal(vec![0.5; p]), &rows).expect("a diagonal is a covariance");
        let data = Rows { g: &g, rows: &rows, members: &all, y: &y, noise: &noise };
        let (pf, df, jf) = (p as f64, d as f64, members as f64);
        let flops = pf * jf * jf + 2.0 * df * jf * jf + 10.0 * jf.powi(3);
        let floor = (flops / peak).max(8.0 * jf * (pf + df) / bandwidth);
        let small = |s: f64| (s / peak).max(8.0 * pf * jf / bandwidth);

        let size = format!("({d}, {p}, {members})");
        let row = |what, ms, floor| print(&Row { size: size.clone(), what, ms, floor });
        row("Gram of the outputs", best(runs, || linalg::gram(&g)), small(pf * jf * jf));
        row("one pass over the outputs", best(runs, || gather(&data, Keep::Gram)), small(pf * jf * jf));
        // Each step starts where the last one ended, in its place.
        let mut step = |update: &dyn Fn(Mat, &Evidence) -> Result<Mat, LinalgError>| {
            u = update(std::mem::take(&mut u), &gather(&data, Keep::Gram).0).expect("numbers");
        };
        row("ETKI", best(runs, || step(&|u, evidence| etki::update(u, evidence, 0.01))), floor);
        row("EKI", best(runs, || step(&|u, evidence| eki::update(u, evidence, 0.01, None))), floor);
        let perturbed = || {
            step(&|u, evidence| {
                let Evidence::Gram { s, .. } = evidence else { unreachable!("asked for") };
                let pull = eki::noise_in_ensemble_space(s, &normals(4, members, members))?;
                eki::update(u, evidence, 0.01, Some(&pull))
            });
        };
        row("EKI, perturbed", best(runs, perturbed), floor);
        if p >= 10_000 {
            let one = wall(runs, || gather_on(1, &data, Keep::Gram));
            let two = wall(runs, || gather_on(2, &data, Keep::Gram));
            println!(
                "{size:>22} {:>28} {two:>10.4} {:>9} {:>8.2} x one thread",
                "the pass, two threads, wall",
                "",
                one / two
            );
        }
    }
    dense(peak);
    survey();
}

/// Many small problems in one: a group of five parameters for each, thirty data of its own, steps of its own.
fn survey() {
    for sites in [10, 100, 1000] {
        let (parameters, data, members) = (5, 30, 50);
        let text: String = (0..sites)
            .map(|k| {
                let one = "Normal(0, 1)";
                format!(
                    "[s{k}]\nprior = \"VectorOfParameterized([{}])\"\nconstraint = \"repeat([no_constraint()], 5)\"\n",
                    [one; 5].join(", ")
                )
            })
            .collect();
        let document = Document::parse("priors.toml".as_ref(), &text).expect("a table for each site");
        let prior = Prior::read(&document, None).expect("normal priors");
        let block = |k: usize| {
            let y = normals(7 + k as u32, data, 1).data().to_vec();
            (Block { name: format!("s{k}"), y }, Covariance::Scalar(4.0))
        };
        let observation = Observation::new((0..sites).map(block).collect()).expect("blocks of numbers");
        let problem = Problem { prior, observation };
        let groups = vec![Group { parameters: vec!["s*".into()], blocks: vec!["s*".into()] }];
        let kalman = Kalman { groups, own_steps: true, ..Kalman::new(Process::Etki, members) };
        let draw = Streams::new(1);
        let (ensemble, state) = kalman.first(&problem, &draw);
        let h = normals(4, data, parameters);
        let mut g = Mat::zeros(sites * data, members);
        for j in 0..members {
            for k in 0..sites {
                let own = &ensemble.u.col(j)[k * parameters..(k + 1) * parameters];
                g.col_mut(j)[k * data..(k + 1) * data].copy_from_slice(&linalg::matvec(&h, own));
            }
        }
        let tried = Evaluated { iteration: 0, ensemble: &ensemble, g };
        let ms = best(5, || kalman.next(&problem, state.clone(), &tried, &draw).expect("a step"));
        println!(
            "{:>22} {:>28} {ms:>10.4} {:>9} {:>8.4} ms a group",
            format!("{sites} x (5, 30, 50)"),
            "ETKI, own steps",
            "",
            ms / sites as f64
        );
    }
}

/// A dense Γ: factored once, then only applied.
fn dense(peak: f64) {
    let (p, members) = (2000, 100);
    let (g, y) = (normals(2, p, members), normals(3, p, 1).data().to_vec());
    let a = normals(5, p, 40);
    let mut gamma = linalg::matmul_nt(&a, &a);
    (0..p).for_each(|i| gamma[(i, i)] += 1.0);
    let (rows, all): (Vec<usize>, Vec<usize>) = ((0..p).collect(), (0..members).collect());
    let covariance = Covariance::Dense(gamma);
    let factored = || {
        let mut noise = Noise::default();
        noise.push(&covariance, &rows).expect("a Gram matrix plus the identity is a covariance");
        noise
    };
    let (pf, jf) = (p as f64, members as f64);
    let later = pf * pf * jf + pf * jf * jf;
    let u = normals(1, 50, members);
    let step = |noise: &Noise| {
        let data = Rows { g: &g, rows: &rows, members: &all, y: &y, noise };
        etki::update(&u, &gather(&data, Keep::Gram).0, 0.1)
    };
    let size = "(50, 2000, 100) dense Γ".to_owned();
    let first = best(5, || step(&factored()));
    print(&Row {
        size: size.clone(),
        what: "first update",
        ms: first,
        floor: (pf.powi(3) / 3.0 + later) / peak,
    });
    let noise = factored();
    print(&Row { size, what: "every later update", ms: best(10, || step(&noise)), floor: later / peak });
}
