//! Quantiles against sorting, for laws, ties, gaps, and any bits at all.

use proptest::prelude::*;

use super::*;

struct Rows {
    parts: Vec<Vec<f64>>,
    columns: usize,
}

impl Parts for Rows {
    type Error = std::convert::Infallible;
    fn parts(&self) -> usize {
        self.parts.len()
    }
    fn columns(&self) -> usize {
        self.columns
    }
    fn read(&self, part: usize, columns: Range<usize>, out: &mut Vec<f64>) -> Result<(), Self::Error> {
        out.clear();
        self.parts[part].chunks(self.columns).for_each(|row| out.extend_from_slice(&row[columns.clone()]));
        Ok(())
    }
}

/// Sorted, in the plainest words.
fn plain(rows: &Rows, column: usize, share: f64) -> f64 {
    let mut all: Vec<f64> = rows.parts.iter().flatten().skip(column).step_by(rows.columns).copied().collect();
    all.retain(|x| !x.is_nan());
    all.sort_by(f64::total_cmp);
    if all.is_empty() {
        return f64::NAN;
    }
    let at = share * (all.len() - 1) as f64;
    let (low, part) = (all[at.floor() as usize], at - at.floor());
    let high = all[(at.floor() as usize + 1).min(all.len() - 1)];
    if part == 0.0 || low == high { low } else { low + part * (high - low) }
}

const SHARES: [f64; 6] = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0];

fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

fn check(rows: &Rows, collected: u64, bins: usize) {
    let Ok(all) = within(rows, &SHARES, 1, collected, bins);
    let Ok(three) = within(rows, &SHARES, 3, collected, bins);
    for (c, summary) in all.iter().enumerate() {
        for (share, q) in SHARES.iter().zip(&summary.quantiles) {
            let expected = plain(rows, c, *share);
            assert!(same(*q, expected), "column {c}, share {share}: {q} for {expected}");
        }
        // Threads change nothing, not a bit
        assert_eq!(format!("{summary:?}"), format!("{:?}", three[c]));
        assert!(same(summary.min, plain(rows, c, 0.0)) && same(summary.max, plain(rows, c, 1.0)));
    }
}

#[test]
fn law_after_law_the_quantiles_are_those_of_the_sorted_numbers() {
    let mut x = 1u64;
    let mut uniform = move || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 11) as f64 / (1u64 << 53) as f64
    };
    let parts: Vec<Vec<f64>> = [700, 1, 300]
        .iter()
        .map(|&rows| {
            (0..rows)
                .flat_map(|k| {
                    let u = uniform();
                    [
                        u - 0.5,
                        (40.0 * (u - 0.5)).exp(),          // 35 octaves
                        f64::from_bits((u * 9e18) as u64), // every size, subnormal too
                        3.25,                              // one value
                        if k % 3 == 0 { f64::NAN } else { (4.0 * u).floor() }, // ties, gaps
                        f64::NAN,
                    ]
                })
                .collect()
        })
        .collect();
    let rows = Rows { parts, columns: 6 };
    for (collected, bins) in [(COLLECTED, BINS), (100, BINS), (0, BINS), (50, 400), (1 << 20, 10)] {
        check(&rows, collected, bins);
    }
    let Ok(all) = summaries(&rows, &[0.5], 1);
    assert_eq!((all[5].count, all[4].count), (0, 666));
    assert_eq!((all[3].mean, all[3].std), (3.25, 0.0));
    // Uniform: mean 0 and deviation 1/√12 to three standard errors of 1001 draws
    assert!(all[0].mean.abs() < 0.03 && (all[0].std - 12f64.sqrt().recip()).abs() < 0.01);
}

#[test]
fn an_empty_batch_has_no_quantiles_and_one_number_is_its_own() {
    let Ok(none) = summaries(&Rows { parts: Vec::new(), columns: 2 }, &SHARES, 2);
    assert!(none.len() == 2 && none[1].count == 0 && none[0].quantiles.iter().all(|q| q.is_nan()));
    let Ok(one) = summaries(&Rows { parts: vec![vec![-0.0]], columns: 1 }, &SHARES, 2);
    assert!(one[0].quantiles.iter().all(|q| q.to_bits() == 0) && one[0].std.is_nan());
}

proptest! {
    #[test]
    fn any_numbers_at_all(bits in proptest::collection::vec(any::<u64>(), 1..60), width in 1usize..4) {
        let mut numbers: Vec<f64> = bits.iter().map(|b| f64::from_bits(*b)).collect();
        numbers.truncate(numbers.len() / width * width);
        let cut = numbers.len() / width / 2 * width;
        let rows = Rows { parts: vec![numbers[..cut].to_vec(), numbers[cut..].to_vec()], columns: width };
        check(&rows, 3, BINS);
    }
}
