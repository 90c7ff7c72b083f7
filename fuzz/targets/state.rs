//! Any bytes as a state file.
#![no_main]

use std::path::Path;

use ekp::files::peek_state;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = peek_state(Path::new("state.bin"), bytes);
});
