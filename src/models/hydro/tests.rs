//! Scores, series and what is refused, with a model of two parameters.

use crate::models::hydro::testing::{numbers, reference, synthetic};
use crate::models::hydro::*;
use crate::models::score::Period;
use crate::models::test_place;
use crate::numerics::Mat;

/// Half of the precipitation at once, the rest never.
struct Half;
const HALF: [Parameter; 2] = [
    Parameter { name: "share", unit: "-", lower: 0.0, upper: 1.0, default: 0.5 },
    Parameter { name: "base", unit: "mm", lower: 0.0, upper: 9.0, default: 1.0 },
];
impl Runoff for Half {
    fn name(&self) -> &'static str {
        "half"
    }
    fn parameters(&self) -> &[Parameter] {
        &HALF
    }
    fn check(&self, set: &[f64]) -> Result<(), String> {
        if set[0] <= 1.0 { Ok(()) } else { Err("`share` is above 1".into()) }
    }
    fn flows(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let of = |set: &Vec<f64>| steps.clone().map(|i| set[1] + set[0] * basin.precipitation[i]).collect();
        sets.iter().map(of).collect()
    }
}

fn half() -> Hydro<Half> {
    let mut basin = synthetic(800);
    let mut flow = Half.flows(&basin, 0..800, &[vec![0.5, 1.0]]).remove(0);
    flow[500] = f64::NAN;
    basin.flow = Some(flow);
    basin.output = Some(period("2002-02-01", "2002-12-31"));
    Hydro::new(basin, Half)
}

fn period(first: &str, last: &str) -> Period {
    Period { first: first.parse().unwrap(), last: last.parse().unwrap() }
}

fn run(model: &Hydro<Half>, want: &Want, shares: &[f64]) -> Vec<Result<Output, ModelError>> {
    let names = [("share".to_owned(), 1)];
    let values = Mat::from_columns(1, shares.len(), shares.to_vec());
    let mut places: Vec<_> = (1..=shares.len()).map(|j| test_place(j as u32)).collect();
    model.run(ThetaRef { names: &names, values: &values }, want, &mut places)
}

#[test]
fn scores_come_with_their_parts_and_bad_sets_fail_alone() {
    let model = half();
    let measures = vec![Measure::Kge, Measure::LogNse, Measure::Pbias];
    let scoring = Scoring { measures, spin_up: None, period: Some(period("2002-01-01", "2002-12-31")) };
    let want = Want::score(scoring.clone());
    let all = run(&model, &want, &[0.5, 2.0, 0.7]);
    let good = all[0].as_ref().unwrap();
    assert!((good.scores[0].value - 1.0).abs() < 1e-7 && (good.scores[1].value - 1.0).abs() < 1e-12);
    assert_eq!(good.scores[0].pairs, 364);
    assert!(all[1].as_ref().unwrap_err().message.contains("`share` is above 1"));
    // The sums give what the whole series gives
    let flow = Half.flows(&model.basin, 0..730, &[vec![0.7, 1.0]]).remove(0);
    let observed = &model.basin.flow.as_ref().unwrap()[365..730];
    for (score, measure) in all[2].as_ref().unwrap().scores.iter().zip(scoring.measures) {
        let whole = measure.of(observed, &flow[365..]).unwrap();
        assert!(
            (score.value - whole.value).abs() < 1e-11 * whole.value.abs().max(1.0),
            "{score:?} {whole:?}"
        );
    }
}

#[test]
fn series_are_the_flow_on_all_days_or_on_observed_ones() {
    let model = half();
    let days = model.basin.output_steps();
    assert_eq!(days, 396..730);
    for (count, left_out) in [(334, None), (333, Some(500))] {
        let want = Want::series(vec![("a".into(), 100), ("b".into(), count - 100)]);
        let output = run(&model, &want, &[0.25]).remove(0).unwrap();
        let expected: Vec<f64> = (396..730)
            .filter(|i| Some(*i) != left_out)
            .map(|i| 1.0 + 0.25 * model.basin.precipitation[i])
            .collect();
        assert_eq!(output.blocks.concat(), expected);
        assert_eq!(model.fits(&[("share".into(), 1)], &want).unwrap(), Vec::<String>::new());
    }
    let want = Want::series(vec![("a".into(), 100)]);
    assert!(model.fits(&[("share".into(), 1)], &want).is_err());
    assert!(run(&model, &want, &[0.5])[0].is_err());
}

#[test]
fn what_cannot_be_scored_is_refused_before_anything_runs() {
    let mut model = half();
    let names = [("share".to_owned(), 1)];
    let scoring = |measures: &[Measure], spin_up, period| {
        Want::score(Scoring { measures: measures.to_vec(), spin_up, period })
    };
    let year = Some(period("2002-01-01", "2002-12-31"));
    for (want, words) in [
        (scoring(&[], None, year), "no score of its own"),
        (
            scoring(&[Measure::Kge], None, Some(period("2002-01-01", "2004-12-31"))),
            "the forcing has 2001-01-01 to",
        ),
        (scoring(&[Measure::Kge], Some(period("2002-03-01", "2002-04-01")), year), "spin-up"),
        (scoring(&[Measure::Kge], None, Some(period("2002-05-16", "2002-05-16"))), "fewer than 2"),
    ] {
        assert!(model.fits(&names, &want).unwrap_err().to_string().contains(words), "{words}");
        assert!(run(&model, &want, &[0.5])[0].is_err());
    }
    let short = scoring(&[Measure::Kge], Some(period("2001-12-01", "2001-12-31")), year);
    assert!(model.fits(&names, &short).unwrap()[0].contains("31 days of spin-up"));
    assert!(model.fits(&[("shore".into(), 1)], &short).is_err());
    model.basin.flow = None;
    assert!(model.fits(&names, &short).unwrap_err().to_string().contains("no observed flow"));
}

#[test]
fn scores_agree_with_the_second_implementation() {
    let pieces = reference("small_pieces.json");
    let metrics = &pieces["metrics"];
    let series = |key: &str| -> Vec<f64> {
        metrics[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
    };
    for (measure, key) in [
        (Measure::Kge, "kge"),
        (Measure::KgePrime, "kge_prime"),
        (Measure::Nse, "nse"),
        (Measure::LogNse, "log_nse"),
        (Measure::Pbias, "pbias"),
    ] {
        let ours = measure.of(&series("obs"), &series("sim")).unwrap();
        let theirs = metrics[key].as_f64().unwrap();
        assert!((ours.value - theirs).abs() < 1e-13 * theirs.abs().max(1.0), "{key}: {ours:?} {theirs}");
        if let Some(parts) = metrics[format!("{key}_parts")].as_object() {
            for (name, x) in &ours.parts {
                assert!((x - parts[name].as_f64().unwrap()).abs() < 1e-13, "{key} {name}");
            }
        }
    }
    assert!(!numbers(&pieces["maxbas"][0]["nodal"]).is_empty());
}
