//! What a search finds on a real basin: HBV on the Bow at Banff, 14 parameters, 1000 evaluations, twelve seeds.
//!
//! A second implementation has, one trial after the other, a median KGE of 0.947 (0.938 to 0.955); published searches
//! of others end at 0.938 and 0.942. Trials that run 16 at a time lose little. With the random numbers of that second
//! implementation, 600 trials of it come out one by one.

use std::path::Path;

use ekp::dds::{Search, Standing, Tried, perturb, probability};
use ekp::experiment::Experiment;
use ekp::files::human::Document;
use ekp::models::{Place, ThetaRef};
use ekp::numerics::{Mat, Purpose, Streams};
use serde_json::Value;

use crate::support::Folder;
use crate::support::bow::{Bow, Moving, data, priors};

const SCORE: &str = r#"
name = "kge"
spin_up = ["2002-10-01", "2003-12-31"]
calibration = ["2004-01-01", "2007-12-31"]
"#;
/// HBV, scored over four years.
const HBV: Bow<'_> = Bow { builtin: "hbv", own: "", domain: "", score: SCORE, members: 1, budget: 1000 };

const BOUNDS: [Moving; 14] = [
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

/// HBV in the basin.
struct Basin {
    folder: Folder,
    experiment: Experiment,
    prior: ekp::problem::Prior,
}

impl Basin {
    fn new(data: &Path, bow: &Bow<'_>) -> Self {
        let folder = Folder::new("bow");
        folder.write("priors.toml", &priors(&BOUNDS));
        let document = Document::parse(Path::new("experiment.toml"), &bow.experiment(data)).unwrap();
        let experiment = Experiment::read(&document, data).unwrap();
        let prior = experiment.prior(folder.path()).unwrap();
        Self { folder, experiment, prior }
    }

    fn search(&self) -> Search {
        self.experiment.searching().unwrap().search(&self.prior, 1).unwrap()
    }

    /// Scores of trials, none of those that failed.
    fn scores(&self, first: u32, xs: &[Vec<f64>]) -> Vec<Option<f64>> {
        let place = |t: u32| Place {
            run: self.folder.path().to_owned(),
            iteration: 0,
            member: t,
            attempt: 1,
            seed: 1,
            stream: Streams::new(1).address(Purpose::Model, 0, t),
            parameters: self.folder.path().join("none"),
            folder: self.folder.path().to_owned(),
            threads: 1,
            worker: 1,
            stop: None,
            batch: String::new(),
        };
        let values = Mat::from_columns(14, xs.len(), xs.concat());
        let mut places: Vec<Place> = (first..).take(xs.len()).map(place).collect();
        let theta = ThetaRef { names: self.prior.names(), values: &values };
        let want = self.experiment.searching().unwrap().score.want();
        let results = self.experiment.model.forward.run(theta, &want, &mut places);
        results.into_iter().map(|result| Some(result.ok()?.scores[0].goal())).collect()
    }
}

/// The random numbers are those of the second implementation; rule, model, score and what is kept are ours.
#[test]
fn six_hundred_trials_of_a_second_implementation_come_out_one_by_one() {
    let Some(data) = data("bow_daily_lumped.csv") else { return };
    // That one routes at whole steps, and runs all days
    let score = SCORE.lines().filter(|line| !line.starts_with("spin_up")).collect::<Vec<_>>().join("\n");
    let bow = Basin::new(&data, &Bow { own: "routing = \"nodal\"", score: &score, budget: 600, ..HBV });
    let search = bow.search();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/hydro/hbv_bow_search.json");
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().map_or(Vec::new(), |all| all.iter().map(|x| x.as_f64().unwrap()).collect())
    };
    let trials = recorded["trials"].as_array().unwrap();
    assert_eq!((trials.len(), recorded["initial"].as_u64()), (600, Some(u64::from(search.initial))));
    let (mut standing, mut trace) = (Standing::default(), Vec::new());
    let mut largest = 0.0_f64;
    for (t, trial) in (1u32..).zip(trials) {
        let (u, z) = (numbers(&trial["u"]), numbers(&trial["z"]));
        let axes = &search.space.axes;
        let x: Vec<f64> = if t <= search.initial {
            axes.iter().zip(&u).map(|(axis, u)| axis.lo + u * (axis.hi - axis.lo)).collect()
        } else {
            let p = probability(t - search.initial, 600 - search.initial);
            let mut chosen: Vec<usize> = (0..14).filter(|j| u[*j] < p).collect();
            if chosen.is_empty() {
                chosen.push(trial["pick"].as_u64().unwrap() as usize);
            }
            assert_eq!(chosen.len(), z.len(), "trial {t}: as many coordinates move");
            let mut x = standing.best().unwrap().x.clone();
            for (&j, &z) in chosen.iter().zip(&z) {
                let (lo, hi) = (axes[j].lo, axes[j].hi);
                x[j] = perturb(x[j], z, (lo, hi), search.r * (hi - lo));
            }
            x
        };
        let score = bow.scores(t, std::slice::from_ref(&x))[0].unwrap();
        let expected = trial["score"].as_f64().unwrap();
        largest = largest.max((score - expected).abs() / expected.abs().max(1.0));
        search.merge(&mut standing, &[Tried { trial: t, x, goals: Some(vec![score]) }]);
        trace.push(standing.best().unwrap().goals[0]);
    }
    assert!(largest < 1e-9, "scores differ by {largest}");
    // The best of every fifty, as the second implementation tells it
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/hydro/hbv_bow.json");
    let told: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let told = numbers(&told["dds_serial_trace_600"]);
    let ours: Vec<f64> = trace.iter().copied().step_by(50).chain(trace.last().copied()).collect();
    assert_eq!(told.len(), ours.len());
    assert!(told.iter().zip(&ours).all(|(a, b)| (a - b).abs() < 1e-9), "{told:?} {ours:?}");
    eprintln!("600 trials: scores within {largest:.1e}");
}

#[test]
fn twelve_searches_on_the_bow_find_what_others_find_or_better() {
    let Some(data) = data("bow_daily_lumped.csv") else { return };
    let bow = Basin::new(&data, &HBV);
    let search = bow.search();
    let evaluate = |first: u32, xs: &[Vec<f64>]| -> Vec<Tried> {
        let one = |((t, x), score): ((u32, &Vec<f64>), Option<f64>)| Tried {
            trial: t,
            x: x.clone(),
            goals: score.map(|score| vec![score]),
        };
        (first..).zip(xs).zip(bow.scores(first, xs)).map(one).collect()
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
