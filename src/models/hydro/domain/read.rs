//! A domain from `[model.<name>.domain]`: tables of units and of the river, forcing by basin, factors by class.
//!
//! Belongs here: names of columns and files, and faults at their lines. Not here: what is done with it (`spread`).

use std::collections::BTreeMap;
use std::path::Path;

use crate::explain::{Marked, nearest};
use crate::files::human::Section;
use crate::models::Input;
use crate::models::hydro::basin::Basin;
use crate::models::hydro::domain::network::{LARGEST_X, Network, NoTree};
use crate::models::hydro::domain::{Domain, Forcing, Unit};
use crate::models::hydro::table::{Kind, Table, Unit as Measure};

/// A table named by an option such as `units = { file = "cells.csv", basin = "gru_id" }`.
struct Named<'a> {
    section: Section<'a>,
    table: Table,
}

impl<'a> Named<'a> {
    fn read(options: &Section<'a>, key: &str, base: &Path) -> Result<Option<Self>, Marked> {
        let Some(section) = options.section(key)? else { return Ok(None) };
        let file: String = section.need("file")?;
        let table = Table::plain(&base.join(file), &section.place("file"))?;
        if table.rows() == 0 {
            return Err(section.wrong("file", "this file has no rows", "allowed: one row at least"));
        }
        Ok(Some(Self { section, table }))
    }

    /// The column of `key`, which is its name unless the option gives another. `None`: none was asked for, and there is
    /// none of that name.
    fn column(&self, key: &str) -> Result<Option<usize>, Marked> {
        let given: Option<String> = self.section.opt(key)?;
        match self.table.column(given.as_deref().unwrap_or(key)) {
            Ok(column) => Ok(Some(column)),
            Err(_) if given.is_none() => Ok(None),
            Err(missing) => {
                let title = format!("there is no column `{}`", given.unwrap_or_default());
                let fault = self.section.wrong(key, title, missing.label);
                Err(match missing.near {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault,
                })
            }
        }
    }

    fn needed(&self, key: &str) -> Result<usize, Marked> {
        match self.column(key)? {
            Some(column) => Ok(column),
            None => {
                let missing = self.table.column(key).err().map_or(String::new(), |missing| missing.label);
                Err(self.section.missing(key, &format!("the name of its column; {missing}")))
            }
        }
    }

    fn numbers(
        &self,
        column: usize,
        allowed: &str,
        fits: impl Fn(f64) -> bool + Copy,
    ) -> Result<Vec<f64>, Marked> {
        (0..self.table.rows()).map(|row| self.table.number(row, column, allowed, fits)).collect()
    }

    fn elevations(&self, column: usize) -> Result<Vec<f64>, Marked> {
        self.numbers(column, "metres, -500 to 9000", |z| (-500.0..=9000.0).contains(&z))
    }
}

/// Basins by name, in the order of the river's table, or as units name them.
struct Names(BTreeMap<String, usize>);

impl Domain {
    /// From `[model.<name>.domain]`, within the basin that the model's other options describe.
    ///
    /// # Errors
    /// An option or a line of a file that cannot be used.
    pub(super) fn read(options: &Section<'_>, base: &Path, whole: &Basin) -> Result<Self, Marked> {
        let units = Named::read(options, "units", base)?
            .ok_or_else(|| options.missing("units", "`{ file = \"units.csv\" }`"))?;
        let river = Named::read(options, "network", base)?;
        let (mut names, mut network, mut heights) = (Names(BTreeMap::new()), None, None);
        if let Some(river) = &river {
            let (tree, known) = network_of(river)?;
            (network, names) = (Some(tree), known);
            heights = river.column("elevation_m")?.map(|column| river.elevations(column)).transpose()?;
            river.section.finish()?;
        }
        let mut inputs: Vec<Input> = [Some(&units), river.as_ref()]
            .into_iter()
            .flatten()
            .map(|named| named.table.input.clone())
            .collect();
        let of = basins_of(&units, &mut names, network.is_some())?;
        let forcing = forcing_of(options, base, whole, &names, &mut inputs)?;
        let elevation = units.elevations(units.needed("elevation_m")?)?;
        let area = units.numbers(units.needed("area_km2")?, "km², above 0", |a| a > 0.0)?;
        let (classes, class) = classes_of(options, &units)?;
        units.section.finish()?;
        let reference = options.number("reference_m", "-500 to 9000", |z| (-500.0..=9000.0).contains(&z))?;
        let below = |basin: usize| match (&heights, reference) {
            (Some(heights), None) if !forcing.is_empty() => Ok(heights[basin]),
            (_, Some(reference)) => Ok(reference),
            _ => Err(options.missing("reference_m", "the elevation that the forcing stands for")),
        };
        let mut list = Vec::new();
        for row in 0..units.table.rows() {
            let dz_km = (elevation[row] - below(of[row])?) / 1000.0;
            list.push(Unit { basin: of[row], area_km2: area[row], dz_km, class: class[row] });
        }
        let x = options.number("muskingum_x", "0 to 1/3", |x| (0.0..=LARGEST_X).contains(&x))?;
        options.finish()?;
        Ok(Self { muskingum_x: x.unwrap_or(0.2), classes, inputs, ..Self::new(list, forcing, network) })
    }

    /// Do the factors of classes stand for parameters of the model?
    pub(super) fn check_classes(&self, options: &Section<'_>, known: &[&str]) -> Result<(), Marked> {
        let strange = self.classes.iter().flatten().find(|(name, _)| !known.contains(&name.as_str()));
        let Some((name, _)) = strange else { return Ok(()) };
        let label = format!("`{name}` is none of the model's parameters");
        let fault = options.wrong("factors", format!("there is no parameter `{name}`"), label);
        Err(match nearest(name, known) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        })
    }
}

/// The tree of reaches, and the basins' names in its order.
fn network_of(river: &Named<'_>) -> Result<(Network, Names), Marked> {
    let (id, down) = (river.needed("id")?, river.needed("down")?);
    let length = river.numbers(river.needed("length_m")?, "metres, at least 0", |x| x >= 0.0)?;
    let table = &river.table;
    let mut names = BTreeMap::new();
    for row in 0..table.rows() {
        if names.insert(table.cell(row, id).to_owned(), row).is_some() {
            return Err(table.wrong(row, id, "this reach stands here twice", "allowed: each `id` once"));
        }
    }
    let mut below = Vec::new();
    for row in 0..table.rows() {
        let word = table.cell(row, down);
        let to = names.get(word).copied();
        let outlet = word.is_empty() || word == "0" || word == "-1";
        if to.is_none() && !outlet {
            let label = format!("found `{word}`, allowed: an `id` of this file; 0 or nothing at the outlet");
            return Err(table.wrong(row, down, "there is no such reach", label));
        }
        below.push(to.filter(|to| *to != row));
    }
    let km = length.iter().map(|x| x / 1000.0).collect();
    let network = Network::new(below, km).map_err(|fault| match fault {
        NoTree::NoOutlet => {
            table.wrong(0, down, "no reach is the outlet", "allowed: 0 or nothing at one of them")
        }
        NoTree::TwoOutlets(first, row) => {
            let label = format!("the first is `{}`; allowed: one", table.cell(first, id));
            table.wrong(row, down, "this is a second outlet", label)
        }
        NoTree::Circle(row) => {
            table.wrong(row, down, "this river runs in a circle", "its way down never gets to the outlet")
        }
    })?;
    Ok((network, Names(names)))
}

/// The basin of each unit.
fn basins_of(units: &Named<'_>, names: &mut Names, known: bool) -> Result<Vec<usize>, Marked> {
    let table = &units.table;
    let Some(column) = units.column("basin")? else {
        if known && names.0.len() > 1 {
            return Err(units.section.missing("basin", "the column that says where a unit drains to"));
        }
        names.0.entry(String::new()).or_insert(0);
        return Ok(vec![0; table.rows()]);
    };
    let mut of = Vec::new();
    for row in 0..table.rows() {
        let word = table.cell(row, column);
        let next = names.0.len();
        match names.0.get(word) {
            Some(basin) => of.push(*basin),
            None if known => {
                let label = format!("`{word}` is no `id` of the network");
                return Err(table.wrong(row, column, "this unit drains to no reach", label));
            }
            None => {
                names.0.insert(word.to_owned(), next);
                of.push(next);
            }
        }
    }
    Ok(of)
}

/// Precipitation and temperature of each basin, a column each; none: that of the whole.
fn forcing_of(
    options: &Section<'_>,
    base: &Path,
    whole: &Basin,
    names: &Names,
    inputs: &mut Vec<Input>,
) -> Result<Vec<Forcing>, Marked> {
    let mut read = |key: &str, kind: Kind| by_basin(options, key, kind, base, whole, names, inputs);
    let precipitation = read("precipitation", Kind::Depth)?;
    let temperature = read("temperature", Kind::Temperature)?;
    let count = names.0.len();
    let all = |series: &Vec<f64>| vec![series.clone(); count];
    if precipitation.is_none() && temperature.is_none() {
        return Ok(Vec::new());
    }
    let p = precipitation.unwrap_or_else(|| all(&whole.precipitation));
    let t = temperature.unwrap_or_else(|| all(&whole.temperature));
    let pair = |(precipitation, temperature)| Forcing { precipitation, temperature };
    Ok(p.into_iter().zip(t).map(pair).collect())
}

fn by_basin(
    options: &Section<'_>,
    key: &str,
    kind: Kind,
    base: &Path,
    whole: &Basin,
    names: &Names,
    inputs: &mut Vec<Input>,
) -> Result<Option<Vec<Vec<f64>>>, Marked> {
    let Some(section) = options.section(key)? else { return Ok(None) };
    let file: String = section.need("file")?;
    let dates: String = section.opt("dates")?.unwrap_or_else(|| "date".into());
    let variable: Option<String> = section.opt("variable")?;
    let Some(unit) = section.choice("unit", kind.units())? else {
        return Err(section.missing("unit", &kind.units().join(", ")));
    };
    section.finish()?;
    let table = Table::read(&base.join(file), &section.place("file"), &dates)?;
    inputs.push(table.input.clone());
    let (own, steps) = (table.calendar, whole.calendar);
    let shift = (steps.start - own.start).num_hours() / i64::from(own.step_h);
    let first = usize::try_from(shift).unwrap_or(usize::MAX);
    if own.step_h != steps.step_h || first.saturating_add(steps.steps) > own.steps {
        let label = format!(
            "from {} in steps of {} h, {} of them; the forcing of the whole begins at {} and has {} of {} h",
            own.start, own.step_h, own.steps, steps.start, steps.steps, steps.step_h
        );
        return Err(section.wrong("file", "this file does not cover the forcing of the whole", label));
    }
    let measure = Measure::of(unit, own.step_h, None).expect("a unit without an area");
    let mut series = vec![Vec::new(); names.0.len()];
    for (name, basin) in &names.0 {
        let long = variable.as_ref().map(|variable| format!("{variable}:{name}"));
        let column = long.and_then(|long| table.column(&long).ok()).map_or_else(|| table.column(name), Ok);
        let column = column.map_err(|missing| {
            section.wrong("file", format!("this file has no column `{name}`"), missing.label)
        })?;
        let all = table.numbers(column, kind, unit, measure)?;
        series[*basin] = all[first..first + steps.steps].to_vec();
    }
    Ok(Some(series))
}

type Classes = (Vec<Vec<(String, f64)>>, Vec<usize>);

/// Factors of each class, and the class of each unit; class 0 is that of units without one.
fn classes_of(options: &Section<'_>, units: &Named<'_>) -> Result<Classes, Marked> {
    let column = units.column("class")?;
    let factors = options.section("factors")?;
    let mut classes = vec![Vec::new()];
    let (Some(column), Some(factors)) = (column, factors) else {
        if let (None, true) = (column, options.keys().any(|key| key == "factors")) {
            return Err(units.section.missing("class", "the column with the class of a unit"));
        }
        return Ok((classes, vec![0; units.table.rows()]));
    };
    let mut places = BTreeMap::new();
    for name in factors.keys() {
        let Some(class) = factors.section(name)? else { continue };
        let mut list = Vec::new();
        for parameter in class.keys() {
            let factor = class.number(parameter, "above 0", |x| x > 0.0)?;
            list.push((parameter.to_owned(), factor.expect("a key that is there")));
        }
        places.insert(name, classes.len());
        classes.push(list);
    }
    let table = &units.table;
    let of = (0..table.rows())
        .map(|row| places.get(table.cell(row, column)).copied().unwrap_or(0))
        .collect::<Vec<_>>();
    if let Some((name, _)) = places.iter().find(|(_, place)| !of.contains(place)) {
        let label = format!("no unit has the class `{name}`");
        return Err(factors.wrong(name, "these factors are of no use", label));
    }
    Ok((classes, of))
}
