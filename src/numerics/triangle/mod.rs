//! The lower triangle of a symmetric matrix, or of its Cholesky factor, in half the room of a matrix.
//!
//! Rows lie in groups of eight, one row to a lane, column after column as far as the diagonal: what a factorisation
//! and the solves with its factor read comes one cache line after the other.
//! Belongs here: how it lies (`mod`), its Cholesky factor (`cholesky`), and the loops that make it (`factor`) and solve with
//! it (`solve`). Not here: who needs them.
#![allow(unsafe_code)]

mod cholesky;
mod factor;
mod solve;

pub use cholesky::Cholesky;

use serde::{Deserialize, Serialize};

use super::pages;
use crate::numerics::Mat;
use crate::numerics::lanes::{LANES, Row};

/// n (n + 1)/2 numbers of an n × n matrix, and what fills the last group of eight rows.
///
/// Group g has the columns 0 to 8 (g + 1). Rows and columns behind the last are those of the identity.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Triangle {
    n: usize,
    rows: Vec<Row>,
}

impl Clone for Triangle {
    fn clone(&self) -> Self {
        let mut rows = Vec::with_capacity(self.rows.len());
        pages::ask_large(rows.spare_capacity_mut());
        rows.extend_from_slice(&self.rows);
        Self { n: self.n, rows }
    }
}

/// A triangle as a file has it: its numbers may be more or fewer than n explains.
#[derive(Deserialize)]
struct Unchecked {
    n: usize,
    rows: Vec<Row>,
}

impl TryFrom<Unchecked> for Triangle {
    type Error = String;
    fn try_from(Unchecked { n, rows }: Unchecked) -> Result<Self, String> {
        let groups = n.div_ceil(LANES);
        let fits = groups.checked_add(1).and_then(|more| more.checked_mul(groups)) == Some(rows.len() / 4);
        if !fits || rows.len() % 4 != 0 {
            return Err(format!("{} rows of eight numbers for a triangle of {n}", rows.len()));
        }
        Ok(Self { n, rows })
    }
}

/// Where group g begins.
fn start(g: usize) -> usize {
    LANES * g * (g + 1) / 2
}

impl Triangle {
    /// Of a symmetric matrix (n × n), of which only the lower triangle is read.
    pub fn packed(a: &Mat) -> Self {
        assert_eq!(a.nrows(), a.ncols(), "a symmetric matrix is square");
        Self::of_rows(a.nrows(), |g, j| lane(&a.col(j)[g * LANES..]))
    }

    /// Rows and columns `rows` of ½ (C + Cᵀ), C being square.
    pub fn even_part(c: &Mat, rows: &[usize]) -> Self {
        let n = rows.len();
        let first = rows.first().copied().unwrap_or(0);
        let in_order = rows.iter().enumerate().all(|(k, row)| *row == first + k);
        let mut even = Self::of_rows(n, |g, j| {
            let column = c.col(rows[j]);
            if in_order && (g + 1) * LANES <= n {
                return lane(&column[first + g * LANES..]);
            }
            Row(std::array::from_fn(|i| rows.get(g * LANES + i).map_or(0.0, |row| column[*row])))
        });
        // The other side comes along its columns, a lane at a time, some rows of eight while they are at hand.
        const AT_HAND: usize = 64;
        for (g, block) in rows.chunks(LANES).enumerate() {
            let group = &mut even.rows[start(g)..start(g + 1)];
            for from in (0..group.len().min(n)).step_by(AT_HAND) {
                let to = n.min(group.len()).min(from + AT_HAND);
                for (i, row) in block.iter().enumerate() {
                    let column = c.col(*row);
                    let halve = |(row, other): (&mut Row, &f64)| row.0[i] = 0.5 * (row.0[i] + other);
                    let some = &mut group[from..to];
                    if in_order {
                        some.iter_mut().zip(&column[first + from..]).for_each(halve);
                    } else {
                        some.iter_mut().zip(rows[from..to].iter().map(|row| &column[*row])).for_each(halve);
                    }
                }
            }
        }
        even
    }

    /// From rows 8 g to 8 g + 7 of column j, for each g and each j up to the diagonal.
    fn of_rows(n: usize, eight: impl Fn(usize, usize) -> Row) -> Self {
        let groups = n.div_ceil(LANES);
        let mut rows = Vec::with_capacity(start(groups));
        let room = &mut rows.spare_capacity_mut()[..start(groups)];
        pages::ask_large(room);
        for j in 0..n {
            for g in j / LANES..groups {
                room[start(g) + j].write(eight(g, j));
            }
        }
        for j in n..groups * LANES {
            let unit = std::array::from_fn(|i| f64::from(u8::from(i == j % LANES)));
            room[start(groups - 1) + j].write(Row(unit));
        }
        // SAFETY: group g has the columns j < 8 (g + 1), those with j / 8 ≤ g: each was written by the loops above.
        unsafe { rows.set_len(start(groups)) };
        Self { n, rows }
    }

    /// Rows, n.
    pub fn order(&self) -> usize {
        self.n
    }

    /// Entry (i, j) of the symmetric matrix that it is the triangle of.
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        let (i, j) = (i.max(j), i.min(j));
        self.rows[start(i / LANES) + j].0[i % LANES]
    }

    /// The diagonal, n numbers.
    pub fn diagonal(&self) -> impl Iterator<Item = f64> {
        (0..self.n).map(|i| self.entry(i, i))
    }

    /// c is added to each entry of the diagonal.
    pub fn add_to_diagonal(&mut self, c: f64) {
        (0..self.n).for_each(|i| self.rows[start(i / LANES) + i].0[i % LANES] += c);
    }

    /// These rows and columns alone (positions, ascending).
    pub fn select(&self, wanted: &[usize]) -> Self {
        Self::of_rows(wanted.len(), |g, j| {
            let entry = |row: &usize| self.entry(*row, wanted[j]);
            Row(std::array::from_fn(|i| wanted.get(g * LANES + i).map_or(0.0, entry)))
        })
    }

    /// n × n, with zeros above the diagonal.
    pub fn lower(&self) -> Mat {
        let n = self.n;
        let mut l = Mat::zeros(n, n);
        for j in 0..n {
            for (g, to) in l.col_mut(j).chunks_mut(LANES).enumerate().skip(j / LANES) {
                let from = &self.rows[start(g) + j].0;
                match <&mut [f64; LANES]>::try_from(&mut *to) {
                    Ok(to) => *to = *from,
                    Err(_) => to.copy_from_slice(&from[..to.len()]),
                }
            }
            // A group on the diagonal has rows above it.
            l.col_mut(j)[j / LANES * LANES..j].fill(0.0);
        }
        l
    }

    /// The symmetric matrix, n × n.
    pub fn symmetric(&self) -> Mat {
        Mat::from_fn(self.n, self.n, |i, j| self.entry(i, j))
    }
}

/// The first eight numbers, with zeros for those that are not there.
fn lane(from: &[f64]) -> Row {
    match from.first_chunk() {
        Some(eight) => Row(*eight),
        None => Row(std::array::from_fn(|i| from.get(i).copied().unwrap_or(0.0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_lower_triangle_at_every_size() {
        for n in [0, 1, 5, 8, 9, 63, 64, 65, 130] {
            let a = Mat::from_fn(n, n, |i, j| if i < j { f64::NAN } else { (1000 * i + j) as f64 });
            let triangle = Triangle::packed(&a);
            let even = |i: usize, j: usize| (1000 * i.max(j) + i.min(j)) as f64;
            assert_eq!(triangle.symmetric(), Mat::from_fn(n, n, even), "{n}");
            let low = |i: usize, j: usize| if i < j { 0.0 } else { a[(i, j)] };
            assert_eq!(triangle.lower(), Mat::from_fn(n, n, low), "{n}");
            assert!(triangle.diagonal().eq((0..n).map(|i| a[(i, i)])), "{n}");
            let mut more = triangle.clone();
            more.add_to_diagonal(0.5);
            assert!(more.diagonal().eq((0..n).map(|i| a[(i, i)] + 0.5)), "{n}");
            let wanted: Vec<usize> = (0..n).filter(|i| i % 3 != 1).collect();
            let part = Mat::from_fn(wanted.len(), wanted.len(), |i, j| even(wanted[i], wanted[j]));
            assert_eq!(triangle.select(&wanted).symmetric(), part, "{n}");
        }
    }

    #[test]
    fn the_even_part_is_half_of_both_sides_for_all_rows_and_for_some() {
        let c = Mat::from_fn(100, 100, |i, j| (7 * i * i + 3 * j + i * j % 11) as f64);
        let all: Vec<usize> = (0..100).collect();
        let some: Vec<usize> = (0..100).filter(|i| i % 17 != 12).collect();
        for rows in [&all[..], &all[3..40], &some, &[], &[99]] {
            let even = |i: usize, j: usize| 0.5 * (c[(rows[i], rows[j])] + c[(rows[j], rows[i])]);
            let want = Mat::from_fn(rows.len(), rows.len(), even);
            assert_eq!(Triangle::even_part(&c, rows).symmetric(), want);
        }
    }

    #[test]
    fn a_triangle_of_another_size_than_it_says_is_refused() {
        let mut unchecked = Unchecked { n: 9, rows: vec![Row::default(); 24] };
        assert!(Triangle::try_from(Unchecked { n: 9, rows: unchecked.rows.clone() }).is_ok());
        unchecked.n = 17;
        assert!(Triangle::try_from(unchecked).is_err());
        assert!(Triangle::try_from(Unchecked { n: usize::MAX, rows: vec![] }).is_err());
    }
}
