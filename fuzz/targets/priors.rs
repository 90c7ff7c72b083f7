//! Any bytes as `priors.toml`.
#![no_main]

use std::path::Path;

use ekp::files::human::Document;
use ekp::problem::{MemberFile, Prior};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::from_bytes(Path::new("priors.toml"), bytes.to_vec()) else { return };
    match Prior::read(&document, None) {
        Err(fault) => drop(fault.picture(false)),
        Ok(prior) if prior.dim() <= 1000 => {
            let theta = prior.constrain(&prior.centre());
            if let Ok(text) = prior.member_file().text("", &theta) {
                assert_eq!(MemberFile::read(&text, prior.names()).expect("reads back"), theta);
            }
        }
        Ok(_) => {}
    }
});
