//! CUDA, loaded when it is wanted: the driver (`libcuda`) and the compiler of kernels (`libnvrtc`).
//!
//! Contraction is off, so that a sum of a product is a fused multiply-add only where the text says so.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, CudaFunction, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::{CompileOptions, Ptx, compile_ptx_with_opts};

use super::{Device, Found, Job};

/// Threads of a block: few, since each has states and runoff of its own.
const BLOCK: u32 = 64;

/// A card with the kernels that were compiled for it.
struct Cuda {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    functions: Mutex<HashMap<String, CudaFunction>>,
}

/// The first card.
pub(super) fn open() -> Found {
    // SAFETY: libraries of these names are those of NVIDIA; loading them runs nothing but their own start-up.
    let (driver, compiler) =
        unsafe { (cudarc::driver::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    if !driver {
        return Err("the library libcuda is not here: it comes with the driver of the card".into());
    }
    if !compiler {
        return Err(
            "the library libnvrtc is not here: load the module `cuda`, or add its folder to LD_LIBRARY_PATH"
                .into(),
        );
    }
    guarded(|| {
        let context = CudaContext::new(0).map_err(|e| format!("no card of CUDA answers: {e}"))?;
        let stream = context.default_stream();
        Ok(Box::new(Cuda { context, stream, functions: Mutex::default() }) as Box<dyn Device>)
    })
}

/// A driver too old for what is asked of it makes the bindings panic: that is an error like any other.
fn guarded<T>(of: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(of)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map_or("a symbol is missing", String::as_str);
        Err(format!("the driver of CUDA cannot do this: {words}"))
    })
}

/// The text as the compiler of kernels leaves it. No architecture is named: the driver translates what comes by default.
fn compiled(text: &str) -> Result<Ptx, String> {
    let options = CompileOptions { fmad: Some(false), ..CompileOptions::default() };
    compile_ptx_with_opts(text, options).map_err(|e| format!("the kernel did not compile: {e}"))
}

/// The same as text; none where the compiler is not here. It needs no card.
#[cfg(test)]
pub(crate) fn assembly(text: &str) -> Option<String> {
    // SAFETY: as in `open`.
    unsafe { cudarc::nvrtc::sys::is_culib_present() }.then(|| compiled(text).unwrap().to_src())
}

impl Cuda {
    fn function(&self, job: &Job<'_>) -> Result<CudaFunction, String> {
        let mut known = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = known.get(job.text) {
            return Ok(function.clone());
        }
        let compiled = compiled(job.text)?;
        let module =
            self.context.load_module(compiled).map_err(|e| format!("the kernel did not load: {e}"))?;
        let function = module.load_function(job.entry).map_err(|e| e.to_string())?;
        known.insert(job.text.to_owned(), function.clone());
        Ok(function)
    }

    fn launch(&self, job: &Job<'_>) -> Result<Vec<f64>, String> {
        let function = self.function(job)?;
        let words = |e: cudarc::driver::DriverError| format!("the card failed: {e}");
        let counts = job.counts.map(|n| n as i32);
        let inputs = job
            .inputs
            .iter()
            .map(|numbers| self.stream.clone_htod(*numbers))
            .collect::<Result<Vec<_>, _>>()
            .map_err(words)?;
        let mut output = self.stream.alloc_zeros::<f64>(job.outputs).map_err(words)?;
        let mut launch = self.stream.launch_builder(&function);
        counts.iter().for_each(|n| {
            launch.arg(n);
        });
        inputs.iter().for_each(|numbers| {
            launch.arg(numbers);
        });
        launch.arg(&mut output);
        let shape = LaunchConfig {
            grid_dim: (job.counts[0].div_ceil(BLOCK), 1, 1),
            block_dim: (BLOCK, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the arguments are those of the kernel, in number, order and type, and no array is shorter than the
        // counts say; who writes a job answers for that.
        unsafe { launch.launch(shape) }.map_err(words)?;
        self.stream.clone_dtoh(&output).map_err(words)
    }
}

impl Device for Cuda {
    fn name(&self) -> String {
        self.context.name().unwrap_or_else(|_| "a card of CUDA".into())
    }

    fn run(&self, job: &Job<'_>) -> Result<Vec<f64>, String> {
        guarded(|| {
            // A context belongs to a thread until it is bound to another.
            self.context.bind_to_thread().map_err(|e| e.to_string())?;
            self.launch(job)
        })
    }
}
