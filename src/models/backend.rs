//! Back ends: what a built-in model computes on. The numbers are the same bit for bit, but for Vulkan devices, which round
//! some sums otherwise (7e-13 of HBV's flows were seen).
//!
//! Belongs here: their names, which models have which, and what shares a batch out among threads. Not here: kernels, which
//! stand with their model, and devices (`gpu`).

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::machine::gpu::{self, Device, Kind};
use crate::models::{CheckError, Forward, Input, ModelError, Output, Place, ThetaRef, Want};
use crate::numerics::Mat;
use crate::numerics::lanes::LANES;

/// What a batch of members is computed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// One member after the other, one number at a time
    Scalar,
    /// Members side by side in the vectors of one core
    #[default]
    Simd,
    /// The same by all threads that a member may use
    Threads,
    /// A card of NVIDIA
    Cuda,
    /// Any device that Vulkan knows
    Wgpu,
}

impl Backend {
    /// As written in `[model]`, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &["scalar", "simd", "threads", "cuda", "wgpu"];
    const ALL: [Self; 5] = [Self::Scalar, Self::Simd, Self::Threads, Self::Cuda, Self::Wgpu];

    /// As written in `[model]`.
    pub fn word(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Those of a built-in model; none where it has one form only.
    fn of_model(name: &str) -> &'static [&'static str] {
        match name {
            "hbv" => Self::NAMES,
            "gr4j" | "fuse" => &["scalar", "simd", "threads"],
            "tem1d" | "lorenz96" => &["simd", "threads"],
            _ => &[],
        }
    }

    /// `backend` of `[model]`, which has `builtin = name`.
    ///
    /// # Errors
    /// Another word, or one that this model does not have.
    pub fn read(section: &Section<'_>, name: &str) -> Result<Option<Self>, Marked> {
        let own = Self::of_model(name);
        if own.is_empty() && !section.keys().any(|key| key == "backend") {
            return Ok(None);
        }
        let Some(word) = section.choice("backend", Self::NAMES)? else { return Ok(None) };
        if !own.contains(&word) {
            let label = match own {
                [] => "leave it out".to_owned(),
                own => format!("found `{word}`, allowed: {}", crate::explain::one_of(own)),
            };
            return Err(section.wrong("backend", format!("`{name}` has no such back end"), label));
        }
        Ok(Self::ALL.into_iter().find(|backend| backend.word() == word))
    }

    /// Whether a whole batch should come at once, with all threads, in place of a part for each thread.
    pub fn takes_all(self) -> bool {
        matches!(self, Self::Threads | Self::Cuda | Self::Wgpu)
    }

    /// A device runs columns of one basin, not units of a domain.
    ///
    /// # Errors
    /// There is a domain.
    pub fn without_domain(self, options: &Section<'_>) -> Result<(), Marked> {
        if matches!(self, Self::Cuda | Self::Wgpu) && options.keys().any(|key| key == "domain") {
            let label = format!("`backend = \"{}\"` runs a basin, lumped or in bands", self.word());
            return Err(options.wrong("domain", "`domain` has no such back end", label));
        }
        Ok(())
    }

    /// The device of this back end, where it has one.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn device(self) -> Result<Option<(&'static dyn Device, Kind)>, String> {
        let kind = match self {
            Self::Scalar | Self::Simd | Self::Threads => return Ok(None),
            Self::Cuda => Kind::Cuda,
            Self::Wgpu => Kind::Wgpu,
        };
        let words = |what: String| format!("`backend = \"{}\"` cannot work here: {what}", self.word());
        gpu::device(kind).map(|device| Some((device, kind))).map_err(words)
    }

    /// A model by this back end, as far as it does not do that itself.
    pub fn wrap(self, forward: Arc<dyn Forward>) -> Arc<dyn Forward> {
        match self {
            Self::Scalar => Arc::new(Shared { forward, alone: true }),
            Self::Threads => Arc::new(Shared { forward, alone: false }),
            Self::Simd | Self::Cuda | Self::Wgpu => forward,
        }
    }
}

/// A model whose batches are cut into parts.
struct Shared {
    forward: Arc<dyn Forward>,
    /// Parts of one member, one after the other; else parts for threads
    alone: bool,
}

/// Members of a part: a multiple of the lanes where there are enough of them, and some parts for each thread, so that a
/// slow one does not hold up the others.
fn part(members: usize, threads: usize) -> usize {
    let share = members.div_ceil(threads.max(1)).max(1);
    match share {
        0..LANES => share,
        s if s < 16 * LANES => s.next_multiple_of(LANES),
        s => s.div_ceil(4).next_multiple_of(4 * LANES),
    }
}

impl Shared {
    fn part(&self, thetas: ThetaRef<'_>, first: usize, want: &Want, places: &mut [Place]) -> Results {
        let rows = thetas.values.nrows();
        let numbers = thetas.values.data()[first * rows..][..places.len() * rows].to_vec();
        let values = Mat::from_columns(rows, places.len(), numbers);
        self.forward.run(ThetaRef { names: thetas.names, values: &values }, want, places)
    }
}

type Results = Vec<Result<Output, ModelError>>;

impl Forward for Shared {
    fn run(&self, thetas: ThetaRef<'_>, want: &Want, places: &mut [Place]) -> Results {
        if self.alone {
            let one = |(j, place)| self.part(thetas, j, want, std::slice::from_mut(place));
            return places.iter_mut().enumerate().flat_map(one).collect();
        }
        let threads = places.iter().map(|place| place.threads).max().unwrap_or(1);
        let size = part(places.len(), threads);
        let parts = places.len().div_ceil(size);
        if parts < 2 {
            return self.forward.run(thetas, want, places);
        }
        // What is left over (a few members of a large domain on many cores) is theirs.
        let each = (threads / parts).max(1);
        let mut results: Vec<Results> = Vec::new();
        results.resize_with(parts, Vec::new);
        let work = Mutex::new(places.chunks_mut(size).zip(&mut results).enumerate());
        let worker = || {
            loop {
                let next = work.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((k, (places, results))) = next else { return };
                places.iter_mut().for_each(|place| place.threads = each);
                *results = self.part(thetas, k * size, want, places);
                places.iter_mut().for_each(|place| place.threads = threads);
            }
        };
        std::thread::scope(|scope| {
            // A thread that the system refuses leaves its parts to the others.
            (1..threads.min(parts))
                .for_each(|_| drop(std::thread::Builder::new().spawn_scoped(scope, worker)));
            worker();
        });
        results.into_iter().flatten().collect()
    }

    fn inputs(&self) -> Vec<Input> {
        self.forward.inputs()
    }

    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        self.forward.fits(names, want)
    }

    fn shape(&self, names: &[(String, usize)]) -> Result<Option<Vec<(String, usize)>>, CheckError> {
        self.forward.shape(names)
    }

    fn allows(&self, name: &str, value: f64) -> Result<(), String> {
        self.forward.allows(name, value)
    }

    fn describe(&self) -> Vec<String> {
        self.forward.describe()
    }

    fn soundings(&self) -> Option<crate::models::soundings::Soundings> {
        self.forward.soundings()
    }

    fn reference(&self, thetas: ThetaRef<'_>, want: &Want, places: &mut [Place]) -> Option<Results> {
        self.forward.reference(thetas, want, places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{sinusoid::Sinusoid, test_place};

    #[test]
    fn parts_give_what_the_whole_gives_in_its_order() {
        let names = [("amplitude".to_owned(), 1), ("vert_shift".to_owned(), 1)];
        let want = Want::series(vec![("y".into(), 2)]);
        for members in [0, 1, 3, 8, 9, 40, 700] {
            let values = Mat::from_fn(2, members, |i, j| 1.0 + (i * 7 + j * 3) as f64 * 0.01);
            let thetas = ThetaRef { names: &names, values: &values };
            let places = |threads: usize| -> Vec<Place> {
                (0..members).map(|j| Place { threads, ..test_place(j as u32 + 1) }).collect()
            };
            let outputs = |forward: &dyn Forward, threads| -> Vec<Output> {
                let mut places = places(threads);
                let outputs = forward.run(thetas, &want, &mut places);
                assert!(places.iter().all(|place| place.threads == threads));
                outputs.into_iter().map(Result::unwrap).collect()
            };
            let plain = outputs(&Sinusoid, 1);
            for backend in [Backend::Scalar, Backend::Threads] {
                for threads in [1, 3, 8] {
                    let model = backend.wrap(Arc::new(Sinusoid));
                    assert_eq!(outputs(model.as_ref(), threads), plain, "{backend:?} {threads} {members}");
                }
            }
        }
    }

    #[test]
    fn parts_fill_the_lanes() {
        assert_eq!((part(4, 4), part(9, 1), part(40, 2), part(1024, 2)), (1, 16, 24, 128));
    }
}
