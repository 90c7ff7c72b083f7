//! Moments of columns, part by part, and joined in the order of the parts. NaN counts as missing.

/// Count, mean and sum of squared deviations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) squares: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Of no numbers.
pub(super) const NONE: Moments =
    Moments { count: 0, mean: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

impl Moments {
    /// Of two groups together: Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115.
    pub(super) fn join(self, other: Self) -> Self {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let apart = other.mean - self.mean;
        Self {
            count: self.count + other.count,
            mean: self.mean + apart * (m / (n + m)),
            squares: self.squares + other.squares + apart * apart * (n * m / (n + m)),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Moments of each column of a part: mean first, then deviations from it.
pub(super) fn of_part(numbers: &[f64], width: usize) -> Vec<Moments> {
    let mut all = vec![NONE; width];
    for row in numbers.chunks_exact(width) {
        for (m, &x) in all.iter_mut().zip(row) {
            let there = !x.is_nan();
            m.count += u64::from(there);
            m.mean += if there { x } else { 0.0 };
            // `min` and `max` pass NaN over.
            m.min = m.min.min(x);
            m.max = m.max.max(x);
        }
    }
    for m in &mut all {
        m.mean = if m.count > 0 { m.mean / m.count as f64 } else { 0.0 };
    }
    for row in numbers.chunks_exact(width) {
        for (m, &x) in all.iter_mut().zip(row) {
            let d = if x.is_nan() { 0.0 } else { x - m.mean };
            m.squares += d * d;
        }
    }
    all
}
