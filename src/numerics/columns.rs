//! Sums over one column, in an order that vector units can follow.
//!
//! Eight partial sums run side by side and are joined in a fixed order, so that the bits are the same on every
//! processor, whatever its vector width; with AVX2 at hand the same code runs four numbers at a time (rustc never
//! fuses a product and a sum by itself, so that changes no bit).
//! Belongs here: what is done to each number of a column. Not here: products of matrices.
#![allow(unsafe_code)]

/// What [`centre_and_scale`] found: sums over the rows of one column.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Distance {
    /// Σ eᵢ²
    pub plain: f64,
    /// Σ (wᵢ eᵢ)²
    pub weighted: f64,
}

/// Make the function `$name` run `$body` with AVX2 where the processor has it.
macro_rules! wide {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?, $body:ident, $avx2:ident) => {
        $(#[$doc])*
        pub fn $name($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn $avx2($($arg: $type),*) $(-> $out)? {
                    $body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the one condition of a function with a target feature is that the processor has it,
                    // and the line above has asked.
                    return unsafe { $avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

wide! {
    /// xᵀ y.
    dot(x: &[f64], y: &[f64]) -> f64, dot_body, dot_avx2
}

wide! {
    /// |x − y|².
    distance_squared(x: &[f64], y: &[f64]) -> f64, distance_body, distance_avx2
}

wide! {
    /// No NaN, no infinity: x · 0 is 0 for numbers only, so one sum tells without a branch per entry.
    is_finite(x: &[f64]) -> bool, finite_body, finite_avx2
}

wide! {
    /// y += s x.
    add_scaled(y: &mut [f64], s: f64, x: &[f64]), add_body, add_avx2
}

wide! {
    /// to = from, sum += from: one pass over memory for both.
    copy_and_add(to: &mut [f64], from: &[f64], sum: &mut [f64]), copy_body, copy_avx2
}

wide! {
    /// x ← w (x − m), and how far r − (x − m) is from 0, plain and weighted by w: one pass for all.
    centre_and_scale(x: &mut [f64], m: &[f64], r: &[f64], w: &[f64]) -> Distance, centre_body, centre_avx2
}

/// Eight partial sums become one.
#[inline(always)]
pub(super) fn fold(part: [f64; 8]) -> f64 {
    ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]))
}

#[inline(always)]
fn dot_body(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "a scalar product joins equal lengths");
    let mut part = [0.0f64; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in xs.zip(ys) {
        for k in 0..8 {
            part[k] += a[k] * b[k];
        }
    }
    fold(part) + rest
}

#[inline(always)]
fn distance_body(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "a distance joins equal lengths");
    let mut part = [0.0f64; 8];
    let (xs, ys) = (x.chunks_exact(8), y.chunks_exact(8));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(a, b)| (a - b) * (a - b)).sum();
    for (a, b) in xs.zip(ys) {
        for k in 0..8 {
            part[k] += (a[k] - b[k]) * (a[k] - b[k]);
        }
    }
    fold(part) + rest
}

#[inline(always)]
fn finite_body(x: &[f64]) -> bool {
    let mut part = [0.0f64; 8];
    let chunks = x.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|x| x * 0.0).sum();
    for a in chunks {
        for k in 0..8 {
            part[k] += a[k] * 0.0;
        }
    }
    fold(part) + rest == 0.0
}

#[inline(always)]
fn add_body(y: &mut [f64], s: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += s * x;
    }
}

#[inline(always)]
fn copy_body(to: &mut [f64], from: &[f64], sum: &mut [f64]) {
    for ((to, from), sum) in to.iter_mut().zip(from).zip(sum) {
        *to = *from;
        *sum += *from;
    }
}

#[inline(always)]
fn centre_body(x: &mut [f64], m: &[f64], r: &[f64], w: &[f64]) -> Distance {
    let n = x.len();
    assert!(m.len() == n && r.len() == n && w.len() == n, "columns are equally long");
    let (mut plain, mut weighted) = ([0.0f64; 8], [0.0f64; 8]);
    let mut one = |k: usize, x: &mut f64, m: f64, r: f64, w: f64| {
        let centred = *x - m;
        let e = r - centred;
        let we = w * e;
        plain[k] += e * e;
        weighted[k] += we * we;
        *x = w * centred;
    };
    let whole = n - n % 8;
    for i in (0..whole).step_by(8) {
        let x: &mut [f64] = &mut x[i..i + 8];
        let (m, r, w) = (&m[i..i + 8], &r[i..i + 8], &w[i..i + 8]);
        for k in 0..8 {
            one(k, &mut x[k], m[k], r[k], w[k]);
        }
    }
    for i in whole..n {
        one(i - whole, &mut x[i], m[i], r[i], w[i]);
    }
    Distance { plain: fold(plain), weighted: fold(weighted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_agrees_with_the_plain_sum_and_has_the_same_bits_without_avx2() {
        let numbers = |n: usize, f: f64| (0..n).map(|i| (f * (i + 1) as f64).sin()).collect::<Vec<f64>>();
        for n in 0..40 {
            let (x, y, w) = (numbers(n, 1.3), numbers(n, 0.7), numbers(n, 2.9));
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-14 * (1 + n) as f64, "{n}: {a} {b}");
            near(dot(&x, &y), x.iter().zip(&y).map(|(a, b)| a * b).sum());
            near(distance_squared(&x, &y), x.iter().zip(&y).map(|(a, b)| (a - b).powi(2)).sum());
            let (mut fast, mut slow) = (x.clone(), x.clone());
            let got = centre_and_scale(&mut fast, &y, &w, &w);
            assert_eq!(got, centre_body(&mut slow, &y, &w, &w));
            assert_eq!(fast, slow);
            let e = |i: usize| w[i] - (x[i] - y[i]);
            near(got.plain, (0..n).map(|i| e(i).powi(2)).sum());
            near(got.weighted, (0..n).map(|i| (w[i] * e(i)).powi(2)).sum());
            (0..n).for_each(|i| near(fast[i], w[i] * (x[i] - y[i])));
            assert_eq!(dot(&x, &y), dot_body(&x, &y));
            let (mut to, mut sum) = (vec![0.0; n], y.clone());
            copy_and_add(&mut to, &x, &mut sum);
            assert_eq!(to, x);
            (0..n).for_each(|i| near(sum[i], x[i] + y[i]));
        }
    }

    #[test]
    fn one_nan_or_infinity_anywhere_is_seen() {
        for n in 1..20 {
            for (i, bad) in [(0, f64::NAN), (n / 2, f64::INFINITY), (n - 1, f64::NEG_INFINITY)] {
                let mut x = vec![1e308; n];
                assert!(is_finite(&x));
                x[i] = bad;
                assert!(!is_finite(&x));
            }
        }
    }
}
