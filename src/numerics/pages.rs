//! Large pages for large arrays.
//!
//! The first touch of an array costs a trap into the kernel for each page of 4 KiB: for the outputs of a large ensemble
//! as much time as their products take. Where the system gives pages of 2 MiB to those who ask, one trap does for 512.
//! Belongs here: asking. Not here: whether the system listens.
#![allow(unsafe_code)]

/// Ask for large pages under `items`, which were not touched yet. Best effort: nothing depends on the answer.
pub(super) fn ask_large<T>(items: &mut [T]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        const LARGE: usize = 2 << 20;
        let range = items.as_mut_ptr_range();
        let (start, end) = (range.start.addr().next_multiple_of(PAGE), range.end.addr() / PAGE * PAGE);
        if end.saturating_sub(start) < 2 * LARGE {
            return;
        }
        let first = range.start.map_addr(|_| start);
        // SAFETY: the pages lie within the slice, and this advice changes no content.
        unsafe { libc::madvise(first.cast(), end - start, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_holds_what_it_held() {
        for n in [0, 10, 3_000_000] {
            let mut numbers: Vec<f64> = (0..n).map(f64::from).collect();
            ask_large(&mut numbers);
            assert!(numbers.iter().zip(0..).all(|(x, k)| *x == f64::from(k)));
        }
    }
}
