//! What is measured: gates of a moment as responses to an elementary decay e^{−αt}.
//!
//! The field of any layered earth after switch-off is a superposition of such decays, so a row of weights that is right
//! for all of them is right for every earth.

use crate::models::tem1d::geometry::gauss_legendre;

/// What a gate tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// B, T
    B,
    /// dB/dt, T/s
    DbDt,
    /// −dB/dt times the receiver's area, V
    Voltage,
}

impl Quantity {
    /// Unit, but for what it is given for.
    fn unit(self) -> &'static str {
        match self {
            Self::B => "T",
            Self::DbDt => "T/s",
            Self::Voltage => "V",
        }
    }
}

/// What the numbers of a moment are for each one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Per {
    /// A of the current's peak: the system names no current
    pub ampere: bool,
    /// m² of all turns of the loop: of its moment
    pub turns: bool,
    /// m² of the receiver: a voltage whose receiver has no area
    pub receiver: bool,
}

impl Per {
    /// In words; nothing where the numbers are what the receiver sees.
    pub(super) fn words(self) -> String {
        let all = [
            (self.ampere, "A of the peak current"),
            (self.turns, "m² of the loop's turns"),
            (self.receiver, "m² of the receiver"),
        ];
        let all: Vec<&str> = all.iter().filter(|(is, _)| *is).map(|(_, of)| *of).collect();
        if all.is_empty() { String::new() } else { format!("for each {}", all.join(", ")) }
    }
}

/// A gate: from, to; the same twice for a point.
pub type Gate = (f64, f64);

/// One moment: a current and when it is listened to.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// Name of its block
    pub name: String,
    /// What its gates tell
    pub quantity: Quantity,
    /// (time s, current as a share of the peak); empty: a step-off at 0
    pub waveform: Vec<(f64, f64)>,
    /// Hz; the pulse repeats with alternating sign every half period
    pub repetition: Option<f64>,
    /// Cut-off frequencies of first-order low-pass filters, Hz
    pub lowpass: Vec<f64>,
    /// On the waveform's axis, s
    pub gates: Vec<Gate>,
    /// Factor on every number
    pub scale: f64,
    /// What it is for each one of, with that factor
    pub per: Per,
}

impl Moment {
    /// Unit of its numbers: `V/(A m²)`.
    pub fn unit(&self) -> String {
        let Per { ampere, turns, receiver } = self.per;
        let area = [None, Some("m²"), Some("m⁴")][usize::from(turns) + usize::from(receiver)];
        // T/s already has something below its line
        let second = (self.quantity == Quantity::DbDt).then_some("s");
        let below: Vec<&str> = second.into_iter().chain(ampere.then_some("A")).chain(area).collect();
        match below.as_slice() {
            [] | ["s"] => self.quantity.unit().to_owned(),
            [one] => format!("{}/{one}", self.quantity.unit()),
            all => format!("{}/({})", self.quantity.unit().trim_end_matches("/s"), all.join(" ")),
        }
    }

    /// When the current is back at zero, s.
    pub(super) fn off(&self) -> f64 {
        self.waveform.last().map_or(0.0, |node| node.0)
    }

    /// How long the current flows, s.
    pub(super) fn duration(&self) -> f64 {
        self.waveform.first().map_or(0.0, |node| self.off() - node.0)
    }

    /// Slope changes: (time, change of dI/dt).
    pub(super) fn bends(&self) -> Vec<(f64, f64)> {
        let mut bends = Vec::new();
        let mut before = 0.0;
        for pair in self.waveform.windows(2) {
            let slope = (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0);
            bends.push((pair[0].0, slope - before));
            before = slope;
        }
        if let Some(last) = self.waveform.last() {
            bends.push((last.0, -before));
        }
        bends
    }

    /// T(α): what the gate `k` shows of e^{−αt}, without low-pass filters.
    pub(super) fn decay(&self, k: usize, alpha: f64) -> f64 {
        let (from, to) = self.gates[k];
        let value = if from == to {
            self.at(from, alpha)
        } else if self.quantity == Quantity::B {
            let mean =
                |&(x, w): &(f64, f64)| 0.5 * w * self.field(0.5 * (from + to) + 0.5 * (to - from) * x, alpha);
            gauss_legendre(16).iter().map(mean).sum()
        } else {
            // The mean of dB/dt over a box-car gate
            (self.field(to, alpha) - self.field(from, alpha)) / (to - from)
        };
        let repeated = match self.repetition {
            Some(f) => value / (1.0 + (-alpha / (2.0 * f)).exp()),
            None => value,
        };
        self.signed(repeated)
    }

    /// The sign and scale of the quantity.
    pub(super) fn signed(&self, value: f64) -> f64 {
        if self.quantity == Quantity::Voltage { -self.scale * value } else { self.scale * value }
    }

    fn at(&self, t: f64, alpha: f64) -> f64 {
        match self.quantity {
            Quantity::B => self.field(t, alpha),
            _ => self.rate(t, alpha),
        }
    }

    /// B at time t, of the waveform.
    fn field(&self, t: f64, alpha: f64) -> f64 {
        if self.waveform.is_empty() {
            return (-alpha * t).exp();
        }
        let one = |(at, change): (f64, f64)| {
            let x = alpha * (t - at);
            // ∫₀ᵗ e^{−ατ} dτ
            let integral = if x == 0.0 { t - at } else { -(-x).exp_m1() / alpha };
            -change * integral
        };
        self.bends().into_iter().filter(|b| b.0 < t).map(one).sum()
    }

    /// dB/dt at time t.
    fn rate(&self, t: f64, alpha: f64) -> f64 {
        if self.waveform.is_empty() {
            return -alpha * (-alpha * t).exp();
        }
        let bends = self.bends();
        -bends.iter().filter(|b| b.0 < t).map(|(at, change)| change * (-alpha * (t - at)).exp()).sum::<f64>()
    }

    /// Time since the current is back at zero, of a gate's centre.
    pub(super) fn since_off(&self, k: usize) -> f64 {
        0.5 * (self.gates[k].0 + self.gates[k].1) - self.off()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_says_what_the_numbers_are_for_each_one_of() {
        let of = |quantity, per| Moment {
            name: "z".into(),
            quantity,
            waveform: Vec::new(),
            repetition: None,
            lowpass: Vec::new(),
            gates: Vec::new(),
            scale: 1.0,
            per,
        };
        let per = |ampere, turns, receiver| Per { ampere, turns, receiver };
        for (quantity, per, unit) in [
            (Quantity::B, per(false, false, false), "T"),
            (Quantity::B, per(true, false, false), "T/A"),
            (Quantity::DbDt, per(false, false, false), "T/s"),
            (Quantity::DbDt, per(true, true, false), "T/(s A m²)"),
            (Quantity::DbDt, per(false, true, false), "T/(s m²)"),
            (Quantity::Voltage, per(true, false, true), "V/(A m²)"),
            (Quantity::Voltage, per(true, true, true), "V/(A m⁴)"),
            (Quantity::Voltage, per(false, false, true), "V/m²"),
        ] {
            assert_eq!(of(quantity, per).unit(), unit);
        }
        assert_eq!(per(true, false, true).words(), "for each A of the peak current, m² of the receiver");
        assert_eq!(Per::default().words(), "");
    }
}
