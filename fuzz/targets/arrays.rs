//! The inside of an array: what the outcome's reader makes of it, the general TOML parser makes of it, too.
#![no_main]

use ekp::files::{crc32, parse_data};

libfuzzer_sys::fuzz_target!(|inside: &[u8]| {
    let Ok(inside) = std::str::from_utf8(inside) else { return };
    let body = format!(
        "schema = \"ekp.data\"\nversion = 1\nparameters = \"blake3:0\"\n\n[model_output]\nq = [{inside}]\n"
    );
    let text = format!("{body}# crc32 {}\n", crc32(body.as_bytes()));
    let general = text.parse::<toml::Table>().ok().and_then(|table| {
        let output = table.get("model_output")?.as_table()?;
        let number = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
        let values: Vec<f64> = output.get("q")?.as_array()?.iter().map(number).collect::<Option<_>>()?;
        (output.len() == 1 && values.iter().all(|x| !x.is_infinite())).then_some(values)
    });
    let length = general.as_ref().map_or(1, Vec::len);
    let found = parse_data(text.as_bytes(), "blake3:0", &["q".into()], &[length]).ok().map(|(_, values)| values);
    let bits = |x: Vec<f64>| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(found.map(bits), general.map(bits));
});
