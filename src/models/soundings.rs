//! Soundings over layered ground, as a report draws them: which parameters are layers, and when each output was taken.

/// Outputs over time of a sounding, a block of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Name of the block, without that of the sounding
    pub block: String,
    /// What it is, with its unit: `voltage, V/(A m²)`
    pub label: String,
    /// What its numbers are for each one of, in words; may be empty
    pub per: String,
    /// s, one per output: since the current is back at zero
    pub times: Vec<f64>,
}

/// A model's soundings: `rho1` … `rhoL` (Ω m) and `h1` … `h{L−1}` (m) of each, and its curves.
#[derive(Debug, Clone, PartialEq)]
pub struct Soundings {
    /// What names of parameters and blocks begin with; one empty text where there is one sounding
    pub names: Vec<String>,
    /// L
    pub layers: usize,
    /// Parameters that are not calibrated
    pub fixed: Vec<(String, f64)>,
    /// Of each sounding
    pub curves: Vec<Curve>,
}

/// Layers: resistivities (Ω m) and depths (m) of the bottoms of all but the last.
#[derive(Debug, Clone, PartialEq)]
pub struct Layers {
    /// Ω m, top to bottom
    pub resistivity: Vec<f64>,
    /// m
    pub bottoms: Vec<f64>,
}

impl Soundings {
    /// The layers of a sounding, from a look-up of parameters by name; none where one is missing.
    pub fn layers(&self, sounding: &str, value: impl Fn(&str) -> Option<f64>) -> Option<Layers> {
        let of = |name: String| {
            let fixed = || self.fixed.iter().find(|(known, _)| *known == name).map(|(_, x)| *x);
            value(&format!("{sounding}{name}")).or_else(fixed)
        };
        let resistivity = (1..=self.layers).map(|i| of(format!("rho{i}"))).collect::<Option<Vec<_>>>()?;
        let mut depth = 0.0;
        let mut bottoms = Vec::new();
        for i in 1..self.layers {
            depth += of(format!("h{i}"))?;
            bottoms.push(depth);
        }
        Some(Layers { resistivity, bottoms })
    }
}

impl Layers {
    /// Ω m at a depth, m.
    pub fn at(&self, depth: f64) -> f64 {
        let layer = self.bottoms.iter().position(|bottom| depth < *bottom);
        self.resistivity[layer.unwrap_or(self.bottoms.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_by_name_and_by_depth() {
        let soundings = Soundings {
            names: vec!["s001_".into()],
            layers: 3,
            fixed: vec![("rho3".into(), 5.0)],
            curves: Vec::new(),
        };
        let known = [("s001_rho1", 30.0), ("s001_rho2", 200.0), ("s001_h1", 10.0), ("s001_h2", 40.0)];
        let value = |name: &str| known.iter().find(|(k, _)| *k == name).map(|(_, x)| *x);
        let layers = soundings.layers("s001_", value).unwrap();
        assert_eq!(layers.bottoms, [10.0, 50.0]);
        assert_eq!([0.0, 10.0, 49.9, 50.0, 1e3].map(|z| layers.at(z)), [30.0, 200.0, 200.0, 5.0, 5.0]);
        assert_eq!(soundings.layers("s002_", value), None);
    }
}
