//! Synthetic data: inputs of several distributions, a teacher's answers, noise.
//!
//! Each part draws from its own stream, so that a change of one leaves the others as they were.

use rand::RngExt;
use rand_distr::{ChiSquared, Distribution, StandardNormal};

use crate::models::llc::gradient::Network;
use crate::models::llc::network::{Shape, initial};
use crate::numerics::{Purpose, Stream, Streams, standard_normals};

/// Distributions of inputs.
pub const INPUTS: [&str; 5] = ["gauss_iso", "gauss_aniso", "mixture", "lowdim_manifold", "heavy_tail"];
/// Distributions of noise.
pub const NOISES: [&str; 4] = ["gauss", "hetero", "student_t", "outliers"];

/// How data are made.
#[derive(Debug, Clone, PartialEq)]
pub struct DataOptions {
    /// Rows
    pub n: usize,
    /// One of [`INPUTS`]
    pub x: &'static str,
    /// ρ of the standard deviations ρ^(i/2) of `gauss_aniso`
    pub cov_decay: f64,
    /// Centres of `mixture`
    pub mixture_k: usize,
    /// Their distance from 0
    pub mixture_spread: f64,
    /// Dimension behind `lowdim_manifold`
    pub x_dim_latent: usize,
    /// One of [`NOISES`]
    pub noise: &'static str,
    /// σ
    pub noise_scale: f64,
    /// c of σ(1 + c‖x‖)
    pub hetero_scale: f64,
    /// ν of heavy tails, in inputs, noise and loss
    pub student_df: f64,
    /// Share of outliers
    pub outlier_frac: f64,
    /// Their σ
    pub outlier_scale: f64,
}

/// The network behind the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Teacher {
    /// Shape, with the student's inputs and outputs
    pub shape: Shape,
    /// First weights, which are its only ones
    pub init: &'static str,
    /// Share of its answers that are set to 0
    pub dropout_rate: f64,
}

/// What a part's stream is for; the codes are part of every target.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    X = 1,
    Teacher = 2,
    Dropout = 3,
    Noise = 4,
    Init = 5,
}

/// The random numbers of a part of a target: a stream of its own for each part.
pub(super) fn stream(seed: u64, part: Part) -> Stream {
    Streams::new(seed).part(part as u32).at(Purpose::Target, 0, 1)
}

/// Inputs, n × d, row by row.
pub fn inputs(options: &DataOptions, d: usize, stream: &mut Stream) -> Vec<f64> {
    let n = options.n;
    match options.x {
        "lowdim_manifold" => {
            let q = options.x_dim_latent;
            let a = standard_normals(stream, q * d);
            let mut x = Vec::with_capacity(n * d);
            for _ in 0..n {
                let z = standard_normals(stream, q);
                x.extend((0..d).map(|j| (0..q).map(|k| z[k] * a[k * d + j]).sum::<f64>().tanh()));
            }
            x
        }
        "mixture" => {
            let mut centres = standard_normals(stream, options.mixture_k * d);
            for centre in centres.chunks_exact_mut(d) {
                let norm = centre.iter().map(|x| x * x).sum::<f64>().sqrt();
                centre.iter_mut().for_each(|x| *x *= options.mixture_spread / norm);
            }
            let mut x = Vec::with_capacity(n * d);
            for _ in 0..n {
                let k = stream.random_range(0..options.mixture_k);
                let z = standard_normals(stream, d);
                x.extend(z.iter().zip(&centres[k * d..]).map(|(z, c)| z + c));
            }
            x
        }
        "heavy_tail" => {
            let mut x = Vec::with_capacity(n * d);
            for _ in 0..n {
                let scale = 1.0 / student(options.student_df, stream);
                x.extend(standard_normals(stream, d).iter().map(|z| z * scale));
            }
            x
        }
        aniso_or_iso => {
            let mut x = standard_normals(stream, n * d);
            if aniso_or_iso == "gauss_aniso" {
                for row in x.chunks_exact_mut(d) {
                    let mut variance = 1.0_f64;
                    for x in row {
                        *x *= variance.sqrt();
                        variance *= options.cov_decay;
                    }
                }
            }
            x
        }
    }
}

/// √g, g ~ Gamma(ν/2)/(ν/2): a normal over it has Student's distribution.
fn student(df: f64, stream: &mut Stream) -> f64 {
    let chi = ChiSquared::new(df).expect("degrees of freedom are above 0");
    (chi.sample(stream) / df).sqrt()
}

/// Inputs and answers of a seed: X (n × d_in), Y (n × d_out).
pub fn draw(options: &DataOptions, teacher: &Teacher, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let (d_in, d_out) = (teacher.shape.inputs(), teacher.shape.outputs());
    let x = inputs(options, d_in, &mut stream(seed, Part::X));
    let w = initial(&teacher.shape, teacher.init, &mut stream(seed, Part::Teacher));
    let mut y = Network::<f64>::outputs(&teacher.shape, &w, &x);
    if teacher.dropout_rate > 0.0 {
        let mut stream = stream(seed, Part::Dropout);
        for y in &mut y {
            if stream.random::<f64>() < teacher.dropout_rate {
                *y = 0.0;
            }
        }
    }
    let mut stream = stream(seed, Part::Noise);
    let sigma = options.noise_scale;
    for (row, y) in x.chunks_exact(d_in).zip(y.chunks_exact_mut(d_out)) {
        let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        for y in y {
            let z: f64 = stream.sample(StandardNormal);
            *y += match options.noise {
                "hetero" => sigma * (1.0 + options.hetero_scale * norm) * z,
                "student_t" => sigma * z / student(options.student_df, &mut stream),
                "outliers" if stream.random::<f64>() < options.outlier_frac => options.outlier_scale * z,
                _ => sigma * z,
            };
        }
    }
    (x, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::network::Activation;

    pub(crate) fn options() -> DataOptions {
        DataOptions {
            n: 4000,
            x: "gauss_iso",
            cov_decay: 0.5,
            mixture_k: 4,
            mixture_spread: 2.0,
            x_dim_latent: 2,
            noise: "gauss",
            noise_scale: 0.1,
            hetero_scale: 0.1,
            student_df: 4.0,
            outlier_frac: 0.05,
            outlier_scale: 2.0,
        }
    }

    #[test]
    fn inputs_have_the_moments_of_their_distribution() {
        // Mean square of a coordinate: 1, ρⁱ, 1 + spread²/d, below 1, ν/(ν − 2)
        let d = 4;
        for (x, first, last, tolerance) in [
            ("gauss_iso", 1.0, 1.0, 0.1), // 4 √(2/4000)
            ("gauss_aniso", 1.0, 0.125, 0.1),
            ("heavy_tail", 2.0, 2.0, 0.8), // no fourth moment
        ] {
            let data = inputs(&DataOptions { x, ..options() }, d, &mut stream(7, Part::X));
            let square = |j: usize| data.chunks_exact(d).map(|r| r[j] * r[j]).sum::<f64>() / 4000.0;
            assert!((square(0) - first).abs() < tolerance && (square(3) - last).abs() < tolerance, "{x}");
        }
        let mixture = inputs(&DataOptions { x: "mixture", ..options() }, d, &mut stream(7, Part::X));
        let norm = mixture.iter().map(|x| x * x).sum::<f64>() / 4000.0;
        assert!((norm - 8.0).abs() < 0.4, "{norm}"); // d + spread²
        let curved = inputs(&DataOptions { x: "lowdim_manifold", ..options() }, d, &mut stream(7, Part::X));
        assert!(curved.iter().all(|x| x.abs() <= 1.0));
    }

    #[test]
    fn noise_has_its_spread_and_parts_do_not_move_each_other() {
        let shape = Shape::new(3, &[4], 1, true, Activation::Tanh);
        let teacher = Teacher { shape, init: "he", dropout_rate: 0.0 };
        let clean = draw(&DataOptions { noise_scale: 0.0, ..options() }, &teacher, 5);
        for (noise, low, high) in
            [("gauss", 0.09, 0.11), ("hetero", 0.1, 0.15), ("student_t", 0.11, 0.2), ("outliers", 0.3, 0.6)]
        {
            let (x, y) = draw(&DataOptions { noise, ..options() }, &teacher, 5);
            assert_eq!(x, clean.0);
            let sd = (y.iter().zip(&clean.1).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 4000.0).sqrt();
            assert!(sd > low && sd < high, "{noise} {sd}");
        }
        let dropped = Teacher { dropout_rate: 0.3, ..teacher };
        let (_, y) = draw(&DataOptions { noise_scale: 0.0, ..options() }, &dropped, 5);
        let share = y.iter().filter(|y| **y == 0.0).count() as f64 / 4000.0;
        assert!((share - 0.3).abs() < 0.03); // 4 √(0.21/4000)
    }
}
