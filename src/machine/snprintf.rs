//! The C library's own number formatting, to hold ours against.
#![allow(unsafe_code)]

use std::ffi::CString;

/// What C prints for `format` (one conversion of a double) and `x`.
pub(crate) fn c_double(format: &str, x: f64) -> String {
    let format = CString::new(format).unwrap();
    let mut bytes = vec![0u8; 4096];
    // SAFETY: the buffer's length is passed, and the format takes exactly one double.
    let n = unsafe { libc::snprintf(bytes.as_mut_ptr().cast(), bytes.len(), format.as_ptr(), x) };
    String::from_utf8(bytes[..n as usize].to_vec()).unwrap()
}

/// What C prints for `format` (one `%lld`) and `x`.
pub(crate) fn c_integer(format: &str, x: i64) -> String {
    let format = CString::new(format).unwrap();
    let mut bytes = vec![0u8; 4096];
    // SAFETY: the buffer's length is passed, and the format takes exactly one long long.
    let n = unsafe { libc::snprintf(bytes.as_mut_ptr().cast(), bytes.len(), format.as_ptr(), x) };
    String::from_utf8(bytes[..n as usize].to_vec()).unwrap()
}
