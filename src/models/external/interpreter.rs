//! Will the kernel start this file? Found out before a thousand members fail.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What is wrong with a file that is executable, if anything: a script without `#!`, or with an interpreter
/// that is not there. With what to do.
pub(crate) fn defect(path: &Path) -> Option<(String, &'static str)> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(256).read_to_end(&mut head).ok()?;
    let name = path.display();
    if head.starts_with(b"\x7fELF") {
        return None;
    }
    let Some(line) = head.strip_prefix(b"#!") else {
        let text = format!("`{name}` is neither a program nor a script with a `#!` line");
        return Some((
            text,
            "a shell script begins with `#!/bin/sh`; or name the interpreter: `[\"sh\", \"model.sh\", …]`",
        ));
    };
    let line = line.split(|&b| b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    if line.ends_with('\r') {
        let text = format!("the lines of `{name}` end as on Windows, so its `#!` line names no program");
        return Some((text, "`sed -i 's/\\r$//' FILE` takes the carriage returns away"));
    }
    let interpreter = line.split_whitespace().next().unwrap_or_default();
    if !Path::new(interpreter).is_file() {
        let text = format!("`{name}` wants the interpreter `{interpreter}`, which is not there");
        return Some((text, "load its module, or mend the first line: `#!/usr/bin/env python3`"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    #[test]
    fn scripts_that_cannot_start_are_told_apart() {
        let dir = Scratch::new("interpreter").unwrap();
        let path = dir.path().join("x");
        let after = |text: &str| {
            std::fs::write(&path, text).unwrap();
            defect(&path)
        };
        assert_eq!(after("#!/bin/sh\necho\n"), None);
        assert_eq!(defect(Path::new("/bin/sh")), None);
        assert!(after("#!/bin/sh\r\necho\r\n").unwrap().0.contains("Windows"));
        assert!(after("#!/no/python\n").unwrap().0.contains("/no/python"));
        assert!(after("echo\n").unwrap().0.contains("neither"));
    }
}
