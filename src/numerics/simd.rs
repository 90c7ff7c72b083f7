//! The widest vectors of this machine: the one question for them, and loops that the compiler vectorises by itself.
//!
//! A kernel is written once, in plain Rust, and compiled for each width. No fused multiply-add is switched
//! on by this: the compiler never contracts, so every width gives the same bits.
//! Not here: kernels written in lanes (`lanes`, `panels`), which ask the same question.
#![allow(unsafe_code)]

/// Whether this machine has AVX2 and fused multiply-adds, which came with it.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_avx2() -> bool {
    std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
}

/// Whether this machine has AVX-512 as all but its first processors have it (F, VL, DQ, BW), and fused multiply-adds.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn has_avx512() -> bool {
    std::is_x86_feature_detected!("avx512f")
        && std::is_x86_feature_detected!("avx512vl")
        && std::is_x86_feature_detected!("avx512dq")
        && std::is_x86_feature_detected!("avx512bw")
        && std::is_x86_feature_detected!("fma")
}

/// A loop worth compiling for each vector width.
pub trait Kernel {
    /// What it gives back
    type Output;
    /// The loop. Mark it and what it calls `#[inline(always)]`, or it stays narrow.
    fn run(self) -> Self::Output;
}

/// Run a kernel with the widest vectors this machine has.
pub fn widest<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if has_avx512() {
            // SAFETY: this machine has just been asked for the features the function needs.
            return unsafe { avx512(kernel) };
        }
        if has_avx2() {
            // SAFETY: as above.
            return unsafe { avx2(kernel) };
        }
    }
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sum<'a>(&'a [f64]);
    impl Kernel for Sum<'_> {
        type Output = f64;
        #[inline(always)]
        fn run(self) -> f64 {
            self.0
                .chunks_exact(8)
                .fold([0.0; 8], |a, c| std::array::from_fn(|l| a[l] + c[l] * c[l]))
                .iter()
                .sum()
        }
    }

    #[test]
    fn every_width_gives_the_same_bits() {
        let x: Vec<f64> = (0..800).map(|i| (f64::from(i) * 0.7).sin()).collect();
        assert_eq!(widest(Sum(&x)).to_bits(), Sum(&x).run().to_bits());
    }
}
