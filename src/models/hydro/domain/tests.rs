//! Domains: linear cost, the same bits for any threads, water in and out, and the real basin where it is at hand.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::explain::Marked;
use crate::files::human::Document;
use crate::models::hydro::basin::Basin;
use crate::models::hydro::domain::synthetic::{self, LEVELS};
use crate::models::hydro::domain::{Domain, Spread, Unit};
use crate::models::hydro::fuse::Fuse;
use crate::models::hydro::fuse::decisions::Decisions;
use crate::models::hydro::gr4j::Gr4j;
use crate::models::hydro::hbv::Hbv;
use crate::models::hydro::hbv::routing::Routing;
use crate::models::hydro::testing::{data, reference, series};
use crate::models::hydro::{Parameter, Runoff, testing};

/// What comes down runs off; counts the steps of its columns.
#[derive(Default)]
struct Counting {
    steps: AtomicUsize,
}

impl Runoff for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }
    fn parameters(&self) -> &[Parameter] {
        const FACTOR: [Parameter; 1] =
            [Parameter { name: "factor", unit: "-", lower: 0.0, upper: 2.0, default: 1.0 }];
        &FACTOR
    }
    fn check(&self, _: &[f64]) -> Result<(), String> {
        Ok(())
    }
    fn flows(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>]) -> Vec<Vec<f64>> {
        self.steps.fetch_add(steps.len() * sets.len(), Ordering::Relaxed);
        sets.iter()
            .map(|set| basin.precipitation[steps.clone()].iter().map(|p| p * set[0]).collect())
            .collect()
    }
}

fn defaults(model: &impl Runoff) -> Vec<f64> {
    model.parameters().iter().map(|p| p.default).collect()
}

#[test]
fn work_grows_with_units_and_what_is_kept_with_basins() {
    let whole = synthetic::basin(400, 1);
    for (level, units, basins) in LEVELS {
        let spread = Spread::new(Counting::default(), synthetic::domain(&whole, units, basins, 7));
        let sets = vec![defaults(&spread); 3];
        spread.flows(&whole, 10..400, &sets);
        assert_eq!(spread.model().steps.load(Ordering::Relaxed), 390 * 3 * units, "{level}");
        let kept = if basins == 1 { 0 } else { 2 * 400 * basins };
        assert_eq!(spread.domain().forcing_numbers(), kept, "{level}");
        assert_eq!((spread.domain().units(), spread.domain().basins()), (units, basins));
    }
}

#[test]
fn all_that_falls_on_a_domain_runs_off_or_is_in_the_river() {
    let whole = synthetic::basin(700, 3);
    let spread = Spread::new(Counting::default(), synthetic::domain(&whole, 385, 52, 11));
    for celerity in [0.2, 1.0, 5.0] {
        let (flow, on_its_way) = spread.flow_and_rest(&whole, &(0..700), &[1.0, celerity]);
        assert_eq!(flow, spread.flows(&whole, 0..700, &[vec![1.0, celerity]])[0]);
        let fallen: f64 = spread.input(&whole).iter().sum();
        let residual = flow.iter().sum::<f64>() + on_its_way - fallen;
        assert!(residual.abs() < 1e-9, "{celerity}: {residual} of {fallen} mm");
        assert!(on_its_way > 0.0 && flow.iter().all(|q| *q >= 0.0));
    }
}

#[test]
fn no_bit_depends_on_threads_or_neighbours() {
    let whole = synthetic::basin(250, 5);
    let fuse = Fuse::new(Decisions::parent("arno_vic").unwrap(), false);
    let spread = Spread::new(fuse, synthetic::domain(&whole, 150, 5, 3));
    let mut sets = vec![defaults(&spread); 5];
    for (k, set) in sets.iter_mut().enumerate() {
        set[1] += 20.0 * k as f64;
    }
    let one = spread.flows_on(1, &whole, 0..250, &sets).unwrap();
    for threads in [2, 7] {
        assert_eq!(spread.flows_on(threads, &whole, 0..250, &sets).unwrap(), one);
    }
    for k in [0, 4] {
        assert_eq!(spread.flows(&whole, 0..250, &sets[k..=k])[0], one[k]);
    }
}

#[test]
fn one_unit_at_the_height_of_the_forcing_is_the_lumped_model() {
    let whole = synthetic::basin(300, 2);
    let unit = Unit { basin: 0, area_km2: 7.0, dz_km: 0.0, class: 0 };
    let domain = Domain::new(vec![unit], Vec::new(), None);
    let hbv = Hbv::daily(Routing::Integral, false);
    let set = defaults(&hbv);
    let lumped = hbv.flows(&whole, 0..300, std::slice::from_ref(&set)).remove(0);
    let spread = Spread::new(hbv, domain.clone()).flows(&whole, 0..300, &[set]).remove(0);
    assert!(lumped.iter().zip(&spread).all(|(a, b)| (a - b).abs() <= 1e-15 * a));
    let fuse = Fuse::new(Decisions::default(), false);
    let set = defaults(&fuse);
    let lumped = fuse.flows(&whole, 0..300, std::slice::from_ref(&set)).remove(0);
    let spread = Spread::new(fuse, domain).flows(&whole, 0..300, &[set]).remove(0);
    assert!(lumped.iter().zip(&spread).all(|(a, b)| (a - b).abs() <= 1e-14 * a.abs()));
}

/// A model in the Bow with a table `[domain]`; none where the data are not at hand.
fn bow<M: Runoff>(model: M, text: &str) -> Option<(Basin, Result<Spread<M>, Marked>)> {
    let folder = data("bow")?;
    let mut whole = testing::basin("bow/bow_daily_lumped.csv")?;
    whole.gradient = 0.1;
    let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
    let section = document.section();
    let domain = Domain::read(&section, &folder, &whole);
    Some((whole, domain.map(|domain| Spread::new(model, domain))))
}

const BANDS: &str =
    "units = { file = \"bow_bands12.csv\", elevation_m = \"elev_mean_m\" }\nreference_m = 2137.8\n";
const RIVER: &str = "network = { file = \"bow_gru52_network.csv\", id = \"gru_id\", down = \"down_seg_id\", \
                     length_m = \"seg_length_m\", elevation_m = \"elev_m\" }\n\
                     precipitation = { file = \"bow_gru52_precip_mm.csv.gz\", unit = \"mm/d\" }\n\
                     temperature = { file = \"bow_gru52_temp_c.csv.gz\", unit = \"degC\" }\n";
const UNITS: &str =
    "units = { file = \"bow_hru_bands.csv\", basin = \"gru_id\", elevation_m = \"elev_mean_m\" }\n";
const CELLS: &str = "units = { file = \"bow_cells.csv\", basin = \"gru_id\", elevation_m = \"elev_m\" }\n";

#[test]
fn twelve_bands_of_the_bow_agree_with_the_second_implementation() {
    let file = reference("hbv_bow.json");
    let hbv = Hbv::daily(Routing::Nodal, false);
    let Some((whole, spread)) = bow(hbv, BANDS) else { return };
    let spread = spread.unwrap();
    let named = &file["bands12"]["parameters"];
    let named = if named.is_object() { named } else { &file["cases"]["calibrated_600"]["parameters"] };
    let of = |p: &Parameter| named[p.name].as_f64().unwrap_or(p.default);
    let set: Vec<f64> = spread.parameters().iter().map(of).collect();
    let flow = spread.flows(&whole, 0..2556, &[set]).remove(0);
    for (step, want) in series("hbv_bow_bands12_q.csv", "bands12").iter().enumerate() {
        let got = flow[step];
        // Areas in km² here, rounded shares of them there: 1e-6
        assert!((got - want).abs() <= 2e-5 * want, "{step}: {got} {want}");
    }
}

#[test]
fn the_bow_runs_in_units_and_in_cells_with_nearly_the_same_flow() {
    let model = || Hbv::daily(Routing::Integral, false);
    let Some((whole, lumped)) = bow(model(), BANDS) else { return };
    let set = |spread: &Spread<Hbv>| vec![defaults(spread)];
    let total = |spread: &Spread<Hbv>| -> (f64, Vec<f64>) {
        let flow = spread.flows(&whole, 0..1000, &set(spread)).remove(0);
        (flow.iter().sum(), flow)
    };
    let bands = total(&lumped.unwrap());
    for (table, units) in [(UNITS, 385), (CELLS, 2331)] {
        let (_, spread) = bow(model(), &format!("{table}{RIVER}")).unwrap();
        let spread = spread.unwrap();
        assert_eq!((spread.domain().units(), spread.domain().basins()), (units, 52));
        assert!((spread.domain().area_km2() / 2212.93 - 1.0).abs() < 0.01);
        let got = total(&spread);
        assert!((got.0 / bands.0 - 1.0).abs() < 0.03, "{units}: {} {}", got.0, bands.0);
    }
}

/// Precipitation and exchange with the ground against evaporation, flow, and what is more in stores, delays and rivers.
fn closed<M: Runoff>(spread: &Spread<M>, whole: &Basin, steps: Range<usize>, set: &[f64], what: &str) {
    let balance = spread.balance(whole, &steps, set).unwrap();
    let book = balance.units;
    // 1e-9 mm: additions of some thousand days and some thousand units
    assert!(balance.residual().abs() < 1e-9, "{what}: {} mm of {book:?}", balance.residual());
    assert!(book.input > 100.0 && book.evaporation > 1.0 && balance.on_its_way >= 0.0, "{what}: {book:?}");
    let fallen: f64 = spread.input(whole)[steps.clone()].iter().sum();
    assert!((book.input - fallen).abs() < 1e-9, "{what}: {} of {fallen} mm", book.input);
    // The book is of the run that is scored
    let (flow, on_its_way) = spread.flow_and_rest(whole, &steps, set);
    assert!(flow.iter().zip(&balance.flow).all(|(a, b)| (a - b).abs() <= 1e-12 * a.abs()), "{what}");
    assert!((on_its_way - balance.on_its_way).abs() <= 1e-12 * on_its_way, "{what}: {on_its_way}");
}

/// A model on all domains of the Bow: the whole record in one unit, in twelve and in 385, and so many days in 2331 cells.
/// `set` are parameters by name; the others have their defaults.
fn closed_on_all<M: Runoff>(model: impl Fn() -> M, set: &[(&str, f64)], days: usize, what: &str) {
    let Some(whole) = testing::basin("bow/bow_daily_lumped.csv") else { return };
    let all = whole.calendar.steps;
    let of = |spread: &Spread<M>| -> Vec<f64> {
        let given =
            |p: &Parameter| set.iter().find(|(name, _)| *name == p.name).map_or(p.default, |(_, x)| *x);
        spread.parameters().iter().map(given).collect()
    };
    let alone = Unit { basin: 0, area_km2: 2212.93, dz_km: 0.0, class: 0 };
    let lumped = Spread::new(model(), Domain::new(vec![alone], Vec::new(), None));
    closed(&lumped, &whole, 0..all, &of(&lumped), &format!("{what}, lumped"));
    let (units, cells) = (format!("{UNITS}{RIVER}"), format!("{CELLS}{RIVER}"));
    for (table, days) in [(BANDS, all), (&units, all), (&cells, days)] {
        let (whole, spread) = bow(model(), table).unwrap();
        let spread = spread.unwrap();
        let what = format!("{what}, {} units", spread.domain().units());
        closed(&spread, &whole, 0..days, &of(&spread), &what);
    }
}

#[test]
fn water_of_gr4j_on_every_domain_of_the_bow_is_accounted_for() {
    // Water that comes out of the ground, and that goes there
    for x2 in [-2.0, 1.5] {
        closed_on_all(|| Gr4j::new(true), &[("x2", x2)], 1000, &format!("gr4j, x2 = {x2}"));
    }
}

#[test]
fn water_of_hbv_on_every_domain_of_the_bow_is_accounted_for() {
    let hbv = || Hbv::daily(Routing::Integral, false);
    closed_on_all(hbv, &[("sfcf", 1.0), ("maxbas", 6.3)], 1000, "hbv");
    assert!(
        Hbv::daily(Routing::Integral, true).booked(0..1, &[]).is_none(),
        "smooth thresholds clip their stores"
    );
    // Snowfall that is corrected counts as it lies
    let Some(whole) = testing::basin("bow/bow_daily_lumped.csv") else { return };
    let mut set = defaults(&hbv());
    let all = 0..whole.calendar.steps;
    for sfcf in [0.8, 1.3] {
        set[2] = sfcf;
        let (flow, book) = hbv().booked(all.clone(), &[(&whole, &set)]).unwrap().remove(0);
        let residual = book.input - book.evaporation - flow.iter().sum::<f64>() - book.stored;
        assert!(residual.abs() < 1e-9, "{sfcf}: {residual} mm of {book:?}");
        assert_eq!(flow, hbv().flows(&whole, all.clone(), std::slice::from_ref(&set))[0]);
    }
}

#[test]
fn water_of_the_parents_of_fuse_on_every_domain_of_the_bow_is_accounted_for() {
    // Parents side by side: their cells are most of the work
    std::thread::scope(|scope| {
        for some in [["topmodel", "arno_vic"], ["prms", "sacramento"]] {
            scope.spawn(move || {
                for parent in some {
                    let fuse = || Fuse::new(Decisions::parent(parent).unwrap(), false);
                    closed_on_all(fuse, &[], 250, parent);
                }
            });
        }
    });
}

#[test]
fn classes_scale_parameters_and_faults_have_their_lines() {
    let folder = std::env::temp_dir().join(format!("ekp-domain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "units.csv",
        "name,basin,elevation_m,area_km2,class\n1,a,1000,2,ice\n2,b,2000,3,forest\n3,b,1500,1,forest\n",
    );
    write("odd.csv", "basin,elevation_m,area_km2\na,1000,2\nb,2000,-3\n");
    write("river.csv", "id,down,length_m\na,0,1000\nb,a,5000\n");
    write("circle.csv", "id,down,length_m\na,0,1000\nb,c,5000\nc,b,5000\n");
    write("lost.csv", "id,down,length_m\na,0,1000\nb,x,5000\n");
    let whole = synthetic::basin(50, 1);
    let read = |text: &str| {
        let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
        let section = document.section();
        Domain::read(&section, &folder, &whole)
    };
    let good = "units = { file = \"units.csv\" }\nnetwork = { file = \"river.csv\" }\nreference_m = 1000\n";
    let domain = read(&format!("{good}factors = {{ forest = {{ factor = 0.5 }} }}\n")).unwrap();
    let spread = Spread::new(Counting::default(), domain);
    assert_eq!(spread.parameters().iter().map(|p| p.name).collect::<Vec<_>>(), ["factor", "celerity"]);
    let flow: f64 = spread.flows(&whole, 0..50, &[vec![1.0, 5.0]])[0].iter().sum();
    let rain: f64 = whole.precipitation.iter().sum();
    let share = (2.0 + 0.5 * (3.0 * 1.1 + 1.05)) / 6.0;
    // What fell on the last days may still be in the river
    assert!((flow / rain / share - 1.0).abs() < 0.02, "{} {share}", flow / rain);
    for (text, words) in [
        ("reference_m = 1000\n".to_owned(), "`units` is missing"),
        (good.replace("reference_m = 1000\n", ""), "`reference_m` is missing"),
        (good.replace("units.csv", "odd.csv"), "cannot be used"),
        (good.replace("river.csv", "circle.csv"), "runs in a circle"),
        (good.replace("river.csv", "lost.csv"), "no such reach"),
        (good.replace("river.csv", "rivr.csv"), "cannot be read"),
        (format!("{good}muskingum_x = 0.5\n"), "out of range"),
        (format!("{good}factors = {{ town = {{ factor = 0.5 }} }}\n"), "of no use"),
        (format!("{good}unit = 3\n"), "unknown key"),
        (good.replace("\"units.csv\"", "\"units.csv\", area_km2 = \"aera\""), "no column `aera`"),
    ] {
        let fault = read(&text).unwrap_err();
        assert!(fault.to_string().contains(words), "{text}{fault}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn options_of_an_experiment_make_a_model_that_runs_in_threads() {
    let folder = std::env::temp_dir().join(format!("ekp-spread-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let whole = synthetic::basin(60, 4);
    let mut forcing = "date,p,t,e\n".to_owned();
    for i in 0..60 {
        let day = whole.calendar.at(i).date();
        let (p, t, e) = (whole.precipitation[i], whole.temperature[i], whole.pet[i]);
        forcing.push_str(&format!("{day},{p},{t},{e}\n"));
    }
    let units: String =
        (0..40).map(|i| format!("{},{},{}\n", ["a", "b"][i % 2], 1000 + 40 * i, 1 + i % 3)).collect();
    std::fs::write(folder.join("f.csv"), forcing).unwrap();
    std::fs::write(folder.join("u.csv"), format!("basin,elevation_m,area_km2\n{units}")).unwrap();
    std::fs::write(folder.join("r.csv"), "id,down,length_m\na,,3000\nb,a,40000\n").unwrap();
    let text = "forcing = \"f.csv\"\nprecipitation = { column = \"p\", unit = \"mm/d\" }\n\
                temperature = { column = \"t\", unit = \"degC\" }\npet = { column = \"e\", unit = \"mm/d\" }\n\
                period = [\"2001-02-01\", \"2001-03-01\"]\nstructure = \"prms\"\nparameters = { MBASE = 0.5 }\n\
                domain = { units = { file = \"u.csv\" }, network = { file = \"r.csv\" }, reference_m = 1500 }\n";
    let read = |text: &str| {
        let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
        let section = document.section();
        crate::models::hydro::fuse::forward(&section, &folder)
    };
    let model = read(text).unwrap();
    let names = [("MAXWATR_1".to_owned(), 1), ("celerity".to_owned(), 1)];
    let values = crate::numerics::Mat::from_columns(2, 3, vec![80.0, 0.5, 150.0, 2.0, 90.0, -1.0]);
    let want = crate::models::Want::series(vec![("q".into(), 29)]);
    assert!(model.fits(&names, &want).unwrap()[0].contains("spin-up"));
    let run = |threads: usize| {
        let place = |j| crate::models::Place { threads, ..crate::models::test_place(j) };
        let mut places: Vec<_> = (1..=3).map(place).collect();
        model.run(crate::models::ThetaRef { names: &names, values: &values }, &want, &mut places)
    };
    let (one, four) = (run(1), run(4));
    for j in 0..2 {
        let (a, b) = (one[j].as_ref().unwrap(), four[j].as_ref().unwrap());
        assert_eq!(a, b);
        assert!(a.blocks[0].len() == 29 && a.blocks[0].iter().all(|q| *q > 0.0));
    }
    assert!(one[2].as_ref().unwrap_err().message.contains("`celerity` is -1"));
    let banded = format!("{text}bands = {{ elevation_m = [1500], area = [1], reference_m = 1500 }}\n");
    assert!(read(&banded).err().unwrap().to_string().contains("exclude each other"));
    std::fs::remove_dir_all(&folder).unwrap();
}
