//! Transient electromagnetic soundings over a layered earth.
//!
//! ```text
//!   read ── geometry, hankel (λ_j, G_j) ── weights (s_k, W) ── system ── doubling ──▶ gates
//!                                       gates (waveforms)   └── contour: the slow way that is known to be right
//! ```
//! Parameters are `rho1` … `rhoL` (Ω m) and `h1` … `h{L−1}` (m); with induced polarisation also `m1`, `tau1` (s), `c1`
//! of any layer. Blocks are the moments of the system, in its order. A survey of many soundings is one model: names of
//! parameters and blocks begin with `s001_`, `s002_`, … then.
//! `doubling` has the loop over nodes; `alone` is it for an earth or two, `polarised` for conductivities that change with
//! s, `slopes` with derivatives.
//! Belongs here: parameters of an experiment as an earth. Not here: how the field comes about (`doubling`, `reflect`).

mod alone;
mod contour;
mod doubling;
mod gates;
mod geometry;
mod hankel;
mod polarised;
mod read;
mod reflect;
mod slopes;
mod system;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::soundings::{Curve, Soundings};
use crate::models::{
    Cause, CheckError, Forward, Input, ModelError, Output, Place, ThetaRef, Want, given, split,
};
use crate::numerics::lanes::Width;

pub use gates::{Gate, Moment, Per, Quantity};
pub use geometry::{Geometry, Shape};
pub use reflect::{ColeCole, Earth, reflection};
pub use system::{Accuracy, Setup, System};

/// Most layers.
const MOST: i64 = 64;

/// A sounding as a forward model.
pub struct Tem1d {
    setup: Setup,
    /// The file of the system; none where it is one of the toolkit
    input: Option<Input>,
    layers: usize,
    /// What the names of each sounding begin with; one empty text where there is one sounding
    soundings: Vec<String>,
    /// Values of parameters that are not calibrated
    fixed: Vec<(String, f64)>,
    /// What stands behind the gates
    derivatives: Derivatives,
    /// Made when the first earth is asked for: tools that only look at an experiment do not wait for it
    system: OnceLock<System>,
}

/// Which derivatives of the gates a model gives, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Derivatives {
    None,
    LnRho,
    LnRhoLnH,
    LnRhoLnHHeight,
}

impl Derivatives {
    const WORDS: &'static [&'static str] = &["none", "ln_rho", "ln_rho_ln_h", "ln_rho_ln_h_height"];

    fn read(section: &Section<'_>) -> Result<Self, Marked> {
        Ok(match section.choice("derivatives", Self::WORDS)? {
            Some("ln_rho") => Self::LnRho,
            Some("ln_rho_ln_h") => Self::LnRhoLnH,
            Some("ln_rho_ln_h_height") => Self::LnRhoLnHHeight,
            _ => Self::None,
        })
    }

    /// What the gates are derived by, in the order of [`System::derivatives`].
    fn names(self, layers: usize) -> Vec<String> {
        let rho = (1..=layers).map(|i| format!("ln_rho{i}"));
        let h = (1..layers).map(|i| format!("ln_h{i}"));
        match self {
            Self::None => Vec::new(),
            Self::LnRho => rho.collect(),
            Self::LnRhoLnH => rho.chain(h).collect(),
            Self::LnRhoLnHHeight => rho.chain(h).chain(["height".to_owned()]).collect(),
        }
    }
}

/// From `[model.tem1d]`: `system` (a file, or `"default"`, `"dual_moment"`), `layers`, `fixed`, `derivatives`.
///
/// # Errors
/// A fault in the options or in the system's file, at its line.
pub fn forward(section: &Section<'_>, base: &Path) -> Result<Arc<dyn Forward>, Marked> {
    let (setup, input) = read::setup(section, base)?;
    let layers = section
        .integer("layers", 1..=MOST)?
        .ok_or_else(|| section.missing("layers", "how many, such as 3"))?;
    let layers = usize::try_from(layers).expect("at most a few");
    let soundings = match section.integer("soundings", 1..=1_000_000)? {
        None => vec![String::new()],
        Some(n) => {
            let width = n.to_string().len().max(3);
            (1..=n).map(|k| format!("s{k:0width$}_")).collect()
        }
    };
    let mut fixed = Vec::new();
    if let Some(table) = section.section("fixed")? {
        let known = parameters(layers);
        for key in table.keys().collect::<Vec<_>>() {
            let value = table.number(key, "a number", f64::is_finite)?.unwrap_or_default();
            if !known.contains(&key.to_owned()) {
                let label = format!(
                    "found `{key}`, allowed: {}",
                    crate::explain::one_of(&known.iter().map(String::as_str).collect::<Vec<_>>())
                );
                return Err(table.wrong(key, "the model has no such parameter", label));
            }
            fixed.push((key.to_owned(), value));
        }
    }
    let derivatives = Derivatives::read(section)?;
    if derivatives != Derivatives::None && fixed.iter().any(|(name, _)| polarises(name)) {
        let label = "allowed without `m`, `tau`, `c` in `fixed`: polarised layers have none";
        return Err(section.wrong("derivatives", "there are no such derivatives", label));
    }
    section.finish()?;
    Ok(Arc::new(Tem1d { setup, input, layers, soundings, fixed, derivatives, system: OnceLock::new() }))
}

/// Whether a parameter (without the name of its sounding) is one of induced polarisation.
fn polarises(name: &str) -> bool {
    let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
    word.len() < name.len() && ["m", "tau", "c"].contains(&word)
}

/// Names of all parameters of so many layers.
fn parameters(layers: usize) -> Vec<String> {
    let numbered = |name: &str, n: usize| (1..=n).map(|i| format!("{name}{i}")).collect::<Vec<_>>();
    [
        numbered("rho", layers),
        numbered("h", layers - 1),
        numbered("m", layers),
        numbered("tau", layers),
        numbered("c", layers),
    ]
    .concat()
}

impl Tem1d {
    fn system(&self) -> &System {
        self.system.get_or_init(|| System::new(self.setup.clone()))
    }

    /// The earth under a sounding: `theta` are the values of a member, `rows` say where a name stands in them.
    fn earth(&self, theta: &[f64], rows: &HashMap<&str, usize>, sounding: &str) -> Result<Earth, ModelError> {
        let wrong = |message: String| ModelError::new(Cause::Exit, format!("{sounding}{message}"));
        let value = |name: &str| {
            let own = rows.get(format!("{sounding}{name}").as_str()).map(|&row| theta[row]);
            own.or_else(|| self.fixed.iter().find(|(n, _)| n == name).map(|(_, v)| *v))
        };
        let needed = |name: String| {
            value(&name).ok_or_else(|| wrong(format!("{name}: the model `tem1d` needs this parameter")))
        };
        let mut earth = Earth::new(Vec::new(), Vec::new());
        let (least, most) = self.setup.rho;
        for i in 1..=self.layers {
            let rho = needed(format!("rho{i}"))?;
            // Wavenumbers were chosen for a range; half a decade beyond it costs no more than a digit.
            if !(least / 3.0..=most * 3.0).contains(&rho) {
                return Err(wrong(format!(
                    "rho{i} = {rho} is outside of {least} to {most} ohm m: widen `rho_range` of the system"
                )));
            }
            earth.resistivity.push(rho);
            if i < self.layers {
                let h = needed(format!("h{i}"))?;
                if !(h > 0.0 && h.is_finite()) {
                    return Err(wrong(format!("h{i} = {h} is no thickness: it must be above 0")));
                }
                earth.thickness.push(h);
            }
        }
        let polarised = (1..=self.layers).any(|i| value(&format!("m{i}")).is_some());
        if polarised {
            for i in 1..=self.layers {
                let of = |name: &str, none: f64| value(&format!("{name}{i}")).unwrap_or(none);
                let ip = ColeCole { m: of("m", 0.0), tau: of("tau", 1e-3), c: of("c", 0.5) };
                if !((0.0..1.0).contains(&ip.m) && ip.tau > 0.0 && ip.c > 0.0 && ip.c <= 1.0) {
                    return Err(wrong(format!(
                        "m{i}: layer {i} cannot be polarised so: 0 <= m < 1, tau > 0, 0 < c <= 1"
                    )));
                }
                earth.polarisation.push(ip);
            }
        }
        Ok(earth)
    }

    fn all(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        count: usize,
        respond: impl FnOnce(&System, &[Earth]) -> Vec<Vec<f64>>,
    ) -> Vec<Result<Output, ModelError>> {
        let mut rows = HashMap::new();
        let mut row = 0;
        for (name, length) in thetas.names {
            rows.insert(name.as_str(), row);
            row += length;
        }
        let of = |j: usize| -> Result<Vec<Earth>, ModelError> {
            self.soundings.iter().map(|sounding| self.earth(thetas.values.col(j), &rows, sounding)).collect()
        };
        let earths: Vec<Result<Vec<Earth>, ModelError>> = (0..count).map(of).collect();
        let good: Vec<Earth> = earths.iter().flatten().flatten().cloned().collect();
        let mut rows = respond(self.system(), &good).into_iter();
        let one = |earths: Result<Vec<Earth>, ModelError>| {
            earths.and_then(|earths| {
                let numbers: Vec<f64> = rows.by_ref().take(earths.len()).flatten().collect();
                split("tem1d", &numbers, want)
            })
        };
        earths.into_iter().map(one).collect()
    }
}

impl Forward for Tem1d {
    fn run(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Vec<Result<Output, ModelError>> {
        let by = self.derivatives.names(self.layers).len();
        self.all(thetas, want, places.len(), |system, earths| match by {
            0 => system.responses(earths, Width::widest()),
            _ => {
                let mut all = system.derivatives(earths, Width::widest());
                all.iter_mut().for_each(|numbers| numbers.truncate(system.rows() * (1 + by)));
                all
            }
        })
    }

    fn inputs(&self) -> Vec<Input> {
        self.input.iter().cloned().collect()
    }

    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        let fixed = |name: &String| self.fixed.iter().any(|(n, _)| n == name);
        let all = parameters(self.layers);
        let (layers, rest) = all.split_at(2 * self.layers - 1);
        let with = |names: &mut dyn Iterator<Item = &String>| -> Vec<String> {
            let names: Vec<&String> = names.collect();
            self.soundings.iter().flat_map(|s| names.iter().map(move |name| format!("{s}{name}"))).collect()
        };
        let needed = with(&mut layers.iter().filter(|name| !fixed(name)));
        let optional = with(&mut rest.iter().chain(layers));
        let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
        let optional: Vec<&str> = optional.iter().map(String::as_str).collect();
        CheckError::parameters("tem1d", &needed, &optional, names)?;
        let by = self.derivatives.names(self.layers).len();
        let own =
            |name: &str| self.soundings.iter().any(|s| name.strip_prefix(s.as_str()).is_some_and(polarises));
        if by > 0 && names.iter().any(|(name, _)| own(name)) {
            let what = "has no derivatives of earths with polarised layers".to_owned();
            return Err(CheckError::Data { model: "tem1d".into(), what, key: None });
        }
        let gates: usize = self.setup.moments.iter().map(|m| m.gates.len()).sum();
        CheckError::outputs("tem1d", gates * (1 + by) * self.soundings.len(), want)?;
        Ok(Vec::new())
    }

    fn allows(&self, name: &str, value: f64) -> Result<(), String> {
        let name = self.soundings.iter().find_map(|s| name.strip_prefix(s.as_str())).unwrap_or(name);
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let (least, most) = self.setup.rho;
        let (good, words) = match kind {
            "rho" => (
                (least / 3.0..=most * 3.0).contains(&value),
                format!("outside of {least} to {most} ohm m: widen `rho_range` of the system"),
            ),
            "h" => (value > 0.0 && value.is_finite(), "no thickness: it must be above 0".into()),
            "m" => ((0.0..1.0).contains(&value), "no chargeability: 0 <= m < 1".into()),
            "tau" => (value > 0.0, "no time constant: tau > 0".into()),
            "c" => (value > 0.0 && value <= 1.0, "no exponent: 0 < c <= 1".into()),
            _ => (true, String::new()),
        };
        if good { Ok(()) } else { Err(words) }
    }

    fn shape(&self, names: &[(String, usize)]) -> Result<Option<Vec<(String, usize)>>, CheckError> {
        let of_one = system::shape(&self.setup);
        let by: Vec<String> =
            self.derivatives.names(self.layers).iter().map(|name| format!("_by_{name}")).collect();
        let of = |sounding: &String| {
            let parts = std::iter::once("").chain(by.iter().map(String::as_str));
            let one = |part: &str| {
                of_one.iter().map(|(m, n)| (format!("{sounding}{m}{part}"), *n)).collect::<Vec<_>>()
            };
            parts.flat_map(one).collect::<Vec<_>>()
        };
        given(self, names, self.soundings.iter().flat_map(of).collect())
    }

    fn reference(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Option<Vec<Result<Output, ModelError>>> {
        if self.derivatives != Derivatives::None {
            // Contours tell gates alone.
            return None;
        }
        let slow =
            |system: &System, earths: &[Earth]| earths.iter().map(|earth| system.reference(earth)).collect();
        Some(self.all(thetas, want, places.len(), slow))
    }

    fn describe(&self) -> Vec<String> {
        let mut all = system::conventions(&self.setup);
        let by = self.derivatives.names(self.layers);
        if !by.is_empty() {
            let names: Vec<String> = by.iter().map(|name| format!("_by_{name}")).collect();
            all.push(format!(
                "behind the gates their derivatives, all moments for each of {}: per unit of the logarithm, in the unit of the gate; by the height of the transmitters per m",
                names.join(", ")
            ));
        }
        all
    }

    fn soundings(&self) -> Option<Soundings> {
        let curve = |m: &Moment| Curve {
            block: m.name.clone(),
            label: match m.quantity {
                Quantity::B => format!("B, {}", m.unit()),
                Quantity::DbDt => format!("dB/dt, {}", m.unit()),
                Quantity::Voltage => format!("voltage, {}", m.unit()),
            },
            per: m.per.words(),
            times: (0..m.gates.len()).map(|k| m.since_off(k)).collect(),
        };
        Some(Soundings {
            names: self.soundings.clone(),
            layers: self.layers,
            fixed: self.fixed.clone(),
            curves: self.setup.moments.iter().map(curve).collect(),
        })
    }
}
