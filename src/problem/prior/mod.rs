//! The prior: what is believed of the parameters before any data, read from the TOML of EKP.jl.
//!
//! A prior is a list of blocks, one for each calibrated table. A block has a distribution in
//! *unconstrained* space and for each component a constraint, a bijection onto the interval of physical
//! values. Rows of u and θ are the components of the blocks, in the order of the file or of `names`.
//! Belongs here: reading, drawing, mapping, moments, the member's parameter file.
//! Not here: how an algorithm uses them, where a file lies.

mod constrained_gaussian;
mod constraint;
mod constructor;
mod distribution;
mod error;
mod field;
mod field_call;
mod grammar;
mod kept;
mod matern;
mod member_file;
mod modes;
mod place;
mod read;
mod token;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rand::RngExt;

use crate::files::human::Table;
use crate::numerics::{Mat, Stream, standard_normals};
use distribution::Law;
use field::Field;

pub use constraint::Constraint;
pub use error::PriorError;
pub use member_file::MemberFile;

/// A coefficient that the user wants kept beside a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Regularisation {
    /// `L1 = …`: weight of |u|
    L1(f64),
    /// `L2 = …`: weight of u²
    L2(f64),
}

/// How the components of a block are distributed in unconstrained space.
#[derive(Debug, Clone)]
enum Spread {
    /// Each by itself
    Independent(Vec<Law>),
    /// Stored draws, k × N, one draw per column: a draw takes a whole column
    Samples(Mat),
    /// A random field: its coefficients are drawn, its values are what a model gets
    Field(Arc<Field>),
}

/// One calibrated table.
#[derive(Debug, Clone)]
struct Block {
    spread: Spread,
    /// What to call the distribution, where that says more than the law
    title: Option<String>,
    /// One for each component; of a field for each value
    constraints: Vec<Constraint>,
    regularisation: Option<Regularisation>,
}

/// The prior of all calibrated parameters, and the dictionary they stand in. d is the number of rows.
#[derive(Debug, Clone)]
pub struct Prior {
    names: Vec<(String, usize)>,
    blocks: Vec<Block>,
    dictionary: Arc<Table>,
    /// What a person should know about the file, one sentence each
    pub warnings: Vec<String>,
}

/// One row of the prior, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `drag`, or `mixing[2]` counted from 1
    pub name: String,
    /// In unconstrained space, as in Julia; a constrained Gaussian by its physical mean and deviation
    pub distribution: String,
    /// Lower bound of the physical value
    pub lower: f64,
    /// Upper bound of the physical value
    pub upper: f64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  ({:?}, {:?})", self.name, self.distribution, self.lower, self.upper)
    }
}

impl Prior {
    /// Number of rows d: components of all calibrated parameters, coefficients of fields.
    pub fn dim(&self) -> usize {
        self.blocks.iter().map(Block::rows).sum()
    }

    /// Numbers that a model gets: components of all calibrated parameters, values of fields.
    pub fn values(&self) -> usize {
        self.names.iter().map(|(_, length)| length).sum()
    }

    /// Calibrated names with the number of values that a model gets, in row order.
    pub fn names(&self) -> &[(String, usize)] {
        &self.names
    }

    /// A name for each row: `drag`, or `mixing[2]` counted from 1 where there are several.
    pub fn row_names(&self) -> Vec<String> {
        self.rows().map(|(name, ..)| name).collect()
    }

    /// The regularisation coefficient of each calibrated parameter, in the order of `names()`.
    pub fn regularisation(&self) -> impl Iterator<Item = Option<Regularisation>> {
        self.blocks.iter().map(|block| block.regularisation)
    }

    /// Lower and upper bound of each row's physical value; infinite where there is none, as for coefficients.
    pub fn bounds(&self) -> Vec<(f64, f64)> {
        self.rows().map(|(_, block, k)| block.constraint(k).bounds()).collect()
    }

    /// Each row, for people.
    pub fn describe(&self) -> Vec<Row> {
        self.rows()
            .map(|(name, block, k)| {
                let distribution = match &block.title {
                    Some(title) => title.clone(),
                    None => block.law(k),
                };
                let (lower, upper) = block.constraint(k).bounds();
                Row { name, distribution, lower, upper }
            })
            .collect()
    }

    /// One member: d unconstrained values, block after block. With a stream of its own for each member
    /// (`Purpose::Prior`), the first ensemble does not depend on who draws it.
    pub fn sample(&self, stream: &mut Stream) -> Vec<f64> {
        let mut u = Vec::with_capacity(self.dim());
        for block in &self.blocks {
            match &block.spread {
                Spread::Independent(laws) => u.extend(laws.iter().map(|law| law.sample(stream))),
                Spread::Samples(draws) => {
                    u.extend_from_slice(draws.col(stream.random_range(0..draws.ncols())))
                }
                Spread::Field(field) => u.extend(standard_normals(stream, field.terms())),
            }
        }
        u
    }

    /// What a model gets for d unconstrained values: physical ones, of fields the values on their grid.
    pub fn constrain(&self, u: &[f64]) -> Vec<f64> {
        debug_assert_eq!(u.len(), self.dim());
        let (mut x, mut row) = (Vec::with_capacity(self.values()), 0);
        for block in &self.blocks {
            let own = &u[row..row + block.rows()];
            row += own.len();
            let free = match &block.spread {
                Spread::Field(field) => Cow::Owned(field.values(own)),
                _ => Cow::Borrowed(own),
            };
            x.extend(
                block.constraints.iter().zip(free.iter()).map(|(constraint, u)| constraint.constrain(*u)),
            );
        }
        x
    }

    /// One number for each row, for people: physical values, of fields the coefficients.
    pub fn physical(&self, u: &[f64]) -> Vec<f64> {
        let constraints = self.blocks.iter().flat_map(|b| (0..b.rows()).map(move |k| b.constraint(k)));
        constraints.zip(u).map(|(constraint, u)| constraint.constrain(*u)).collect()
    }

    /// The d unconstrained values behind what a model gets; of fields the coefficients of the nearest field (see
    /// [`Field::coefficients`]).
    ///
    /// # Errors
    /// `Length`, or `Outside` for the first value on or beyond a bound of its open interval, or not finite.
    pub fn unconstrain(&self, x: &[f64]) -> Result<Vec<f64>, PriorError> {
        if x.len() != self.values() {
            return Err(PriorError::Length { found: x.len(), expected: self.values() });
        }
        let one = |(i, (constraint, value)): (usize, (Constraint, &f64))| {
            constraint.unconstrain(*value).ok_or_else(|| {
                let (lower, upper) = constraint.bounds();
                PriorError::Outside { parameter: row_name(&self.names, i), value: *value, lower, upper }
            })
        };
        let free: Vec<f64> = self.constraints().zip(x).enumerate().map(one).collect::<Result<_, _>>()?;
        let (mut u, mut at) = (Vec::with_capacity(self.dim()), 0);
        for block in &self.blocks {
            let own = &free[at..at + block.constraints.len()];
            at += own.len();
            match &block.spread {
                Spread::Field(field) => u.extend(field.coefficients(own)),
                _ => u.extend_from_slice(own),
            }
        }
        Ok(u)
    }

    /// Mean m (d numbers) and covariance C₀ (d × d) in unconstrained space: exact for each law, for stored
    /// draws those of the sample (divisor N − 1). Blocks do not covary.
    ///
    /// # Errors
    /// `NoCovariance` for the first law that has none.
    pub fn moments(&self) -> Result<(Vec<f64>, Mat), PriorError> {
        let d = self.dim();
        let (mut mean, mut covariance) = (Vec::with_capacity(d), Mat::zeros(d, d));
        for block in &self.blocks {
            let first = mean.len();
            let none = |k: usize| PriorError::NoCovariance {
                parameter: self.row_names().swap_remove(first + k),
                distribution: block.law(k),
            };
            match &block.spread {
                Spread::Independent(laws) => {
                    for (k, law) in laws.iter().enumerate() {
                        let (m, variance) = law.moments().ok_or_else(|| none(k))?;
                        mean.push(m);
                        covariance[(first + k, first + k)] = variance;
                    }
                }
                Spread::Samples(draws) => {
                    let centre = draws.mean();
                    let free = draws.ncols() as f64 - 1.0;
                    for i in 0..draws.nrows() {
                        for k in 0..=i {
                            let product = |j| (draws[(i, j)] - centre[i]) * (draws[(k, j)] - centre[k]);
                            let value = (0..draws.ncols()).map(product).sum::<f64>() / free;
                            if !value.is_finite() {
                                return Err(none(i));
                            }
                            covariance[(first + i, first + k)] = value;
                            covariance[(first + k, first + i)] = value;
                        }
                    }
                    mean.extend(centre);
                }
                Spread::Field(field) => {
                    mean.extend(std::iter::repeat_n(0.0, field.terms()));
                    (first..mean.len()).for_each(|i| covariance[(i, i)] = 1.0);
                }
            }
        }
        Ok((mean, covariance))
    }

    /// An unconstrained point for a trial run: for each row the mean where mean and variance exist,
    /// else a point in the middle (median, or mode for an inverse Gamma).
    pub fn centre(&self) -> Vec<f64> {
        let mut centre = Vec::with_capacity(self.dim());
        for block in &self.blocks {
            match &block.spread {
                Spread::Independent(laws) => centre.extend(laws.iter().map(|law| law.centre())),
                Spread::Samples(draws) => centre.extend(draws.mean()),
                Spread::Field(field) => centre.extend(std::iter::repeat_n(0.0, field.terms())),
            }
        }
        centre
    }

    /// Logarithm of the density of d unconstrained values, −∞ outside the support; `None` where stored
    /// draws have no density.
    pub fn log_density(&self, u: &[f64]) -> Option<f64> {
        debug_assert_eq!(u.len(), self.dim());
        let (mut sum, mut row) = (0.0, 0);
        for block in &self.blocks {
            let normal;
            let laws = match &block.spread {
                Spread::Independent(laws) => laws,
                Spread::Samples(_) => return None,
                Spread::Field(field) => {
                    normal = vec![Law::Normal(0.0, 1.0); field.terms()];
                    &normal
                }
            };
            for law in laws {
                sum += law.log_density(*u.get(row)?);
                row += 1;
            }
        }
        Some(sum)
    }

    /// The writer of members' `parameters.toml`: prepare it once, use it for every member.
    pub fn member_file(&self) -> MemberFile {
        MemberFile::new(&self.dictionary, &self.names)
    }

    fn constraints(&self) -> impl Iterator<Item = Constraint> {
        self.blocks.iter().flat_map(|block| block.constraints.iter().copied())
    }

    /// Name, block and component of each row.
    fn rows(&self) -> impl Iterator<Item = (String, &Block, usize)> {
        self.names.iter().zip(&self.blocks).flat_map(|((name, _), block)| {
            let rows = block.rows();
            (0..rows).map(move |k| (component(name, rows, k), block, k))
        })
    }
}

impl Block {
    /// Rows of u.
    fn rows(&self) -> usize {
        match &self.spread {
            Spread::Field(field) => field.terms(),
            _ => self.constraints.len(),
        }
    }

    /// From row `k` to the number that people see: coefficients of a field are shown as they are.
    fn constraint(&self, k: usize) -> Constraint {
        match &self.spread {
            Spread::Field(_) => Constraint::Free,
            _ => self.constraints[k],
        }
    }

    /// The law of component `k` in words.
    fn law(&self, k: usize) -> String {
        match &self.spread {
            Spread::Independent(laws) => laws[k].to_string(),
            Spread::Samples(draws) => format!("Samples of {} draws", draws.ncols()),
            Spread::Field(field) => field.spec.words(),
        }
    }
}

/// Name of component `k` (from 0) of a parameter of `length` components.
fn component(name: &str, length: usize, k: usize) -> String {
    if length == 1 { name.to_owned() } else { format!("{name}[{}]", k + 1) }
}

/// Name of row `row`; the number itself past the end.
fn row_name(names: &[(String, usize)], row: usize) -> String {
    let mut first = 0;
    for (name, length) in names {
        if row < first + length {
            return component(name, *length, row - first);
        }
        first += length;
    }
    format!("row {row}")
}

/// Rows of each name, in order.
fn ranges(names: &[(String, usize)]) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut first = 0;
    names.iter().map(move |(name, length)| {
        first += length;
        (name.as_str(), first - length..first)
    })
}

#[cfg(test)]
mod tests;
