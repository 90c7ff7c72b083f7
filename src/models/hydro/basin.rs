//! The basin: what a hydrological model is driven by and held against, read from `[model.<name>]`.
//!
//! Belongs here: options that every hydrological model has (forcing, flow, area, latitude, elevation bands, the days of
//! the output). Not here: parameters and processes of one model, and how a column becomes numbers (`table`).

use std::ops::Range;
use std::path::Path;

use chrono::Datelike;

use crate::explain::Marked;
use crate::files::human::{Section, Value};
use crate::models::Input;
use crate::models::hydro::pet::Formula;
use crate::models::hydro::table::{Calendar, Kind, Table, Unit};
use crate::models::score::Period;

/// Forcing of a basin, steps of equal length.
#[derive(Debug, Clone)]
pub struct Basin {
    /// Its steps
    pub calendar: Calendar,
    /// mm/step, mean over the basin
    pub precipitation: Vec<f64>,
    /// °C, mean over the basin
    pub temperature: Vec<f64>,
    /// Potential evapotranspiration, mm/step
    pub pet: Vec<f64>,
    /// Observed flow, mm/step, NaN where it is missing
    pub flow: Option<Vec<f64>>,
    /// Elevation bands; one at the mean elevation when the basin is lumped
    pub bands: Vec<Band>,
    /// Change of temperature with elevation, K/km
    pub lapse: f64,
    /// Relative change of precipitation with elevation, 1/km
    pub gradient: f64,
    /// Days of the output series. None: all
    pub output: Option<Period>,
    /// From mm/step to the unit of the output
    pub output_unit: Unit,
    /// Files it was read from
    pub inputs: Vec<Input>,
}

/// A part of a basin with one elevation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Above the elevation that the forcing stands for, km
    pub dz_km: f64,
    /// Share of the area; those of all bands add up to 1
    pub share: f64,
}

/// Options that a basin takes out of `[model.<name>]`; the rest is the model's.
impl Basin {
    /// From `[model.<name>]`; paths are relative to `base`. The caller closes the section.
    ///
    /// # Errors
    /// An option or a line of a file that cannot be used.
    pub fn read(options: &Section<'_>, base: &Path) -> Result<Self, Marked> {
        let dates: String = options.opt("dates")?.unwrap_or_else(|| "date".into());
        let forcing: String = options.need("forcing")?;
        let table = Table::read(&base.join(&forcing), &options.place("forcing"), &dates)?;
        let (calendar, mut inputs) = (table.calendar, vec![table.input.clone()]);
        let above_0 = |key: &str| options.number(key, "above 0", |x| x > 0.0);
        let area = above_0("area_km2")?;
        let latitude = options.number("latitude_deg", "-90 to 90", |x| x.abs() <= 90.0)?;
        let column = |key: &str, kind: Kind| Column::need(options, key, kind)?.numbers(&table, kind, area);
        let precipitation = column("precipitation", Kind::Depth)?;
        let temperature = column("temperature", Kind::Temperature)?;
        let pet = match options.node("pet").map(|node| &node.value) {
            Some(Value::Text(name)) => {
                let Some(formula) = Formula::parse(name) else {
                    options.choice("pet", Formula::NAMES)?;
                    return Err(options.missing("pet", "a formula"));
                };
                let latitude = latitude
                    .ok_or_else(|| options.missing("latitude_deg", "the latitude, which `pet` needs"))?;
                computed(formula, &calendar, &temperature, latitude)
            }
            Some(_) => column("pet", Kind::Depth)?,
            None => {
                return Err(options.missing(
                    "pet",
                    "`{ column = \"pet_mm\", unit = \"mm/d\" }`, or a formula: `\"oudin\"`, `\"hamon\"`",
                ));
            }
        };
        let (mut flow, mut unit) = (None, "mm/step".to_owned());
        if let Some(column) = Column::read(options, "flow", Kind::Flow)? {
            flow = Some(column.flow(&table, base, area, &dates, &mut inputs)?);
            unit.clone_from(&column.unit);
        }
        if let Some(word) = options.choice("unit", Kind::Flow.units())? {
            word.clone_into(&mut unit);
        }
        let output_unit = Unit::of(&unit, calendar.step_h, area).ok_or_else(|| needs_area(options, &unit))?;
        let output = Period::read(options, "period")?;
        if let Some(period) = output {
            inside(&calendar, period)
                .map_err(|label| options.wrong("period", "`period` is not within the forcing", label))?;
        }
        let lapse = options.number("lapse_k_per_km", "-20 to 20", |x| x.abs() <= 20.0)?.unwrap_or(-6.5);
        let gradient = options.number("gradient_per_km", "-5 to 5", |x| x.abs() <= 5.0)?.unwrap_or(0.0);
        let bands = bands(options)?;
        Ok(Self {
            calendar,
            precipitation,
            temperature,
            pet,
            flow,
            bands,
            lapse,
            gradient,
            output,
            output_unit,
            inputs,
        })
    }

    /// Temperature (°C) and precipitation (mm/step) in a band: T + lapse · dz, P · max(0, 1 + gradient · dz).
    pub fn in_band(&self, band: &Band) -> (Vec<f64>, Vec<f64>) {
        (0..self.calendar.steps).map(self.weather(band)).unzip()
    }

    /// The same of single steps.
    pub fn weather(&self, band: &Band) -> impl Fn(usize) -> (f64, f64) {
        let (shift, factor) = (self.lapse * band.dz_km, (1.0 + self.gradient * band.dz_km).max(0.0));
        move |step| (self.temperature[step] + shift, self.precipitation[step] * factor)
    }

    /// Day of the year of each step, from 1, and whether it is a leap year.
    pub fn day_of_year(&self, step: usize) -> (u32, bool) {
        let day = self.calendar.at(step).date();
        (day.ordinal(), day.leap_year())
    }

    /// Steps of the output series.
    pub fn output_steps(&self) -> Range<usize> {
        let steps = self.output.and_then(|p| self.calendar.steps_of(p.first, p.last));
        steps.unwrap_or(0..self.calendar.steps)
    }
}

/// The days of a period that are not all there, in words.
///
/// # Errors
/// They are not.
pub fn inside(calendar: &Calendar, period: Period) -> Result<Range<usize>, String> {
    calendar.steps_of(period.first, period.last).ok_or_else(|| {
        let last = calendar.at(calendar.steps - 1).date();
        format!(
            "found {} to {}, the forcing has {} to {last}",
            period.first,
            period.last,
            calendar.start.date()
        )
    })
}

fn computed(formula: Formula, calendar: &Calendar, temperature: &[f64], latitude: f64) -> Vec<f64> {
    let share = f64::from(calendar.step_h) / 24.0;
    let of = |(i, t): (usize, &f64)| share * formula.pet_mm_per_day(*t, calendar.at(i).ordinal(), latitude);
    temperature.iter().enumerate().map(of).collect()
}

fn needs_area(options: &Section<'_>, unit: &str) -> Marked {
    options.missing("area_km2", &format!("the area, without which {unit} is no depth"))
}

/// `[model.<name>.bands]`, or one band for all.
fn bands(options: &Section<'_>) -> Result<Vec<Band>, Marked> {
    let Some(section) = options.section("bands")? else { return Ok(vec![Band { dz_km: 0.0, share: 1.0 }]) };
    let elevation: Vec<f64> = section.need("elevation_m")?;
    let area: Vec<f64> = section.need("area")?;
    let reference: f64 = section.need("reference_m")?;
    section.finish()?;
    let total: f64 = area.iter().sum();
    if area.len() != elevation.len() || area.is_empty() {
        let label = format!("found {}, `elevation_m` has {}", area.len(), elevation.len());
        return Err(section.wrong("area", "`area` has another length", label));
    }
    let odd = area.iter().any(|a| *a < 0.0) || !total.is_finite() || total <= 0.0;
    if odd || elevation.iter().chain([&reference]).any(|z| !z.is_finite() || z.abs() > 9000.0) {
        let label = "allowed: areas of at least 0 in any unit, elevations in m";
        return Err(section.wrong("area", "these bands cannot be used", label));
    }
    let band = |(z, a): (&f64, &f64)| Band { dz_km: (z - reference) / 1000.0, share: a / total };
    Ok(elevation.iter().zip(&area).map(band).collect())
}

/// `{ column = "precip_mm", unit = "mm/d" }`
struct Column<'a> {
    section: Section<'a>,
    name: String,
    unit: String,
}

impl<'a> Column<'a> {
    fn need(options: &Section<'a>, key: &str, kind: Kind) -> Result<Self, Marked> {
        Self::read(options, key, kind)?.ok_or_else(|| {
            options.missing(key, &format!("`{{ column = \"…\", unit = \"{}\" }}`", kind.units()[0]))
        })
    }

    fn read(options: &Section<'a>, key: &str, kind: Kind) -> Result<Option<Self>, Marked> {
        let Some(section) = options.section(key)? else { return Ok(None) };
        let name = section.need("column")?;
        let Some(unit) = section.choice("unit", kind.units())? else {
            let allowed: Vec<String> = kind.units().iter().map(|unit| format!("`{unit}`")).collect();
            return Err(section.missing("unit", &allowed.join(", ")));
        };
        if kind != Kind::Flow {
            section.finish()?;
        }
        Ok(Some(Self { section, name, unit: unit.to_owned() }))
    }

    /// The column in mm/step or °C.
    fn numbers(&self, table: &Table, kind: Kind, area: Option<f64>) -> Result<Vec<f64>, Marked> {
        let column = table.column(&self.name).map_err(|missing| {
            let title = format!("there is no column `{}`", self.name);
            let fault = self.section.wrong("column", title, missing.label);
            match missing.near {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault,
            }
        })?;
        let unit = Unit::of(&self.unit, table.calendar.step_h, area);
        let unit = unit.ok_or_else(|| {
            let title = format!("{} is no depth without an area", self.unit);
            self.section.wrong("unit", title, "add `area_km2 = …` to the options of the model")
        })?;
        table.numbers(column, kind, &self.unit, unit)
    }

    /// Observed flow on the steps of the forcing, from the same file or from `file`.
    fn flow(
        &self,
        forcing: &Table,
        base: &Path,
        area: Option<f64>,
        dates: &str,
        inputs: &mut Vec<Input>,
    ) -> Result<Vec<f64>, Marked> {
        let file: Option<String> = self.section.opt("file")?;
        let dates: String = self.section.opt("dates")?.unwrap_or_else(|| dates.to_owned());
        self.section.finish()?;
        let Some(file) = file else { return self.numbers(forcing, Kind::Flow, area) };
        let table = Table::read(&base.join(file), &self.section.place("file"), &dates)?;
        inputs.push(table.input.clone());
        let (own, steps) = (table.calendar, forcing.calendar);
        if own.step_h != steps.step_h {
            let label = format!("its steps have {} h, those of the forcing {} h", own.step_h, steps.step_h);
            return Err(self.section.wrong("file", "flow and forcing have other steps", label));
        }
        let flow = self.numbers(&table, Kind::Flow, area)?;
        let shift = (steps.start - own.start).num_hours() / i64::from(own.step_h);
        let at = |i: i64| usize::try_from(i + shift).ok().and_then(|i| flow.get(i)).copied();
        Ok((0..steps.steps as i64).map(|i| at(i).unwrap_or(f64::NAN)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::human::Document;

    const HEAD: &str = "forcing = \"f.csv\"\nprecipitation = { column = \"p\", unit = \"mm/d\" }\n\
                        temperature = { column = \"t\", unit = \"degC\" }\n";

    fn read(text: &str) -> Result<Basin, Marked> {
        let folder = std::env::temp_dir().join(format!(
            "ekp-basin-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&folder).unwrap();
        let rows: String = (1..=10)
            .map(|d| format!("2004-01-{d:02},{d},-1,0.5,{}\n", if d == 3 { -9999 } else { d }))
            .collect();
        std::fs::write(folder.join("f.csv"), format!("date,p,t,e,q\n{rows}")).unwrap();
        std::fs::write(folder.join("q.csv"), "day,q\n2004-01-04,4\n2004-01-05,5\n").unwrap();
        let document = Document::parse(Path::new("experiment.toml"), &format!("{HEAD}{text}")).unwrap();
        let section = document.section();
        let basin = Basin::read(&section, &folder).and_then(|basin| section.finish().map(|()| basin));
        std::fs::remove_dir_all(&folder).unwrap();
        basin
    }

    #[test]
    fn forcing_flow_and_bands_arrive_in_mm_per_step() {
        let basin = read(
            "pet = { column = \"e\", unit = \"mm/d\" }\nflow = { column = \"q\", unit = \"m3/s\" }\narea_km2 = 8.64\n\
             period = [\"2004-01-02\", \"2004-01-04\"]\ngradient_per_km = 0.5\n\
             bands = { elevation_m = [500, 1500], area = [3, 1], reference_m = 500 }\n",
        )
        .unwrap();
        assert_eq!(basin.output_steps(), 1..4);
        let flow = basin.flow.as_ref().unwrap();
        assert!((flow[0] - 10.0).abs() < 1e-12 && flow[2].is_nan(), "{flow:?}");
        assert!((basin.output_unit.to(flow[4]) - 5.0).abs() < 1e-12);
        assert_eq!(basin.bands, [Band { dz_km: 0.0, share: 0.75 }, Band { dz_km: 1.0, share: 0.25 }]);
        let (t, p) = basin.in_band(&basin.bands[1]);
        assert_eq!((t[0], p[1]), (-7.5, 3.0));
        // From a file of its own, on the days it has
        let other = "pet = \"oudin\"\nlatitude_deg = 50\nflow = { file = \"q.csv\", dates = \"day\", column = \"q\", unit = \"mm/d\" }\n";
        let flow = read(other).unwrap().flow.unwrap();
        assert_eq!(flow.iter().filter(|q| q.is_finite()).count(), 2);
        assert_eq!(flow[3], 4.0);
    }

    #[test]
    fn what_is_missing_or_misspelt_is_said_at_its_line() {
        for (text, line, words) in [
            ("", 1, "`pet`"),
            ("pet = \"oudin\"\n", 1, "`latitude_deg`"),
            ("pet = \"odin\"\n", 4, "no such choice"),
            ("pet = { column = \"e\" }\n", 4, "`unit`"),
            ("pet = { column = \"ee\", unit = \"mm/d\" }\n", 4, "no column `ee`"),
            ("pet = { column = \"e\", unit = \"mm\" }\n", 4, "no such choice"),
            (
                "pet = { column = \"e\", unit = \"mm/d\" }\nflow = { column = \"q\", unit = \"m3/s\" }\n",
                5,
                "area",
            ),
            (
                "pet = { column = \"e\", unit = \"mm/d\" }\nperiod = [\"2004-01-09\", \"2004-01-11\"]\n",
                5,
                "within the forcing",
            ),
            (
                "pet = { column = \"e\", unit = \"mm/d\" }\nbands = { elevation_m = [1], area = [1, 2], reference_m = 3 }\n",
                5,
                "another length",
            ),
            ("pet = { column = \"e\", unit = \"mm/d\" }\nsmothing = 3\n", 5, "unknown key"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.to_string().contains(words.trim()), "{text}: {fault}");
            assert!(fault.line() == line || line == 1, "{text}: {fault}");
        }
        let fault = read("pet = { column = \"t\", unit = \"mm/d\" }\n").unwrap_err();
        assert!(fault.path().ends_with("f.csv") && fault.line() == 2, "{fault}");
    }
}
