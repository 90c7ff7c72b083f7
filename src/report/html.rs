//! One page that tells a run: self-contained, opens from a file, light or dark as the screen is, prints.
//!
//! Belongs here: the page's order and looks. Not here: facts (`status`, `story`), pictures (`figures`).

pub mod grid;

use std::fmt::Write as _;

use crate::files::Identity;
use crate::report::draw::escaped;
use crate::report::figures::Figure;
use crate::report::metrics::median;
use crate::report::scaling::{Case, Laws, laws};
use crate::report::status::{Failures, Status};
use crate::report::table::{count, short, span};

/// Looks of the page; pictures carry the classes `ink`, `rule`, `grid` and `paper`.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #5c5c5c; --paper: #ffffff; --line: #d9d9d9; --grid: #e4e4e4; --accent: #0072b2 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --soft: #a3a3a3; --paper: #16181b; --line: #3a3d42; --grid: #2c2f34; --accent: #6cb8e6 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
h1 { font-size: 1.6rem; margin: 0 0 .2rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem } small { color: var(--soft); font-weight: normal }
p.lead { color: var(--soft); margin: 0 0 1rem } figure { margin: 1.2rem 0 2rem } figcaption { color: var(--soft); font-size: .9rem; max-width: 46rem }
svg { height: auto; display: block } svg .ink { fill: var(--ink) } svg .paper { fill: var(--paper) }
svg .rule { stroke: var(--ink) } svg .grid { stroke: var(--grid) }
.wide { overflow-x: auto } .tall { max-height: 36rem; overflow-y: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap } th:first-child, td:first-child { text-align: left }
td.text { text-align: left; white-space: normal; min-width: 12rem } code, pre { font: .85rem/1.45 ui-monospace, monospace } pre { overflow-x: auto; padding: .6rem .8rem; border: 1px solid var(--line) }
.bad { color: #d55e00 } nav a { color: var(--accent); margin-right: 1rem } a { color: var(--accent) }
@media print { body { max-width: none; font-size: 11pt } figure, table { break-inside: avoid } nav { display: none } .tall { max-height: none } .wide { overflow: visible } }
";

/// What the page is made of.
pub struct Page<'a> {
    /// Where the run stands
    pub status: &'a Status,
    /// Who it is
    pub identity: &'a Identity,
    /// Its pictures
    pub figures: &'a [Figure],
    /// Hosts and what they are, as TOML
    pub platforms: &'a [(String, String)],
    /// What a person should know
    pub warnings: &'a [String],
}

/// The head of a page, up to its first heading.
fn begin(name: &str, lead: &str) -> String {
    let name = escaped(name);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{name}: ekp report</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n<p class=\"lead\">{}</p>\n",
        escaped(lead)
    )
}

fn pictures(t: &mut String, figures: &[Figure]) {
    for figure in figures {
        let _ = writeln!(
            t,
            "<figure id=\"{}\">\n<div class=\"wide\">{}</div>\n<figcaption><b>{}.</b> {}</figcaption>\n</figure>",
            figure.name,
            figure.picture.inline(&figure.name),
            escaped(figure.title),
            escaped(&figure.caption)
        );
    }
}

/// The page of a sweep.
pub fn of_sweep(name: &str, cases: &[Case], figures: &[Figure], warnings: &[String]) -> String {
    let runs: usize = cases.iter().map(|case| case.wall_s.len()).sum();
    let mut t = begin(name, &format!("{}, {} over", count(cases.len(), "case"), count(runs, "run")));
    for warning in warnings {
        let _ = writeln!(t, "<p class=\"bad\">{}</p>", escaped(warning));
    }
    t.push_str("<h2>Cases</h2>\n");
    let tall = cases.len() > 40;
    if tall {
        t.push_str("<div class=\"tall\">");
    }
    head(
        &mut t,
        &["case", "on", "workers", "runs", "wall, median", "runs/s", "speed-up", "efficiency", "at work"],
    );
    for case in cases {
        let none = || String::from("-");
        let wall = median(&case.wall_s);
        let total: f64 = case.wall_s.iter().sum();
        let of = |f: fn(&crate::report::metrics::Scaling) -> f64| {
            case.scaling.as_ref().map_or_else(none, |s| format!("{:.2}", f(s)))
        };
        row(
            &mut t,
            "td",
            &[
                case.listed.case.clone(),
                case.listed.on.clone(),
                case.listed.workers.to_string(),
                case.wall_s.len().to_string(),
                wall.map_or_else(none, |s| format!("{} s", short(s))),
                if total > 0.0 { short(case.evaluations.0 as f64 / total) } else { none() },
                of(|s| s.speedup),
                of(|s| s.efficiency),
                if wall.is_some() { format!("{:.0} %", 100.0 * case.shares.utilisation()) } else { none() },
            ],
        );
    }
    t.push_str(if tall { "</table></div></div>\n" } else { "</table></div>\n" });
    let told: Vec<String> = laws(cases).iter().filter_map(Laws::told).collect();
    if !told.is_empty() {
        t.push_str("<h2>Laws of scaling</h2>\n<ul>\n");
        for line in told {
            let _ = writeln!(t, "<li>{}</li>", escaped(&line));
        }
        t.push_str("</ul>\n");
    }
    t.push_str("<h2>Figures</h2>\n");
    if figures.is_empty() {
        t.push_str("<p>Nothing to draw: no group of cases has runs on two numbers of workers.</p>\n");
    }
    pictures(&mut t, figures);
    t.push_str("</body>\n</html>\n");
    t
}

/// The page.
pub fn page(page: &Page<'_>) -> String {
    let s = page.status;
    let lead = format!(
        "{} with {}, at most {}; {}",
        s.method,
        count(s.members as usize, "member"),
        count(s.iterations_at_most as usize, "iteration"),
        s.sentence
    );
    let mut t = begin(&s.name, &lead);
    t.push_str("<nav>");
    for (anchor, word) in
        [("result", "Result"), ("figures", "Figures"), ("iterations", "Iterations"), ("origin", "Origin")]
    {
        let _ = write!(t, "<a href=\"#{anchor}\">{word}</a>");
    }
    t.push_str("</nav>\n");
    for warning in page.warnings {
        let _ = writeln!(t, "<p class=\"bad\">{}</p>", escaped(warning));
    }
    result(&mut t, s);
    t.push_str("<h2 id=\"figures\">Figures</h2>\n");
    if page.figures.is_empty() {
        t.push_str("<p>Nothing to draw yet: no iteration is closed.</p>\n");
    }
    pictures(&mut t, page.figures);
    iterations(&mut t, s);
    failures(&mut t, &s.failures);
    origin(&mut t, page);
    t.push_str("</body>\n</html>\n");
    t
}

fn row(t: &mut String, cell: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|c| format!("<{cell}>{}</{cell}>", escaped(c))).collect();
    let _ = writeln!(t, "<tr>{cells}</tr>");
}

fn head(t: &mut String, words: &[&str]) {
    t.push_str("<div class=\"wide\"><table>\n");
    row(t, "th", &words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>());
}

fn result(t: &mut String, s: &Status) {
    t.push_str("<h2 id=\"result\">Result</h2>\n");
    if let Some(search) = s.search.as_ref().filter(|search| search.best > 0) {
        let score: Vec<String> = search.score.iter().map(|x| short(*x)).collect();
        let told = format!(
            "{}, {} failed; the best is trial {} with {} ({})",
            count(search.evaluations as usize, "evaluation"),
            search.failed,
            search.best,
            score.join(", "),
            search.scored
        );
        let _ = writeln!(t, "<p>{}</p>", escaped(&told));
        head(t, &["", "of the best trial"]);
        for (name, value) in search.values.iter().chain(&search.parts) {
            row(t, "td", &[name.clone(), short(*value)]);
        }
        t.push_str("</table></div>\n");
        return;
    }
    if s.batch.is_some() {
        t.push_str("<p>A batch of forward models: tables of its outputs are in <code>results/</code>.</p>\n");
        return;
    }
    if s.result.is_empty() {
        t.push_str("<p>The run is not over: there is no result yet.</p>\n");
        return;
    }
    let tall = s.result.len() > 24;
    if tall {
        t.push_str("<div class=\"tall\">");
    }
    head(t, &["parameter", "prior mean", "prior sd", "mean", "sd", "sd / prior sd"]);
    for e in &s.result {
        let share = format!("{:.2}", e.std / e.prior_std);
        row(
            t,
            "td",
            &[e.name.clone(), short(e.prior_mean), short(e.prior_std), short(e.mean), short(e.std), share],
        );
    }
    t.push_str(if tall { "</table></div></div>\n" } else { "</table></div>\n" });
}

fn iterations(t: &mut String, s: &Status) {
    t.push_str("<h2 id=\"iterations\">Iterations</h2>\n");
    // A search may have hundreds.
    let tall = s.iterations.len() > 40;
    if tall {
        t.push_str("<div class=\"tall\">");
    }
    head(t, &["iteration", "done", "failed", "running", "missing", "misfit", "step", "time", "took"]);
    for r in &s.iterations {
        let number = |x: Option<f64>| x.map_or_else(|| "-".into(), short);
        row(
            t,
            "td",
            &[
                r.iteration.to_string(),
                r.done.to_string(),
                r.failed.to_string(),
                r.running.to_string(),
                r.missing.to_string(),
                number(r.misfit),
                number(r.step),
                number(r.time),
                r.elapsed_s.map_or_else(|| "-".into(), span),
            ],
        );
    }
    t.push_str(if tall { "</table></div></div>\n" } else { "</table></div>\n" });
    if s.blocks.len() > 1 {
        t.push_str("<p>How well each block of the observation is met, before the last step:</p>\n");
        head(t, &["block", "misfit of the mean", "of members"]);
        for b in &s.blocks {
            row(t, "td", &[b.name.clone(), short(b.loss), short(b.avg_rmse.powi(2))]);
        }
        t.push_str("</table></div>\n");
    }
}

fn failures(t: &mut String, failures: &[Failures]) {
    if failures.is_empty() {
        return;
    }
    t.push_str("<h2 id=\"failures\">Failures</h2>\n");
    head(t, &["cause", "host", "members", "what was said"]);
    for f in failures {
        let said: Vec<String> =
            f.messages.iter().map(|m| m.message.clone()).filter(|m| !m.is_empty()).collect();
        let host = f.host.clone().unwrap_or_default();
        row(t, "td", &[f.cause.clone(), host, format!("{} ({})", f.members, f.count), said.join("; ")]);
    }
    t.push_str("</table></div>\n");
}

fn origin(t: &mut String, page: &Page<'_>) {
    let id = page.identity;
    t.push_str("<h2 id=\"origin\">Origin</h2>\n<div class=\"wide\"><table>\n");
    let rows = [
        ("run", id.id.clone()),
        ("tools", format!("ekp {}", id.tools)),
        ("seed", id.seed.to_string()),
        ("experiment", id.experiment.clone()),
        ("priors", id.priors.clone()),
        ("observation", id.observation.clone()),
    ];
    for (what, value) in rows {
        let _ =
            writeln!(t, "<tr><td>{what}</td><td class=\"text\"><code>{}</code></td></tr>", escaped(&value));
    }
    t.push_str("</table></div>\n");
    platforms(t, page.platforms);
}

fn platforms(t: &mut String, hosts: &[(String, String)]) {
    for (host, text) in hosts {
        let _ = writeln!(t, "<h3>{}</h3>\n<pre>{}</pre>", escaped(host), escaped(text.trim_end()));
    }
}
