//! A model in every unit of a domain, as a model of its own: the same parameters, the flow at the outlet.
//!
//! Belongs here: which column runs when, and how runoffs add up so that the bits do not depend on threads: units of a
//! basin in pieces of a fixed size, pieces in their order. Cost is columns times steps; what is kept is the runoff of
//! each basin, and of the units only those that are running.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::hydro::basin::{Band, Basin};
use crate::models::hydro::domain::{Domain, Unit};
use crate::models::hydro::{Book, Hydro, Parameter, Runoff, Sums, Target};
use crate::models::{Forward, Input};

/// Sets that go through the units together.
const SETS: usize = 16;
/// The parameter that a river adds.
const CELERITY: Parameter = Parameter { name: "celerity", unit: "m/s", lower: 0.2, upper: 5.0, default: 1.0 };

/// A model in a domain.
#[derive(Debug, Clone)]
pub struct Spread<M> {
    model: M,
    domain: Domain,
    /// Those of the model, then perhaps the celerity
    parameters: Vec<Parameter>,
    /// For each class: places in a set and factors
    factors: Vec<Vec<(usize, f64)>>,
}

/// A model as `[model.<name>]` asks for it: in the basin as it is, or, with a table `domain`, in each of its units.
///
/// # Errors
/// An option or a line of a file that cannot be used.
pub fn forward<M: Runoff + 'static>(
    options: &Section<'_>,
    base: &Path,
    own: impl FnOnce(&Section<'_>, &Basin) -> Result<M, Marked>,
) -> Result<Arc<dyn Forward>, Marked> {
    let Some(section) = options.section("domain")? else {
        return Ok(Arc::new(Hydro::read(options, base, own)?));
    };
    let spread = |options: &Section<'_>, basin: &Basin| {
        if options.keys().any(|key| key == "bands") {
            let label = "bands are units of the table `domain`";
            return Err(options.wrong("bands", "`bands` and `domain` exclude each other", label));
        }
        let model = own(options, basin)?;
        let domain = Domain::read(&section, base, basin)?;
        let known: Vec<&str> = model.parameters().iter().map(|p| p.name).collect();
        domain.check_classes(&section, &known)?;
        Ok(Spread::new(model, domain))
    };
    Ok(Arc::new(Hydro::read(options, base, spread)?))
}

impl<M: Runoff> Spread<M> {
    /// A model in each unit of a domain.
    pub fn new(model: M, domain: Domain) -> Self {
        let mut parameters = model.parameters().to_vec();
        if domain.network.is_some() {
            parameters.push(CELERITY);
        }
        let place = |(name, factor): &(String, f64)| {
            let at = parameters.iter().position(|p| p.name == name)?;
            Some((at, *factor))
        };
        let factors = domain.classes.iter().map(|class| class.iter().filter_map(place).collect()).collect();
        Self { model, parameters, factors, domain }
    }

    /// The model of its units.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Its domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Precipitation on all units, mm/step.
    pub fn input(&self, whole: &Basin) -> Vec<f64> {
        let mut sum = vec![0.0; whole.calendar.steps];
        for unit in &self.domain.units {
            let share = unit.area_km2 / self.domain.area_km2;
            let column = self.column(unit, whole);
            sum.iter_mut().zip(&column.precipitation).for_each(|(sum, p)| *sum += share * p);
        }
        sum
    }

    /// Flow at the outlet of a run, mm/step, and water in delays and rivers after it, mm over the whole area.
    pub fn flow_and_rest(&self, whole: &Basin, steps: &Range<usize>, set: &[f64]) -> (Vec<f64>, f64) {
        self.block(1, whole, steps, &[set.to_vec()]).remove(0)
    }

    /// The set of a class from the shared one.
    fn of_class(&self, class: usize, set: &[f64]) -> Vec<f64> {
        let mut own = set[..self.model.parameters().len()].to_vec();
        self.factors[class].iter().for_each(|(at, factor)| own[*at] *= factor);
        own
    }

    /// What a unit stands in: the forcing of its basin, at its height.
    fn column(&self, unit: &Unit, whole: &Basin) -> Basin {
        let (shift, factor) = (whole.lapse * unit.dz_km, (1.0 + whole.gradient * unit.dz_km).max(0.0));
        let (p, t) = match self.domain.forcing.get(unit.basin) {
            Some(own) => (&own.precipitation, &own.temperature),
            None => (&whole.precipitation, &whole.temperature),
        };
        Basin {
            precipitation: p.iter().map(|p| p * factor).collect(),
            temperature: t.iter().map(|t| t + shift).collect(),
            pet: whole.pet.clone(),
            flow: None,
            bands: vec![Band { dz_km: 0.0, share: 1.0 }],
            inputs: Vec::new(),
            ..*whole
        }
    }

    /// Runoff of some units of one basin together, for each set; mm km²/step.
    fn piece(
        &self,
        whole: &Basin,
        steps: &Range<usize>,
        sets: &[Vec<Vec<f64>>],
        units: &[Unit],
    ) -> Vec<Vec<f64>> {
        let basins: Vec<Basin> = units.iter().map(|unit| self.column(unit, whole)).collect();
        let pairs = units.iter().zip(&basins);
        let columns: Vec<(&Basin, &[f64])> = pairs
            .flat_map(|(unit, basin)| sets[unit.class].iter().map(move |set| (basin, set.as_slice())))
            .collect();
        let mut runoffs = self.model.columns(steps.clone(), &columns).into_iter();
        let mut sums = vec![vec![0.0; steps.len()]; sets[0].len()];
        for unit in units {
            for (sum, runoff) in sums.iter_mut().zip(runoffs.by_ref().take(sets[0].len())) {
                sum.iter_mut().zip(runoff).for_each(|(sum, q)| *sum += unit.area_km2 * q);
            }
        }
        sums
    }

    /// Flow at the outlet, mm/step, for up to [`SETS`] sets; beside it what is in the rivers at the end, mm.
    fn block(
        &self,
        threads: usize,
        whole: &Basin,
        steps: &Range<usize>,
        sets: &[Vec<f64>],
    ) -> Vec<(Vec<f64>, f64)> {
        let domain = &self.domain;
        let by_class: Vec<Vec<Vec<f64>>> = (0..self.factors.len())
            .map(|class| sets.iter().map(|set| self.of_class(class, set)).collect())
            .collect();
        let sums: Vec<Mutex<Sum>> = (0..domain.basins()).map(|_| Mutex::default()).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(task) = domain.tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                let units = &domain.units[task.clone()];
                let piece = self.piece(whole, steps, &by_class, units);
                let mut sum = sums[units[0].basin].lock().unwrap_or_else(PoisonError::into_inner);
                sum.add(task.start, task.end, piece, &domain.units);
            }
        };
        std::thread::scope(|scope| {
            // A thread that the system refuses leaves its tasks to the others.
            let start = |_| drop(std::thread::Builder::new().spawn_scoped(scope, work));
            (1..threads.min(domain.tasks.len())).for_each(start);
            work();
        });
        let mut sums: Vec<Vec<Vec<f64>>> = sums
            .into_iter()
            .map(|sum| sum.into_inner().unwrap_or_else(PoisonError::into_inner).total)
            .collect();
        let flow = |(k, set): (usize, &Vec<f64>)| {
            let nothing = || vec![0.0; steps.len()];
            let own = |basin: &mut Vec<Vec<f64>>| basin.get_mut(k).map_or_else(nothing, std::mem::take);
            self.outlet(whole, set, sums.iter_mut().map(own).collect())
        };
        sets.iter().enumerate().map(flow).collect()
    }

    /// Flow at the outlet from the runoff of each basin (mm km²/step), mm/step; beside it what is still on its way, mm:
    /// in the delay of the model and in the rivers.
    fn outlet(&self, whole: &Basin, set: &[f64], mut runoff: Vec<Vec<f64>>) -> (Vec<f64>, f64) {
        let domain = &self.domain;
        let inner = &set[..self.model.parameters().len()];
        let (mut flow, rest) = match &domain.network {
            Some(river) => {
                let delayed: f64 = runoff.iter_mut().map(|basin| self.model.delay(whole, inner, basin)).sum();
                let (celerity, step_s) = (set[inner.len()], 3600.0 * f64::from(whole.calendar.step_h));
                let (flow, in_river) = river.route(runoff, step_s, celerity, domain.muskingum_x);
                (flow, delayed + in_river)
            }
            None => {
                let mut basins = runoff.into_iter();
                let mut all = basins.next().expect("a basin at least");
                basins.for_each(|basin| add(&mut all, &basin));
                let delayed = self.model.delay(whole, inner, &mut all);
                (all, delayed)
            }
        };
        flow.iter_mut().for_each(|q| *q /= domain.area_km2);
        (flow, rest / domain.area_km2)
    }

    /// Where the water of a run went; none where the model keeps no books. One unit after the other, and with the
    /// evaporation of each: slower than a run.
    pub fn balance(&self, whole: &Basin, steps: &Range<usize>, set: &[f64]) -> Option<Balance> {
        let domain = &self.domain;
        let by_class: Vec<Vec<f64>> =
            (0..self.factors.len()).map(|class| self.of_class(class, set)).collect();
        let mut runoff = vec![vec![0.0; steps.len()]; domain.basins()];
        let mut balance = Balance::default();
        for task in &domain.tasks {
            let units = &domain.units[task.clone()];
            let basins: Vec<Basin> = units.iter().map(|unit| self.column(unit, whole)).collect();
            let columns: Vec<(&Basin, &[f64])> = units
                .iter()
                .zip(&basins)
                .map(|(unit, basin)| (basin, by_class[unit.class].as_slice()))
                .collect();
            for (unit, (own, book)) in units.iter().zip(self.model.booked(steps.clone(), &columns)?) {
                runoff[unit.basin].iter_mut().zip(own).for_each(|(sum, q)| *sum += unit.area_km2 * q);
                let share = unit.area_km2 / domain.area_km2;
                balance.units.input += share * book.input;
                balance.units.evaporation += share * book.evaporation;
                balance.units.ground += share * book.ground;
                balance.units.stored += share * book.stored;
            }
        }
        (balance.flow, balance.on_its_way) = self.outlet(whole, set, runoff);
        Some(balance)
    }
}

/// Where the water of a domain went, mm over its area.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Balance {
    /// The books of all units together
    pub units: Book,
    /// At the outlet, mm/step
    pub flow: Vec<f64>,
    /// At the end in delays and rivers, which are empty at the start
    pub on_its_way: f64,
}

impl Balance {
    /// What came and is neither gone nor there.
    pub fn residual(&self) -> f64 {
        let Book { input, evaporation, ground, stored } = self.units;
        input + ground - evaporation - self.flow.iter().sum::<f64>() - stored - self.on_its_way
    }
}

/// Runoff of a basin, growing piece by piece in the order of its units.
#[derive(Debug, Default)]
struct Sum {
    /// For each set
    total: Vec<Vec<f64>>,
    /// The unit that comes next
    next: Option<usize>,
    /// Pieces that came too early, by their first unit: where they end, and what they have
    early: BTreeMap<usize, (usize, Vec<Vec<f64>>)>,
}

impl Sum {
    fn add(&mut self, start: usize, end: usize, piece: Vec<Vec<f64>>, units: &[Unit]) {
        let first = || units.partition_point(|unit| unit.basin < units[start].basin);
        let mut next = *self.next.get_or_insert_with(first);
        self.early.insert(start, (end, piece));
        while let Some((end, piece)) = self.early.remove(&next) {
            if self.total.is_empty() {
                self.total = piece;
            } else {
                self.total.iter_mut().zip(&piece).for_each(|(sum, more)| add(sum, more));
            }
            next = end;
        }
        self.next = Some(next);
    }
}

fn add(sum: &mut [f64], more: &[f64]) {
    sum.iter_mut().zip(more).for_each(|(sum, q)| *sum += q);
}

impl<M: Runoff> Runoff for Spread<M> {
    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn units(&self) -> usize {
        self.domain.units()
    }

    fn inputs(&self) -> &[Input] {
        self.domain.inputs()
    }

    fn check(&self, set: &[f64]) -> Result<(), String> {
        if let Some(celerity) = set.get(self.model.parameters().len())
            && !(*celerity > 0.0 && *celerity <= 100.0)
        {
            return Err(format!("`celerity` is {celerity:?}, allowed: above 0, at most 100 m/s"));
        }
        (0..self.factors.len()).try_for_each(|class| self.model.check(&self.of_class(class, set)))
    }

    fn flows(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let of = |some| self.block(1, basin, &steps, some);
        sets.chunks(SETS).flat_map(of).map(|(flow, _)| flow).collect()
    }

    fn flows_on(
        &self,
        threads: usize,
        basin: &Basin,
        steps: Range<usize>,
        sets: &[Vec<f64>],
    ) -> Result<Vec<Vec<f64>>, String> {
        let of = |some| self.block(threads, basin, &steps, some);
        Ok(sets.chunks(SETS).flat_map(of).map(|(flow, _)| flow).collect())
    }

    fn sums_on(
        &self,
        threads: usize,
        basin: &Basin,
        steps: Range<usize>,
        sets: &[Vec<f64>],
        target: &Target,
    ) -> Result<Vec<Sums>, String> {
        let of = |some: &[Vec<f64>]| -> Vec<Sums> {
            self.block(threads, basin, &steps, some).iter().map(|(flow, _)| target.sums(flow)).collect()
        };
        Ok(sets.chunks(SETS).flat_map(of).collect())
    }
}
