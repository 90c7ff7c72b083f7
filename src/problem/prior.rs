//! x
use crate::numerics::{Mat, Stream, standard_normals};
/// x
#[derive(Debug, Clone)]
pub struct Prior {
    /// x
    pub m: Vec<f64>,
    /// x
    pub c: Mat,
}
/// x
pub struct Values;
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct PriorError;
impl Prior {
    /// x
    pub fn dim(&self) -> usize {
        self.m.len()
    }
    /// x
    pub fn sample(&self, stream: &mut Stream) -> Vec<f64> {
        let z = standard_normals(stream, self.dim());
        (0..self.dim()).map(|i| self.m[i] + self.c[(i, i)].sqrt() * z[i]).collect()
    }
    /// x
    ///
    /// # Errors
    /// x
    pub fn moments(&self) -> Result<(Vec<f64>, Mat), PriorError> {
        Ok((self.m.clone(), self.c.clone()))
    }
}
