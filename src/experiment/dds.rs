//! `[algorithm]` and `[score]` of the searches: DDS by generations, and by workers without a coordinator.
//!
//! Belongs here: their keys, which parameters they name, and the search that follows once the prior is known.
//! Not here: what is scored (`scored`), the rule (`dds`), the measures (`models::score`).

use super::needed;
use super::task::METHODS;
use crate::dds::{Axis, Boundary, Kind, MOST_VOLUME, Search, Select, Space, Tie};
use crate::explain::{Marked, Place, nearest, one_of, plain};
use crate::files::human::{Names, Section};
use crate::problem::Prior;

mod scored;

pub use scored::{Scored, parts};

/// Methods of this kind.
pub(super) const SEARCHES: &[&str] = &["dds", "dds-async"];

/// Workers per evaluation below which a search in parallel loses quality.
const LEAST_EACH: u32 = 30;

/// How trials are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// So many at a time, merged together
    Generations,
    /// One by one, to workers that share a folder; a lease is for so many trials
    Workers {
        /// Trials that share a lease and an outcome; 1: each has its own
        claim_size: u32,
    },
}

/// A search for the best score.
pub struct Searching {
    /// How trials are handed out
    pub form: Form,
    /// Evaluations, all counted
    pub budget: u32,
    /// What is to be made large
    pub score: Scored,
    /// The rule, without its space
    rule: Search,
    /// Draws before the rule counts, where the file says
    initial: Option<u32>,
    most_failures: Option<u32>,
    named: Named,
    /// Where `[prior]` stands
    prior: Place,
}

/// Parameters that `[algorithm]` names.
#[derive(Default)]
struct Named {
    kinds: Vec<(String, Place, Kind)>,
    start: Option<Vec<(String, Place, f64)>>,
    fixed: Vec<(String, Place, f64)>,
    ties: Vec<(String, Place, String, f64, f64)>,
    order: Vec<Vec<(String, Place)>>,
}

/// What the file asks for.
pub(super) struct Read {
    pub(super) method: &'static str,
    pub(super) members: u32,
    pub(super) searching: Searching,
    pub(super) warnings: Vec<String>,
}

/// A search, from all tables of its `experiment.toml`.
pub(super) fn read(top: &Section<'_>) -> Result<Read, Marked> {
    if top.keys().any(|key| key == "observation") {
        let label = "a search compares scores: see `[score]`";
        return Err(top.wrong("observation", "`[observation]` has no use here", label));
    }
    if let Some(failures) = top.section("failures")? {
        for key in ["quorum", "outlier_factor"] {
            if failures.keys().any(|k| k == key) {
                let label =
                    "a search goes on without those that failed; `storm` in `[algorithm]` says when it ends";
                return Err(failures.wrong(key, format!("`{key}` has no use here"), label));
            }
        }
    }
    let section = needed(top, "algorithm")?;
    let method = section.choice("method", METHODS)?.unwrap_or("dds");
    let score = scored::read(&needed(top, "score")?)?;
    let many = "how many run at a time, such as 8";
    let members =
        section.integer("members", 1..=1_000_000)?.ok_or_else(|| section.missing("members", many))?;
    let budget = section
        .integer("budget", 1..=100_000_000)?
        .ok_or_else(|| section.missing("budget", "evaluations, all counted, such as 1000"))?;
    let (members, budget) =
        (u32::try_from(members).expect("at most a million"), u32::try_from(budget).expect("at most 10⁸"));
    if section.keys().any(|key| key == "iterations") {
        let label = "found `iterations`, a search has a `budget` of evaluations";
        return Err(section.wrong("iterations", "`iterations` has no use here", label));
    }
    let claim_size = section.integer("claim_size", 1..=100_000)?;
    if method == "dds" && claim_size.is_some() {
        let label = "`dds` hands out generations; allowed with method `dds-async`";
        return Err(section.wrong("claim_size", "`claim_size` has no use here", label));
    }
    let claim_size = u32::try_from(claim_size.unwrap_or(1)).expect("at most 100000");
    let form = if method == "dds" { Form::Generations } else { Form::Workers { claim_size } };
    let count = |key: &str| -> Result<Option<u32>, Marked> {
        Ok(section.integer(key, 1..=1_000_000)?.and_then(|n| u32::try_from(n).ok()))
    };
    let select = select(&section, score.names.len())?;
    let mut rule = Search {
        space: Space::default(),
        initial: 1,
        r: section.number("r", "a number above 0, at most 1", |r| 0.0 < r && r <= 1.0)?.unwrap_or(0.2),
        p_min: section.number("p_min", "a share from 0 to 1", |p| (0.0..=1.0).contains(&p))?.unwrap_or(0.0),
        widen: section.opt("widen")?.unwrap_or(false),
        boundary: match section.choice("boundary", &["reflect", "absorb"])? {
            Some("absorb") => Boundary::Absorb,
            _ => Boundary::Reflect,
        },
        select,
        start: None,
        storm: count("storm")?.unwrap_or(50),
        most_failures: 0,
    };
    let (initial, most_failures) = (count("initial")?, count("initial_failures")?);
    let named = named(&section)?;
    section.finish()?;
    rule.initial = initial.unwrap_or(1);
    let mut warnings = Vec::new();
    if budget < LEAST_EACH.saturating_mul(members) && members > 1 {
        let fewer = (budget / LEAST_EACH).max(1);
        warnings.push(format!(
            "a budget of {budget} for {members} trials at a time is below {LEAST_EACH} for each: the search finds less than one after the other would; {fewer} at a time, or several independent runs (another `seed`), use the machine better"
        ));
    }
    if matches!(rule.select, Select::Pool(_)) {
        warnings
            .push("`selection = \"pool\"` is there for comparison: it searches worse than `\"best\"`".into());
    }
    let searching =
        Searching { form, budget, score, rule, initial, most_failures, named, prior: top.place("prior") };
    Ok(Read { method, members, searching, warnings })
}

fn select(section: &Section<'_>, objectives: usize) -> Result<Select, Marked> {
    const ONE: &[&str] = &["best", "pool"];
    const SEVERAL: &[&str] = &["crowding", "hypervolume", "uniform"];
    let all: Vec<&'static str> = ONE.iter().chain(SEVERAL).copied().collect();
    let word = section.choice("selection", &all)?;
    let size = section.integer("pool_size", 1..=100_000)?;
    let fit = if objectives > 1 { SEVERAL } else { ONE };
    if let Some(word) = word.filter(|word| !fit.contains(word)) {
        let many = if objectives > 1 { "several objectives" } else { "one objective" };
        let label = format!("found `{word}`, allowed with {many}: {}", one_of(fit));
        return Err(section.wrong("selection", "`selection` does not fit the score", label));
    }
    if word == Some("hypervolume") && objectives > MOST_VOLUME {
        let label = format!(
            "the score has {objectives} objectives, volumes are measured of up to {MOST_VOLUME}; allowed: `crowding` or `uniform`"
        );
        return Err(section.wrong("selection", "`hypervolume` is for two or three objectives", label));
    }
    let word = word.unwrap_or(fit[0]);
    if word != "pool" && size.is_some() {
        let label = format!("it belongs to `selection = \"pool\"`, this is `{word}`");
        return Err(section.wrong("pool_size", "`pool_size` has no use here", label));
    }
    Ok(match word {
        "pool" => Select::Pool(u32::try_from(size.unwrap_or(10)).expect("at most 100000")),
        "crowding" => Select::Crowding,
        "hypervolume" => Select::Hypervolume,
        "uniform" => Select::Uniform,
        _ => Select::Best,
    })
}

fn named(section: &Section<'_>) -> Result<Named, Marked> {
    let mut all = Named::default();
    for (key, kind) in [("integer", Kind::Integer), ("logarithmic", Kind::Log), ("choice", Kind::Choice)] {
        if let Some(names) = Names::read(section, key)? {
            all.kinds.extend(names.iter().map(|(name, place)| (name.to_owned(), place.clone(), kind)));
        }
    }
    all.start = values(section, "start")?;
    all.fixed = values(section, "fixed")?.unwrap_or_default();
    if let Some(ties) = section.section("tied")? {
        for name in ties.keys() {
            let place = ties.place(name);
            if let Ok(Some(to)) = ties.opt::<String>(name) {
                all.ties.push((name.to_owned(), place, to, 1.0, 0.0));
                continue;
            }
            let tie = ties.section(name)?.expect("the key is there");
            let finite = |key: &str| tie.number(key, "a finite number", |_| true);
            let (factor, offset) = (finite("factor")?.unwrap_or(1.0), finite("offset")?.unwrap_or(0.0));
            all.ties.push((name.to_owned(), place, tie.need("to")?, factor, offset));
            tie.finish()?;
        }
        ties.finish()?;
    }
    if let Some(chains) = section.opt::<Vec<Vec<String>>>("order")? {
        let place = section.place("order");
        all.order = chains
            .into_iter()
            .map(|chain| chain.into_iter().map(|name| (name, place.clone())).collect())
            .collect();
    }
    Ok(all)
}

/// Names with their places, and numbers.
type Values = Vec<(String, Place, f64)>;

/// A table of names and numbers.
fn values(section: &Section<'_>, key: &str) -> Result<Option<Values>, Marked> {
    let Some(table) = section.section(key)? else { return Ok(None) };
    let mut all = Vec::new();
    for name in table.keys() {
        let value = table.number(name, "a finite number", |_| true)?.expect("the key is there");
        all.push((name.to_owned(), table.place(name), value));
    }
    Ok(Some(all))
}

impl Searching {
    /// Draws before the rule counts: max(5, round(0.005 m)), and whole generations.
    fn initial(&self, members: u32) -> u32 {
        let usual = Search::usual_initial(self.budget, self.named.start.is_some());
        let least = if self.form == Form::Generations { members } else { 1 };
        self.initial.unwrap_or(usual).max(least)
    }

    /// Members of the first generation, and how many generations there are.
    pub(super) fn generations(&self, members: u32, budget: u32) -> (u32, u32) {
        let first = self.initial(members).min(budget);
        (first, 1 + (budget - first).div_ceil(members.max(1)))
    }

    /// The search in the space of the prior.
    ///
    /// # Errors
    /// A parameter without bounds; a name that it does not have; values that do not go together.
    pub fn search(&self, prior: &Prior, members: u32) -> Result<Search, Marked> {
        let rows = prior.row_names();
        if prior.values() != prior.dim() {
            let label = "a search moves numbers, not the coefficients of a field";
            return Err(self.prior.marked("the prior has a random field", label));
        }
        let mut axes = Vec::with_capacity(rows.len());
        for (name, (lo, hi)) in rows.iter().zip(prior.bounds()) {
            if !(lo.is_finite() && hi.is_finite()) {
                let label = format!(
                    "`{name}` lies between {} and {}; write `constraint = \"bounded(a, b)\"` in that file",
                    plain(lo),
                    plain(hi)
                );
                return Err(self.prior.marked("a search needs two bounds for each parameter", label));
            }
            axes.push(Axis::new(lo, hi, Kind::Real));
        }
        let row = |name: &str, place: &Place| -> Result<usize, Marked> {
            rows.iter().position(|known| known == name).ok_or_else(|| {
                let known: Vec<&str> = rows.iter().map(String::as_str).collect();
                let fault = place.marked(
                    format!("there is no parameter `{name}`"),
                    format!("known: {}", known.join(", ")),
                );
                match nearest(name, &known) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault,
                }
            })
        };
        for (name, place, kind) in &self.named.kinds {
            let row = row(name, place)?;
            if axes[row].kind != Kind::Real {
                return Err(place.marked(format!("`{name}` has two kinds"), "name it once"));
            }
            let (lo, hi) = (axes[row].lo, axes[row].hi);
            axes[row] = Axis::new(lo, hi, *kind);
            if *kind == Kind::Log && lo <= 0.0 {
                let label = format!("its lower bound is {}, a logarithm needs one above 0", plain(lo));
                return Err(place.marked(format!("`{name}` cannot move in its logarithm"), label));
            }
            if axes[row].lo > axes[row].hi {
                let label = format!("no whole number lies between {} and {}", plain(lo), plain(hi));
                return Err(place.marked(format!("`{name}` has no value"), label));
            }
        }
        for (name, place, value) in &self.named.fixed {
            let row = row(name, place)?;
            within(name, place, &axes[row], *value)?;
            axes[row] = Axis { lo: *value, hi: *value, ..axes[row] };
        }
        let mut space = Space { axes, ..Space::default() };
        self.tie(&mut space, &row)?;
        self.order(&mut space, &row)?;
        let mut search = self.rule.clone();
        search.initial = self.initial(members);
        search.most_failures = self.most_failures.unwrap_or(10 * search.initial);
        if let Some(start) = &self.named.start {
            let mut x: Vec<Option<f64>> = space.axes.iter().map(|a| (!a.free()).then_some(a.lo)).collect();
            for (name, place, value) in start {
                let row = row(name, place)?;
                within(name, place, &space.axes[row], *value)?;
                x[row] = Some(*value);
            }
            let place = start.first().map_or(&self.prior, |(_, place, _)| place);
            for tie in &space.ties {
                x[tie.row] = x[tie.row].or(Some(f64::NAN));
            }
            if let Some(row) = x.iter().position(Option::is_none) {
                let label = format!("`{}` is missing", rows[row]);
                return Err(place.marked("a start names all parameters", label));
            }
            let mut x: Vec<f64> = x.into_iter().flatten().collect();
            space.tie(&mut x);
            if !space.holds(&x) {
                return Err(place.marked("the start does not keep the order", "see `order` in `[algorithm]`"));
            }
            search.start = Some(x);
        }
        search.space = space;
        Ok(search)
    }

    fn tie(
        &self,
        space: &mut Space,
        row: &dyn Fn(&str, &Place) -> Result<usize, Marked>,
    ) -> Result<(), Marked> {
        for (name, place, to, factor, offset) in &self.named.ties {
            let tie = Tie { row: row(name, place)?, to: row(to, place)?, factor: *factor, offset: *offset };
            if self.named.ties.iter().any(|(other, ..)| other == to) || tie.row == tie.to {
                let label = format!("`{to}` follows another one itself");
                return Err(place.marked("ties do not follow each other", label));
            }
            let (own, other) = (&space.axes[tie.row], &space.axes[tie.to]);
            let ends = [other.lo, other.hi].map(|x| factor * x + offset);
            let slack = 1e-12 * (own.hi - own.lo).abs().max(own.hi.abs());
            if ends.iter().any(|x| *x < own.lo - slack || *x > own.hi + slack) {
                let label = format!(
                    "it would run from {} to {}, its bounds are {} and {}",
                    plain(ends[0]),
                    plain(ends[1]),
                    plain(own.lo),
                    plain(own.hi)
                );
                return Err(place.marked(format!("`{name}` would leave its bounds"), label));
            }
            space.ties.push(tie);
        }
        Ok(())
    }

    fn order(
        &self,
        space: &mut Space,
        row: &dyn Fn(&str, &Place) -> Result<usize, Marked>,
    ) -> Result<(), Marked> {
        let mut seen: Vec<usize> = space.ties.iter().map(|tie| tie.row).collect();
        for chain in &self.named.order {
            let mut rows = Vec::new();
            let mut least = f64::NEG_INFINITY;
            for (name, place) in chain {
                let row = row(name, place)?;
                if seen.contains(&row) {
                    let label = format!("`{name}` is tied, or stands there twice");
                    return Err(place.marked("a parameter has one place in the order", label));
                }
                seen.push(row);
                least = least.max(space.axes[row].lo);
                if least > space.axes[row].hi {
                    let label = format!("`{name}` ends at {}", plain(space.axes[row].hi));
                    return Err(place.marked("no values keep this order", label));
                }
                rows.push(row);
            }
            space.order.push(rows);
        }
        Ok(())
    }
}

fn within(name: &str, place: &Place, axis: &Axis, value: f64) -> Result<(), Marked> {
    let whole = !matches!(axis.kind, Kind::Integer | Kind::Choice) || value.fract() == 0.0;
    if axis.lo <= value && value <= axis.hi && whole {
        return Ok(());
    }
    let kind = if whole { "a number" } else { "a whole number" };
    let label =
        format!("found {}, allowed: {kind} from {} to {}", plain(value), plain(axis.lo), plain(axis.hi));
    Err(place.marked(format!("`{name}` is out of its bounds"), label))
}
