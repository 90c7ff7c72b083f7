//! What a search finds on a real basin: HBV on the Bow at Banff, 14 parameters, 1000 evaluations, twelve seeds.
//!
//! A second implementation has, one trial after the other, a median KGE of 0.947 (0.938 to 0.955); published searches
//! of others end at 0.938 and 0.942. Trials that run 16 at a time lose little.

use std::path::Path;

use ekp::dds::{Standing, Tried};
use ekp::experiment::Experiment;
use ekp::files::human::Document;
use ekp::models::{Place, ThetaRef};
use ekp::numerics::{Mat, Purpose, Streams};

use crate::support::{Folder, there};

const EXPERIMENT: &str = r#"
schema = "ekp.experiment"
version = 1
name = "bow"
seed = 1
[model]
builtin = "hbv"
[model.hbv]
forcing = "bow/bow_daily_lumped.csv"
precipitation = { column = "precip_mm", unit = "mm/d" }
temperature = { column = "temp_c", unit = "degC" }
pet = { column = "pet_mm", unit = "mm/d" }
flow = { column = "q_mm", unit = "mm/d" }
[prior]
file = "priors.toml"
[score]
name = "kge"
spin_up = ["2002-10-01", "2003-12-31"]
calibration = ["2004-01-01", "2007-12-31"]
[algorithm]
method = "dds"
members = 1
budget = 1000
"#;

const BOUNDS: [(&str, f64, f64); 14] = [
    ("tt", -3.0, 3.0),
    ("cfmax", 1.0, 10.0),
    ("sfcf", 0.5, 1.5),
    ("cfr", 0.0, 0.1),
    ("cwh", 0.0, 0.2),
    ("fc", 50.0, 700.0),
    ("lp", 0.3, 1.0),
    ("beta", 1.0, 6.0),
    ("k0", 0.05, 0.5),
    ("k1", 0.01, 0.3),
    ("k2", 0.0001, 0.1),
    ("uzl", 0.0, 100.0),
    ("perc", 0.0, 20.0),
    ("maxbas", 1.0, 7.0),
];

/// How trials follow each other.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// So many from the same knowledge
    Batch(u32),
    /// Each without the results of so many before it
    Late(u32),
}

#[test]
fn twelve_searches_on_the_bow_find_what_others_find_or_better() {
    let data = std::env::var("EKP_TEST_DATA").unwrap_or_default();
    let data = Path::new(&data);
    if !there("EKP_TEST_DATA with bow/", data.join("bow/bow_daily_lumped.csv").is_file()) {
        return;
    }
    let folder = Folder::new("bow");
    let table = |(name, lo, hi): &(&str, f64, f64)| {
        format!(
            "[{name}]\nprior = \"Parameterized(Normal(0.0, 1.0))\"\nconstraint = \"bounded({lo:?}, {hi:?})\"\n"
        )
    };
    folder.write("priors.toml", &BOUNDS.iter().map(table).collect::<String>());
    let document = Document::parse(Path::new("experiment.toml"), EXPERIMENT).unwrap();
    let experiment = Experiment::read(&document, data).unwrap();
    let prior = experiment.prior(folder.path()).unwrap();
    let searching = experiment.searching().unwrap();
    let search = searching.search(&prior, 1).unwrap();
    let want = searching.score.want();
    let place = |t: u32| Place {
        run: folder.path().to_owned(),
        iteration: 0,
        member: t,
        attempt: 1,
        seed: 1,
        stream: Streams::new(1).address(Purpose::Model, 0, t),
        parameters: folder.path().join("none"),
        folder: folder.path().to_owned(),
        threads: 1,
        worker: 1,
        stop: None,
        batch: String::new(),
    };
    let evaluate = |first: u32, xs: &[Vec<f64>]| -> Vec<Tried> {
        let values = Mat::from_columns(14, xs.len(), xs.concat());
        let mut places: Vec<Place> = (first..).take(xs.len()).map(place).collect();
        let theta = ThetaRef { names: prior.names(), values: &values };
        let results = experiment.model.forward.run(theta, &want, &mut places);
        let one = |((t, x), result): ((u32, &Vec<f64>), Result<ekp::models::Output, _>)| {
            let goals = result.ok().map(|output| vec![output.scores[0].goal()]);
            Tried { trial: t, x: x.clone(), goals }
        };
        (first..).zip(xs).zip(results).map(one).collect()
    };
    let run = |form: Form, seed: u64| -> f64 {
        let draw = Streams::new(seed);
        let (mut standing, mut waiting) = (Standing::default(), std::collections::VecDeque::new());
        let mut next = 1;
        while next <= 1000 {
            let size = match form {
                Form::Batch(size) => size,
                Form::Late(_) => 1,
            };
            let last = (next + size - 1).min(1000);
            let xs: Vec<Vec<f64>> =
                (next..=last).map(|t| search.trial(&standing, t, 1000, &draw).x).collect();
            let tried = evaluate(next, &xs);
            match form {
                Form::Batch(_) => search.merge(&mut standing, &tried),
                Form::Late(late) => {
                    waiting.extend(tried);
                    while waiting.len() >= late as usize {
                        search.merge(&mut standing, &[waiting.pop_front().unwrap()]);
                    }
                }
            }
            next = last + 1;
        }
        waiting.drain(..).for_each(|tried| search.merge(&mut standing, &[tried]));
        standing.best().unwrap().goals[0]
    };
    let found = |form: Form| -> (f64, f64) {
        let mut all: Vec<f64> = (1..=12).map(|seed| run(form, seed)).collect();
        all.sort_by(f64::total_cmp);
        eprintln!("{form:?}: min {:.4}, median {:.4}, max {:.4}", all[0], (all[5] + all[6]) / 2.0, all[11]);
        (all[0], (all[5] + all[6]) / 2.0)
    };
    let (least, median) = found(Form::Batch(1));
    assert!(median >= 0.943 && least >= 0.93, "one after the other: median {median}, least {least}");
    for form in [Form::Batch(4), Form::Batch(16), Form::Late(4), Form::Late(16)] {
        let (_, other) = found(form);
        assert!(other >= median - 0.01, "{form:?}: median {other}, one after the other {median}");
    }
}
