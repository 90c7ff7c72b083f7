//! A made-up basin for tests, benchmarks and trials: weather, heights and a river from a seed, of any size.
//!
//! The shapes are those of a mountain basin of 2200 km²: 1400 to 3500 m with few units at either end, a river that
//! gathers basins of unequal size, cold winters, wet and dry spells. It stands for nothing that exists.

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::models::hydro::basin::{Band, Basin};
use crate::models::hydro::domain::network::Network;
use crate::models::hydro::domain::{Domain, Forcing, Unit};
use crate::models::hydro::table::{Calendar, Unit as Measure};
use crate::numerics::{Purpose, Stream, Streams};

/// Area, km².
const AREA_KM2: f64 = 2200.0;
/// Elevation that the forcing of the whole stands for, km.
const MIDDLE_KM: f64 = 2.2;

fn stream(seed: u64, part: u32) -> Stream {
    Streams::new(seed).at(Purpose::Model, 0, part)
}

/// Daily weather from 2001-01-01 on: spells of rain by a two-state chain with exponential depths, temperature by a
/// yearly wave and an autoregressive rest.
pub fn basin(days: usize, seed: u64) -> Basin {
    let mut stream = stream(seed, 1);
    let (mut wet, mut rest) = (false, 0.0);
    let (mut precipitation, mut temperature) = (Vec::new(), Vec::new());
    for day in 0..days {
        let season = (std::f64::consts::TAU * (day as f64 - 105.0) / 365.25).sin();
        let chance = if wet { 0.65 } else { 0.25 };
        wet = stream.random::<f64>() < chance;
        let depth = -f64::ln(1.0 - stream.random::<f64>()) * (4.5 + 1.5 * season);
        precipitation.push(if wet { depth } else { 0.0 });
        let shock: f64 = StandardNormal.sample(&mut stream);
        rest = 0.8 * rest + 2.4 * shock;
        temperature.push(2.0 + 11.0 * season + rest);
    }
    let pet = temperature.iter().map(|t| (0.12 * (t + 5.0)).max(0.0)).collect();
    let start = chrono::NaiveDate::from_ymd_opt(2001, 1, 1).expect("a day").and_time(chrono::NaiveTime::MIN);
    Basin {
        calendar: Calendar { start, step_h: 24, steps: days },
        precipitation,
        temperature,
        pet,
        flow: None,
        bands: vec![Band { dz_km: 0.0, share: 1.0 }],
        lapse: -6.5,
        gradient: 0.1,
        output: None,
        output_unit: Measure::of("mm/step", 24, None).expect("a unit without an area"),
        inputs: Vec::new(),
    }
}

/// `units` units in `basins` basins. One basin has no river; more have a tree of reaches of 0.3 to 24 km, and forcing of
/// their own that differs from the whole by some per cent and tenths of a degree.
pub fn domain(whole: &Basin, units: usize, basins: usize, seed: u64) -> Domain {
    let mut stream = stream(seed, 2);
    let mut list = Vec::with_capacity(units);
    for unit in 0..units {
        // Mean of two uniforms: few low, few high
        let height = 0.5 * (stream.random::<f64>() + stream.random::<f64>());
        let dz_km = if units == 1 { 0.0 } else { 1.4 + 2.1 * height - MIDDLE_KM };
        let area_km2 = AREA_KM2 / units as f64 * (0.5 + stream.random::<f64>());
        list.push(Unit { basin: unit % basins, area_km2, dz_km, class: 0 });
    }
    if basins == 1 {
        return Domain::new(list, Vec::new(), None);
    }
    // Each reach joins one nearer to the outlet
    let down = (0..basins).map(|b| (b > 0).then(|| stream.random_range(b.saturating_sub(12)..b))).collect();
    let length = (0..basins).map(|_| 0.3 + 23.7 * stream.random::<f64>().powi(2)).collect();
    let network = Network::new(down, length).expect("each joins an earlier one");
    let forcing = (0..basins)
        .map(|_| {
            let shift: f64 = StandardNormal.sample(&mut stream);
            let factor = 0.9 + 0.2 * stream.random::<f64>();
            Forcing {
                precipitation: whole.precipitation.iter().map(|p| p * factor).collect(),
                temperature: whole.temperature.iter().map(|t| t + 0.3 * shift).collect(),
            }
        })
        .collect();
    Domain::new(list, forcing, Some(network))
}

/// Units and basins of the four levels of a weak scaling study: the whole, elevation bands, response units, cells.
pub const LEVELS: [(&str, usize, usize); 4] =
    [("lumped", 1, 1), ("bands", 12, 1), ("units", 385, 52), ("cells", 2331, 52)];
