//! Any bytes as an array file.
#![no_main]

use ekp::files::npy;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = npy::read(bytes) {
        assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
    }
});
