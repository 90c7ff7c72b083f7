//! What this process and this thread have used.
#![allow(unsafe_code)]

/// User and system time of the calling thread, seconds.
pub fn thread_cpu_s() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one timespec on our stack, which the call fills; a failure leaves it zero.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

/// Largest resident set of this process so far, 10⁶ bytes.
pub fn own_peak_rss_mb() -> f64 {
    // SAFETY: a zeroed rusage is valid: all its fields are numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: one rusage on our stack, which the call fills.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    usage.ru_maxrss as f64 * 1024e-6 // KiB on Linux
}
