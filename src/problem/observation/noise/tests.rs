//! Every form of Γ against the dense matrix, whole, in parts and in panels.

use super::*;
use crate::numerics::linalg::{matmul, matmul_tn};

fn mixed() -> Noise {
    let dense = Mat::from_columns(2, 2, vec![2.0, 0.6, 0.6, 1.0]);
    let mut noise = Noise::default();
    noise.push(&Covariance::Scalar(0.25), &[0, 1, 2]).unwrap();
    noise.push(&Covariance::Diagonal(vec![9.0, 16.0]), &[1]).unwrap();
    noise.push(&Covariance::Dense(dense), &[0, 1]).unwrap();
    noise
}

#[test]
fn all_ways_of_applying_the_noise_agree_with_the_dense_matrix() {
    let noise = mixed();
    let gamma = noise.to_dense();
    assert_eq!((noise.len(), gamma[(3, 3)], gamma[(4, 5)]), (6, 16.0, 0.6));
    let near = |a: &Mat, b: &Mat| {
        a.data().iter().zip(b.data()).for_each(|(a, b)| assert!((a - b).abs() < 1e-14, "{a} {b}"));
    };
    let mut inverse = Mat::identity(6);
    noise.solve(&mut inverse);
    near(&matmul(&gamma, &inverse), &Mat::identity(6));
    let mut white = Mat::identity(6);
    noise.whiten(&mut white);
    near(&matmul_tn(&white, &white), &inverse);
    let mut root = Mat::identity(6);
    noise.root(&mut root).unwrap();
    near(&matmul(&root, &root), &gamma);
    near(&root, &root.transpose());
    assert_eq!(noise.plus(0.5).unwrap().to_dense()[(4, 4)], 2.5);
}

/// Pseudo-random numbers in (−1, 1) that depend on the place alone.
fn rough(rows: usize, cols: usize, seed: f64) -> Mat {
    Mat::from_fn(rows, cols, |i, j| (seed + 3.7 * i as f64 + 11.3 * j as f64 * (1.0 + i as f64)).sin())
}

fn apart(a: &Mat, b: &Mat) -> f64 {
    let most = b.data().iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    a.data().iter().zip(b.data()).fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs())) / most
}

/// The forms of low rank, 9 rows each, with the matrix that they mean.
fn of_low_rank() -> Vec<(Covariance, Mat)> {
    let (p, d) = (9, (0..9).map(|i| 0.5 + 0.1 * f64::from(i)).collect::<Vec<f64>>());
    let diagonal = |d: &[f64]| Mat::from_fn(p, p, |i, j| if i == j { d[i] } else { 0.0 });
    let sum = |a: &Mat, b: &Mat| Mat::from_fn(p, p, |i, j| a[(i, j)] + b[(i, j)]);
    let v = rough(p, 3, 0.3);
    let mut zero = v.clone(); // a pattern of weight zero
    zero.col_mut(1).fill(0.0);
    let mut loud = v.clone(); // one above the rest; louder ones the dense twin gets wrong
    loud.col_mut(2).iter_mut().for_each(|x| *x *= 10.0);
    let mut all: Vec<(Covariance, Mat)> = [v, zero, loud, rough(p, 12, 0.7)]
        .into_iter()
        .map(|v| {
            (
                Covariance::Spiked { d: d.clone(), v: v.clone() },
                sum(&diagonal(&d), &linalg::matmul_nt(&v, &v)),
            )
        })
        .collect();
    let r = Mat::from_fn(p, 2, |i, j| 0.1 * rough(p, 2, 0.9)[(i, j)]);
    let minus = linalg::matmul_nt(&r, &r);
    let precision = Mat::from_fn(p, p, |i, j| diagonal(&d)[(i, j)] - minus[(i, j)]);
    let mut gamma = Mat::identity(p);
    linalg::Cholesky::new(&precision).unwrap().solve(&mut gamma);
    all.push((Covariance::Precision { d, r }, gamma));
    all
}

#[test]
fn forms_of_low_rank_do_what_their_dense_twins_do() {
    for (k, (form, gamma)) in of_low_rank().into_iter().enumerate() {
        form.check(9).unwrap();
        // In the midst of other blocks, and with rows that were not observed
        for rows in [(0..9).collect::<Vec<usize>>(), vec![0, 2, 3, 7, 8], vec![4]] {
            let part = Mat::from_fn(rows.len(), rows.len(), |i, j| gamma[(rows[i], rows[j])]);
            let build = |form: &Covariance, rows: &[usize]| {
                let mut noise = Noise::default();
                noise.push(&Covariance::Scalar(2.0), &[0]).unwrap();
                noise.push(form, rows).unwrap();
                noise.push(&Covariance::Diagonal(vec![3.0, 4.0]), &[0, 1]).unwrap();
                noise
            };
            let all: Vec<usize> = (0..rows.len()).collect();
            let (fast, slow) = (build(&form, &rows), build(&Covariance::Dense(part), &all));
            assert!(apart(&fast.to_dense(), &slow.to_dense()) < 1e-14, "form {k}");
            let x = rough(fast.len(), 4, 1.1);
            let (mut a, mut b) = (x.clone(), x.clone());
            fast.solve(&mut a);
            slow.solve(&mut b);
            assert!(apart(&a, &b) < 1e-12, "form {k}: solve {:e}", apart(&a, &b));
            let mut w = Mat::identity(fast.len());
            fast.whiten(&mut w);
            let mut inverse = Mat::identity(fast.len());
            slow.solve(&mut inverse);
            assert!(apart(&matmul_tn(&w, &w), &inverse) < 1e-12, "form {k}: whiten");
            let mut root = Mat::identity(fast.len());
            fast.root(&mut root).unwrap();
            assert!(apart(&linalg::matmul_nt(&root, &root), &slow.to_dense()) < 1e-12, "form {k}: root");
            let (more, twin) = (fast.plus(0.25).unwrap(), slow.plus(0.25).unwrap());
            assert!(apart(&more.to_dense(), &twin.to_dense()) < 1e-12, "form {k}: plus");
            // A record of it is it.
            let bytes = crate::files::save_state("noise", 1, &fast).unwrap();
            let path = std::env::temp_dir().join(format!("ekp-noise-{}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            let back: Noise = crate::files::load_state(&path, "noise", 1).unwrap();
            std::fs::remove_file(path).unwrap();
            let mut c = x.clone();
            back.solve(&mut c);
            assert_eq!(a, c);
        }
    }
}

#[test]
fn equal_diagonals_give_the_principal_root() {
    let mut noise = Noise::default();
    noise.push(&Covariance::Spiked { d: vec![0.7; 6], v: rough(6, 2, 0.1) }, &[0, 1, 2, 3, 4, 5]).unwrap();
    let mut root = Mat::identity(6);
    noise.root(&mut root).unwrap();
    assert!(apart(&root, &linalg::symmetric_root(&noise.to_dense()).unwrap()) < 1e-13);
}

#[test]
fn a_matrix_without_inverse_has_its_pseudo_inverse() {
    let v = rough(8, 2, 0.2);
    let mut noise = Noise::default();
    noise.push(&Covariance::Span(v.clone()), &(0..8).collect::<Vec<_>>()).unwrap();
    let gamma = linalg::matmul_nt(&v, &v);
    let mut inverse = Mat::identity(8);
    noise.solve(&mut inverse);
    // Penrose: Γ Γ⁺ Γ = Γ, Γ⁺ Γ Γ⁺ = Γ⁺
    assert!(apart(&matmul(&matmul(&gamma, &inverse), &gamma), &gamma) < 1e-13);
    assert!(apart(&matmul(&matmul(&inverse, &gamma), &inverse), &inverse) < 1e-13);
    let mut w = Mat::identity(8);
    noise.whiten(&mut w);
    assert!(apart(&matmul_tn(&w, &w), &inverse) < 1e-13);
    let mut root = Mat::identity(8);
    noise.root(&mut root).unwrap();
    assert!(apart(&matmul(&root, &root), &gamma) < 1e-13);
    let mut more = gamma.clone();
    (0..8).for_each(|i| more[(i, i)] += 0.5);
    assert!(apart(&noise.plus(0.5).unwrap().to_dense(), &more) < 1e-13);
}

#[test]
fn a_residual_along_a_loud_pattern_keeps_its_digits() {
    // σ = 1e7: D⁻¹ − R Rᵀ would know the residual's weight to eps σ², 1 in 50
    let mut noise = Noise::default();
    let v = Mat::from_columns(2, 1, vec![6e6, 8e6]);
    noise.push(&Covariance::Spiked { d: vec![1.0; 2], v: v.clone() }, &[0, 1]).unwrap();
    let mut x = v;
    noise.whiten(&mut x);
    let square: f64 = x.data().iter().map(|x| x * x).sum();
    assert!((square - 1.0).abs() < 1e-8, "{square}"); // 1e14/(1 + 1e14), to eps σ
}

#[test]
fn some_rows_have_the_sub_block() {
    let (noise, rows) = (mixed(), [0, 2, 3, 5]);
    let whole = noise.to_dense();
    let part = noise.select(&rows).unwrap();
    assert_eq!(part.to_dense(), Mat::from_fn(4, 4, |i, j| whole[(rows[i], rows[j])]));
    assert_eq!(noise.select(&[0, 1, 2, 3, 4, 5]).unwrap().to_dense(), whole);
    assert!(noise.select(&[]).unwrap().is_empty());
    let two = noise.then(&part).to_dense();
    assert_eq!((two.nrows(), two[(4, 5)], two[(9, 9)], two[(5, 9)]), (10, 0.6, 1.0, 0.0));
}

#[test]
fn panels_cover_all_rows_and_keep_dense_blocks_whole() {
    let noise = mixed();
    assert_eq!(noise.panels(3), [0..3, 3..4, 4..6]);
    assert_eq!(noise.panels(1).len(), 5);
}

#[test]
fn what_is_no_covariance_is_refused() {
    let dense = |data: [f64; 4]| Covariance::Dense(Mat::from_columns(2, 2, data.to_vec()));
    assert!(matches!(Covariance::Scalar(0.0).check(3), Err(CovarianceError::Entry { .. })));
    assert!(matches!(Covariance::Diagonal(vec![1.0]).check(2), Err(CovarianceError::Length { .. })));
    let nan = Covariance::Diagonal(vec![1.0, f64::NAN]).check(2);
    assert!(matches!(nan, Err(CovarianceError::Entry { row: 2, .. })));
    assert!(matches!(dense([1.0, 0.5, 0.4, 1.0]).check(2), Err(CovarianceError::Asymmetric { .. })));
    let singular = dense([1.0, 1.0, 1.0, 1.0]);
    singular.check(2).unwrap();
    let refused = Noise::default().push(&singular, &[0, 1]);
    assert_eq!(refused, Err(CovarianceError::NotPositiveDefinite));
    // One row of it alone is fine.
    Noise::default().push(&singular, &[1]).unwrap();
}
