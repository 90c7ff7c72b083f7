//! The widest vectors of this machine, for loops that the compiler vectorises by itself.
//!
//! A kernel is written once, in plain Rust, and compiled for each width. No fused multiply-add is switched
//! on by this: the compiler never contracts, so every width gives the same bits.
#![allow(unsafe_code)]

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
        if std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512dq")
            && std::is_x86_feature_detected!("avx512bw")
        {
            // SAFETY: this machine has just been asked for the features the function needs.
            return unsafe { avx512(kernel) };
        }
        if std::is_x86_feature_detected!("avx2") {
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

/// Vector units of this machine that matter to us, widest last.
pub fn units() -> Vec<&'static str> {
    let mut units = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        units.push("sse2"); // every x86-64 has it
        if std::is_x86_feature_detected!("avx") {
            units.push("avx");
        }
        if std::is_x86_feature_detected!("fma") {
            units.push("fma");
        }
        if std::is_x86_feature_detected!("avx2") {
            units.push("avx2");
        }
        if std::is_x86_feature_detected!("avx512f") {
            units.push("avx512f");
        }
    }
    #[cfg(target_arch = "aarch64")]
    units.push("neon");
    units
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
