//! Where a number ends: which of 32 bytes are digits.
//!
//! `unsafe` because the instruction that makes a mask of sixteen comparisons has no safe name, though every x86-64
//! processor has it, and because newer instructions (shifts and counts of bits) need a question first. Without both a
//! number costs half as much again. Neither changes a bit of any number. Why here: decision 009.
//! Belongs here: that mask, that question. Not here: what the digits are worth.
#![allow(unsafe_code)]

/// Call a function, with instructions of this decade where the processor has them.
macro_rules! quickest {
    ($body:ident($($arg:ident: $type:ty),*) -> $out:ty) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
            fn newer($($arg: $type),*) -> $out {
                $body($($arg),*)
            }
            if crate::files::digits::newer() {
                // SAFETY: the one condition of a function with target features is that the processor has them, and
                // the line above has asked.
                #[allow(unsafe_code)]
                return unsafe { newer($($arg),*) };
            }
        }
        $body($($arg),*)
    }};
}
pub(crate) use quickest;

/// Whether the processor has AVX2 and the instructions on bits that came with it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn newer() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("bmi1") && has!("bmi2") && has!("lzcnt")
}

/// Which of these bytes are no digits, the first in the lowest bit.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn others(bytes: &[u8; 32]) -> u32 {
    use std::arch::x86_64::{_mm_cmpgt_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8, _mm_sub_epi8};
    let word = |k: usize| i64::from_le_bytes(bytes[8 * k..8 * k + 8].try_into().expect("eight bytes"));
    let half = |low: i64, high: i64| {
        // SAFETY: the one condition is SSE2, which is part of x86-64; all arguments are values.
        unsafe {
            // Less `0` and 128, digits are the ten smallest of all bytes with a sign.
            let shifted = _mm_sub_epi8(_mm_set_epi64x(high, low), _mm_set1_epi8((b'0' ^ 0x80) as i8));
            _mm_movemask_epi8(_mm_cmpgt_epi8(shifted, _mm_set1_epi8(-128 + 9))) as u32
        }
    };
    half(word(0), word(1)) | (half(word(2), word(3)) << 16)
}

/// Which of these bytes are no digits, the first in the lowest bit.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn others(bytes: &[u8; 32]) -> u32 {
    by_words(bytes)
}

/// The same, eight bytes at a time.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn by_words(bytes: &[u8; 32]) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    (0..4).fold(0, |mask, k| {
        let word: [u8; 8] = bytes[8 * k..8 * k + 8].try_into().expect("eight bytes");
        let word = u64::from_le_bytes(word) ^ (0x30 * ONES);
        // Digits are 0 to 9 now; of all other bytes, and of none of these, the highest bit gets set.
        let other = (((word & (0x7f * ONES)) + 0x76 * ONES) | word) & (0x80 * ONES);
        // One product gathers the eight bits in the highest byte.
        mask | (((other >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32) << (8 * k)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_told_from_digits() {
        for byte in 0..=255_u8 {
            for place in 0..32 {
                let mut bytes = [b'7'; 32];
                bytes[place] = byte;
                let expected = u32::from(!byte.is_ascii_digit()) << place;
                assert_eq!((others(&bytes), by_words(&bytes)), (expected, expected), "{byte} at {place}");
                bytes = [byte; 32];
                let all = if byte.is_ascii_digit() { 0 } else { u32::MAX };
                assert_eq!((others(&bytes), by_words(&bytes)), (all, all), "{byte}");
            }
        }
    }
}
