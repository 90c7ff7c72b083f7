//! The rooms of the house and their floors: a room may use lower floors and `explain`, nothing else.

use std::fs;
use std::path::Path;

const FLOORS: &[(&str, u32)] = &[
    ("numerics", 0),
    ("files", 0),
    ("machine", 0),
    ("problem", 1),
    ("kalman", 2),
    ("dds", 2),
    ("models", 2),
    ("experiment", 3),
    ("plan", 4),
    ("steps", 5),
    ("launch", 6),
    ("report", 6),
    ("cli", 7),
];

/// Rooms whose files may have unsafe code.
const UNSAFE_ROOMS: [&str; 2] = ["numerics", "machine"];

/// Files outside of them that may, each with a decision that says why.
const UNSAFE_FILES: [&str; 1] = ["files/digits.rs"]; // docs/decisions/009-unsafe-in-one-reader.md

#[test]
fn unsafe_code_stands_where_the_house_says() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut elsewhere = Vec::new();
    for entry in walkdir::WalkDir::new(&src).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let path = entry.path().strip_prefix(&src).unwrap();
        let allows = |text: &str| text.contains("allow(unsafe_code)");
        if !UNSAFE_ROOMS.iter().any(|room| path.starts_with(room))
            && allows(&fs::read_to_string(entry.path()).unwrap())
        {
            elsewhere.push(path.to_str().unwrap().to_owned());
        }
    }
    elsewhere.sort();
    assert_eq!(elsewhere, UNSAFE_FILES, "no other file, and none that does without by now");
}

#[test]
fn rooms_use_only_lower_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floor = |room: &str| FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor);
    let mut faults = Vec::new();
    for entry in walkdir::WalkDir::new(&src).into_iter().flatten() {
        let path = entry.path().strip_prefix(&src).unwrap();
        if path.extension().is_none_or(|e| e != "rs") || path.starts_with("bin") {
            continue;
        }
        let room = path.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        if ["lib", "explain", "manual"].contains(&room.as_str()) {
            continue;
        }
        let own = floor(&room).unwrap_or_else(|| panic!("`{room}` has no floor"));
        for (number, line) in fs::read_to_string(entry.path()).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for part in code.split("crate::").skip(1) {
                let used: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if used == "explain" || used == room || used.is_empty() {
                    continue;
                }
                match floor(&used) {
                    Some(other) if other < own => {}
                    _ => faults.push(format!(
                        "{}:{}: `{room}` (floor {own}) uses `{used}`",
                        path.display(),
                        number + 1
                    )),
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
