//! Tells the crate by what it was compiled: `ekp-probe` shows it.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name: &str| env::var(name).unwrap_or_default();
    let compiler = Command::new(of("RUSTC")).arg("--version").output();
    let compiler =
        compiler.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    println!("cargo:rustc-env=EKP_COMPILER={compiler}");
    println!("cargo:rustc-env=EKP_TARGET={}", of("TARGET"));
    println!("cargo:rustc-env=EKP_OPT_LEVEL={}", of("OPT_LEVEL"));
    println!("cargo:rustc-env=EKP_TARGET_FEATURES={}", of("CARGO_CFG_TARGET_FEATURE"));
}
