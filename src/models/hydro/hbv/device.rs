//! HBV on a device: a set in each thread, the whole forcing for all of them, sums made where they arise.
//!
//! Belongs here: what a device gets and gives back. What it computes stands in `kernel.cu` (and for Vulkan in
//! `kernel.wgsl`); parameters come out of the same [`Group`] as those of the lanes, so their bits are the same, too.

use std::ops::Range;

use crate::machine::gpu::{Device, Job, Kind};
use crate::models::hydro::basin::Basin;
use crate::models::hydro::hbv::{Group, Hbv, MAXBAS, MOST_TAPS};
use crate::models::hydro::{Sums, Target};
use crate::models::score::Moments;
use crate::numerics::lanes::{LANES, Row};

/// Taps of the usual routing, all unrolled by the lanes.
const FEW_TAPS: usize = 8;
/// Numbers that come back from a device at a time at most: 256 MiB.
const MOST_NUMBERS: usize = 32 << 20;

/// Which of the kernels.
#[derive(Debug, Clone, Copy)]
struct Form {
    bands: usize,
    taps: usize,
    soft: bool,
    keep: bool,
    log: bool,
}

impl Form {
    /// The text with what it is to be compiled for.
    fn text(self, kind: Kind) -> String {
        let Self { bands, taps, soft, keep, log } = self;
        let [soft, keep, log] = [soft, keep, log].map(u8::from);
        match kind {
            Kind::Cuda => format!(
                "#define BANDS {bands}\n#define TAPS {taps}\n#define SOFT {soft}\n#define KEEP {keep}\n#define LOG {log}\n{}",
                include_str!("kernel.cu")
            ),
            Kind::Wgpu => format!(
                "const BANDS = {bands};\nconst TAPS = {taps};\nconst SOFT = {};\nconst KEEP = {};\nconst LOG = {};\n{}",
                self.soft,
                self.keep,
                self.log,
                include_str!("kernel.wgsl")
            ),
        }
    }
}

/// A batch on its way to a device.
pub(super) struct Batch<'a> {
    pub(super) model: &'a Hbv,
    pub(super) basin: &'a Basin,
    pub(super) steps: Range<usize>,
}

impl Batch<'_> {
    fn form(&self, sets: &[Vec<f64>], keep: bool, log: bool) -> Form {
        let longest = |set: &Vec<f64>| set[MAXBAS] * 24.0 / f64::from(self.model.step_h);
        let few = sets.iter().map(longest).fold(1.0, f64::max) <= FEW_TAPS as f64;
        Form {
            bands: self.basin.bands.len(),
            taps: if few { FEW_TAPS } else { MOST_TAPS },
            soft: self.model.smooth,
            keep,
            log,
        }
    }

    fn run(
        &self,
        device: (&dyn Device, Kind),
        sets: &[Vec<f64>],
        form: Form,
        target: &[f64],
    ) -> Result<Vec<f64>, String> {
        let (days, shares) = self.model.forcing(self.basin, &self.steps);
        let days: Vec<f64> = days.iter().flat_map(|day| [day.t, day.p, day.pet]).collect();
        let (rows, weights, taps) = match form.taps {
            FEW_TAPS => self.columns::<FEW_TAPS>(sets),
            _ => self.columns::<MOST_TAPS>(sets),
        };
        let each = if form.keep {
            self.steps.len()
        } else if form.log {
            6
        } else {
            3
        };
        let count = |n: usize| u32::try_from(n).map_err(|_| "a batch is too large for a device".to_owned());
        device.0.run(&Job {
            text: &form.text(device.1),
            entry: "hbv",
            counts: [count(sets.len())?, count(self.steps.len())?, count(taps)?],
            inputs: &[&days, &shares, &rows, &weights, target],
            outputs: each * sets.len(),
        })
    }

    /// Parameters and weights, a row of all sets for each; and how many weights count.
    fn columns<const TAPS: usize>(&self, sets: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>, usize) {
        let groups: Vec<Group<TAPS>> = sets
            .chunks(LANES)
            .map(|some| {
                let some: Vec<&[f64]> = some.iter().map(Vec::as_slice).collect();
                Group::new(&some, self.model.step_h, 0, self.model.routing)
            })
            .collect();
        let taps = groups.iter().map(Group::taps).max().unwrap_or(1);
        let flat = |of: &dyn Fn(&Group<TAPS>) -> &[Row], rows: usize| {
            let row = |k: usize| groups.iter().flat_map(move |group| of(group)[k].0).take(sets.len());
            (0..rows).flat_map(row).collect::<Vec<f64>>()
        };
        let parameters = groups.first().map_or(0, |group| group.parameters().len());
        (flat(&|group| group.parameters(), parameters), flat(&|group| group.weights(), taps), taps)
    }

    /// Flow of each set.
    pub(super) fn flows(
        &self,
        device: (&dyn Device, Kind),
        sets: &[Vec<f64>],
    ) -> Result<Vec<Vec<f64>>, String> {
        let mut flows = Vec::with_capacity(sets.len());
        let at_once = (MOST_NUMBERS / self.steps.len().max(1)).max(1);
        for some in sets.chunks(at_once) {
            let rows = self.run(device, some, self.form(some, true, false), &[0.0])?;
            flows.extend((0..some.len()).map(|k| rows.iter().skip(k).step_by(some.len()).copied().collect()));
        }
        Ok(flows)
    }

    /// Sums of each set against a target.
    pub(super) fn sums(
        &self,
        device: (&dyn Device, Kind),
        sets: &[Vec<f64>],
        target: &Target,
    ) -> Result<Vec<Sums>, String> {
        let mut numbers = vec![target.mean, 0.0, 0.0];
        numbers.extend(&target.observed);
        if let Some(log) = &target.log {
            (numbers[1], numbers[2]) = (log.eps, log.mean);
            numbers.extend(&log.observed);
        }
        let observed = target.of_observed();
        let mut all = Vec::with_capacity(sets.len());
        for some in sets.chunks(MOST_NUMBERS / MOST_TAPS) {
            let rows = self.run(device, some, self.form(some, false, target.log.is_some()), &numbers)?;
            let row = |k: usize, set: usize| rows[k * some.len() + set];
            let of = |first: usize, set: usize, observed: &Moments| Moments {
                s: row(first, set),
                ss: row(first + 1, set),
                os: row(first + 2, set),
                ..*observed
            };
            all.extend((0..some.len()).map(|set| Sums {
                plain: of(0, set, &observed.plain),
                log: if target.log.is_some() { of(3, set, &observed.log) } else { observed.log },
            }));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};
    use std::sync::Mutex;

    use crate::models::hydro::basin::Band;
    use crate::models::hydro::hbv::{PARAMETERS, Routing};
    use crate::models::hydro::testing::synthetic;

    /// The C compiler in place of a card: reads counts, lengths and arrays, runs a thread after the other, and
    /// writes the output.
    struct Compiled(Mutex<HashMap<String, PathBuf>>);

    const MAIN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
static double *array(size_t n) { return malloc((n ? n : 1) * sizeof(double)); }
int main(void) {
    unsigned counts[3];
    unsigned long long lengths[6];
    double *of[6];
    if (fread(counts, 4, 3, stdin) != 3 || fread(lengths, 8, 6, stdin) != 6) return 1;
    for (int k = 0; k < 6; k++) {
        of[k] = array(lengths[k]);
        if (k < 5 && fread(of[k], 8, lengths[k], stdin) != lengths[k]) return 2;
    }
    /* More threads than sets, as on a card */
    for (the_thread = 0; the_thread < (counts[0] + 63) / 64 * 64; the_thread++)
        hbv(counts[0], counts[1], counts[2], of[0], of[1], of[2], of[3], of[4], of[5]);
    return fwrite(of[5], 8, lengths[5], stdout) == lengths[5] ? 0 : 3;
}
"#;

    impl Compiled {
        fn program(&self, text: &str) -> PathBuf {
            let mut known = self.0.lock().unwrap();
            let number = known.len();
            let folder = std::env::temp_dir().join(format!("ekp-kernel-{}", std::process::id()));
            known
                .entry(text.to_owned())
                .or_insert_with(|| {
                    std::fs::create_dir_all(&folder).unwrap();
                    let program = folder.join(format!("hbv{number}"));
                    let source = program.with_extension("c");
                    std::fs::write(&source, format!("{text}{MAIN}")).unwrap();
                    let ended = Command::new("cc")
                        .args(["-std=c11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"])
                        .args(["-Wno-unused-function", "-o"])
                        .args([&program, &source])
                        .arg("-lm")
                        .output()
                        .unwrap();
                    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
                    program
                })
                .clone()
        }
    }

    impl Device for Compiled {
        fn name(&self) -> String {
            "the C compiler".into()
        }

        fn run(&self, job: &Job<'_>) -> Result<Vec<f64>, String> {
            let mut bytes: Vec<u8> = job.counts.iter().flat_map(|n| n.to_ne_bytes()).collect();
            let lengths = job.inputs.iter().map(|input| input.len()).chain([job.outputs]);
            bytes.extend(lengths.flat_map(|n| (n as u64).to_ne_bytes()));
            bytes.extend(job.inputs.iter().flat_map(|input| input.iter().flat_map(|x| x.to_ne_bytes())));
            let mut child = Command::new(self.program(job.text))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(&bytes).unwrap();
            let ended = child.wait_with_output().unwrap();
            assert!(ended.status.success(), "{:?}", ended.status);
            Ok(ended.stdout.chunks_exact(8).map(|b| f64::from_ne_bytes(b.try_into().unwrap())).collect())
        }
    }

    /// Sets all over the usual ranges; the last ones route longer than a week.
    fn sets(n: usize, longest: f64) -> Vec<Vec<f64>> {
        let share = |i: usize, k: usize| ((i * 61 + k * 103 + i * k * 17) % 127) as f64 / 126.0;
        let value = |i: usize, k: usize| {
            let upper = if k == MAXBAS { longest } else { PARAMETERS[k].upper };
            PARAMETERS[k].lower + share(i, k) * (upper - PARAMETERS[k].lower)
        };
        (0..n).map(|i| (0..PARAMETERS.len()).map(|k| value(i, k)).collect()).collect()
    }

    /// Every form of a kernel against the lanes: the largest difference, relative to the number or to the largest flow's
    /// thousandth; 0 where no bit differs.
    fn difference(device: (&dyn Device, Kind), steps: usize, sets_of: &[f64]) -> f64 {
        let mut worst = 0.0f64;
        let lumped = synthetic(steps);
        let mut hills = lumped.clone();
        hills.bands =
            [(-0.6, 0.3), (0.0, 0.5), (1.1, 0.2)].map(|(dz_km, share)| Band { dz_km, share }).to_vec();
        hills.gradient = 0.1;
        for (basin, routing, smooth) in [
            (&lumped, Routing::Integral, false),
            (&hills, Routing::Nodal, false),
            (&lumped, Routing::Integral, true),
        ] {
            let model = Hbv::daily(routing, smooth);
            for &longest in sets_of {
                let sets = sets(75, longest);
                let steps = 40..steps;
                let batch = Batch { model: &model, basin, steps: steps.clone() };
                let ours = batch.flows(device, &sets).unwrap();
                let lanes = crate::models::hydro::Runoff::flows(&model, basin, steps.clone(), &sets);
                let largest = lanes.iter().flatten().fold(0.0f64, |most, q| most.max(*q));
                let of = |a: f64, b: f64, least: f64| match a.to_bits() == b.to_bits() {
                    true => 0.0,
                    false => (a - b).abs() / b.abs().max(least),
                };
                for (a, b) in ours.iter().zip(&lanes) {
                    assert_eq!(a.len(), b.len());
                    worst = a.iter().zip(b).fold(worst, |most, (a, b)| most.max(of(*a, *b, 1e-3 * largest)));
                }
                let mut observed = lanes[3].clone();
                observed[..100].fill(f64::NAN);
                observed[333] = f64::NAN;
                for log in [false, true] {
                    let target = Target::new(observed.clone(), log);
                    let ours = batch.sums(device, &sets, &target).unwrap();
                    let lanes =
                        crate::models::hydro::Runoff::sums(&model, basin, steps.clone(), &sets, &target);
                    for (a, b) in ours.iter().zip(&lanes) {
                        for (a, b) in [(a.plain, b.plain), (a.log, b.log)] {
                            assert_eq!((a.pairs, a.o, a.oo), (b.pairs, b.o, b.oo));
                            let sums = [(a.s, b.s), (a.ss, b.ss), (a.os, b.os)];
                            worst = sums.iter().fold(worst, |most, (a, b)| most.max(of(*a, *b, 1.0)));
                        }
                    }
                }
            }
        }
        worst
    }

    #[test]
    fn the_kernel_of_cuda_compiled_as_c_has_the_bits_of_the_lanes() {
        if Command::new("cc").arg("--version").output().is_err() {
            eprintln!("skipped: there is no C compiler `cc` on this machine");
            return;
        }
        let device = Compiled(Mutex::default());
        assert_eq!(difference((&device, Kind::Cuda), 700, &[7.0, 60.0]), 0.0);
        std::fs::remove_dir_all(std::env::temp_dir().join(format!("ekp-kernel-{}", std::process::id())))
            .unwrap();
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn the_kernel_compiles_for_a_card_without_contraction() {
        for (soft, keep) in [(false, false), (false, true), (true, false)] {
            let form = Form { bands: 3, taps: FEW_TAPS, soft, keep, log: !keep };
            let Some(text) = crate::machine::gpu::cuda::assembly(&form.text(Kind::Cuda)) else {
                eprintln!("skipped: there is no libnvrtc on this machine");
                return;
            };
            // Products and sums that are rounded by themselves; and nothing called, so no other exponential
            assert!(text.contains(".entry hbv") && text.contains("mul.rn.f64"), "{text}");
            assert!(!text.contains("mul.f64") && !text.contains("call"), "{text}");
        }
    }

    #[test]
    fn a_device_of_vulkan_has_the_numbers_of_the_lanes() {
        match crate::machine::gpu::device(Kind::Wgpu) {
            Ok(device) => {
                eprintln!("on {}", device.name());
                let worst = difference((device, Kind::Wgpu), 700, &[7.0, 60.0]);
                // Not all drivers round a fused multiply-add once: that of Mesa in software has 7e-13
                eprintln!("difference {worst:e}");
                assert!(worst < 1e-9, "{worst:e}");
            }
            Err(words) => {
                let wanted = cfg!(feature = "wgpu") && std::env::var("CI").is_ok_and(|ci| ci == "true");
                assert!(!wanted, "{words}");
                eprintln!("skipped: {words}");
            }
        }
    }
}
