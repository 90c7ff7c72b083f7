//! Any bytes as a state file, and as the body of one whose first line is right.
#![no_main]

use std::path::Path;

use ekp::files::{digest, parse_state, peek_state};
use ekp::problem::{Ensemble, State};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let path = Path::new("state.bin");
    let _ = peek_state(path, body);
    let stamped = |kind: &str| {
        let mut bytes = format!("{kind} 1 {} {}\n", body.len(), digest(body)).into_bytes();
        bytes.extend_from_slice(body);
        bytes
    };
    let of_ensemble = parse_state::<Ensemble>(path, &stamped("ekp.ensemble"), "ekp.ensemble", 1);
    let of_run = parse_state::<State>(path, &stamped("ekp.state"), "ekp.state", 1);
    let arrays = of_ensemble.map(|e| e.u).into_iter().chain(of_run.into_iter().flat_map(|s| s.arrays.into_values()));
    for mat in arrays {
        let numbers: usize = (0..mat.ncols()).map(|j| mat.col(j).len()).sum();
        assert_eq!(numbers, mat.nrows() * mat.ncols());
    }
});
