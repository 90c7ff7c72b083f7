//! The small inverse problems that EnsembleKalmanProcesses.jl shows and tests: every method leaves them nearer to the
//! truth than it found them, and momentum is quicker where it should be.

use ekp::files::human::Document;
use ekp::kalman::{Kalman, Method, Momentum, OnTerminate, Process, Schedule, Sparse, Unscented};
use ekp::numerics::{Mat, Purpose, Streams, standard_normals};
use ekp::problem::observation::{Block, Covariance};
use ekp::problem::{Algorithm, Evaluated, Observation, Prior, Problem};

use crate::acceptance::methods;

/// A forward map of physical parameters.
type Map = fn(&[f64]) -> Vec<f64>;

/// A map, what is known before, what is true.
struct Inverse {
    map: Map,
    prior: &'static str,
    truth: &'static [f64],
    /// Variance of the noise, which is added to the data where `noisy`
    variance: f64,
    noisy: bool,
}

impl Inverse {
    fn problem(&self, draw: &Streams) -> Problem {
        let clean = (self.map)(self.truth);
        let noise = standard_normals(&mut draw.at(Purpose::Model, 0, 2), clean.len());
        let size = if self.noisy { self.variance.sqrt() } else { 0.0 };
        let y = clean.iter().zip(noise).map(|(g, e)| g + size * e).collect();
        let block = Block { name: "y".into(), y };
        let observation = Observation::new(vec![(block, Covariance::Scalar(self.variance))]).unwrap();
        let document = Document::parse("priors.toml".as_ref(), self.prior).unwrap();
        Problem { prior: Prior::read(&document, None).unwrap(), observation }
    }

    /// Of the mean: distance to the truth, and misfit |y − G|²/(p variance), before and after.
    fn errors(&self, method: &Method, seed: u64, iterations: u32) -> [(f64, f64); 2] {
        let draw = Streams::new(seed);
        let problem = self.problem(&draw);
        let (mut ensemble, mut state) = method.first(&problem, &draw);
        let error = |u: &Mat| {
            let x = problem.prior.constrain(&u.mean());
            let off = x.iter().zip(self.truth).map(|(x, t)| (x - t).powi(2)).sum::<f64>().sqrt();
            let (y, g) = (problem.observation.y(), (self.map)(&x));
            let misfit = y.iter().zip(&g).map(|(y, g)| (y - g).powi(2)).sum::<f64>();
            (off, misfit / (self.variance * y.len() as f64))
        };
        let before = error(&method.estimate(ensemble.clone(), &state).unwrap().u);
        for iteration in 0..iterations {
            let members = ensemble.u.ncols();
            let columns: Vec<Vec<f64>> =
                (0..members).map(|j| (self.map)(&problem.prior.constrain(ensemble.u.col(j)))).collect();
            let g = Mat::from_columns(columns[0].len(), members, columns.concat());
            let tried = Evaluated { iteration, ensemble: &ensemble, g };
            let step = method.next(&problem, state, &tried, &draw).unwrap();
            (ensemble, state) = (step.ensemble, step.state);
            if step.stop.is_some() {
                break;
            }
        }
        [before, error(&method.estimate(ensemble, &state).unwrap().u)]
    }
}

/// The first page of EKP.jl: five parameters, six outputs.
const FIRST_PAGE: Inverse = Inverse {
    map: |u| {
        vec![
            1.0 / u[0].abs(),
            u[1] + u[2] + u[3] + u[4],
            u[2] * u[3],
            u[0] * u[0] - u[1] - u[2],
            u[3],
            u[4].powi(3),
        ]
    },
    prior: "[first]\nprior = \"constrained_gaussian(first, 2, 1, 0, Inf)\"\n\
            [rest]\nprior = \"constrained_gaussian(rest, 0, 5, -Inf, Inf; repeats = 4)\"\n",
    truth: &[3.0, 1.0, 2.0, -3.0, -4.0],
    variance: 0.01,
    noisy: true,
};

/// The distance to a point is to become zero.
const LOSS: Inverse = Inverse {
    map: |u| vec![(u[0] - 1.0).hypot(u[1] + 1.0)],
    prior: "[a]\nprior = \"constrained_gaussian(a, 0, 1, -Inf, Inf)\"\n\
            [b]\nprior = \"constrained_gaussian(b, 0, 1, -Inf, Inf)\"\n",
    truth: &[1.0, -1.0],
    variance: 1e-3,
    noisy: false,
};

/// exp(A sin t + v): its range and its mean.
const WAVE: Inverse = Inverse {
    map: |u| {
        let f: Vec<f64> = (0..630).map(|k| (u[0] * (0.01 * f64::from(k)).sin() + u[1]).exp()).collect();
        let (low, high) = f.iter().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
        vec![high - low, f.iter().sum::<f64>() / 630.0]
    },
    prior: "[amplitude]\nprior = \"constrained_gaussian(amplitude, 2, 0.1, 0, 10)\"\n\
            [shift]\nprior = \"constrained_gaussian(shift, 0, 0.5, -10, 10)\"\n",
    truth: &[1.0, 0.8],
    variance: 0.01,
    noisy: true,
};

/// All methods of `acceptance`, with so many members.
fn with(members: usize, limit: f64) -> Vec<(String, Method)> {
    let resized = |(name, method)| match method {
        Method::Ensemble(kalman) => {
            let sparse = Sparse { limit, ..kalman.sparse.clone() };
            (name, Method::Ensemble(Kalman { members, sparse, ..kalman }))
        }
        other => (name, other),
    };
    methods().into_iter().map(resized).collect()
}

/// An unscented method with the misfit controller, as EKP.jl has it; the others as they are.
fn careful(method: Method) -> Method {
    let schedule = Schedule::DataMisfit { terminate_at: 1.0, on_terminate: OnTerminate::Stop };
    match method {
        Method::Unscented(unscented) => Method::Unscented(Unscented { schedule, ..unscented }),
        other => other,
    }
}

#[test]
fn every_method_improves_the_problem_of_the_first_page() {
    let mut faults = Vec::new();
    for (name, method) in with(50, 12.0) {
        // Seven points and full steps over a cube of spread 125 overshoot: step lengths are the controller's here.
        let method = careful(method);
        for seed in 0..2 {
            let [before, after] = FIRST_PAGE.errors(&method, 300 + seed, 10);
            // The map is far from linear: what every method lowers is the misfit of the mean
            if after.1.is_nan() || after.1 >= before.1 {
                faults.push(format!("{name}, seed {seed}: misfit {:.3e} to {:.3e}", before.1, after.1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_method_makes_a_loss_smaller() {
    let mut faults = Vec::new();
    for (name, method) in with(20, 4.0) {
        for seed in 0..2 {
            let [before, after] = LOSS.errors(&method, 310 + seed, 10);
            if after.0.is_nan() || after.0 >= before.0 {
                faults.push(format!("{name}, seed {seed}: {:.3} to {:.3}", before.0, after.0));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn ten_full_steps_of_inversion_find_where_a_loss_is_smallest() {
    for process in [Process::Etki, Process::Eki { perturbed: true }] {
        let kalman = Kalman { schedule: Schedule::Fixed { step: 1.0 }, ..Kalman::new(process, 20) };
        for seed in 0..3 {
            let [_, after] = LOSS.errors(&Method::Ensemble(kalman.clone()), 320 + seed, 10);
            // 1.4 at the start; the noise of the data is 0.03
            assert!(after.0 < 0.3, "{process:?}, seed {seed}: {}", after.0);
        }
    }
}

#[test]
fn momentum_is_quicker_on_the_exponential_wave() {
    // Short steps, in which there is something to be gained
    for process in [Process::Etki, Process::Eki { perturbed: false }] {
        let plain = Kalman { schedule: Schedule::Fixed { step: 0.005 }, ..Kalman::new(process, 20) };
        for momentum in
            [Momentum::Nesterov, Momentum::FirstOrder { r: 3.0 }, Momentum::Constant { factor: 0.9 }]
        {
            let mut better = 0;
            for seed in 0..5 {
                let misfit = |kalman: Kalman| WAVE.errors(&Method::Ensemble(kalman), 330 + seed, 12);
                let [before, slow] = misfit(plain.clone());
                let [_, quick] = misfit(Kalman { momentum, ..plain.clone() });
                assert!(slow.1 < before.1 && quick.1 < before.1, "{process:?} {momentum:?}, seed {seed}");
                better += usize::from(quick.1 < slow.1);
            }
            assert!(better >= 4, "{process:?} {momentum:?}: quicker with {better} of 5 seeds");
        }
    }
}
