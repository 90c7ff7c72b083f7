//! A search on a real basin, the Bow at Banff, whose days are found by `EKP_TEST_DATA`.

use std::path::{Path, PathBuf};

use super::there;

/// A parameter that moves, between two bounds.
pub type Moving = (&'static str, f64, f64);

/// The folder of the data with this file of the Bow; none, with a word, where it is not at hand.
pub fn data(file: &str) -> Option<PathBuf> {
    let data = PathBuf::from(std::env::var_os("EKP_TEST_DATA").unwrap_or_default());
    there(&format!("EKP_TEST_DATA with bow/{file}"), data.join("bow").join(file).is_file()).then_some(data)
}

/// What differs from search to search.
pub struct Bow<'a> {
    pub builtin: &'a str,
    /// Lines of the model's own options
    pub own: &'a str,
    /// Lines of its table `domain`, where `DATA` is the folder of the data; empty without one
    pub domain: &'a str,
    /// Lines of `[score]`
    pub score: &'a str,
    pub members: u32,
    pub budget: u32,
}

impl Bow<'_> {
    /// `experiment.toml`
    pub fn experiment(&self, data: &Path) -> String {
        let Self { builtin, own, domain, score, members, budget } = self;
        let domain =
            if domain.is_empty() { String::new() } else { format!("[model.{builtin}.domain]\n{domain}\n") };
        let text = format!(
            r#"
schema = "ekp.experiment"
version = 1
name = "bow"
seed = 1
[model]
builtin = "{builtin}"
[model.{builtin}]
{own}
forcing = "DATA/bow/bow_daily_lumped.csv"
precipitation = {{ column = "precip_mm", unit = "mm/d" }}
temperature = {{ column = "temp_c", unit = "degC" }}
pet = {{ column = "pet_mm", unit = "mm/d" }}
flow = {{ column = "q_mm", unit = "mm/d" }}
{domain}[prior]
file = "priors.toml"
[score]
{score}
[algorithm]
method = "dds"
members = {members}
budget = {budget}
"#
        );
        text.replace("DATA", &data.display().to_string())
    }
}

/// `priors.toml`: of a distribution a search takes nothing but the bounds.
pub fn priors(moving: &[Moving]) -> String {
    let one = |(name, lo, hi): &Moving| {
        format!(
            "[{name}]\nprior = \"Parameterized(Normal(0.0, 1.0))\"\nconstraint = \"bounded({lo:?}, {hi:?})\"\n"
        )
    };
    moving.iter().map(one).collect()
}
