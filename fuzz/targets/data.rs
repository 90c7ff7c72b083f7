//! Any bytes as the body of a member's outcome, with the right checksum.
#![no_main]

use ekp::files::{crc32, parse_data};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let mut bytes = body.to_vec();
    bytes.extend(format!("\n# crc32 {}\n", crc32(&[body, b"\n"].concat())).bytes());
    let _ = parse_data(&bytes, "blake3:0", &["q".into(), "y".into()], &[3, 2]);
    let _ = parse_data(body, "blake3:0", &["q".into()], &[3]);
});
