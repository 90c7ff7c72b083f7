//! The name of this machine.
#![allow(unsafe_code)]

use std::sync::OnceLock;

/// Slurm's name of this node where there is one (virtual nodes share a kernel), else the kernel's.
pub fn host() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| match std::env::var("SLURMD_NODENAME") {
        Ok(name) if is_plain(&name) => name,
        _ => kernel_name().filter(|name| is_plain(name)).unwrap_or_else(|| "localhost".into()),
    })
}

/// Fit to stand in a file name.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\0', '\n', ' ']) && !name.starts_with('.')
}

fn kernel_name() -> Option<String> {
    let mut bytes = [0u8; 256];
    // SAFETY: the buffer is ours and its length is passed, one less so that a zero always ends it.
    let failed = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len() - 1) } != 0;
    let end = bytes.iter().position(|&b| b == 0)?;
    (!failed).then(|| String::from_utf8_lossy(&bytes[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_name_fits_in_a_file_name() {
        assert!(super::is_plain(super::host()));
        assert_eq!(super::host(), super::host());
    }
}
