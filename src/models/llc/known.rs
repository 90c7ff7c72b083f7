//! Learning coefficients known in closed form, and what an estimate is expected to be at finite n.

/// A deep linear network of layer widths `widths` (input first, output last) whose true product has rank `r`:
/// λ and its multiplicity. λ does not depend on the order of the hidden widths. `None` where r exceeds a width.
///
/// # Source
/// Aoyagi (2024), Neural Networks, "Consideration on the learning efficiency of multiple-layered neural networks
/// with linear units"; checked against half the codimension of the set of factorisations.
pub fn deep_linear(widths: &[usize], r: usize) -> Option<(f64, u32)> {
    let mut excess: Vec<f64> = Vec::new();
    for &h in widths {
        excess.push(h.checked_sub(r)? as f64);
    }
    let (first, last) = (*widths.first()? as f64, *widths.last()? as f64);
    excess.sort_by(f64::total_cmp);
    let r = r as f64;
    for k in 2..=excess.len() {
        let (narrow, wide) = excess.split_at(k);
        let (ell, sum) = ((k - 1) as f64, narrow.iter().sum::<f64>());
        let apart = wide.first().is_none_or(|&next| narrow[k - 1] < next && sum < ell * next);
        if !apart || sum < ell * narrow[k - 1] {
            continue;
        }
        let a = sum - ((sum / ell).ceil() - 1.0) * ell;
        let pairs = (sum * sum - narrow.iter().map(|x| x * x).sum::<f64>()) / 2.0;
        let lambda = 0.5 * (r * (first + last) - r * r) + a * (ell - a) / (4.0 * ell)
            - (ell - 1.0) / (4.0 * ell) * sum * sum
            + 0.5 * pairs;
        return Some((lambda, (a * (ell - a)) as u32 + 1));
    }
    None
}

/// Reduced-rank regression by another theorem, the twin of [`deep_linear`]: widths M, H, N: the case of one hidden layer.
///
/// # Source
/// Aoyagi & Watanabe (2005), Neural Networks 18, 924–933, doi:10.1016/j.neunet.2005.03.014.
#[cfg(test)]
fn reduced_rank([m, h, n]: [usize; 3], r: usize) -> (f64, u32) {
    let (m, h, n, r) = (m as f64, h as f64, n as f64, r as f64);
    if n + r <= m + h && m + r <= n + h && h + r <= m + n {
        let odd = (m + h + n + r) % 2.0;
        let sum = 2.0 * (h + r) * (m + n) + 2.0 * m * n - (h + r).powi(2) - m * m - n * n;
        return ((sum + odd) / 8.0, 1 + odd as u32);
    }
    if m + h < n + r {
        return ((h * m - h * r + n * r) / 2.0, 1);
    }
    if n + h < m + r { ((h * n - h * r + m * r) / 2.0, 1) } else { (m * n / 2.0, 1) }
}

/// K = Π wᵢ^(2kᵢ): λ = min 1/(2kᵢ) and how many attain it; parameters with kᵢ = 0 do not count.
pub fn monomial(half_exponents: &[usize]) -> (f64, u32) {
    let all = || half_exponents.iter().filter(|&&k| k > 0).map(|&k| 1.0 / (2.0 * k as f64));
    let least = all().fold(f64::INFINITY, f64::min);
    (least, all().filter(|x| (x - least).abs() < 1e-12).count() as u32)
}

/// K = ½ Σ aᵢ wᵢ²: nβ E[K] = ½ Σ nβaᵢ/(nβaᵢ + γ), exactly.
pub fn quadratic(eigenvalues: &[f64], n_beta: f64, gamma: f64) -> f64 {
    0.5 * eigenvalues.iter().map(|a| n_beta * a / (n_beta * a + gamma)).sum::<f64>()
}

/// K = w^(2k): nβ E[K] under exp(−nβ K − γw²/2), by Simpson's rule on a grid that is finest at 0.
pub fn power(half_exponent: usize, n_beta: f64, gamma: f64) -> f64 {
    let exponent = 2 * i32::try_from(half_exponent).unwrap_or(i32::MAX / 2);
    stretched(12.0, gamma, |x| {
        let k = x.powi(exponent);
        ((-n_beta * k - 0.5 * gamma * x * x).exp(), n_beta * k)
    })
}

/// K = w₁²w₂²: the same, w₂ integrated in closed form.
#[cfg(test)]
pub fn two_squares(n_beta: f64, gamma: f64) -> f64 {
    stretched(14.0, gamma, |x| {
        let precision = 2.0 * n_beta * x * x + gamma;
        ((-0.5 * gamma * x * x).exp() / precision.sqrt(), n_beta * x * x / precision)
    })
}

/// Mean of a function under a weight on ±12/√γ, both given by `both(x)` as (weight, value).
fn stretched(k: f64, gamma: f64, both: impl Fn(f64) -> (f64, f64)) -> f64 {
    const POINTS: u32 = 20_001;
    let half = 12.0 / gamma.sqrt();
    let (mut over, mut under) = (0.0, 0.0);
    for i in 0..POINTS {
        let s = -1.0 + 2.0 * f64::from(i) / f64::from(POINTS - 1);
        let simpson = match i {
            0 => 1.0,
            i if i == POINTS - 1 => 1.0,
            i if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        let (weight, value) = both(half * (k * s).sinh() / k.sinh());
        let weight = weight * simpson * (k * s).cosh();
        over += weight * value;
        under += weight;
    }
    over / under
}

/// β at n examples: β₀/ln n, n at least 3.
pub fn beta_star(n: usize, beta0: f64) -> f64 {
    beta0 / (n.max(3) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::network::{Activation, Shape, infer_widths};
    use serde_json::Value;

    fn all() -> Value {
        serde_json::from_str(include_str!("../../../tests/reference/llc/coefficients.json")).unwrap()
    }
    fn counts(v: &Value) -> Vec<usize> {
        v.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
    }

    #[test]
    fn coefficients_and_multiplicities_are_those_of_the_reference() {
        let all = all();
        for case in all["dln"].as_array().unwrap() {
            let (widths, rank) = (counts(&case["widths"]), case["rank"].as_u64().unwrap() as usize);
            let want =
                (case["learning_coefficient"].as_f64().unwrap(), case["multiplicity"].as_u64().unwrap());
            let (lambda, m) = deep_linear(&widths, rank).unwrap();
            assert!(
                (lambda - want.0).abs() < 1e-12 && u64::from(m) == want.1,
                "{widths:?} {rank}: {lambda} {m}"
            );
        }
        for case in all["monomial"].as_array().unwrap() {
            let (lambda, m) = monomial(&counts(&case["half_exponents"]));
            assert!((lambda - case["learning_coefficient"].as_f64().unwrap()).abs() < 1e-12);
            assert_eq!(u64::from(m), case["multiplicity"].as_u64().unwrap());
        }
        assert_eq!(deep_linear(&[3, 2], 3), None);
    }

    #[test]
    fn one_hidden_layer_is_reduced_rank_regression() {
        let mut seen = 0;
        for m in 1..=5 {
            for h in 1..=5 {
                for n in 1..=5 {
                    for r in 0..=m.min(h).min(n) {
                        let (a, b) = (deep_linear(&[m, h, n], r).unwrap(), reduced_rank([m, h, n], r));
                        assert!((a.0 - b.0).abs() < 1e-12 && a.1 == b.1, "{m} {h} {n} {r}: {a:?} {b:?}");
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 300);
    }

    #[test]
    fn expectations_at_finite_n_are_those_of_the_reference() {
        for case in all()["finite_n"].as_array().unwrap() {
            let number = |key: &str| case[key].as_f64().unwrap();
            let (t, gamma) = (number("n_beta"), number("gamma"));
            let n = number("n") as usize;
            assert!((n as f64 * beta_star(n, 1.0) - t).abs() < 1e-12 * t);
            for (key, got) in [
                ("w2", quadratic(&[2.0], t, gamma)),
                ("quadratic_eigs_1_10_100", quadratic(&[1.0, 10.0, 100.0], t, gamma)),
                ("w4", power(2, t, gamma)),
                ("w6", power(3, t, gamma)),
                ("w1sq_w2sq", two_squares(t, gamma)),
            ] {
                // Quadratures of two rules; closed forms agree to the last digits
                assert!((got - number(key)).abs() < 1e-7, "{key} {n} {gamma}: {got} {}", number(key));
            }
        }
    }

    #[test]
    fn widths_and_betas_are_those_of_the_reference() {
        let all = all();
        for case in all["widths"].as_array().unwrap() {
            let n = |key: &str| case[key].as_u64().unwrap() as usize;
            let hidden = infer_widths(n("d_in"), n("d_out"), n("depth"), n("target_params"));
            assert_eq!(hidden, counts(&case["widths"]));
            let shape = Shape::new(n("d_in"), &hidden, n("d_out"), true, Activation::Relu);
            assert_eq!(shape.parameters(), n("n_params"));
        }
        for case in all["beta"].as_array().unwrap() {
            let n = case["n"].as_u64().unwrap() as usize;
            assert!((beta_star(n, 1.0) - case["beta"].as_f64().unwrap()).abs() < 1e-15);
        }
    }
}
