//! Writing a report: figures in the formats asked for, the numbers of their panels, one page.

use std::fs;
use std::path::{Path, PathBuf};

use crate::explain::briefly;
use crate::files::{FileError, publish};
use crate::report::figures::trajectory::Searched;
use crate::report::figures::{self, Figure};
use crate::report::gallery::{self, Choice, Sampled};
use crate::report::html::grid::GridPage;
use crate::report::html::{self, Page};
use crate::report::status::{self, View};
use crate::report::story::Story;
use crate::report::{ReportError, export, posterior, scaling, timings};
use crate::steps::Run;
use crate::steps::grid::{GridRun, merge, table};

/// Formats that figures are written in.
pub const FORMATS: &[&str] = &["svg", "png", "pdf"];

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The page
    pub page: PathBuf,
    /// Figures drawn
    pub figures: usize,
    /// What a person should know
    pub warnings: Vec<String>,
}

/// A run with its model, which knows what some figures show. Without it where what the model is made from is gone, or is
/// another by now: why, and what the report lacks.
///
/// # Errors
/// The run cannot be read without its model, either.
pub fn read(root: &Path) -> Result<(Run, Option<String>), ReportError> {
    let why = match Run::open(root) {
        Ok(run) => return Ok((run, None)),
        Err(e) => briefly(&e),
    };
    let run = Run::look(root)?;
    let lacks = match run.experiment.model.has_soundings() {
        true => "decays and layers of its soundings are missing",
        false => "nothing is missing, as no figure asks it",
    };
    Ok((run, Some(format!("the report is made without the model: {why}; {lacks}"))))
}

/// Report on a run into a folder, which is made if need be: `report.html`, `fig_*.svg` and what else is asked for,
/// `data/fig_*_a.csv` with the numbers of each panel, `data/posterior.csv` with all parameters; `truth` is a table of what
/// is known of them; `without` says that there is no model, as [`read`] does. The same run gives the same bytes.
///
/// # Errors
/// The run cannot be read, a picture cannot be turned into a format, the disk.
pub fn report(
    run: &Run,
    view: &View,
    truth: Option<&Path>,
    without: Option<String>,
    folder: &Path,
    formats: &[String],
) -> Result<Written, ReportError> {
    // Searches have no ensembles that move: what is drawn of them are their trials.
    let mut story = run.experiment.calibration().map(|_| Story::read(run)).transpose()?;
    match (&mut story, truth) {
        (Some(story), Some(truth)) => story.know(truth)?,
        (None, Some(_)) => return Err(untold(&run.dir.identity.name)),
        _ => {}
    }
    let (rows, unread) = timings::rows(run.dir.root(), 1)?;
    let mut warnings: Vec<String> = without.into_iter().chain(unread).collect();
    let status = status::look(run, view)?;
    warnings.extend(story.iter().flat_map(|story| &story.warnings).chain(&status.warnings).cloned());
    let figures = match (&story, run.experiment.searching()) {
        (Some(story), _) => figures::of_calibration(story, &rows),
        (None, Some(searching)) => {
            let table = export::table(run)?;
            warnings.extend(table.warnings.iter().cloned());
            let searched = Searched {
                table: &table,
                objectives: &searching.score.names,
                numbered: run.dir.leaderless(),
                goals: &|scores| searching.score.goals(scores),
            };
            figures::of_search(&searched, &rows)
        }
        (None, None) => figures::of_times(&rows),
    };
    draw(&figures.iter().collect::<Vec<_>>(), folder, formats)?;
    if let Some(table) = story.as_ref().and_then(posterior::csv) {
        publish(&folder.join("data").join("posterior.csv"), table.as_bytes())?;
    }
    let platforms = platforms(run.dir.root());
    let id = &run.dir.identity;
    let page =
        Page { status: &status, identity: id, figures: &figures, platforms: &platforms, warnings: &warnings };
    let path = folder.join("report.html");
    publish(&path, html::page(&page).as_bytes())?;
    Ok(Written { page: path, figures: figures.len(), warnings })
}

/// Report on a grid, whatever has become of its cells: of samplers the estimates side by side and a gallery of the
/// runs chosen, of any grid its stages, failures, cells and times.
///
/// # Errors
/// A choice that names what the grid does not have; as [`report`]. A run without data is no error: it is shown so.
pub fn grid(
    run: &GridRun,
    named: &str,
    choice: &Choice,
    folder: &Path,
    formats: &[String],
) -> Result<Written, ReportError> {
    let left = merge::all(run)?;
    let runs = gallery::runs(run, &left, named)?;
    let chose = *choice != Choice::default();
    if chose && runs.is_empty() {
        return Err(ReportError::Refused {
            what: format!("`{named}` has no runs of samplers to choose from"),
            hint: "`--target`, `--label` and `--best` are for grids of `llc-sample`".into(),
        });
    }
    let (chosen, mut warnings) = gallery::choose(&runs, choice)?;
    let (rows, unread) = timings::rows(run.dir.root(), 1)?;
    warnings.extend(unread);
    let mut tiles: Vec<(&Sampled, Figure)> = Vec::new();
    for sampled in chosen {
        let mut name = gallery::file_name(run, sampled);
        if tiles.iter().any(|(_, figure)| figure.name == name) {
            name = format!("{name}_{}", sampled.id);
        }
        let figure = match sampled.is_ok() {
            true => gallery::trace(run, sampled),
            false => Err(gallery::why(run, sampled)),
        };
        tiles.push((
            sampled,
            match figure {
                Ok(trace) => figures::chains::figure(name, sampled, &trace),
                Err(why) => figures::chains::missing(name, sampled, &why),
            },
        ));
    }
    let times = figures::of_times(&rows);
    let all: Vec<&Figure> = tiles.iter().map(|(_, figure)| figure).chain(&times).collect();
    draw(&all, folder, formats)?;
    let status = crate::report::grid::look(run, named, None)?;
    let page = GridPage {
        status: &status,
        identity: &run.dir.identity,
        runs: &runs,
        tiles: &tiles,
        times: &times,
        cells: &table::all(run, &left),
        hosts: &platforms(run.dir.root()),
        warnings: &warnings,
    };
    let path = folder.join("report.html");
    publish(&path, html::grid::page(&page).as_bytes())?;
    Ok(Written { page: path, figures: all.len(), warnings })
}

/// Report on a sweep: its table, a figure of each of its parts that has one, a page with both.
///
/// # Errors
/// As [`report`].
pub fn sweep(sweep: &Path, folder: &Path, formats: &[String]) -> Result<Written, ReportError> {
    let scaling::Collected { cases, warnings, .. } = scaling::write(sweep, &folder.join("data"))?;
    let mut sweeps: Vec<&str> = cases.iter().map(|case| case.listed.sweep.as_str()).collect();
    sweeps.dedup();
    let figures = of_sweeps(&sweeps, &cases);
    draw(&figures.iter().collect::<Vec<_>>(), folder, formats)?;
    let path = folder.join("report.html");
    let title = match sweeps.as_slice() {
        [first, _, _, rest @ ..] if !rest.is_empty() => {
            format!("{first} and {} more sweeps", sweeps.len() - 1)
        }
        few => few.join(", "),
    };
    publish(&path, html::of_sweep(&title, &cases, &figures, &warnings).as_bytes())?;
    Ok(Written { page: path, figures: figures.len(), warnings })
}

/// The figures of a study: pool and ranks share one, every other sweep has its own where there is something to see.
fn of_sweeps(sweeps: &[&str], cases: &[scaling::Case]) -> Vec<Figure> {
    let of = |fits: &dyn Fn(&str) -> bool| -> Vec<scaling::Case> {
        cases.iter().filter(|case| fits(&case.listed.sweep)).cloned().collect()
    };
    let strong: Vec<&str> = sweeps.iter().copied().filter(|name| name.starts_with("strong")).collect();
    let mut figures: Vec<Figure> = Vec::new();
    let mut put = |figure: Option<Figure>, sweep: &str| {
        let Some(figure) = figure else { return };
        let taken = figures.iter().any(|other| other.name == figure.name);
        let name = if taken { format!("{}_{sweep}", figure.name) } else { figure.name.clone() };
        figures.push(Figure { name, ..figure });
    };
    if !strong.is_empty() {
        put(figures::scaling::figure("strong", &of(&|name| strong.contains(&name))), "");
    }
    for name in sweeps.iter().copied() {
        let own = of(&|other| other == name);
        if !strong.contains(&name) {
            put(figures::scaling::figure(name, &own), name);
        }
        let ways = |way: bool| own.iter().any(|case| case.listed.settings.contains("dds-async") == way);
        let backends = figures::compare::backends(&own);
        // Those of one generation search for nothing.
        let searched = !name.starts_with("overhead");
        if searched && ways(true) && ways(false) && backends.is_none() {
            put(figures::searches::figure(name, &own), name);
        }
        put(backends, name);
    }
    put(figures::compare::weak_ensemble(cases), "");
    put(figures::overhead::figure(cases), "");
    figures
}

/// Figures in their formats, and the numbers of their panels.
fn draw(figures: &[&Figure], folder: &Path, formats: &[String]) -> Result<(), ReportError> {
    let data = folder.join("data");
    fs::create_dir_all(&data).map_err(FileError::io("make", &data))?;
    for figure in figures {
        for (letter, csv) in &figure.panels {
            publish(&data.join(format!("{}_{letter}.csv", figure.name)), csv.as_bytes())?;
        }
        for format in formats {
            publish(&folder.join(format!("{}.{format}", figure.name)), &bytes(figure, format)?)?;
        }
    }
    Ok(())
}

fn bytes(figure: &Figure, format: &str) -> Result<Vec<u8>, ReportError> {
    match format {
        "svg" => Ok(figure.picture.svg().into_bytes()),
        #[cfg(feature = "figures")]
        "png" => Ok(crate::report::draw::render::png(&figure.picture)?),
        #[cfg(feature = "figures")]
        "pdf" => Ok(crate::report::draw::render::pdf(&figure.picture)?),
        _ => Err(ReportError::Refused {
            what: format!("figures cannot be written as `{format}`"),
            hint: "allowed: svg, and png and pdf where the tools were built with the feature `figures`"
                .into(),
        }),
    }
}

/// What is known of parameters has no place in the report on `name`.
pub fn untold(name: &str) -> ReportError {
    ReportError::Refused {
        what: format!(
            "`{name}` is no calibration by ensembles: there is no result beside which a truth could stand"
        ),
        hint: "leave out `--truth`".into(),
    }
}

/// `platform/*.toml`, by host.
fn platforms(root: &Path) -> Vec<(String, String)> {
    let folder = root.join("platform");
    let mut all: Vec<(String, String)> = walkdir::WalkDir::new(folder)
        .min_depth(1)
        .max_depth(1)
        .into_iter()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "toml"))
        .filter_map(|entry| {
            let host = entry.path().file_stem()?.to_string_lossy().into_owned();
            let text = fs::read_to_string(entry.path()).ok()?;
            let facts = text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty());
            Some((host, facts.collect::<Vec<_>>().join("\n")))
        })
        .collect();
    all.sort();
    all
}
