//! The page of a grid: estimates of samplers side by side, a gallery of their chains, stages, failures, cells.

use std::fmt::Write as _;

use super::{begin, head, pictures, platforms, row};
use crate::files::Identity;
use crate::report::draw::escaped;
use crate::report::figures::Figure;
use crate::report::gallery::{self, Sampled};
use crate::report::grid::GridStatus;
use crate::report::table::{count, short, span};
use crate::steps::grid::table::Table;

/// Cells that the page has room for.
const CELLS: usize = 400;
/// Columns of the table of all cells that say where, not what.
const LEFT_OUT: [&str; 10] =
    ["cell", "id", "host", "job", "start", "threads", "folder", "log", "peak_rss_mb", "cpu_s"];

/// What the page is made of.
pub struct GridPage<'a> {
    /// Where the grid stands
    pub status: &'a GridStatus,
    /// Who it is
    pub identity: &'a Identity,
    /// Every run of a sampler; none in a grid of other things
    pub runs: &'a [Sampled],
    /// Those chosen, with their pictures
    pub tiles: &'a [(&'a Sampled, Figure)],
    /// Who worked when
    pub times: &'a [Figure],
    /// A row for each cell
    pub cells: &'a Table,
    /// Hosts and what they are, as TOML
    pub hosts: &'a [(String, String)],
    /// What a person should know
    pub warnings: &'a [String],
}

/// The page.
pub fn page(p: &GridPage<'_>) -> String {
    let s = p.status;
    let cells: usize = s.stages.iter().map(|stage| stage.cells).sum();
    let lead =
        format!("grid of {} in {}; {}", count(cells, "cell"), count(s.stages.len(), "stage"), s.sentence);
    let mut t = begin(&s.name, &lead);
    let sampled = !p.runs.is_empty();
    t.push_str("<nav>");
    let anchors = [
        ("estimates", "Estimates", sampled),
        ("runs", "Runs", sampled),
        ("gallery", "Gallery", !p.tiles.is_empty()),
        ("stages", "Stages", true),
        ("cells", "Cells", !sampled),
        ("times", "Times", !p.times.is_empty()),
        ("origin", "Origin", true),
    ];
    for (anchor, word, _) in anchors.iter().filter(|a| a.2) {
        let _ = write!(t, "<a href=\"#{anchor}\">{word}</a>");
    }
    t.push_str("</nav>\n");
    for warning in p.warnings {
        let _ = writeln!(t, "<p class=\"bad\">{}</p>", escaped(warning));
    }
    if sampled {
        estimates(&mut t, p.runs);
        comparison(&mut t, p.runs);
    }
    if !p.tiles.is_empty() {
        tiles(&mut t, p.tiles);
    }
    stages(&mut t, s);
    if !sampled {
        all_cells(&mut t, p.cells);
    }
    if !p.times.is_empty() {
        t.push_str("<h2 id=\"times\">Times</h2>\n");
        pictures(&mut t, p.times);
    }
    origin(&mut t, p);
    t.push_str("</body>\n</html>\n");
    t
}

/// Targets down, samplers across; how far each is from the reference.
fn estimates(t: &mut String, runs: &[Sampled]) {
    t.push_str("<h2 id=\"estimates\">Estimates</h2>\n<div class=\"wide\"><table>\n<tr><th>target</th>");
    let (targets, labels) = (gallery::names(runs), gallery::labels(runs));
    let known = runs.iter().any(|run| run.number("llc_true").is_finite());
    for label in &labels {
        let _ = write!(t, "<th>{}</th>", escaped(label));
    }
    t.push_str(if known { "<th>known</th></tr>\n" } else { "</tr>\n" });
    for target in &targets {
        let _ = write!(t, "<tr><td>{}</td>", escaped(target));
        let reference = gallery::reference(runs, target);
        let own = |label: &String| runs.iter().find(|run| run.target == *target && run.label == *label);
        for label in &labels {
            let Some(run) = own(label) else {
                t.push_str("<td></td>");
                continue;
            };
            let doubt = !run.is_ok() || !run.text("mark").is_empty();
            let _ =
                write!(t, "<td{}>{}", if doubt { " class=\"bad\"" } else { "" }, escaped(&run.estimate()));
            if doubt && run.is_ok() {
                t.push_str(" *");
            }
            let away = reference.filter(|r| r.id != run.id).map_or(f64::NAN, |r| run.away_from(r));
            if away.is_finite() {
                let _ = write!(t, "<br><small>{away:+.1} σ</small>");
            } else if reference.is_some_and(|r| r.id == run.id) {
                t.push_str("<br><small>reference</small>");
            }
            t.push_str("</td>");
        }
        if known {
            let truth = labels.iter().filter_map(own).map(|run| run.number("llc_true"));
            let truth = truth.into_iter().find(|x| x.is_finite());
            let _ = write!(t, "<td>{}</td>", truth.map_or_else(String::new, short));
        }
        t.push_str("</tr>\n");
    }
    t.push_str(
        "</table></div>\n<p class=\"lead\">λ̂ ± its Monte Carlo error. σ: how far from the reference, the HMC run with most draws, \
         in units of both errors. Compare only at equal nβ, γ and loss. ",
    );
    t.push_str(if known { "Known is λ for n → ∞; a finite n gives less. " } else { "" });
    t.push_str("* marked: see below.</p>\n");
    let marked: Vec<&Sampled> = runs.iter().filter(|run| !run.text("mark").is_empty()).collect();
    if !marked.is_empty() {
        t.push_str("<p class=\"bad\">Marked, not to be believed as they are:</p>\n<ul>\n");
        for run in marked {
            let _ = writeln!(
                t,
                "<li>{}, {}: {}</li>",
                escaped(&run.target),
                escaped(&run.label),
                escaped(&run.text("mark"))
            );
        }
        t.push_str("</ul>\n");
    }
}

/// Every run by work-normalised variance; those without data last.
fn comparison(t: &mut String, runs: &[Sampled]) {
    t.push_str("<h2 id=\"runs\">Runs</h2>\n<p class=\"lead\">By work-normalised variance (mcse² × full gradients): the smaller, the better a sampler uses its work.</p>\n");
    t.push_str("<div class=\"tall\">");
    head(
        t,
        &["target", "sampler", "λ̂", "R̂", "ESS", "gradients", "warming up", "wnv", "sampling", "ESS/s", "log"],
    );
    let mut order: Vec<&Sampled> = runs.iter().collect();
    let key = |run: &Sampled| if run.number("wnv").is_finite() { run.number("wnv") } else { f64::INFINITY };
    order.sort_by(|a, b| key(a).total_cmp(&key(b)));
    for run in order {
        let number = |name: &str, digits: usize| {
            let x = run.number(name);
            if x.is_finite() { format!("{x:.digits$}") } else { "-".into() }
        };
        let seconds = run.number("sample_sec");
        let doubt = !run.is_ok() || !run.text("mark").is_empty();
        t.push_str(if doubt { "<tr class=\"bad\">" } else { "<tr>" });
        let wnv = if run.number("wnv").is_finite() { short(run.number("wnv")) } else { "-".into() };
        for cell in [
            run.target.clone(),
            run.label.clone(),
            run.estimate(),
            number("r_hat", 3),
            number("ess", 0),
            number("total_fge", 0),
            number("fge_warmup", 0),
            wnv,
            if seconds.is_finite() { span(seconds) } else { "-".into() },
            number("ess_per_sec", 0),
            if run.is_ok() { String::new() } else { run.log.clone() },
        ] {
            let _ = write!(t, "<td>{}</td>", escaped(&cell));
        }
        t.push_str("</tr>\n");
    }
    t.push_str("</table></div></div>\n");
}

/// A heading for each target, a picture for each of its runs.
fn tiles(t: &mut String, tiles: &[(&Sampled, Figure)]) {
    t.push_str(
        "<h2 id=\"gallery\">Gallery</h2>\n<p class=\"lead\">Each colour is a chain. Left every draw; middle the estimate so far, black the mean \
         of all chains with two errors around it; right how often a chain's draws have each rank among all draws: chains that have met \
         keep near one.</p>\n",
    );
    let mut target = "";
    for (run, figure) in tiles {
        if run.target != target {
            target = &run.target;
            let _ = writeln!(
                t,
                "<h3>{} <small>{}</small></h3>",
                escaped(target),
                escaped(&run.text("target_id"))
            );
        }
        let mark = run.text("mark");
        let mark = if mark.is_empty() { mark } else { format!(" <b class=\"bad\">{}.</b>", escaped(&mark)) };
        let _ = writeln!(
            t,
            "<figure id=\"{}\">\n<div class=\"wide\">{}</div>\n<figcaption><b>{}.</b> {}{mark}</figcaption>\n</figure>",
            figure.name,
            figure.picture.inline(&figure.name),
            escaped(&run.label),
            escaped(&figure.caption)
        );
    }
}

fn stages(t: &mut String, s: &GridStatus) {
    t.push_str("<h2 id=\"stages\">Stages</h2>\n");
    head(t, &["stage", "cells", "done", "failed", "for want of another", "begun", "not begun"]);
    for r in &s.stages {
        let numbers = [r.cells, r.done, r.failed, r.upstream, r.begun, r.open].map(|n| n.to_string());
        row(t, "td", &[vec![format!("{} {}", r.number, r.stage)], numbers.to_vec()].concat());
    }
    t.push_str("</table></div>\n");
    if s.failures.is_empty() {
        return;
    }
    t.push_str("<h2 id=\"failures\">Failures</h2>\n");
    head(t, &["cell", "cause", "what was said", "log", "cells behind it"]);
    for f in &s.failures {
        let _ = writeln!(
            t,
            "<tr><td>{} {}</td><td class=\"text\">{}</td><td class=\"text\">{}</td><td class=\"text\"><code>{}</code></td><td>{}</td></tr>",
            escaped(&f.stage),
            escaped(&f.labels),
            escaped(&f.cause),
            escaped(&f.message),
            escaped(&f.log),
            f.behind
        );
    }
    t.push_str("</table></div>\n");
}

/// What every cell told, where it is not a sampler.
fn all_cells(t: &mut String, cells: &Table) {
    t.push_str("<h2 id=\"cells\">Cells</h2>\n<div class=\"tall\">");
    let shown: Vec<usize> = (0..cells.columns.len())
        .filter(|&k| !LEFT_OUT.contains(&cells.columns[k].as_str()))
        .filter(|&k| cells.rows.iter().any(|row| row[k].as_ref().is_some_and(|v| !v.csv().is_empty())))
        .collect();
    head(t, &shown.iter().map(|&k| cells.columns[k].as_str()).collect::<Vec<_>>());
    for cell in cells.rows.iter().take(CELLS) {
        let text = |k: &usize| match &cell[*k] {
            Some(crate::models::cell::Scalar::Float(x)) => short(*x),
            Some(value) => value.csv(),
            None => String::new(),
        };
        row(t, "td", &shown.iter().map(text).collect::<Vec<_>>());
    }
    t.push_str("</table></div></div>\n");
    if cells.rows.len() > CELLS {
        let _ =
            writeln!(t, "<p>and {} more: the table in <code>results/</code></p>", cells.rows.len() - CELLS);
    }
}

fn origin(t: &mut String, p: &GridPage<'_>) {
    let id = p.identity;
    t.push_str("<h2 id=\"origin\">Origin</h2>\n<div class=\"wide\"><table>\n");
    for (what, value) in [
        ("run", id.id.clone()),
        ("tools", format!("ekp {}", id.tools)),
        ("seed", id.seed.to_string()),
        ("experiment", id.experiment.clone()),
    ] {
        let _ =
            writeln!(t, "<tr><td>{what}</td><td class=\"text\"><code>{}</code></td></tr>", escaped(&value));
    }
    t.push_str("</table></div>\n");
    platforms(t, p.hosts);
}
