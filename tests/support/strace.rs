//! System calls of a tool: recorded, counted, and made to fail, by strace (a Debian package).

use std::collections::BTreeMap;
use std::path::Path;

use super::{Ended, Tool, program, tools};

/// Is there a strace that may trace here? Without one a test is skipped, except in CI.
pub fn there() -> bool {
    let works = std::process::Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .output()
        .is_ok_and(|o| o.status.success());
    assert!(works || std::env::var_os("CI").is_none(), "this test needs `strace` (apt-get install strace)");
    if !works {
        eprintln!("skipped: no working `strace` (apt-get install strace)");
    }
    works
}

/// One system call of a process.
#[derive(Debug, Clone)]
pub struct Call {
    pub name: String,
    /// As strace prints them, result included
    pub text: String,
    /// The how-manieth call of this name in its thread, from 1: what `inject=…:when=` counts
    pub number: usize,
    /// Process, or thread
    pub pid: String,
}

impl Call {
    pub fn succeeded(&self) -> bool {
        self.text.rsplit_once(" = ").is_some_and(|(_, result)| !result.starts_with('-'))
    }

    /// Does it make a file, a folder or a link?
    pub fn makes(&self) -> bool {
        let new = match self.name.as_str() {
            "openat" | "open" => self.text.contains("O_CREAT"),
            "mkdir" | "mkdirat" | "link" | "linkat" | "symlink" | "symlinkat" => true,
            _ => false,
        };
        new && self.succeeded()
    }

    /// Does it change what is on the disk?
    pub fn changes(&self) -> bool {
        match self.name.as_str() {
            "openat" | "open" => self.text.contains("O_CREAT"),
            // Standard output and error are no files of the run; neither are pipes between processes.
            "write" => !self.text.starts_with("1,") && !self.text.starts_with("2,"),
            _ => true,
        }
    }
}

/// The tool `name` under strace with these options of its own, and all that it starts.
pub fn strace(options: &[&str], log: &Path, name: &str, folder: &Path) -> Tool {
    strace_alone(&[&["-f"], options].concat(), log, name, folder)
}

/// The tool alone, without what it starts.
pub fn strace_alone(options: &[&str], log: &Path, name: &str, folder: &Path) -> Tool {
    let mut strace = program("strace", folder);
    // What the test runner sets: the loader would look through its folders first.
    strace.0.env_remove("LD_LIBRARY_PATH");
    strace
        .args(["-qqq", "-s", "64", "-e", "signal=none", "-o"])
        .args([log])
        .args(options)
        .args([tools().join(name)])
}

/// Run a tool and tell which of these system calls (`mkdir,openat`; `all`) it made.
pub fn record(calls: &str, name: &str, folder: &Path, args: &[&str]) -> (Ended, Vec<Call>) {
    let log = folder.with_extension("strace");
    let ended = strace(&["-e", &format!("trace={calls}")], &log, name, folder).args(args).run();
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(log).unwrap();
    (ended, parse(&text))
}

fn parse(text: &str) -> Vec<Call> {
    let mut numbers: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut open: BTreeMap<String, Call> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some((_, end)) = rest.strip_prefix("<... ").and_then(|r| r.split_once(" resumed>")) {
            if let Some(mut call) = open.remove(pid) {
                call.text.push_str(end);
                calls.push(call);
            }
            continue;
        }
        let Some((name, args)) = rest.split_once('(') else { continue };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let number = numbers.entry((pid.to_owned(), name.to_owned())).or_default();
        *number += 1;
        let call =
            Call { name: name.to_owned(), text: args.to_owned(), number: *number, pid: pid.to_owned() };
        match args.strip_suffix(" <unfinished ...>") {
            Some(begun) => {
                open.insert(pid.to_owned(), Call { text: begun.to_owned(), ..call });
            }
            None => calls.push(call),
        }
    }
    calls
}
