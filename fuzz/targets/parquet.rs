//! Any bytes as a table, and as the inside of one whose ends are right: what is read comes back as it was written.
#![no_main]

use ekp::files::parquet::{MAGIC, read, table};

libfuzzer_sys::fuzz_target!(|inside: &[u8]| {
    let _ = read(inside);
    if let Ok(found) = read(&[MAGIC, inside, MAGIC].concat()) {
        assert!(found.columns.iter().all(|(_, values)| values.len() == found.rows));
        if (1..1 << 16).contains(&found.rows) && !found.columns.is_empty() {
            let notes: Vec<(&str, &str)> = found.notes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let again = read(&table(&found.columns, &notes)).expect("what was written reads back");
            assert_eq!((again.rows, &again.notes), (found.rows, &found.notes));
            assert_eq!(table(&again.columns, &notes), table(&found.columns, &notes));
        }
    }
});
