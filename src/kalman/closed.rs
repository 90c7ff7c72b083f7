//! Ensemble Kalman inversion against formulas in the plainest words, and against the law of its own noise.
//!
//! Belongs here: tests that share no code with what they test. Closed forms of one method stand beside it.

use super::eki;
use super::evidence::{Evidence, Keep};
use super::given::{apart, evidence, noise, rough};
use crate::numerics::{Mat, linalg};
use crate::problem::observation::Covariance;

type Rows = Vec<Vec<f64>>;

/// x of A x = b, by elimination with row exchange.
fn solved(mut a: Rows, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs())).unwrap();
        a.swap(k, pivot);
        b.swap(k, pivot);
        for i in k + 1..n {
            let factor = a[i][k] / a[k][k];
            let row = a[k].clone();
            a[i].iter_mut().zip(row).for_each(|(x, y)| *x -= factor * y);
            b[i] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        let rest: f64 = (k + 1..n).map(|j| a[k][j] * b[j]).sum();
        b[k] = (b[k] - rest) / a[k][k];
    }
    b
}

/// One step of the ensemble smoother with multiple data assimilation, member by member: `members[j]` has d entries,
/// `outputs[j]` p, `normals[j]` p. Emerick & Reynolds (2013), Computers & Geosciences 55, 3–15,
/// doi:10.1016/j.cageo.2012.03.011, eqs. (3)–(5); divisor J as in EKP.jl, where the paper has J − 1.
fn smoothed(members: &Rows, outputs: &Rows, y: &[f64], variance: &[f64], alpha: f64, normals: &Rows) -> Rows {
    let (count, p) = (members.len() as f64, y.len());
    let mean = |rows: &Rows, i: usize| rows.iter().map(|row| row[i]).sum::<f64>() / count;
    let product = |a: &Rows, i: usize, b: &Rows, k: usize| {
        let (mean_a, mean_b) = (mean(a, i), mean(b, k));
        a.iter().zip(b).map(|(a, b)| (a[i] - mean_a) * (b[k] - mean_b)).sum::<f64>() / count
    };
    let mut gain: Rows = Vec::new(); // the matrix that is to be solved with: C_gg + α Γ
    for i in 0..p {
        gain.push((0..p).map(|k| product(outputs, i, outputs, k)).collect());
        gain[i][i] += alpha * variance[i];
    }
    let one = |j: usize| -> Vec<f64> {
        let seen = |i: usize| y[i] + (alpha * variance[i]).sqrt() * normals[j][i];
        let off = (0..p).map(|i| seen(i) - outputs[j][i]).collect();
        let weights = solved(gain.clone(), off);
        let moved = |k: usize| {
            let pull: f64 = (0..p).map(|i| product(members, k, outputs, i) * weights[i]).sum();
            members[j][k] + pull
        };
        (0..members[j].len()).map(moved).collect()
    };
    (0..members.len()).map(one).collect()
}

fn rows(columns: &Mat) -> Rows {
    (0..columns.ncols()).map(|j| columns.col(j).to_vec()).collect()
}

#[test]
fn with_given_normals_four_steps_are_those_of_the_plain_smoother() {
    // Both with fewer and with more members than outputs
    for (d, p, members) in [(3, 9, 6), (4, 5, 25)] {
        let h = rough(600, p, d);
        // A bent map, so that each step sees another covariance
        let map = |u: &Mat| {
            let mut g = linalg::matmul(&h, u);
            g.data_mut().iter_mut().for_each(|x| *x += 0.1 * *x * *x);
            g
        };
        let y = rough(601, p, 1).data().to_vec();
        let variance: Vec<f64> = (0..p).map(|i| 0.2 + 0.1 * i as f64).collect();
        let gamma = noise(&[(Covariance::Diagonal(variance.clone()), p)]);
        let mut ours = rough(602, d, members);
        let mut plain = rows(&ours);
        // The inverses sum to 1
        for (k, alpha) in [28.0 / 3.0, 7.0, 4.0, 2.0].into_iter().enumerate() {
            let xi = rough(610 + k as u64, p, members);
            let drawn = eki::whitened_noise(&gamma, &gamma, xi.clone()).unwrap();
            let seen = evidence(&map(&ours), &y, &gamma, Keep::Whitened);
            let outputs = rows(&map(&Mat::from_columns(d, members, plain.concat())));
            ours = eki::update(&ours, &seen, 1.0 / alpha, Some(&drawn)).unwrap();
            plain = smoothed(&plain, &outputs, &y, &variance, alpha, &rows(&xi));
        }
        // Round-off of two ways to the same numbers, four times through the map
        assert!(apart(ours.data(), &plain.concat()) < 1e-10);
    }
}

/// Mean and covariance (divisor: draws) of the entries of an update over many draws.
fn moments(draws: usize, size: usize, mut update: impl FnMut(u64) -> Mat) -> (Vec<f64>, Mat) {
    let columns = (0..draws).flat_map(|k| update(k as u64).data().to_vec()).collect();
    let all = Mat::from_columns(size, draws, columns);
    (all.mean(), linalg::covariance(&all, draws as f64))
}

#[test]
fn updates_with_noise_of_ensemble_space_have_the_law_of_those_with_explicit_noise() {
    let (d, p, members, draws, dt) = (2, 9, 5, 20_000, 0.4);
    let (u, g) = (rough(620, d, members), rough(621, p, members));
    let y = rough(622, p, 1).data().to_vec();
    let gamma = noise(&[(Covariance::Diagonal((0..p).map(|i| 0.3 + 0.1 * i as f64).collect()), p)]);
    let (gram, whitened) = (evidence(&g, &y, &gamma, Keep::Gram), evidence(&g, &y, &gamma, Keep::Whitened));
    let Evidence::Gram { s, .. } = &gram else { panic!("asked for") };
    let root = eki::noise_in_ensemble_space(s, &Mat::identity(members)).unwrap();
    let size = d * members;
    let (mean_a, cov_a) = moments(draws, size, |k| {
        let pull = linalg::matmul(&root, &rough(100_000 + k, members, members));
        eki::update(&u, &gram, dt, Some(&pull)).unwrap()
    });
    let (mean_b, cov_b) = moments(draws, size, |k| {
        let drawn = eki::whitened_noise(&gamma, &gamma, rough(200_000 + k, p, members)).unwrap();
        eki::update(&u, &whitened, dt, Some(&drawn)).unwrap()
    });
    // The mean over draws is the update without noise, for noise enters linearly
    let still = eki::update(&u, &gram, dt, None).unwrap();
    let n = draws as f64;
    for i in 0..size {
        let error = 4.0 * (cov_b[(i, i)] / n).sqrt();
        assert!((mean_a[i] - still.data()[i]).abs() < error, "mean {i}");
        assert!((mean_b[i] - still.data()[i]).abs() < error, "explicit mean {i}");
        for j in 0..size {
            // Standard error of a difference of two sample covariances of Gaussians
            let variance = cov_b[(i, i)] * cov_b[(j, j)] + cov_b[(i, j)].powi(2);
            let error = 4.0 * (2.0 * variance / n).sqrt();
            assert!((cov_a[(i, j)] - cov_b[(i, j)]).abs() < error, "covariance {i} {j}");
        }
    }
    // The public function draws with that root
    let z = rough(630, members, members);
    let drawn = eki::noise_in_ensemble_space(s, &z).unwrap();
    assert_eq!(drawn, linalg::matmul(&root, &z));
}
