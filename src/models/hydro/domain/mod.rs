//! A basin in units: elevation bands, hydrological response units or cells, each with a column of the model of its own,
//! in sub-basins along a river.
//!
//! ```text
//!   unit, unit, …  ──  one column each ──▶  sum of a basin ──▶ delay of the model ──▶ river, reach by reach ──▶ gauge
//!   forcing of its basin (or of all) + lapse of its height, made when it is needed
//! ```
//! Belongs here: what a domain is. How it is read stands in `read`, how a model runs in it in `spread`, the river in
//! `network`; `synthetic` makes one from nothing.

pub mod network;
mod read;
mod spread;
pub mod synthetic;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::models::Input;
use network::Network;

pub use spread::{Balance, Spread, forward};

/// Units in one piece of work: those of one basin, in order.
const TOGETHER: usize = 16;

/// A unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// The basin it drains to
    pub basin: usize,
    /// Area, km²
    pub area_km2: f64,
    /// Height above the elevation that its forcing stands for, km
    pub dz_km: f64,
    /// Its class, 0 without one
    pub class: usize,
}

/// Forcing of one basin, on the steps of the whole.
#[derive(Debug, Clone)]
pub struct Forcing {
    /// mm/step
    pub precipitation: Vec<f64>,
    /// °C
    pub temperature: Vec<f64>,
}

/// Units, basins and rivers.
#[derive(Debug, Clone)]
pub struct Domain {
    /// By basin
    units: Vec<Unit>,
    /// Of each basin, or none: that of the whole
    forcing: Vec<Forcing>,
    /// The river with a reach for each basin; none: runoff of all basins meets at once
    network: Option<Network>,
    /// For each class the parameters that differ from the shared ones, and by which factor
    classes: Vec<Vec<(String, f64)>>,
    /// Weight of the inflow in the storage of a reach
    muskingum_x: f64,
    /// Pieces of work
    tasks: Vec<Range<usize>>,
    area_km2: f64,
    /// Files it was read from
    inputs: Vec<Input>,
}

impl Domain {
    /// Units in any order; `forcing` for each basin, or empty.
    ///
    /// # Panics
    /// There are no units, or one lies in a basin without a reach or forcing.
    pub fn new(mut units: Vec<Unit>, forcing: Vec<Forcing>, network: Option<Network>) -> Self {
        units.sort_by_key(|unit| unit.basin);
        let basins = units.last().expect("a unit at least").basin + 1;
        assert!(forcing.is_empty() || forcing.len() >= basins, "forcing for each basin");
        assert!(network.as_ref().is_none_or(|river| river.len() >= basins), "a reach for each basin");
        let mut tasks: Vec<Range<usize>> = Vec::new();
        for (i, unit) in units.iter().enumerate() {
            match tasks.last_mut() {
                Some(task) if task.len() < TOGETHER && units[task.start].basin == unit.basin => task.end += 1,
                _ => tasks.push(i..i + 1),
            }
        }
        let area_km2 = units.iter().map(|unit| unit.area_km2).sum();
        Self {
            units,
            forcing,
            network,
            classes: vec![Vec::new()],
            muskingum_x: 0.2,
            tasks,
            area_km2,
            inputs: Vec::new(),
        }
    }

    /// Number of units.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Files it was read from.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Number of basins: of reaches, where there is a river.
    pub fn basins(&self) -> usize {
        let last = self.units.last().map_or(0, |unit| unit.basin + 1);
        self.network.as_ref().map_or(last, Network::len)
    }

    /// Area of all units, km².
    pub fn area_km2(&self) -> f64 {
        self.area_km2
    }

    /// Numbers of forcing that are kept: two for each step and basin, whatever the number of units.
    pub fn forcing_numbers(&self) -> usize {
        self.forcing.iter().map(|f| f.precipitation.len() + f.temperature.len()).sum()
    }
}
