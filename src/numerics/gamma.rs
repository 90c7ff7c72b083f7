//! The gamma function and its incomplete forms, for positive arguments.

/// ln Γ(a), a > 0, to a few rounding errors.
///
/// Stirling's series from a ≥ 8 on (its eleventh term is below 1e-17 there), smaller arguments by the recurrence
/// Γ(a + 1) = a Γ(a). Abramowitz & Stegun (1964), eqs. 6.1.15 and 6.1.41.
pub fn ln_gamma(a: f64) -> f64 {
    let (mut x, mut product) = (a, 1.0);
    while x < 8.0 {
        product *= x;
        x += 1.0;
    }
    // B₂ₖ / (2k (2k − 1))
    const C: [f64; 10] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
        -3617.0 / 122_400.0,
        43_867.0 / 244_188.0,
        -174_611.0 / 125_400.0,
    ];
    let square = 1.0 / (x * x);
    let series = C.iter().rev().fold(0.0, |sum, c| sum * square + c) / x;
    // ½ ln 2π
    (x - 0.5) * x.ln() - x + 0.918_938_533_204_672_8 + series - f64::ln(product)
}

/// Regularised incomplete gamma functions (lower P, upper Q) of shape a at x, with ln Γ(a) from [`ln_gamma`].
///
/// P is the cumulative distribution of a gamma variable of shape a and scale 1, Q = 1 − P. Below a + 1 the power
/// series of P, above the continued fraction of Q: each is summed where it falls fast, and the other is one minus
/// it. Abramowitz & Stegun (1964), eqs. 6.5.29 and 6.5.31; the fraction by the method of Lentz as modified by
/// Thompson & Barnett (1986), doi:10.1016/0021-9991(86)90046-X.
pub fn incomplete_gamma(a: f64, x: f64, ln_gamma_a: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if x == f64::INFINITY {
        return (1.0, 0.0);
    }
    let front = (a * x.ln() - x - ln_gamma_a).exp();
    if x < a + 1.0 {
        let (mut term, mut k) = (1.0 / a, a);
        let mut sum = term;
        while term > 1e-17 * sum {
            k += 1.0;
            term *= x / k;
            sum += term;
        }
        let lower = front * sum;
        return (lower, 1.0 - lower);
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (f64::INFINITY, 1.0 / b);
    let mut fraction = d;
    for k in 1..500 {
        let k = f64::from(k);
        let numerator = k * (a - k);
        b += 2.0;
        d = 1.0 / (b + numerator * d);
        c = b + numerator / c;
        let change = c * d;
        fraction *= change;
        if (change - 1.0).abs() < 2e-16 {
            break;
        }
    }
    let upper = front * fraction;
    (1.0 - upper, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_half_arguments_agree_with_their_closed_forms() {
        let mut factorial = 1.0;
        for n in 1..100 {
            let got = ln_gamma(f64::from(n));
            let want = f64::ln(factorial);
            // The terms of the sum are ten times the result at worst
            assert!((got - want).abs() < 1e-14 * want.abs().max(1.0), "{n}: {got} {want}");
            factorial *= f64::from(n);
        }
        assert!((ln_gamma(0.5) - 0.5 * std::f64::consts::PI.ln()).abs() < 5e-15);
        // Γ(2.5) = ¾ √π
        assert!((ln_gamma(2.5) - (0.75 * std::f64::consts::PI.sqrt()).ln()).abs() < 5e-15);
    }

    #[test]
    fn shapes_one_and_two_have_closed_forms() {
        for x in [1e-8, 1e-3, 0.4, 1.0, 1.9, 2.1, 2.9, 3.1, 7.0, 30.0, 300.0] {
            let (p, q) = incomplete_gamma(1.0, x, ln_gamma(1.0));
            // Rounding of the exponent a ln x − x − ln Γ
            assert!((p + f64::exp_m1(-x)).abs() < 1e-14 && (q / (-x).exp() - 1.0).abs() < 1e-13, "{x}");
            let (_, q) = incomplete_gamma(2.0, x, ln_gamma(2.0));
            assert!((q / ((1.0 + x) * (-x).exp()) - 1.0).abs() < 1e-13, "{x}: {q}");
        }
        assert_eq!(incomplete_gamma(2.3, 0.0, ln_gamma(2.3)), (0.0, 1.0));
        assert_eq!(incomplete_gamma(2.3, f64::INFINITY, ln_gamma(2.3)), (1.0, 0.0));
    }

    #[test]
    fn the_recurrence_in_the_shape_holds_on_both_sides_of_the_seam() {
        // P(a + 1, x) = P(a, x) − x^a e^−x / Γ(a + 1)
        for a in [0.3, 1.7, 2.5, 4.4, 9.0] {
            for x in [0.01, 0.9, a, a + 0.999, a + 1.001, a + 2.5, 3.0 * a, 60.0] {
                let (here, up) =
                    (incomplete_gamma(a, x, ln_gamma(a)), incomplete_gamma(a + 1.0, x, ln_gamma(a + 1.0)));
                let step = (a * x.ln() - x - ln_gamma(a + 1.0)).exp();
                assert!((here.0 - step - up.0).abs() < 1e-14, "P {a} {x}");
                assert!((here.1 + step - up.1).abs() < 1e-14, "Q {a} {x}");
            }
        }
    }
}
