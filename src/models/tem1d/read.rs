//! System files: `schema = "ekp.tem1d"`. SI units throughout.
//!
//! ```text
//!   rho_range = [1.0, 1000.0]     accuracy = "accurate" | "fast"     normalise = "current" | "moment"
//!   [loop]       shape = "circle" (radius, or area) | "square" (side) | "polygon" (corners); turns, height
//!                heights and polarities in place of height, for two
//!   [receiver]   offset = [x, y], height (or heights, polarities), area
//!   [[moment]]   name, quantity = "b" | "dbdt" | "voltage", current, gates or open and close,
//!                waveform = { time = [...], amplitude = [...] }, repetition (Hz), lowpass = [Hz, ...]
//! ```

use std::path::Path;

use crate::explain::{Marked, reason};
use crate::files::human::{Document, Section};
use crate::models::Input;
use crate::models::tem1d::{Accuracy, Geometry, Moment, Per, Quantity, Setup, Shape};

/// Ready-made systems.
const READY: [(&str, &str); 2] = [
    ("default", include_str!("systems/default.toml")),
    ("dual_moment", include_str!("systems/dual_moment.toml")),
];

/// The system that `[model.tem1d] system` names, with the file it was read from, where it is not of the toolkit.
pub(super) fn setup(section: &Section<'_>, base: &Path) -> Result<(Setup, Option<Input>), Marked> {
    let name: String = section.need("system")?;
    if let Some((_, text)) = READY.iter().find(|(ready, _)| *ready == name) {
        let document = Document::parse(Path::new(&format!("{name} (of the toolkit)")), text)?;
        return Ok((system(&document)?, None));
    }
    let path = base.join(&name);
    let bytes = std::fs::read(&path).map_err(|e| {
        let label =
            format!("`{}`: {}; ready-made are \"default\" and \"dual_moment\"", path.display(), reason(&e));
        section.wrong("system", "this system cannot be read", label)
    })?;
    let input = Input::new(&path, &bytes);
    Ok((system(&Document::from_bytes(&path, bytes)?)?, Some(input)))
}

/// A system file, read.
pub(super) fn system(document: &Document) -> Result<Setup, Marked> {
    let top = document.section();
    top.schema("ekp.tem1d", 1)?;
    let rho: Vec<f64> = top.opt("rho_range")?.unwrap_or_else(|| vec![1.0, 1000.0]);
    let &[least, most] = rho.as_slice() else {
        return Err(top.wrong(
            "rho_range",
            "this is no range",
            "allowed: two resistivities, the smaller first, in ohm m",
        ));
    };
    if !(least > 0.0 && least < most && most.is_finite()) {
        return Err(top.wrong(
            "rho_range",
            "this is no range",
            "allowed: two resistivities, the smaller first, in ohm m",
        ));
    }
    let accuracy = match top.choice("accuracy", &["accurate", "fast"])? {
        Some("fast") => Accuracy::Fast,
        _ => Accuracy::Accurate,
    };
    let per_moment = top.choice("normalise", &["current", "moment"])? == Some("moment");
    let source = top
        .section("loop")?
        .ok_or_else(|| top.wrong("", "the table `[loop]` is missing", "add `[loop]` with its shape"))?;
    let shape = shape(&source)?;
    let turns = source.number("turns", "a number above 0", |n| n > 0.0)?.unwrap_or(1.0);
    let transmitters = heights(&source)?;
    source.finish()?;
    let receiver = top.section("receiver")?;
    let (mut offset, mut receivers, mut area) = ((0.0, 0.0), vec![(0.0, 1.0)], None);
    if let Some(receiver) = &receiver {
        if let Some(place) = receiver.opt::<Vec<f64>>("offset")? {
            let &[x, y] = place.as_slice() else {
                return Err(receiver.wrong(
                    "offset",
                    "this is no place",
                    "allowed: [x, y] in m, from the middle of the loop",
                ));
            };
            offset = (x, y);
        }
        receivers = heights(receiver)?;
        area = receiver.number("area", "m², above 0", |a| a > 0.0)?;
        receiver.finish()?;
    }
    let norm = if per_moment { 1.0 / shape.area() } else { turns };
    let per = Per { ampere: true, turns: per_moment, receiver: area.is_none() };
    let area = area.unwrap_or(1.0);
    let mut moments = Vec::new();
    for section in top.sections("moment")? {
        moments.push(moment(&section, norm, area, per)?);
    }
    top.finish()?;
    if moments.is_empty() {
        return Err(top.wrong("", "the system measures nothing", "add a `[[moment]]` with its gates"));
    }
    if let Some(twice) =
        moments.iter().enumerate().find(|(i, m)| moments[..*i].iter().any(|n| n.name == m.name))
    {
        let label = format!("two moments are called `{}`", twice.1.name);
        return Err(top.wrong("moment", "moments have names of their own", label));
    }
    let geometry = Geometry { shape, offset, transmitters, receivers };
    Ok(Setup { geometry, moments, rho: (least, most), accuracy })
}

fn shape(section: &Section<'_>) -> Result<Shape, Marked> {
    let length = |key: &str| section.number(key, "m, above 0", |x| x > 0.0 && x.is_finite());
    match section.choice("shape", &["circle", "square", "polygon"])? {
        Some("square") => {
            let side = length("side")?.ok_or_else(|| section.missing("side", "m, such as 40.0"))?;
            Ok(Shape::square(side))
        }
        Some("polygon") => {
            let corners: Vec<Vec<f64>> = section.need("corners")?;
            if corners.len() < 3 || corners.iter().any(|c| c.len() != 2) {
                return Err(section.wrong(
                    "corners",
                    "this is no polygon",
                    "allowed: three corners [x, y] or more, in m, in order",
                ));
            }
            let mut corners: Vec<(f64, f64)> = corners.iter().map(|c| (c[0], c[1])).collect();
            let twice: f64 =
                corners.iter().zip(corners.iter().cycle().skip(1)).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
            // The field is counted for a current that runs anticlockwise.
            if twice < 0.0 {
                corners.reverse();
            }
            Ok(Shape::Polygon { corners })
        }
        _ => match (length("radius")?, section.number("area", "m², above 0", |a| a > 0.0)?) {
            (Some(radius), None) => Ok(Shape::Circle { radius }),
            (None, Some(area)) => Ok(Shape::Circle { radius: (area / std::f64::consts::PI).sqrt() }),
            _ => Err(section.missing("radius", "m, such as 10.0; or `area` in m²")),
        },
    }
}

/// Heights above ground and polarities.
fn heights(section: &Section<'_>) -> Result<Vec<(f64, f64)>, Marked> {
    let one = section.number("height", "m, from 0 on", |h| h >= 0.0 && h.is_finite())?;
    let Some(all) = section.opt::<Vec<f64>>("heights")? else { return Ok(vec![(one.unwrap_or(0.0), 1.0)]) };
    let polarities: Vec<f64> = section.opt("polarities")?.unwrap_or_else(|| vec![1.0; all.len()]);
    let fits =
        one.is_none() && !all.is_empty() && polarities.len() == all.len() && all.iter().all(|h| *h >= 0.0);
    if !fits {
        let label =
            "allowed: heights from 0 on, as many `polarities` (1, 0, -1), and no `height` beside them";
        return Err(section.wrong("heights", "these are no heights", label));
    }
    Ok(all.into_iter().zip(polarities).collect())
}

fn moment(section: &Section<'_>, norm: f64, area: f64, per: Per) -> Result<Moment, Marked> {
    let name: String = section.need("name")?;
    let quantity = match section.choice("quantity", &["b", "dbdt", "voltage"])? {
        Some("b") => Quantity::B,
        Some("voltage") => Quantity::Voltage,
        _ => Quantity::DbDt,
    };
    let current = section.number("current", "A, above 0", |x| x > 0.0 && x.is_finite())?;
    let gates: Vec<(f64, f64)> = match (section.opt::<Vec<f64>>("gates")?, section.opt::<Vec<f64>>("open")?) {
        (Some(centres), None) => centres.into_iter().map(|t| (t, t)).collect(),
        (None, Some(open)) => {
            let close: Vec<f64> = section.need("close")?;
            if close.len() != open.len() || open.iter().zip(&close).any(|(a, b)| a >= b) {
                return Err(section.wrong(
                    "close",
                    "these are no gates",
                    "allowed: as many as `open`, each later than its own",
                ));
            }
            open.into_iter().zip(close).collect()
        }
        _ => return Err(section.missing("gates", "centres in s, or `open` and `close`")),
    };
    let mut waveform = Vec::new();
    if let Some(table) = section.section("waveform")? {
        let time: Vec<f64> = table.need("time")?;
        let amplitude: Vec<f64> = table.need("amplitude")?;
        table.finish()?;
        if time.len() != amplitude.len() || time.len() < 2 || !time.is_sorted_by(|a, b| a < b) {
            return Err(table.wrong(
                "time",
                "this is no waveform",
                "allowed: rising times in s, and as many amplitudes (1 is the peak)",
            ));
        }
        if amplitude.last() != Some(&0.0) {
            return Err(table.wrong(
                "amplitude",
                "the current does not end",
                "allowed: amplitudes that end at 0.0",
            ));
        }
        waveform = time.into_iter().zip(amplitude).collect();
    }
    let positive = |x: f64| x > 0.0 && x.is_finite();
    let repetition = section.number("repetition", "Hz, above 0", positive)?;
    let lowpass: Vec<f64> = section.opt("lowpass")?.unwrap_or_default();
    if !lowpass.iter().all(|f| positive(*f)) {
        return Err(section.wrong("lowpass", "this is no cut-off frequency", "allowed: Hz, above 0"));
    }
    section.finish()?;
    if gates.is_empty() {
        let key = if section.keys().any(|key| key == "gates") { "gates" } else { "open" };
        return Err(section.wrong(key, "the moment has no gates", "found none, allowed: one at least, in s"));
    }
    let moment = Moment { name, quantity, waveform, repetition, lowpass, gates, scale: 1.0, per };
    let key = if moment.gates.iter().any(|g| g.0 == g.1) { "gates" } else { "open" };
    if moment.gates.iter().any(|g| !(g.0 > moment.off() && g.1.is_finite())) {
        let label = format!("allowed: gates after the current has ended, later than {:?} s", moment.off());
        return Err(section.wrong(key, "these gates cannot be computed", label));
    }
    if let Some(f) = repetition
        && moment.duration() > 0.5 / f
    {
        let label =
            format!("the current flows for {:?} s, half a period is {:?} s", moment.duration(), 0.5 / f);
        return Err(section.wrong("repetition", "the pulse is longer than half a period", label));
    }
    let voltage = quantity == Quantity::Voltage;
    let scale = current.unwrap_or(1.0) * norm * if voltage { area } else { 1.0 };
    let per = Per { ampere: current.is_none(), receiver: voltage && per.receiver, ..per };
    Ok(Moment { scale, per, ..moment })
}
