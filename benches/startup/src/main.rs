//! Parse one argument, read one TOML file, print one value.
use clap::Parser;

#[derive(Parser)]
struct Args {
    file: std::path::PathBuf,
}

fn main() {
    let text = std::fs::read_to_string(Args::parse().file).expect("a file");
    let table: toml::Table = text.parse().expect("TOML");
    println!("{:?}", table.get("name"));
}
