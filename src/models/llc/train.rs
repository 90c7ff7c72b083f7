//! Training to a minimum: full-batch Adam and its kin, the best iterate kept, then L-BFGS until the slope is gone.

use crate::models::llc::objective::Objective;

/// How a student is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    /// `adam`, `adamw` (decay 1e-4) or `sgd`
    pub optimizer: &'static str,
    /// Step length
    pub learning_rate: f64,
    /// At most
    pub steps: usize,
    /// Standard deviation of the last 20 losses that ends it; 0: never
    pub early_stop_tol: f64,
    /// L-BFGS afterwards
    pub polish: bool,
}

/// Names of optimizers.
pub const OPTIMIZERS: [&str; 3] = ["adam", "adamw", "sgd"];

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// w*
    pub w: Vec<f64>,
    /// L_n(w*)
    pub loss: f64,
    /// ‖∇L‖∞ there
    pub grad_norm_inf: f64,
    /// Steps of the first phase
    pub steps: usize,
    /// `steps`, `early`, `gradient` (polished), `diverged`
    pub reason: &'static str,
}

fn largest(g: &[f64]) -> f64 {
    g.iter().fold(0.0, |most, g| if g.is_nan() { f64::NAN } else { most.max(g.abs()) })
}

/// Train from `w`.
pub fn train(objective: &mut dyn Objective<f64>, mut w: Vec<f64>, options: &Training) -> Trained {
    let p = w.len();
    let (mut m, mut v, mut g) = (vec![0.0; p], vec![0.0; p], vec![0.0; p]);
    let mut recent = std::collections::VecDeque::with_capacity(20);
    let mut best = (f64::INFINITY, w.clone());
    let (mut steps, mut reason) = (0, "steps");
    for step in 1..=options.steps {
        let loss = objective.gradient(&w, &mut g);
        if !loss.is_finite() {
            reason = "diverged";
            break;
        }
        if loss < best.0 {
            best.0 = loss;
            best.1.copy_from_slice(&w);
        }
        steps = step;
        if recent.len() == 20 {
            recent.pop_front();
        }
        recent.push_back(loss);
        let mean = recent.iter().sum::<f64>() / recent.len() as f64;
        let sd = (recent.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / recent.len() as f64).sqrt();
        if step > 100 && sd < options.early_stop_tol {
            reason = "early";
            break;
        }
        let (c1, c2) = (1.0 - 0.9_f64.powi(step as i32), 1.0 - 0.999_f64.powi(step as i32));
        for i in 0..p {
            if options.optimizer == "sgd" {
                w[i] -= options.learning_rate * g[i];
                continue;
            }
            m[i] += 0.1 * (g[i] - m[i]);
            v[i] += 0.001 * (g[i] * g[i] - v[i]);
            let decay = if options.optimizer == "adamw" { 1e-4 * w[i] } else { 0.0 };
            w[i] -= options.learning_rate * ((m[i] / c1) / ((v[i] / c2).sqrt() + 1e-8) + decay);
        }
    }
    let last = objective.gradient(&w, &mut g);
    if !last.is_finite() || last > best.0 {
        w = best.1;
    }
    let mut loss = objective.gradient(&w, &mut g);
    if options.polish && loss.is_finite() && polish(objective, &mut w, &mut g, &mut loss) {
        reason = "gradient";
    }
    Trained { loss, grad_norm_inf: largest(&g), w, steps, reason }
}

/// L-BFGS of ten pairs with Armijo steps, until ‖∇L‖∞ < 1e-8 max(1, L) (true), no step helps, or 2000 steps.
///
/// Nocedal & Wright (2006), Numerical Optimization, algorithm 7.4.
fn polish(objective: &mut dyn Objective<f64>, w: &mut Vec<f64>, g: &mut Vec<f64>, loss: &mut f64) -> bool {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut pairs: std::collections::VecDeque<(Vec<f64>, Vec<f64>, f64)> = std::collections::VecDeque::new();
    for _ in 0..2000 {
        if largest(g) < 1e-8 * loss.max(1.0) {
            return true;
        }
        let mut d: Vec<f64> = g.iter().map(|g| -g).collect();
        let mut alphas = Vec::new();
        for (s, y, rho) in pairs.iter().rev() {
            let alpha = rho * dot(s, &d);
            d.iter_mut().zip(y).for_each(|(d, y)| *d -= alpha * y);
            alphas.push(alpha);
        }
        if let Some((s, y, _)) = pairs.back() {
            let scale = dot(s, y) / dot(y, y);
            d.iter_mut().for_each(|d| *d *= scale);
        }
        for ((s, y, rho), alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
            let beta = rho * dot(y, &d);
            d.iter_mut().zip(s).for_each(|(d, s)| *d += (alpha - beta) * s);
        }
        let slope = dot(&d, g);
        if slope >= 0.0 {
            if pairs.is_empty() {
                return false;
            }
            pairs.clear();
            continue;
        }
        let mut step = if pairs.is_empty() { (1.0 / largest(g)).min(1.0) * 0.01 } else { 1.0 };
        let mut next = None;
        for _ in 0..40 {
            let tried: Vec<f64> = w.iter().zip(&d).map(|(w, d)| w + step * d).collect();
            let mut there = vec![0.0; w.len()];
            let value = objective.gradient(&tried, &mut there);
            if value <= *loss + 1e-4 * step * slope {
                next = Some((tried, there, value));
                break;
            }
            step *= 0.5;
        }
        let Some((tried, there, value)) = next else {
            if pairs.is_empty() {
                return false;
            }
            pairs.clear();
            continue;
        };
        let s: Vec<f64> = tried.iter().zip(w.iter()).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = there.iter().zip(g.iter()).map(|(a, b)| a - b).collect();
        let curvature = dot(&s, &y);
        if curvature > 1e-12 * dot(&y, &y).sqrt() * dot(&s, &s).sqrt() {
            if pairs.len() == 10 {
                pairs.pop_front();
            }
            pairs.push_back((s, y, 1.0 / curvature));
        }
        (*w, *g, *loss) = (tried, there, value);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::objective::Polynomial;

    fn options(optimizer: &'static str, polish: bool) -> Training {
        Training { optimizer, learning_rate: 1e-2, steps: 2000, early_stop_tol: 1e-9, polish }
    }

    #[test]
    fn a_quadratic_is_brought_to_its_minimum() {
        for optimizer in OPTIMIZERS {
            let mut objective = Polynomial::Quadratic(vec![1.0, 30.0, 5.0]);
            let got = train(&mut objective, vec![1.0, -1.0, 0.5], &options(optimizer, true));
            assert!(got.grad_norm_inf < 1e-8 && got.reason == "gradient", "{optimizer}: {got:?}");
        }
    }

    #[test]
    fn steps_that_diverge_give_the_best_that_was_seen() {
        let mut objective = Polynomial::Quadratic(vec![1000.0]);
        let mut sgd = options("sgd", false);
        sgd.learning_rate = 1.0;
        let got = train(&mut objective, vec![1.0], &sgd);
        assert!(got.reason == "diverged" && got.loss == 500.0, "{got:?}");
    }
}
