//! The eigenproblem of a covariance on a grid: ∫ k(x, y) ψ(y) dy = λ ψ(x) by the trapezoid rule.
//!
//! A kernel of distances on an even grid commutes with the reflections of each axis. Functions that are even or
//! odd along each axis therefore stay among themselves: 2^axes problems of n/2^axes points, which is also what keeps
//! equal eigenvalues (a square has many) apart. Each is solved for its largest pairs by Lanczos.

use super::field::{Axis, Spec};
use super::matern::matern;
use crate::numerics::linalg::matvec;
use crate::numerics::{LinalgError, Mat, lanczos};

/// Largest problem of one symmetry that is taken on: 200 MB.
pub(super) const MOST: usize = 5000;

/// Points of the largest problem that a grid leads to.
pub(super) fn largest_problem(axes: &[Axis]) -> usize {
    axes.iter().fold(1, |n, axis| n.saturating_mul(axis.points.div_ceil(2)))
}

/// Length, area or volume that belongs to each point, the first axis fastest.
pub(super) fn weights(spec: &Spec) -> Vec<f64> {
    (0..spec.points())
        .map(|i| unfold(i, &spec.axes).iter().zip(&spec.axes).map(|(&i, axis)| axis.weight(i)).product())
        .collect()
}

/// The index along each axis.
fn unfold(mut i: usize, axes: &[Axis]) -> Vec<usize> {
    axes.iter()
        .map(|axis| {
            let at = i % axis.points;
            i /= axis.points;
            at
        })
        .collect()
}

fn fold(at: &[usize], axes: &[Axis]) -> usize {
    at.iter().zip(axes).rev().fold(0, |i, (&at, axis)| i * axis.points + at)
}

/// λ, descending, and ψ (n × q) with ∫ ψᵢ ψⱼ = 1 for i = j, else 0. Signs: the first value of at least half the
/// largest magnitude is positive.
pub(super) fn largest(spec: &Spec) -> Result<(Vec<f64>, Mat), LinalgError> {
    let n = spec.points();
    let table: Vec<f64> = (0..n)
        .map(|i| {
            let squares = unfold(i, &spec.axes)
                .into_iter()
                .zip(&spec.axes)
                .map(|(i, axis)| (i as f64 * axis.step()).powi(2));
            spec.std * spec.std * matern(spec.nu, spec.length, squares.sum::<f64>().sqrt())
        })
        .collect();
    let root: Vec<f64> = weights(spec).iter().map(|w| w.sqrt()).collect();
    let mut found: Vec<(f64, Vec<f64>)> = Vec::new();
    for odd in 0..1_usize << spec.axes.len() {
        let odd: Vec<bool> = (0..spec.axes.len()).map(|k| odd >> k & 1 == 1).collect();
        found.extend(of_symmetry(spec, &odd, &table, &root)?);
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(spec.terms);
    let mut functions = Mat::zeros(n, found.len());
    for (k, (_, function)) in found.iter().enumerate() {
        let most = function.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let sign = function.iter().find(|x| x.abs() >= 0.5 * most).map_or(1.0, |x| x.signum());
        functions.col_mut(k).iter_mut().zip(function).for_each(|(to, from)| *to = sign * from);
    }
    Ok((found.iter().map(|(lambda, _)| lambda.max(0.0)).collect(), functions))
}

/// Pairs of the functions that are odd along the axes marked and even along the others.
fn of_symmetry(
    spec: &Spec,
    odd: &[bool],
    table: &[f64],
    root: &[f64],
) -> Result<Vec<(f64, Vec<f64>)>, LinalgError> {
    let axes = &spec.axes;
    // Points of one half: an odd function is 0 in the middle.
    let half: Vec<Axis> = axes
        .iter()
        .zip(odd)
        .map(|(axis, &odd)| Axis {
            points: if odd { axis.points / 2 } else { axis.points.div_ceil(2) },
            ..*axis
        })
        .collect();
    let size: usize = half.iter().map(|axis| axis.points).product();
    if size == 0 {
        return Ok(Vec::new());
    }
    let points: Vec<Vec<usize>> = (0..size).map(|i| unfold(i, &half)).collect();
    // (eᵢ ± eᵢ')/√2 is a unit vector for a pair of mirrored points, eᵢ for one in the middle
    let unit = |at: &[usize]| -> f64 {
        at.iter()
            .zip(axes)
            .map(|(&i, axis)| if 2 * i + 1 == axis.points { 0.5_f64.sqrt() } else { 1.0 })
            .product()
    };
    let units: Vec<f64> = points.iter().map(|at| unit(at)).collect();
    let images = 1_usize << axes.len();
    let mut matrix = Mat::zeros(size, size);
    let mut distance = vec![0; axes.len()];
    for j in 0..size {
        for i in 0..=j {
            let mut sum = 0.0;
            for image in 0..images {
                let mut sign = 1.0;
                for (k, axis) in axes.iter().enumerate() {
                    let mirrored = image >> k & 1 == 1;
                    let at = if mirrored { axis.points - 1 - points[j][k] } else { points[j][k] };
                    distance[k] = points[i][k].abs_diff(at);
                    if mirrored && odd[k] {
                        sign = -sign;
                    }
                }
                sum += sign * table[fold(&distance, axes)];
            }
            let (a, b) = (fold(&points[i], axes), fold(&points[j], axes));
            let value = units[i] * units[j] * root[a] * root[b] * sum;
            matrix[(i, j)] = value;
            matrix[(j, i)] = value;
        }
    }
    let pairs = lanczos::largest(size, spec.terms, |x, y| y.copy_from_slice(&matvec(&matrix, x)))?;
    let lifted = |k: usize| {
        let mut function = vec![0.0; spec.points()];
        for (i, at) in points.iter().enumerate() {
            // 1/√2 at each of a pair, 1 in the middle; ψ = v/√w
            let pair: f64 = at
                .iter()
                .zip(axes)
                .map(|(&i, axis)| if 2 * i + 1 == axis.points { 1.0 } else { 0.5_f64.sqrt() })
                .product();
            let value = pair * pairs.vectors[(i, k)];
            for image in 0..images {
                let (mut sign, mut to) = (1.0, at.clone());
                for (k, axis) in axes.iter().enumerate() {
                    if image >> k & 1 == 1 {
                        to[k] = axis.points - 1 - at[k];
                        sign *= if odd[k] { -1.0 } else { 1.0 };
                    }
                }
                let to = fold(&to, axes);
                function[to] = sign * value / root[to];
            }
        }
        (pairs.values[k], function)
    };
    Ok((0..pairs.values.len()).map(lifted).collect())
}
