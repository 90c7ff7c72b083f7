//! Any device of Vulkan, by wgpu: cards of all makers, and the software driver of Mesa.
//!
//! The kernel is WGSL; its arrays are bound in the order of the job, the output after them, the counts last.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu::{BufferUsages, ComputePipeline, Features};

use super::{Device, Found, Job};

/// Threads of a group, as the kernels say.
const GROUP: u32 = 64;
/// Doubles, and integers as wide to take them apart.
const NEEDED: Features = Features::SHADER_F64.union(Features::SHADER_INT64);

/// A device with the kernels that were compiled for it.
struct Vulkan {
    name: String,
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipelines: Mutex<HashMap<String, ComputePipeline>>,
}

/// What wgpu promises is ready at once, or when the device was polled.
fn wait<F: Future>(future: F) -> F::Output {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

/// The first device with doubles, a card before software.
pub(super) fn open() -> Found {
    let backends = wgpu::Backends::VULKAN;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = wait(instance.enumerate_adapters(backends));
    if adapters.is_empty() {
        return Err("no device of Vulkan is here: it needs libvulkan and the driver of a card, or that of software (Debian: libvulkan1 mesa-vulkan-drivers)".into());
    }
    let found: Vec<String> = adapters.iter().map(|adapter| adapter.get_info().name).collect();
    adapters.retain(|adapter| adapter.features().contains(NEEDED));
    adapters.sort_by_key(|adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu);
    let Some(adapter) = adapters.into_iter().next() else {
        return Err(format!("no device of Vulkan has doubles; found: {}", found.join(", ")));
    };
    let (device, queue) = wait(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: NEEDED,
        required_limits: adapter.limits(),
        ..wgpu::DeviceDescriptor::default()
    }))
    .map_err(|e| format!("the device of Vulkan does not open: {e}"))?;
    let name = adapter.get_info().name;
    Ok(Box::new(Vulkan { name, device, queue, pipelines: Mutex::default() }))
}

impl Vulkan {
    /// Do something, and see what the device complains of.
    fn checked<T>(&self, what: &str, of: impl FnOnce() -> T) -> Result<T, String> {
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let value = of();
        match (wait(memory.pop()), wait(validation.pop())) {
            (None, None) => Ok(value),
            (Some(e), _) | (_, Some(e)) => Err(format!("{what}: {e}")),
        }
    }

    fn pipeline(&self, job: &Job<'_>) -> Result<ComputePipeline, String> {
        let mut known = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = known.get(job.text) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.checked("the kernel did not compile", || {
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(job.entry),
                source: wgpu::ShaderSource::Wgsl(job.text.into()),
            });
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(job.entry),
                layout: None,
                module: &module,
                entry_point: Some(job.entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        })?;
        known.insert(job.text.to_owned(), pipeline.clone());
        Ok(pipeline)
    }

    fn array(&self, bytes: &[u8]) -> wgpu::Buffer {
        let usage = BufferUsages::STORAGE;
        self.device.create_buffer_init(&BufferInitDescriptor { label: None, contents: bytes, usage })
    }

    fn launch(&self, job: &Job<'_>) -> Result<wgpu::Buffer, String> {
        let pipeline = self.pipeline(job)?;
        self.checked("the device failed", || {
            let size = job.outputs as u64 * 8;
            let bytes = |numbers: &&[f64]| numbers.iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<u8>>();
            let mut buffers: Vec<_> = job.inputs.iter().map(|input| self.array(&bytes(input))).collect();
            let make = |usage| {
                let label = None;
                self.device.create_buffer(&wgpu::BufferDescriptor {
                    label,
                    size,
                    usage,
                    mapped_at_creation: false,
                })
            };
            let output = make(BufferUsages::STORAGE | BufferUsages::COPY_SRC);
            let read = make(BufferUsages::MAP_READ | BufferUsages::COPY_DST);
            buffers.push(output.clone());
            buffers.push(self.array(&job.counts.iter().flat_map(|n| n.to_ne_bytes()).collect::<Vec<u8>>()));
            let entry = |(k, buffer): (usize, &wgpu::Buffer)| {
                let buffer = buffer.clone();
                (u32::try_from(k).expect("a few"), buffer)
            };
            let numbered: Vec<_> = buffers.iter().enumerate().map(entry).collect();
            let entries: Vec<_> = numbered
                .iter()
                .map(|(k, buffer)| wgpu::BindGroupEntry { binding: *k, resource: buffer.as_entire_binding() })
                .collect();
            let layout = &pipeline.get_bind_group_layout(0);
            let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout,
                entries: &entries,
            });
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                pass.set_pipeline(&pipeline);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(job.counts[0].div_ceil(GROUP), 1, 1);
            }
            encoder.copy_buffer_to_buffer(&output, 0, &read, 0, size);
            self.queue.submit([encoder.finish()]);
            read
        })
    }
}

impl Device for Vulkan {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&self, job: &Job<'_>) -> Result<Vec<f64>, String> {
        let read = self.launch(job)?;
        let (tell, told) = std::sync::mpsc::channel();
        read.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            let _ = tell.send(result);
        });
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|e| format!("the device failed: {e}"))?;
        match told.recv() {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(format!("the device failed: {e}")),
            Err(e) => return Err(format!("the device failed: {e}")),
        }
        let bytes = read.slice(..).get_mapped_range().map_err(|e| format!("the device failed: {e}"))?;
        let number = |b: &[u8]| f64::from_ne_bytes(b.try_into().expect("eight bytes"));
        Ok(bytes.chunks_exact(8).map(number).collect())
    }
}
