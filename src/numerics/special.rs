//! Special functions that the standard library lacks.
// Coefficients stand as their papers print them.
#![allow(clippy::excessive_precision)]

/// The error function, to a few rounding errors.
///
/// `erf x = 2/√π e^(−x²) Σₙ 2ⁿ x^(2n+1) / (2n+1)!!`: all terms have one sign, so nothing cancels.
/// Beyond |x| = 6 it differs from ±1 by 2e-17. Abramowitz & Stegun (1964), eq. 7.1.6.
pub fn erf(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 6.0 {
        return if x.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp()
}

/// Φ⁻¹(p): the number that a standard normal stays below with probability p; to 1e-16 of itself.
///
/// Wichura (1988), algorithm AS 241 (PPND16), Applied Statistics 37, 477–484, doi:10.2307/2347330.
pub fn normal_quantile(p: f64) -> f64 {
    let ratio = |r: f64, up: &[f64; 8], down: &[f64; 8]| {
        let polynomial = |c: &[f64; 8]| c.iter().rev().fold(0.0, |sum, c| sum * r + c);
        polynomial(up) / polynomial(down)
    };
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(0.180_625 - q * q, &CENTRE_UP, &CENTRE_DOWN);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    if tail <= 0.0 {
        return if tail == 0.0 { f64::INFINITY.copysign(q) } else { f64::NAN };
    }
    let r = (-tail.ln()).sqrt();
    let x =
        if r <= 5.0 { ratio(r - 1.6, &MIDDLE_UP, &MIDDLE_DOWN) } else { ratio(r - 5.0, &FAR_UP, &FAR_DOWN) };
    x.copysign(q)
}

const CENTRE_UP: [f64; 8] = [
    3.387_132_872_796_366_608,
    1.331_416_678_917_843_774_5e2,
    1.971_590_950_306_551_442_7e3,
    1.373_169_376_550_946_112_5e4,
    4.592_195_393_154_987_145_7e4,
    6.726_577_092_700_870_085_3e4,
    3.343_057_558_358_812_810_5e4,
    2.509_080_928_730_122_672_7e3,
];
const CENTRE_DOWN: [f64; 8] = [
    1.0,
    4.231_333_070_160_091_125_2e1,
    6.871_870_074_920_579_083e2,
    5.394_196_021_424_751_107_7e3,
    2.121_379_430_158_659_586_7e4,
    3.930_789_580_009_271_061e4,
    2.872_908_573_572_194_267_4e4,
    5.226_495_278_852_854_561e3,
];
const MIDDLE_UP: [f64; 8] = [
    1.423_437_110_749_683_577_34,
    4.630_337_846_156_545_295_9,
    5.769_497_221_460_691_405_5,
    3.647_848_324_763_204_605_04,
    1.270_458_252_452_368_382_58,
    2.417_807_251_774_506_117_7e-1,
    2.272_384_498_926_918_458_33e-2,
    7.745_450_142_783_414_076_4e-4,
];
const MIDDLE_DOWN: [f64; 8] = [
    1.0,
    2.053_191_626_637_758_821_87,
    1.676_384_830_183_803_849_4,
    6.897_673_349_851_000_045_5e-1,
    1.481_039_764_274_800_745_9e-1,
    1.519_866_656_361_645_719_66e-2,
    5.475_938_084_995_344_946e-4,
    1.050_750_071_644_416_843_24e-9,
];
const FAR_UP: [f64; 8] = [
    6.657_904_643_501_103_777_2,
    5.463_784_911_164_114_369_9,
    1.784_826_539_917_291_335_8,
    2.965_605_718_285_048_912_3e-1,
    2.653_218_952_657_612_309_3e-2,
    1.242_660_947_388_078_438_6e-3,
    2.711_555_568_743_487_578_15e-5,
    2.010_334_399_292_288_132_65e-7,
];
const FAR_DOWN: [f64; 8] = [
    1.0,
    5.998_322_065_558_879_376_9e-1,
    1.369_298_809_227_358_053_1e-1,
    1.487_536_129_085_061_485_25e-2,
    7.868_691_311_456_132_591e-4,
    1.846_318_317_510_054_681_8e-5,
    1.421_511_758_316_445_888_7e-7,
    2.044_263_103_389_939_785_64e-15,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_tables() {
        // Abramowitz & Stegun, table 7.1, and mpmath for 5
        for (x, want) in
            [(0.0, 0.0), (0.5, 0.5204998778130465), (1.0, 0.8427007929497149), (2.0, 0.9953222650189527)]
        {
            assert!((erf(x) - want).abs() < 1e-15, "{x}");
            assert!((erf(-x) + want).abs() < 1e-15, "{x}");
        }
        assert!((1.0 - erf(5.0) - 1.537_459_794_428_035e-12).abs() < 1e-15);
        assert_eq!(erf(f64::INFINITY), 1.0);
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn quantiles_of_the_normal_agree_with_tables_and_with_erf() {
        // Bisection of erfc, and Python's NormalDist for the last
        for (p, want) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.01, -2.326_347_874_040_840_8),
            (1e-10, -6.361_340_902_404_056),
            (1e-300, -37.047_096_299_361_2),
        ] {
            assert!((normal_quantile(p) - want).abs() < 1e-14 * want.abs().max(0.01), "{p}");
        }
        for k in 1..100 {
            let p = f64::from(k) / 100.0;
            let back = 0.5 * (1.0 + erf(normal_quantile(p) / 2.0_f64.sqrt()));
            assert!((back - p).abs() < 1e-15, "{p}");
        }
        assert!(normal_quantile(1.0) == f64::INFINITY && normal_quantile(f64::NAN).is_nan());
    }
}
