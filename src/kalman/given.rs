//! What tests of the methods share: problems from reference files, linear problems with known answers.

use super::evidence::{Evidence, Keep, Rows, gather};
use crate::files::human::Document;
use crate::numerics::columns;
use crate::numerics::fixture::Part;
use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{Mat, Purpose, Streams, standard_normals};
use crate::problem::Prior;
use crate::problem::observation::{Block, Covariance, Noise, Observation};

/// The covariance of a reference case.
pub(super) fn covariance(inputs: &Part) -> Covariance {
    if inputs.has("gamma") {
        Covariance::Dense(inputs.matrix("gamma"))
    } else {
        Covariance::Diagonal(inputs.vector("gamma_diag"))
    }
}

/// One block that is observed in whole.
pub(super) fn observation(y: Vec<f64>, covariance: Covariance) -> Observation {
    Observation::new(vec![(Block { name: "all".into(), y }, covariance)]).unwrap()
}

/// N(0, I) over d parameters.
pub(super) fn standard_prior(d: usize) -> Prior {
    let table = |i| {
        format!(
            "[u{i}]\nprior = \"Parameterized(Normal(0, 1))\"\nconstraint = \"no_constraint()\"\ntype = \"float\"\n"
        )
    };
    let text: String = (0..d).map(table).collect();
    Prior::read(&Document::parse("priors.toml".as_ref(), &text).unwrap(), None).unwrap()
}

/// Noise over all rows of its blocks.
pub(super) fn noise(blocks: &[(Covariance, usize)]) -> Noise {
    let mut noise = Noise::default();
    for (covariance, n) in blocks {
        noise.push(covariance, &(0..*n).collect::<Vec<_>>()).unwrap();
    }
    noise
}

/// Evidence of all rows and members.
pub(super) fn evidence(g: &Mat, y: &[f64], noise: &Noise, keep: Keep) -> Evidence {
    let rows: Vec<usize> = (0..g.nrows()).collect();
    let members: Vec<usize> = (0..g.ncols()).collect();
    gather(&Rows { g, rows: &rows, members: &members, y, noise }, keep).0
}

/// Standard normals that depend on `seed` only.
pub(super) fn rough(seed: u64, rows: usize, cols: usize) -> Mat {
    let mut stream = Streams::new(seed).at(Purpose::Model, 0, 0);
    Mat::from_columns(rows, cols, standard_normals(&mut stream, rows * cols))
}

/// A linear problem `g = H u` with prior N(m, C₀) and noise N(0, Γ).
pub(super) struct Linear {
    pub(super) h: Mat,
    pub(super) y: Vec<f64>,
    pub(super) gamma: Mat,
}

impl Linear {
    /// A problem of d parameters and p outputs, rough in all entries; the same for the same seed.
    pub(super) fn new(seed: u64, d: usize, p: usize) -> Self {
        let h = rough(seed, p, d);
        let root = rough(seed + 1, p, p);
        let mut gamma = linalg::matmul_nt(&root, &root);
        for i in 0..p {
            gamma[(i, i)] += 0.5;
        }
        Self { h, y: rough(seed + 2, p, 1).data().to_vec(), gamma }
    }

    /// Γ as an update takes it.
    pub(super) fn noise(&self) -> Noise {
        noise(&[(Covariance::Dense(self.gamma.clone()), self.y.len())])
    }

    /// Mean and covariance after the data, for prior moments `m`, `c`: Kalman's formulas in their dense form.
    pub(super) fn posterior(&self, m: &[f64], c: &Mat) -> (Vec<f64>, Mat) {
        let ch = linalg::matmul_nt(c, &self.h); // d × p
        let mut s = linalg::matmul(&self.h, &ch); // p × p
        columns::add_scaled(s.data_mut(), 1.0, self.gamma.data());
        let mut gain = ch.transpose(); // p × d
        Cholesky::new(&s).unwrap().solve(&mut gain);
        let predicted = linalg::matvec(&self.h, m);
        let off: Vec<f64> = self.y.iter().zip(&predicted).map(|(y, g)| y - g).collect();
        let shift = linalg::matvec_t(&gain, &off);
        let mean = m.iter().zip(&shift).map(|(m, s)| m + s).collect();
        let mut cov = c.clone();
        columns::add_scaled(cov.data_mut(), -1.0, linalg::matmul(&ch, &gain).data());
        (mean, cov)
    }
}

/// Largest difference of two arrays, relative to the largest entry of the second.
pub(super) fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let most = b.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    a.iter()
        .zip(b)
        .fold(0.0_f64, |worst, (a, b)| if a == b { worst } else { f64::max(worst, (a - b).abs() / most) })
}
