//! Graphics processors: a kernel text, arrays in, an array out.
//!
//! Belongs here: finding a device, compiling a text for it (once per process) and running it. Not here: what a kernel
//! computes. A device that is not there, a library that is missing, a feature that was not built: said in words, never a
//! panic, and never something else computed in its place.

#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(feature = "wgpu")]
mod vulkan;

use std::sync::OnceLock;

#[cfg(all(any(feature = "cuda", feature = "wgpu"), target_feature = "crt-static", target_os = "linux"))]
compile_error!(
    "`cuda` and `wgpu` load their libraries when they run, which a static program cannot: build without `crt-static`"
);

/// One kernel with what it works on.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The whole text, in the language of the device
    pub text: &'a str,
    /// Name of its entry
    pub entry: &'a str,
    /// Its first arguments; the first is the number of threads
    pub counts: [u32; 3],
    /// Arrays that it reads, in the order of its arguments
    pub inputs: &'a [&'a [f64]],
    /// Numbers that it writes, its last argument
    pub outputs: usize,
}

/// Something that runs kernels.
pub trait Device: Send + Sync {
    /// What it is, for a person.
    fn name(&self) -> String;

    /// Run a kernel to its end.
    ///
    /// # Errors
    /// The device or its compiler, in words.
    fn run(&self, job: &Job<'_>) -> Result<Vec<f64>, String>;
}

/// Kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first card of NVIDIA
    Cuda,
    /// The first device of Vulkan that has doubles
    Wgpu,
}

type Found = Result<Box<dyn Device>, String>;

/// The device of this process, opened when it is first asked for.
///
/// # Errors
/// What is missing, in words.
pub fn device(kind: Kind) -> Result<&'static dyn Device, String> {
    static CUDA: OnceLock<Found> = OnceLock::new();
    static WGPU: OnceLock<Found> = OnceLock::new();
    let found = match kind {
        Kind::Cuda => CUDA.get_or_init(open_cuda),
        Kind::Wgpu => WGPU.get_or_init(open_wgpu),
    };
    found.as_ref().map(Box::as_ref).map_err(Clone::clone)
}

#[cfg(feature = "cuda")]
fn open_cuda() -> Found {
    cuda::open()
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Found {
    Err(not_built("cuda"))
}

#[cfg(feature = "wgpu")]
fn open_wgpu() -> Found {
    vulkan::open()
}

#[cfg(not(feature = "wgpu"))]
fn open_wgpu() -> Found {
    Err(not_built("wgpu"))
}

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
fn not_built(feature: &str) -> String {
    format!("these programs were built without the feature `{feature}`")
}
